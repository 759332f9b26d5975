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
    }
}
