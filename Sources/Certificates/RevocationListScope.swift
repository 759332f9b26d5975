internal import IPsec
internal import SwiftASN1

/// Which certificates, and which reasons, a list is about (RFC 5280 §5.2.5, issuingDistributionPoint). A list that does not say
/// so is about all of its issuer's.
package struct RevocationListScope: Hashable, Sendable {
    /// Where the list is one of several: what its point is called; `nil`: it is the only one.
    package private(set) var names: Set<PointName>?
    package private(set) var leavesOutAuthorities = false
    package private(set) var leavesOutEndEntities = false
    package private(set) var reasons = RevocationReasons.all
    /// It may have other issuers' certificates.
    package private(set) var isIndirect = false
    /// Such a list proves nothing here.
    let isAboutAttributes: Bool

    init() { isAboutAttributes = false }

    /// Reads IssuingDistributionPoint.
    ///
    /// - Parameter issuer: the list's, which a relative name follows.
    init(_ value: [UInt8], issuer: IPsec.DistinguishedName) throws(CertificateDefect) {
        let what = "issuingDistributionPoint"
        var elements = try Elements(try Reading.root(value, maximum: 8192, what))
        if let node = elements.next(if: .tagged(0)) {
            names = Set(try DistributionPointName(node, what).names(under: issuer))
        }
        func isSet(_ number: UInt) throws(CertificateDefect) -> Bool {
            guard let node = elements.next(if: .tagged(number)) else { return false }
            let content = try Reading.primitive(node, .tagged(number), what)
            guard content.count == 1 else { throw .malformed("\(what) cannot be read") }
            return content.first != 0
        }
        leavesOutAuthorities = try isSet(1)
        leavesOutEndEntities = try isSet(2)
        if let node = elements.next(if: .tagged(3)) { reasons = try RevocationReasons(node, .tagged(3), what) }
        isIndirect = try isSet(4)
        isAboutAttributes = try isSet(5)
        try elements.end(what)
    }

    /// The reasons for which a list of this scope says whether a certificate was revoked, as one of its points has it
    /// (RFC 5280 §6.3.3 (b) and (d)); `nil`: it is no list of that point, or not about such certificates.
    ///
    /// - Parameter issuer: the list's.
    func reasons(
        for certificate: Certificate, at point: DistributionPoint, issuer: IPsec.DistinguishedName
    ) -> RevocationReasons? {
        if certificate.isAuthority ? leavesOutAuthorities : leavesOutEndEntities { return nil }
        if point.issuers.isEmpty {
            guard issuer.isSame(as: certificate.issuer) else { return nil }
        } else {
            guard isIndirect, point.issuers.contains(where: { $0.isSame(as: issuer) }) else { return nil }
        }
        if let names {
            let wanted = point.names(under: issuer)
            guard names.contains(where: { name in wanted.contains { $0.isSame(as: name) } }) else { return nil }
        }
        return reasons.intersection(point.reasons)
    }
}
