import Cryptography
import IKEv2
import IPsec
import Primitives

/// The secrets behind IKEv2's stateless cookies (RFC 7296 §2.6): one in use and the one before it, so that a cookie
/// outlives a change of secret by one period.
struct CookieSecrets: Sendable {
    private var current: Secret
    private var previous: Secret
    private var changed: Instant

    /// How long a secret is in use.
    static let period = Duration.seconds(120)

    init(now: Instant, _ randomness: inout Randomness) {
        current = Secret(randomness.octets(32))
        previous = Secret(randomness.octets(32))
        changed = now
    }

    mutating func rotate(now: Instant, _ randomness: inout Randomness) {
        guard now - changed >= CookieSecrets.period else { return }
        previous = current
        current = Secret(randomness.octets(32))
        changed = now
    }

    /// The answer that asks for a cookie; `nil` where the message is no IKE_SA_INIT request with a nonce.
    func challenge(_ datagram: Datagram, difficulty: UInt8? = nil) -> Datagram? {
        StatelessCookie.challenge(datagram, secret: current, difficulty: difficulty)
    }

    /// What the message shows by a cookie that was made here for it.
    func shown(by datagram: Datagram) -> StatelessCookie.Shown {
        let shown = StatelessCookie.verify(datagram, secret: current)
        return shown == .nothing ? StatelessCookie.verify(datagram, secret: previous) : shown
    }
}
