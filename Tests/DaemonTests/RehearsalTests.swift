import Configuration
import Control
import Cryptography
import Explain
import IPsec
import KeyManagement
import Primitives
import Testing

@testable import Daemon

/// `rehearse`: rekeyings now, and what came of them.
@Suite struct RehearsalTests {
    private let now = Instant(nanoseconds: 1_000_000_000_000)
    private let policies: PolicyDatabase = {
        var connection = ControlHarness.connection("home")
        connection.children[0].name = "net"
        connection.children[0].proposals[0].keyExchange = [.curve25519, .ecp384]
        return PolicyDatabase(connections: [connection])
    }()

    private func child(_ id: UInt32, _ group: KeyExchangeID? = nil) throws -> ChildSnapshot {
        let selector = try #require(Prefix("10.1.0.0/16").map { TrafficSelector($0) })
        return ChildSnapshot(
            id: ChildID(id), name: "net", requestID: 1, state: .installed, mode: .tunnel, inboundSPI: SPI(0x1000 + id),
            outboundSPI: SPI(0x2000 + id),
            suite: Suite(encryption: Encryption(.aesGCM16, keyBits: 128), keyExchange: group),
            udpEncapsulation: false, installed: now, rekeyAt: nil, expireAt: nil, localSelectors: [selector],
            remoteSelectors: [selector])
    }

    private func part(_ child: ChildSnapshot, version: UInt8 = 2) -> Rehearsals.Part {
        Rehearsals.Part(connection: "home", session: SessionID(7), version: version, child: child)
    }

    private func event(_ kind: Event.Kind, version: UInt8 = 2, children: [ChildSnapshot] = []) throws -> Event {
        let address = try #require(IPAddress("192.0.2.1"))
        var snapshot = SessionSnapshot(
            id: SessionID(7), connection: "home", version: version, state: .established, isInitiator: true,
            local: Endpoint(address, port: 500), remote: Endpoint(address, port: 500))
        snapshot.established = now
        snapshot.children = children
        return Event(
            time: now, session: SessionID(7), connection: "home", kind: kind, child: "net", snapshot: snapshot)
    }

    /// The answer to a rehearsal of these children after these events; `nil` while some are not over.
    private func answer(_ parts: [Rehearsals.Part], _ events: [Event]) -> ViciMessage? {
        var rehearsals = Rehearsals()
        var book = DecisionBook()
        var answer: ViciMessage?
        _ = rehearsals.begin(parts) { answer = RehearsalCommand.answer($0, policies: policies) }
        for event in events {
            _ = book.record(event, policies: policies, secrets: []) { _, _ in nil }
            for done in rehearsals.record(event, newest: book.records.last) { done() }
        }
        return answer
    }

    private func section(_ answer: ViciMessage?, _ name: String) throws -> ViciMessage {
        try #require(answer?.section("rehearsals")?.section(name))
    }

    @Test func whatIsAgreedOnIsToldWithItsKeyExchange() throws {
        let old = try child(3)
        let new = try child(4, .curve25519)
        let done = answer(
            [part(old)],
            [try event(.session(.childRekeyed(old: ChildID(3), new: ChildID(4))), children: [old, new])])
        #expect(done?.flag("success") == true && done?.text("matches") == "1")
        let told = try section(done, "net-3")
        #expect(told.text("outcome") == "agreed" && told.text("new") == "4" && told.text("dh-group") == "CURVE_25519")
        #expect(told.text("summary") == "rekeyed as {4} with a fresh key exchange in x25519")
    }

    @Test func aKeyExchangeOfNoneIsNoPerfectForwardSecrecy() throws {
        let children = [try child(3), try child(4)]
        let done = answer(
            [part(children[0])],
            [try event(.session(.childRekeyed(old: ChildID(3), new: ChildID(4))), children: children)])
        let told = try section(done, "net-3")
        #expect(told.text("outcome") == "agreed" && told.text("dh-group") == nil)
        #expect(told.text("summary")?.contains("no perfect forward secrecy") == true)
    }

    private let refusal = Event.Kind.session(
        .refused(child: "net", .peer(notification: 14, name: "NO_PROPOSAL_CHOSEN")))

    @Test func aFirstChildThatIsRefusedDiffersInItsKeyExchange() throws {
        let done = answer([part(try child(3))], [try event(refusal)])
        #expect(done?.flag("success") == false && done?.text("errmsg") == "1 of 1 rekeyings did not succeed")
        let told = try section(done, "net-3")
        #expect(told.text("outcome") == "refused")
        let remedy = try #require(told.section("remedies")?.section("1"))
        #expect(remedy.text("key") == "connections.home.children.net.esp_proposals")
        #expect(remedy.text("current") == "x25519, ecp384" && remedy.text("side") == "either")
        #expect(told.list("lines").contains { $0.contains("it is the key exchange that differs") })
    }

    /// A child with a key exchange of its own may be refused for anything, and so may one of version 1.
    @Test(arguments: [UInt8(1), 2]) func otherRefusalsHaveTheRecordsRemedies(_ version: UInt8) throws {
        let group: KeyExchangeID? = version == 2 ? .ecp384 : nil
        let done = answer([part(try child(3, group), version: version)], [try event(refusal, version: version)])
        let told = try section(done, "net-3")
        #expect(told.text("outcome") == "refused")
        #expect(told.section("remedies")?.section("1")?.text("wanted") == "what the peer has, too")
        #expect(!told.list("lines").contains { $0.contains("it is the key exchange that differs") })
    }

    @Test func eachOfSeveralHasItsOwnOutcome() throws {
        let parts = [part(try child(3)), part(try child(5)), part(try child(8))]
        let rekeyed = try event(
            .session(.childRekeyed(old: ChildID(5), new: ChildID(6))), children: [try child(6, .ecp384)])
        // Refusals name no child SA: they are those of the first that was asked for and is not over.
        let events = [try event(refusal), rekeyed]
        #expect(answer(parts, events) == nil)
        let done = answer(parts, events + [try event(.session(.childClosed(ChildID(8))))])
        #expect(done?.text("errmsg") == "2 of 3 rekeyings did not succeed")
        #expect(try section(done, "net-3").text("outcome") == "refused")
        #expect(try section(done, "net-5").text("outcome") == "agreed")
        #expect(try section(done, "net-8").text("outcome") == "ended")
    }

    @Test func othersEventsAreNotMeant() throws {
        var other = try event(refusal)
        other.session = SessionID(8)
        let rekeyed = try event(.session(.childRekeyed(old: ChildID(1), new: ChildID(2))), children: [try child(2)])
        #expect(answer([part(try child(3))], [other, rekeyed]) == nil)
        #expect(answer([part(try child(3))], [try event(.closed(.peerUnresponsive))])?.flag("success") == false)
    }

    @Test func givenUpIsUnansweredAndToldOnce() throws {
        var rehearsals = Rehearsals()
        var answers: [ViciMessage] = []
        let number = rehearsals.begin([part(try child(3))]) {
            answers.append(RehearsalCommand.answer($0, policies: policies))
        }
        rehearsals.end(number)?()
        #expect(try section(answers.first, "net-3").text("outcome") == "unanswered")
        let again = rehearsals.end(number)
        let late = rehearsals.record(try event(refusal), newest: nil)
        #expect(again == nil && late.isEmpty && answers.count == 1)
    }

    @Test func whatIsNotUpCannotBeRehearsed() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let client = try harness.client()
        let answer = try client.ask("rehearse", ["ike": "home"])
        #expect(answer?.flag("success") == false && answer?.text("matches") == "0")
        #expect(answer?.text("errmsg") == "no child of home is up to be rekeyed: parley up first")
        #expect(try client.ask("rehearse")?.text("errmsg") == "missing configuration name")
    }

    // MARK: Notes at load

    @Test func everyWayOfLoadingNotesWhatMayBreakAtTheFirstRekeying() throws {
        var connection = ControlHarness.connection("home")
        connection.children[0].proposals[0].keyExchange = [.curve25519]
        func notes(_ client: TestClient) throws -> [String] {
            try client.ask("recent-log")?.list("lines").filter { $0.contains("parley rehearse") } ?? []
        }
        let started = try ControlHarness([connection])
        #expect(try notes(try started.client()).count == 1)
        let empty = try ControlHarness()
        let client = try empty.client()
        #expect(try notes(client).isEmpty)
        var body: ViciMessage = ["version": "2"]
        body.add("remote_addrs", list: ["192.0.2.9"])
        body.add("local", section: ["auth": "psk"])
        body.add("remote", section: ["auth": "psk"])
        var children = ViciMessage()
        var net = ViciMessage()
        net.add("esp_proposals", list: ["aes256gcm16-x25519"])
        children.add("net", section: net)
        body.add("children", section: children)
        var message = ViciMessage()
        message.add("work", section: body)
        #expect(try client.ask("load-conn", message)?.flag("success") == true)
        #expect(try notes(client).map { $0.contains("connections.work.children.net.esp_proposals") } == [true])
    }
}
