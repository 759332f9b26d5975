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
        pair.ends[1].environment.settings.mostQueues = 9
        pair.establish()
        // Children without end from one side, as a peer with a thousand processors would have it.
        for _ in 0..<17 {
            pair.give(.command(.createChild(name: "net")), to: .initiator)
            pair.run(for: .seconds(1))
        }
        #expect(pair.responder.usable.count == 9)
        let refusals = pair.initiator.events.compactMap { event -> Refusal? in
            guard case .refused("net", let refusal) = event else { return nil }
            return refusal
        }
        #expect(refusals.contains(.peer(notification: 48, name: "TS_MAX_QUEUE")))
        #expect(pair.initiator.closed == nil && pair.disagreements == [])
    }

    /// An end may take fewer, of the peer's wish and of its own.
    @Test(arguments: [[3, 32], [32, 3]]) func aLimitCountsForBothEnds(most: [Int]) throws {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].usesResources = true
        other.children[0].usesResources = true
        var pair = Pair(one, other)
        for index in 0..<2 {
            pair.ends[index].environment.settings.packetWorkers = 5
            pair.ends[index].environment.settings.mostQueues = most[index]
        }
        pair.establish()
        pair.run(for: .seconds(20))
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.count == 3)
            #expect(Self.numbers(pair[side].outbound) == [0, 1, 2])
        }
        let isRefused = pair.initiator.events.contains {
            $0 == .note("the peer takes no further child with the same selectors: TS_MAX_QUEUE")
        }
        #expect(isRefused == (most[1] == 3))
        #expect(pair.initiator.closed == nil && pair.disagreements == [])
    }

    /// Both ends ask for one at the same moment: each has a number of its own, all are one policy's, and a limit holds.
    @Test(arguments: [32, 3, 2]) func bothMayAskAtOnce(most: Int) {
        var pair = Self.pair(true, true, workers: [1, 1])
        for index in 0..<2 { pair.ends[index].environment.settings.mostQueues = most }
        for _ in 0..<3 {
            for side in Pair.Side.allCases { pair.give(.command(.createChild(name: "net")), to: side) }
            pair.run(for: .seconds(20))
            #expect(pair.disagreements == [])
            for side in Pair.Side.allCases {
                let numbers = Self.numbers(pair[side].outbound)
                #expect(numbers.count <= most && numbers == Array(0..<numbers.count))
                #expect(Set(pair[side].outbound.values.map(\.requestID)).count == 1)
            }
        }
        if most == 32 { #expect(pair.initiator.usable.count == 7) }
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
    }

    /// The same with several rounds of key exchange for each, where one end asks while the other's exchange is under way.
    @Test(arguments: Array(stride(from: 0, to: 240, by: 8))) func aLimitHoldsWhileExchangesCross(milliseconds: Int) {
        var pair = Self.pair(true, true, workers: [1, 1]) { connection in
            connection.children[0].proposals = [
                MultipleKeyExchangeTests.proposal(Pair.esp, .curve25519, [[.mlkem768]])
            ]
        }
        for index in 0..<2 { pair.ends[index].environment.settings.mostQueues = 2 }
        #expect(pair.initiator.usable.count == 1)
        pair.give(.command(.createChild(name: "net")), to: .responder)
        pair.run(for: .milliseconds(milliseconds))
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.run(for: .seconds(20))
        for side in Pair.Side.allCases {
            #expect(pair[side].outbound.count <= 2)
            #expect(pair[side].usable.count <= 2)
        }
        #expect(pair.disagreements == [] && pair.initiator.closed == nil && pair.responder.closed == nil)
    }

    /// A wish of ours that had to wait while the peer set them up goes no further than our own limit.
    @Test func ourOwnLimitHolds() {
        var pair = Self.pair(true, true, workers: [1, 1])
        pair.ends[0].environment.settings.mostQueues = 2
        for _ in 0..<3 {
            pair.give(.command(.createChild(name: "net")), to: .initiator)
            pair.run(for: .seconds(5))
        }
        #expect(pair.initiator.usable.count == 2 && pair.responder.usable.count == 2)
        #expect(
            pair.initiator.events.contains {
                $0 == .refused(child: "net", .policy("at most 2 children have the same selectors"))
            })
        #expect(pair.initiator.closed == nil && pair.disagreements == [])
    }

    /// As the initiator of a second SA, which the peer refuses: no failure of the child, and no further try.
    @Test func aRefusedSiblingIsNoFailure() throws {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].usesResources = true
        other.children[0].usesResources = true
        var pair = Pair(one, other)
        pair.ends[0].environment.settings.packetWorkers = 5
        pair.ends[1].environment.settings.mostQueues = 3
        pair.establish()
        pair.run(for: .seconds(30))
        let events = pair.initiator.events
        #expect(!events.contains { if case .refused = $0 { true } else { false } })
        let note = "the peer takes no further child with the same selectors: TS_MAX_QUEUE"
        #expect(events.count { $0 == .note(note) } == 1)
        #expect(pair.initiator.usable.count == 3 && pair.disagreements == [])
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
