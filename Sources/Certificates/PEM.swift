internal import SwiftASN1

/// The text form of certificates and keys (RFC 7468).
package struct PEMBlock: Hashable, Sendable {
    /// `CERTIFICATE`, `X509 CRL` and so on.
    package var label: String
    package var octets: [UInt8]

    package init(label: String, octets: [UInt8]) {
        self.label = label
        self.octets = octets
    }

    package var text: String { PEMDocument(type: label, derBytes: octets).pemString + "\n" }

    /// Every block in a text, what stands between them read over; empty where the octets are no text with blocks.
    package static func all(in octets: [UInt8]) -> [PEMBlock] {
        guard let text = String(validating: octets, as: UTF8.self), text.contains("-----BEGIN ") else { return [] }
        // Headers inside of a block belong to older, encrypted keys, which are read elsewhere.
        let documents = (try? PEMDocument.parseMultiple(pemString: text)) ?? []
        return documents.map { PEMBlock(label: $0.discriminator, octets: $0.derBytes) }
    }
}

extension Certificate {
    package static let label = "CERTIFICATE"

    /// The certificates of a file: one in DER, or all in PEM. A file without any is a defect.
    package static func read(file octets: [UInt8]) throws(CertificateDefect) -> [Certificate] {
        let blocks = PEMBlock.all(in: octets)
        if blocks.isEmpty { return [try Certificate(parsing: octets)] }
        var certificates: [Certificate] = []
        for block in blocks where ["CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"].contains(block.label) {
            certificates.append(try Certificate(parsing: block.octets))
        }
        if certificates.isEmpty { throw .malformed("there is no certificate in it") }
        return certificates
    }

    package var pem: String { PEMBlock(label: Certificate.label, octets: octets).text }
}

extension RevocationList {
    package static let label = "X509 CRL"

    /// The lists of a file: one in DER, or all in PEM. A file without any is a defect.
    package static func read(file octets: [UInt8]) throws(CertificateDefect) -> [RevocationList] {
        let blocks = PEMBlock.all(in: octets)
        if blocks.isEmpty { return [try RevocationList(parsing: octets)] }
        var lists: [RevocationList] = []
        for block in blocks where block.label == label { lists.append(try RevocationList(parsing: block.octets)) }
        if lists.isEmpty { throw .malformed("there is no revocation list in it") }
        return lists
    }

    package var pem: String { PEMBlock(label: RevocationList.label, octets: octets).text }
}
