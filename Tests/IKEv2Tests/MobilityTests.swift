import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Changes of address (RFC 4555): who decides, who checks, and what travels where meanwhile.
@Suite struct MobilityTests {
    static let elsewhere = IPAddress("203.0.113.7")!

    static func pair(_ left: Bool = true, _ right: Bool = true) -> Pair {
        var one = Pair.connection(isLeft: true)
        one.isMobile = left
        var other = Pair.connection(isLeft: false)
        other.isMobile = right
        // Where the peer comes from does not matter: it is known by its identity.
        other.remoteAddresses = [.any(nil)]
        var pair = Pair(one, other)
        pair.establish()
        return pair
    }

    private func endpoints(_ end: Pair.End) -> Set<[Endpoint]> {
        Set((Array(end.inbound.values) + Array(end.outbound.values)).map { [$0.local, $0.remote] })
    }

    @Test func theInitiatorMovesAndPacketsFollow() throws {
        var pair = Self.pair()
        #expect(pair.initiator.session.mobility.isSupported && pair.responder.session.mobility.isSupported)
        let before = pair.responder.session.remote
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        let (_, update) = try #require(pair.wire.first)
        #expect(update.local.address == Self.elsewhere)
        pair.wire = []
        // The responder answers where the request came from, and checks before its packets go there.
        pair.give(.datagram(update.mirrored), to: .responder)
        #expect(pair.responder.session.remote.address == Self.elsewhere)
        #expect(endpoints(pair.responder) == [[pair.responder.session.local, before]])
        #expect(pair.wire.count == 2 && pair.wire.allSatisfy { $0.datagram.remote.address == Self.elsewhere })
        pair.settle()
        #expect(endpoints(pair.responder) == [[pair.responder.session.local, pair.responder.session.remote]])
        #expect(endpoints(pair.initiator) == [[pair.initiator.session.local, pair.initiator.session.remote]])
        #expect(pair.disagreements == [])
        // All goes on from there.
        pair.give(.command(.rekeyChild(pair.responder.children[0].id)), to: .responder)
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.run(for: .seconds(30))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        pair.give(.command(.move(Pair.left)), to: .initiator)
        pair.settle()
        #expect(pair.responder.session.remote.address == Pair.left)
    }

    /// Both ends rekey the IKE SA, and the initiator is done and moves while the responder does not know yet which of the two
    /// new SAs stays: what it is told on the peer's counts.
    @Test func aMoveOnASuccessorThatIsNotYetInUse() throws {
        var pair = Self.pair()
        // The responder's own request is lost, and so is what it sends to the address that the peer had.
        pair.network = { side, _, datagram in
            side == .responder && datagram.octets[19] & 0x20 == 0 && datagram.remote.address != Self.elsewhere
                ? [] : [datagram]
        }
        pair.give(.command(.rekeyIKE), to: .responder)
        #expect(pair.wire.isEmpty)
        pair.give(.command(.rekeyIKE), to: .initiator)
        let (_, request) = try #require(pair.wire.first)
        pair.wire = []
        pair.give(.datagram(request.mirrored), to: .responder)
        #expect(pair.responder.session.associations.map(\.role) == [.current, .candidate])
        let (_, response) = try #require(pair.wire.first)
        pair.wire = []
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        pair.wire = []
        pair.give(.datagram(response.mirrored), to: .initiator)
        let update = try #require(
            pair.wire.map(\.datagram).first { Array($0.octets[0..<8]) != Array(request.octets[0..<8]) })
        pair.wire = []
        pair.give(.datagram(update.mirrored), to: .responder)
        #expect(pair.responder.session.associations.map(\.role) == [.current, .candidate])
        #expect(pair.responder.session.remote.address == Self.elsewhere)
        pair.run(for: .seconds(60))
        #expect(pair.responder.session.remote.address == Self.elsewhere)
        #expect(endpoints(pair.responder) == [[pair.responder.session.local, pair.responder.session.remote]])
        #expect(pair.disagreements == [] && pair.responder.closed == nil && pair.initiator.closed == nil)
        #expect(!pair.responder.session.isRemoteBehindNAT && !pair.initiator.session.isLocalBehindNAT)
    }

    /// The responder rekeys the IKE SA, the answer is lost, and the initiator moves: the responder asks again where nobody is, and
    /// does not know the SA that the initiator uses by then.
    @Test func aMoveBehindALostAnswerToARekeying() throws {
        var pair = Self.pair()
        pair.give(.command(.rekeyIKE), to: .responder)
        let (_, request) = try #require(pair.wire.first)
        pair.wire = []
        pair.give(.datagram(request.mirrored), to: .initiator)
        pair.wire = []
        pair.network = { side, _, datagram in
            side == .responder && datagram.remote.address != Self.elsewhere ? [] : [datagram]
        }
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        pair.run(for: .seconds(300))
        #expect(pair.responder.closed == nil && pair.initiator.closed == nil)
        #expect(pair.responder.session.remote.address == Self.elsewhere)
        #expect(endpoints(pair.responder) == [[pair.responder.session.local, pair.responder.session.remote]])
        #expect(pair.disagreements == [])
        #expect(pair.initiator.session.current?.initiatorSPI == pair.responder.session.current?.initiatorSPI)
        #expect(pair.initiator.session.associations.count == 1 && pair.responder.session.associations.count == 1)
    }

    /// RFC 4555 §3.3: port 4500 from IKE_AUTH on, though no NAT is there and ESP stays bare. OpenIKED, which knows MOBIKE,
    /// answers from there in any case.
    @Test(arguments: [true, false]) func whoMayMoveFloatsWithoutANAT(isMobile: Bool) {
        let pair = Self.pair(isMobile, true)
        let port: UInt16 = isMobile ? 4500 : 500
        for session in [pair.initiator.session, pair.responder.session] {
            #expect(session.local.port == port && session.remote.port == port && !session.isEncapsulating)
        }
        #expect(pair.initiator.sent.map(\.remote.port) == [500, port])
        #expect(pair.disagreements == [])
    }

    @Test(arguments: [(true, false), (false, true)]) func aPeerThatDoesNotKnowItStays(left: Bool, right: Bool) {
        var pair = Self.pair(left, right)
        #expect(!pair.initiator.session.mobility.isSupported && !pair.responder.session.mobility.isSupported)
        let sent = pair.initiator.sent.count
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        #expect(pair.initiator.sent.count == sent && pair.initiator.session.local.address == Pair.left)
    }

    /// The update comes on an IKE SA that the responder has just replaced.
    @Test func anUpdateThatCrossesARekeyingArrives() throws {
        var pair = Self.pair()
        let before = pair.initiator.session.current?.ownSPI
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        // The rekeying first, with its answer, and only then the update.
        let update = pair.wire.remove(at: 1)
        #expect(update.to == .responder && pair.wire.map(\.to) == [.initiator])
        let rekeying = pair.wire.removeFirst().datagram
        pair.give(.datagram(rekeying.mirrored), to: .initiator)
        let answer = try #require(pair.wire.firstIndex { $0.to == .responder })
        let response = pair.wire.remove(at: answer).datagram
        pair.give(.datagram(response.mirrored), to: .responder)
        #expect(pair.initiator.session.current?.ownSPI != before && pair.responder.session.associations.count == 2)
        pair.give(.datagram(update.datagram.mirrored), to: .responder)
        pair.run(for: .seconds(60))
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        #expect(pair.responder.session.remote.address == Self.elsewhere)
        #expect(endpoints(pair.responder) == [[pair.responder.session.local, pair.responder.session.remote]])
        #expect(endpoints(pair.initiator) == [[pair.initiator.session.local, pair.initiator.session.remote]])
        #expect(pair.initiator.session.associations.count == 1 && pair.disagreements == [])
    }

    /// The check whether the initiator receives at its new address comes on an IKE SA that the initiator has just replaced.
    @Test func aCheckThatCrossesARekeyingIsRepeated() throws {
        var pair = Self.pair()
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        let update = pair.wire.removeFirst().datagram
        pair.give(.datagram(update.mirrored), to: .responder)
        // The answer, and the responder's check.
        let answer = pair.wire.removeFirst().datagram
        let check = pair.wire.removeFirst().datagram
        pair.give(.datagram(answer.mirrored), to: .initiator)
        pair.give(.command(.rekeyIKE), to: .initiator)
        let rekeying = pair.wire.removeFirst().datagram
        pair.give(.datagram(rekeying.mirrored), to: .responder)
        let response = pair.wire.removeFirst().datagram
        pair.give(.datagram(response.mirrored), to: .initiator)
        pair.give(.datagram(check.mirrored), to: .initiator)
        pair.run(for: .seconds(60))
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        #expect(endpoints(pair.responder) == [[pair.responder.session.local, pair.responder.session.remote]])
        #expect(pair.responder.session.remote.address == Self.elsewhere && pair.disagreements == [])
    }

    @Test func theResponderDoesNotDecide() {
        var pair = Self.pair()
        pair.give(.command(.move(Self.elsewhere)), to: .responder)
        #expect(pair.wire.isEmpty && pair.responder.session.local.address == Pair.right)
    }

    /// A message that is authentic and comes from elsewhere moves nothing by itself (RFC 4555 §3.8).
    @Test func onlyTheInitiatorsWordCounts() throws {
        var pair = Self.pair()
        pair.ends[1].session.isRemoteBehindNAT = true
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        var (_, request) = try #require(pair.wire.first)
        pair.wire = []
        request.local = Endpoint(Self.elsewhere, port: 9)
        pair.give(.datagram(request.mirrored), to: .responder)
        #expect(pair.responder.session.remote.address == Pair.left)
    }

    @Test func aLostUpdateIsSentAgainAndEachStepMayBeLost() {
        for lost in 0..<4 {
            var pair = Self.pair()
            let count = pair.sentCount
            pair.network = { _, number, datagram in number == count + lost ? [] : [datagram] }
            pair.give(.command(.move(Self.elsewhere)), to: .initiator)
            pair.run(for: .seconds(30))
            #expect(pair.responder.session.remote.address == Self.elsewhere, "\(lost)")
            #expect(endpoints(pair.responder).allSatisfy { $0[1].address == Self.elsewhere }, "\(lost)")
            #expect(pair.disagreements == [])
        }
    }

    @Test func twoMovesAtOnceEndAtTheSecond() {
        var pair = Self.pair()
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        pair.give(.command(.move(IPAddress("203.0.113.9")!)), to: .initiator)
        pair.run(for: .seconds(30))
        #expect(pair.responder.session.remote.address == IPAddress("203.0.113.9")!)
        #expect(endpoints(pair.responder).allSatisfy { $0[1].address == IPAddress("203.0.113.9")! })
    }

    /// Somebody who answers without having seen the request gives himself away.
    @Test func aWrongCookieEndsTheSA() throws {
        var pair = Self.pair()
        pair.give(.command(.move(Self.elsewhere)), to: .initiator)
        pair.wire = []
        var sa = try #require(pair.responder.session.current)
        var randomness = Randomness.seeded(4)
        let id = try #require(pair.initiator.session.current?.pending.first?.messageID)
        let answer = try sa.seal(
            .informationalV2, messageID: id, isResponse: true,
            [NotifyPayload(.cookie2, data: Array(repeating: 1, count: 16)).payload], &randomness)
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.local, remote: snapshot.remote, octets: answer[0])), to: .initiator)
        guard case .refused(.protocolViolation)? = pair.initiator.closed else {
            Issue.record("\(String(describing: pair.initiator.closed))")
            return
        }
    }

    @Test func anotherAddressOfThePeersIsTried() throws {
        var pair = Self.pair()
        let other = IPAddress("198.51.100.77")!
        pair.ends[0].session.mobility.peerAddresses = [other]
        // Nobody answers at the first address.
        pair.network = { _, _, datagram in datagram.remote.address == Pair.right ? [] : [datagram] }
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.run(for: .seconds(100))
        #expect(pair.initiator.closed == nil && pair.initiator.session.remote.address == other)
        #expect(pair.initiator.usable.count == 1 && pair.disagreements == [])
    }

    @Test func thePeersAddressesAreBounded() throws {
        var pair = Self.pair()
        var sa = try #require(pair.responder.session.current)
        var randomness = Randomness.seeded(4)
        let list =
            (0..<100).map { NotifyPayload(.additionalIPv4Address, data: [10, 0, 0, UInt8($0)]).payload }
            + [NotifyPayload(.additionalIPv4Address, data: [1, 2]).payload]
        let snapshot = pair.initiator.session.snapshot
        for datagram in try sa.seal(
            .informationalV2, messageID: sa.nextRequestID, isResponse: false, list, &randomness)
        {
            pair.give(
                .datagram(Datagram(local: snapshot.local, remote: snapshot.remote, octets: datagram)), to: .initiator)
        }
        #expect(pair.initiator.session.mobility.peerAddresses.count == Mobility.maximumAddresses)
    }

    @Test func aNATBeforeUsThatMapsAnewIsNoticed() throws {
        var pair = Self.pair()
        // A translator puts another source in front of the responder.
        func translate(_ port: UInt16) -> (Pair.Side, Int, Datagram) -> [Datagram] {
            { side, _, datagram in
                var seen = datagram
                if side == .initiator { seen.local = Endpoint(Self.elsewhere, port: port) }
                return [seen]
            }
        }
        pair.ends[0].session.isLocalBehindNAT = true
        for port in [4001, 4001, 4002] as [UInt16] {
            pair.network = translate(port)
            pair.ends[0].session.plan(.liveness)
            pair.give(.timer(.retry), to: .initiator)
            pair.settle()
        }
        #expect(pair.responder.session.remote == Endpoint(Self.elsewhere, port: 4002))
        #expect(endpoints(pair.responder).allSatisfy { $0[1].port == 4002 })
    }
}
