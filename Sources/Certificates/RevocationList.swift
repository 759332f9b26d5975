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
    /// By the content octets of the serial number.
    package let entries: [[UInt8]: Entry]
    package private(set) var authorityKeyIdentifier: [UInt8]?
    /// The content octets of cRLNumber (RFC 5280 §5.2.3).
    package private(set) var number: [UInt8]?
    /// In a delta: the number of the list that it changes (RFC 5280 §5.2.4).
    package private(set) var baseNumber: [UInt8]?
    /// The list's issuingDistributionPoint (RFC 5280 §5.2.5) leaves these out.
    package private(set) var leavesOutAuthorities = false
    package private(set) var leavesOutEndEntities = false
    /// Where the list is one of several: its point's names, each a GeneralName in DER (RFC 5280 §5.2.5); `nil`: it is the only one.
    package private(set) var pointNames: Set<[UInt8]>?
    /// Where changes to the list are (RFC 5280 §5.2.6): URIs.
    package private(set) var freshestLocations: [String] = []
    /// Critical extensions, of the list or of an entry, that are not understood: then the list says nothing.
    package private(set) var unknownCritical: [String] = []

    private let memory = SignatureMemory()

    /// Octets of DER.
    package static let maximumOctets = 32 * 1024 * 1024
    private static let maximumEntries = 1_000_000

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
            && leavesOutAuthorities == other.leavesOutAuthorities && leavesOutEndEntities == other.leavesOutEndEntities
            && pointNames == other.pointNames
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
        var unknown: [String] = []
        if let list = elements.next(if: .sequence) {
            var nodes = try Elements(list)
            var count = 0
            while nodes.peek != nil {
                count += 1
                guard count <= RevocationList.maximumEntries else { throw .tooLarge }
                let (serial, entry) = try RevocationList.entry(try nodes.next("an entry"), &unknown)
                entries[serial] = entry
            }
        }
        self.entries = entries
        let extensions = try elements.explicit(0)
        try elements.end("the list's body")
        unknownCritical = unknown
        if let extensions { try read(extensions) }
    }

    private static func entry(
        _ node: ASN1Node, _ unknown: inout [String]
    ) throws(CertificateDefect) -> ([UInt8], Entry) {
        var elements = try Elements(node)
        let serial = try Reading.integer(try elements.next("a serial number"), "a serial number")
        var entry = Entry(
            date: try Reading.time(try elements.next("a date of revocation"), "a date of revocation"),
            reason: .unspecified)
        guard let list = elements.next(if: .sequence) else {
            try elements.end("an entry")
            return (serial, entry)
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
            case "2.5.29.24": break
            case let identifier: if read.critical, unknown.count < 16 { unknown.append(identifier) }
            }
        }
        return (serial, entry)
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
            case "2.5.29.28": try readScope(Array(read.value))
            case "2.5.29.46": freshestLocations = try CertificateExtensions.points(read).locations
            case "2.5.29.18", "1.3.6.1.5.5.7.1.1": break
            default: if read.critical { unknownCritical.append(identifier) }
            }
        }
    }

    /// Whether a certificate of the list's issuer is one of those that it is about (RFC 5280 §6.3.3 (b)(2)).
    func isAbout(_ certificate: Certificate) -> Bool {
        if certificate.isAuthority ? leavesOutAuthorities : leavesOutEndEntities { return false }
        guard let pointNames else { return true }
        return !pointNames.isDisjoint(with: certificate.extensions.revocationPointNames)
    }

    /// The full names of a DistributionPointName; none where it is relative to the issuer's, which nobody writes.
    private static func names(_ point: ASN1Node, _ what: String) throws(CertificateDefect) -> Set<[UInt8]> {
        var choice = try Elements(point, .tagged(0))
        guard let full = choice.next(if: .tagged(0)) else { return [] }
        var names = try Elements(full, .tagged(0))
        return Set(try names.rest(maximum: 16, what).map { Array($0.encodedBytes) })
    }

    /// IssuingDistributionPoint.
    private mutating func readScope(_ octets: [UInt8]) throws(CertificateDefect) {
        let what = "issuingDistributionPoint"
        var elements = try Elements(try Reading.root(octets, maximum: 4096, what))
        if let point = elements.next(if: .tagged(0)) { pointNames = try RevocationList.names(point, what) }
        func isSet(_ node: ASN1Node) throws(CertificateDefect) -> Bool {
            guard case .primitive(let content) = node.content, content.count == 1 else {
                throw .malformed("\(what) cannot be read")
            }
            return content.first != 0
        }
        if let node = elements.next(if: .tagged(1)) { leavesOutAuthorities = try isSet(node) }
        if let node = elements.next(if: .tagged(2)) { leavesOutEndEntities = try isSet(node) }
        // Only some reasons, certificates of other issuers, or attribute certificates: such a list proves nothing here.
        if elements.next(if: .tagged(3)) != nil { unknownCritical.append("\(what): only some reasons") }
        if let node = elements.next(if: .tagged(4)), try isSet(node) { unknownCritical.append("\(what): indirect") }
        if let node = elements.next(if: .tagged(5)), try isSet(node) {
            unknownCritical.append("\(what): attribute certificates")
        }
        try elements.end(what)
    }

    /// Compares two INTEGERs of revocation lists' numbers, which are not negative.
    static func isBefore(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        let left = left.drop { $0 == 0 }
        let right = right.drop { $0 == 0 }
        return left.count == right.count ? left.lexicographicallyPrecedes(right) : left.count < right.count
    }
}
