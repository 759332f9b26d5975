import IPsec
import KeyManagement
import Primitives
import Testing

@Suite struct KeyManagerTests {
    static let left = IPAddress(v4: 0x0A00_0001)
    static let right = IPAddress(v4: 0x0A00_0002)

    /// A manager on the toy exchange with one connection `peer` and its children.
    static func manager(
        children: [ChildPolicy] = [KeyManagerTests.child()], change: (inout Connection) -> Void = { _ in },
        settings: EngineSettings = EngineSettings(), limits: AdmissionLimits = AdmissionLimits()
    ) -> KeyManager {
        var connection = Connection(name: "peer", proposals: [], children: children)
        connection.remoteAddresses = [.range(right, right)]
        change(&connection)
        return KeyManager(
            engines: KeyManager.Engines(v1: ScriptedSession.self, v2: ScriptedSession.self),
            now: Instant(nanoseconds: 0), randomness: .seeded(1), policies: PolicyDatabase(connections: [connection]),
            settings: settings, limits: limits, sourceAddress: { _ in left })
    }

    static func child(_ name: String = "net", change: (inout ChildPolicy) -> Void = { _ in }) -> ChildPolicy {
        var policy = ChildPolicy(name: name, proposals: [])
        change(&policy)
        return policy
    }

    static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    static func sent(_ effects: [Effect]) -> [Datagram] {
        effects.compactMap { if case .send(let datagram) = $0 { datagram } else { nil } }
    }

    static func replies(_ effects: [Effect]) -> [Response] {
        effects.compactMap { if case .reply(_, let response) = $0 { response } else { nil } }
    }

    /// What the peer of the toy exchange says to a request.
    static func answer(_ kind: ScriptedSession.Message, to request: Datagram, responder: UInt64 = 77) -> Datagram {
        var initiator: UInt64 = 0
        for octet in request.octets[..<8] { initiator = initiator << 8 | UInt64(octet) }
        return Datagram(
            local: request.local, remote: request.remote,
            octets: ScriptedSession.message(kind, initiator: initiator, responder: responder, fromInitiator: false))
    }

    static func firstMessage(from: IPAddress, initiator: UInt64) -> Datagram {
        Datagram(
            local: Endpoint(left, port: 500), remote: Endpoint(from, port: 500),
            octets: ScriptedSession.message(.request, initiator: initiator, responder: 0, fromInitiator: true))
    }

    @Test func initiateIsAnsweredWhenTheChildIsUp() throws {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        #expect(KeyManagerTests.replies(first).isEmpty)
        let second = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        #expect(KeyManagerTests.replies(second) == [.done(matches: 1)])
        #expect(manager.snapshots.map(\.state) == [.established])
        // A second wish for the same child is already fulfilled.
        let third = manager.handle(
            .command(.initiate(connection: "peer", child: "net"), RequestID(2)), now: KeyManagerTests.at(0.2))
        #expect(KeyManagerTests.replies(third) == [.done(matches: 1)])
        #expect(KeyManagerTests.sent(third).isEmpty)
    }

    @Test(arguments: [Connection.StreamUse.no, .yes, .fallback])
    func firstRequestsGoToTCPAsTheConnectionSays(use: Connection.StreamUse) throws {
        var manager = KeyManagerTests.manager {
            $0.streamUse = use
            $0.streamPort = 443
        }
        let stream = Endpoint(KeyManagerTests.right, port: 443, isStream: true)
        let plain = Endpoint(KeyManagerTests.right, port: 500)
        let first = KeyManagerTests.sent(
            manager.handle(.command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        )
        #expect(first.map(\.remote) == [use == .yes ? stream : plain])
        #expect(first.map(\.local.isStream) == [use == .yes])
        // Without an answer the next one goes both ways.
        let deadline = try #require(manager.nextDeadline)
        let second = KeyManagerTests.sent(manager.handle(.deadline, now: deadline))
        #expect(
            second.map(\.remote) == (use == .yes ? [stream] : use == .no ? [plain] : [plain, stream]))
        #expect(second.allSatisfy { $0.octets == first[0].octets })
        #expect(second.last?.local.port == (use == .no ? 500 : 4500))
    }

    @Test func whatFailsAtOnceIsNotCalledDone() {
        var manager = KeyManagerTests.manager(children: [KeyManagerTests.child("impossible")])
        let effects = manager.handle(
            .command(.initiate(connection: nil, child: "impossible"), RequestID(1)), now: KeyManagerTests.at(0))
        #expect(KeyManagerTests.replies(effects) == [.failed(.closed(.expired), matches: 1)])
    }

    @Test func aSecondInitiateJoinsTheFirst() throws {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let second = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(2)), now: KeyManagerTests.at(0))
        #expect(KeyManagerTests.sent(second).isEmpty)
        let request = try #require(KeyManagerTests.sent(first).first)
        let done = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(done) == [.done(matches: 1), .done(matches: 1)])
        #expect(manager.snapshots.count == 1)
    }

    @Test func refusalsReachWhoeverAsked() throws {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        let effects = manager.handle(
            .datagram(KeyManagerTests.answer(.refusal, to: request)), now: KeyManagerTests.at(0.1))
        #expect(
            KeyManagerTests.replies(effects) == [
                .failed(.refused(.peer(notification: 14, name: "NO_PROPOSAL_CHOSEN")), matches: 1)
            ])
        #expect(manager.residue.isEmpty)
        #expect(manager.nextDeadline == nil || manager.handle(.deadline, now: KeyManagerTests.at(100)).isEmpty)
    }

    @Test func unknownNamesAreSaid() {
        var manager = KeyManagerTests.manager()
        func reply(_ command: Command) -> [Response] {
            KeyManagerTests.replies(manager.handle(.command(command, RequestID(1)), now: KeyManagerTests.at(0)))
        }
        #expect(
            reply(.initiate(connection: nil, child: "nett")) == [.failed(.noSuchConfiguration("nett"), matches: 0)])
        #expect(reply(.terminate(Target(child: "net"))) == [.failed(.nothingMatches, matches: 0)])
        #expect(reply(.rekey(Target(connection: "peer"))) == [.failed(.nothingMatches, matches: 0)])
        #expect(reply(.terminate(Target())) == [.failed(.nothingMatches, matches: 0)])
    }

    @Test func aConnectionWithoutAnAddressCannotBeInitiated() {
        var manager = KeyManagerTests.manager { $0.remoteAddresses = [.any(nil)] }
        let effects = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        #expect(KeyManagerTests.replies(effects) == [.failed(.noRemoteAddress(connection: "peer"), matches: 0)])
        #expect(manager.residue.isEmpty)
    }

    @Test func silenceIsTriedAgainAsOftenAsKeyingTriesSays() {
        var manager = KeyManagerTests.manager { $0.keyingTries = 2 }
        var now = 0.0
        var requests = KeyManagerTests.sent(
            manager.handle(.command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        )
        var replies: [Response] = []
        while let deadline = manager.nextDeadline, now < 100 {
            now = Double(deadline.nanoseconds) / 1e9
            let effects = manager.handle(.deadline, now: deadline)
            requests += KeyManagerTests.sent(effects)
            replies += KeyManagerTests.replies(effects)
        }
        // Three times each, under a new SPI the second time.
        #expect(requests.count == 6)
        #expect(Set(requests.map { Array($0.octets[..<8]) }).count == 2)
        #expect(replies == [.failed(.closed(.peerUnresponsive), matches: 1)])
        #expect(manager.residue.isEmpty)
    }

    @Test func terminateTakesEverythingAway() throws {
        var manager = KeyManagerTests.manager()
        let request = try #require(
            KeyManagerTests.sent(
                manager.handle(
                    .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
            ).first)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        let effects = manager.handle(
            .command(.terminate(Target(connection: "peer")), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(effects) == [.done(matches: 1)])
        let removed = effects.count { if case .remove = $0 { true } else { false } }
        #expect(removed == 2)
        #expect(manager.residue.isEmpty)
    }

    /// A Delete waits behind a request that is never answered: `dpd_action` does not bring back what was to end.
    @Test func terminateHoldsThoughThePeerIsSilent() throws {
        var manager = KeyManagerTests.manager(
            children: [KeyManagerTests.child("stuck") { $0.deadPeerAction = .start }])
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "stuck"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        let asked = manager.handle(
            .command(.terminate(Target(connection: "peer")), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(asked).isEmpty && manager.snapshots.count == 1)
        let due = try #require(manager.nextDeadline)
        #expect(KeyManagerTests.replies(manager.handle(.deadline, now: due)).count == 1)
        #expect(manager.residue.isEmpty && manager.nextDeadline == nil)
    }

    /// The Delete has not been answered, or not even been said.
    @Test func whatIsAboutToEndIsNotCalledUp() throws {
        var manager = KeyManagerTests.manager(children: [KeyManagerTests.child("stuck")])
        let up = Command.initiate(connection: nil, child: "stuck")
        let first = manager.handle(.command(up, RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        let down = Command.terminate(Target(connection: "peer", child: "stuck"))
        #expect(KeyManagerTests.replies(manager.handle(.command(down, RequestID(2)), now: KeyManagerTests.at(1))) == [])
        #expect(manager.snapshots.map(\.state) == [.established])
        #expect(KeyManagerTests.replies(manager.handle(.command(up, RequestID(3)), now: KeyManagerTests.at(2))) == [])
        // On an IKE SA that ends it is not even asked for: another is opened.
        let all = Command.terminate(Target(connection: "peer"))
        #expect(KeyManagerTests.replies(manager.handle(.command(all, RequestID(4)), now: KeyManagerTests.at(3))) == [])
        #expect(manager.snapshots.map(\.state) == [.established])
        let again = manager.handle(.command(up, RequestID(5)), now: KeyManagerTests.at(4))
        #expect(KeyManagerTests.replies(again) == [] && KeyManagerTests.sent(again).count == 1)
        #expect(manager.snapshots.count == 2)
    }

    /// What lingers behind a rekeying ends by itself and without an event: nobody waits for it.
    @Test func terminateDoesNotWaitForAReplacedChild() throws {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        let target = Target(connection: nil, child: "net", session: nil, childID: nil)
        let rekeyed = manager.handle(.command(.rekey(target), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(rekeyed) == [.done(matches: 1)])
        let ended = manager.handle(.command(.terminate(target), RequestID(3)), now: KeyManagerTests.at(2))
        #expect(KeyManagerTests.replies(ended) == [.done(matches: 1)])
        let again = manager.handle(.command(.terminate(target), RequestID(4)), now: KeyManagerTests.at(3))
        #expect(KeyManagerTests.replies(again) == [.failed(.nothingMatches, matches: 0)])
        _ = manager.handle(.deadline, now: KeyManagerTests.at(6))
        let closed = manager.handle(
            .command(
                .terminate(Target(connection: "peer", child: nil, session: nil, childID: nil)), RequestID(5)),
            now: KeyManagerTests.at(7))
        #expect(KeyManagerTests.replies(closed) == [.done(matches: 1)])
        #expect(manager.residue.isEmpty)
    }

    @Test func startActionBringsTheChildUpAndBack() throws {
        var manager = KeyManagerTests.manager(
            children: [
                KeyManagerTests.child {
                    $0.startAction = .start
                    $0.closeAction = .start
                }
            ])
        #expect(manager.nextDeadline == KeyManagerTests.at(0))
        let request = try #require(
            KeyManagerTests.sent(manager.handle(.deadline, now: KeyManagerTests.at(0))).first)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        #expect(manager.nextDeadline == nil)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.bye, to: request)), now: KeyManagerTests.at(1))
        let again = try #require(manager.nextDeadline)
        #expect(again > KeyManagerTests.at(1) && again <= KeyManagerTests.at(4))
        #expect(KeyManagerTests.sent(manager.handle(.deadline, now: again)).count == 1)
    }

    @Test func aPeersFirstMessageOpensASessionOnce() {
        var manager = KeyManagerTests.manager()
        let message = KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: 5)
        _ = manager.handle(.datagram(message), now: KeyManagerTests.at(0))
        _ = manager.handle(.datagram(message), now: KeyManagerTests.at(0.5))
        #expect(manager.snapshots.count == 1)
        #expect(manager.sessionCounts.halfOpen == 0)
    }

    @Test func initialContactDropsWhatThePeerHadBefore() {
        var manager = KeyManagerTests.manager()
        func begin(_ initiator: UInt64, at seconds: Double) -> [Effect] {
            manager.handle(
                .datagram(KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: initiator)),
                now: KeyManagerTests.at(seconds))
        }
        func claim(_ initiator: UInt64, at seconds: Double) -> [Effect] {
            manager.handle(
                .datagram(
                    Datagram(
                        local: Endpoint(KeyManagerTests.left, port: 500),
                        remote: Endpoint(KeyManagerTests.right, port: 500),
                        octets: ScriptedSession.message(
                            .initialContact, initiator: initiator, responder: 0, fromInitiator: true))),
                now: KeyManagerTests.at(seconds))
        }
        _ = begin(1, at: 0)
        _ = begin(2, at: 1)
        _ = begin(3, at: 1)
        #expect(manager.snapshots.count == 3)
        // The second began after the first was established, and with the third.
        let effects = claim(2, at: 2)
        #expect(manager.snapshots.count == 2)
        #expect(KeyManagerTests.sent(effects).isEmpty)
    }

    @Test func garbageCostsACounter() {
        var manager = KeyManagerTests.manager()
        for octets in [[], [1, 2, 3], [UInt8](repeating: 0, count: 28), [UInt8](repeating: 0xFF, count: 28)] {
            let datagram = Datagram(
                local: Endpoint(KeyManagerTests.left, port: 500), remote: Endpoint(KeyManagerTests.right, port: 500),
                octets: octets)
            let effects = manager.handle(.datagram(datagram), now: KeyManagerTests.at(0))
            #expect(KeyManagerTests.sent(effects).isEmpty)
        }
        #expect(manager.counters.malformed == 4)
        #expect(manager.residue.isEmpty)
    }
}
