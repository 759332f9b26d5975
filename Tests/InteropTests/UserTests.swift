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
    }
}
