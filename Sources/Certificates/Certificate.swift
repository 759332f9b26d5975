package import Cryptography
package import IPsec
package import Primitives
internal import SwiftASN1

/// A certificate (RFC 5280 §4.1), read and not judged: ``PathBuilder`` judges.
package struct Certificate: Hashable, Sendable {
    /// DER, as it was signed.
    package let octets: [UInt8]
    /// TBSCertificate, what is signed.
    package let signedOctets: [UInt8]
    /// `nil`: an algorithm that is not known here.
    package let signatureAlgorithm: SignatureAlgorithm?
    package let signature: [UInt8]
    /// 1 to 3.
    package let version: Int
    /// The content octets of the INTEGER.
    package let serialNumber: [UInt8]
    package let issuer: DistinguishedName
    package let subject: DistinguishedName
    package let notBefore: WallTime
    package let notAfter: WallTime
    /// DER.
    package private(set) var subjectPublicKeyInfo: [UInt8]
    /// The content of the key's BIT STRING, of which SHA-1 makes the common key identifier (RFC 5280 §4.2.1.2).
    package let keyBits: [UInt8]
    /// `nil`: a kind of key that is not used here.
    package private(set) var key: KeyDescription?
    package let extensions: CertificateExtensions

    /// Octets of DER; what comes in a CERT payload is smaller still.
    package static let maximumOctets = 64 * 1024

    package static func == (left: Certificate, right: Certificate) -> Bool { left.octets == right.octets }
    package func hash(into hasher: inout Hasher) { hasher.combine(octets) }

    /// Reads a certificate in DER; nothing may follow it.
    package init(parsing octets: [UInt8]) throws(CertificateDefect) {
        let root = try Reading.root(octets, maximum: Certificate.maximumOctets, "a certificate")
        var outer = try Elements(root)
        let body = try outer.next("the certificate's body")
        let algorithm = try outer.next("the signature's algorithm")
        signature = try Reading.bits(try outer.next("the signature"), "the signature")
        try outer.end("a certificate")
        self.octets = octets
        signedOctets = Array(body.encodedBytes)

        var elements = try Elements(body)
        version = try Certificate.version(try elements.explicit(0))
        serialNumber = try Reading.integer(try elements.next("the serial number"), "the serial number", maximum: 32)
        let inner = try elements.next("the algorithm")
        guard inner.encodedBytes.elementsEqual(algorithm.encodedBytes) else {
            throw .malformed("the algorithm inside and outside differ")
        }
        signatureAlgorithm = try SignatureAlgorithm(inner)
        issuer = try Certificate.name(try elements.next("the issuer"), "the issuer")
        var validity = try Elements(try elements.next("the validity"))
        notBefore = try Reading.time(try validity.next("notBefore"), "notBefore")
        notAfter = try Reading.time(try validity.next("notAfter"), "notAfter")
        try validity.end("the validity")
        subject = try Certificate.name(try elements.next("the subject"), "the subject")
        let keyInfo = try elements.next("the public key")
        subjectPublicKeyInfo = Array(keyInfo.encodedBytes)
        keyBits = try Certificate.keyBits(keyInfo)
        key = DigitalSignature.describe(subjectPublicKeyInfo)
        // Unique identifiers (RFC 5280 §4.1.2.8) are read over.
        _ = elements.next(if: .tagged(1))
        _ = elements.next(if: .tagged(2))
        let list = try elements.explicit(3)
        try elements.end("the certificate's body")
        guard list == nil || version == 3 else { throw .malformed("only version 3 has extensions") }
        extensions = try CertificateExtensions(list)
    }

    private static func version(_ node: ASN1Node?) throws(CertificateDefect) -> Int {
        guard let node else { return 1 }
        switch try Reading.integer(node, "the version") {
        case [0]: return 1
        case [1]: return 2
        case [2]: return 3
        default: throw .malformed("the version is none of 1, 2 and 3")
        }
    }

    static func name(_ node: ASN1Node, _ what: String) throws(CertificateDefect) -> DistinguishedName {
        do throws(ParseError) {
            return try DistinguishedName(parsing: node.encodedBytes)
        } catch {
            throw .malformed("\(what): \(error)")
        }
    }

    private static func keyBits(_ node: ASN1Node) throws(CertificateDefect) -> [UInt8] {
        var elements = try Elements(node)
        var algorithm = try Elements(try elements.next("the key's algorithm"))
        let identifier = try Reading.objectIdentifier(try algorithm.next("the key's algorithm"), "the key's algorithm")
        // A curve in full (RFC 3279 §2.3.5) could be chosen so that anybody knows a private key to a given public one:
        // RFC 5480 §2.1.1 forbids it.
        if identifier == [1, 2, 840, 10_045, 2, 1] {
            _ = try Reading.objectIdentifier(try algorithm.next("the key's curve"), "the key's curve")
        }
        let bits = try Reading.bits(try elements.next("the key"), "the key")
        try elements.end("the public key")
        return bits
    }

    /// The content of the BIT STRING of a SubjectPublicKeyInfo in DER.
    package static func keyBits(parsing subjectPublicKeyInfo: [UInt8]) throws(CertificateDefect) -> [UInt8] {
        try keyBits(try Reading.root(subjectPublicKeyInfo, maximum: maximumOctets, "a public key"))
    }

    /// This certificate with another form of its key, which has what its own leaves to the issuer.
    func with(subjectPublicKeyInfo: [UInt8]) -> Certificate {
        var completed = self
        completed.subjectPublicKeyInfo = subjectPublicKeyInfo
        completed.key = DigitalSignature.describe(subjectPublicKeyInfo)
        return completed
    }

    // MARK: What follows from it

    /// SHA-1 over SubjectPublicKeyInfo: how CERTREQ names a CA (RFC 7296 §3.7), and charon a key.
    package var keyHash: [UInt8] { (try? Digest.compute(.sha1, [.open(subjectPublicKeyInfo)])) ?? [] }

    /// Whether issuer and subject are the same name (RFC 5280 §6.1): such a certificate does not count in a path.
    package var isSelfIssued: Bool { issuer.isSame(as: subject) }

    /// Whether it can be told apart as a CA's: version 3 says so, versions 1 and 2 cannot (RFC 5280 §4.2.1.9).
    package var isAuthority: Bool { extensions.basicConstraints?.isAuthority ?? false }

    /// Whether `signature` over `message` is by this certificate's key.
    package func verifies(_ signature: [UInt8], over message: [UInt8], _ algorithm: SignatureAlgorithm) -> Bool {
        DigitalSignature.verifies(signature, over: message, key: subjectPublicKeyInfo, algorithm)
    }

    /// The names that it gives its subject, the subject itself first.
    package var names: [SubjectName] {
        (subject.isEmpty ? [] : [.directory(subject)]) + extensions.subjectAlternativeNames
    }
}
