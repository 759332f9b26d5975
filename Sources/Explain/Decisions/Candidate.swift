import Configuration
package import IPsec
package import Primitives

/// A connection that was considered for a peer, and the first of its keys that did not fit; none where it was chosen or is
/// still in the running.
package struct Candidate: Hashable, Sendable {
    package var connection: String
    /// The key that lost, relative to the connection: `remote_addrs`, `remote.id`.
    package var lostBy: String?
    /// What the key says, and what came.
    package var wanted: String
    package var seen: String

    init(_ connection: String, lostBy: String? = nil, wanted: String = "", seen: String = "") {
        self.connection = connection
        self.lostBy = lostBy
        self.wanted = wanted
        self.seen = seen
    }
}

/// What a peer's attempt is judged by.
package struct Approach: Hashable, Sendable {
    package var local: IPAddress
    package var remote: IPAddress
    /// 1 or 2.
    package var version: UInt8
    /// As far as it is known.
    package var identity: Identity?
    /// Version 1: Aggressive Mode.
    package var isAggressive: Bool?
    package var offered: [Proposal]?

    package init(
        local: IPAddress, remote: IPAddress, version: UInt8, identity: Identity? = nil, isAggressive: Bool? = nil,
        offered: [Proposal]? = nil
    ) {
        self.local = local
        self.remote = remote
        self.version = version
        self.identity = identity
        self.isAggressive = isAggressive
        self.offered = offered
    }

    /// Every connection with the key that it lost by, in the order in which they are asked: those that fit first, the
    /// closest of them at the head, then those that came furthest.
    package func judge(_ policies: PolicyDatabase) -> [Candidate] {
        let version: IKEVersion = version == 1 ? .v1 : .v2
        let fitting = policies.candidates(local: local, remote: remote, version: version)
        let names = Set(fitting.map(\.name))
        let considered = fitting.map { furtherLoss(of: $0) }
        let rest = policies.connections.filter { !names.contains($0.name) }.map(earlyLoss)
        return considered.filter { $0.lostBy == nil } + considered.filter { $0.lostBy != nil } + rest
    }

    /// What a connection that fits by version and addresses may still lose by.
    private func furtherLoss(of connection: Connection) -> Candidate {
        if let isAggressive, version == 1, connection.isAggressive != isAggressive {
            return Candidate(
                connection.name, lostBy: "aggressive", wanted: connection.isAggressive ? "yes" : "no",
                seen: isAggressive ? "Aggressive Mode" : "Main Mode")
        }
        if let offered, case .failure = Proposal.select(configured: connection.proposals, offered: offered) {
            return Candidate(
                connection.name, lostBy: "proposals",
                wanted: connection.proposals.map(\.description).joined(separator: ", "),
                seen: offered.map(\.description).joined(separator: ", "))
        }
        if let identity, !connection.remoteIdentity.matches(identity) {
            return Candidate(
                connection.name, lostBy: "remote.id", wanted: "\(connection.remoteIdentity)", seen: "\(identity)")
        }
        return Candidate(connection.name)
    }

    private func earlyLoss(of connection: Connection) -> Candidate {
        func text(_ patterns: [AddressPattern]) -> String { patterns.map(\.description).joined(separator: ", ") }
        if !connection.remoteAddresses.contains(where: { $0.matches(remote) }) {
            return Candidate(
                connection.name, lostBy: "remote_addrs", wanted: text(connection.remoteAddresses), seen: "\(remote)")
        }
        if !connection.localAddresses.contains(where: { $0.matches(local) }) {
            return Candidate(
                connection.name, lostBy: "local_addrs", wanted: text(connection.localAddresses), seen: "\(local)")
        }
        return Candidate(
            connection.name, lostBy: "version", wanted: "\(connection.version.rawValue)", seen: "\(version)")
    }
}

extension Candidate {
    /// `net: remote.id is 'a.example', the peer is 'b.example'`.
    package var line: String {
        guard let lostBy else { return "\(connection): fits" }
        return "\(connection): lost by \(lostBy): \(wanted) here, \(seen) came"
    }
}
