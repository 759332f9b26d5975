import Foundation
import Testing

extension Interop {
    /// tshark opens what Parley sealed, with the keys that Parley wrote down: a judge of both that is no IKE daemon.
    @Suite struct KeyLogs {
        /// IKE's and ESP's suites that tshark knows.
        private static func suites(_ scenario: Scenario) -> [(ike: String, esp: String)] {
            var suites = [
                ("aes128-sha1-modp2048", "aes128-sha1"), ("aes256-sha256-ecp256", "aes256-sha256"),
                ("aes256-sha384-ecp384", "aes256-sha384"), ("aes256-sha512-ecp256", "aes128-sha512"),
                ("3des-sha1-modp1024", "3des-md5"), ("aes192-sha256-ecp256", "aes128gcm16"),
            ]
            // kernel-libipsec has no extended sequence numbers.
            if scenario.pairing.initiator == .parley, scenario.pairing.responder == .parley {
                suites.append(("aes128-sha256-ecp256", "aes256gcm16-esn"))
            }
            guard scenario.version == .v2 else { return suites }
            return suites + [
                ("aes256gcm16-prfsha384-ecp384", "aes256gcm16"), ("aes128gcm16-prfsha256-x25519", "aes192ctr-sha256"),
            ]
        }

        @Test("tshark reads IKE and ESP with the logged keys", arguments: Scenario.all.filter(\.pairing.needsParley))
        func reads(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let logging = try #require([lab.left, lab.right].compactMap { $0 as? Parley }.first)
                let profile = logging.directory.appendingPathComponent("keys")
                logging.options = ["--key-log", profile.path]
                let suites = Self.suites(scenario)
                var wire: Wire?
                for suite in suites {
                    try lab.load(Link(scenario.version).suite(ike: suite.ike, esp: suite.esp))
                    if wire == nil { wire = try Wire(lab.network, directory: lab.directory, snapLength: 2000) }
                    try lab.up()
                    #expect(try lab.ping(from: .left).loss == 0)
                    if scenario.version == .v2 {
                        #expect(try lab.left.rekey(ike: "net").succeeded)
                        try eventually("one IKE SA is left") { try lab.left.securityAssociations().count == 1 }
                    }
                    #expect(try lab.left.down(ike: "net").succeeded)
                    try lab.awaitEmpty()
                }
                let path = try #require(wire).path
                _ = try wire?.finish()

                func read(_ filter: String, _ fields: String...) throws -> [Substring] {
                    let result = try Subprocess.run(
                        ["tshark", "-r", path.path, "-Y", filter, "-T", "fields"] + fields.flatMap { ["-e", $0] },
                        environment: ["WIRESHARK_CONFIG_DIR": profile.path], seconds: 60)
                    guard result.succeeded else { throw LabFailure(result.description) }
                    // It warns of being root, on whichever stream.
                    return result.output.split(separator: "\n").filter { !$0.hasPrefix("Running as user") }
                }
                let pings = try read("icmp.type == 8", "ip.src", "esp.spi")
                #expect(pings.count >= suites.count)
                #expect(Set(pings).count == suites.count, "echo requests inside ESP for every suite: \(pings)")
                let identities = try read(
                    scenario.version == .v2 ? "isakmp.exchangetype == 35" : "isakmp.exchangetype == 2",
                    "isakmp.ispi", "isakmp.id.data.fqdn")
                let named = Set(
                    identities.filter { $0.contains(Side.left.identity) }.compactMap { $0.split(separator: "\t").first }
                )
                #expect(named.count == suites.count, "the initiator's identity for every suite: \(identities)")
                #expect(try read("_ws.malformed", "frame.number").isEmpty)

                let mode = try FileManager.default.attributesOfItem(
                    atPath: profile.appendingPathComponent("esp_sa").path)[.posixPermissions]
                #expect(mode as? Int == 0o600)
                #expect(logging.log.contains("who reads them reads the traffic"))
            }
        }
    }
}
