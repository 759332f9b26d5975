import IPsec

/// Which policies a path is good for (RFC 5280 §6.1.2 to §6.1.5). Of the tree of policies only its lowest level is kept, each policy
/// once: a branch that does not reach it is pruned, and so says nothing any more (RFC 9618).
struct PolicyProcessing {
    /// A policy of the last certificate.
    private struct Node {
        /// What the next certificate may call it.
        var expected: Set<String>
        /// What it is in the trusted authority's words: policies whose parent in the tree is anyPolicy (§6.1.5 (g)(iii)(1)).
        var origins: Set<String>
    }

    /// What is wrong with the policies of a certificate.
    enum Failure: Hashable {
        /// Somebody wants a policy of the whole path, and there is none.
        case missing
        /// Wanted ones that the path is good for no longer from here on.
        case absent([String])
    }

    private static let anyPolicy = CertificateExtensions.anyPolicy
    private var level: [String: Node]? = [anyPolicy: Node(expected: [anyPolicy], origins: [anyPolicy])]
    private var explicit: Int
    private var mapping: Int
    private var any: Int

    private init(count: Int, _ initial: InitialPolicies) {
        explicit = initial.areExplicit ? 0 : count + 1
        mapping = initial.inhibitsMapping ? 0 : count + 1
        any = initial.inhibitsAnyPolicy ? 0 : count + 1
    }

    /// The place in `path`, which ends with what is trusted, of the first certificate below that the policies fail at; `nil`:
    /// they hold. A path of one certificate, which is trusted as it is, has nothing below it, and is held to `wanted` itself.
    ///
    /// - Parameter wanted: policies that the path must be good for, each of them.
    static func failure(
        in path: [Certificate], initial: InitialPolicies, wanted: [String]
    ) -> (index: Int, failure: Failure)? {
        let below = path.count > 1 ? path.dropLast() : path[...]
        var state = PolicyProcessing(count: below.count, initial)
        for index in below.indices.reversed() {
            let certificate = path[index]
            state.take(certificate.extensions.policies, mayBeAny: index > 0 && certificate.isSelfIssued)
            let absent = wanted.filter { !state.isGood(for: $0) }
            if !absent.isEmpty { return (index, .absent(absent)) }
            if path.count == 1 { return nil }
            if state.isFailed { return (index, .missing) }
            if index > 0 {
                guard state.prepare(certificate) else { return (index, .missing) }
            } else {
                if state.explicit > 0 { state.explicit -= 1 }
                if certificate.extensions.policyRules.requiresPolicyAfter == 0 { state.explicit = 0 }
                if state.explicit == 0, !state.isGood(for: initial.acceptable) { return (index, .missing) }
            }
        }
        return nil
    }

    private var isFailed: Bool { explicit == 0 && level == nil }

    private func isGood(for policy: String) -> Bool {
        guard let level else { return false }
        return level[PolicyProcessing.anyPolicy] != nil || level.values.contains { $0.origins.contains(policy) }
    }

    /// §6.1.5 (g).
    private func isGood(for acceptable: Set<String>?) -> Bool {
        guard let acceptable, !acceptable.contains(PolicyProcessing.anyPolicy) else { return level != nil }
        return acceptable.contains { isGood(for: $0) }
    }

    /// §6.1.3 (d) and (e).
    private mutating func take(_ policies: Set<String>, mayBeAny: Bool) {
        guard let before = level, !policies.isEmpty else {
            level = nil
            return
        }
        let anyPolicy = PolicyProcessing.anyPolicy
        var next: [String: Node] = [:]
        for policy in policies where policy != anyPolicy {
            let parents = before.values.filter { $0.expected.contains(policy) }
            if !parents.isEmpty {
                let origins = parents.reduce(into: Set()) { $0.formUnion($1.origins) }
                next[policy] = Node(expected: [policy], origins: origins)
            } else if before[anyPolicy] != nil {
                next[policy] = Node(expected: [policy], origins: [policy])
            }
        }
        if policies.contains(anyPolicy), any > 0 || mayBeAny {
            for parent in before.values {
                for expected in parent.expected where !policies.contains(expected) || expected == anyPolicy {
                    next[expected, default: Node(expected: [expected], origins: [])].origins.formUnion(parent.origins)
                }
            }
        }
        level = next.isEmpty ? nil : next
    }

    /// §6.1.4: what a certificate of an authority says about those after it. False where it maps what it may not.
    private mutating func prepare(_ certificate: Certificate) -> Bool {
        let rules = certificate.extensions.policyRules
        let anyPolicy = PolicyProcessing.anyPolicy
        var mapped: [String: Set<String>] = [:]
        for pair in rules.mappings {
            if pair.issuer == anyPolicy || pair.subject == anyPolicy { return false }
            mapped[pair.issuer, default: []].insert(pair.subject)
        }
        for (policy, subjects) in mapped {
            if mapping == 0 {
                level?[policy] = nil
            } else if level?[policy] != nil {
                level?[policy]?.expected = subjects
            } else if level?[anyPolicy] != nil {
                level?[policy] = Node(expected: subjects, origins: [policy])
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
