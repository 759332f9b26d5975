// The rounds of IKEv2's IKE_AUTH (RFC 4739), and those of them that EAP alone fills (RFC 5998).

extension Connection {
    /// Our own rounds in version 2, in their order: Extended Authentication is version 1's.
    package var ownRounds: [AuthenticationRound] {
        plain(local, localIdentity.map { .exactly($0) } ?? .any)
    }

    /// The peer's.
    package var peerRounds: [AuthenticationRound] { plain(remote, remoteIdentity) }

    /// At least one, so that nobody comes in without any.
    private func plain(_ rounds: [AuthenticationRound], _ identity: IdentityPattern) -> [AuthenticationRound] {
        let plain = rounds.filter { $0.method != .extendedAuthentication }
        return plain.isEmpty ? [AuthenticationRound(.preSharedKey, identity: identity)] : plain
    }

    /// Whether an end proves itself more than once (RFC 4739).
    package var hasFurtherRounds: Bool { ownRounds.count > 1 || peerRounds.count > 1 }
}

extension AuthenticationMethod {
    /// The value of `auth`.
    package var keyword: String {
        switch self {
        case .preSharedKey: "psk"
        case .null: "null"
        case .extendedAuthentication: "xauth"
        case .extensible(let method): method.rawValue
        case .publicKey(let constraint): constraint.description
        case .publicKeyEncryption: "rsa-encryption"
        case .revisedPublicKeyEncryption: "rsa-encryption-revised"
        }
    }
}

extension AuthenticationRound {
    /// The value of `auth` in full.
    package var keyword: String {
        if asksServer { return "xauth-radius" }
        return method.keyword + (certificates.tunnel.map { ":\($0)" } ?? "")
    }
}

extension UserMethod {
    /// Whether both ends prove themselves by it and a key comes of it that no password can be guessed from, so that it may stand
    /// alone (RFC 5998 §4). MS-CHAP-V2's challenges can be searched for the password, and what a RADIUS server asks for is its own
    /// affair.
    package var isMutual: Bool {
        switch self {
        case .tls, .ttls, .peap: true
        case .any, .md5, .gtc, .mschapv2, .radius: false
        }
    }
}

/// What is wrong with the rounds of an IKE_AUTH.
package struct RoundFault: Hashable, Sendable {
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        /// The peer knows no further rounds: it sends no MULTIPLE_AUTH_SUPPORTED.
        case unaware
        /// The peer has no further round: it sends no ANOTHER_AUTH_FOLLOWS.
        case missing
        /// The peer announces a round that the connection does not have.
        case surplus
        /// EAP alone is to prove our end, and the peer sends no EAP_ONLY_AUTHENTICATION.
        case notAlone
        /// EAP alone is to prove the peer, and its method makes no key, or proves one end only.
        case oneSided
    }

    package var kind: Kind
    /// Whose round: ours, or the peer's.
    package var isOurs: Bool
    /// The first is 1.
    package var number: Int
    /// The value of `auth` that it is configured with; `nil`: the connection has no such round.
    package var method: String?

    package init(_ kind: Kind, isOurs: Bool, number: Int, method: String? = nil) {
        self.kind = kind
        self.isOurs = isOurs
        self.number = number
        self.method = method
    }

    /// The section that stands for the round, such as `remote-2`.
    package var section: String { "\(isOurs ? "local" : "remote")-\(number)" }
}
