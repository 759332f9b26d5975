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

/// Which policies a path is good for (RFC 5280 §6.1.2 to §6.1.5), where the user would take any. Of the tree of policies only its
/// lowest level is kept, each policy once: a branch that does not reach it is pruned, and so says nothing any more (RFC 9618).
struct PolicyProcessing {
    /// A policy of the last certificate, and what the next one may call it.
    private var level: [String: Set<String>]? = [CertificateExtensions.anyPolicy: [CertificateExtensions.anyPolicy]]
    private var explicit: Int
    private var mapping: Int
    private var any: Int

    private init(count: Int) { (explicit, mapping, any) = (count + 1, count + 1, count + 1) }

    /// The place in `path`, which ends with what is trusted, of the first certificate below that the policies fail at; `nil`:
    /// they hold.
    static func failure(in path: [Certificate]) -> Int? {
        let below = path.dropLast()
        var state = PolicyProcessing(count: below.count)
        for index in below.indices.reversed() {
            let certificate = path[index]
            state.take(certificate.extensions.policies, mayBeAny: index > 0 && certificate.isSelfIssued)
            if state.isFailed { return index }
            if index > 0 {
                guard state.prepare(certificate) else { return index }
            } else {
                if state.explicit > 0 { state.explicit -= 1 }
                if certificate.extensions.policyRules.requiresPolicyAfter == 0 { state.explicit = 0 }
                if state.isFailed { return index }
            }
        }
        return nil
    }

    private var isFailed: Bool { explicit == 0 && level == nil }

    /// §6.1.3 (d) and (e).
    private mutating func take(_ policies: Set<String>, mayBeAny: Bool) {
        guard let before = level, !policies.isEmpty else {
            level = nil
            return
        }
        let anyPolicy = CertificateExtensions.anyPolicy
        var next: [String: Set<String>] = [:]
        for policy in policies where policy != anyPolicy {
            if before[anyPolicy] != nil || before.values.contains(where: { $0.contains(policy) }) {
                next[policy] = [policy]
            }
        }
        if policies.contains(anyPolicy), any > 0 || mayBeAny {
            for expected in before.values.joined() where next[expected] == nil { next[expected] = [expected] }
        }
        level = next.isEmpty ? nil : next
    }

    /// §6.1.4: what a certificate of an authority says about those after it. False where it maps what it may not.
    private mutating func prepare(_ certificate: Certificate) -> Bool {
        let rules = certificate.extensions.policyRules
        let anyPolicy = CertificateExtensions.anyPolicy
        var mapped: [String: Set<String>] = [:]
        for pair in rules.mappings {
            if pair.issuer == anyPolicy || pair.subject == anyPolicy { return false }
            mapped[pair.issuer, default: []].insert(pair.subject)
        }
        for (policy, subjects) in mapped {
            if mapping == 0 {
                level?[policy] = nil
            } else if level?[policy] != nil || level?[anyPolicy] != nil {
                level?[policy] = subjects
            }
        }
        if level?.isEmpty == true { level = nil }
        if !certificate.isSelfIssued {
            if explicit > 0 { explicit -= 1 }
            if mapping > 0 { mapping -= 1 }
            if any > 0 { any -= 1 }
        }
        explicit = min(explicit, rules.requiresPolicyAfter ?? .max)
        mapping = min(mapping, rules.forbidsMappingAfter ?? .max)
        any = min(any, rules.forbidsAnyPolicyAfter ?? .max)
        return true
    }
}
