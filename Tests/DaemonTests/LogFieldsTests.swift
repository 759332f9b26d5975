import Cryptography
import Foundation
import IPsec
import KeyManagement
import Logging
import Primitives
import Synchronization
import Testing

@testable import Daemon

/// What log lines have beside their text.
@Suite struct LogFieldsTests {
    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    private func child(_ id: UInt32) -> ChildSnapshot {
        ChildSnapshot(
            id: ChildID(id), name: "net", requestID: 3, state: .installed, mode: .tunnel,
            inboundSPI: SPI(0xC0_0000 + id), outboundSPI: SPI(0xDE00_0000 + id),
            suite: Suite(encryption: Encryption(.aesGCM16, keyBits: 128)), udpEncapsulation: true,
            installed: Instant(nanoseconds: 0), rekeyAt: nil, expireAt: nil, localSelectors: [], remoteSelectors: [])
    }

    private func session(_ children: [ChildSnapshot] = []) throws -> SessionSnapshot {
        var session = SessionSnapshot(
            id: SessionID(7), connection: "home", version: 2, state: .established, isInitiator: true,
            local: Endpoint(try #require(IPAddress("192.0.2.1")), port: 4500),
            remote: Endpoint(try #require(IPAddress("2001:db8::2")), port: 4501))
        session.initiatorSPI = 0x0123_4567_89AB_CDEF
        session.responderSPI = 0xF
        session.children = children
        return session
    }

    private func event(_ kind: Event.Kind, child: String? = nil, _ snapshot: SessionSnapshot? = nil) -> Event {
        Event(
            time: Instant(nanoseconds: 0), session: SessionID(7), connection: "home", kind: kind, child: child,
            snapshot: snapshot)
    }

    private static let ikeSA = [
        "connection": "home", "ikeSA": "7", "peer": "2001:db8::2[4501]", "initiatorSPI": "0123456789abcdef",
        "responderSPI": "000000000000000f",
    ]

    /// The fields of what the events come to in JSON, a line each, without time, level and text.
    private func written(_ events: [Event], living: SessionSnapshot? = nil) throws -> [[String: String]] {
        let sink = Lines()
        var journal = Journal(
            logger: Logger(label: "test") { JSONLogHandler(label: $0) { sink.add($0) } },
            levels: LogLevels(general: .debug))
        var known = KnownAssociations()
        for event in events {
            _ = journal.record(event, known: known) { _ in living }
            known.record(event)
        }
        return try sink.all.map { line in
            var object =
                try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: String] ?? [:]
            for key in ["time", "level", "message", "group"] { object[key] = nil }
            return object
        }
    }

    @Test func childrenHaveTheirNumbersAndSPIsUntilTheyAreGone() throws {
        let lines = try written([
            event(.session(.childEstablished(ChildID(9))), child: "net", try session([child(9)])),
            event(.session(.childRekeyed(old: ChildID(9), new: ChildID(10))), child: "net", try session([child(10)])),
            // The snapshot is from after it.
            event(.session(.childClosed(ChildID(10))), child: "net", try session()),
        ])
        func fields(_ id: String, _ inbound: String, _ outbound: String) -> [String: String] {
            Self.ikeSA.merging(["child": "net", "childSA": id, "spiIn": inbound, "spiOut": outbound]) { $1 }
        }
        #expect(lines.count == 3)
        #expect(lines[0] == fields("9", "00c00009", "de000009"))
        #expect(lines[1] == fields("10", "00c0000a", "de00000a").merging(["oldChildSA": "9"]) { $1 })
        #expect(lines[2] == fields("10", "00c0000a", "de00000a"))
    }

    @Test func everyLineAboutAnIKESANamesIt() throws {
        let address = try #require(IPAddress("10.3.0.1"))
        let kinds: [SessionEvent] = [
            .established, .initialContact, .configured(local: [address], remote: []), .rekeyedIKE,
            .retransmitting(messageID: 3, attempt: 1), .note("something"),
        ]
        for kind in kinds {
            let lines = try written([event(.session(kind))], living: try session())
            #expect(lines == [Self.ikeSA], "\(kind)")
        }
        // What is refused names the child, before it has a number.
        let refused = try written(
            [
                event(
                    .session(.refused(child: "net", .peer(notification: 14, name: "NO_PROPOSAL_CHOSEN"))), child: "net")
            ], living: try session())
        #expect(!refused.isEmpty)
        for line in refused { #expect(line == Self.ikeSA.merging(["child": "net"]) { $1 }) }
        let closed = try written([event(.closed(.deletedByUs), try session([child(9), child(11)]))])
        #expect(closed == [Self.ikeSA.merging(["childSAs": "9 11"]) { $1 }])
    }

    @Test func whatIsKnownOfAnIKESAOutlivesIt() throws {
        let lines = try written([
            event(.session(.established), try session()), event(.session(.note("late"))),
        ])
        #expect(lines == [Self.ikeSA, Self.ikeSA])
        // One that is over says no SPIs itself.
        var over = try session()
        (over.initiatorSPI, over.responderSPI) = (0, 0)
        let closing = try written([
            event(.session(.established), try session()), event(.closed(.deletedByPeer), over),
        ])
        #expect(closing == [Self.ikeSA, Self.ikeSA])
        let unknown = try written([event(.closed(.deletedByPeer), over)])
        #expect(unknown == [["connection": "home", "ikeSA": "7", "peer": "2001:db8::2[4501]"]])
    }

    @Test func notesAreAboutWhatTheyAreTold() throws {
        let harness = try ControlHarness()
        harness.loop.note(.child, "it moved", of: try session([child(9)]), child: child(9))
        let line = try #require(harness.loop.journal.recent.last)
        #expect(line.connection == "home" && line.session == SessionID(7))
        #expect(line.fields.values["spiOut"] == "de000009")
        harness.loop.note(.daemon, "nothing special")
        #expect(harness.loop.journal.recent.last?.fields == LogFields())
    }
}
