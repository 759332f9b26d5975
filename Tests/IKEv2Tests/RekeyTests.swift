import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Rekeying of children and IKE SA, from either side and from both at once, and deletes that cross.
@Suite struct RekeyTests {
    private func established(seed: UInt64 = 1) -> Pair {
        var pair = Pair(seed: seed)
        pair.establish()
        return pair
    }

    /// One usable child at each end, carried by matching SAs, and nothing else left after a while.
    private func expectOneChild(_ pair: inout Pair, _ place: SourceLocation = #_sourceLocation) {
        pair.run(for: .seconds(300))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, sourceLocation: place)
            #expect(pair[side].children.count == 1, sourceLocation: place)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, sourceLocation: place)
            #expect(pair[side].claimed.count == 1, sourceLocation: place)
            #expect(pair[side].session.associations.count == 1, sourceLocation: place)
            #expect(
                pair[side].environment.spisInUse == Set(pair[side].inbound.keys), sourceLocation: place)
        }
        #expect(pair.disagreements == [], sourceLocation: place)
        #expect(
            pair.initiator.session.current?.initiatorSPI == pair.responder.session.current?.initiatorSPI,
            sourceLocation: place)
        // The IKE SA still works.
        let before = pair.responder.sent.count
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.responder.sent.count > before, sourceLocation: place)
    }

    /// The responder may send as soon as it has answered.
    @Test func packetsAreAwaitedOnWhatIsOffered() throws {
        var pair = established()
        let old = try #require(pair.responder.children.first)
        #expect(pair.initiator.offered.map(\.spi) == pair.initiator.children.map(\.inboundSPI))
        #expect(pair.responder.offered.isEmpty)
        let sent = pair.responder.sent.count
        pair.give(.command(.rekeyChild(old.id)), to: .responder)
        pair.settle()
        #expect(pair.responder.offered.map(\.spi) == pair.responder.usable.map(\.inboundSPI))
        #expect(pair.responder.offered.map(\.sent) == [sent] && pair.initiator.offered.count == 1)
    }

    @Test(arguments: Pair.Side.allCases) func aChildIsRekeyedWithoutLoss(side: Pair.Side) throws {
        var pair = established()
        let old = try #require(pair[side].children.first)
        // At every moment what either end sends on is known to the other.
        var broken: [String] = []
        pair.give(.command(.rekeyChild(old.id)), to: side)
        var steps = 0
        while let (to, datagram) = pair.wire.first, steps < 20 {
            pair.wire.removeFirst()
            pair.give(.datagram(datagram.mirrored), to: to)
            broken += pair.disagreements
            #expect(pair.initiator.outbound.count >= 1 && pair.responder.outbound.count >= 1)
            steps += 1
        }
        #expect(broken == [])
        #expect(steps == 4)
        let new = try #require(pair[side].usable.first)
        #expect(new.id != old.id && new.requestID == old.requestID)
        #expect(pair[side].events.contains(.childRekeyed(old: old.id, new: new.id)))
        let closed = pair[side].events.contains {
            if case .childClosed = $0 { true } else { false }
        }
        #expect(!closed)
        expectOneChild(&pair)
    }

    @Test(arguments: Pair.Side.allCases) func theIKESAIsRekeyed(side: Pair.Side) throws {
        var pair = established()
        let old = try #require(pair[side].session.current)
        pair.give(.command(.rekeyIKE), to: side)
        pair.settle()
        for side in Pair.Side.allCases {
            #expect(pair[side].session.current?.initiatorSPI != old.initiatorSPI)
            #expect(pair[side].events.contains(.rekeyedIKE))
        }
        #expect(pair[side].session.current?.isInitiator == true)
        expectOneChild(&pair)
    }

    /// A response that is lost again and again: nothing is sent on a child that the other end does not know yet.
    @Test(arguments: Pair.Side.allCases) func aNewChildWaitsForASignOfThePeer(side: Pair.Side) {
        var pair = established()
        let count = pair[side.other].sent.count
        pair.network = { from, _, datagram in from == side.other ? [] : [datagram] }
        pair.give(.command(.rekeyChild(pair[side].children[0].id)), to: side)
        for _ in 0..<30 {
            pair.run(for: .seconds(2))
            #expect(pair.disagreements == [] && pair[side.other].outbound.count == 1)
        }
        #expect(pair[side.other].sent.count > count + 3)
        pair.network = { _, _, datagram in [datagram] }
        expectOneChild(&pair)
    }

    @Test func trafficOnANewChildIsASign() throws {
        var pair = established()
        pair.network = { side, _, datagram in side == .responder ? [] : [datagram] }
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        let new = try #require(pair.responder.children.last)
        #expect(pair.responder.outbound[new.outboundSPI] == nil)
        pair.give(.inboundTraffic(new.id, at: pair.now), to: .responder)
        #expect(pair.responder.outbound[new.outboundSPI] != nil)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>) func bothRekeyOneChildAtOnce(seed: UInt64) {
        var pair = established(seed: seed)
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyChild(pair.responder.children[0].id)), to: .responder)
        pair.settle()
        expectOneChild(&pair)
    }

    /// The end that loses deletes its redundant child before the other has the response that tells it has won.
    @Test(arguments: 1...8 as ClosedRange<UInt64>, Pair.Side.allCases)
    func aRedundantChildIsNoLoss(seed: UInt64, unanswered: Pair.Side) {
        var pair = established(seed: seed)
        let count = pair.sentCount
        pair.network = { side, number, datagram in
            side == unanswered.other && number < count + 6 && datagram.octets[19] & 0x20 != 0 ? [] : [datagram]
        }
        for side in Pair.Side.allCases { pair.give(.command(.rekeyChild(pair[side].children[0].id)), to: side) }
        pair.settle()
        pair.network = { _, _, datagram in [datagram] }
        expectOneChild(&pair)
        for side in Pair.Side.allCases {
            let losses = pair[side].events.filter { if case .childClosed = $0 { true } else { false } }
            #expect(losses == [])
        }
    }

    /// The redundant child is gone and the response that would put ours in its place never comes: that is a loss, and
    /// is told by the child that is still known.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func aCollisionThatEndsInSilenceIsALoss(seed: UInt64) {
        for unanswered in Pair.Side.allCases {
            var pair = established(seed: seed)
            let old = pair[unanswered].children[0].id
            pair.network = { side, _, datagram in
                side == unanswered.other && datagram.octets[18] == 36 && datagram.octets[19] & 0x20 != 0
                    ? [] : [datagram]
            }
            for side in Pair.Side.allCases { pair.give(.command(.rekeyChild(pair[side].children[0].id)), to: side) }
            pair.run(for: .seconds(400))
            #expect(pair[unanswered].closed == .peerUnresponsive)
            let lost = pair[unanswered].events.compactMap { event -> ChildID? in
                if case .childClosed(let child) = event { child } else { nil }
            }
            // The end of the old child, or of the one that took over from it.
            #expect(lost.count == 1)
            let successors = pair[unanswered].events.compactMap { event -> ChildID? in
                if case .childRekeyed(old, let new) = event { new } else { nil }
            }
            #expect(lost.allSatisfy { ([old] + successors).contains($0) })
        }
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>) func bothRekeyTheIKESAAtOnce(seed: UInt64) {
        var pair = established(seed: seed)
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.settle()
        expectOneChild(&pair)
    }

    /// One request of two is late: its sender's peer has finished its own rekeying before it arrives.
    @Test(arguments: [false, true], Pair.Side.allCases) func aLateRekeyingIsPutOff(ike: Bool, late: Pair.Side) {
        var pair = established()
        for side in Pair.Side.allCases {
            pair.give(.command(ike ? .rekeyIKE : .rekeyChild(pair[side].children[0].id)), to: side)
        }
        let held = pair.wire.first { $0.to == late.other }!
        pair.wire.removeAll { $0.to == late.other }
        pair.settle()
        pair.wire.append(held)
        pair.settle()
        expectOneChild(&pair)
    }

    @Test func childAndIKESARekeyedAtOnceBothHappen() {
        for side in Pair.Side.allCases {
            var pair = established()
            pair.give(.command(.rekeyIKE), to: side)
            pair.give(.command(.rekeyChild(pair[side.other].children[0].id)), to: side.other)
            let old = pair.initiator.children[0].id
            pair.settle()
            expectOneChild(&pair)
            #expect(pair.initiator.children.allSatisfy { $0.id != old } || !pair.initiator.usable.isEmpty)
        }
    }

    @Test func deletesOfOneChildCross() {
        var pair = established()
        pair.give(.command(.deleteChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.deleteChild(pair.responder.children[0].id)), to: .responder)
        pair.run(for: .seconds(60))
        for side in Pair.Side.allCases {
            #expect(pair[side].children.isEmpty && pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
            #expect(pair[side].closed == nil)
        }
    }

    @Test func deletesOfTheIKESACross() {
        var pair = established()
        pair.give(.command(.delete), to: .initiator)
        pair.give(.command(.delete), to: .responder)
        pair.run(for: .seconds(60))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == .deletedByUs)
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty && pair[side].claimed.isEmpty)
        }
    }

    @Test(arguments: Pair.Side.allCases) func aRekeyingCrossesADelete(rekeying: Pair.Side) {
        var pair = established()
        pair.give(.command(.rekeyChild(pair[rekeying].children[0].id)), to: rekeying)
        pair.give(.command(.deleteChild(pair[rekeying.other].children[0].id)), to: rekeying.other)
        pair.run(for: .seconds(60))
        #expect(pair.disagreements == [])
        for side in Pair.Side.allCases {
            #expect(pair[side].inbound.count == pair[side.other].inbound.count)
            #expect(pair[side].children.count == pair[side.other].children.count)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys))
            #expect(pair[side].session.planned.isEmpty && pair[side].session.postponed.isEmpty)
        }
    }

    /// A delete that waits behind a rekeying of the same child means the successor too.
    @Test(arguments: Pair.Side.allCases) func aDeleteReachesTheSuccessor(side: Pair.Side) {
        var pair = established()
        let old = pair[side].children[0].id
        pair.give(.command(.rekeyChild(old)), to: side)
        pair.give(.command(.deleteChild(old)), to: side)
        pair.run(for: .seconds(30))
        for side in Pair.Side.allCases {
            #expect(pair[side].children.isEmpty && pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty && pair[side].closed == nil)
        }
        #expect(pair[side].events.contains(.childClosed(old)))
    }

    @Test func aPlannedDeleteRefusesTheRekeyingOfThePeer() {
        var pair = established()
        // The window of the initiator is busy when its delete is asked for.
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.give(.command(.deleteChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyChild(pair.responder.children[0].id)), to: .responder)
        pair.run(for: .seconds(60))
        #expect(pair.initiator.children.count == 1 && pair.responder.children.count == 1)
        #expect(pair.disagreements == [])
    }

    @Test func anUnknownChildIsMadeAnew() throws {
        var pair = established()
        let child = pair.initiator.children[0]
        // The responder lost the child without telling.
        pair.ends[1].session.children = []
        pair.ends[1].inbound = [:]
        pair.ends[1].outbound = [:]
        pair.ends[1].environment.spisInUse = []
        pair.give(.command(.rekeyChild(child.id)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.events.contains(.childClosed(child.id)))
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.disagreements == [])
    }

    @Test func anotherGroupForAChildIsTriedAgain() throws {
        var left = Pair.connection(isLeft: true)
        left.children[0].proposals[0].keyExchange = [.curve25519, .ecp384]
        var right = Pair.connection(isLeft: false)
        right.children[0].proposals[0].keyExchange = [.ecp384]
        var pair = Pair(left, right)
        pair.establish()
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.usable.first?.suite.keyExchange == .ecp384)
        expectOneChild(&pair)
    }

    @Test func timersRekeyAndExpire() {
        var left = Pair.connection(isLeft: true)
        left.children[0].rekeyTime = .seconds(100)
        left.children[0].randomTime = .seconds(10)
        left.children[0].lifeTime = .seconds(120)
        left.rekeyTime = .seconds(330)
        left.randomTime = .seconds(5)
        left.overTime = .seconds(60)
        var right = Pair.connection(isLeft: false)
        right.children[0].lifeTime = .seconds(500)
        var pair = Pair(left, right)
        pair.establish()
        let first = pair.initiator.children[0]
        let due = pair.initiator.timers[.rekeyChild(first.id)]! - pair.now
        #expect(due > .seconds(90) && due <= .seconds(100))
        pair.run(for: .seconds(1000))
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        #expect(pair.initiator.usable.count == 1 && pair.disagreements == [])
        let rekeyed = pair.initiator.events.filter { if case .childRekeyed = $0 { true } else { false } }.count
        #expect((9...11).contains(rekeyed))
        #expect(pair.initiator.events.filter { $0 == .rekeyedIKE }.count == 3)
        #expect(pair.initiator.timers.count < 8)
    }

    @Test func anExpiredChildIsDeleted() {
        var left = Pair.connection(isLeft: true)
        left.children[0].lifeTime = .seconds(50)
        var pair = Pair(left, Pair.connection(isLeft: false))
        pair.establish()
        pair.run(for: .seconds(60))
        #expect(pair.initiator.children.isEmpty && pair.responder.children.isEmpty)
        #expect(pair.initiator.closed == nil)
    }

    @Test func anIKESAExpiresAndReauthenticates() {
        var left = Pair.connection(isLeft: true)
        left.reauthenticationTime = .seconds(100)
        left.randomTime = .zero
        var pair = Pair(left, Pair.connection(isLeft: false))
        pair.establish()
        pair.run(for: .seconds(101))
        // Make before break: another session takes over, and then this one retires.
        #expect(pair.initiator.renewals == 1 && pair.initiator.closed == nil)
        pair.give(.command(.retire), to: .initiator)
        #expect(pair.initiator.outbound.count == 1)
        pair.run(for: .seconds(10))
        #expect(pair.initiator.closed == .replaced)
        #expect(pair.responder.closed == .deletedByPeer)
    }

    @Test func anExhaustedChildIsRekeyed() {
        var pair = established()
        let old = pair.responder.children[0].id
        pair.give(.childExhausted(old), to: .responder)
        pair.settle()
        #expect(pair.responder.usable.count == 1 && pair.responder.usable[0].id != old)
        expectOneChild(&pair)
    }
}
