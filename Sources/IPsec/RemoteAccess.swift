extension Connection {
    /// The round in which our user authenticates by name and password (XAUTH).
    package var localExtendedRound: AuthenticationRound? { local.first { $0.method == .extendedAuthentication } }

    /// The round in which the peer's user does.
    package var remoteExtendedRound: AuthenticationRound? { remote.first { $0.method == .extendedAuthentication } }

    /// Version 1: whether something passes between phase 1 and phase 2.
    package var usesTransactions: Bool {
        localExtendedRound != nil || remoteExtendedRound != nil || !virtualAddresses.isEmpty || !pools.isEmpty
    }
}
