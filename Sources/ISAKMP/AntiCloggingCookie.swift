package import Primitives

/// The anti-clogging token ("cookie") of RFC 2408 §2.5.3, made so that its maker can recognise it without having kept
/// anything:
///
///     CKY-R = note | MAC(secret, period | note | initiator cookie | own end | peer's end | binding)
///
/// One octet of note, which the maker chooses and reads again, and seven octets of MAC. The requirements of §2.5.3 are
/// met like this: the cookie depends on the addresses and ports of the parties (1); only who has the secret makes or
/// recognises it, for the MAC is a keyed one that is handed in (2) — this target knows no cipher; it costs one MAC (3);
/// and time is part of it, as the number of the period that `now` lies in, so that it expires.
///
/// What an exchange can do with it (RFC 2408 §4.4 to §4.7) depends on what message 2 needs:
///
/// - *Base*, *Identity Protection*: message 2 is a choice among offers, and in Base a nonce. Both follow from message 1,
///   the policy and the secret, so a responder can say message 2 and keep nothing, if message 3 brings message 1 along:
///   bind the cookie to message 1's octets and compare. RFC 2408's message 3 does not repeat them; where the initiator
///   does not do it of its own will, a small bounded record per exchange is the least that a responder can keep.
/// - *Aggressive*, *Authentication Only*: message 2 proves the responder's identity over message 1, and costs a
///   Diffie-Hellman value or a signature. It cannot be said without that work, so only bounds on the state help.
package struct AntiCloggingCookie: Sendable {
    /// A keyed MAC of 7 octets or more over what it is given. Its key must be the node's own and secret.
    package typealias Maker = @Sendable (_ octets: [UInt8]) -> [UInt8]

    /// Who the cookie is for. Both ends' UDP addresses as the responder sees them.
    package struct Parties: Hashable, Sendable {
        package var own: Endpoint
        package var peer: Endpoint

        package init(own: Endpoint, peer: Endpoint) {
            self.own = own
            self.peer = peer
        }
    }

    /// How long a secret period is, where nothing else is said. A cookie lives for one to two of them.
    package static let defaultPeriod = Duration.seconds(60)
    private static let markOctets = 7

    private let maker: Maker
    private let periodNanoseconds: Int64

    /// - Parameter period: positive; shorter ones are taken for one millisecond.
    package init(period: Duration = AntiCloggingCookie.defaultPeriod, maker: @escaping Maker) {
        self.maker = maker
        periodNanoseconds = max(period.wholeNanoseconds, 1_000_000)
    }

    /// The cookie for an initiator that has said `binding` (message 1, say) under its cookie. The same for the same
    /// arguments within a period, so that a repeated message 1 meets the same answer.
    package func make(
        for parties: Parties, initiator: Cookie, now: Instant, note: UInt8 = 0, binding: [UInt8] = []
    ) -> Cookie {
        cookie(parties, initiator, period: period(now), note: note, binding)
    }

    /// The note in a cookie that was made here for these parties in this period or the one before it; `nil` for every
    /// other cookie. Takes the same time wherever the first wrong octet stands.
    package func note(
        in cookie: Cookie, for parties: Parties, initiator: Cookie, now: Instant, binding: [UInt8] = []
    ) -> UInt8? {
        let note = UInt8(truncatingIfNeeded: cookie.value >> 56)
        let current = period(now)
        // Both are computed always, and compared as whole words.
        let matches = [current, current &- 1].map {
            self.cookie(parties, initiator, period: $0, note: note, binding).value ^ cookie.value
        }
        return matches[0] == 0 || matches[1] == 0 ? note : nil
    }

    /// Octets that only this node can make again from what a peer has said: a nonce, say, for message 2 of a Base
    /// exchange, that need not be kept. At most what the maker yields; apart from every cookie by its label.
    package func octets(
        _ count: Int, for parties: Parties, initiator: Cookie, responder: Cookie, binding: [UInt8]
    ) -> [UInt8] {
        var octets = AntiCloggingCookie.context(parties, initiator)
        octets.append(bigEndian: responder.value)
        return Array(maker([0x4E] + octets + binding).prefix(count))
    }

    private func period(_ now: Instant) -> Int64 { now.nanoseconds / periodNanoseconds }

    private static func context(_ parties: Parties, _ initiator: Cookie) -> [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: initiator.value)
        for end in [parties.own, parties.peer] {
            // The family's octet keeps addresses of different lengths apart.
            octets.append(end.address.family.rawValue)
            octets += end.address.octets
            octets.append(bigEndian: end.port)
        }
        return octets
    }

    private func cookie(
        _ parties: Parties, _ initiator: Cookie, period: Int64, note: UInt8, _ binding: [UInt8]
    ) -> Cookie {
        var octets: [UInt8] = [0x43]
        octets.append(bigEndian: UInt64(bitPattern: period))
        octets.append(note)
        octets += AntiCloggingCookie.context(parties, initiator) + binding
        let mark = maker(octets).prefix(AntiCloggingCookie.markOctets)
        precondition(mark.count == AntiCloggingCookie.markOctets, "a maker yields seven octets or more")
        let value = mark.reduce(UInt64(note)) { $0 << 8 | UInt64($1) }
        // A cookie of zero means "none yet" (RFC 2408 §3.1).
        return Cookie(value == 0 ? 1 : value)
    }
}
