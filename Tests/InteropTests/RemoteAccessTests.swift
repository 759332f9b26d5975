import Foundation
import Testing

/// A road warrior on the left and a gateway on the right, written as swanctl.conf for either daemon.
struct RoadWarrior {
    var isAggressive = false
    var isPulling = true
    var password = "foo bar"
    /// Extended Authentication, besides the pre-shared key.
    var hasUser = true
    /// How the gateway has its user judged.
    var userMethod = "xauth"
    /// The gateway's pool: `rw`, which it has a section for, or one that needs none.
    var pool = "rw"
    /// The network of the gateway's pool that goes into the tunnel.
    var splitInclude = ""
    /// What the gateway's child covers. charon's split has its children's networks too, but not 0.0.0.0/0.
    var gatewayNetwork = Side.right.innerPrefix
    var ikeProposals = "aes256-sha256-modp2048"
    var espProposals = "aes256-sha256"

    private func connection(_ lines: [String], child: [String]) -> String {
        (["connections {", "  rw {", "    version = 1", "    proposals = \(ikeProposals)"]
            + ["    aggressive = \(isAggressive ? "yes" : "no")", "    pull = \(isPulling ? "yes" : "no")"]
            + lines.map { "    \($0)" }
            + ["    children {", "      inner {", "        esp_proposals = \(espProposals)"]
            + child.map { "        \($0)" } + ["      }", "    }", "  }", "}"]).joined(separator: "\n") + "\n"
    }

    private func secrets(user: String) -> String {
        """
        secrets {
          ike-group {
            secret = "group secret"
          }
          xauth-joe {
            id = joe
            secret = "\(user)"
          }
        }

        """
    }

    var host: String {
        connection(
            ["local_addrs = \(Side.left.outerAddress)", "remote_addrs = \(Side.right.outerAddress)", "vips = 0.0.0.0"]
                + [
                    "local { ", "auth = psk", "id = keyid:vpngroup", "}", "remote {", "auth = psk",
                    "id = right.example", "}",
                ]
                + (hasUser ? ["local-xauth {", "auth = xauth", "xauth_id = joe", "}"] : []),
            child: ["remote_ts = \(Side.right.innerPrefix)"]) + secrets(user: password)
    }

    var gateway: String {
        connection(
            ["local_addrs = \(Side.right.outerAddress)", "pools = \(pool)"]
                + [
                    "local { ", "auth = psk", "id = right.example", "}", "remote {", "auth = psk",
                    "id = keyid:vpngroup", "}",
                ]
                + (hasUser ? ["remote-xauth {", "auth = \(userMethod)", "}"] : []),
            child: ["local_ts = \(gatewayNetwork)"]) + secrets(user: "foo bar")
                + """
                pools {
                  rw {
                    addrs = 10.3.0.0/24
                    dns = 10.2.0.53
                    28674 = example.org
                \(splitInclude.isEmpty ? "" : "    split_include = \(splitInclude)")
                  }
                }

                """
    }
}

extension Interop {
    @Suite struct RemoteAccess {
        private static let address = "10.3.0.1"
        private static let scenarios = Scenario.versions1

        private func load(_ lab: Lab, _ warrior: RoadWarrior) throws {
            try lab.right.load(warrior.gateway)
            try lab.left.load(warrior.host)
        }

        /// What both sides say of the user, the addresses and the selectors.
        private func expectUp(_ lab: Lab, hasUser: Bool = true) throws {
            let (hostIKE, hostChild) = try lab.installed(on: .left)
            let (gatewayIKE, gatewayChild) = try lab.installed(on: .right)
            #expect(hostIKE.message["local-vips"]?.items == [Self.address])
            #expect(gatewayIKE.message["remote-vips"]?.items == [Self.address])
            #expect(gatewayIKE.value("remote-xauth-id") == (hasUser ? "joe" : nil))
            #expect(hostChild.localSelectors == ["\(Self.address)/32"])
            #expect(gatewayChild.remoteSelectors == ["\(Self.address)/32"])
            #expect(gatewayChild.localSelectors == [Side.right.innerPrefix])
            #expect(try lab.ping(from: .left, source: Self.address, target: Side.right.innerAddress).loss == 0)
            #expect(try lab.ping(from: .right, source: Side.right.innerAddress, target: Self.address).loss == 0)
        }

        private func pools(_ peer: Peer) throws -> String {
            let result = try peer.swanctl(["--list-pools", "--leases"])
            guard result.succeeded else { throw LabFailure(result.description) }
            return result.output
        }

        @Test("a user gets an address and traffic, and the same address again", arguments: scenarios, [false, true])
        func user(_ scenario: Scenario, isAggressive: Bool) throws {
            try Lab.with(scenario) { lab in
                try load(lab, RoadWarrior(isAggressive: isAggressive))
                try lab.up()
                try expectUp(lab)
                let online = try pools(lab.right)
                #expect(online.contains("1 / 0 / 254"), "\(online)")
                #expect(online.contains(Self.address) && online.contains("online") && online.contains("'joe'"))
                #expect(try lab.left.down(ike: "rw").succeeded)
                try lab.awaitEmpty()
                #expect(try pools(lab.right).contains("0 / 1 / 254"))
                let addresses = try Subprocess.run(lab.network.on(.left, ["ip", "-4", "addr"])).output
                #expect(!addresses.contains(Self.address), "\(addresses)")
                try lab.up()
                try expectUp(lab)
            }
        }

        @Test("a wrong password lets nobody in", arguments: scenarios)
        func wrongPassword(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try load(lab, RoadWarrior(password: "another"))
                let result = try lab.left.up("inner", seconds: 10)
                #expect(!result.succeeded)
                if lab.left.implementation == .parley { #expect(result.output.contains("'joe'"), "\(result)") }
                if lab.right.implementation == .parley {
                    #expect(lab.right.log.contains("did not authenticate"))
                    #expect(!lab.right.log.contains("another"))
                }
                try lab.awaitEmpty()
                #expect(try pools(lab.right).contains("0 / 0 / 254"))
            }
        }

        // MARK: An authentication server

        private func loadRelaying(
            _ lab: Lab, secret: String = AuthenticationServer.secret, password: String = "foo bar", group: String? = nil
        ) throws {
            let warrior = RoadWarrior(password: password, userMethod: "xauth-radius", pool: "radius")
            var gateway = AuthenticationServer.gateway(secret) + warrior.gateway
            if let group {
                for (old, new) in [
                    ("accounting = yes", "class_group = yes"), ("auth = xauth-radius", "groups = \(group)"),
                ] { gateway = gateway.replacingOccurrences(of: old, with: "\(old)\n\(new)") }
            }
            try lab.right.load(gateway)
            try lab.left.load(warrior.host)
        }

        private static let relayed = scenarios.filter { $0.pairing.responder == .parley }

        @Test(
            "FreeRADIUS knows the user, names its address, accounts for it and ends its session",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed)
        func authenticationServer(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right)
                defer { server.stop() }
                try loadRelaying(lab)
                try lab.up()
                let (hostIKE, hostChild) = try lab.installed(on: .left)
                let (gatewayIKE, gatewayChild) = try lab.installed(on: .right)
                #expect(gatewayIKE.value("remote-xauth-id") == "joe")
                #expect(hostIKE.message["local-vips"]?.items == ["10.9.0.7"])
                #expect(hostChild.localSelectors == ["10.9.0.7/32"] && gatewayChild.remoteSelectors == ["10.9.0.7/32"])
                #expect(try lab.ping(from: .left, source: "10.9.0.7", target: Side.right.innerAddress).loss == 0)
                #expect(server.output.contains("User-Password = \"foo bar\""), "\(server.output)")
                try eventually("accounting starts") { !server.records("Start").isEmpty }
                let ended = try server.disconnect("User-Name = \"joe\"", secret: "dae secret")
                #expect(ended.output.contains("Disconnect-ACK"), "\(ended)")
                try lab.awaitEmpty()
                try eventually("accounting stops") { !server.records("Stop").isEmpty }
                let (start, stop) = (server.records("Start"), server.records("Stop"))
                #expect(start.count == 1 && stop.count == 1, "\(server.accounts)")
                for record in start + stop {
                    #expect(record["User-Name"] == "\"joe\"" && record["Class"] == "0x6c6162", "\(record)")
                    #expect(record["Framed-IP-Address"] == "10.9.0.7", "\(record)")
                    #expect(record["Acct-Session-Id"] == start.first?["Acct-Session-Id"], "\(record)")
                }
                #expect(stop.first?["Acct-Terminate-Cause"] == "Admin-Reset", "\(stop)")
                #expect(Int(stop.first?["Acct-Input-Octets"] ?? "") ?? 0 > 0, "\(stop)")
                #expect(Int(stop.first?["Acct-Output-Octets"] ?? "") ?? 0 > 0, "\(stop)")
                // The gateway itself begins and ends, and a session that stood ends before it.
                #expect(server.records("Accounting-On").count == 1 && server.records("Accounting-Off").isEmpty)
                try lab.up()
                lab.right.stop()
                try eventually("accounting ends") { server.records("Accounting-Off").count == 1 }
                #expect(server.records("Stop").count == 2, "\(server.accounts)")
                let kinds = server.accounts.split(separator: "\n").filter { $0.contains("Acct-Status-Type = ") }
                #expect(kinds.last?.hasSuffix("Accounting-Off") == true, "\(kinds)")
            }
        }

        /// The server's Class of the user is `lab`.
        @Test(
            "only who is in the connection's group comes in",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed,
            ["lab", "staff"])
        func groups(_ scenario: Scenario, group: String) throws {
            try Lab.with(scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right)
                defer { server.stop() }
                try loadRelaying(lab, group: group)
                guard group == "lab" else {
                    #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                    let reason = "'joe' is in none of the groups 'staff': it is in 'lab'"
                    #expect(lab.right.log.contains(reason), "\(lab.right.log)")
                    return try lab.awaitEmpty()
                }
                try lab.up()
                #expect(try lab.installed(on: .right).0.value("remote-xauth-id") == "joe")
                #expect(try lab.ping(from: .left, source: "10.9.0.7", target: Side.right.innerAddress).loss == 0)
            }
        }

        @Test(
            "FreeRADIUS refuses a wrong password, and does not answer to a wrong secret",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed)
        func authenticationServerRefuses(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right)
                defer { server.stop() }
                try loadRelaying(lab, password: "another")
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                #expect(lab.right.log.contains("the authentication server refuses 'joe'"), "\(lab.right.log)")
                #expect(!lab.right.log.contains("another"))
                try lab.awaitEmpty()
                try loadRelaying(lab, secret: "not the secret")
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                try eventually("the secret is explained") { lab.right.log.contains("or has another secret") }
                #expect(lab.right.log.contains("no authentication server answers for 'joe'"), "\(lab.right.log)")
                #expect(!lab.right.log.contains("not the secret"))
                #expect(server.records("Start").isEmpty, "\(server.accounts)")
                try lab.awaitEmpty()
            }
        }

        @Test("addresses are pushed", arguments: scenarios)
        func push(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try load(lab, RoadWarrior(isPulling: false, hasUser: false))
                try lab.up()
                try expectUp(lab, hasUser: false)
            }
        }

        @Test("phase 1 is replaced under traffic, and the address stays", arguments: scenarios)
        func rekey(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try load(lab, RoadWarrior())
                try lab.up()
                let (old, _) = try lab.installed(on: .left)
                #expect(try lab.left.rekey(ike: "rw").succeeded)
                try eventually("a new IKE SA on the left") {
                    try lab.left.securityAssociations().contains {
                        $0.state == "ESTABLISHED" && $0.spis != old.spis
                            && $0.children.contains { $0.state == "INSTALLED" }
                    }
                }
                #expect(try lab.ping(from: .left, source: Self.address, target: Side.right.innerAddress).loss == 0)
                let online = try pools(lab.right)
                #expect(online.contains(Self.address) && online.contains("'joe'"), "\(online)")
                // charon counts an address once more for each SA, and where the new SA took it before it took the old
                // one's over, for as long as that lives: whether it does is a race within charon.
                guard lab.right.implementation == .parley else { return }
                try eventually("one lease on the right") { try pools(lab.right).contains("1 / 0 / 254") }
            }
        }

        @Test("a split tunnel", arguments: scenarios)
        func split(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try load(lab, RoadWarrior(splitInclude: "10.2.0.0/25", gatewayNetwork: "0.0.0.0/0"))
                try lab.up()
                let (_, child) = try lab.installed(on: .left)
                #expect(child.remoteSelectors == ["10.2.0.0/25"])
                #expect(try lab.ping(from: .left, source: Self.address, target: Side.right.innerAddress).loss == 0)
            }
        }
    }
}
