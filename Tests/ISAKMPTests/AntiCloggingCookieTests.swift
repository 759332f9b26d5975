import ISAKMP
import Primitives
import Testing

/// RFC 2408 §2.5.3. The MAC here is only a mixing of octets: what is tested is what goes into it.
@Suite struct AntiCloggingCookieTests {
    private static func maker(_ secret: UInt64) -> AntiCloggingCookie.Maker {
        { octets in
            var word = SeededGenerator(seed: octets.reduce(secret) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
            var result: [UInt8] = []
            for _ in 0..<4 { result.append(bigEndian: word.next()) }
            return result
        }
    }

    private let cookies = AntiCloggingCookie(period: .seconds(10), maker: Self.maker(1))
    private let parties = AntiCloggingCookie.Parties(
        own: Endpoint(IPAddress(v4: 0x0A00_0001), port: 500), peer: Endpoint(IPAddress(v4: 0x0A00_0002), port: 500))
    private let initiator = Cookie(0x1122_3344_5566_7788)
    private func second(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func itsMakerKnowsItAgainForOneToTwoPeriods() {
        let made = cookies.make(for: parties, initiator: initiator, now: second(12), note: 0xA5, binding: [1, 2])
        for moment in [12, 19, 20, 29] as [Int64] {
            #expect(
                cookies.note(in: made, for: parties, initiator: initiator, now: second(moment), binding: [1, 2]) == 0xA5
            )
        }
        for moment in [0, 9, 30, 1000] as [Int64] {
            #expect(
                cookies.note(in: made, for: parties, initiator: initiator, now: second(moment), binding: [1, 2]) == nil)
        }
        #expect(made == cookies.make(for: parties, initiator: initiator, now: second(18), note: 0xA5, binding: [1, 2]))
        #expect(!made.isZero && made.value >> 56 == 0xA5)
    }

    @Test func everythingThatNamesTheExchangeIsInIt() {
        let made = cookies.make(for: parties, initiator: initiator, now: second(0), binding: [1])
        func isKnown(
            _ cookie: Cookie, _ parties: AntiCloggingCookie.Parties, _ initiator: Cookie, _ binding: [UInt8]
        ) -> Bool {
            cookies.note(in: cookie, for: parties, initiator: initiator, now: second(0), binding: binding) != nil
        }
        #expect(isKnown(made, parties, initiator, [1]))
        #expect(!isKnown(made, parties, initiator, [2]))
        #expect(!isKnown(made, parties, initiator, []))
        #expect(!isKnown(made, parties, Cookie(initiator.value ^ 1), [1]))
        for change in 0..<5 {
            var other = parties
            switch change {
            case 0: other.peer.port = 501
            case 1: other.own.port = 4500
            case 2: other.peer.address = IPAddress(v4: 0x0A00_0003)
            case 3: other.peer.address = IPAddress(v6: 0x0A00_0002)
            default: (other.own, other.peer) = (other.peer, other.own)
            }
            #expect(!isKnown(made, other, initiator, [1]), "change \(change)")
        }
        for bit in 0..<64 { #expect(!isKnown(Cookie(made.value ^ 1 << UInt64(bit)), parties, initiator, [1])) }
    }

    @Test func anotherSecretKnowsItNot() {
        let other = AntiCloggingCookie(period: .seconds(10), maker: Self.maker(2))
        let made = cookies.make(for: parties, initiator: initiator, now: second(0))
        #expect(other.note(in: made, for: parties, initiator: initiator, now: second(0)) == nil)
    }

    @Test func noCookieIsZero() {
        let zero = AntiCloggingCookie { _ in [UInt8](repeating: 0, count: 8) }
        let made = zero.make(for: parties, initiator: initiator, now: second(0))
        #expect(!made.isZero)
    }

    @Test func octetsThatNeedNotBeKeptComeAgain() {
        let responder = cookies.make(for: parties, initiator: initiator, now: second(0), binding: [7])
        func nonce(_ responder: Cookie, _ binding: [UInt8]) -> [UInt8] {
            cookies.octets(16, for: parties, initiator: initiator, responder: responder, binding: binding)
        }
        #expect(nonce(responder, [7]) == nonce(responder, [7]) && nonce(responder, [7]).count == 16)
        #expect(nonce(responder, [7]) != nonce(responder, [8]))
        #expect(nonce(responder, [7]) != nonce(Cookie(5), [7]))
    }
}
