import Foundation
import Testing

extension VirtualHost {
    /// A user who comes by a method that runs TLS; the gateway proves itself by its certificate.
    struct TunnelledUser {
        var method: String
        /// Whose certificate the user shows.
        var certificate = Side.left.identity
        var password = "foo bar"
        /// Lines of the host's local round, and of the gateway's remote one.
        var hostLines: [String] = []
        var gatewayLines: [String] = []
        /// What the gateway has for `auth` where another server speaks.
        var gatewayMethod: String?
        var name: String { method == "eap-tls" ? certificate : "joe" }
    }

    func text(of side: Side, _ user: TunnelledUser) -> String {
        let plain = side == .left ? host : gateway
        let marks = Self.ends(side, side.other).map { "    \($0)" }.joined(separator: "\n")
        let shown = user.method == "eap-tls" ? ["certs = \(user.certificate).pem"] : []
        let ends: [String] =
            side == .left
            ? ["local {", "auth = \(user.method)", "id = left.example", "eap_id = \(user.name)"] + shown
                + user.hostLines + ["}", "remote {", "auth = pubkey", "id = right.example", "}"]
            : ["local {", "auth = pubkey", "id = right.example", "certs = right.example.pem", "}", "remote {"]
                + ["auth = \(user.gatewayMethod ?? user.method)", "eap_id = %any"] + user.gatewayLines + ["}"]
        let secret = side == .left ? user.password : "foo bar"
        return plain.replacingOccurrences(of: marks, with: ends.map { "    \($0)" }.joined(separator: "\n"))
            .replacingOccurrences(
                of: "secrets {", with: "secrets {\n  eap-joe {\n    id = joe\n    secret = \"\(secret)\"\n  }")
    }
}

extension Interop {
    /// Users who come by EAP-TLS, EAP-TTLS and PEAP. Debian's strongSwan has no PEAP; FreeRADIUS has.
    @Suite struct TunnelledUsers {
        private typealias User = VirtualHost.TunnelledUser

        /// A pairing and a method that both ends have.
        struct Case: CustomTestStringConvertible, Sendable {
            let scenario: Scenario
            let method: String
            var testDescription: String { "\(method), \(scenario.testDescription)" }

            static let all: [Case] = Scenario.versions2.flatMap { scenario -> [Case] in
                let isOurs = scenario.pairing.initiator == .parley && scenario.pairing.responder == .parley
                let methods = ["eap-tls", "eap-ttls"] + (isOurs ? ["eap-peap"] : [])
                return methods.map { Case(scenario: scenario, method: $0) }
            }
        }

        private func load(_ lab: Lab, _ user: User) throws {
            let setting = VirtualHost()
            for peer in [lab.left, lab.right] where peer.implementation == .charon {
                peer.settings = ["plugins {", "eap-ttls {", "phase2_method = mschapv2", "}", "}"]
            }
            try lab.right.load(setting.text(of: .right, user))
            try lab.left.load(setting.text(of: .left, user))
        }

        @Test("a user gets addresses and traffic", arguments: Case.all, ["ecdsa", "rsa"])
        func user(_ one: Case, type: String) throws {
            try Lab.with(one.scenario) { lab in
                try lab.issueCertificates(type)
                let user = User(method: one.method)
                try load(lab, user)
                try lab.up()
                let (gateway, child) = try lab.installed(on: .right)
                // charon does not say a user's name that is the end's as well.
                #expect(
                    gateway.value("remote-eap-id") ?? gateway.remoteIdentity == user.name)
                #expect(Set(child.remoteSelectors) == ["10.3.0.1/32", "fd00:3::1/128"])
                #expect(try lab.ping(from: .left, source: "10.3.0.1", target: Side.right.innerAddress).loss == 0)
                for peer in [lab.left, lab.right] { #expect(!peer.log.contains("foo bar")) }
            }
        }

        @Test("a wrong password lets nobody in", arguments: Case.all.filter { $0.method != "eap-tls" })
        func wrongPassword(_ one: Case) throws {
            try Lab.with(one.scenario) { lab in
                try lab.issueCertificates("ecdsa")
                try load(lab, User(method: one.method, password: "another"))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                if lab.right.implementation == .parley {
                    #expect(lab.right.log.contains("did not authenticate"), "\(lab.right.log)")
                }
                try lab.awaitEmpty()
            }
        }

        private static let tls = Case.all.filter { $0.method == "eap-tls" }

        /// A stranger's authority issues for the user.
        @Test("a user of another authority is refused with the reason", arguments: tls)
        func otherAuthority(_ one: Case) throws {
            try Lab.with(one.scenario) { lab in
                try lab.issueCertificates("ecdsa")
                let stranger = lab.directory.appendingPathComponent("stranger").path
                try Parley.pki(["ca", "O=Lab, CN=Stranger", "-o", stranger, "--type", "ecdsa"])
                // The stranger's own goes beside the host's authority, not in its place.
                let folder = lab.directory.appendingPathComponent("issued")
                try Parley.pki(["issue", Side.left.identity, "--ca", stranger, "-o", folder.path, "--type", "ecdsa"])
                for name in ["x509", "private"] {
                    let target = lab.left.directory.appendingPathComponent("\(name)/left.example.pem")
                    try FileManager.default.removeItem(at: target)
                    try FileManager.default.copyItem(
                        at: folder.appendingPathComponent("\(name)/left.example.pem"), to: target)
                }
                try load(lab, User(method: "eap-tls"))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                if lab.right.implementation == .parley {
                    let log = lab.right.log
                    #expect(log.contains("no certificate of its issuer 'O=Lab, CN=Stranger' is known"), "\(log)")
                    let told = try Self.explanation(lab.right)
                    #expect(told.contains("CN=Stranger") && told.contains("left.example"), "\(told)")
                }
                try lab.awaitEmpty()
            }
        }

        private static func explanation(_ peer: Peer) throws -> String {
            guard let parley = peer as? Parley else { throw LabFailure("charon explains nothing") }
            return try parley.client(["explain", "last"]).output
        }

        /// A good certificate of somebody whom the connection is not for.
        @Test(
            "a user whom the connection does not want is refused with both names",
            arguments: tls.filter { $0.scenario.pairing.responder == .parley })
        func otherUser(_ one: Case) throws {
            try Lab.with(one.scenario) { lab in
                try lab.issueCertificates("ecdsa")
                let setting = VirtualHost()
                let user = User(method: "eap-tls")
                try lab.right.load(
                    setting.text(of: .right, user).replacingOccurrences(of: "eap_id = %any", with: "eap_id = jane"))
                try lab.left.load(setting.text(of: .left, user))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                let told = try Self.explanation(lab.right)
                #expect(told.contains("it does not name 'jane'") && told.contains("left.example"), "\(told)")
                try lab.awaitEmpty()
            }
        }

        /// The host wants another server than the one that speaks.
        @Test(
            "a server of another name learns nothing",
            arguments: Case.all.filter { $0.scenario.pairing.initiator == .parley })
        func otherServer(_ one: Case) throws {
            try Lab.with(one.scenario) { lab in
                try lab.issueCertificates("ecdsa")
                try load(lab, User(method: one.method, hostLines: ["aaa_id = aaa.example"]))
                let result = try lab.left.up("inner", seconds: 10)
                #expect(!result.succeeded && result.output.contains("it does not name 'aaa.example'"), "\(result)")
                let told = try Self.explanation(lab.left)
                #expect(told.contains("it does not name 'aaa.example'") && told.contains("right.example"), "\(told)")
                try lab.awaitEmpty()
            }
        }

        // MARK: An authentication server

        private static let relayed = Scenario.versions2.filter { $0.pairing.responder == .parley }

        @Test(
            "FreeRADIUS speaks TLS with a host behind the gateway",
            .enabled(if: AuthenticationServer.isPresent, "FreeRADIUS is not here"), arguments: relayed,
            ["eap-tls", "eap-ttls", "eap-peap"])
        func authenticationServer(_ scenario: Scenario, method: String) throws {
            // Debian's strongSwan has no PEAP, and its TLS 1.3 is older than RFC 9190.
            if scenario.pairing.initiator == .charon, method == "eap-peap" { return }
            for version in scenario.pairing.initiator == .parley ? ["1.2", "1.3"] : ["1.2"] {
                try Lab.with(scenario) { lab in
                    let root = try lab.issueCertificates("ecdsa")
                    let folder = lab.directory.appendingPathComponent("aaa").path
                    try Parley.pki(["issue", "aaa.example", "--ca", root, "-o", folder, "--type", "ecdsa"])
                    let server = try AuthenticationServer(
                        lab, on: .right, method: String(method.dropFirst(4)),
                        credential: .init(directory: folder, name: "aaa.example", versions: version...version))
                    defer { server.stop() }
                    var setting = VirtualHost()
                    setting.vips = ""
                    setting.pools = []
                    for peer in [lab.left, lab.right] where peer.implementation == .charon {
                        peer.settings = ["plugins {", "eap-ttls {", "phase2_method = mschapv2", "}", "}"]
                    }
                    let user = User(
                        method: method, hostLines: ["aaa_id = aaa.example"], gatewayMethod: "eap-radius")
                    try lab.right.load(AuthenticationServer.section + setting.text(of: .right, user))
                    try lab.left.load(setting.text(of: .left, user))
                    let result = try lab.left.up("inner", seconds: 20)
                    #expect(result.succeeded, "\(version) \(result)\n\(server.output.suffix(4000))")
                    guard result.succeeded else { return }
                    #expect(try lab.installed(on: .right).0.value("remote-eap-id") == user.name)
                }
            }
        }
    }
}
