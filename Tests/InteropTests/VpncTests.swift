import Foundation
import Testing

/// Debian's vpnc: a client of Cisco's gateways that knows nothing of strongSwan.
private final class Vpnc {
    private let lab: Lab
    private let directory: URL
    private let process: Subprocess

    static let isThere = FileManager.default.isExecutableFile(atPath: "/usr/sbin/vpnc")

    init(_ lab: Lab, password: String = "foo bar", options: [String] = []) throws {
        self.lab = lab
        directory = lab.directory.appendingPathComponent("vpnc-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let script = directory.appendingPathComponent("script")
        try """
        #!/bin/sh
        env | grep -E '^(reason|TUNDEV|INTERNAL|CISCO)' > '\(directory.path)/environment.new'
        mv '\(directory.path)/environment.new' '\(directory.path)/environment-'$reason
        [ "$reason" = connect ] || exit 0
        ip link set "$TUNDEV" up mtu 1300
        ip addr add "$INTERNAL_IP4_ADDRESS/32" dev "$TUNDEV"
        ip route add "$CISCO_SPLIT_INC_0_ADDR/$CISCO_SPLIT_INC_0_MASKLEN" dev "$TUNDEV" src "$INTERNAL_IP4_ADDRESS"
        touch '\(directory.path)/connected'
        """.write(to: script, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: script.path)
        let configuration = directory.appendingPathComponent("vpnc.conf")
        try
            ([
                "IPSec gateway \(Side.right.outerAddress)", "IPSec ID vpngroup", "IPSec secret group secret",
                "Xauth username joe", "Xauth password \(password)", "NAT Traversal Mode natt", "Local Port 500",
                "Cisco UDP Encapsulation Port 0", "Interface name vpnc0", "Script \(script.path)",
                "Pidfile \(directory.path)/pid", "No Detach", "Noninteractive", "Debug 1",
            ] + options).joined(separator: "\n").appending("\n").write(
                to: configuration, atomically: true, encoding: .utf8)
        process = try Subprocess(
            lab.network.on(.left, ["/usr/sbin/vpnc", configuration.path]),
            outputPath: directory.appendingPathComponent("output"))
    }

    var output: String { process.output }
    var hasEnded: Bool { !process.isRunning }

    /// What its script was told; waits for it.
    func awaitConnected() throws -> [String: String] {
        try eventually("vpnc is connected") {
            guard process.isRunning else { throw LabFailure("vpnc ended:\n\(process.output)") }
            return FileManager.default.fileExists(atPath: directory.appendingPathComponent("connected").path)
        }
        let text = try String(contentsOf: directory.appendingPathComponent("environment-connect"), encoding: .utf8)
        return text.split(separator: "\n").reduce(into: [:]) { values, line in
            let parts = line.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { values[String(parts[0])] = String(parts[1]) }
        }
    }

    func awaitEnd(seconds: Double = 20) throws {
        guard process.wait(seconds: seconds) != nil else { throw LabFailure("vpnc does not end:\n\(process.output)") }
    }

    func stop() { process.stop() }
}

extension Interop {
    /// The client whose traffic passes through Parley's gateway.
    @Suite(.enabled(if: Vpnc.isThere, "this machine lacks vpnc"))
    struct VpncClient {
        private static let scenario = Scenario(pairing: Pairing(.parley, .parley), version: .v1)
        private static let address = "10.3.0.1"

        private static func gateway(_ ike: String, _ esp: String) -> RoadWarrior {
            RoadWarrior(isAggressive: true, splitInclude: Side.right.innerPrefix, ikeProposals: ike, espProposals: esp)
        }

        @Test(
            "an address, a split tunnel, ping and TCP, and an end",
            arguments: [
                ("aes256-sha1-modp1024", "aes256-sha1", []),
                ("aes128-md5-modp1536", "aes128-md5", ["IKE DH Group dh5", "Enable weak authentication"]),
                ("3des-sha1-modp768", "3des-sha1", ["IKE DH Group dh1", "Enable weak encryption"]),
                (
                    "aes128-sha1-modp2048", "aes128-sha1-modp1024",
                    ["IKE DH Group dh14", "Perfect Forward Secrecy dh2"]
                ),
            ])
        func traffic(_ ike: String, _ esp: String, _ options: [String]) throws {
            try Lab.with(Self.scenario) { lab in
                try lab.right.load(Self.gateway(ike, esp).gateway)
                let client = try Vpnc(lab, options: options)
                defer { client.stop() }
                let told = try client.awaitConnected()
                // The client's view.
                #expect(told["INTERNAL_IP4_ADDRESS"] == Self.address, "\(told)")
                #expect(told["INTERNAL_IP4_DNS"] == "10.2.0.53")
                #expect(told["CISCO_DEF_DOMAIN"] == "example.org")
                #expect(told["CISCO_SPLIT_INC"] == "1" && told["CISCO_SPLIT_INC_0_ADDR"] == "10.2.0.0")
                #expect(told["CISCO_SPLIT_INC_0_MASKLEN"] == "24")
                // The gateway's.
                let (ikeSA, child) = try lab.installed(on: .right)
                #expect(ikeSA.value("remote-xauth-id") == "joe")
                #expect(ikeSA.value("remote-id") == "vpngroup")
                #expect(ikeSA.message["remote-vips"]?.items == [Self.address])
                #expect(child.localSelectors == [Side.right.innerPrefix])
                #expect(child.remoteSelectors == ["\(Self.address)/32"])
                #expect(
                    try lab.ping(from: .left, source: Self.address, target: Side.right.innerAddress).loss == 0)
                // Up to a socket's buffer of the sent octets is still on its way when iperf3 counts.
                #expect(try lab.transfer(megabytes: 16, source: Self.address) > 8_000_000)
                let (_, used) = try lab.installed(on: .right)
                #expect(used.count("bytes-in") > 8_000_000 && used.count("packets-out") > 100)
                // Deletes of the client's take everything away, and the address is remembered.
                client.stop()
                try lab.awaitEmpty(sides: [.right])
                let pools = try lab.right.swanctl(["--list-pools"])
                #expect(pools.output.contains("0 / 1 / 254"), "\(pools)")
            }
        }

        @Test(
            "FreeRADIUS knows the user and names its address",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"))
        func authenticationServer() throws {
            try Lab.with(Self.scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right)
                defer { server.stop() }
                var gateway = Self.gateway("aes256-sha1-modp1024", "aes256-sha1")
                gateway.userMethod = "xauth-radius"
                gateway.pool = "radius, rw"
                try lab.right.load(AuthenticationServer.gateway() + gateway.gateway)
                let client = try Vpnc(lab)
                defer { client.stop() }
                #expect(try client.awaitConnected()["INTERNAL_IP4_ADDRESS"] == "10.9.0.7")
                let (_, child) = try lab.installed(on: .right)
                #expect(child.remoteSelectors == ["10.9.0.7/32"])
                #expect(try lab.ping(from: .left, source: "10.9.0.7", target: Side.right.innerAddress).loss == 0)
                client.stop()
                try lab.awaitEmpty(sides: [.right])
                try eventually("accounting stops") { !server.records("Stop").isEmpty }
                #expect(server.records("Stop").first?["Acct-Terminate-Cause"] == "User-Request", "\(server.accounts)")
            }
        }

        @Test("a wrong password is refused")
        func wrongPassword() throws {
            try Lab.with(Self.scenario) { lab in
                try lab.right.load(Self.gateway("aes256-sha1-modp1024", "aes256-sha1").gateway)
                let client = try Vpnc(lab, password: "another")
                defer { client.stop() }
                try client.awaitEnd()
                // What the gateway says, and what a client without a terminal makes of it.
                #expect(client.output.contains("Authentication failed, try again"), "\(client.output)")
                #expect(client.output.contains("can't reuse password"), "\(client.output)")
                #expect(lab.right.log.contains("the password of 'joe' is not right"))
                try lab.awaitEmpty(seconds: 30, sides: [.right])
            }
        }
    }
}
