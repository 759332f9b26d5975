import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Quick crash detection (RFC 6290) between two sessions, of which one loses everything but its secret.
@Suite struct CrashTokenTests {
    static let secret = Secret([UInt8](repeating: 7, count: 32))
    static let otherSecret = Secret([UInt8](repeating: 8, count: 32))

    private static func pair(_ left: Secret?, _ right: Secret?) -> Pair {
        var client = Pair.connection(isLeft: true)
        client.deadPeerDelay = .seconds(10)
        var pair = Pair(client)
        pair.ends[0].environment.standingSecret = left
        pair.ends[1].environment.standingSecret = right
        pair.establish()
        return pair
    }

    /// The initiator's next request on the SA, as the responder would see it.
    private static func request(_ pair: inout Pair) throws -> Datagram {
        pair.network = { _, _, _ in [] }
        let before = pair.initiator.sent.count
        pair.run(for: .seconds(11))
        try #require(pair.initiator.sent.count == before + 1)
        let sent = try #require(pair.initiator.sent.last)
        return Datagram(local: sent.remote, remote: sent.local, octets: sent.octets)
    }

    private static func mirrored(_ datagram: Datagram) -> Datagram {
        Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)
    }

    @Test func aTokenEndsTheSAAtOnce() throws {
        var pair = Self.pair(nil, Self.secret)
        let request = try Self.request(&pair)
        let answer = try #require(CrashToken.answer(to: request, secret: Self.secret))
        #expect(answer.octets.count <= request.octets.count)
        pair.give(.datagram(Self.mirrored(answer)), to: .initiator)
        #expect(pair.initiator.closed == .peerUnresponsive)
        #expect(pair.initiator.inbound.isEmpty && pair.initiator.outbound.isEmpty)
    }

    @Test func aWrongTokenChangesNothing() throws {
        var pair = Self.pair(nil, Self.secret)
        let request = try Self.request(&pair)
        let forged = try #require(CrashToken.answer(to: request, secret: Self.otherSecret))
        pair.give(.datagram(Self.mirrored(forged)), to: .initiator)
        var late = try #require(CrashToken.answer(to: request, secret: Self.secret))
        // Another message ID than that of the request under way.
        late.octets[23] &+= 1
        pair.give(.datagram(Self.mirrored(late)), to: .initiator)
        #expect(pair.initiator.closed == nil && pair.initiator.usable.count == 1)
    }

    @Test func aPeerThatGaveNoneCannotShowOne() throws {
        var pair = Self.pair(Self.secret, nil)
        #expect(pair.initiator.session.current?.peerToken == [])
        #expect(pair.responder.session.current?.peerToken.count == CrashToken.octetCount)
        let request = try Self.request(&pair)
        let answer = try #require(CrashToken.answer(to: request, secret: Self.secret))
        pair.give(.datagram(Self.mirrored(answer)), to: .initiator)
        #expect(pair.initiator.closed == nil)
    }

    @Test func aNewSAHasATokenOfItsOwn() throws {
        var pair = Self.pair(Self.secret, Self.otherSecret)
        let before = try #require(pair.initiator.session.current)
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.settle()
        let (one, other) = (try #require(pair.initiator.session.current), try #require(pair.responder.session.current))
        #expect(one.initiatorSPI != before.initiatorSPI && one.responderSPI == other.responderSPI)
        let token = CrashToken.token(
            Self.otherSecret, initiatorSPI: one.initiatorSPI, responderSPI: one.responderSPI)
        #expect(one.peerToken == token && one.peerToken != before.peerToken)
        let own = CrashToken.token(Self.secret, initiatorSPI: one.initiatorSPI, responderSPI: one.responderSPI)
        #expect(other.peerToken == own)
    }

    @Test func onlyProtectedRequestsAreAnswered() throws {
        var pair = Self.pair(nil, nil)
        let request = try Self.request(&pair)
        func answer(_ change: (inout [UInt8]) -> Void) -> Datagram? {
            var changed = request
            change(&changed.octets)
            return CrashToken.answer(to: changed, secret: Self.secret)
        }
        #expect(answer { _ in } != nil)
        // A response; another version; another length; an SPI of zero; a clear payload.
        #expect(answer { $0[19] |= 0x20 } == nil && answer { $0[17] = 0x10 } == nil)
        #expect(answer { $0.removeLast() } == nil && answer { $0[16] = 41 } == nil)
        #expect(answer { octets in for index in 8..<16 { octets[index] = 0 } } == nil)
        // An answer is none to answer, so two that lost everything do not go on for ever.
        let first = try #require(answer { _ in })
        #expect(CrashToken.answer(to: first, secret: Self.otherSecret) == nil)
        var short = Array(request.octets.prefix(50))
        short[27] = 50
        #expect(
            CrashToken.answer(
                to: Datagram(local: request.local, remote: request.remote, octets: short), secret: Self.secret) == nil)
    }
}
