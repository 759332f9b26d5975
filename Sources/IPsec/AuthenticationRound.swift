/// How one end proves who it is: the values of `auth` in a `local` or `remote` section.
package enum AuthenticationMethod: Hashable, Sendable {
    /// RFC 2409 §5.4, RFC 7296 §2.15.
    case preSharedKey
    /// XAUTH: a user's name and password, once phase 1 has authenticated the other end
    /// (draft-beaulieu-ike-xauth-02). The round's identity is the user's.
    case extendedAuthentication
}

/// One authentication of one end: a `local…` or `remote…` section of a connection. A connection has a list of them for
/// each end, in the order in which they are done.
package struct AuthenticationRound: Hashable, Sendable {
    package var method: AuthenticationMethod
    /// Of our own end one identity, or ``IdentityPattern/any`` for the local address; of the peer's what we accept.
    package var identity: IdentityPattern

    package init(_ method: AuthenticationMethod = .preSharedKey, identity: IdentityPattern = .any) {
        self.method = method
        self.identity = identity
    }

    /// The one identity that the round names, if it does.
    package var exactIdentity: Identity? {
        if case .exactly(let identity) = identity { return identity }
        return nil
    }
}

extension Connection {
    /// The identity that we claim in our first round; `nil`: the local address.
    package var localIdentity: Identity? {
        get { local.first?.exactIdentity }
        set { local[0].identity = newValue.map { .exactly($0) } ?? .any }
    }

    /// What we accept as the peer's identity in its first round.
    package var remoteIdentity: IdentityPattern {
        get { remote.first?.identity ?? .any }
        set { remote[0].identity = newValue }
    }

    /// How the ends prove themselves first.
    package var localMethod: AuthenticationMethod { local.first?.method ?? .preSharedKey }
    package var remoteMethod: AuthenticationMethod { remote.first?.method ?? .preSharedKey }
}
