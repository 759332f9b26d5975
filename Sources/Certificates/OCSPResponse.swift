package import Cryptography
package import IPsec
package import Primitives
internal import SwiftASN1
internal import X509

/// What a responder says of certificates (RFC 6960 §4.2), read and not judged.
package struct OCSPResponse: Hashable, Sendable {
    package enum Status: Hashable, Sendable {
        case good
        case revoked(WallTime, RevocationList.Reason)
        case unknown
    }

    package struct Single: Hashable, Sendable {
        package var certificate: OCSPCertificateID
        package var status: Status
        package var thisUpdate: WallTime
        package var nextUpdate: WallTime?
    }

    /// Who signed it, by name or by SHA-1 of the key (RFC 6960 §4.2.1).
    package enum Responder: Hashable, Sendable {
        case name(IPsec.DistinguishedName)
        case keyHash([UInt8])
    }

    package let octets: [UInt8]
    package let signedOctets: [UInt8]
    package let signatureAlgorithm: SignatureAlgorithm?
    package let signature: [UInt8]
    package let responder: Responder
    package let producedAt: WallTime
    package let singles: [Single]
    package private(set) var nonce: [UInt8]?
    package private(set) var unknownCritical: [String] = []
    /// Certificates that may vouch for the responder's key.
    package let certificates: [Certificate]

    private let memory = SignatureMemory()

    package static let maximumOctets = 256 * 1024
    static let nonceIdentifier: ASN1ObjectIdentifier = [1, 3, 6, 1, 5, 5, 7, 48, 1, 2]
    private static let basic: ASN1ObjectIdentifier = [1, 3, 6, 1, 5, 5, 7, 48, 1, 1]

    package static func == (left: OCSPResponse, right: OCSPResponse) -> Bool { left.octets == right.octets }
    package func hash(into hasher: inout Hasher) { hasher.combine(signature) }

    /// Whether a responder's key made the response's signature.
    func isSigned(by responder: Certificate) -> Bool {
        guard let signatureAlgorithm else { return false }
        return memory.holds(by: responder) { responder.verifies(signature, over: signedOctets, signatureAlgorithm) }
    }

    /// Whether an authority's key signed one of the response's certificates.
    func holds(_ certificate: Certificate, signedBy issuer: Certificate) -> Bool {
        guard let algorithm = certificate.signatureAlgorithm else { return false }
        return memory.holds(by: issuer, of: certificate.octets) {
            issuer.verifies(certificate.signature, over: certificate.signedOctets, algorithm)
        }
    }

    /// How often a signature was looked at.
    var signatureChecks: Int { memory.computed }

    /// Reads a successful response in DER; a responder's refusal is thrown as a defect that names it.
    package init(parsing octets: [UInt8]) throws(CertificateDefect) {
        let root = try Reading.root(octets, maximum: OCSPResponse.maximumOctets, "an OCSP response")
        var outer = try Elements(root)
        let status = try Reading.primitive(try outer.next("responseStatus"), .enumerated, "responseStatus")
        guard status.elementsEqual([0]) else { throw .malformed(OCSPResponse.refusal(status.first ?? 255)) }
        guard let bytes = try outer.explicit(0) else { throw .malformed("the response is empty") }
        try outer.end("an OCSP response")
        var typed = try Elements(bytes)
        let type = try Reading.objectIdentifier(try typed.next("the response's type"), "the response's type")
        guard type == OCSPResponse.basic else { throw .malformed("the response's type is not id-pkix-ocsp-basic") }
        let content = try Reading.primitive(try typed.next("the response"), .octetString, "the response")
        try typed.end("the response")
        self.octets = octets

        var response = try Elements(
            try Reading.root(Array(content), maximum: OCSPResponse.maximumOctets, "a basic OCSP response"))
        let body = try response.next("the response's body")
        signedOctets = Array(body.encodedBytes)
        signatureAlgorithm = try SignatureAlgorithm(try response.next("the signature's algorithm"))
        signature = try Reading.bits(try response.next("the signature"), "the signature")
        var certificates: [Certificate] = []
        if let list = try response.explicit(0) {
            var nodes = try Elements(list)
            for node in try nodes.rest(maximum: 8, "the response's certificates") {
                certificates.append(try Certificate(parsing: Array(node.encodedBytes)))
            }
        }
        self.certificates = certificates
        try response.end("a basic OCSP response")

        var elements = try Elements(body)
        if let version = try elements.explicit(0), try Reading.integer(version, "the version") != [0] {
            throw .malformed("the version is not 1")
        }
        responder = try OCSPResponse.responder(try elements.next("responderID"))
        producedAt = try Reading.time(try elements.next("producedAt"), "producedAt")
        var list = try Elements(try elements.next("responses"))
        var singles: [Single] = []
        var unknown: [String] = []
        for node in try list.rest(maximum: 256, "responses") {
            singles.append(try OCSPResponse.single(node, &unknown))
        }
        self.singles = singles
        let extensions = try elements.explicit(1)
        try elements.end("the response's body")
        unknownCritical = unknown
        if let extensions { try read(extensions) }
    }

    private static func refusal(_ status: UInt8) -> String {
        let names: [UInt8: String] = [
            1: "malformedRequest", 2: "internalError", 3: "tryLater", 5: "sigRequired", 6: "unauthorized",
        ]
        return "the responder says \(names[status] ?? "status \(status)")"
    }

    private static func responder(_ node: ASN1Node) throws(CertificateDefect) -> Responder {
        var choice = try Elements(node, node.identifier)
        let inner = try choice.next("responderID")
        switch node.identifier {
        case .tagged(1): return .name(try Certificate.name(inner, "the responder's name"))
        case .tagged(2):
            return .keyHash(Array(try Reading.primitive(inner, .octetString, "the responder's key hash")))
        default: throw .malformed("responderID cannot be read")
        }
    }

    private static func single(
        _ node: ASN1Node, _ unknown: inout [String]
    ) throws(CertificateDefect) -> Single {
        var elements = try Elements(node)
        let certificate = try OCSPCertificateID(try elements.next("certID"))
        let choice = try elements.next("certStatus")
        let status: Status
        switch choice.identifier {
        case .tagged(0): status = .good
        case .tagged(1):
            var revoked = try Elements(choice, .tagged(1))
            let date = try Reading.time(try revoked.next("revocationTime"), "revocationTime")
            var reason = RevocationList.Reason.unspecified
            if let node = try revoked.explicit(0) {
                let value = try Reading.primitive(node, .enumerated, "revocationReason")
                reason = RevocationList.Reason(rawValue: value.first ?? 0)
            }
            status = .revoked(date, reason)
        case .tagged(2): status = .unknown
        default: throw .malformed("certStatus cannot be read")
        }
        let thisUpdate = try Reading.time(try elements.next("thisUpdate"), "thisUpdate")
        let nextUpdate = try elements.explicit(0).map { node throws(CertificateDefect) in
            try Reading.time(node, "nextUpdate")
        }
        if let list = try elements.explicit(1) { unknown += try criticals(list) }
        try elements.end("a single response")
        return Single(certificate: certificate, status: status, thisUpdate: thisUpdate, nextUpdate: nextUpdate)
    }

    /// Critical extensions, none of which are known for single responses.
    private static func criticals(_ list: ASN1Node) throws(CertificateDefect) -> [String] {
        var elements = try Elements(list)
        var unknown: [String] = []
        for node in try elements.rest(maximum: 16, "extensions") {
            let read = try Reading.attempt("an extension") { try X509.Certificate.Extension(derEncoded: node) }
            if read.critical { unknown.append(read.oid.description) }
        }
        return unknown
    }

    private mutating func read(_ list: ASN1Node) throws(CertificateDefect) {
        var elements = try Elements(list)
        for node in try elements.rest(maximum: 16, "the response's extensions") {
            let read = try Reading.attempt("an extension") { try X509.Certificate.Extension(derEncoded: node) }
            if read.oid == OCSPResponse.nonceIdentifier {
                let root = try Reading.root(Array(read.value), maximum: 256, "the nonce")
                nonce = Array(try Reading.primitive(root, .octetString, "the nonce"))
            } else if read.critical {
                unknownCritical.append(read.oid.description)
            }
        }
    }
}
