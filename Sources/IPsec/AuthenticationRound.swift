package import Cryptography

/// How one end proves who it is: the values of `auth` in a `local` or `remote` section.
package enum AuthenticationMethod: Hashable, Sendable {
    /// RFC 2409 §5.4, RFC 7296 §2.15.
    case preSharedKey
    /// XAUTH: a user's name and password, once phase 1 has authenticated the other end
    /// (draft-beaulieu-ike-xauth-02). The round's identity is the user's.
    case extendedAuthentication
    /// EAP, once the gateway has proved itself (RFC 7296 §2.16). Version 2 only.
    case extensible(UserMethod)
    /// A signature (RFC 2409 §5.1) with a key that the constraint admits.
    case publicKey(KeyConstraint)
    /// Nonces encrypted to the peer's public key (RFC 2409 §5.2). Version 1 only.
    case publicKeyEncryption
    /// The revised mode of the same (RFC 2409 §5.3). Version 1 only.
    case revisedPublicKeyEncryption
    /// Nothing: the end stays anonymous, and only shows that it has the keys of this IKE SA (RFC 7619). Version 2 only.
    case null

    /// Whether a key pair proves who the end is.
    package var usesPublicKeys: Bool {
        switch self {
        case .preSharedKey, .extendedAuthentication, .extensible, .null: false
        case .publicKey, .publicKeyEncryption, .revisedPublicKeyEncryption: true
        }
    }

    /// What is wanted of the key pair, where signatures prove the end.
    package var keyConstraint: KeyConstraint? {
        if case .publicKey(let constraint) = self { constraint } else { nil }
    }

    /// The EAP method, if it is one.
    package var userMethod: UserMethod? {
        if case .extensible(let method) = self { method } else { nil }
    }

    /// Whether a key of the kind can prove who the end is.
    package func admits(_ kind: KeyKind) -> Bool {
        switch (self, kind) {
        case (.publicKey(let constraint), _): constraint.admits(kind)
        case (.publicKeyEncryption, .rsa), (.revisedPublicKeyEncryption, .rsa): true
        default: false
        }
    }
}

/// One authentication of one end: a `local…` or `remote…` section of a connection. A connection has a list of them for
/// each end, in the order in which they are done.
package struct AuthenticationRound: Hashable, Sendable {
    package var method: AuthenticationMethod
    /// Of our own end one identity, or ``IdentityPattern/any`` for the local address; of the peer's what we accept.
    package var identity: IdentityPattern
    /// Files that hold public keys, as the configuration names them: of our own end to say with which of our keys it
    /// signs, of the peer's what proves it.
    package var publicKeyFiles: [String] = []
    /// The keys of these files, and for our own end without such, every key that we have the private half of.
    package var publicKeys: [PublicKey] = []

    package var certificates = CertificateConstraints()

    /// Of our own user's round that stands alone (Hybrid): what we call ourselves in phase 1, where nothing proves it;
    /// `nil`: the local address.
    package var hostIdentity: Identity?

    /// With EAP: of our own end the user, of the peer's those that are accepted, which are then asked who they are; `nil`: the user
    /// is who the end is.
    package var userIdentity: IdentityPattern?

    /// With EAP that runs TLS, of our own end: whom the certificate of TLS's server must name (`aaa_id`); `nil`: the gateway.
    package var serverIdentity: Identity?

    /// Of the peer's, with PEAP: its user's method inside is to be bound to TLS (`peap_binding`).
    package var asksBinding = false

    /// Of Extended Authentication: an authentication server knows the users' passwords.
    package var asksServer = false

    /// Of the peer's user: it must be in one of these, as the authentication server says; empty: whoever it is.
    package var groups: [String] = []

    /// Whether a user that is in `groups` may come in.
    package func admits(groups: [String]) -> Bool {
        self.groups.isEmpty || groups.contains(where: self.groups.contains)
    }

    package init(_ method: AuthenticationMethod = .preSharedKey, identity: IdentityPattern = .any) {
        self.method = method
        self.identity = identity
    }

    /// Those of the keys that the method admits.
    package var admittedKeys: [PublicKey] { publicKeys.filter { method.admits($0.kind) } }

    /// Our own user.
    package var exactUser: Identity? {
        if case .exactly(let user)? = userIdentity { return user }
        return nil
    }

    /// Lets distinguished names that are asked of a peer, of its user, and of an authority behind it, fit by `matching`.
    package mutating func matchNames(_ matching: DistinguishedName.Matching) {
        identity = identity.matching(matching)
        userIdentity = userIdentity?.matching(matching)
        certificates.authorityIdentity = certificates.authorityIdentity?.matching(matching)
    }

    /// The one identity that the round names, if it does.
    package var exactIdentity: Identity? { identity.identity }
}

extension Connection {
    // A user's round is the first where it is the only one, since it comes after all others (Hybrid).

    /// The identity that we claim in our first round; `nil`: the local address.
    package var localIdentity: Identity? {
        get { localMethod == .extendedAuthentication ? local.first?.hostIdentity : local.first?.exactIdentity }
        set { local[0].identity = newValue.map { .exactly($0) } ?? .any }
    }

    /// What we accept as the peer's identity in its first round: whatever it calls itself where only its user proves
    /// anything.
    package var remoteIdentity: IdentityPattern {
        get { remoteMethod == .extendedAuthentication ? .any : remote.first?.identity ?? .any }
        set { remote[0].identity = newValue }
    }

    /// How the ends prove themselves first.
    package var localMethod: AuthenticationMethod { local.first?.method ?? .preSharedKey }
    package var remoteMethod: AuthenticationMethod { remote.first?.method ?? .preSharedKey }
}
