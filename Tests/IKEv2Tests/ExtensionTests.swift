import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Childless SAs (RFC 6023), authentication lifetimes (RFC 4478), fragment sizes (RFC 7383), and what narrowing and
/// refusals lead to (RFC 7296 §1.3, §2.9).
@Suite struct ExtensionTests {
    private func pair(_ left: (inout Connection) -> Void, _ right: (inout Connection) -> Void = { _ in }) -> Pair {
        var one = Pair.connection(isLeft: true)
        left(&one)
        var other = Pair.connection(isLeft: false)
        right(&other)
        return Pair(one, other)
    }

    // MARK: Childless

    @Test(arguments: [Connection.ChildlessUse.prefer, .force]) func childrenComeAfterIKEAuth(
        use: Connection.ChildlessUse
    ) {
        var pair = pair({
            $0.childless = use; $0.children[0].proposals[0].keyExchange = [.ecp256]
        }) {
            $0.children[0].proposals[0].keyExchange = [.ecp256]
        }
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.disagreements == [])
        // The first child has a key exchange of its own.
        #expect(pair.initiator.usable.first?.suite.keyExchange == .ecp256)
        #expect(pair.initiator.sent.map(\.octets[18]) == [34, 35, 36])
    }

    @Test func whoNeverTakesThemSaysSo() {
        var preferring = pair({ $0.childless = .prefer }) { $0.childless = .never }
        preferring.establish()
        #expect(preferring.initiator.usable.count == 1)
        #expect(preferring.initiator.sent.map(\.octets[18]) == [34, 35])
        var forcing = pair({ $0.childless = .force }) { $0.childless = .never }
        forcing.establish()
        guard case .refused(.policy)? = forcing.initiator.closed else {
            Issue.record("\(String(describing: forcing.initiator.closed))")
            return
        }
    }

    @Test func aForcingResponderRefusesTheFirstChildAlone() {
        var pair = pair({ _ in }) { $0.childless = .force }
        pair.establish()
        #expect(pair.initiator.events.contains(.established) && pair.initiator.children.isEmpty)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        #expect(pair.initiator.usable.count == 1 && pair.disagreements == [])
    }

    // MARK: Repeated authentication

    @Test func theRespondersLifetimeBindsTheInitiator() throws {
        var pair = pair({ _ in }) {
            $0.reauthenticationTime = .seconds(100)
            $0.overTime = .seconds(100)
        }
        pair.establish()
        let due = try #require(pair.initiator.timers[.reauthenticate]) - pair.now
        #expect(due > .seconds(79) && due <= .seconds(90))
        pair.run(for: .seconds(95))
        #expect(pair.initiator.renewals == 1)
    }

    @Test func itsOwnEarlierTimeStays() throws {
        var pair = pair({
            $0.reauthenticationTime = .seconds(50)
            $0.randomTime = .zero
        }) { $0.reauthenticationTime = .seconds(1000) }
        pair.establish()
        #expect(try #require(pair.initiator.timers[.reauthenticate]) - pair.now == .seconds(50))
    }

    // MARK: Fragments

    private func longPair(_ settings: EngineSettings, _ change: (inout Connection) -> Void = { _ in }) -> Pair {
        func selectors(_ base: Int) -> [DynamicSelector] {
            (0..<120).map { Pair.selector("10.\(base).\($0).0/24") }
        }
        var left = Pair.connection(isLeft: true)
        left.children[0].localSelectors = selectors(1)
        left.children[0].remoteSelectors = selectors(2)
        change(&left)
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = selectors(2)
        right.children[0].remoteSelectors = selectors(1)
        return Pair(left, right, settings: settings, otherSettings: EngineSettings())
    }

    @Test(arguments: [576, 1280, 1500]) func piecesFitTheConfiguredPacket(octets: Int) {
        var settings = EngineSettings()
        settings.fragmentOctetsV4 = octets
        var pair = longPair(settings)
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.disagreements == [])
        let longest = pair.initiator.sent.map(\.octets.count).max() ?? 0
        #expect(longest <= octets - 32 && longest > octets - 32 - 40)
        // The responder does not cut longer than what it sees.
        let answers = pair.responder.sent.dropFirst().map(\.octets.count).max() ?? 0
        #expect(answers <= min(longest, 1280 - 32))
    }

    @Test func whatIsTooLongForThePathIsCutAnew() {
        var settings = EngineSettings()
        settings.fragmentOctetsV4 = 1500
        var pair = longPair(settings)
        pair.network = { _, _, datagram in datagram.octets.count > 600 ? [] : [datagram] }
        pair.establish()
        pair.run(for: .seconds(60))
        #expect(pair.initiator.events.contains(.established) && pair.disagreements == [])
        #expect(pair.initiator.usable.count == 1)
    }

    @Test(arguments: [Connection.Fragmentation.no, .accept]) func whoDoesNotCutSendsWhole(
        use: Connection.Fragmentation
    ) {
        var pair = longPair(EngineSettings()) { $0.fragmentation = use }
        pair.establish()
        #expect(pair.initiator.usable.count == 1)
        #expect(pair.initiator.sent.count == 2)
        #expect((pair.responder.sent.count == 2) == (use == .no))
    }

    // MARK: Selectors

    @Test func whatNarrowingLeavesIsOfferedAgain() {
        func first(_ base: Int) -> DynamicSelector { Pair.selector("10.\(base).0.0/24") }
        func second(_ base: Int) -> DynamicSelector { Pair.selector("10.\(base).1.0/24") }
        var left = Pair.connection(isLeft: true)
        left.children[0].remoteSelectors = [first(2), second(2)]
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = [first(2)]
        var other = right.children[0]
        other.name = "other"
        other.localSelectors = [second(2)]
        right.children.append(other)
        var pair = Pair(left, right)
        pair.establish()
        #expect(pair.initiator.usable.count == 2 && pair.disagreements == [])
        #expect(Set(pair.responder.usable.map(\.name)) == ["net", "other"])
        #expect(Set(pair.initiator.usable.flatMap(\.remoteSelectors)).count == 2)
    }

    @Test func nothingMoreIsOfferedWhereNothingMoreIsTaken() {
        var left = Pair.connection(isLeft: true)
        left.children[0].remoteSelectors = [Pair.selector("10.2.0.0/24"), Pair.selector("10.9.0.0/24")]
        var pair = Pair(left, Pair.connection(isLeft: false))
        pair.establish()
        #expect(pair.initiator.usable.count == 1)
        #expect(pair.initiator.sent.map(\.octets[18]) == [34, 35])
    }

    @Test func onePairOfAddressesIsOfferedToWhoWantsOne() throws {
        var pair = Pair()
        pair.establish()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.wire = []
        try answer(&pair, NotifyPayload(.singlePairRequired))
        // The second offer holds one pair, and is accepted.
        #expect(pair.wire.count == 1)
        pair.settle()
        let new = try #require(pair.initiator.usable.last)
        #expect(new.localSelectors.map { $0.first == $0.last } == [true])
        #expect(new.remoteSelectors.map { $0.first == $0.last } == [true])
        #expect(pair.disagreements == [])
    }

    /// Answers the initiator's outstanding request with a notification, as if the responder had.
    private func answer(_ pair: inout Pair, _ notification: NotifyPayload) throws {
        var sa = try #require(pair.responder.session.current)
        var randomness = Randomness.seeded(8)
        let pending = try #require(pair.initiator.session.current?.pending.first)
        let octets = try sa.seal(
            pending.type, messageID: pending.messageID, isResponse: true, [notification.payload], &randomness)
        // The responder must not answer this request number again.
        pair.ends[1].session.associations[0].expectedRequestID = pending.messageID + 1
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.local, remote: snapshot.remote, octets: octets[0])), to: .initiator)
    }

    @Test(arguments: [true, false]) func aPeerThatRekeysNothingGetsAnotherSession(ike: Bool) throws {
        var pair = Pair()
        pair.establish()
        let child = pair.initiator.children[0].id
        pair.give(.command(ike ? .rekeyIKE : .rekeyChild(child)), to: .initiator)
        pair.wire = []
        try answer(&pair, NotifyPayload(.noAdditionalSAs))
        #expect(pair.initiator.renewals == 1 && pair.initiator.closed == nil)
        #expect(pair.initiator.usable.map(\.id) == [child])
    }

    // MARK: Rehearsal

    @Test func aRehearsalShowsAMismatchAtOnce() {
        func pair(_ group: KeyExchangeID) -> Pair {
            var pair = self.pair({
                $0.children[0].rehearsesRekeying = true
                $0.children[0].proposals[0].keyExchange = [.curve25519]
            }) { $0.children[0].proposals[0].keyExchange = [group] }
            pair.establish()
            return pair
        }
        let good = pair(.curve25519)
        #expect(good.initiator.usable.first?.suite.keyExchange == .curve25519 && good.disagreements == [])
        let bad = pair(.ecp384)
        let refused = bad.initiator.events.contains { event in
            if case .refused(child: "net", .peer(notification: 14, name: _)) = event { true } else { false }
        }
        #expect(refused)
        // The child that works goes on.
        #expect(bad.initiator.usable.count == 1 && bad.disagreements == [])
    }

    // MARK: Requests that nobody should trust

    @Test func unknownCriticalPayloadsOfAFirstMessageAreNamed() throws {
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let first = try #require(pair.wire.popLast()?.datagram.mirrored)
        var reader = ByteReader(first.octets)
        let header = try Header(from: &reader)
        var (payloads, _) = try PayloadChain.read(first: header.nextPayload, from: &reader)
        payloads.append(Payload(PayloadType(rawValue: 201), critical: true, body: [1]))
        let octets = Message(header: header, payloads: payloads).octets
        pair.give(
            .datagram(Datagram(local: first.local, remote: first.remote, octets: octets)), to: .responder)
        let answer = try #require(pair.responder.sent.last)
        var inner = ByteReader(answer.octets)
        let answered = try Header(from: &inner)
        let (told, _) = try PayloadChain.read(first: answered.nextPayload, from: &inner)
        let notification = try NotifyPayload(parsing: try #require(told.first))
        #expect(notification.type == .unsupportedCriticalPayload && notification.data == [201])
        #expect(pair.responder.claimed.isEmpty)
    }
}
