import Foundation
import Testing

extension Interop {
    /// Certificates that say where to ask about them: lists by Python's HTTP server, answers by `openssl ocsp`.
    @Suite(.serialized) struct RevocationTests {
        private static let mixed = Pairing.all.filter { $0.initiator != $0.responder }
        private static let listURI = "http://127.0.0.1:8080/ca.crl"
        private static let responderURI = "http://127.0.0.1:8888/"

        /// What the authority's servers are and say.
        enum Source: String, CaseIterable, Sendable {
            case list, responder
        }

        /// The authority of a lab, with servers on the host of the side that asks.
        private final class Authority {
            let directory: String
            private let lab: Lab
            private var servers: [Subprocess] = []

            init(_ lab: Lab, _ sources: [Source]) throws {
                self.lab = lab
                var further: [String] = []
                if sources.contains(.list) { further += ["--crl", RevocationTests.listURI] }
                if sources.contains(.responder) { further += ["--ocsp", RevocationTests.responderURI] }
                directory = try lab.issueCertificates("ecdsa", further: further)
            }

            private func file(_ name: String) -> URL { URL(fileURLWithPath: "\(directory)/\(name)") }
            private func certificate(_ side: Side) -> String {
                lab.peer(side).directory.appendingPathComponent("x509/\(side.identity).pem").path
            }

            /// Lets a side's host see what is revoked.
            func serve(_ source: Source, on side: Side, revoked: Side? = nil) throws {
                switch source {
                case .list: try serveList(on: side, revoked)
                case .responder: try serveResponder(on: side, revoked)
                }
            }

            private func serveList(on side: Side, _ revoked: Side?) throws {
                // A list exists from the first revocation on.
                try Parley.pki(["revoke", revoked.map(certificate) ?? throwaway(), "--ca", directory])
                let folder = file("web")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                try Subprocess.require([
                    "openssl", "crl", "-in", "\(directory)/ca.crl.pem", "-outform", "DER", "-out",
                    folder.appendingPathComponent("ca.crl").path,
                ])
                try serve(folder, on: side)
            }

            /// Serves a folder's files over HTTP.
            func serve(_ folder: URL, on side: Side) throws {
                try start(
                    on: side, port: 8080,
                    ["python3", "-u", "-m", "http.server", "8080", "--bind", "127.0.0.1", "--directory", folder.path])
            }

            /// A certificate that nobody uses.
            private func throwaway() throws -> String {
                let path = file("nobody").path
                try Parley.pki(["issue", "nobody.example", "--ca", directory, "-o", path, "--type", "ecdsa"])
                return "\(path)/x509/nobody.example.pem"
            }

            private func serveResponder(on side: Side, _ revoked: Side?) throws {
                var lines: [String] = []
                for known in Side.allCases {
                    let text = try Subprocess.require([
                        "openssl", "x509", "-in", certificate(known), "-noout", "-serial",
                    ])
                    let serial = text.split(separator: "=").last.map { $0.trimmingCharacters(in: .newlines) } ?? ""
                    let (letter, date) = known == revoked ? ("R", "250101000000Z,keyCompromise") : ("V", "")
                    lines.append("\(letter)\t491231235959Z\t\(date)\t\(serial)\tunknown\t/CN=\(known.identity)")
                }
                try (lines.joined(separator: "\n") + "\n").write(
                    to: file("index.txt"), atomically: true, encoding: .utf8)
                try start(
                    on: side, port: 8888,
                    [
                        "openssl", "ocsp", "-port", "8888", "-index", file("index.txt").path, "-CA",
                        file("ca.cert.pem").path, "-rsigner", file("ca.cert.pem").path, "-rkey",
                        file("ca.key.pem").path, "-ndays", "7",
                    ])
            }

            private func start(on side: Side, port: Int, _ command: [String]) throws {
                servers.append(
                    try Subprocess(
                        lab.network.on(side, command),
                        outputPath: lab.directory.appendingPathComponent("server-\(port)")))
                try eventually("something listens on \(port)") {
                    try Subprocess.run(lab.network.on(side, ["ss", "-Hltn", "sport = :\(port)"])).output
                        .contains(":\(port)")
                }
            }

            /// What the servers have said of themselves.
            var log: String { servers.map(\.output).joined() }

            func stop() {
                for server in servers { server.stop() }
                servers = []
            }
        }

        /// The link where Parley is as strict as that, and charon asks nobody.
        private func link(_ lab: Lab, _ policy: String, _ version: Version = .v2) -> Link {
            var link = Link(version).withCertificates()
            let judge = judge(lab)
            link.rounds[judge]?.remote += "\n revocation = \(policy)"
            return link
        }

        private func judge(_ lab: Lab) -> Side { lab.left.implementation == .parley ? .left : .right }

        @Test(arguments: mixed, [Version.v2, .v1])
        func goodByItsResponder(_ pairing: Pairing, _ version: Version) throws {
            try Lab.with(Scenario(pairing: pairing, version: version)) { lab in
                let authority = try Authority(lab, [.responder])
                defer { authority.stop() }
                try authority.serve(.responder, on: judge(lab))
                try lab.load(link(lab, "strict", version))
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test(arguments: mixed) func revokedByItsResponder(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [.responder])
                defer { authority.stop() }
                let judge = judge(lab)
                try authority.serve(.responder, on: judge, revoked: judge.other)
                try lab.load(link(lab, "relaxed"))
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                try eventually("the reason is told") { lab.peer(judge).log.contains("it was revoked at") }
                try lab.awaitEmpty()
            }
        }

        /// EAP-TLS alone proves both ends: whom TLS shows is asked about as well.
        @Test(arguments: mixed, Source.allCases)
        func certificatesInTLSAreAskedAbout(_ pairing: Pairing, _ source: Source) throws {
            for isGood in [true, false] { try askInTLS(pairing, source, isGood: isGood) }
        }

        private func askInTLS(_ pairing: Pairing, _ source: Source, isGood: Bool) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [source])
                defer { authority.stop() }
                let judge = judge(lab)
                try authority.serve(source, on: judge, revoked: isGood ? nil : judge.other)
                var link = link(lab, isGood ? "strict" : "relaxed")
                for side in Side.allCases {
                    link.rounds[side]?.local.replace("auth = pubkey", with: "auth = eap-tls")
                    link.rounds[side]?.remote.replace("auth = pubkey", with: "auth = eap-tls")
                }
                try lab.load(link)
                if isGood {
                    try lab.up()
                    #expect(try lab.ping().loss == 0)
                } else {
                    #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                    try eventually("the reason is told") { lab.peer(judge).log.contains("it was revoked at") }
                    try lab.awaitEmpty()
                }
                if source == .list { #expect(authority.log.contains("GET /ca.crl"), "\(authority.log)") }
            }
        }

        /// Certificates that say nothing, and a configuration that says whom to ask about its authority.
        @Test(arguments: mixed, Source.allCases)
        func theConfigurationSaysWhomToAsk(_ pairing: Pairing, _ source: Source) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [])
                defer { authority.stop() }
                let judge = judge(lab)
                try authority.serve(source, on: judge)
                let uris =
                    source == .list
                    ? "crl_uris = \(RevocationTests.listURI)" : "ocsp_uris = \(RevocationTests.responderURI)"
                let text = "authorities { lab {\n cacert = ca.pem\n \(uris)\n } }\n"
                try lab.load(link(lab, "strict"), besides: [judge: text])
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        /// Asked once, and again only after the list has run out; a restart does not forget it.
        @Test(arguments: mixed) func listsAreKept(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [.list])
                defer { authority.stop() }
                let judge = judge(lab)
                let parley = try #require(lab.peer(judge) as? Parley)
                parley.options = ["--state", lab.directory.appendingPathComponent("state").path]
                // The authority's list came along with the certificates: what counts here is what is fetched.
                try authority.serve(.list, on: judge)
                try? FileManager.default.removeItem(at: parley.directory.appendingPathComponent("x509crl/ca.pem"))
                try lab.load(link(lab, "strict"))
                try lab.up()
                #expect(authority.log.components(separatedBy: "GET /ca.crl").count == 2, "\(authority.log)")
                _ = try lab.left.down(ike: "net")
                try lab.awaitEmpty()
                authority.stop()
                parley.stop()
                try lab.load(link(lab, "strict"))
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        @Test(arguments: mixed) func revokedByItsList(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [.list, .responder])
                defer { authority.stop() }
                let judge = judge(lab)
                // No responder is there: the list is next.
                try authority.serve(.list, on: judge, revoked: judge.other)
                try lab.load(link(lab, "ifuri"))
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                try eventually("the reason is told") { lab.peer(judge).log.contains("it was revoked at") }
                try lab.awaitEmpty()
            }
        }

        @Test(arguments: mixed, ["strict", "ifuri", "relaxed"])
        func nobodyAnswers(_ pairing: Pairing, _ policy: String) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [.list, .responder])
                defer { authority.stop() }
                let judge = judge(lab)
                try lab.load(link(lab, policy))
                if policy == "relaxed" {
                    try lab.up()
                } else {
                    #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                    try lab.awaitEmpty()
                }
                for uri in [RevocationTests.listURI, RevocationTests.responderURI] {
                    #expect(lab.peer(judge).log.contains("revocation: \(uri)"), "\(lab.peer(judge).log)")
                }
            }
        }

        /// charon says where its certificate is, and Parley fetches it (RFC 7296 §3.6); one that is another is not taken.
        @Test(arguments: mixed, [true, false])
        func certificatesAreFetched(_ pairing: Pairing, _ isRight: Bool) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [])
                defer { authority.stop() }
                let judge = judge(lab)
                let folder = lab.directory.appendingPathComponent("root/web")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                func der(_ side: Side) throws -> String {
                    let path = lab.directory.appendingPathComponent("\(side.rawValue).der").path
                    try Subprocess.require([
                        "openssl", "x509", "-outform", "DER", "-out", path, "-in",
                        lab.peer(side).directory.appendingPathComponent("x509/\(side.identity).pem").path,
                    ])
                    return path
                }
                let sum = try Subprocess.require(["sha1sum", try der(judge.other)]).prefix(40)
                try FileManager.default.copyItem(
                    atPath: try der(isRight ? judge.other : judge), toPath: folder.path + "/\(sum)")
                try authority.serve(folder, on: judge)
                lab.peer(judge.other).settings = ["hash_and_url = yes"]
                lab.peer(judge).settings = ["hash_and_url = yes"]
                let charon = "authorities { lab {\n cacert = ca.pem\n cert_uri_base = http://127.0.0.1:8080/\n } }\n"
                try lab.load(Link(.v2).withCertificates(), besides: [judge.other: charon])
                if isRight {
                    try lab.up()
                    #expect(try lab.ping().loss == 0)
                } else {
                    #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                    try eventually("the reason is told") { lab.peer(judge).log.contains("its hash is not what") }
                    try lab.awaitEmpty()
                }
                #expect(authority.log.contains("GET /\(sum)"), "\(authority.log)")
            }
        }

        /// The same the other way round: charon fetches what Parley says the place of.
        @Test(arguments: mixed) func ownPlacesAreSaid(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [])
                defer { authority.stop() }
                let own = judge(lab)
                let folder = lab.directory.appendingPathComponent("root/web")
                try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
                let path = lab.directory.appendingPathComponent("own.der").path
                try Subprocess.require([
                    "openssl", "x509", "-outform", "DER", "-out", path, "-in",
                    lab.peer(own).directory.appendingPathComponent("x509/\(own.identity).pem").path,
                ])
                let sum = try Subprocess.require(["sha1sum", path]).prefix(40)
                try FileManager.default.copyItem(atPath: path, toPath: folder.path + "/\(sum)")
                try authority.serve(folder, on: own.other)
                for side in Side.allCases { lab.peer(side).settings = ["hash_and_url = yes"] }
                let text = "authorities { lab {\n cacert = ca.pem\n cert_uri_base = http://127.0.0.1:8080/\n } }\n"
                try lab.load(Link(.v2).withCertificates(), besides: [own: text])
                try lab.up()
                #expect(authority.log.contains("GET /\(sum)"), "\(authority.log)")
                #expect(try lab.ping().loss == 0)
            }
        }

        /// Where the one that judges reaches nobody, the other end brings the answer along (RFC 4806).
        @Test(arguments: [Side.left, .right]) func theAnswerComesAlong(_ judge: Side) throws {
            try Lab.with(Scenario(pairing: Pairing(.parley, .parley), version: .v2)) { lab in
                let authority = try Authority(lab, [.responder])
                defer { authority.stop() }
                try authority.serve(.responder, on: judge.other)
                var link = Link(.v2).withCertificates(strict: judge)
                link.lines = [judge: ["ocsp = request"]]
                try lab.load(link)
                try lab.up()
                #expect(try lab.ping().loss == 0)
                // Without being asked the other end says nothing, and then nobody knows.
                _ = try lab.left.down(ike: "net")
                try lab.awaitEmpty()
                link.lines = [:]
                try lab.load(link)
                #expect(try !lab.left.up("inner", seconds: 8).succeeded)
                try lab.awaitEmpty()
            }
        }

        /// charon knows nothing of such payloads, and is not disturbed by being asked.
        @Test(arguments: mixed) func whoDoesNotKnowSaysNothing(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [.responder])
                defer { authority.stop() }
                var link = link(lab, "relaxed")
                link.lines[judge(lab)] = ["ocsp = both"]
                try lab.load(link)
                try lab.up()
                #expect(try lab.ping().loss == 0)
            }
        }

        /// A server that says nothing: IKE goes on with everybody else, and with this peer when the time is over, whose
        /// repetitions change nothing meanwhile.
        @Test(arguments: mixed) func theServerIsSilent(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                let authority = try Authority(lab, [.list])
                defer { authority.stop() }
                let judge = judge(lab)
                let silent = try Subprocess(
                    lab.network.on(
                        judge,
                        [
                            "python3", "-c",
                            "import socket,time; s=socket.create_server(('127.0.0.1',8080)); time.sleep(60)",
                        ]), outputPath: lab.directory.appendingPathComponent("silent"))
                defer { silent.stop() }
                for side in Side.allCases {
                    lab.peer(side).settings = ["retransmit_tries = 10", "retransmit_base = 1.2"]
                }
                try lab.load(link(lab, "relaxed"))
                let result = try lab.left.up("inner", seconds: 25)
                #expect(result.succeeded, "\(result)")
                #expect(lab.peer(judge).log.contains("revocation: \(RevocationTests.listURI)"))
                #expect(try lab.peer(judge).securityAssociations().count == 1)
                #expect(try lab.ping().loss == 0)
            }
        }
    }
}
