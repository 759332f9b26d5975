internal import SwiftASN1

/// Certificates and lists in one piece of DER (RFC 7296 §3.6):
///
///     CertificateOrCRL ::= CHOICE { cert [0] Certificate, crl [1] CertificateList }
///     CertificateBundle ::= SEQUENCE OF CertificateOrCRL
enum CertificateBundle {
    /// What is looked at of one.
    private static let maximumCount = 16

    /// The certificates, in order; lists are read over, since they have places of their own.
    static func read(_ octets: [UInt8]) throws(CertificateDefect) -> [Certificate] {
        let what = "a bundle of certificates"
        var elements = try Elements(try Reading.root(octets, maximum: Certificate.maximumOctets, what))
        var certificates: [Certificate] = []
        for node in try elements.rest(maximum: maximumCount, what) {
            switch node.identifier {
            case .tagged(0):
                var inner = try Elements(node, .tagged(0))
                let certificate = try inner.next("a certificate")
                try inner.end(what)
                certificates.append(try Certificate(parsing: Array(certificate.encodedBytes)))
            case .tagged(1): continue
            default: throw .malformed("\(what) has something else in it")
            }
        }
        guard !certificates.isEmpty else { throw .malformed("\(what) has none") }
        return certificates
    }
}
