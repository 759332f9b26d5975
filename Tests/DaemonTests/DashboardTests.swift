import Control
import Cryptography
import Foundation
import FoundationNetworking
import Glibc
import IPsec
import Platform
import Primitives
import Synchronization
import Testing

@testable import Daemon

/// The dashboard: its data, who may ask for it, and the page in a real browser.
@Suite struct DashboardTests {
    // MARK: Data

    @Test func theDataAreWhatTheDaemonKnows() throws {
        var connection = ControlHarness.connection("home")
        connection.children[0].startAction = .start
        let harness = try ControlHarness([connection])
        _ = try harness.client().ask("initiate", ["child": "home-net", "timeout": "-1"])
        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(harness.loop.dashboardStatus.utf8)) as? [String: Any])
        #expect(json["ike-sas"] as? Int == 1 && json["connections"] as? Int == 1)
        #expect(json["wanted-but-down"] as? [String] == ["home/home-net"])
        let sas = try #require(json["sas"] as? [[String: [String: Any]]])
        #expect(sas.first?["home"]?["state"] as? String == "CONNECTING")
        #expect((json["refusals"] as? [Any])?.isEmpty == true && json["refusals-kept"] as? Int == 0)
        #expect(json["version"] as? String == ParleyVersion.text && json["uptime"] is Int)
    }

    // MARK: Who may ask

    @Test(arguments: ["127.0.0.1", "127.0.0.1:9469", "localhost:80", "LocalHost"]) func ourNames(_ host: String) {
        #expect(Observatory.isOwn(host: host))
    }

    @Test(arguments: [
        nil, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:9469", "127.0.0.1:x",
        "localhost:80:1",
        "[::1]", "127.0.0.1:99999", "localhost@evil.example", ":80", String(repeating: "a", count: 100),
    ]) func strangersNames(_ host: String?) {
        #expect(!Observatory.isOwn(host: host))
    }

    /// A server whose control loop is a thread that says `json`, by the how manieth question it is.
    private func server(_ offset: UInt16, json: @escaping @Sendable (Int) -> String) -> UInt16 {
        let inbox = Inbox()
        Threads.start {
            var count = 0
            while true {
                _ = Poller.wait([Poller.Interest(inbox.wakeup.descriptor)], milliseconds: -1)
                for case .observe(_, let reply) in inbox.take() {
                    reply(json(count))
                    count += 1
                }
            }
        }
        let port = 40_000 + offset + UInt16(getpid() % 10_000)
        Observatory(inbox: inbox).start(port: port) { Issue.record("\($0)") }
        return port
    }

    private func get(_ port: UInt16, _ path: String, host: String? = nil) async throws -> HTTPURLResponse {
        var request = URLRequest(url: try #require(URL(string: "http://127.0.0.1:\(port)\(path)")))
        if let host { request.setValue(host, forHTTPHeaderField: "Host") }
        for _ in 0..<200 {
            // It may not listen yet.
            if let (_, response) = try? await URLSession.shared.data(for: request) {
                return try #require(response as? HTTPURLResponse)
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw URLError(.cannotConnectToHost)
    }

    @Test func strangersGetNothingAndThePageRunsNoScriptButItsOwn() async throws {
        let port = server(0) { _ in "{}" }
        for path in ["/", "/status.json", "/metrics", "/health"] {
            #expect(try await get(port, path).statusCode == 200)
            #expect(try await get(port, path, host: "rebound.example:\(port)").statusCode == 421)
        }
        let policies = try await [get(port, "/"), get(port, "/")].map {
            $0.value(forHTTPHeaderField: "Content-Security-Policy") ?? ""
        }
        #expect(Set(policies).count == 2, "a nonce is used once")
        for policy in policies {
            #expect(policy.hasPrefix("default-src 'none'; script-src 'nonce-"))
            #expect(policy.contains("connect-src 'self'") && policy.contains("frame-ancestors 'none'"))
            #expect(!policy.contains("unsafe") && !policy.contains("*"))
        }
        let page = DashboardPage.html(nonce: "N")
        #expect(
            !page.contains("http://") || page.components(separatedBy: "http://").count == 2, "one namespace, no link")
        #expect(!page.contains("https://") && !page.contains("innerHTML") && !page.contains("src="))
    }

    // MARK: In a browser

    private static let browser: String? = {
        let places: [String] = ["/usr/bin/chromium-headless-shell", "/usr/bin/chromium"]
        return places.first { FileManager.default.isExecutableFile(atPath: $0) }
    }()

    /// One SA whose peer chose its name with care, with counters that grow.
    @Sendable private static func status(_ count: Int) -> String {
        let address = IPAddress(v4: 0xC000_0202)
        let now = Instant(nanoseconds: 1_000_000_000_000)
        var session = SessionSnapshot(
            id: SessionID(7), connection: "site", version: 2, state: .established, isInitiator: true,
            local: Endpoint(address, port: 4500), remote: Endpoint(address, port: 4500))
        session.suite = Suite(encryption: Encryption(.aesGCM16, keyBits: 256), prf: .hmacSHA384, keyExchange: .ecp384)
        session.established = now - .seconds(4000)
        session.rekeyAt = now + .seconds(9000)
        session.children = [
            ChildSnapshot(
                id: ChildID(9), name: "net", requestID: 3, state: .installed, mode: .tunnel, inboundSPI: SPI(1),
                outboundSPI: SPI(2), suite: Suite(encryption: Encryption(.aesGCM16, keyBits: 256)),
                udpEncapsulation: true, installed: now - .seconds(400), rekeyAt: now + .seconds(3000), expireAt: nil,
                localSelectors: [TrafficSelector(IPAddress(v4: 0x0A01_0000))],
                remoteSelectors: [TrafficSelector(IPAddress(v4: 0x0A02_0000))])
        ]
        let sa = SnapshotMessages.message(session, now: now) { _ in
            let octets = UInt64(count * count * 40_000)
            return (TrafficCounters(packets: 1, octets: octets), TrafficCounters(packets: 1, octets: octets / 3))
        }
        let hostile = #"<img src=x onerror=\"document.title='broken'\">"#
        let line = sa.json(indentation: 0).replacing(#""remote-id":"%any""#, with: #""remote-id":"\#(hostile)""#)
        let remedy = #"{"1":{"side":"here","key":"connections.site.proposals","current":"aes256","wanted":"aes128"}}"#
        return #"{"status":"degraded","version":"1","connections":2,"ike-sas":1,"children":1,"#
            + #""wanted-but-down":["site/dmz"],"uptime":5000,"refusals-kept":1,"sas":[\#(line)],"refusals":[{"age":"75","#
            + #""connection":"site","child":"dmz","remote":"192.0.2.2:500","summary":"nothing in common \#(hostile)","#
            + #""remedies":\#(remedy),"lines":["refused: nothing in common","  ours  theirs"]}]}"#
    }

    @Test(
        .enabled(
            if: DashboardTests.browser != nil,
            "NOT TESTED in a browser: Debian's chromium-headless-shell is missing; scripts/install installs it"))
    func aBrowserShowsIt() async throws {
        let port = server(1) { Self.status($0) }
        #expect(try await get(port, "/").statusCode == 200)
        let folder = FileManager.default.temporaryDirectory.appending(path: "dashboard-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let dump = folder.appending(path: "dom")
        try Data().write(to: dump)
        let browser = Process()
        browser.executableURL = URL(fileURLWithPath: try #require(Self.browser))
        // Its own sandbox refuses to run as root.
        browser.arguments = [
            "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=\(folder.path)",
            "--virtual-time-budget=30000", "--dump-dom", "http://127.0.0.1:\(port)/",
        ]
        browser.standardOutput = try FileHandle(forWritingTo: dump)
        browser.standardError = FileHandle.nullDevice
        // Without holding a thread meanwhile: the server needs one.
        try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
            browser.terminationHandler = { _ in continuation.resume() }
            do { try browser.run() } catch { continuation.resume(throwing: error) }
        }
        #expect(browser.terminationStatus == 0)
        let dom = String(decoding: try Data(contentsOf: dump), as: UTF8.self)
        #expect(dom.contains("site[7] IKEv2") && dom.contains("net{9}"), "\(dom.suffix(3000))")
        #expect(dom.contains("10.1.0.0/32 ⇄ 10.2.0.0/32") && dom.contains("AES_GCM_16-256"))
        #expect(dom.contains("class=\"line-in\" d=\"M"), "no curve")
        #expect(dom.contains("connections.site.proposals = aes128 (now aes256)") && dom.contains("1m15s ago"))
        #expect(dom.contains(">degraded<") && dom.contains("wanted, but down"))
        // What a peer says is text.
        #expect(dom.contains("&lt;img src=x") && !dom.contains("<img") && dom.contains("<title>Parley</title>"))
    }
}
