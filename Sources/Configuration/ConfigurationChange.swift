/// One difference between two configurations, by the names that `swanctl.conf` has for things. Secrets are told apart by
/// their identities and by whether they are the same, never shown.
package struct ConfigurationChange: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable {
        case added, removed, changed
    }

    package var kind: Kind
    /// Dotted: `connections.home.children.net.esp_proposals`.
    package var path: String
    /// Before and after, for single keys.
    package var before: String?
    package var after: String?

    /// The connection that is touched; `nil` for secrets and settings.
    package var connection: String? { part(0) == "connections" ? part(1) : nil }
    /// The child that is touched, where a child alone is.
    package var child: String? { part(0) == "connections" && part(2) == "children" ? part(3) : nil }
    /// The key's own name.
    package var key: String { steps.last ?? path }

    /// The path by steps: names may hold dots.
    private var steps: [String]
    private func part(_ index: Int) -> String? { steps.indices.contains(index) ? steps[index] : nil }

    private init(_ kind: Kind, _ steps: [String], before: String? = nil, after: String? = nil) {
        self.kind = kind
        self.steps = steps
        self.before = before
        self.after = after
        path = steps.joined(separator: ".")
    }

    /// What turns `old` into `new`, in the order of `new`; what is only in `old` comes last within its section. A section
    /// that comes or goes whole is one change.
    package static func between(_ old: Configuration, _ new: Configuration) -> [ConfigurationChange] {
        var changes: [ConfigurationChange] = []
        compare(old.canonicalForm, new.canonicalForm, [], &changes)
        let before = Dictionary(old.secrets.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        for secret in new.secrets {
            guard let other = before[secret.name], !(other.secret == secret.secret) else { continue }
            changes.append(ConfigurationChange(.changed, ["secrets", secret.name, "secret"]))
        }
        return changes
    }

    private static func compare(
        _ old: CanonicalNode, _ new: CanonicalNode, _ steps: [String], _ changes: inout [ConfigurationChange]
    ) {
        guard case .section(let before) = old, case .section(let after) = new else {
            if old != new {
                changes.append(ConfigurationChange(.changed, steps, before: text(old), after: text(new)))
            }
            return
        }
        let earlier = Dictionary(before.map { ($0.name, $0.node) }, uniquingKeysWith: { first, _ in first })
        let later = Set(after.map(\.name))
        for entry in after {
            if let node = earlier[entry.name] {
                compare(node, entry.node, steps + [entry.name], &changes)
            } else {
                changes.append(ConfigurationChange(.added, steps + [entry.name], after: text(entry.node)))
            }
        }
        for entry in before where !later.contains(entry.name) {
            changes.append(ConfigurationChange(.removed, steps + [entry.name], before: text(entry.node)))
        }
    }

    private static func text(_ node: CanonicalNode) -> String? {
        switch node {
        case .text(let text): text
        case .list(let items): items.joined(separator: ", ")
        case .section: nil
        }
    }
}

extension ConfigurationChange: CustomStringConvertible {
    /// `~ connections.home.proposals: aes128… -> aes256…`, with `+` for what comes and `-` for what goes.
    package var description: String {
        switch (kind, before, after) {
        case (.added, _, let after?): "+ \(path) = \(after)"
        case (.added, _, nil): "+ \(path)"
        case (.removed, let before?, _): "- \(path) = \(before)"
        case (.removed, nil, _): "- \(path)"
        case (.changed, let before?, let after?): "~ \(path): \(before) -> \(after)"
        case (.changed, _, _): "~ \(path)"
        }
    }
}
