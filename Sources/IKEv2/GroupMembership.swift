import IPsec
import Primitives

/// Connections that are for members of groups alone: an authentication server says of which groups a user is.
extension IKESession {
    /// The user is known: whether the connection is for it. Where it is not, another one takes over that asks the same of the
    /// peer up to here and is for one of the user's groups, or for everybody.
    ///
    /// - Returns: why nobody lets the user in.
    mutating func admit(_ user: Identity, _ context: inout Context) -> Fault? {
        guard let connection, let round = peerRound, let identity = rounds.peerIdentity else { return nil }
        let groups = grant?.groups ?? []
        if round.admits(groups: groups) { return nil }
        let others = context.environment.policies.candidates(
            local: local.address, remote: remote.address, version: .v2, identity: identity
        ).filter { $0.asksTheSame(as: connection, beyond: rounds.peer) }
        guard
            let other = others.first(where: {
                $0.peerRounds.dropFirst(rounds.peer).first?.admits(groups: groups) == true
            })
        else {
            let wanted = others.flatMap { $0.peerRounds.dropFirst(rounds.peer).first?.groups ?? [] }
            var seen: Set<String> = []
            return .groups(user: user, wanted: wanted.filter { seen.insert($0).inserted }, has: groups)
        }
        context.note("'\(user)' is in none of the groups of \(connection.name): \(other.name) is for it")
        self.connection = other
        return nil
    }
}

extension Connection {
    /// Whether a peer that has come as far as its user would have come as far with the other connection: the rounds of both ends
    /// and the proposals are equal, but for the groups of the round `current` and those after it.
    fileprivate func asksTheSame(as other: Connection, beyond current: Int) -> Bool {
        func rounds(_ connection: Connection) -> [AuthenticationRound] {
            connection.peerRounds.enumerated().map { index, round in
                var round = round
                if index >= current { round.groups = [] }
                return round
            }
        }
        return local == other.local && rounds(self) == rounds(other) && proposals == other.proposals
    }
}
