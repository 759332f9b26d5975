import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// A pair of SAs for each processor (RFC 9611) between two sessions.
@Suite struct PerResourceTests {
    private static func pair(
        _ left: Bool, _ right: Bool, workers: [Int] = [4, 4], _ change: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].usesResources = left
        other.children[0].usesResources = right
        change(&one)
        change(&other)
        var pair = Pair(one, other)
        for (index, count) in workers.enumerated() { pair.ends[index].environment.settings.packetWorkers = count }
        pair.establish()
        pair.run(for: .seconds(20))
        return pair
    }

    /// The numbers of the SAs in one direction, in order.
    private static func numbers(_ associations: [SPI: SecurityAssociation]) -> [Int] {
        associations.values.map(\.resource).sorted()
    }

    @Test func eachProcessorGetsItsOwn() {
        let pair = Self.pair(true, true)
        #expect(pair.disagreements == [])
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.count == 4)
            #expect(Self.numbers(pair[side].inbound) == [0, 1, 2, 3])
            #expect(Self.numbers(pair[side].outbound) == [0, 1, 2, 3])
            #expect(Set(pair[side].outbound.values.map(\.requestID)).count == 1, "they are one policy's")
            #expect(Set(pair[side].outbound.values.map(\.localSelectors)).count == 1)
        }
        let keys = pair.initiator.outbound.values.map(\.keys.encryption)
        for (index, key) in keys.enumerated() { #expect(!keys[..<index].contains { $0 == key }) }
    }

    /// The number of the initiator's threads counts; the other end gives each SA a number of its own.
    @Test func theInitiatorsProcessorsCount() {
        #expect(Self.pair(true, true, workers: [3, 1]).responder.usable.count == 3)
        #expect(Self.pair(true, true, workers: [1, 4]).responder.usable.count == 1)
        #expect(Self.pair(true, true, workers: [1000, 1]).initiator.usable.count == IKESession.maximumQueues)
    }

    @Test(arguments: [(true, false), (false, true), (false, false)]) func aPeerThatDoesNotKnowItGetsOne(
        left: Bool, right: Bool
    ) {
        var pair = Self.pair(left, right)
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.count == 1)
            #expect(Self.numbers(pair[side].outbound) == [0])
        }
        // Neither by a rekeying from either end.
        for side in Pair.Side.allCases {
            pair.give(.command(.rekeyChild(pair[side].usable[0].id)), to: side)
            pair.run(for: .seconds(10))
            #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
            #expect(pair.disagreements == [])
        }
    }

    @Test(arguments: [false, true]) func rekeyingKeepsTheNumber(optimized: Bool) throws {
        var pair = Self.pair(true, true) { $0.optimizesRekeying = optimized }
        for side in Pair.Side.allCases {
            for number in [2, 0] {
                let old = try #require(pair[side].outbound.values.first { $0.resource == number })
                pair.give(.command(.rekeyChild(old.child)), to: side)
                pair.run(for: .seconds(10))
                let new = try #require(pair[side].outbound.values.first { $0.resource == number })
                #expect(new.spi != old.spi && new.requestID == old.requestID)
                for end in Pair.Side.allCases {
                    #expect(Self.numbers(pair[end].outbound) == [0, 1, 2, 3])
                    #expect(Self.numbers(pair[end].inbound) == [0, 1, 2, 3])
                }
                #expect(pair.disagreements == [])
            }
        }
    }

    /// A number that has become free is given again.
    @Test func oneThatIsDeletedLeavesTheOthers() throws {
        var pair = Self.pair(true, true)
        let gone = try #require(pair.responder.outbound.values.first { $0.resource == 1 })
        pair.give(.command(.deleteChild(gone.child)), to: .responder)
        pair.run(for: .seconds(10))
        #expect(Self.numbers(pair.responder.outbound) == [0, 2, 3])
        #expect(pair.initiator.usable.count == 3 && pair.disagreements == [])
        pair.give(.command(.createChild(name: "net")), to: .responder)
        pair.run(for: .seconds(10))
        for side in Pair.Side.allCases { #expect(Self.numbers(pair[side].outbound) == [0, 1, 2, 3]) }
        #expect(pair.disagreements == [])
    }

    /// The peer has enough: TS_MAX_QUEUE ends it, and what there is stays.
    @Test func aPeerMayRefuseMore() {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].usesResources = true
        other.children[0].usesResources = true
        var pair = Pair(one, other)
        pair.establish()
        // Children without end from one side, as a peer with a thousand processors would have it.
        for _ in 0..<IKESession.maximumQueues + 8 {
            pair.give(.command(.createChild(name: "net")), to: .initiator)
            pair.run(for: .seconds(1))
        }
        #expect(pair.responder.usable.count == IKESession.maximumQueues)
        let refusals = pair.initiator.events.compactMap { event -> Refusal? in
            guard case .refused("net", let refusal) = event else { return nil }
            return refusal
        }
        #expect(refusals.contains(.peer(notification: 48, name: "TS_MAX_QUEUE")))
        #expect(pair.initiator.closed == nil && pair.disagreements == [])
    }

    /// As the initiator of a second SA, which the peer refuses: no failure of the child, and no further try.
    @Test func aRefusedSiblingIsNoFailure() throws {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].usesResources = true
        other.children[0].usesResources = true
        var pair = Pair(one, other)
        pair.ends[0].environment.settings.packetWorkers = 2
        pair.establish()
        for _ in 0..<IKESession.maximumQueues {
            pair.give(.command(.createChild(name: "net")), to: .responder)
            pair.run(for: .seconds(1))
        }
        // The initiator's own list is as long: only the peer can refuse now.
        let before = pair.initiator.events.count
        let id = try #require(pair.initiator.usable.first?.id)
        pair.ends[0].session.plan(.createSibling(id))
        pair.give(.inboundTraffic(id, at: pair.now), to: .initiator)
        pair.run(for: .seconds(30))
        let events = pair.initiator.events.dropFirst(before)
        #expect(!events.contains { if case .refused = $0 { true } else { false } })
        #expect(
            events.contains { $0 == .note("the peer takes no further child with the same selectors: TS_MAX_QUEUE") })
        #expect(pair.initiator.usable.count == IKESession.maximumQueues && pair.disagreements == [])
    }

    @Test func theNotificationHoldsTheNumberAtMost() throws {
        var policy = Pair.connection(isLeft: true).children[0]
        #expect(policy.resourcePayloads(3) == [])
        policy.usesResources = true
        for (number, data) in [(nil, []), (0, []), (3, [0, 0, 0, 3])] as [(Int?, [UInt8])] {
            let payload = try #require(policy.resourcePayloads(number).first)
            #expect(payload.body == [0, 0, 0x40, 0x3C] + data)
        }
    }
}
