import Foundation
import Testing

extension Interop {
    /// Ends that prove who they are with certificates of `parley pki`.
    @Suite(.serialized) struct CertificateTests {
        /// What the two ends have for keys, and between which daemons.
        struct Case: CustomTestStringConvertible, Sendable {
            let pairing: Pairing
            let type: String
            /// Whether an authority stands between the root and the ends.
            var isDeep = false
            var version = Version.v2
            var isAggressive = false
            var testDescription: String {
                let mode = version == .v2 ? "IKEv2" : isAggressive ? "Aggressive Mode" : "Main Mode"
                return "\(mode), \(type)\(isDeep ? ", an authority in between" : ""), \(pairing.testDescription)"
            }

            static let all: [Case] = Pairing.all.flatMap { pairing -> [Case] in
                // Between two of our own the unit tests have been through every kind.
                let types = pairing.initiator == pairing.responder ? ["ecdsa"] : ["rsa", "ecdsa", "ed25519", "ed448"]
                return types.map { Case(pairing: pairing, type: $0) }
                    + [Case(pairing: pairing, type: "ecdsa", isDeep: true)]
            }
            static let mixed = Pairing.all.filter { $0.initiator != $0.responder }
            /// Without those whose certificates Parley does not say in answer to an address that nobody has proved.
            static let versionOne = everyVersionOne.filter(\.fits)
            static let tooLong = everyVersionOne.filter { !$0.fits }
            private var fits: Bool {
                !isAggressive || pairing.responder == .charon || (type == "ecdsa" && !isDeep)
            }
            private static let everyVersionOne = mixed.flatMap { pairing in
                [false, true].flatMap { isAggressive in
                    [("rsa", false), ("ecdsa", false), ("ecdsa", true)].map { type, isDeep in
                        Case(
                            pairing: pairing, type: type, isDeep: isDeep, version: .v1, isAggressive: isAggressive)
                    }
                }
            }
        }

        /// Revokes a side's certificate, and gives the other side the list that says so.
        private func revoke(_ side: Side, by authority: String, _ lab: Lab) throws {
            let certificate = lab.peer(side).directory.appendingPathComponent("x509/\(side.identity).pem").path
            try Parley.pki(["revoke", certificate, "--ca", authority])
            let folder = lab.peer(side.other).directory.appendingPathComponent("x509crl")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: "\(authority)/ca.crl.pem", toPath: folder.appendingPathComponent("ca.pem").path)
        }

        private func link(strict: Side? = nil, _ version: Version = .v2, isAggressive: Bool = false) -> Link {
            var link = Link(version).withCertificates(strict: strict)
            if isAggressive { link.aggressive = Set(Side.allCases) }
            return link
        }

        @Test(arguments: Case.all + Case.versionOne) func establishes(_ one: Case) throws {
            try Lab.with(Scenario(pairing: one.pairing, version: one.version)) { lab in
                _ = try lab.issueCertificates(one.type, isDeep: one.isDeep)
                if one.isDeep {
                    // Each has the root and its own authority: the peer's comes in CERT payloads.
                    for side in Side.allCases where lab.peer(side).implementation == .parley {
                        let folder = lab.peer(side).directory.appendingPathComponent("x509ca")
                        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 2)
                    }
                }
                try lab.load(link(one.version, isAggressive: one.isAggressive))
                try lab.up()
                for side in Side.allCases {
                    let (ike, _) = try lab.installed(on: side)
                    #expect(ike.remoteIdentity == side.other.identity)
                }
                #expect(try lab.ping().loss == 0)
            }
        }

        /// Everything over the control socket, by Debian's swanctl: keys, certificates, authorities and connections.
        @Test(arguments: Case.mixed) func loadsBySwanctl(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let ours: Side = lab.left.implementation == .parley ? .left : .right
                let peer = lab.peer(ours)
                // It starts with nothing, and reads none of the files that come afterwards.
                try peer.load("")
                _ = try lab.issueCertificates("ecdsa", isDeep: true)
                let file = peer.directory.appendingPathComponent("by-swanctl.conf").path
                try (link().configuration(of: ours) + "\nauthorities { lab { cacert = ca.pem } }\n")
                    .write(toFile: file, atomically: true, encoding: .utf8)
                func swanctl(_ arguments: String..., prints texts: [String] = []) throws {
                    let result = try peer.swanctl(arguments)
                    #expect(result.succeeded, "\(result)")
                    for text in texts { #expect(result.output.contains(text), "\(result)") }
                }
                try swanctl(
                    "--load-creds", "--clear", "--noprompt", "--file", file, prints: ["loaded certificate from"])
                try swanctl(
                    "--load-all", "--noprompt", "--file", file,
                    prints: ["successfully loaded 1 authorities", "successfully loaded 1 connections"])
                try lab.peer(ours.other).load(link().configuration(of: ours.other))
                try lab.up()
                for side in Side.allCases {
                    #expect(try lab.installed(on: side).0.remoteIdentity == side.other.identity)
                }
                #expect(try lab.ping().loss == 0)
                try swanctl(
                    "--list-certs", prints: ["CN=Root", "CN=Issuing", "CN=\(ours.identity)", "has private key"])
                try swanctl("--list-authorities", prints: ["lab:", "O=Lab, CN=Issuing"])
                try swanctl("--flush-certs")
                try swanctl("--flush-certs", "--type", "x509_crl")
                // A second time it takes nothing in and throws nothing out.
                try swanctl("--load-creds", "--noprompt", "--file", file)
                try swanctl("--list-certs", prints: ["has private key"])
                #expect(try lab.ping().loss == 0)
            }
        }

        /// Aggressive Mode's message 2 would be more than three times message 1.
        @Test(arguments: Case.tooLong) func answersAreBounded(_ one: Case) throws {
            try Lab.with(Scenario(pairing: one.pairing, version: one.version)) { lab in
                _ = try lab.issueCertificates(one.type, isDeep: one.isDeep)
                try lab.load(link(one.version, isAggressive: true))
                #expect(try !lab.left.up("inner", seconds: 4).succeeded)
                #expect(lab.right.log.contains("more than three times"), "\(lab.right.log)")
            }
        }

        @Test(arguments: Case.mixed, Version.allCases)
        func refusesWhoWasRevoked(_ pairing: Pairing, _ version: Version) throws {
            try Lab.with(Scenario(pairing: pairing, version: version)) { lab in
                let authority = try lab.issueCertificates("ecdsa")
                let revoked: Side = lab.left.implementation == .charon ? .left : .right
                let judge = lab.peer(revoked.other)
                try revoke(revoked, by: authority, lab)
                try lab.load(link(version))
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                try eventually("the reason is told") { judge.log.contains("it was revoked at") }
                // charon as Main Mode's responder has spoken last, and hears nothing authenticated afterwards.
                if version == .v2 || revoked == .left { try lab.awaitEmpty() }
            }
        }

        /// charon judges ours as strictly.
        @Test(arguments: Case.mixed) func isRefusedOnceRevoked(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try lab.issueCertificates("ecdsa")
                let revoked: Side = lab.left.implementation == .parley ? .left : .right
                let judge = lab.peer(revoked.other)
                try revoke(revoked, by: authority, lab)
                try lab.load(link(strict: revoked.other))
                #expect(try !lab.left.up("inner").succeeded)
                try eventually("the reason is told") { judge.log.contains("certificate was revoked") }
                try lab.awaitEmpty()
            }
        }

        /// A user behind phase 1 that rests on certificates (XAUTH RSA).
        @Test(arguments: Case.versionOne.filter { $0.type == "rsa" }) func usersFollow(_ one: Case) throws {
            try Lab.with(Scenario(pairing: one.pairing, version: .v1)) { lab in
                _ = try lab.issueCertificates("rsa")
                var link = link(.v1, isAggressive: one.isAggressive)
                link.lines = [
                    .left: ["local-xauth {", "auth = xauth", "round = 2", "xauth_id = joe", "}"],
                    .right: ["remote-xauth {", "auth = xauth", "round = 2", "}"],
                ]
                link.users = [.left: ["joe": "foo bar"], .right: ["joe": "foo bar"]]
                try lab.load(link)
                try lab.up()
                #expect(try lab.installed(on: .right).0.value("remote-xauth-id") == "joe")
                #expect(try lab.ping().loss == 0)
            }
        }

        /// RSA-PSS by charon, which says the algorithm with its signature (RFC 7427).
        @Test(arguments: Case.mixed) func paddingAsThePeerSays(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                _ = try lab.issueCertificates("rsa")
                let charon: Side = lab.left.implementation == .charon ? .left : .right
                lab.peer(charon).settings = ["rsa_pss = yes"]
                try lab.load(link())
                try lab.up()
                #expect(lab.peer(charon).log.contains("RSA_EMSA_PSS"), "\(lab.peer(charon).log)")
                #expect(try lab.ping().loss == 0)
            }
        }

        /// Names of other kinds in subjectAltName: an e-mail address and the address on the wire.
        @Test(arguments: Case.mixed, Version.allCases)
        func otherNames(_ pairing: Pairing, _ version: Version) throws {
            try Lab.with(Scenario(pairing: pairing, version: version)) { lab in
                let root = lab.directory.appendingPathComponent("root").path
                try Parley.pki(["ca", "O=Lab, CN=Root", "-o", root, "--type", "ecdsa"])
                let names: [Side: String] = [.left: "joe@left.example", .right: Side.right.outerAddress]
                var link = Link(version)
                for side in Side.allCases {
                    let (own, peer) = (names[side] ?? "", names[side.other] ?? "")
                    try Parley.pki([
                        "issue", own, "--ca", root, "-o", lab.peer(side).directory.path, "--type", "ecdsa",
                    ])
                    link.rounds[side] = (
                        "auth = pubkey\n certs = \(own).pem\n id = \(own)", "auth = pubkey\n id = \(peer)"
                    )
                }
                try lab.load(link)
                try lab.up()
                for side in Side.allCases {
                    #expect(try lab.installed(on: side).0.remoteIdentity == names[side.other])
                }
                #expect(try lab.ping().loss == 0)
            }
        }

        /// A name that the certificate does not have is refused, of whatever kind.
        @Test(arguments: Case.mixed, ["ann@left.example", "192.0.2.77"])
        func otherNamesAreHeldTo(_ pairing: Pairing, _ claimed: String) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let root = lab.directory.appendingPathComponent("root").path
                try Parley.pki(["ca", "O=Lab, CN=Root", "-o", root, "--type", "ecdsa"])
                let charon: Side = lab.left.implementation == .charon ? .left : .right
                var link = Link(.v2)
                for side in Side.allCases {
                    let own = side == charon ? "joe@left.example" : side.identity
                    try Parley.pki([
                        "issue", own, "--ca", root, "-o", lab.peer(side).directory.path, "--type", "ecdsa",
                    ])
                    let peer = side == charon ? side.other.identity : claimed
                    link.rounds[side] = (
                        "auth = pubkey\n certs = \(own).pem\n id = \(side == charon ? "joe@left.example" : own)",
                        "auth = pubkey\n id = \(peer)"
                    )
                }
                try lab.load(link)
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                try lab.awaitEmpty()
            }
        }

        /// A key with its certificate and its authority in one encrypted file, as other programs write it.
        @Test(arguments: Case.mixed, Version.allCases)
        func keysInOneFile(_ pairing: Pairing, _ version: Version) throws {
            try Lab.with(Scenario(pairing: pairing, version: version)) { lab in
                _ = try lab.issueCertificates("rsa")
                let side: Side = lab.left.implementation == .parley ? .left : .right
                let folder = lab.peer(side).directory
                func file(_ name: String) -> String { folder.appendingPathComponent(name).path }
                try FileManager.default.createDirectory(
                    atPath: file("pkcs12"), withIntermediateDirectories: true)
                try Subprocess.require([
                    "openssl", "pkcs12", "-export", "-inkey", file("private/\(side.identity).pem"), "-in",
                    file("x509/\(side.identity).pem"), "-certfile", file("x509ca/ca.pem"), "-passout",
                    "pass:open sesame", "-out", file("pkcs12/own.p12"),
                ])
                for gone in ["private", "x509", "x509ca"] { try FileManager.default.removeItem(atPath: file(gone)) }
                var link = link(version)
                link.rounds[side]?.local = "auth = pubkey\n id = \(side.identity)"
                let secret = "secrets { pkcs12-own { file = own.p12\n secret = \"open sesame\" } }\n"
                try lab.load(link, besides: [side: secret])
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        /// A distinguished name with a wildcard, which both take from the certificate where none is configured.
        @Test(arguments: Case.mixed, Version.allCases)
        func namesBySubject(_ pairing: Pairing, _ version: Version) throws {
            try Lab.with(Scenario(pairing: pairing, version: version)) { lab in
                _ = try lab.issueCertificates("ecdsa")
                var link = Link(version)
                for side in Side.allCases {
                    link.rounds[side] = (
                        "auth = pubkey\n certs = \(side.identity).pem", "auth = ecdsa\n id = \"O=Lab, CN=*\""
                    )
                }
                try lab.load(link)
                let result = try lab.left.up("inner")
                guard result.succeeded else { throw LabFailure(result.description) }
                // Raw messages cannot be told apart where a value has spaces.
                for side in Side.allCases {
                    let shown = try lab.peer(side).swanctl(["--list-sas"]).output
                    #expect(shown.contains("'O=Lab, CN=\(side.other.identity)'"), "\(shown)")
                }
            }
        }
    }
}
