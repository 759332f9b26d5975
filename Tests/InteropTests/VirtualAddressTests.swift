import Foundation
import Testing

/// A host on the left that wants addresses and a gateway on the right that has them, in version 2.
struct VirtualHost {
    var vips = "0.0.0.0, ::"
    var pools = ["four", "six"]
    /// Lines of the host's connection.
    var hostLines: [String] = []
    /// What the host calls itself; the gateway takes any name.
    var hostIdentity: String?

    private func connection(_ lines: [String], child: [String]) -> String {
        (["connections {", "  rw {", "    version = 2", "    proposals = aes256-sha256-x25519"]
            + lines.map { "    \($0)" }
            + ["    children {", "      inner {", "        esp_proposals = aes256gcm16-x25519"]
            + child.map { "        \($0)" } + ["      }", "    }", "  }", "}"]).joined(separator: "\n") + "\n"
    }

    static func ends(_ local: Side, _ remote: Side, named host: String? = nil) -> [String] {
        let own = local == .left ? host : nil
        let peer = remote == .left && host != nil ? "%any" : "\(remote.rawValue).example"
        return [
            "local {", "auth = psk", "id = \(own ?? "\(local.rawValue).example")", "}",
            "remote {", "auth = psk", "id = \(peer)", "}",
        ]
    }

    private static let secrets = """
        secrets {
          ike-both {
            secret = "a shared secret"
          }
        }

        """
    private static var networks: String { "\(Side.right.innerPrefix),\(Side.right.innerPrefix6)" }

    var host: String {
        connection(
            ["local_addrs = \(Side.left.outerAddress)", "remote_addrs = \(Side.right.outerAddress)"]
                + (vips.isEmpty ? [] : ["vips = \(vips)"]) + hostLines
                + Self.ends(.left, .right, named: hostIdentity),
            child: ["remote_ts = \(Self.networks)"]) + Self.secrets
    }

    var gateway: String {
        connection(
            ["local_addrs = \(Side.right.outerAddress)"]
                + (pools.isEmpty ? [] : ["pools = \(pools.joined(separator: ","))"])
                + Self.ends(.right, .left, named: hostIdentity),
            child: ["local_ts = \(Self.networks)"]) + Self.secrets + """
                pools {
                  four {
                    addrs = 10.3.0.0/24
                    dns = 10.2.0.53
                    subnet = 10.2.0.0/16
                    25 = corp.example
                  }
                  six {
                    addrs = fd00:3::/112
                    dns = fd00:2::53
                  }
                }

                """
    }
}

extension Interop {
    @Suite struct VirtualAddresses {
        private static let addresses = ["10.3.0.1", "fd00:3::1"]
        private static let scenarios = Scenario.versions2

        private func load(_ lab: Lab, _ setting: VirtualHost = VirtualHost()) throws {
            try lab.right.load(setting.gateway)
            try lab.left.load(setting.host)
        }

        /// The gateway's name servers stand in the host's file as long as the session does, and a killed host's go at its next start.
        @Test(arguments: scenarios.filter { $0.pairing.initiator == .parley })
        func nameServersComeAndGo(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let host = try #require(lab.left as? Parley)
                let path = lab.directory.appendingPathComponent("resolv.conf").path
                let theirs = "search example.org\nnameserver 192.0.2.53\n"
                try theirs.write(toFile: path, atomically: true, encoding: .utf8)
                func text() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
                host.settings = ["install_dns = \(path)"]
                try load(lab)
                #expect(try lab.left.up("inner").succeeded)
                let ours = ["10.2.0.53", "fd00:2::53"].map { "nameserver \($0) # by parley\n" }.joined()
                #expect(try text() == ours + theirs)
                _ = try lab.left.down(ike: "rw")
                try eventually("they are taken back") { try text() == theirs }
                #expect(try lab.left.up("inner").succeeded)
                #expect(try text() == ours + theirs)
                host.kill()
                #expect(try text() == ours + theirs)
                try load(lab)
                #expect(try text() == theirs)
                #expect(try lab.left.up("inner").succeeded)
                #expect(try text() == ours + theirs)
                host.stop()
                #expect(try text() == theirs)
            }
        }

        /// Where the host's file is systemd-resolved's, it hears of the servers, the names they are for, and the end. A stand-in for
        /// its program writes down what it is told.
        @Test(arguments: scenarios.filter { $0.pairing.initiator == .parley })
        func resolvedHearsOfNameServers(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let host = try #require(lab.left as? Parley)
                let programs = lab.directory.appendingPathComponent("programs")
                try FileManager.default.createDirectory(at: programs, withIntermediateDirectories: true)
                let said = lab.directory.appendingPathComponent("said").path
                let program = programs.appendingPathComponent("resolvectl").path
                try "#!/bin/sh\necho \"$@\" >> '\(said)'\n".write(toFile: program, atomically: true, encoding: .utf8)
                try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
                let path = lab.directory.appendingPathComponent("resolv.conf").path
                try FileManager.default.createSymbolicLink(
                    atPath: path, withDestinationPath: "../run/systemd/resolve/stub-resolv.conf")
                let inherited = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
                host.environment = ["PATH": "\(programs.path):\(inherited)"]
                host.settings = ["install_dns = \(path)"]
                func words() -> [String] {
                    ((try? String(contentsOfFile: said, encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
                }
                try load(lab)
                try eventually("what an earlier run left is taken back") { words() == ["revert parley0"] }
                #expect(try lab.left.up("inner").succeeded)
                let set = ["dns parley0 10.2.0.53 fd00:2::53", "domain parley0 ~corp.example"]
                try eventually("the servers are told") { words() == ["revert parley0"] + set }
                _ = try lab.left.down(ike: "rw")
                try eventually("they are taken back") { words() == ["revert parley0"] + set + ["revert parley0"] }
                #expect(try lab.left.up("inner").succeeded)
                host.stop()
                #expect(words().last == "revert parley0" && words().count(where: { $0 == set[0] }) == 2, "\(words())")
                #expect(!host.log.contains("[Daemon] name servers: "), "\(host.log)")
            }
        }

        /// An address sticks to its identity although the gateway was killed in between.
        @Test(arguments: scenarios.filter { $0.pairing.responder == .parley })
        func leasesOutliveTheGateway(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let gateway = try #require(lab.right as? Parley)
                gateway.options = ["--state", lab.directory.appendingPathComponent("state").path]
                func address(of identity: String) throws -> String {
                    var setting = VirtualHost()
                    (setting.vips, setting.pools) = ("0.0.0.0", ["four"])
                    setting.hostIdentity = identity
                    try load(lab, setting)
                    let result = try lab.left.up("inner")
                    guard result.succeeded else { throw LabFailure(result.description) }
                    let given = try lab.installed(on: .right).0.message["remote-vips"]?.items ?? []
                    _ = try lab.left.down(ike: "rw")
                    try lab.awaitEmpty()
                    return given.joined(separator: ",")
                }
                #expect(try address(of: "first.example") == "10.3.0.1")
                #expect(try address(of: "second.example") == "10.3.0.2")
                gateway.kill()
                #expect(try address(of: "second.example") == "10.3.0.2")
                #expect(try address(of: "third.example") == "10.3.0.3")
                #expect(try address(of: "first.example") == "10.3.0.1")
            }
        }

        private func pools(_ peer: Peer) throws -> String {
            let result = try peer.swanctl(["--list-pools", "--leases"])
            guard result.succeeded else { throw LabFailure(result.description) }
            return result.output
        }

        /// Both sides name the addresses and the selectors, and packets pass both ways.
        private func expectUp(_ lab: Lab) throws {
            let (hostIKE, hostChild) = try lab.installed(on: .left)
            let (gatewayIKE, gatewayChild) = try lab.installed(on: .right)
            #expect(Set(hostIKE.message["local-vips"]?.items ?? []) == Set(Self.addresses))
            #expect(Set(gatewayIKE.message["remote-vips"]?.items ?? []) == Set(Self.addresses))
            #expect(Set(hostChild.localSelectors) == ["10.3.0.1/32", "fd00:3::1/128"])
            #expect(Set(gatewayChild.remoteSelectors) == ["10.3.0.1/32", "fd00:3::1/128"])
            try expectTraffic(lab)
        }

        private func expectTraffic(_ lab: Lab) throws {
            let (four, six) = (Self.addresses[0], Self.addresses[1])
            #expect(try lab.ping(from: .left, source: four, target: Side.right.innerAddress).loss == 0)
            #expect(try lab.ping(from: .left, source: six, target: Side.right.innerAddress6, sixth: true).loss == 0)
            #expect(try lab.ping(from: .right, source: Side.right.innerAddress, target: four).loss == 0)
        }

        @Test("addresses of both families, and the same ones again", arguments: scenarios)
        func bothFamilies(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try load(lab)
                try lab.up()
                try expectUp(lab)
                let online = try pools(lab.right)
                #expect(online.contains("1 / 0 / 254"), "\(online)")
                for address in Self.addresses { #expect(online.contains(address), "\(online)") }
                #expect(online.contains("online") && online.contains("'left.example'"), "\(online)")
                if lab.left.implementation == .parley {
                    #expect(lab.left.log.contains("the peer's name servers: 10.2.0.53"), "\(lab.left.log)")
                }
                #expect(try lab.left.down(ike: "rw").succeeded)
                try lab.awaitEmpty()
                #expect(try pools(lab.right).contains("0 / 1 / 254"))
                let machine = try Subprocess.run(lab.network.on(.left, ["ip", "addr"])).output
                for address in Self.addresses { #expect(!machine.contains("\(address)/"), "\(machine)") }
                try lab.up()
                try expectUp(lab)
            }
        }

        @Test("everything is rekeyed under traffic, and the addresses stay", arguments: scenarios)
        func rekey(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try load(lab)
                try lab.up()
                for side in Side.allCases {
                    let (ike, child) = try lab.installed(on: side)
                    #expect(try lab.peer(side).rekey(ike: "rw").succeeded)
                    try eventually("a new IKE SA") { try lab.installed(on: side).0.spis != ike.spis }
                    #expect(try lab.peer(side).rekey(child: "inner").succeeded)
                    try eventually("a new child") { try lab.installed(on: side).1.uniqueID != child.uniqueID }
                    try expectUp(lab)
                }
            }
        }

        @Test(
            "reauthentication keeps the addresses", arguments: scenarios.filter { $0.pairing.initiator == .parley })
        func reauthentication(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var setting = VirtualHost()
                setting.hostLines = ["rekey_time = 0", "reauth_time = 3s", "rand_time = 0s", "over_time = 60s"]
                try load(lab, setting)
                try lab.up()
                let (before, _) = try lab.installed(on: .left)
                try eventually("another IKE SA on the left", seconds: 15) {
                    try lab.installed(on: .left).0.spis != before.spis
                }
                try eventually("the first one is gone", seconds: 20) {
                    try !lab.right.securityAssociations().contains { $0.spis == before.spis }
                }
                try expectUp(lab)
            }
        }

        @Test("a gateway without an address refuses the child", arguments: scenarios)
        func none(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var setting = VirtualHost()
                setting.pools = []
                try load(lab, setting)
                let result = try lab.left.up("inner", seconds: 10)
                #expect(!result.succeeded)
                if lab.left.implementation == .parley { #expect("\(result)".contains("INTERNAL_ADDRESS_FAILURE")) }
                for side in Side.allCases {
                    #expect(try lab.peer(side).securityAssociations().allSatisfy { $0.children.isEmpty })
                }
            }
        }

        @Test("a host that asks for no address gets no child", arguments: scenarios)
        func unasked(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var setting = VirtualHost()
                setting.vips = ""
                try load(lab, setting)
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                #expect(try lab.right.securityAssociations().allSatisfy { $0.children.isEmpty })
            }
        }

        @Test("a family that the gateway has not is left out", arguments: scenarios)
        func oneFamily(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var setting = VirtualHost()
                setting.pools = ["four"]
                try load(lab, setting)
                try lab.up()
                let (ike, child) = try lab.installed(on: .left)
                #expect(ike.message["local-vips"]?.items == ["10.3.0.1"])
                #expect(child.localSelectors == ["10.3.0.1/32"])
                #expect(try lab.ping(from: .left, source: "10.3.0.1", target: Side.right.innerAddress).loss == 0)
            }
        }
    }
}
