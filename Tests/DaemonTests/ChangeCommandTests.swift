import Configuration
import Control
import Foundation
import IPsec
import Testing

@testable import Daemon

/// A reload as a transaction: planned, done or not done, and taken back.
@Suite final class ChangeCommandTests {
    private let file = FileManager.default.temporaryDirectory.appending(
        path: "plan-\(UUID().uuidString.prefix(8)).conf")

    deinit { try? FileManager.default.removeItem(at: file) }

    private func write(_ proposals: String, children: [String] = ["net"], secret: String = "one") throws {
        let sections = children.map { "\($0) { remote_ts = 10.2.0.0/24 }" }.joined(separator: "\n")
        try """
        connections {
            home {
                version = 2
                local_addrs = 127.0.0.1
                remote_addrs = 127.0.0.9
                proposals = \(proposals)
                local { auth = psk }
                remote { auth = psk }
                children { \(sections) }
            }
        }
        secrets { ike-home { secret = \(secret) } }
        """.write(to: file, atomically: true, encoding: .utf8)
    }

    private func harness() throws -> ControlHarness {
        let configuration = try ConfigurationFiles.load(file.path).get()
        return try ControlHarness(configuration: configuration, files: file.path)
    }

    @Test func aPlanChangesNothing() throws {
        try write("aes128-sha256-x25519", children: ["net", "old"])
        let harness = try harness()
        let client = try harness.client()
        #expect(try client.ask("plan")?.list("changes") == [])
        let before = harness.loop.manager.policies.connections
        try write("aes256-sha256-x25519", children: ["net", "new"], secret: "two")
        let plan = try client.ask("plan")
        #expect(plan?.flag("success") == true)
        #expect(
            plan?.list("changes") == [
                "~ connections.home.proposals: aes128-sha256-prfsha256-x25519 -> aes256-sha256-prfsha256-x25519",
                "+ connections.home.children.new", "- connections.home.children.old",
                "~ secrets.ike-home.secret",
            ])
        #expect(plan?.json().contains("two") == false)
        #expect(harness.loop.manager.policies.connections == before)
    }

    @Test func effectsOnLiveSAsAreTold() throws {
        try write("aes128-sha256-x25519", children: ["net", "old"])
        let harness = try harness()
        let client = try harness.client()
        _ = try client.ask("initiate", ["child": "net", "timeout": "-1"])
        try write("aes256-sha256-x25519", children: ["net"])
        let effects = try client.ask("plan")?.list("effects")
        #expect(effects == ["home[1]: stays as negotiated; proposals count from the next IKE SA on"])
        try "connections { }".write(to: file, atomically: true, encoding: .utf8)
        #expect(
            try client.ask("plan")?.list("effects") == ["home[1]: deleted, with 0 children: its connection is gone"])
    }

    @Test func withAnErrorNothingChanges() throws {
        try write("aes128-sha256-x25519")
        let harness = try harness()
        let client = try harness.client()
        try write("aes128-sha257-x25519", children: ["net", "more"])
        let answer = try client.ask("reload")
        #expect(answer?.flag("success") == false)
        #expect(answer?.text("errmsg")?.contains("did you mean 'sha256'?") == true)
        #expect(harness.loop.manager.policies.connection("home")?.children.map(\.name) == ["net"])
        #expect(try client.ask("rollback")?.text("errmsg") == "there is no earlier configuration to go back to")
    }

    @Test func aReloadCanBeTakenBack() throws {
        try write("aes128-sha256-x25519", secret: "one")
        let harness = try harness()
        let client = try harness.client()
        let first = harness.loop.configuration
        try write("aes256-sha256-x25519", children: ["net", "more"], secret: "two")
        #expect(try client.ask("reload")?.list("changes").count == 3)
        #expect(harness.loop.manager.policies.connection("home")?.children.map(\.name) == ["net", "more"])
        let answer = try client.ask("rollback")
        #expect(answer?.list("changes").contains("- connections.home.children.more") == true)
        #expect(harness.loop.configuration.connections == first.connections)
        #expect(harness.loop.running.secrets.first?.secret == first.secrets.first?.secret)
        // One step back was all there was.
        #expect(try client.ask("rollback")?.flag("success") == false)
    }

    /// `strongswan.conf` beside the configuration counts, below the section `charon`; what changes nothing is said.
    @Test func reloadingSettingsReadsStrongswanConf() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "set-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let swanctl = directory.appending(path: "swanctl.conf")
        let settings = directory.appending(path: "strongswan.conf")
        try "charon { retransmit_tries = 2 }".write(to: swanctl, atomically: true, encoding: .utf8)
        try "charon { retransmit_tries = 3\nretransmit_base = 2 }".write(
            to: settings, atomically: true, encoding: .utf8)
        let harness = try ControlHarness(
            configuration: try ConfigurationFiles.load(directory.path).get(), files: directory.path)
        #expect(harness.loop.running.settings.engine.retransmitTries == 2)
        #expect(harness.loop.running.settings.engine.retransmitBase == 2)
        let client = try harness.client()
        try "charon { retransmit_base = 3\nikesa_limit = 7\nthreads = 4\nfilelog { x { default = 0\nnet = 2 } } }"
            .write(to: settings, atomically: true, encoding: .utf8)
        #expect(try client.ask("reload-settings")?.flag("success") == true)
        #expect(harness.loop.running.settings.engine.retransmitBase == 3)
        #expect(harness.loop.manager.admissionLimits.sessionMaximum == 7, "limits count at once")
        let log = try client.ask("recent-log")?.list("lines") ?? []
        #expect(log.contains { $0.contains("strongswan.conf:3:1: 'threads' in charon changes nothing: ") }, "\(log)")

        try "charon { retransmit_base = fast }".write(to: settings, atomically: true, encoding: .utf8)
        let refused = try client.ask("reload-settings")
        #expect(refused?.flag("success") == false)
        #expect(refused?.text("errmsg")?.contains("strongswan.conf:1:28: wrong value 'fast'") == true)
        #expect(harness.loop.running.settings.engine.retransmitBase == 3)
    }

    @Test func theSettingsFileLiesBesideOrAboveSwanctl() throws {
        let root = FileManager.default.temporaryDirectory.appending(path: "etc-\(UUID().uuidString.prefix(8))")
        defer { try? FileManager.default.removeItem(at: root) }
        for name in ["swanctl", "other"] {
            try FileManager.default.createDirectory(
                at: root.appending(path: name), withIntermediateDirectories: true)
        }
        func found(_ name: String) -> String? {
            ConfigurationFiles.settingsFile(beside: root.appending(path: name).path)
                .map { String($0.dropFirst(root.path.count)) }
        }
        #expect(found("swanctl") == nil)
        let above = root.appending(path: "strongswan.conf")
        try "".write(to: above, atomically: true, encoding: .utf8)
        #expect(found("swanctl") == "/strongswan.conf" && found("other") == nil)
        let beside = root.appending(path: "swanctl/strongswan.conf")
        try "".write(to: beside, atomically: true, encoding: .utf8)
        #expect(found("swanctl") == "/swanctl/strongswan.conf")
    }

    @Test func reloadingSettingsLeavesConnectionsAlone() throws {
        try write("aes128-sha256-x25519")
        let harness = try harness()
        let client = try harness.client()
        let text = try String(contentsOf: file, encoding: .utf8)
        try "charon { retransmit_tries = 2 }".write(to: file, atomically: true, encoding: .utf8)
        #expect(try client.ask("reload-settings")?.flag("success") == true)
        #expect(harness.loop.running.settings.engine.retransmitTries == 2)
        #expect(try client.ask("get-conns")?.list("conns") == ["home"])
        try text.write(to: file, atomically: true, encoding: .utf8)
    }
}
