package import IPsec
internal import SwiftASN1
internal import X509

/// Reasons for which a list has certificates, by bit (RFC 5280 §4.2.1.13, ReasonFlags).
package struct RevocationReasons: OptionSet, Hashable, Sendable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    /// From keyCompromise (1) to aACompromise (8): what must be known before a certificate counts as not revoked
    /// (RFC 5280 §6.3.2 (a), all-reasons).
    package static let all = RevocationReasons(rawValue: 0x01FE)

    /// Reads an IMPLICIT BIT STRING.
    init(_ node: ASN1Node, _ identifier: ASN1Identifier, _ what: String) throws(CertificateDefect) {
        let content = try Reading.primitive(node, identifier, what)
        guard let unused = content.first, unused < 8, (1...3).contains(content.count) else {
            throw .malformed("\(what): the reasons cannot be read")
        }
        rawValue = 0
        for (index, octet) in content.dropFirst().enumerated() {
            for bit in 0..<8 where octet & 0x80 >> UInt8(bit) != 0 { rawValue |= 1 << UInt16(index * 8 + bit) }
        }
    }
}

/// One name of a point, as it is compared.
package enum PointName: Hashable, Sendable {
    case directory(IPsec.DistinguishedName)
    /// Any other GeneralName in DER.
    case other([UInt8])

    init(_ node: ASN1Node, _ what: String) throws(CertificateDefect) {
        guard node.identifier == .tagged(4) else {
            self = .other(Array(node.encodedBytes))
            return
        }
        var choice = try Elements(node, .tagged(4))
        self = .directory(try Certificate.name(try choice.next(what), what))
        try choice.end(what)
    }

    /// Directory names by RFC 5280 §7.1, the others octet by octet.
    func isSame(as other: PointName) -> Bool {
        if case .directory(let left) = self, case .directory(let right) = other { return left.isSame(as: right) }
        return self == other
    }
}

/// What a point of lists is called (RFC 5280 §4.2.1.13, DistributionPointName).
package enum DistributionPointName: Hashable, Sendable {
    /// Each of them is its name.
    case full([PointName])
    /// What follows the name of the list's issuer: one relative name.
    case relative([IPsec.DistinguishedName.Attribute])

    private static let maximumNames = 16

    /// - Parameter node: `[0]`, around the CHOICE.
    init(_ node: ASN1Node, _ what: String) throws(CertificateDefect) {
        var outer = try Elements(node, .tagged(0))
        let choice = try outer.next(what)
        try outer.end(what)
        switch choice.identifier {
        case .tagged(0):
            var names = try Elements(choice, .tagged(0))
            var all: [PointName] = []
            for node in try names.rest(maximum: DistributionPointName.maximumNames, what) {
                all.append(try PointName(node, what))
            }
            self = .full(all)
        case .tagged(1):
            // An IMPLICIT SET: under its own tag it is the one part of a name.
            let part = Encoding.sequence([0x31] + choice.encodedBytes.dropFirst())
            guard let name = try? IPsec.DistinguishedName(parsing: part[...]), let first = name.relativeNames.first
            else { throw .malformed("\(what): a relative name cannot be read") }
            self = .relative(first)
        default: throw .malformed("\(what): a point's name cannot be read")
        }
    }

    /// The names where `issuer` issues the list.
    func names(under issuer: IPsec.DistinguishedName) -> [PointName] {
        switch self {
        case .full(let names): names
        case .relative(let part):
            [.directory(IPsec.DistinguishedName(relativeNames: issuer.relativeNames + [part]))]
        }
    }
}

/// One of the points where lists about a certificate are (RFC 5280 §4.2.1.13).
package struct DistributionPoint: Hashable, Sendable {
    /// `nil`: the names of `issuers` are its name.
    package var name: DistributionPointName?
    /// For which its lists have the certificate.
    package var reasons = RevocationReasons.all
    /// Who issues its lists instead of the certificate's issuer (cRLIssuer): such lists are indirect ones.
    package var issuers: [IPsec.DistinguishedName] = []
    /// URIs.
    package var locations: [String] = []

    private static let maximumPoints = 16
    private static let maximumIssuers = 16

    /// What stands for a point where lists are that no point names (RFC 5280 §6.3.3, the last paragraph).
    static func unnamed(_ issuer: IPsec.DistinguishedName) -> DistributionPoint {
        DistributionPoint(name: .full([.directory(issuer)]))
    }

    /// The names where `issuer` issues the list.
    func names(under issuer: IPsec.DistinguishedName) -> [PointName] {
        name?.names(under: issuer) ?? issuers.map { .directory($0) }
    }

    /// The URIs of a list of points, for whoever fetches.
    static func locations(_ points: [DistributionPoint]) -> [String] { points.flatMap(\.locations) }

    /// Reads CRLDistributionPoints, or FreshestCRL, which is written alike (RFC 5280 §4.2.1.15). A point without a name and
    /// an issuer leads nowhere and is left out.
    static func read(_ value: [UInt8]) throws(CertificateDefect) -> [DistributionPoint] {
        let what = "a list of distribution points"
        var list = try Elements(try Reading.root(value, maximum: Certificate.maximumOctets, what))
        var points: [DistributionPoint] = []
        for node in try list.rest(maximum: maximumPoints, what) {
            if let point = try DistributionPoint(node, what) { points.append(point) }
        }
        return points
    }

    private init(name: DistributionPointName) { self.name = name }

    private init?(_ node: ASN1Node, _ what: String) throws(CertificateDefect) {
        var parts = try Elements(node)
        if let node = parts.next(if: .tagged(0)) {
            let read = try DistributionPointName(node, what)
            name = read
            if case .full(let names) = read {
                for case .other(let octets) in names {
                    if let uri = try DistributionPoint.uri(octets, what) { locations.append(uri) }
                }
            }
        }
        if let node = parts.next(if: .tagged(1)) { reasons = try RevocationReasons(node, .tagged(1), what) }
        if let node = parts.next(if: .tagged(2)) {
            var names = try Elements(node, .tagged(2))
            for node in try names.rest(maximum: DistributionPoint.maximumIssuers, what) {
                if case .directory(let issuer) = try PointName(node, what) { issuers.append(issuer) }
            }
            // Somebody issues its lists whom no name of a certificate can be held to.
            if issuers.isEmpty { return nil }
        }
        try parts.end(what)
        if name == nil, issuers.isEmpty { return nil }
    }

    /// The URI of a GeneralName in DER, if it is one.
    private static func uri(_ octets: [UInt8], _ what: String) throws(CertificateDefect) -> String? {
        let name = try Reading.attempt(what) { try GeneralName(derEncoded: octets) }
        if case .uniformResourceIdentifier(let uri) = name { return uri }
        return nil
    }
}
