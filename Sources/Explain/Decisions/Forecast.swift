package import IPsec
import Primitives

/// What would become of a peer's attempt, told from the configuration alone: nothing is sent.
package struct Forecast: Hashable, Sendable {
    package var approach: Approach
    package var candidates: [Candidate]
    /// The connection that would serve the peer.
    package var chosen: String?
    /// The section of the secret that would be used.
    package var secret: String?
    package var remedies: [Remedy]
    private var details: [String]

    /// - Parameter secretName: the section of the secret for two identities, ours first.
    package init(_ approach: Approach, policies: PolicyDatabase, secretName: (Identity, Identity) -> String?) {
        self.approach = approach
        candidates = approach.judge(policies)
        chosen = candidates.first { $0.lostBy == nil }?.connection
        let connection = chosen.flatMap { policies.connection($0) }
        let own = connection?.localIdentity ?? Identity(approach.local)
        let peer = approach.identity ?? Identity(approach.remote)
        secret = connection.flatMap { _ in secretName(own, peer) }
        details = connection.map { Forecast.details($0, approach) } ?? []
        remedies = []
        if chosen == nil {
            // Whoever lost latest came closest.
            let order = ["version", "local_addrs", "remote_addrs", "aggressive", "proposals", "remote.id"]
            func rank(_ candidate: Candidate) -> Int { order.firstIndex(of: candidate.lostBy ?? "") ?? -1 }
            for candidate in candidates.sorted(by: { rank($0) > rank($1) }).prefix(3) {
                let key = "connections.\(candidate.connection).\(candidate.lostBy ?? "")"
                remedies.append(Remedy(.here, key, current: candidate.wanted, wanted: candidate.seen))
            }
        } else if secret == nil {
            remedies.append(Remedy(.here, "secrets.ike-NAME.id", wanted: "\(peer), with the secret for \(own) and it"))
        }
    }

    private static func details(_ connection: Connection, _ approach: Approach) -> [String] {
        func texts(_ values: [some CustomStringConvertible]) -> String {
            values.map(\.description).joined(separator: ", ")
        }
        var lines = ["accepts for the IKE SA: \(texts(connection.proposals))"]
        for child in connection.children {
            let local = child.localSelectors.map { $0.resolved(approach.local) }
            let remote = child.remoteSelectors.map { $0.resolved(approach.remote) }
            lines.append("child \(child.name): \(texts(local)) === \(texts(remote)), accepts \(texts(child.proposals))")
        }
        return lines
    }

    package var isAccepted: Bool { chosen != nil && secret != nil }

    /// The forecast as a person reads it.
    package var lines: [String] {
        let who = approach.identity.map { " that says it is \($0)" } ?? ""
        var lines = ["a peer at \(approach.remote)\(who), in IKEv\(approach.version), to \(approach.local):"]
        if let chosen {
            lines.append("  is served by connection \(chosen)")
            lines += details.map { "    \($0)" }
            lines.append(
                secret.map { "  authenticates with secrets.\($0)" } ?? "  has no secret here: AUTHENTICATION_FAILED")
        } else {
            lines.append("  is refused: no connection fits")
        }
        if !candidates.isEmpty { lines += ["  connections considered:"] + candidates.map { "    \($0.line)" } }
        if !remedies.isEmpty { lines += ["  what would help:"] + remedies.map { "    \($0.line)" } }
        return lines
    }
}
