import IPsec
internal import SwiftASN1

/// What a certificate says about the policies of the path that it stands in (RFC 5280 §4.2.1.4, §4.2.1.5, §4.2.1.11 and §4.2.1.14).
package struct PolicyRules: Hashable, Sendable {
    /// Further certificates after which the path needs a policy that all of it agrees on.
    package var requiresPolicyAfter: Int?
    /// Further certificates after which mappings do not count.
    package var forbidsMappingAfter: Int?
    /// Further certificates after which anyPolicy does not count.
    package var forbidsAnyPolicyAfter: Int?
    /// What of the issuer's policies is what of the subject's, in the order in which they stand there.
    package var mappings: [Mapping] = []

    package struct Mapping: Hashable, Sendable {
        package var issuer: String
        package var subject: String
    }

    package init() {}

    private static let maximumMappings = 128

    /// policyConstraints.
    mutating func constrain(_ value: [UInt8]) throws(CertificateDefect) {
        let what = "policyConstraints"
        var list = try Elements(try Reading.root(value, maximum: 64, what))
        let require = list.next(if: .tagged(0))
        let inhibit = list.next(if: .tagged(1))
        try list.end(what)
        guard require != nil || inhibit != nil else { throw .malformed("\(what) is empty") }
        if let require { requiresPolicyAfter = try PolicyRules.count(require, .tagged(0), what) }
        if let inhibit { forbidsMappingAfter = try PolicyRules.count(inhibit, .tagged(1), what) }
    }

    /// inhibitAnyPolicy.
    mutating func inhibitAny(_ value: [UInt8]) throws(CertificateDefect) {
        let what = "inhibitAnyPolicy"
        forbidsAnyPolicyAfter = try PolicyRules.count(try Reading.root(value, maximum: 64, what), .integer, what)
    }

    /// policyMappings.
    mutating func map(_ value: [UInt8]) throws(CertificateDefect) {
        let what = "policyMappings"
        var list = try Elements(try Reading.root(value, maximum: Certificate.maximumOctets, what))
        for node in try list.rest(maximum: PolicyRules.maximumMappings, what) {
            var pair = try Elements(node)
            let issuer = try Reading.dottedIdentifier(try pair.next(what), what)
            let subject = try Reading.dottedIdentifier(try pair.next(what), what)
            try pair.end(what)
            mappings.append(Mapping(issuer: issuer, subject: subject))
        }
        if mappings.isEmpty { throw .malformed("\(what) is empty") }
    }

    /// SkipCerts: no path is longer than what a large one says.
    private static func count(
        _ node: ASN1Node, _ identifier: ASN1Identifier, _ what: String
    ) throws(CertificateDefect) -> Int {
        let content = try Reading.primitive(node, identifier, what)
        guard let first = content.first, first < 0x80, content.count <= 32 else {
            throw .malformed("\(what) cannot be read")
        }
        return content.reduce(0) { min($0 << 8 | Int($1), 1 << 20) }
    }
}
