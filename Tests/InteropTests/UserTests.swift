import Foundation
import Testing

extension VirtualHost {
    /// EAP for the host's user, the gateway proving itself by its pre-shared key or by its certificate.
    struct User {
        var method = "eap-mschapv2"
        var password = "foo bar"
        var hasCertificate = false
    }

    fileprivate func ends(_ side: Side, _ user: User) -> [String] {
        let gateway =
            user.hasCertificate
            ? ["auth = pubkey", "id = right.example"] : ["auth = psk", "id = right.example"]
        let own = user.hasCertificate && side == .right ? ["certs = right.example.pem"] : []
        let host =
            side == .left
            ? ["auth = eap", "id = left.example", "eap_id = joe"] : ["auth = \(user.method)", "eap_id = %any"]
        return side == .left
            ? ["local {"] + host + ["}", "remote {"] + gateway + ["}"]
            : ["local {"] + gateway + own + ["}", "remote {"] + host + ["}"]
    }

    fileprivate func text(of side: Side, _ user: User) -> String {
        let plain = side == .left ? host : gateway
        let marks = Self.ends(side, side.other).map { "    \($0)" }.joined(separator: "\n")
        let secret = side == .left ? user.password : "foo bar"
        return plain.replacingOccurrences(
            of: marks, with: ends(side, user).map { "    \($0)" }.joined(separator: "\n")
        ).replacingOccurrences(
            of: "secrets {", with: "secrets {\n  eap-joe {\n    id = joe\n    secret = \"\(secret)\"\n  }")
    }
}

extension Interop {
    /// Users with passwords over EAP, in version 2.
    @Suite struct Users {
        private static let scenarios = Scenario.versions2

        private func load(_ lab: Lab, _ user: VirtualHost.User) throws {
            let setting = VirtualHost()
            try lab.right.load(setting.text(of: .right, user))
            try lab.left.load(setting.text(of: .left, user))
        }

        private func equip(_ lab: Lab) throws {
            guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
            func pki(_ arguments: [String]) throws {
                _ = try Subprocess.require([binary, "pki"] + arguments, seconds: 60)
            }
            let root = lab.directory.appendingPathComponent("root").path
            try pki(["ca", "O=Lab, CN=Root", "-o", root, "--type", "ecdsa"])
            for side in Side.allCases {
                try pki([
                    "issue", "\(side.rawValue).example", "--ca", root, "-o", lab.peer(side).directory.path, "--type",
                    "ecdsa",
                ])
            }
        }

        private func expectUp(_ lab: Lab) throws {
            try lab.up()
            let (gateway, child) = try lab.installed(on: .right)
            #expect(gateway.value("remote-eap-id") == "joe")
            #expect(Set(gateway.message["remote-vips"]?.items ?? []) == ["10.3.0.1", "fd00:3::1"])
            #expect(Set(child.remoteSelectors) == ["10.3.0.1/32", "fd00:3::1/128"])
            #expect(try lab.ping(from: .left, source: "10.3.0.1", target: Side.right.innerAddress).loss == 0)
            let pools = try lab.right.swanctl(["--list-pools", "--leases"]).output
            #expect(pools.contains("'joe'"), "\(pools)")
        }

        @Test("a user gets addresses and traffic", arguments: scenarios, ["eap-mschapv2", "eap-md5"])
        func user(_ scenario: Scenario, method: String) throws {
            try Lab.with(scenario) { lab in
                try load(lab, VirtualHost.User(method: method))
                try expectUp(lab)
                let (old, _) = try lab.installed(on: .left)
                #expect(try lab.left.rekey(ike: "rw").succeeded)
                try eventually("a new IKE SA") { try lab.installed(on: .left).0.spis != old.spis }
                #expect(try lab.ping(from: .left, source: "10.3.0.1", target: Side.right.innerAddress).loss == 0)
            }
        }

        @Test("the gateway has a certificate", arguments: scenarios)
        func certificate(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try equip(lab)
                try load(lab, VirtualHost.User(hasCertificate: true))
                try expectUp(lab)
            }
        }

        @Test("a wrong password lets nobody in", arguments: scenarios, ["eap-mschapv2", "eap-md5"])
        func wrongPassword(_ scenario: Scenario, method: String) throws {
            try Lab.with(scenario) { lab in
                try load(lab, VirtualHost.User(method: method, password: "another"))
                let result = try lab.left.up("inner", seconds: 10)
                #expect(!result.succeeded)
                if lab.left.implementation == .parley { #expect(result.output.contains("'joe'"), "\(result)") }
                if lab.right.implementation == .parley {
                    #expect(lab.right.log.contains("did not authenticate"), "\(lab.right.log)")
                    #expect(!lab.right.log.contains("another"))
                }
                try lab.awaitEmpty()
            }
        }

        // MARK: An authentication server

        private func loadRelaying(
            _ lab: Lab, secret: String = AuthenticationServer.secret, password: String = "foo bar",
            groups: [String] = []
        ) throws {
            var setting = VirtualHost()
            setting.vips = "0.0.0.0"
            setting.pools = ["radius"]
            let user = VirtualHost.User(method: "eap-radius", password: password)
            var gateway = AuthenticationServer.gateway(secret) + setting.text(of: .right, user)
            if !groups.isEmpty {
                for (old, new) in [
                    ("accounting = yes", "class_group = yes"),
                    ("auth = eap-radius", "groups = \(groups.joined(separator: ", "))"),
                ] { gateway = gateway.replacingOccurrences(of: old, with: "\(old)\n\(new)") }
            }
            try lab.right.load(gateway)
            try lab.left.load(setting.text(of: .left, user))
        }

        private static let relayed = scenarios.filter { $0.pairing.responder == .parley }

        @Test(
            "FreeRADIUS knows the user, accounts for it and ends its session",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed,
            ["mschapv2", "md5"])
        func authenticationServer(_ scenario: Scenario, method: String) throws {
            try Lab.with(scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right, method: method)
                defer { server.stop() }
                try loadRelaying(lab)
                try lab.up()
                let (gateway, child) = try lab.installed(on: .right)
                #expect(gateway.value("remote-eap-id") == "joe")
                #expect(child.remoteSelectors == ["10.9.0.7/32"])
                #expect(try lab.ping(from: .left, source: "10.9.0.7", target: Side.right.innerAddress).loss == 0)
                try eventually("accounting starts") { server.accounts.contains("Acct-Status-Type = Start") }
                #expect(server.accounts.contains("Class = 0x6c6162"), "\(server.accounts)")
                let stranger = try server.disconnect("User-Name = \"jane\"", secret: "dae secret")
                #expect(stranger.output.contains("Disconnect-NAK"), "\(stranger)")
                let forged = try server.disconnect("User-Name = \"joe\"", secret: "another")
                #expect(!forged.output.contains("Received Disconnect"), "\(forged)")
                #expect(try lab.installed(on: .right).0.spis == gateway.spis)
                let ended = try server.disconnect("User-Name = \"joe\"", secret: "dae secret")
                #expect(ended.output.contains("Disconnect-ACK"), "\(ended)")
                try lab.awaitEmpty()
                try eventually("accounting stops") { server.accounts.contains("Acct-Status-Type = Stop") }
                let accounts = server.accounts
                #expect(accounts.contains("Acct-Terminate-Cause = Admin-Reset"), "\(accounts)")
                #expect(accounts.contains("Framed-IP-Address = 10.9.0.7"), "\(accounts)")
                let octets = accounts.split(separator: "\n").compactMap { line -> Int? in
                    line.contains("Acct-Input-Octets = ") ? line.split(separator: " ").last.flatMap { Int($0) } : nil
                }
                #expect(octets.last ?? 0 > 0, "\(accounts)")
            }
        }

        @Test(
            "a CoA-Request of FreeRADIUS's client limits the session",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed)
        func changeOfAuthorization(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right)
                defer { server.stop() }
                try loadRelaying(lab)
                try lab.up()
                func change(_ text: String) throws -> String {
                    try server.disconnect(text, secret: "dae secret", kind: "coa").output
                }
                #expect(try change("User-Name = \"jane\", Session-Timeout = 1").contains("CoA-NAK"))
                #expect(try change("User-Name = \"joe\", Filter-Id = \"x\"").contains("CoA-NAK"))
                _ = try lab.installed(on: .right)
                #expect(try change("Framed-IP-Address = 10.9.0.7, Session-Timeout = 1").contains("CoA-ACK"))
                try lab.awaitEmpty()
                try eventually("accounting stops") { !server.records("Stop").isEmpty }
                let stop = try #require(server.records("Stop").first)
                #expect(stop["Acct-Terminate-Cause"] == "Session-Timeout", "\(stop)")
            }
        }

        /// The server's Class of the user is `lab`.
        @Test(
            "only who is in one of the connection's groups comes in",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed,
            ["lab", "staff"])
        func groups(_ scenario: Scenario, group: String) throws {
            try Lab.with(scenario) { lab in
                let server = try AuthenticationServer(lab, on: .right)
                defer { server.stop() }
                try loadRelaying(lab, groups: [group, "other"])
                guard group == "lab" else {
                    #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                    let reason = "'joe' is in none of the groups 'staff', 'other': it is in 'lab'"
                    #expect(lab.right.log.contains(reason), "\(lab.right.log)")
                    return try lab.awaitEmpty()
                }
                try lab.up()
                #expect(try lab.installed(on: .right).0.value("remote-eap-id") == "joe")
                #expect(try lab.ping(from: .left, source: "10.9.0.7", target: Side.right.innerAddress).loss == 0)
            }
        }

        /// The password itself, inside of what the gateway's own proof has made confidential.
        @Test(
            "a user says its password by EAP-GTC", arguments: relayed, ["foo bar", "another"])
        func genericTokenCard(_ scenario: Scenario, password: String) throws {
            try Lab.with(scenario) { lab in
                try load(lab, VirtualHost.User(method: "eap-gtc", password: password))
                guard password == "foo bar" else {
                    #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                    #expect(lab.right.log.contains("did not authenticate"), "\(lab.right.log)")
                    return try lab.awaitEmpty()
                }
                try expectUp(lab)
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
                #expect(lab.right.log.contains("the authentication server refuses the user"), "\(lab.right.log)")
                try lab.awaitEmpty()
                try loadRelaying(lab, secret: "not the secret")
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                try eventually("the secret is explained") { lab.right.log.contains("or has another secret") }
                #expect(!lab.right.log.contains("not the secret"))
            }
        }
    }
}
