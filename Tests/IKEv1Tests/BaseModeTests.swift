import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Phase 1 as ISAKMP's Base exchange.
@Suite struct BaseModeTests {
    private static func pair(
        otherKey: String? = nil, initiator change: (inout Connection) -> Void = { _ in },
        responder changeOther: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        left.isBase = true
        right.isBase = true
        change(&left)
        changeOther(&right)
        return Pair(left, right, otherKey: otherKey)
    }

    private func expectEstablished(_ pair: Pair, _ comment: Comment) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment)
            #expect(pair[side].usable.count == 1, comment)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment)
        }
        #expect(pair.disagreements == [], comment)
    }

    private func expectNothingLeft(_ pair: inout Pair, _ place: SourceLocation = #_sourceLocation) {
        pair.run(for: .seconds(900))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil, sourceLocation: place)
            #expect(pair[side].installed.isEmpty && pair[side].claimed.isEmpty, sourceLocation: place)
            #expect(pair[side].environment.spisInUse.isEmpty, sourceLocation: place)
        }
    }

    private func types(_ datagram: Datagram) throws -> [UInt8] {
        var reader = ByteReader(datagram.octets)
        let header = try Header(from: &reader)
        return try PayloadChain.read(first: header.nextPayload, from: &reader).payloads.map(\.type.rawValue)
    }

    @Test func fourMessagesThenQuickMode() throws {
        var pair = Self.pair()
        pair.establish()
        expectEstablished(pair, "")
        #expect(pair.sentCount == 7)
        #expect(pair.initiator.sent.map(\.octets[18]) == [1, 1, 32, 32])
        #expect(pair.responder.sent.map(\.octets[18]) == [1, 1, 32])
        #expect(
            (pair.initiator.sent + pair.responder.sent).filter { $0.octets[18] == 1 }.allSatisfy { $0.octets[19] == 0 })
        // SA, ID, NONCE in front; KE and HASH behind them (the figure of the draft). Vendor IDs may follow.
        let messages = try [
            pair.initiator.sent[0], pair.responder.sent[0], pair.initiator.sent[1], pair.responder.sent[1],
        ].map { try types($0).prefix { $0 != 13 && $0 != 20 } }
        #expect(messages == [[1, 5, 10], [1, 5, 10], [4, 8], [4, 8]])
        #expect(pair.initiator.session.snapshot.remoteIdentity == Identity("right.example"))
        #expect(pair.responder.session.snapshot.remoteIdentity == Identity("left.example"))
    }

    /// HASH_I and HASH_R from the equations, with what stands on the wire.
    @Test func proofsAreThoseOfTheDraft() throws {
        var pair = Self.pair()
        pair.establish()
        func bodies(_ datagram: Datagram) throws -> [UInt8: [UInt8]] {
            var reader = ByteReader(datagram.octets)
            let header = try Header(from: &reader)
            let payloads = try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
            return Dictionary(payloads.map { ($0.type.rawValue, $0.body) }) { first, _ in first }
        }
        let said = try [
            pair.initiator.sent[0], pair.responder.sent[0], pair.initiator.sent[1], pair.responder.sent[1],
        ].map(bodies)
        let header = Array(pair.initiator.sent[1].octets.prefix(16))
        let cookies = (Array(header.prefix(8)), Array(header.suffix(8)))
        func part(_ message: Int, _ type: UInt8) -> [UInt8] { said[message][type] ?? [] }
        let seed = try PseudorandomFunction.derive(
            .hmacSHA256, key: Secret(Array("secret".utf8)), [.open(part(0, 10)), .open(part(1, 10))])
        func prf(_ parts: [UInt8]...) throws -> [UInt8] {
            try PseudorandomFunction.compute(.hmacSHA256, key: seed, parts.map { .open($0) })
        }
        #expect(try prf(part(2, 4), cookies.0, cookies.1, part(0, 1), part(0, 5)) == part(2, 8))
        #expect(try prf(part(3, 4), part(2, 4), cookies.1, cookies.0, part(0, 1), part(1, 5)) == part(3, 8))
    }

    @Test func eachMessageCanBeLostOnceOrTwice() {
        for count in 1...2 {
            for lost in 0..<7 {
                var pair = Self.pair()
                pair.network = { _, number, datagram in (lost..<(lost + count)).contains(number) ? [] : [datagram] }
                pair.establish()
                pair.run(for: .seconds(120))
                expectEstablished(pair, "messages \(lost) to \(lost + count - 1) lost")
            }
        }
    }

    @Test func damageAndRepetitionOnlyDelay() {
        for number in 0..<4 {
            for offset in stride(from: 0, to: 240, by: 11) {
                var pair = Self.pair()
                pair.network = { _, index, datagram in
                    guard index == number, offset < datagram.octets.count else { return [datagram, datagram] }
                    var damaged = datagram
                    damaged.octets[offset] ^= 0x10
                    return [damaged, datagram]
                }
                pair.establish()
                pair.run(for: .seconds(900))
                #expect(pair.disagreements == [], "message \(number), octet \(offset)")
                // Nothing proves the first two messages yet: what they say wrongly, the proofs find out. The others are
                // made good: header, KE and HASH. NAT-D behind them has no part in any HASH (RFC 3947 §3.2).
                if number > 1, offset < 100 {
                    #expect(pair.initiator.usable.count == 1, "message \(number), octet \(offset)")
                }
            }
        }
    }

    @Test func anotherKeyEndsWithNothing() {
        var pair = Self.pair(otherKey: "another")
        pair.establish()
        // The responder has said nothing that a key could be guessed by.
        #expect(pair.responder.sent.filter { $0.octets[18] == 1 }.count == 1)
        let suspects = pair.responder.refusals.filter { if case .authentication = $0 { true } else { false } }
        #expect(suspects.count == 1)
        expectNothingLeft(&pair)
    }

    @Test func onlyConnectionsThatSaySoSpeakIt() {
        var pair = Self.pair(responder: { $0.isBase = false })
        pair.establish()
        let reasons = pair.responder.refusals.compactMap { if case .policy(let reason) = $0 { reason } else { nil } }
        #expect(reasons.count == 1 && reasons[0].contains("exchange = base"))
        #expect(pair.responder.sent.count == 1 && pair.responder.sent[0].octets[18] == 5)
        expectNothingLeft(&pair)
    }

    @Test func otherIdentitiesAreRefused() {
        let wanted = IdentityPattern.exactly(Identity("somebody.example")!)
        for side in Pair.Side.allCases {
            var pair = Self.pair(
                initiator: { if side == .initiator { $0.remoteIdentity = wanted } },
                responder: { if side == .responder { $0.remoteIdentity = wanted } })
            pair.establish()
            let refused = pair[side].refusals.contains { if case .identity = $0 { true } else { false } }
            #expect(refused, "\(side)")
            expectNothingLeft(&pair)
        }
    }

    /// No Diffie-Hellman value for who has not returned the cookie, and no answer that is three times as long.
    @Test func aFirstMessageCostsLittle() throws {
        var pair = Self.pair()
        pair.network = { side, number, datagram in number > 1 ? [] : [datagram] }
        pair.establish()
        let answer = try #require(pair.responder.sent.first)
        #expect(answer.octets.count <= 3 * pair.initiator.sent[0].octets.count)
        #expect(try !types(answer).contains(4))
        let said = pair.responder.sent.count
        pair.wire = []
        pair.network = { _, _, _ in [] }
        pair.run(for: .seconds(30))
        #expect(pair.responder.sent.count == said)
    }
}
