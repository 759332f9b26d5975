import Configuration
import Control
import Foundation
import FoundationNetworking
import Glibc
import IPsec
import KeyManagement
import Logging
import Platform
import Primitives
import Synchronization
import Testing

@testable import Daemon

/// What those see who watch: metrics, health, logs, systemd.
@Suite struct ObservationTests {
    // MARK: Metrics

    /// Every sample by its name with labels; each family's type stands before its samples, and the end is the end.
    private func samples(_ text: String) throws -> [String: Double] {
        var samples: [String: Double] = [:]
        var families: Set<String> = []
        let lines = text.split(separator: "\n").map(String.init)
        #expect(lines.last == "# EOF")
        for line in lines.dropLast() {
            let words = line.split(separator: " ").map(String.init)
            if line.hasPrefix("# ") {
                if words[1] == "TYPE" { #expect(families.insert(words[2]).inserted, "\(line)") }
                continue
            }
            let space = try #require(line.lastIndex(of: " "))
            let name = String(line[..<space])
            let base = String(name.prefix { $0 != "{" })
            #expect(families.contains { base.hasPrefix($0) }, "\(line)")
            samples[name] = try #require(Double(String(line[line.index(after: space)...])) as Double?)
        }
        return samples
    }

    @Test func metricsTellWhatIsConfiguredAndDown() throws {
        let harness = try ControlHarness([ControlHarness.connection("home")])
        let client = try harness.client()
        let before = try samples(harness.loop.metrics)
        #expect(before[#"parley_child_up{connection="home",child="home-net"}"#] == 0)
        #expect(before[#"parley_handshake_seconds_bucket{le="+Inf"}"#] == 0)
        #expect(before["parley_handshake_seconds_count"] == 0)
        _ = try client.ask("initiate", ["child": "home-net", "timeout": "-1"])
        let after = try samples(harness.loop.metrics)
        #expect(after[#"parley_ike_sas{connection="home",state="CONNECTING"}"#] == 1)
    }

    @Test func labelsAreEscaped() throws {
        var metrics = Metrics()
        metrics.family("x", "gauge", "a\nb")
        metrics.sample("x", [("name", "a\"b\\c\nd")], 1)
        #expect(metrics.exposition == "# TYPE x gauge\n# HELP x a\\nb\nx{name=\"a\\\"b\\\\c\\nd\"} 1\n# EOF\n")
    }

    @Test func aHandshakeFallsIntoItsBuckets() throws {
        var tally = Tally()
        let address = try #require(IPAddress("192.0.2.1"))
        let endpoint = Endpoint(address, port: 500)
        func event(_ seconds: Double, _ kind: Event.Kind) -> Event {
            Event(time: Instant(nanoseconds: Int64(seconds * 1e9)), session: SessionID(1), connection: "a", kind: kind)
        }
        let trace = MessageTrace(isOutgoing: true, local: endpoint, remote: endpoint, header: [], parts: [])
        tally.record(event(1, .session(.message(trace))))
        tally.record(event(1.2, .session(.established)))
        #expect(tally.established == 1)
        let first = try #require(tally.buckets.firstIndex(of: 1))
        #expect(Metrics.handshakeBounds[first] == 0.25)
        #expect(tally.buckets[first...].allSatisfy { $0 == 1 })
        tally.record(event(2, .closed(.refused(.timeout))))
        tally.record(event(2, .session(.refused(child: nil, .authentication(peer: Identity(address))))))
        #expect(tally.refusals == ["timeout": 1, "authentication": 1])
    }

    // MARK: Health

    @Test func healthNamesWhatShouldBeUpAndIsNot() throws {
        var connection = ControlHarness.connection("home")
        connection.children[0].startAction = .start
        let harness = try ControlHarness([connection])
        let text = harness.loop.health
        #expect(text.contains(#""status":"degraded""#))
        #expect(text.contains(#""wanted-but-down":["home/home-net"]"#))
        #expect(try ControlHarness([ControlHarness.connection("home")]).loop.health.contains(#""status":"ok""#))
    }

    // MARK: HTTP

    @Test func theServerAnswersOverHTTP() async throws {
        let inbox = Inbox()
        let observatory = Observatory(inbox: inbox)
        // Whatever asks is answered by a thread that plays the control loop.
        Threads.start {
            while true {
                _ = Poller.wait([Poller.Interest(inbox.wakeup.descriptor)], milliseconds: -1)
                for item in inbox.take() {
                    if case .observe(let subject, let reply) = item { reply("\(subject)") }
                }
            }
        }
        let port = UInt16(20_000 + UInt16(getpid() % 20_000))
        observatory.start(port: port) { Issue.record("\($0)") }
        func get(_ path: String) async throws -> (status: Int, text: String, type: String) {
            let url = try #require(URL(string: "http://127.0.0.1:\(port)\(path)"))
            for attempt in 0..<200 {
                do {
                    let (data, response) = try await URLSession.shared.data(from: url)
                    let http = try #require(response as? HTTPURLResponse)
                    return (
                        http.statusCode, String(decoding: data, as: UTF8.self),
                        http.value(forHTTPHeaderField: "Content-Type") ?? ""
                    )
                } catch  where attempt < 199 {
                    // It may not listen yet.
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            return (0, "", "")
        }
        let metrics = try await get("/metrics")
        #expect(metrics.status == 200)
        #expect(metrics.text == "metrics")
        #expect(metrics.type.hasPrefix("application/openmetrics-text"))
        #expect(try await get("/health").text == "health")
        #expect(try await get("/nothing").status == 404)
    }

    // MARK: Logs

    @Test func levelsGoByTopic() throws {
        let levels = try #require(LogLevels("warning,net=debug,IKE=info"))
        #expect(levels.lowest == .debug)
        #expect(levels.lets(.debug, topic: "NET"))
        #expect(levels.lets(.info, topic: "IKE"))
        #expect(!levels.lets(.debug, topic: "IKE"))
        #expect(!levels.lets(.notice, topic: "CFG"))
        for wrong in ["loud", "net=loud", "nothing=info", "net=info=debug"] {
            #expect(LogLevels(wrong) == nil, "\(wrong)")
        }
    }

    @Test func aJSONLineIsOneObject() throws {
        let written = Lines()
        var logger = Logger(label: "test") { JSONLogHandler(label: $0) { written.add($0) } }
        logger.logLevel = .info
        logger.info("said \"so\"\n", metadata: ["ikeSA": "7", "group": "IKE"])
        logger.debug("not this")
        let lines = written.all
        #expect(lines.count == 1)
        let object = try JSONSerialization.jsonObject(with: Data(lines[0].utf8)) as? [String: String]
        #expect(object?["message"] == "said \"so\"\n")
        #expect(object?["ikeSA"] == "7")
        #expect(object?["level"] == "info")
        #expect(object?["time"]?.hasSuffix("Z") == true)
    }

    private final class Lines: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    // MARK: systemd

    @Test func systemdHearsThatTheServiceIsReady() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "notify-\(UUID().uuidString.prefix(8))").path
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        defer {
            close(descriptor)
            unlink(path)
        }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8)) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        let variables = ["NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"]
        let notifier = ServiceNotifier { variables[$0] }
        #expect(notifier.watchdogInterval == .seconds(1))
        notifier.ready("2 connections")
        notifier.alive()
        notifier.stopping()
        var heard: [String] = []
        var buffer = [UInt8](repeating: 0, count: 512)
        for _ in 0..<3 {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 { heard.append(String(decoding: buffer[..<count], as: UTF8.self)) }
        }
        #expect(heard == ["READY=1\nSTATUS=2 connections", "WATCHDOG=1", "STOPPING=1"])
    }

    @Test func withoutSystemdNothingIsSaid() {
        let notifier = ServiceNotifier { _ in nil }
        #expect(notifier.watchdogInterval == nil)
        notifier.ready("nobody hears this")
        let other = ServiceNotifier { ["NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"][$0] }
        #expect(other.watchdogInterval == nil)
    }

    // MARK: Captures

    @Test func anOpenedMessageHasItsPayloadsInTheClear() throws {
        let endpoint = Endpoint(try #require(IPAddress("192.0.2.1")), port: 500)
        // Main Mode's fifth message: version 1.0, exchange 2, encrypted.
        var header = [UInt8](repeating: 1, count: 16)
        header += [5, 0x10, 2, 0x01, 0, 0, 0, 0, 0, 0, 0, 92]
        let trace = MessageTrace(
            isOutgoing: true, local: endpoint, remote: endpoint, header: header,
            parts: [
                MessageTrace.Part(type: 5, body: [1, 0, 0, 0, 192, 0, 2, 1], isProtected: true),
                MessageTrace.Part(type: 8, body: [7, 7, 7, 7], isProtected: true),
            ])
        let octets = try #require(OpenedMessages.octets(trace))
        #expect(octets.count == 28 + 12 + 8)
        #expect(octets[16] == 5)
        #expect(octets[19] == 0)
        #expect(Array(octets[24..<28]) == [0, 0, 0, 48])
        #expect(Array(octets[28..<32]) == [8, 0, 0, 12])
        #expect(Array(octets[40..<44]) == [0, 0, 0, 8])
    }
}
