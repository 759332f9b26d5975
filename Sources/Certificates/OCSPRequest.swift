package import Cryptography
internal import SwiftASN1

/// Names a certificate to an OCSP responder (RFC 6960 §4.1.1).
package struct OCSPCertificateID: Hashable, Sendable {
    package let hash: HashID
    package let issuerNameHash: [UInt8]
    package let issuerKeyHash: [UInt8]
    /// The content octets of the INTEGER.
    package let serialNumber: [UInt8]

    /// - Parameter issuer: the certificate whose key signed `certificate`.
    package init?(_ certificate: Certificate, issuer: Certificate, hash: HashID = .sha1) {
        guard let name = try? Digest.compute(hash, [.open(issuer.subject.octets)]),
            let key = try? Digest.compute(hash, [.open(issuer.keyBits)])
        else { return nil }
        self.hash = hash
        issuerNameHash = name
        issuerKeyHash = key
        serialNumber = certificate.serialNumber
    }

    init(_ node: ASN1Node) throws(CertificateDefect) {
        var elements = try Elements(node)
        guard let hash = try SignatureAlgorithm.hash(try elements.next("the hash of a certificate's ID")) else {
            throw .malformed("a certificate's ID has an unknown hash")
        }
        self.hash = hash
        issuerNameHash = Array(
            try Reading.primitive(try elements.next("issuerNameHash"), .octetString, "issuerNameHash"))
        issuerKeyHash = Array(try Reading.primitive(try elements.next("issuerKeyHash"), .octetString, "issuerKeyHash"))
        serialNumber = try Reading.integer(try elements.next("serialNumber"), "serialNumber")
        try elements.end("a certificate's ID")
    }

    fileprivate func write(into coder: inout DER.Serializer) throws {
        try coder.appendConstructedNode(identifier: .sequence) { inner in
            try inner.appendConstructedNode(identifier: .sequence) { algorithm in
                if let identifier = SignatureAlgorithm.identifier(of: hash) { try algorithm.serialize(identifier) }
                try algorithm.serialize(ASN1Null())
            }
            inner.appendPrimitiveNode(identifier: .octetString) { $0 += issuerNameHash }
            inner.appendPrimitiveNode(identifier: .octetString) { $0 += issuerKeyHash }
            inner.appendPrimitiveNode(identifier: .integer) { $0 += serialNumber }
        }
    }
}

/// A question to an OCSP responder about one certificate (RFC 6960 §4.1), unsigned.
package struct OCSPRequest: Hashable, Sendable {
    package var certificate: OCSPCertificateID
    /// Keeps a responder's older answer from being passed off as new (RFC 9654: 1 to 128 octets); empty: none.
    package var nonce: [UInt8]

    package init(_ certificate: OCSPCertificateID, nonce: [UInt8] = []) {
        self.certificate = certificate
        self.nonce = nonce
    }

    /// DER.
    package var octets: [UInt8] {
        var serializer = DER.Serializer()
        do {
            try serializer.appendConstructedNode(identifier: .sequence) { request in
                try request.appendConstructedNode(identifier: .sequence) { body in
                    try body.appendConstructedNode(identifier: .sequence) { list in
                        try list.appendConstructedNode(identifier: .sequence) { try certificate.write(into: &$0) }
                    }
                    if !nonce.isEmpty { try writeNonce(into: &body) }
                }
            }
        } catch { return [] }
        return serializer.serializedBytes
    }

    private func writeNonce(into body: inout DER.Serializer) throws {
        try body.appendConstructedNode(identifier: .tagged(2)) { outer in
            try outer.appendConstructedNode(identifier: .sequence) { list in
                try list.appendConstructedNode(identifier: .sequence) { item in
                    try item.serialize(OCSPResponse.nonceIdentifier)
                    try item.serialize(ASN1OctetString(contentBytes: OCSPRequest.wrapped(nonce)[...]))
                }
            }
        }
    }

    private static func wrapped(_ nonce: [UInt8]) -> [UInt8] {
        var serializer = DER.Serializer()
        serializer.appendPrimitiveNode(identifier: .octetString) { $0 += nonce }
        return serializer.serializedBytes
    }
}
