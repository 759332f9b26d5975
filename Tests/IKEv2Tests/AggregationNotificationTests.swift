import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// USE_AGGFRAG (RFC 9347 §5.1) between two sessions.
@Suite struct AggregationNotificationTests {
    private static func pair(
        _ left: Aggregation?, _ right: Aggregation?, _ change: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].aggregation = left
        other.children[0].aggregation = right
        change(&one)
        change(&other)
        var pair = Pair(one, other)
        pair.establish()
        return pair
    }

    private static func agreed(_ pair: Pair) -> [Aggregation?] {
        Pair.Side.allCases.flatMap { side in
            pair[side].inbound.values.map(\.aggregation) + pair[side].outbound.values.map(\.aggregation)
        }
    }

    @Test(arguments: [(true, true), (true, false), (false, true), (false, false)]) func bothEndsMustSayIt(
        left: Bool, right: Bool
    ) {
        let wanted = Aggregation()
        var pair = Self.pair(left ? wanted : nil, right ? wanted : nil)
        let expected = Array(repeating: left && right ? wanted : nil, count: 4)
        #expect(Self.agreed(pair) == expected && pair.disagreements == [])
        for side in Pair.Side.allCases {
            pair.give(.command(.rekeyChild(pair[side].usable[0].id)), to: side)
            pair.run(for: .seconds(10))
            #expect(Self.agreed(pair) == expected && pair.disagreements == [])
        }
    }

    @Test func aShortRekeyingKeepsIt() {
        var pair = Self.pair(Aggregation(), Aggregation()) { $0.optimizesRekeying = true }
        let before = pair.initiator.usable.first?.inboundSPI
        pair.give(.command(.rekeyChild(pair.initiator.usable[0].id)), to: .initiator)
        pair.run(for: .seconds(10))
        #expect(pair.initiator.usable.first?.inboundSPI != before)
        #expect(Self.agreed(pair) == Array(repeating: Aggregation(), count: 4))
    }

    /// An end that takes no fragments gets whole packets, in either role.
    @Test(arguments: [true, false]) func oneEndMayWantWholePackets(isInitiator: Bool) {
        var whole = Aggregation()
        whole.takesFragments = false
        let pair = isInitiator ? Self.pair(whole, Aggregation()) : Self.pair(Aggregation(), whole)
        let side: Pair.Side = isInitiator ? .initiator : .responder
        #expect(pair[side.other].outbound.values.map { $0.aggregation?.keepsWhole } == [true])
        #expect(pair[side].outbound.values.map { $0.aggregation?.keepsWhole } == [false])
    }

    /// Either end may ask, and then both tell.
    @Test(arguments: [true, false]) func oneEndMayAskForWhatThePathDoes(isInitiator: Bool) {
        var controlling = Aggregation()
        controlling.controlsCongestion = true
        let pair = isInitiator ? Self.pair(controlling, Aggregation()) : Self.pair(Aggregation(), controlling)
        let side: Pair.Side = isInitiator ? .initiator : .responder
        #expect(Self.agreed(pair).allSatisfy { $0?.tellsOfCongestion == true })
        #expect(pair[side.other].outbound.values.map { $0.aggregation?.reportsCongestion } == [true])
        #expect(pair[side].outbound.values.map { $0.aggregation?.reportsCongestion } == [false])
        #expect(pair.disagreements == [])
    }

    @Test func transportModeSharesNothing() {
        let pair = Self.pair(Aggregation(), Aggregation()) {
            $0.children[0].mode = .transport
            $0.children[0].localSelectors = [.dynamic]
            $0.children[0].remoteSelectors = [.dynamic]
        }
        #expect(Self.agreed(pair) == [nil, nil, nil, nil])
    }

    /// The octet of flags: 2 asks for information on congestion, 1 for whole packets.
    @Test func theFlagsAreRead() throws {
        var policy = Pair.connection(isLeft: true).children[0]
        #expect(policy.aggregationPayloads == [])
        policy.aggregation = Aggregation()
        #expect(try #require(policy.aggregationPayloads.first).body == [0, 0, 0x40, 0x3A, 0])
        policy.aggregation?.takesFragments = false
        #expect(try #require(policy.aggregationPayloads.first).body == [0, 0, 0x40, 0x3A, 1])
        func agreed(_ data: [UInt8], _ kind: SecurityProtocol = .esp) throws -> Aggregation? {
            let content = try MessageContent([NotifyPayload(.useAggregation, data: data).payload])
            return policy.agreedAggregation(content, .tunnel, kind)
        }
        #expect(try agreed([0])?.keepsWhole == false)
        #expect(try agreed([1])?.keepsWhole == true)
        #expect(try agreed([0xF1])?.keepsWhole == true, "reserved bits mean nothing")
        for asked in [2, 3, 0xFF] as [UInt8] { #expect(try agreed([asked])?.reportsCongestion == true) }
        #expect(try agreed([0xFD])?.reportsCongestion == false)
        #expect(try agreed([]) == nil)
        policy.aggregation = Aggregation()
        policy.aggregation?.controlsCongestion = true
        #expect(try #require(policy.aggregationPayloads.first).body == [0, 0, 0x40, 0x3A, 2])
        #expect(try agreed([0], .ah) == nil)
    }
}
