import Foundation
import Testing

extension Interop {
    /// The daemon as systemd runs it: readiness, signs of life, and a socket that is held for it. A program of the tests
    /// stands in for systemd.
    @Suite struct Services {
        @Test("readiness, watchdog and socket activation") func asSystemdRunsIt() throws {
            let binary = try #require(Parley.binary)
            let folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("parley-service-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let configuration = folder.appendingPathComponent("swanctl.conf").path
            try "connections { a { version = 2\nlocal { auth = psk }\nremote { auth = psk }\nchildren { n { } } } }\n"
                .write(toFile: configuration, atomically: true, encoding: .utf8)
            let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
                .appendingPathComponent("calls/service_stand_in.py").path
            let output = try Subprocess.require(
                ["unshare", "-n", "python3", "-W", "ignore", script, binary, configuration, folder.path], seconds: 120)
            let seen = try #require(
                JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: [String: Any]], "\(output)")
            #expect(Set(seen.keys) == ["first start", "second start"])
            for (start, facts) in seen {
                #expect(facts["ready"] as? String == "READY=1\nSTATUS=1 connections", "\(start)")
                #expect(facts["stopping"] as? String == "STOPPING=1", "\(start)")
                #expect(facts["status"] as? Int == 0, "\(start)")
                for (fact, value) in facts where !["ready", "stopping", "status"].contains(fact) {
                    #expect(value as? Bool == true, "\(start): \(fact)")
                }
            }
            #expect(seen["second start"]?["silent when it hangs"] != nil)
        }

        private static let configuration = """
            connections { site { version = 2
                local_addrs = 192.0.2.1
                remote_addrs = 192.0.2.2
                local { auth = psk
                    id = service }
                remote { auth = psk
                    id = peer }
                children { net { local_ts = 10.1.0.0/24
                    remote_ts = 10.2.0.0/24 } } } }
            secrets { ike-site { secret = "a secret of the test" } }

            """

        /// What a package installs, under systemd as process 1 of namespaces of its own.
        @Test(
            "systemd starts the installed units, keeps them in their sandbox, and starts anew one that hangs",
            .enabled(if: FileManager.default.isExecutableFile(atPath: "/lib/systemd/systemd"), "systemd is not here"))
        func underSystemdItself() throws {
            let binary = try #require(Parley.binary)
            let folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("parley-systemd-\(UUID().uuidString.prefix(8))")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            func write(_ text: String, _ name: String) throws {
                try text.write(to: folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
            }
            try write(Self.configuration, "swanctl.conf")
            // The unit's own watchdog takes half a minute.
            try write("[Service]\nWatchdogSec=2\nStandardError=file:/judge/parley.log\n", "drop-in.conf")
            let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            let calls = tests.appendingPathComponent("calls")
            try FileManager.default.copyItem(
                at: calls.appendingPathComponent("systemd_judge.py"),
                to: folder.appendingPathComponent("systemd_judge.py"))
            let packaging = tests.deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("packaging")
            let boot = try Subprocess.run(
                ["sh", calls.appendingPathComponent("systemd_boot.sh").path, binary, packaging.path, folder.path],
                seconds: 180)
            if boot.status == 77 {
                print("not under systemd: \(boot.output)")
                return
            }
            func log(_ name: String) -> String {
                (try? String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)) ?? ""
            }
            let logs = ["console.log", "judge.log", "parley.log", "peer.log"].map { "\($0):\n\(log($0))" }
                .joined(separator: "\n")
            let facts = try #require(
                JSONSerialization.jsonObject(with: Data(log("facts.json").utf8)) as? [String: Any],
                "\(boot) \(logs)")
            #expect(facts.count >= 28)
            #expect(facts["status"] as? String == "1 connections")
            #expect(facts["no new privileges"] as? String == "1")
            #expect(facts["system calls are filtered"] as? String == "2")
            for (fact, value) in facts where !(value is String) || fact.contains("good") || fact.contains("tunnel") {
                #expect(value as? Bool == true, "\(fact): \(value)\n\(logs)")
            }
        }
    }
}
