import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Windows of more than one request (RFC 7296 §2.3), in both roles.
@Suite struct WindowTests {
    private func pair(_ left: UInt32, _ right: UInt32, seed: UInt64 = 1) -> Pair {
        var own = EngineSettings()
        own.window = left
        var other = EngineSettings()
        other.window = right
        return Pair(settings: own, otherSettings: other, seed: seed)
    }

    private func begin(_ pair: inout Pair, children: Int) {
        pair.establish()
        for _ in 0..<children { pair.give(.command(.createChild(name: "net")), to: .initiator) }
    }

    @Test func theWindowIsAnnouncedOnEachSA() {
        var pair = pair(4, 8)
        pair.establish()
        #expect(pair.initiator.session.current?.ownWindow == 4 && pair.initiator.session.current?.peerWindow == 8)
        #expect(pair.responder.session.current?.ownWindow == 8 && pair.responder.session.current?.peerWindow == 4)
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.settle()
        // RFC 7296 §2.18: the new SA's windows are one again, until they are announced.
        #expect(pair.responder.session.current?.peerWindow == 1)
        pair.give(.command(.rekeyChild(pair.responder.children[0].id)), to: .responder)
        pair.settle()
        #expect(pair.responder.session.current?.peerWindow == 4 && pair.initiator.session.current?.peerWindow == 8)
    }

    @Test func requestsGoOutTogetherAndComeInAnyOrder() {
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]] {
            var pair = pair(1, 4)
            begin(&pair, children: 5)
            #expect(pair.wire.count == 4 && pair.initiator.session.planned.count == 1)
            let together = pair.wire
            pair.wire = []
            for index in order { pair.give(.datagram(together[index].datagram.mirrored), to: .responder) }
            #expect(pair.wire.count == 4)
            pair.wire.reverse()
            pair.settle()
            #expect(pair.initiator.usable.count == 6 && pair.disagreements == [])
            #expect(pair.responder.session.current?.expectedRequestID == 7)
            #expect(pair.initiator.session.current?.pending.isEmpty == true)
        }
    }

    @Test func whatLiesBeyondTheWindowIsDropped() {
        var pair = pair(1, 2)
        pair.establish()
        pair.ends[0].session.associations[0].peerWindow = 4
        for _ in 0..<3 { pair.give(.command(.createChild(name: "net")), to: .initiator) }
        let together = pair.wire
        #expect(together.count == 3)
        pair.wire = []
        pair.give(.datagram(together[2].datagram.mirrored), to: .responder)
        #expect(pair.wire.isEmpty && pair.responder.children.count == 1)
        pair.give(.datagram(together[1].datagram.mirrored), to: .responder)
        #expect(pair.wire.count == 1)
        // A repeated request gets its own answer again, whatever came after it.
        pair.give(.datagram(together[0].datagram.mirrored), to: .responder)
        pair.give(.datagram(together[1].datagram.mirrored), to: .responder)
        pair.give(.datagram(together[0].datagram.mirrored), to: .responder)
        #expect(pair.wire.map(\.datagram.octets[23]) == [3, 2, 3, 2])
        #expect(pair.responder.children.count == 3)
    }

    @Test func oneLostRequestHoldsUpNoOther() {
        var pair = pair(1, 4)
        pair.establish()
        let count = pair.sentCount
        pair.network = { _, number, datagram in number == count ? [] : [datagram] }
        for _ in 0..<4 { pair.give(.command(.createChild(name: "net")), to: .initiator) }
        pair.settle()
        #expect(pair.initiator.usable.count == 4)
        pair.run(for: .seconds(10))
        #expect(pair.initiator.usable.count == 5 && pair.disagreements == [])
    }

    /// The window begins at the oldest request that is not answered, not at the number of those.
    @Test func theWindowDoesNotSlideOverAHole() {
        var pair = pair(1, 2)
        pair.establish()
        for _ in 0..<3 { pair.give(.command(.createChild(name: "net")), to: .initiator) }
        #expect(pair.wire.count == 2)
        let (_, first) = pair.wire.removeFirst()
        pair.settle()
        #expect(pair.initiator.usable.count == 2 && pair.initiator.session.planned.count == 1)
        pair.give(.datagram(first.mirrored), to: .responder)
        pair.settle()
        #expect(pair.initiator.usable.count == 4 && pair.disagreements == [])
    }

    @Test func theIKESAsOwnExchangesStandAlone() {
        var pair = pair(4, 4)
        begin(&pair, children: 2)
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        #expect(pair.initiator.session.current?.pending.count == 2)
        #expect(pair.initiator.session.planned == [.rekeyIKE, .createChild("net")])
        pair.settle()
        #expect(pair.initiator.usable.count == 4 && pair.initiator.events.contains(.rekeyedIKE))
        #expect(pair.disagreements == [])
    }

    @Test func aWindowIsBoundedAndNeverShrinks() throws {
        var pair = pair(1, 4)
        pair.establish()
        for (data, expected) in [([0xFF, 0xFF, 0xFF, 0xFF], IKESA.maximumWindow), ([0, 0, 0, 0], 32), ([1], 32)] {
            var sa = try #require(pair.responder.session.current)
            var randomness = Randomness.seeded(3)
            let notification = NotifyPayload(.setWindowSize, data: data.map { UInt8($0) }).payload
            let request = try sa.seal(
                .informationalV2, messageID: sa.nextRequestID, isResponse: false, [notification], &randomness)
            pair.ends[1].session.associations[0].nextRequestID += 1
            let snapshot = pair.responder.session.snapshot
            pair.give(
                .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: request[0])),
                to: .initiator)
            #expect(pair.initiator.session.current?.peerWindow == expected)
        }
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>) func stormsAreOutlived(seed: UInt64) {
        var pair = pair(4, 4, seed: seed)
        var chance = SeededGenerator(seed: seed)
        begin(&pair, children: 4)
        pair.settle()
        pair.network = { _, number, datagram in
            var roll = SeededGenerator(seed: seed &* 1000 &+ UInt64(number))
            return roll.next() % 5 == 0 ? [] : [datagram]
        }
        for _ in 0..<20 {
            for side in Pair.Side.allCases {
                for child in pair[side].usable where chance.next() % 3 == 0 {
                    pair.give(.command(.rekeyChild(child.id)), to: side)
                }
                if chance.next() % 7 == 0 { pair.give(.command(.rekeyIKE), to: side) }
            }
            pair.run(for: .seconds(1))
        }
        pair.network = { _, _, datagram in [datagram] }
        pair.run(for: .seconds(400))
        #expect(pair.disagreements == [])
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil && pair[side].usable.count == 5)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys))
            #expect(pair[side].claimed.count == 1)
        }
    }
}
