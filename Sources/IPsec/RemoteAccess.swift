extension Connection {
    /// The round in which our user authenticates by name and password (XAUTH).
    package var localExtendedRound: AuthenticationRound? { local.first { $0.method == .extendedAuthentication } }

    /// The round in which the peer's user does.
    package var remoteExtendedRound: AuthenticationRound? { remote.first { $0.method == .extendedAuthentication } }

    /// Whether one end signs and the other has nothing but a user that authenticates afterwards
    /// (draft-ietf-ipsec-isakmp-hybrid-auth-05).
    package var isHybrid: Bool {
        func signs(_ rounds: [AuthenticationRound]) -> Bool {
            guard case .publicKey? = rounds.first?.method else { return false }
            return rounds.count == 1
        }
        func isUser(_ rounds: [AuthenticationRound]) -> Bool { rounds.map(\.method) == [.extendedAuthentication] }
        return (signs(local) && isUser(remote)) || (isUser(local) && signs(remote))
    }

    /// Version 1: whether something passes between phase 1 and phase 2.
    package var usesTransactions: Bool {
        localExtendedRound != nil || remoteExtendedRound != nil || !virtualAddresses.isEmpty || !pools.isEmpty
    }
}
