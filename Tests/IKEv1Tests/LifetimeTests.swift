import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Rekeying, deletion, dead peers, and the end of lifetimes.
@Suite struct LifetimeTests {
    private func established(_ change: (inout Connection) -> Void = { _ in }, seed: UInt64 = 1) -> Pair {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        change(&left)
        change(&right)
        var pair = Pair(left, right, seed: seed)
        pair.establish()
        return pair
    }

    private func expectOneChild(_ pair: inout Pair, _ place: SourceLocation = #_sourceLocation) {
        pair.run(for: .seconds(300))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, sourceLocation: place)
            #expect(pair[side].children.count == 1 && pair[side].usable.count == 1, sourceLocation: place)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, sourceLocation: place)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys), sourceLocation: place)
        }
        #expect(pair.disagreements == [], sourceLocation: place)
    }

    @Test(arguments: Pair.Side.allCases) func aChildIsRekeyedWithoutLoss(side: Pair.Side) throws {
        var pair = established()
        let old = try #require(pair[side].children.first)
        pair.give(.command(.rekeyChild(old.id)), to: side)
        var steps = 0
        // At every moment what either end sends on is known to the other.
        while !pair.wire.isEmpty, steps < 20 {
            pair.deliverOne()
            #expect(pair.disagreements == [])
            #expect(pair.initiator.outbound.count >= 1 && pair.responder.outbound.count >= 1)
            steps += 1
        }
        #expect(steps == 3)
        let new = try #require(pair[side].usable.first)
        #expect(new.id != old.id && new.requestID == old.requestID && new.inboundSPI != old.inboundSPI)
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.count == 1)
            let rekeyed = pair[side].events.contains { if case .childRekeyed = $0 { true } else { false } }
            #expect(rekeyed)
        }
        expectOneChild(&pair)
        // The end of a replaced child is no news: who watches the child sees that it is up.
        #expect(!pair[side].events.contains(.childClosed(new.id)))
    }

    /// strongSwan installs a new SA when it has heard message 3: until then the old one carries the traffic.
    @Test func theRekeyingEndSendsUnderTheNewSALater() throws {
        var pair = established()
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.inbound.count == 2 && pair.initiator.outbound.count == 1)
        #expect(pair.responder.inbound.count == 2 && pair.responder.outbound.count == 2)
        var used = pair
        pair.run(for: .seconds(2))
        #expect(pair.initiator.outbound.count == 2 && pair.disagreements == [])
        // The peer's traffic shows earlier that it knows the new one.
        let new = try #require(used.initiator.usable.first).id
        used.give(.inboundTraffic(new, at: used.now), to: .initiator)
        #expect(used.initiator.outbound.count == 2 && used.disagreements == [])
        let count = used.initiator.installed.count
        used.run(for: .seconds(30))
        #expect(used.initiator.installed.count == count && used.initiator.outbound.count == 1)
    }

    @Test func anSAThatIsGoneIsNotPutToWorkLater() throws {
        var pair = established()
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        let new = try #require(pair.initiator.usable.first).id
        pair.give(.command(.deleteChild(new)), to: .initiator)
        pair.run(for: .seconds(30))
        #expect(pair.initiator.children.isEmpty && pair.initiator.outbound.isEmpty && pair.initiator.inbound.isEmpty)
        #expect(pair.responder.children.isEmpty && pair.responder.outbound.isEmpty)
    }

    @Test func childrenAreRekeyedBeforeTheyEnd() {
        var pair = established {
            $0.children[0].rekeyTime = .seconds(3600)
            $0.children[0].lifeTime = .seconds(3960)
            $0.children[0].randomTime = .seconds(360)
        }
        let first = pair.initiator.children[0].id
        for _ in 0..<30 {
            pair.run(for: .seconds(600))
            #expect(pair.disagreements == [])
            for side in Pair.Side.allCases {
                #expect(pair[side].usable.count >= 1 && pair[side].children.count <= 2 && pair[side].closed == nil)
            }
        }
        #expect(pair.initiator.children.first?.id != first)
        // Five hours hold at least four rekeyings and, as each side may start one, not many more than ten.
        let rekeyings = pair.initiator.events.count { if case .childRekeyed = $0 { true } else { false } }
        #expect((4...12).contains(rekeyings))
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func bothRekeyAtOnce(seed: UInt64) {
        var pair = established(seed: seed)
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyChild(pair.responder.children[0].id)), to: .responder)
        pair.settle()
        #expect(pair.disagreements == [])
        pair.run(for: .seconds(60))
        #expect(pair.disagreements == [])
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil && pair[side].usable.count >= 1)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys))
        }
    }

    @Test func perfectForwardSecrecyMakesUnrelatedKeys() throws {
        var pair = established {
            $0.children[0].proposals = [Pair.esp(group: .curve25519)]
        }
        let before = pair.initiator.installed.map(\.keys.encryption)
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        expectOneChild(&pair)
        let after = pair.initiator.installed.map(\.keys.encryption).dropFirst(2)
        #expect(after.count == 2)
        for key in after { #expect(!before.contains(key)) }
        // The Quick Mode carried another public value: its message 1 is longer than without.
        var plain = established()
        plain.give(.command(.rekeyChild(plain.initiator.children[0].id)), to: .initiator)
        let long = try #require(pair.initiator.sent.dropFirst(5).first).octets.count
        let short = try #require(plain.initiator.sent.last).octets.count
        #expect(long >= short + 32)
    }

    @Test(arguments: Pair.Side.allCases) func aDeletedChildIsGoneAtBothEnds(side: Pair.Side) {
        var pair = established()
        let child = pair[side].children[0].id
        pair.give(.command(.deleteChild(child)), to: side)
        pair.settle()
        for side in Pair.Side.allCases {
            #expect(pair[side].children.isEmpty && pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
            #expect(pair[side].closed == nil && pair[side].session.snapshot.state == .established)
        }
        #expect(pair[side].events.contains(.childClosed(child)))
    }

    @Test func aReplacedChildIsInUseAgainWhereItsSuccessorGoesFirst() throws {
        var pair = established()
        let old = try #require(pair.responder.children.first).id
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        let new = try #require(pair.responder.usable.first).id
        pair.give(.command(.deleteChild(new)), to: .responder)
        #expect(pair.responder.events.contains(.childClosed(new)))
        #expect(pair.responder.usable.map(\.id) == [old])
        // Until the initiator, who rekeyed it, deletes it.
        pair.run(for: .seconds(20))
        #expect(pair.responder.children.isEmpty && pair.initiator.children.isEmpty)
        #expect(pair.responder.events.contains(.childClosed(old)))
        #expect(pair.initiator.inbound.isEmpty && pair.responder.inbound.isEmpty)
    }

    @Test(arguments: Pair.Side.allCases) func aDeletedSessionIsGoneAtBothEnds(side: Pair.Side) {
        var pair = established()
        pair.give(.command(.delete), to: side)
        pair.settle()
        #expect(pair[side].closed == .deletedByUs && pair[side.other].closed == .deletedByPeer)
        for side in Pair.Side.allCases {
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty && pair[side].claimed.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
        }
    }

    @Test func anISAKMPSAThatThePeerDeletesAloneLeavesTheChildren() throws {
        var pair = established()
        // charon renews an ISAKMP SA so: the old one is deleted, and its IPsec SAs are not.
        let phaseOne = try #require(pair.responder.session.phaseOne)
        let cookies = pair.responder.session.cookies
        let payload = DeletePayload(doi: 1, protocolID: 1, spis: [cookies]).payload
        let message = try protected(payload, phaseOne, pair.responder.session)
        let (local, remote) = (pair.initiator.session.local, pair.initiator.session.remote)
        pair.give(.datagram(Datagram(local: local, remote: remote, octets: message)), to: .initiator)
        #expect(pair.initiator.closed == nil)
        #expect(pair.initiator.children.count == 1 && pair.initiator.outbound.count == 1)
    }

    /// charon renews as initiator and leaves it to the responder to end the old ISAKMP SA.
    @Test func anISAKMPSAWhoseChildrenAnotherTookEndsSoon() {
        var pair = established()
        pair.give(.disown, to: .responder)
        #expect(pair.responder.closed == nil && pair.responder.session.snapshot.state == .rekeyed)
        #expect(pair.initiator.session.snapshot.state == .established)
        pair.run(for: IKEv1Session.disownedTime + .seconds(1))
        #expect(pair.responder.closed == .expired)
        // The peer was told, and here has no sibling that took its children.
        #expect(pair.initiator.session.phaseOne == nil)
        #expect(pair.initiator.children.count == 1)
    }

    /// An Informational message of the peer's, as it would seal it.
    private func protected(
        _ payload: Payload, _ phaseOne: PhaseOne, _ session: IKEv1Session, messageID: UInt32 = 77
    ) throws -> [UInt8] {
        var rest: [UInt8] = []
        PayloadChain.write([payload], to: &rest)
        let hash = Payload(.hash, body: try phaseOne.keys.authenticator([messageID.octets, rest]))
        var chain = CipherChain(
            iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: messageID))
        return try chain.seal(
            [hash, payload], header: session.header(.informational, messageID: messageID), keys: phaseOne.keys)
    }

    @Test func childrenEndWithTheirLifetime() {
        var pair = established { $0.children[0].lifeTime = .seconds(100) }
        pair.run(for: .seconds(90))
        #expect(pair.initiator.usable.count == 1)
        pair.run(for: .seconds(20))
        for side in Pair.Side.allCases {
            #expect(pair[side].children.isEmpty && pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
        }
    }

    @Test func theShorterLifetimeCounts() {
        var left = Pair.connection(isLeft: true)
        left.children[0].lifeTime = .seconds(100_000)
        var right = Pair.connection(isLeft: false)
        right.children[0].lifeTime = .seconds(200)
        var pair = Pair(left, right)
        pair.establish()
        pair.run(for: .seconds(250))
        #expect(pair.initiator.children.isEmpty && pair.responder.children.isEmpty)
        left.children[0].lifeTime = .seconds(200)
        right.children[0].lifeTime = .seconds(100_000)
        var other = Pair(left, right)
        other.establish()
        #expect(other.responder.children.first?.expireAt == other.now + .seconds(200))
    }

    // MARK: Dead peers

    private func watched(timeout: Duration = .zero) -> Pair {
        established {
            $0.deadPeerDelay = .seconds(10)
            $0.deadPeerTimeout = timeout
        }
    }

    @Test func aQuietPeerIsAskedAndAnswers() {
        var pair = watched()
        let before = (pair.initiator.sent.count, pair.responder.sent.count)
        pair.run(for: .seconds(100))
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        #expect(pair.initiator.sent.count > before.0 + 3 && pair.responder.sent.count > before.1 + 3)
        // One question and one answer an interval, not a storm.
        #expect(pair.initiator.sent.count + pair.responder.sent.count < before.0 + before.1 + 60)
    }

    @Test func trafficSpareTheQuestion() {
        var pair = watched()
        let before = pair.initiator.sent.count + pair.responder.sent.count
        for _ in 0..<20 {
            pair.run(for: .seconds(5))
            for side in Pair.Side.allCases {
                pair.give(.inboundTraffic(pair[side].children[0].id, at: pair.now), to: side)
            }
        }
        #expect(pair.initiator.sent.count + pair.responder.sent.count == before)
    }

    @Test func aDeadPeerIsGivenUp() {
        var pair = watched()
        pair.network = { _, _, _ in [] }
        pair.run(for: .seconds(400))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == .peerUnresponsive)
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty && pair[side].claimed.isEmpty)
            #expect(pair[side].timers.isEmpty)
        }
    }

    @Test func aTimeoutOfItsOwnDecides() {
        var pair = watched(timeout: .seconds(45))
        pair.network = { _, _, _ in [] }
        pair.run(for: .seconds(40))
        #expect(pair.initiator.closed == nil)
        pair.run(for: .seconds(30))
        #expect(pair.initiator.closed == .peerUnresponsive && pair.responder.closed == .peerUnresponsive)
    }

    @Test func lostQuestionsAndAnswersAreBorne() {
        var pair = watched()
        // Two of three are lost.
        pair.network = { _, number, datagram in number % 3 == 0 ? [datagram] : [] }
        pair.run(for: .seconds(600))
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        pair.network = { _, _, datagram in [datagram] }
        pair.run(for: .seconds(100))
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
    }
}
