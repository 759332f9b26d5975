import Foundation
import Testing

extension Interop {
    /// strongSwan's own client against Parley's control socket: what it prints, and how it ends.
    @Suite struct Swanctl {
        private static let scenarios = Scenario.all.filter { $0.pairing.initiator == .parley }

        /// Runs swanctl against the left daemon, and expects how it ends and what stands in its output.
        @discardableResult
        private func swanctl(
            _ lab: Lab, _ arguments: String..., succeeds: Bool = true, prints texts: [String] = [],
            at location: SourceLocation = #_sourceLocation
        ) throws -> String {
            let result = try lab.left.swanctl(arguments)
            #expect(result.succeeded == succeeds, "\(result)", sourceLocation: location)
            for text in texts { #expect(result.output.contains(text), "\(result)", sourceLocation: location) }
            return result.output
        }

        @Test("an SA's life through swanctl", arguments: scenarios)
        func life(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.dpdDelay = 30
                try lab.load(link)
                #expect(try swanctl(lab, "--list-sas").trimmingCharacters(in: .whitespacesAndNewlines).isEmpty)
                try swanctl(
                    lab, "--list-conns",
                    prints: [
                        "net: \(scenario.version), ", "dpd delay 30s", "local:  192.0.2.2", "remote: 198.51.100.2",
                        "local pre-shared key authentication:", "id: left.example", "id: right.example",
                        "inner: TUNNEL, rekeying every 3600s", "local:  10.1.0.0/24", "remote: 10.2.0.0/24",
                    ])
                let said = try swanctl(
                    lab, "--initiate", "--child", "inner", "--timeout", "20",
                    prints: [
                        "[IKE] net[1] established between 192.0.2.2[4500][left.example] and 198.51.100.2[4500]",
                        "[CHD] inner{2} established with SPIs", "initiate completed successfully",
                    ])
                #expect(!said.contains("IKE SA"))
                // What is there already needs no second one.
                try swanctl(lab, "--initiate", "--child", "inner", prints: ["initiate completed successfully"])
                try swanctl(
                    lab, "--list-sas",
                    prints: [
                        "net: #1, ESTABLISHED, \(scenario.version), ", "local  'left.example' @ 192.0.2.2[4500]",
                        "remote 'right.example' @ 198.51.100.2[4500]",
                        "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/ECP_256",
                        "inner: #2, reqid 1, INSTALLED, TUNNEL-in-UDP, ESP:AES_GCM_16-256", "local  10.1.0.0/24",
                        "remote 10.2.0.0/24",
                    ])
                #expect(try swanctl(lab, "--list-sas", "--ike", "other").contains("ESTABLISHED") == false)
                // Each of the other commands ends with a failure where it means nothing.
                try swanctl(
                    lab, "--initiate", "--child", "nothing", succeeds: false,
                    prints: ["initiate failed: CHILD_SA config 'nothing' not found"])
                try swanctl(
                    lab, "--rekey", "--ike", "nothing", succeeds: false,
                    prints: ["rekey failed: no matching SAs to rekey found"])
                try swanctl(
                    lab, "--terminate", "--ike", "nothing", succeeds: false,
                    prints: ["terminate failed: no matching SAs to terminate found"]
                )
                // A child that was just replaced lingers; ending its name does not wait for that.
                let (_, before) = try lab.installed(on: .left)
                try swanctl(lab, "--rekey", "--child", "inner", prints: ["rekey completed successfully"])
                try eventually("the child is another") { try lab.installed(on: .left).1.uniqueID != before.uniqueID }
                try swanctl(
                    lab, "--terminate", "--child", "inner", "--timeout", "3",
                    prints: ["[CHD] inner{", "terminate completed successfully"])
                try swanctl(
                    lab, "--terminate", "--child", "inner", succeeds: false,
                    prints: ["terminate failed: no matching SAs to terminate found"]
                )
                try swanctl(lab, "--rekey", "--ike", "net", prints: ["rekey completed successfully"])
                try swanctl(
                    lab, "--terminate", "--ike", "net", "--timeout", "10",
                    prints: ["closed: deleted here", "terminate completed successfully"])
                try lab.awaitEmpty()
            }
        }

        @Test("what swanctl says of the daemon", arguments: scenarios.filter { $0.version == .v2 })
        func statistics(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try swanctl(lab, "--version", prints: ["swanctl"])
                try swanctl(lab, "--version", "--daemon", prints: [" parley (Linux, "])
                try lab.up()
                let text = try swanctl(lab, "--stats", prints: ["IKE_SAs: 1 total, 0 half-open"])
                for pattern in [
                    #"uptime: \d+ \w+, since \w{3} \d\d \d\d:\d\d:\d\d \d{4}"#,
                    #"worker threads: \d+ total, \d+ idle, working: \d+/\d+/\d+/\d+"#,
                    #"job queues: \d+/\d+/\d+/\d+"#, #"jobs scheduled: [1-9]\d*"#,
                    #"mallinfo: sbrk \d+, mmap \d+, used \d+, free \d+"#, #"loaded plugins: isakmp .*ikev2"#,
                ] {
                    #expect(text.range(of: pattern, options: .regularExpression) != nil, "\(pattern) in \(text)")
                }
            }
        }

        @Test("swanctl follows the log until it goes", arguments: scenarios.filter { $0.version == .v2 })
        func log(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                try lab.up()
                let follower = try Subprocess(
                    ["swanctl", "--log", "--uri", lab.left.uri],
                    outputPath: lab.left.directory.appendingPathComponent("followed"))
                defer { follower.stop() }
                // It is there once something that happens reaches it.
                try eventually("the log reaches swanctl", seconds: 20) {
                    _ = try swanctl(lab, "--rekey", "--child", "inner")
                    return follower.output.contains("[CHD] ") && follower.output.contains(" replaces {")
                }
                follower.signal(SIGKILL)
                #expect(follower.wait(seconds: 5) != nil)
                // The daemon does not mind.
                try swanctl(lab, "--rekey", "--ike", "net")
                try swanctl(lab, "--stats", prints: ["IKE_SAs: 1 total"])
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
