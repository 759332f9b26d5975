package import Cryptography
package import Primitives

/// What a client needs to go on with an IKE SA that is gone (RFC 5723 §4.3.2).
package struct HeldTicket: Sendable {
    /// As the gateway gave it; it alone can read it.
    package var octets: [UInt8]
    package var expires: Instant
    /// The gateway's address.
    package var remote: IPAddress
    package var suite: Suite
    /// SK_d of the IKE SA that the ticket was given in.
    package var derivation: Secret
    package var localIdentity: Identity
    package var remoteIdentity: Identity
    package var localUser: Identity?
    /// The gateway takes SAs without a first child.
    package var takesChildless: Bool

    package init(
        octets: [UInt8], expires: Instant, remote: IPAddress, suite: Suite, derivation: Secret, localIdentity: Identity,
        remoteIdentity: Identity, localUser: Identity?, takesChildless: Bool
    ) {
        self.octets = octets
        self.expires = expires
        self.remote = remote
        self.suite = suite
        self.derivation = derivation
        self.localIdentity = localIdentity
        self.remoteIdentity = remoteIdentity
        self.localUser = localUser
        self.takesChildless = takesChildless
    }
}

/// Tickets of session resumption (RFC 5723): as a client those that we hold, one for a connection; as a gateway the secret
/// that seals those we give, and which of them are used up. No ticket is kept that we gave.
package struct SessionTickets: Sendable {
    /// Tickets that were used or revoked and have not expired yet; with more of them nobody resumes.
    package static let maximumSpent = 65_536

    /// Gateway: what tickets are sealed with. Of a standing secret, tickets outlive a restart.
    package var secret = Secret([])
    /// Seconds of wall time at the origin of ``Instant``: tickets outlive the clock that we count with.
    package var epoch: Int64 = 0
    private var spent: [[UInt8]: Int64] = [:]
    private var held: [String: HeldTicket] = [:]

    package init() {}

    /// Seconds of wall time.
    package func seconds(_ now: Instant) -> Int64 { epoch + now.nanoseconds / 1_000_000_000 }

    // MARK: Gateway

    /// Marks a ticket as used. `false` where it was before, or where no more can be remembered.
    package mutating func spend(_ ticket: [UInt8], expires: Int64, now: Int64) -> Bool {
        guard spent[ticket] == nil else { return false }
        if spent.count >= SessionTickets.maximumSpent { spent = spent.filter { $0.value > now } }
        guard spent.count < SessionTickets.maximumSpent else { return false }
        spent[ticket] = expires
        return true
    }

    // MARK: Client

    package mutating func hold(_ ticket: HeldTicket, for connection: String) { held[connection] = ticket }

    /// The ticket of a connection, which is used up by being taken.
    package mutating func take(_ connection: String, now: Instant) -> HeldTicket? {
        guard let ticket = held.removeValue(forKey: connection), ticket.expires > now else { return nil }
        return ticket
    }

    package mutating func drop(_ connection: String) { held[connection] = nil }
}
