package import Cryptography
package import IPsec
package import Primitives
internal import SwiftASN1
internal import X509

/// A certificate revocation list, base or delta (RFC 5280 §5), read and not judged.
package struct RevocationList: Hashable, Sendable {
    package typealias Reason = RevocationReason

    package struct Entry: Hashable, Sendable {
        package var date: WallTime
        package var reason: Reason

        package init(date: WallTime, reason: Reason) {
            self.date = date
            self.reason = reason
        }
    }

    /// DER.
    package let octets: [UInt8]
    package let signedOctets: [UInt8]
    package let signatureAlgorithm: SignatureAlgorithm?
    package let signature: [UInt8]
    package let issuer: IPsec.DistinguishedName
    package let thisUpdate: WallTime
    package let nextUpdate: WallTime?
    /// Certificates of the list's own issuer, by the content octets of the serial number.
    package let entries: [[UInt8]: Entry]
    /// In an indirect list (RFC 5280 §5.3.3): those of other issuers, by these.
    package let othersEntries: [IPsec.DistinguishedName: [[UInt8]: Entry]]
    package private(set) var authorityKeyIdentifier: [UInt8]?
    /// The content octets of cRLNumber (RFC 5280 §5.2.3).
    package private(set) var number: [UInt8]?
    /// In a delta: the number of the list that it changes (RFC 5280 §5.2.4).
    package private(set) var baseNumber: [UInt8]?
    /// What the list is about (RFC 5280 §5.2.5).
    package private(set) var scope = RevocationListScope()
    /// Where changes to the list are (RFC 5280 §5.2.6): URIs.
    package private(set) var freshestLocations: [String] = []
    /// Critical extensions, of the list or of an entry, that are not understood: then the list says nothing.
    package private(set) var unknownCritical: [String] = []

    private let memory = SignatureMemory()

    /// Octets of DER.
    package static let maximumOctets = 32 * 1024 * 1024
    private static let maximumEntries = 1_000_000
    /// Issuers that an indirect list speaks of: each is compared with a certificate's.
    private static let maximumIssuers = 4096

    package static func == (left: RevocationList, right: RevocationList) -> Bool { left.octets == right.octets }
    package func hash(into hasher: inout Hasher) { hasher.combine(signature) }

    package var isDelta: Bool { baseNumber != nil }

    /// Whether an authority's key made the list's signature.
    func isSigned(by issuer: Certificate) -> Bool {
        guard let signatureAlgorithm else { return false }
        return memory.holds(by: issuer) { issuer.verifies(signature, over: signedOctets, signatureAlgorithm) }
    }

    /// How often the signature was looked at.
    var signatureChecks: Int { memory.computed }

    /// Whether one of the two takes the other's place: of one issuer and key, and about the same certificates.
    package func isAbout(sameAs other: RevocationList) -> Bool {
        issuer == other.issuer && authorityKeyIdentifier == other.authorityKeyIdentifier && isDelta == other.isDelta
            && scope == other.scope
    }

    /// Reads a list in DER; nothing may follow it.
    package init(parsing octets: [UInt8]) throws(CertificateDefect) {
        let root = try Reading.root(octets, maximum: RevocationList.maximumOctets, "a revocation list")
        var outer = try Elements(root)
        let body = try outer.next("the list's body")
        let algorithm = try outer.next("the signature's algorithm")
        signature = try Reading.bits(try outer.next("the signature"), "the signature")
        try outer.end("a revocation list")
        self.octets = octets
        signedOctets = Array(body.encodedBytes)

        var elements = try Elements(body)
        if let version = elements.next(if: .integer), try Reading.integer(version, "the version") != [1] {
            throw .malformed("the version is not 2")
        }
        let inner = try elements.next("the algorithm")
        guard inner.encodedBytes.elementsEqual(algorithm.encodedBytes) else {
            throw .malformed("the algorithm inside and outside differ")
        }
        signatureAlgorithm = try SignatureAlgorithm(inner)
        issuer = try Certificate.name(try elements.next("the issuer"), "the issuer")
        thisUpdate = try Reading.time(try elements.next("thisUpdate"), "thisUpdate")
        if let node = elements.peek, node.identifier == .utcTime || node.identifier == .generalizedTime {
            nextUpdate = try Reading.time(try elements.next("nextUpdate"), "nextUpdate")
        } else {
            nextUpdate = nil
        }
        var entries: [[UInt8]: Entry] = [:]
        var others: [IPsec.DistinguishedName: [[UInt8]: Entry]] = [:]
        var unknown: [String] = []
        // An entry that names no issuer is of the one that was named last (RFC 5280 §5.3.3); first of all it is the list's.
        var named: IPsec.DistinguishedName?
        var namesIssuers = false
        if let list = elements.next(if: .sequence) {
            var nodes = try Elements(list)
            var count = 0
            while nodes.peek != nil {
                count += 1
                guard count <= RevocationList.maximumEntries else { throw .tooLarge }
                let read = try RevocationList.entry(try nodes.next("an entry"), &unknown)
                if let other = read.issuer {
                    namesIssuers = true
                    named = other.isSame(as: issuer) ? nil : other
                }
                if let named {
                    others[named, default: [:]][read.serial] = read.entry
                    guard others.count <= RevocationList.maximumIssuers else { throw .tooLarge }
                } else {
                    entries[read.serial] = read.entry
                }
            }
        }
        self.entries = entries
        othersEntries = others
        let extensions = try elements.explicit(0)
        try elements.end("the list's body")
        unknownCritical = unknown
        if let extensions { try read(extensions) }
        // Only an indirect list has other issuers' certificates: whose are these?
        if namesIssuers, !scope.isIndirect { unknownCritical.append("2.5.29.29") }
    }

    private static func entry(
        _ node: ASN1Node, _ unknown: inout [String]
    ) throws(CertificateDefect) -> (serial: [UInt8], entry: Entry, issuer: IPsec.DistinguishedName?) {
        var elements = try Elements(node)
        let serial = try Reading.integer(try elements.next("a serial number"), "a serial number")
        var entry = Entry(
            date: try Reading.time(try elements.next("a date of revocation"), "a date of revocation"),
            reason: .unspecified)
        var issuer: IPsec.DistinguishedName?
        guard let list = elements.next(if: .sequence) else {
            try elements.end("an entry")
            return (serial, entry, nil)
        }
        try elements.end("an entry")
        var extensions = try Elements(list)
        for node in try extensions.rest(maximum: 16, "the extensions of an entry") {
            let read = try Reading.attempt("an extension") { try X509.Certificate.Extension(derEncoded: node) }
            switch try Reading.extensionIdentifier(node) {
            case "2.5.29.21":
                let reason = try Reading.root(Array(read.value), maximum: 16, "a reason")
                let value = try Reading.primitive(reason, .enumerated, "a reason")
                guard value.count == 1, let number = value.first else { throw .malformed("a reason has one octet") }
                entry.reason = Reason(rawValue: number)
            case "2.5.29.29": issuer = try RevocationList.certificateIssuer(Array(read.value))
            case "2.5.29.24": break
            case let identifier: if read.critical, unknown.count < 16 { unknown.append(identifier) }
            }
        }
        return (serial, entry, issuer)
    }

    /// CertificateIssuer: GeneralNames, one of them the issuer's.
    private static func certificateIssuer(_ value: [UInt8]) throws(CertificateDefect) -> IPsec.DistinguishedName {
        let what = "certificateIssuer"
        var names = try Elements(try Reading.root(value, maximum: Certificate.maximumOctets, what))
        for node in try names.rest(maximum: 16, what) {
            if case .directory(let name) = try PointName(node, what) { return name }
        }
        throw .malformed("\(what) has no directory name")
    }

    private mutating func read(_ list: ASN1Node) throws(CertificateDefect) {
        var elements = try Elements(list)
        var seen: Set<String> = []
        for node in try elements.rest(maximum: 32, "the list's extensions") {
            let read = try Reading.attempt("an extension") { try X509.Certificate.Extension(derEncoded: node) }
            let identifier = try Reading.extensionIdentifier(node)
            guard seen.insert(identifier).inserted else { throw .malformed("the extension \(identifier) stands twice") }
            switch identifier {
            case "2.5.29.20":
                number = try Reading.integer(
                    try Reading.root(Array(read.value), maximum: 64, "cRLNumber"), "cRLNumber", maximum: 32)
            case "2.5.29.27":
                baseNumber = try Reading.integer(
                    try Reading.root(Array(read.value), maximum: 64, "deltaCRLIndicator"), "deltaCRLIndicator",
                    maximum: 32)
            case "2.5.29.35":
                let value = try Reading.attempt("authorityKeyIdentifier") { try X509.AuthorityKeyIdentifier(read) }
                authorityKeyIdentifier = value.keyIdentifier.map { Array($0) }
            case "2.5.29.28":
                scope = try RevocationListScope(Array(read.value), issuer: issuer)
                if scope.isAboutAttributes {
                    unknownCritical.append("issuingDistributionPoint: attribute certificates")
                }
            case "2.5.29.46":
                freshestLocations = DistributionPoint.locations(try DistributionPoint.read(Array(read.value)))
            case "2.5.29.18", "1.3.6.1.5.5.7.1.1": break
            default: if read.critical { unknownCritical.append(identifier) }
            }
        }
    }

    /// What the list says of a certificate; `nil`: nothing.
    func entry(for certificate: Certificate) -> Entry? {
        if let entry = entries[certificate.serialNumber], issuer.isSame(as: certificate.issuer) { return entry }
        for (other, entries) in othersEntries {
            if let entry = entries[certificate.serialNumber], other.isSame(as: certificate.issuer) { return entry }
        }
        return nil
    }

    /// Compares two INTEGERs of revocation lists' numbers, which are not negative.
    static func isBefore(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        let left = left.drop { $0 == 0 }
        let right = right.drop { $0 == 0 }
        return left.count == right.count ? left.lexicographicallyPrecedes(right) : left.count < right.count
    }
}
