import Foundation
import Testing

extension Interop {
    /// Several rounds of authentication (RFC 4739), and EAP as all that proves both ends (RFC 5998).
    @Suite(.serialized) struct Rounds {
        /// What the ends prove themselves by, one round after the other.
        struct Case: CustomTestStringConvertible, Sendable {
            var pairing: Pairing
            var host: [String]
            var gateway: [String]
            var testDescription: String {
                "\(host.joined(separator: ", ")) | \(gateway.joined(separator: ", ")); \(pairing.testDescription)"
            }

            static let further: [Case] = Pairing.all.flatMap { pairing in
                [
                    (["pubkey", "eap-mschapv2"], ["pubkey"]), (["psk", "pubkey"], ["psk"]),
                    (["pubkey"], ["pubkey", "psk"]), (["eap-mschapv2", "psk"], ["pubkey"]),
                    (["pubkey", "eap-mschapv2"], ["pubkey", "psk"]), (["eap-md5", "eap-mschapv2"], ["psk"]),
                    (["eap-mschapv2"], ["psk", "pubkey"]), (["psk", "eap-tls"], ["psk"]),
                ]
                // charon as host wants all of the gateway's rounds before its user's first one.
                .filter { pairing.initiator != .charon || $0.0 != ["eap-mschapv2"] }
                .map { Case(pairing: pairing, host: $0.0, gateway: $0.1) }
            }
            static let userAlone: [Case] = Pairing.all.flatMap { pairing in
                ["eap-tls", "eap-ttls"].map { Case(pairing: pairing, host: [$0], gateway: [$0]) }
                    + [Case(pairing: pairing, host: ["eap-tls", "psk"], gateway: ["eap-tls"])]
            }
        }

        private static let mixed = Pairing.all.filter { $0.initiator != $0.responder }

        /// The identity of a round: an end's own, and behind that its owner's.
        private static func name(_ side: Side, _ index: Int) -> String {
            index == 0 ? side.identity : "owner\(index + 1)@\(side.identity)"
        }

        private static func section(_ auth: String, _ side: Side, _ index: Int, isOwn: Bool) -> String {
            var lines = ["auth = \(auth)", "id = \(name(side, index))", "round = \(index + 1)"]
            let usesKey = auth == "pubkey" || auth == "eap-tls" || (auth.hasPrefix("eap-t") && side == .right)
            if usesKey, isOwn { lines.append("certs = \(side.identity)\(index == 0 ? "" : "-owner").pem") }
            let usesPassword = auth.hasPrefix("eap-") && auth != "eap-tls" && side == .left
            if usesPassword { lines.append("eap_id = \(isOwn ? "user\(index + 1)" : "%any")") }
            return lines.joined(separator: "\n      ")
        }

        private static func sections(_ methods: [String], _ end: String, _ side: Side, isOwn: Bool) -> String {
            methods.enumerated().map { section($1, side, $0, isOwn: isOwn) }
                .enumerated().map { $0 == 0 ? $1 : "    }\n    \(end)-\($0 + 1) {\n      \($1)" }
                .joined(separator: "\n")
        }

        /// A configuration of one side, in which the sides may differ about the rounds.
        private static func text(_ side: Side, host: [String], gateway: [String], password: String = "foo bar")
            -> String
        {
            var link = Link(.v2)
            let (own, other) = side == .left ? (host, gateway) : (gateway, host)
            link.rounds[side] = (
                sections(own, "local", side, isOwn: true), sections(other, "remote", side.other, isOwn: false)
            )
            for index in 1...3 { link.users[side, default: [:]]["user\(index)"] = password }
            let owners = Side.allCases.map { "    id-owner-\($0.rawValue) = \(name($0, 1))" }.joined(separator: "\n")
            return link.configuration(of: side)
                .replacingOccurrences(of: "  ike-net {\n", with: "  ike-net {\n\(owners)\n")
        }

        /// Certificates of both ends and of their owners.
        private func equip(_ lab: Lab) throws {
            let root = try lab.issueCertificates("ecdsa")
            for side in Side.allCases {
                let folder = lab.directory.appendingPathComponent("owner-\(side.rawValue)")
                try Parley.pki([
                    "issue", "\(Self.name(side, 1))", "--ca", root, "-o", folder.path, "--type", "ecdsa",
                ])
                for kind in ["x509", "private"] {
                    let made = try FileManager.default.contentsOfDirectory(
                        at: folder.appendingPathComponent(kind), includingPropertiesForKeys: nil)
                    try FileManager.default.copyItem(
                        at: made[0],
                        to: lab.peer(side).directory.appendingPathComponent("\(kind)/\(side.identity)-owner.pem"))
                }
            }
        }

        private func load(_ lab: Lab, _ one: Case) throws {
            for peer in [lab.left, lab.right] where peer.implementation == .charon {
                peer.settings = ["plugins {", "eap-ttls {", "phase2_method = mschapv2", "}", "}"]
            }
            try equip(lab)
            try lab.right.load(Self.text(.right, host: one.host, gateway: one.gateway))
            try lab.left.load(Self.text(.left, host: one.host, gateway: one.gateway))
        }

        private func expectUp(_ lab: Lab, _ one: Case) throws {
            try lab.up()
            for side in Side.allCases {
                let (ike, _) = try lab.installed(on: side)
                let methods = side == .left ? one.gateway : one.host
                #expect(ike.remoteIdentity == Self.name(side.other, methods.count - 1))
            }
            #expect(try lab.ping().loss == 0)
            let (old, _) = try lab.installed(on: .left)
            #expect(try lab.left.rekey(ike: "net").succeeded)
            try eventually("a new IKE SA") { try lab.installed(on: .left).0.spis != old.spis }
            #expect(try lab.ping().loss == 0)
        }

        @Test("several rounds", arguments: Case.further) func further(_ one: Case) throws {
            try Lab.with(Scenario(pairing: one.pairing, version: .v2)) { lab in
                try load(lab, one)
                try expectUp(lab, one)
                // Both daemons show the rounds alike.
                for peer in [lab.left, lab.right] {
                    let shown = try peer.swanctl(["--list-conns"]).output
                    #expect(
                        shown.components(separatedBy: "authentication:").count == one.host.count + one.gateway.count
                            + 1,
                        "\(shown)")
                }
            }
        }

        @Test("EAP alone", arguments: Case.userAlone) func userAlone(_ one: Case) throws {
            try Lab.with(Scenario(pairing: one.pairing, version: .v2)) { lab in
                try load(lab, one)
                try expectUp(lab, one)
            }
        }

        private func explanation(_ peer: Peer) throws -> String {
            guard let parley = peer as? Parley else { throw LabFailure("charon explains nothing") }
            return try parley.client(["explain", "last"]).output
        }

        @Test("a wrong second round lets nobody in", arguments: mixed) func wrongRound(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                try equip(lab)
                let host = ["pubkey", "eap-mschapv2"]
                try lab.right.load(Self.text(.right, host: host, gateway: ["pubkey"]))
                try lab.left.load(Self.text(.left, host: host, gateway: ["pubkey"], password: "another"))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                let told = try explanation(lab.left.implementation == .parley ? lab.left : lab.right)
                #expect(told.contains("user2"), "\(told)")
                try lab.awaitEmpty()
            }
        }

        /// The gateway wants a round that the host does not have.
        @Test("a round that is missing is named", arguments: mixed) func missingRound(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                try equip(lab)
                try lab.right.load(Self.text(.right, host: ["pubkey", "eap-mschapv2"], gateway: ["pubkey"]))
                try lab.left.load(Self.text(.left, host: ["pubkey"], gateway: ["pubkey"]))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                if lab.right.implementation == .parley {
                    let told = try explanation(lab.right)
                    #expect(told.contains("remote-2") && told.contains("eap-mschapv2"), "\(told)")
                }
                try lab.awaitEmpty()
            }
        }

        /// A charon that is told not to know of further rounds.
        @Test("a peer without further rounds is told from others", arguments: mixed)
        func unaware(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                try equip(lab)
                for peer in [lab.left, lab.right] where peer.implementation == .charon {
                    peer.settings = ["multiple_authentication = no"]
                }
                let host = ["pubkey", "eap-mschapv2"]
                try lab.right.load(Self.text(.right, host: host, gateway: ["pubkey"]))
                try lab.left.load(Self.text(.left, host: host, gateway: ["pubkey"]))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                let told = try explanation(lab.left.implementation == .parley ? lab.left : lab.right)
                #expect(told.contains("MULTIPLE_AUTH_SUPPORTED"), "\(told)")
                // charon as gateway waits for more until its half-open time is over.
                try lab.awaitEmpty(sides: Side.allCases.filter { lab.peer($0).implementation == .parley })
            }
        }

        /// EAP-MSCHAPv2 alone proves nobody: the host answers it to no gateway that shows nothing else.
        @Test("a method that proves one end is refused", arguments: mixed.filter { $0.initiator == .parley })
        func unsafeMethod(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                try equip(lab)
                try lab.right.load(Self.text(.right, host: ["eap-mschapv2"], gateway: ["eap-mschapv2"]))
                try lab.left.load(
                    Self.text(.left, host: ["eap-tls"], gateway: ["eap-tls"])
                        .replacingOccurrences(of: "auth = eap-tls", with: "auth = eap"))
                #expect(try !lab.left.up("inner", seconds: 10).succeeded)
                let told = try explanation(lab.left)
                #expect(told.contains("proves one end only"), "\(told)")
                try lab.awaitEmpty(sides: [.left])
            }
        }
    }
}
