package import Cryptography

/// What a method of EAP that runs TLS wants of the one who holds the keys (RFC 5216, RFC 5281, PEAP): each IKE SA's own TLS
/// connection goes on by this. The connection, the private key and the judgement over certificates stay there.
package struct TunnelRequest: Sendable {
    package enum Input: Sendable {
        /// Begins anew; a server waits for the client's first records, a client makes them.
        case open
        /// TLS records of the other end.
        case records([UInt8])
        /// What to say inside.
        case plaintext(Secret)
    }

    /// Whose the connection is: there is one at most for a session.
    package var session: SessionID
    package var method: UserMethod
    package var isServer: Bool
    /// Our own round, with what it proves itself by, and the name that its certificate is to have.
    package var own: AuthenticationRound
    package var ownIdentity: Identity
    /// What is wanted of the other end's certificate.
    package var peer: CertificateConstraints
    /// Whom that certificate must name; `nil`: whoever it names is told.
    package var peerIdentity: Identity?
    package var input: Input

    package init(
        session: SessionID, method: UserMethod, isServer: Bool, own: AuthenticationRound,
        ownIdentity: Identity,
        peer: CertificateConstraints, peerIdentity: Identity?, input: Input
    ) {
        self.session = session
        self.method = method
        self.isServer = isServer
        self.own = own
        self.ownIdentity = ownIdentity
        self.peer = peer
        self.peerIdentity = peerIdentity
        self.input = input
    }
}

/// What came of a ``TunnelRequest``.
package struct TunnelProgress: Sendable {
    /// TLS records for the other end: an alert where there is a fault.
    package var records: [UInt8]
    /// What the other end said inside; empty: nothing yet.
    package var plaintext: Secret
    /// The handshake is over.
    package var facts: TunnelFacts?
    /// The connection is over.
    package var fault: TunnelFault?

    package init(
        records: [UInt8] = [], plaintext: Secret = Secret([]), facts: TunnelFacts? = nil,
        fault: TunnelFault? = nil
    ) {
        self.records = records
        self.plaintext = plaintext
        self.facts = facts
        self.fault = fault
    }
}

/// What a TLS handshake came to.
package struct TunnelFacts: Sendable {
    /// TLS 1.3, whose methods end in another way (RFC 9190 §2.1.1).
    package var isVersion13: Bool
    /// The names that the other end's certificate proves; empty where it was not asked for one.
    package var peerNames: [Identity]
    /// What the checks over that certificate found.
    package var report: ChainReport?
    /// MSK and EMSK, 64 octets each (RFC 5216 §2.3, RFC 5281 §8, RFC 9190 §2.3, RFC 9427 §2.1).
    package var keys: Secret
    /// Of EAP-TTLS: a challenge that both ends know and neither chose (RFC 5281 §11.1): 16 octets and an identifier.
    package var challenge: Secret

    package init(
        isVersion13: Bool, peerNames: [Identity] = [], report: ChainReport? = nil, keys: Secret,
        challenge: Secret = Secret([])
    ) {
        self.isVersion13 = isVersion13
        self.peerNames = peerNames
        self.report = report
        self.keys = keys
        self.challenge = challenge
    }
}

/// Why a TLS connection is over.
package enum TunnelFault: Hashable, Sendable {
    /// We have no key with a certificate to prove ourselves with.
    case noCertificate
    /// The other end's certificate is none to rely on.
    case distrusted(ChainReport)
    /// The other end broke it off: the alert's name.
    case refused(alert: String)
    case broken(String)

    /// In words for the log.
    package var text: String {
        switch self {
        case .noCertificate: "there is no key with a certificate of our own for TLS"
        case .distrusted: "the peer's certificate in TLS is none to rely on"
        case .refused(let alert): "the peer breaks TLS off: \(alert)"
        case .broken(let text): "TLS fails: \(text)"
        }
    }
}
