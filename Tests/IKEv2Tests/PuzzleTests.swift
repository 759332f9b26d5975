import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Puzzles (RFC 8019): posed without state, worked at in steps, checked before anything is kept.
@Suite struct PuzzleTests {
    private static let secret = Secret(Array(repeating: 7, count: 32))
    private static let difficulty: UInt8 = 8

    /// An initiator's request, and the challenge that it gets.
    private static func begin(
        difficulty: UInt8 = PuzzleTests.difficulty, ike: Proposal = Pair.aes
    ) throws -> (Pair, challenge: Datagram) {
        var pair = Pair(Pair.connection(isLeft: true, ike: [ike]), Pair.connection(isLeft: false, ike: [ike]))
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let request = try #require(pair.wire.popLast()?.datagram.mirrored)
        let challenge = try #require(StatelessCookie.challenge(request, secret: secret, difficulty: difficulty))
        #expect(challenge.octets.count <= request.octets.count)
        return (pair, challenge)
    }

    /// Lets the initiator work until it sends again.
    private static func work(_ pair: inout Pair) throws -> Datagram {
        var steps = 0
        while pair.wire.isEmpty, steps < 10_000 {
            try #require(pair.initiator.timers[.puzzle] != nil)
            pair.give(.timer(.puzzle), to: .initiator)
            steps += 1
        }
        return try #require(pair.wire.last?.datagram.mirrored)
    }

    @Test func theWorkIsShown() throws {
        var (pair, challenge) = try Self.begin()
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        #expect(
            pair.wire.isEmpty
                && !pair.initiator.timers.keys.contains { if case .retransmit = $0 { true } else { false } })
        // The same challenge again, as to a request that was sent twice, does not begin the work anew.
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        let again = try Self.work(&pair)
        #expect(StatelessCookie.verify(again, secret: Self.secret) == .work)
        #expect(StatelessCookie.verify(again, secret: Secret(Array(repeating: 8, count: 32))) == .nothing)
        var moved = again
        moved.remote.address = IPAddress("192.0.2.77")!
        #expect(StatelessCookie.verify(moved, secret: Self.secret) == .nothing)
        // Cookie, solution, and what was there before.
        #expect(again.octets[16] == 41 && again.octets[28] == 54)
        pair.settle()
        #expect(pair.responder.events.contains(.established) && pair.disagreements == [])
    }

    @Test func whoeverDidNotWorkShowsAnAddressOnly() throws {
        var (pair, challenge) = try Self.begin()
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        let again = try Self.work(&pair)
        var spoilt = again
        // The last key.
        let end = 28 + 8 + 19 + 4 + 64
        spoilt.octets[end - 1] ^= 1
        #expect(StatelessCookie.verify(spoilt, secret: Self.secret) == .address)
        var doubled = again
        for index in 0..<16 { doubled.octets[end - 16 + index] = doubled.octets[end - 32 + index] }
        #expect(StatelessCookie.verify(doubled, secret: Self.secret) == .address)
        // An easier puzzle than was posed is another cookie.
        var easier = again
        easier.octets[28 + 8 + 18] = 1
        #expect(StatelessCookie.verify(easier, secret: Self.secret) == .nothing)
    }

    @Test func anInitiatorThatKnowsNoPuzzlesReturnsItsCookie() throws {
        var (pair, challenge) = try Self.begin()
        // What such a one sees of the challenge: the cookie.
        let cookie = Array(challenge.octets[36..<(36 + 19)])
        let header = try {
            var reader = ByteReader(challenge.octets); return try Header(from: &reader)
        }()
        let seen = Message(header: header, payloads: [NotifyPayload(.cookie, data: cookie).payload]).octets
        pair.give(
            .datagram(Datagram(local: challenge.remote, remote: challenge.local, octets: seen)), to: .initiator)
        let again = try #require(pair.wire.last?.datagram.mirrored)
        #expect(StatelessCookie.verify(again, secret: Self.secret) == .address)
    }

    @Test func tooHardAPuzzleIsLeftAlone() throws {
        var (pair, challenge) = try Self.begin(difficulty: Puzzle.maximumDifficulty + 1)
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        let again = try #require(pair.wire.last?.datagram.mirrored)
        #expect(StatelessCookie.verify(again, secret: Self.secret) == .address)
        #expect(pair.initiator.timers[.puzzle] == nil)
    }

    @Test(arguments: [PRFID.hmacSHA1, .hmacSHA256, .hmacSHA384, .hmacSHA512, .aesXCBC, .aesCMAC])
    func everyPRFPosesOne(prf: PRFID) throws {
        var ike = Pair.aes
        ike.prf = [prf]
        var (pair, challenge) = try Self.begin(difficulty: 5, ike: ike)
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        let again = try Self.work(&pair)
        #expect(StatelessCookie.verify(again, secret: Self.secret) == .work)
    }

    @Test func bitsAreCountedFromTheEnd() {
        #expect(Puzzle.trailingZeroBits([0, 0]) == 16 && Puzzle.trailingZeroBits([1, 0]) == 8)
        #expect(Puzzle.trailingZeroBits([0xFF, 0b1010_0000]) == 5 && Puzzle.trailingZeroBits([0, 1]) == 0)
        #expect(Puzzle([0, 5]) == nil && Puzzle([0, 99, 3]) == nil && Puzzle([0, 5, 3])?.data == [0, 5, 3])
        let puzzle = Puzzle(prf: .hmacSHA256, difficulty: 0)
        #expect(!puzzle.isSolved(by: [], cookie: [1]) && !puzzle.isSolved(by: [1, 2, 3], cookie: [1]))
        #expect(puzzle.isSolved(by: [1, 2, 3, 4], cookie: [1]) && !puzzle.isSolved(by: [1, 2, 3, 3], cookie: [1]))
    }
}
