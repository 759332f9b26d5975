import Foundation
import Testing

extension Interop {
    /// `parley capture` beside a running daemon, opened by tshark.
    @Suite struct Captures {
        private func capture(
            _ lab: Lab, _ daemon: Parley, _ file: URL, _ options: [String], user: [String] = []
        ) throws -> Subprocess {
            guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
            return try Subprocess(
                lab.network.on(daemon.side, user + [binary, "capture", file.path, "--uri", daemon.uri] + options),
                outputPath: lab.directory.appendingPathComponent("capture-\(UUID().uuidString.prefix(8))"))
        }

        private func read(
            _ file: URL, profile: URL, _ filter: String, _ fields: String...
        ) throws -> [Substring] {
            let result = try Subprocess.run(
                ["tshark", "-r", file.path, "-Y", filter, "-T", "fields"] + fields.flatMap { ["-e", $0] },
                environment: ["WIRESHARK_CONFIG_DIR": profile.path], seconds: 60)
            guard result.succeeded else { throw LabFailure(result.description) }
            return result.output.split(separator: "\n").filter { !$0.hasPrefix("Running as user") }
        }

        @Test(
            "tshark opens what was captured, both directions",
            arguments: Scenario.all.filter { $0.pairing.initiator == .parley })
        func opens(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let daemon = try #require(lab.left as? Parley)
                let file = lab.directory.appendingPathComponent("capture.pcapng")
                let profile = lab.directory.appendingPathComponent("profile")
                try lab.load(Link(scenario.version).suite(ike: "aes256-sha256-ecp256", esp: "aes128-sha256"))
                let capture = try capture(
                    lab, daemon, file, ["--secrets", profile.path, "--ike", "net", "--max-size", "50m"])
                try eventually("it captures") { capture.output.contains("capturing into") }
                try lab.up()
                #expect(try lab.ping(from: .left).loss == 0)
                #expect(daemon.log.contains("gets the keys of all SAs"))
                let (left, right) = (Side.left, Side.right)
                try eventually("echoes and answers are in the file") {
                    let echoes = try read(file, profile: profile, "icmp", "icmp.type", "esp.spi")
                    return Set(echoes.map { $0.first }) == ["8", "0"]
                }
                let identities = try read(
                    file, profile: profile,
                    scenario.version == .v2 ? "isakmp.exchangetype == 35" : "isakmp.exchangetype == 2",
                    "isakmp.id.data.fqdn")
                for side in [left, right] {
                    #expect(identities.contains { $0.contains(side.identity) }, "\(side): \(identities)")
                }
                #expect(try read(file, profile: profile, "_ws.malformed", "frame.number").isEmpty)
                // Without the keys it stays closed.
                let empty = lab.directory.appendingPathComponent("empty")
                #expect(try read(file, profile: empty, "icmp", "frame.number").isEmpty)
                #expect(try !read(file, profile: empty, "esp", "frame.number").isEmpty)
                for path in [file.path, profile.appendingPathComponent("esp_sa").path] {
                    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
                    #expect(mode as? Int == 0o600)
                }
                capture.stop()
                try eventually("the keys stay with the daemon again") {
                    daemon.log.contains("no client of the control socket gets keys any more")
                }
            }
        }

        @Test(
            "tshark opens SAs that were there before the capture",
            arguments: Scenario.all.filter { $0.pairing.initiator == .parley })
        func opensLiving(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let daemon = try #require(lab.left as? Parley)
                let file = lab.directory.appendingPathComponent("capture.pcapng")
                let profile = lab.directory.appendingPathComponent("profile")
                try lab.load(Link(scenario.version).suite(ike: "aes256-sha256-ecp256", esp: "aes128-sha256"))
                try lab.up()
                let capture = try capture(lab, daemon, file, ["--secrets", profile.path])
                try eventually("it captures") { capture.output.contains("capturing into") }
                #expect(try lab.ping(from: .left).loss == 0)
                try eventually("echoes and answers are in the file") {
                    let echoes = try read(file, profile: profile, "icmp", "icmp.type", "esp.spi")
                    return Set(echoes.map { $0.first }) == ["8", "0"]
                }
                // IKEv1's messages need phase 1 in the file: each IV is made of the message before.
                guard scenario.version == .v2 else { return }
                #expect(try lab.left.rekey(child: "inner").succeeded)
                try eventually("CREATE_CHILD_SA of the old IKE SA is opened, in both directions") {
                    let nonces = try read(file, profile: profile, "isakmp.exchangetype == 36", "isakmp.nonce")
                    return Set(nonces.filter { !$0.isEmpty }).count >= 2
                }
            }
        }

        @Test(
            "bounds and filters hold, and strangers get no keys",
            arguments: Scenario.versions2.filter { $0.pairing.initiator == .parley && $0.pairing.responder == .parley })
        func isBounded(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let daemon = try #require(lab.left as? Parley)
                try lab.load(Link(scenario.version))
                try lab.up()
                let (few, none) = (
                    lab.directory.appendingPathComponent("few.pcapng"),
                    lab.directory.appendingPathComponent("none.pcapng")
                )
                let bounded = try capture(lab, daemon, few, ["--count", "5"])
                let elsewhere = try capture(lab, daemon, none, ["--peer", "203.0.113.77"])
                for capture in [bounded, elsewhere] {
                    try eventually("it captures") { capture.output.contains("capturing into") }
                }
                #expect(try lab.ping(from: .left).loss == 0)
                #expect(bounded.wait(seconds: 10)?.succeeded == true)
                elsewhere.stop()
                let profile = lab.directory.appendingPathComponent("empty")
                #expect(try read(few, profile: profile, "frame", "frame.number").count == 5)
                #expect(try read(none, profile: profile, "frame", "frame.number").isEmpty)
                #expect(!daemon.log.contains("gets the keys"))

                // Another user, whom the operator lets use the socket.
                try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: daemon.socket)
                for folder in [lab.directory, daemon.directory] {
                    try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: folder.path)
                }
                let file = lab.directory.appendingPathComponent("stranger.pcapng")
                let stranger = try capture(
                    lab, daemon, file, ["--secrets", lab.directory.appendingPathComponent("theirs").path],
                    user: ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
                #expect(stranger.wait(seconds: 10)?.status == 1)
                #expect(stranger.output.contains("to root and to its own user alone"), "\(stranger.output)")
                #expect(!daemon.log.contains("gets the keys"))
            }
        }
    }
}
