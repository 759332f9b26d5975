package import Cryptography
package import IPsec
internal import SwiftASN1
internal import X509

/// A certification request, PKCS #10 (RFC 2986): what somebody asks an authority to sign.
package struct CertificateRequest: Hashable, Sendable {
    /// DER.
    package let octets: [UInt8]
    private let signedOctets: [UInt8]
    package let signatureAlgorithm: Cryptography.SignatureAlgorithm?
    private let signature: [UInt8]
    package let subject: IPsec.DistinguishedName
    /// DER.
    package let subjectPublicKeyInfo: [UInt8]
    /// The extensions that are asked for (RFC 2985 §5.4.2).
    package private(set) var extensions = CertificateExtensions()

    package static let label = "CERTIFICATE REQUEST"
    private static let extensionRequest: ASN1ObjectIdentifier = [1, 2, 840, 113_549, 1, 9, 14]

    package static func == (left: CertificateRequest, right: CertificateRequest) -> Bool { left.octets == right.octets }
    package func hash(into hasher: inout Hasher) { hasher.combine(octets) }

    /// Reads a request in DER; nothing may follow it.
    package init(parsing octets: [UInt8]) throws(CertificateDefect) {
        var outer = try Elements(try Reading.root(octets, maximum: Certificate.maximumOctets, "a request"))
        let body = try outer.next("the request's body")
        signatureAlgorithm = try SignatureAlgorithm(try outer.next("the signature's algorithm"))
        signature = try Reading.bits(try outer.next("the signature"), "the signature")
        try outer.end("a request")
        self.octets = octets
        signedOctets = Array(body.encodedBytes)
        var elements = try Elements(body)
        guard try Reading.integer(try elements.next("the version"), "the version") == [0] else {
            throw .malformed("the version is not 1")
        }
        subject = try Certificate.name(try elements.next("the subject"), "the subject")
        subjectPublicKeyInfo = Array(try elements.next("the public key").encodedBytes)
        guard let list = elements.next(if: .tagged(0)) else {
            try elements.end("the request's body")
            return
        }
        try elements.end("the request's body")
        var attributes = try Elements(list, .tagged(0))
        for node in try attributes.rest(maximum: 16, "the request's attributes") {
            var attribute = try Elements(node)
            let type = try Reading.objectIdentifier(try attribute.next("an attribute"), "an attribute")
            var values = try Elements(try attribute.next("an attribute's values"), .set)
            guard type == CertificateRequest.extensionRequest else { continue }
            extensions = try CertificateExtensions(try values.next("the extensions that are asked for"))
        }
    }

    /// Reads the request of a file, in DER or PEM.
    package static func read(file octets: [UInt8]) throws(CertificateDefect) -> CertificateRequest {
        let block = PEMBlock.all(in: octets).first { [label, "NEW CERTIFICATE REQUEST"].contains($0.label) }
        return try CertificateRequest(parsing: block?.octets ?? octets)
    }

    /// Makes a request for `subject` and the key of `signer`.
    package static func make(
        subject: IPsec.DistinguishedName, subjectPublicKeyInfo: [UInt8], extensions: [EncodedExtension], signer: Signer
    ) throws(Signer.Failure) -> CertificateRequest {
        let wanted =
            extensions.isEmpty
            ? []
            : Encoding.sequence(
                Encoding.identifier(extensionRequest.description), Encoding.element(0x31, extensions.octets))
        let octets = try signer.envelope(
            Encoding.sequence(Encoding.integer(0), subject.octets, subjectPublicKeyInfo, Encoding.tagged(0, wanted)))
        do throws(CertificateDefect) {
            return try CertificateRequest(parsing: octets)
        } catch {
            throw .unreadable(error)
        }
    }

    /// Whether who asks has the private key.
    package var provesPossession: Bool {
        guard let signatureAlgorithm else { return false }
        return DigitalSignature.verifies(
            signature, over: signedOctets, key: subjectPublicKeyInfo, signatureAlgorithm)
    }

    package var pem: String { PEMBlock(label: CertificateRequest.label, octets: octets).text }
}
