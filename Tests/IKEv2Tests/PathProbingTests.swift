import Cryptography
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// How large packets may be, learned from what arrives (RFC 8899).
@Suite struct PathProbingTests {
    /// Octets of the IP packet that carries a message.
    private static func packetOctets(_ datagram: Datagram) -> Int {
        20 + 8 + (datagram.local.port == 4500 ? 4 : 0) + datagram.octets.count
    }

    /// Two ends on a path that drops packets of more than `limit` octets which must not be cut, and says nothing.
    private static func pair(limit: Int, probes: Bool = true, lossy: Int? = nil, blocks: Bool = false) -> Pair {
        let counter = Proposal(
            .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: [.curve25519])
        let ike = blocks ? Pair.aes : counter
        var pair = Pair(
            Pair.connection(isLeft: true, ike: [ike]), Pair.connection(isLeft: false, ike: [ike]))
        for index in pair.ends.indices {
            pair.ends[index].environment.settings.probesPaths = probes && index == 0
        }
        nonisolated(unsafe) var probesSeen = 0
        pair.network = { _, _, datagram in
            guard datagram.forbidsFragments else { return [datagram] }
            probesSeen += 1
            if probesSeen == lossy { return [] }
            return packetOctets(datagram) <= limit ? [datagram] : []
        }
        pair.establish()
        pair.run(for: .seconds(120))
        return pair
    }

    private static func found(_ pair: Pair) -> [Int] {
        pair.initiator.events.compactMap { if case .pathMeasured(let octets) = $0 { octets } else { nil } }
    }

    private static func probes(_ pair: Pair) -> [Datagram] { pair.initiator.sent.filter(\.forbidsFragments) }

    @Test(arguments: [(1500, 1500), (9000, 1500), (1499, 1492), (1450, 1440), (1400, 1400), (1399, 1380), (1280, 1280)])
    func theLargestThatArrivesIsFound(limit: Int, expected: Int) {
        let pair = Self.pair(limit: limit)
        #expect(Self.found(pair) == [expected])
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        // None larger than the largest, and none that is not one of the sizes.
        for probe in Self.probes(pair) { #expect(PathProbing.sizes.contains(Self.packetOctets(probe))) }
        #expect(Self.probes(pair).count <= 9)
        #expect(pair.initiator.events.allSatisfy { if case .refused = $0 { false } else { true } })
    }

    /// A cipher of blocks does not make every length: what is told is what passed.
    @Test(arguments: [(1500, 1500), (1450, 1440), (1400, 1400), (1399, 1380)]) func blocksAreCountedAsTheyAre(
        limit: Int, size: Int
    ) throws {
        let pair = Self.pair(limit: limit, blocks: true)
        let octets = try #require(Self.found(pair).first)
        #expect(octets <= min(limit, size + 15) && octets > size - 16)
        #expect(Self.probes(pair).contains { Self.packetOctets($0) == octets })
        #expect(Self.probes(pair).allSatisfy { Self.packetOctets($0) <= 1500 })
    }

    /// One lost probe is no sign (RFC 8899 §5.1.2).
    @Test func oneLossMeansNothing() {
        let pair = Self.pair(limit: 1500, lossy: 1)
        #expect(Self.found(pair) == [1500])
        #expect(Self.probes(pair).map(Self.packetOctets) == [1500, 1500])
    }

    @Test func nothingIsAskedUnlessWanted() {
        let pair = Self.pair(limit: 1400, probes: false)
        #expect(Self.probes(pair).isEmpty && Self.found(pair).isEmpty)
    }

    /// The path changes: it is measured again after ten minutes, and the news is told.
    @Test func aPathIsMeasuredAgain() {
        var pair = Self.pair(limit: 1400)
        #expect(Self.found(pair) == [1400])
        pair.run(for: .seconds(700))
        #expect(Self.found(pair) == [1400], "nothing new")
        pair.network = { _, _, datagram in [datagram] }
        pair.run(for: .seconds(700))
        #expect(Self.found(pair) == [1400, 1500])
    }

    @Test func theIntervalIsTheUsersChoice() {
        var pair = Self.pair(limit: 1400)
        for index in pair.ends.indices { pair.ends[index].environment.settings.probingInterval = .seconds(30) }
        pair.run(for: .seconds(700))
        pair.network = { _, _, datagram in [datagram] }
        pair.run(for: .seconds(40))
        #expect(Self.found(pair) == [1400, 1500])
    }

    /// What else is to be done comes about while probes are lost.
    @Test func otherExchangesComeThrough() throws {
        var pair = Self.pair(limit: 1300)
        let before = try #require(pair.initiator.usable.first?.inboundSPI)
        pair.run(for: .seconds(500))
        pair.give(.command(.rekeyChild(pair.initiator.usable[0].id)), to: .initiator)
        pair.run(for: .seconds(60))
        #expect(pair.initiator.usable.first?.inboundSPI != before && pair.disagreements == [])
    }

    @Test func theSearchEnds() {
        for limit in 1200...1600 {
            var search = PathProbing()
            var steps = 0
            while !search.isOver, steps < 20 {
                search.note(search.next, octets: search.next, passed: search.next <= limit)
                steps += 1
            }
            #expect(search.isOver && search.result == PathProbing.sizes.last { $0 <= max(limit, 1280) })
        }
    }
}
