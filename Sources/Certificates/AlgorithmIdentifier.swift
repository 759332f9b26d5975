package import Cryptography
internal import SwiftASN1

/// AlgorithmIdentifier (RFC 5280 §4.1.1.2) of signatures.
extension SignatureAlgorithm {
    private static let hashes: [(HashID, ASN1ObjectIdentifier)] = [
        (.md5, [1, 2, 840, 113_549, 2, 5]), (.sha1, [1, 3, 14, 3, 2, 26]),
        (.sha256, [2, 16, 840, 1, 101, 3, 4, 2, 1]), (.sha384, [2, 16, 840, 1, 101, 3, 4, 2, 2]),
        (.sha512, [2, 16, 840, 1, 101, 3, 4, 2, 3]),
    ]
    /// Algorithms whose parameters are NULL or absent (RFC 4055 §5, RFC 5758 §3.2, RFC 8410 §3).
    private static let simple: [(SignatureAlgorithm, ASN1ObjectIdentifier)] = [
        (.rsa(.md5), [1, 2, 840, 113_549, 1, 1, 4]), (.rsa(.sha1), [1, 2, 840, 113_549, 1, 1, 5]),
        (.rsa(.sha256), [1, 2, 840, 113_549, 1, 1, 11]), (.rsa(.sha384), [1, 2, 840, 113_549, 1, 1, 12]),
        (.rsa(.sha512), [1, 2, 840, 113_549, 1, 1, 13]), (.ecdsa(.sha1), [1, 2, 840, 10_045, 4, 1]),
        (.ecdsa(.sha256), [1, 2, 840, 10_045, 4, 3, 2]), (.ecdsa(.sha384), [1, 2, 840, 10_045, 4, 3, 3]),
        (.dsa(.sha1), [1, 2, 840, 10_040, 4, 3]), (.dsa(.sha256), [2, 16, 840, 1, 101, 3, 4, 3, 2]),
        (.ecdsa(.sha512), [1, 2, 840, 10_045, 4, 3, 4]), (.ed25519, [1, 3, 101, 112]), (.ed448, [1, 3, 101, 113]),
    ]
    private static let pss: ASN1ObjectIdentifier = [1, 2, 840, 113_549, 1, 1, 10]
    private static let mgf1: ASN1ObjectIdentifier = [1, 2, 840, 113_549, 1, 1, 8]

    /// Reads one; `nil` for an algorithm that is not known here.
    init?(_ node: ASN1Node) throws(CertificateDefect) {
        var elements = try Elements(node)
        let identifier = try Reading.objectIdentifier(
            try elements.next("the algorithm"), "the algorithm's identifier")
        if identifier == SignatureAlgorithm.pss {
            let parameters = try elements.next("the parameters of RSASSA-PSS")
            try elements.end("an algorithm")
            guard let algorithm = try SignatureAlgorithm.pss(parameters) else { return nil }
            self = algorithm
            return
        }
        guard let known = SignatureAlgorithm.simple.first(where: { $0.1 == identifier }) else { return nil }
        let null = elements.next(if: .null)
        try elements.end("an algorithm")
        // RSA's parameters are NULL; the others have none.
        if case .rsa = known.0 {} else if null != nil { return nil }
        self = known.0
    }

    /// Reads an AlgorithmIdentifier in DER, as a digital signature carries it (RFC 7427 §3); `nil` where it is none, not known
    /// here, or for certificates alone.
    package init?(algorithmIdentifier octets: [UInt8]) {
        guard let node = try? Reading.root(octets, maximum: 256, "an algorithm"), let known = try? Self(node) else {
            return nil
        }
        if case .dsa = known { return nil }
        self = known
    }

    /// RSASSA-PSS-params (RFC 4055 §3.1): hash [0], mask generation [1], salt length [2], trailer field [3].
    private static func pss(_ node: ASN1Node) throws(CertificateDefect) -> SignatureAlgorithm? {
        var elements = try Elements(node)
        let hash = try elements.explicit(0).map(hash)
        let mask = try elements.explicit(1).map { node throws(CertificateDefect) -> HashID? in
            var mask = try Elements(node)
            let identifier = try Reading.objectIdentifier(
                try mask.next("the mask generation"), "the mask generation's identifier")
            guard identifier == mgf1 else { return nil }
            return try SignatureAlgorithm.hash(try mask.next("the mask generation's hash"))
        }
        var salt = 20
        if let node = try elements.explicit(2) {
            let octets = try Reading.integer(node, "the salt's length", maximum: 2)
            guard let first = octets.first, first < 0x80 else { return nil }
            salt = octets.reduce(0) { $0 << 8 | Int($1) }
        }
        if let node = try elements.explicit(3), try Reading.integer(node, "the trailer field") != [1] { return nil }
        try elements.end("the parameters of RSASSA-PSS")
        // Absent, both mean SHA-1.
        guard let hash = hash ?? .sha1, let mask = mask ?? .sha1, mask == hash, salt <= 512 else { return nil }
        return .rsaPSS(hash, saltOctets: salt)
    }

    static func hash(_ node: ASN1Node) throws(CertificateDefect) -> HashID? {
        var elements = try Elements(node)
        let identifier = try Reading.objectIdentifier(try elements.next("a hash"), "a hash's identifier")
        _ = elements.next(if: .null)
        try elements.end("a hash")
        return hashes.first { $0.1 == identifier }?.0
    }

    /// The AlgorithmIdentifier in DER; empty for a hash without identifier.
    package var algorithmIdentifier: [UInt8] {
        var serializer = DER.Serializer()
        do {
            try serializer.appendConstructedNode(identifier: .sequence) { inner in
                switch self {
                case .rsaPSS(let hash, let salt):
                    try inner.serialize(SignatureAlgorithm.pss)
                    try inner.appendConstructedNode(identifier: .sequence) { parameters in
                        try SignatureAlgorithm.write(hash, saltOctets: salt, into: &parameters)
                    }
                case .rsa, .ecdsa, .dsa, .ed25519, .ed448:
                    guard let known = SignatureAlgorithm.simple.first(where: { $0.0 == self }) else { return }
                    try inner.serialize(known.1)
                    if case .rsa = self { try inner.serialize(ASN1Null()) }
                }
            }
        } catch { return [] }
        return serializer.serializedBytes
    }

    private static func write(_ hash: HashID, saltOctets: Int, into coder: inout DER.Serializer) throws {
        guard let identifier = hashes.first(where: { $0.0 == hash })?.1 else { return }
        func write(_ identifier: ASN1ObjectIdentifier, into coder: inout DER.Serializer) throws {
            try coder.appendConstructedNode(identifier: .sequence) { algorithm in
                try algorithm.serialize(identifier)
                try algorithm.serialize(ASN1Null())
            }
        }
        // DER leaves defaults out (X.690 §11.5).
        if hash != .sha1 {
            try coder.appendConstructedNode(identifier: .tagged(0)) { try write(identifier, into: &$0) }
            try coder.appendConstructedNode(identifier: .tagged(1)) { outer in
                try outer.appendConstructedNode(identifier: .sequence) { mask in
                    try mask.serialize(mgf1)
                    try write(identifier, into: &mask)
                }
            }
        }
        if saltOctets != 20 {
            try coder.appendConstructedNode(identifier: .tagged(2)) { try $0.serialize(saltOctets) }
        }
    }

    /// A hash's AlgorithmIdentifier, as OCSP's CertID has it (RFC 6960 §4.1.1).
    static func identifier(of hash: HashID) -> ASN1ObjectIdentifier? { hashes.first { $0.0 == hash }?.1 }
}
