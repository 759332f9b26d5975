import Foundation
import Testing

/// The same calls on the same configuration against charon and Parley, by the Python package `vici` as it comes from PyPI
/// and by Debian's swanctl. Whatever differs must stand in `Docs/vici.md`, with its reason.
extension Interop {
    @Suite struct SideBySide {
        private static let oneScenario = Scenario.all.filter {
            $0.version == .v2 && $0.pairing.initiator == .parley && $0.pairing.responder == .charon
        }

        // MARK: Calls

        /// One call: command, message, and the event that its answer streams.
        private struct Call {
            let command: String
            var message: [String: Any] = [:]
            var event: String?

            init(_ command: String, _ message: [String: Any] = [:], event: String? = nil) {
                self.command = command
                self.message = message
                self.event = event
            }

            var json: [Any] { [command, message, event ?? NSNull()] }
        }

        /// What may differ: a pattern of paths, and words of its line in Docs/vici.md.
        private static let differences: [(pattern: String, reason: String)] = [
            (#"^version/(daemon|version)"#, "names itself"),
            (#"^get-algorithms/"#, "its own algorithms"),
            (#"^list-conns( \w+)?/\d+/\w+/(local|remote)_port$"#, "ports of a connection"),
            (#"^list-conns/\d+/\w+/children/\w+/(local|remote)-ts/\d+$"#, "ports by number"),
            (
                #"^(load-conn|load-cert|load-key|load-token|load-authority|load-pool|load-shared)( junk)?/refused$"#,
                "says more"
            ),
            (#"^load-conn (version 7|empty|port)/"#, "refuses what charon bends"),
            (#"^(unload-key|load-key) \w+/refused$"#, "says more"),
        ]

        /// A list of calls; the label tells calls of one command apart.
        private static func calls(_ pems: PEMs) -> [(label: String, call: Call)] {
            func connection(_ change: [String: Any] = [:]) -> [String: Any] {
                var body: [String: Any] = [
                    "version": "2", "local_addrs": ["192.0.2.2"], "remote_addrs": ["198.51.100.7"],
                    "local": ["auth": "psk"], "remote": ["auth": "psk"], "children": ["k": [String: Any]()],
                ]
                for (key, value) in change { body[key] = value }
                return ["c1": body]
            }
            let calls: [(String, Call)] = [
                ("version", Call("version")), ("reload-settings", Call("reload-settings")),
                ("get-conns", Call("get-conns")), ("list-conns", Call("list-conns", event: "list-conn")),
                ("list-conns", Call("list-conns", ["ike": "nothing"], event: "list-conn")),
                ("load-conn good", Call("load-conn", connection())),
                ("load-conn again", Call("load-conn", connection())),
                ("get-conns", Call("get-conns")),
                ("load-conn", Call("load-conn", connection(["remote_adrs": ["x"]]))),
                ("load-conn version 7", Call("load-conn", connection(["version": "7"]))),
                ("load-conn", Call("load-conn", connection(["proposals": ["aes256-nonsense"]]))),
                ("load-conn", Call("load-conn", connection(["children": ["k": ["mode": "wrong"]]]))),
                ("get-conns", Call("get-conns")),
                ("unload-conn", Call("unload-conn", ["name": "nothing"])), ("unload-conn", Call("unload-conn")),
                ("unload-conn", Call("unload-conn", ["name": "c1"])), ("get-conns", Call("get-conns")),
                (
                    "load-shared good",
                    Call("load-shared", ["id": "s1", "type": "IKE", "data": "abc", "owners": ["a.example"]])
                ),
                ("load-shared bad", Call("load-shared", ["type": "WRONG", "data": "x"])),
                ("load-shared bad", Call("load-shared", ["type": "IKE"])), ("load-shared bad", Call("load-shared")),
                ("unload-shared", Call("unload-shared", ["id": "s1"])),
                ("unload-shared", Call("unload-shared", ["id": "nothing"])),
                ("unload-shared", Call("unload-shared")),
                ("get-shared names", Call("get-shared")),
                ("get-keys", Call("get-keys")), ("unload-key", Call("unload-key", ["id": "abcd"])),
                ("unload-key", Call("unload-key")),
                ("load-key", Call("load-key", ["type": "rsa", "data": "junk"])),
                ("load-key bad", Call("load-key", ["type": "junk", "data": "x"])), ("load-key bad", Call("load-key")),
                ("load-token bad", Call("load-token")),
                ("load-cert", Call("load-cert", ["type": "X509", "flag": "CA", "data": "junk"])),
                ("load-cert bad", Call("load-cert", ["type": "WRONG", "data": "x"])),
                ("load-cert bad", Call("load-cert", ["type": "X509", "flag": "BAD", "data": "x"])),
                ("list-certs", Call("list-certs", event: "list-cert")),
                ("flush-certs", Call("flush-certs")), ("flush-certs", Call("flush-certs", ["type": "X509"])),
                ("flush-certs", Call("flush-certs", ["type": "WRONG"])),
                ("get-authorities", Call("get-authorities")),
                ("list-authorities", Call("list-authorities", event: "list-authority")),
                ("unload-authority", Call("unload-authority", ["name": "x"])),
                ("unload-authority", Call("unload-authority")),
                ("load-authority", Call("load-authority", ["ca1": ["wrong": "x"]])),
                ("get-pools empty", Call("get-pools")),
                ("load-pool good", Call("load-pool", ["p5": ["addrs": "10.4.0.0/24", "dns": ["10.4.0.1"]]])),
                ("get-pools one", Call("get-pools")), ("get-pools one", Call("get-pools", ["name": "nothing"])),
                ("unload-pool one", Call("unload-pool", ["name": "p5"])), ("unload-pool", Call("unload-pool")),
                ("unload-pool none", Call("unload-pool", ["name": "nothing"])),
                ("get-algorithms", Call("get-algorithms")),
                ("get-counters", Call("get-counters")), ("get-counters all", Call("get-counters", ["all": "yes"])),
                ("get-counters name", Call("get-counters", ["name": "nothing"])),
                ("reset-counters", Call("reset-counters")), ("reset-counters", Call("reset-counters", ["all": "yes"])),
                ("initiate", Call("initiate")), ("initiate", Call("initiate", ["ike": "nothing"])),
                ("initiate", Call("initiate", ["child": "inner", "ike": "nothing"])),
                ("terminate", Call("terminate", ["ike": "nothing"])),
                ("terminate", Call("terminate", ["child-id": "77"])), ("terminate", Call("terminate")),
                ("rekey", Call("rekey", ["ike": "nothing"])), ("rekey", Call("rekey")),
                ("redirect", Call("redirect")),
                ("redirect", Call("redirect", ["ike": "nothing", "gateway": "192.0.2.3"])),
                ("install none", Call("install")), ("install none", Call("install", ["child": "nothing"])),
                ("uninstall", Call("uninstall", ["child": "inner"])), ("uninstall", Call("uninstall")),
                ("list-policies", Call("list-policies", ["trap": "yes"], event: "list-policy")),
                ("list-sas", Call("list-sas", event: "list-sa")),
                ("clear-creds", Call("clear-creds")), ("get-shared cleared", Call("get-shared")),
            ]
            return (calls + credentialCalls(pems)).map { (label: $0.0, call: $0.1) }
        }

        /// Keys, certificates and authorities. What the lists have in another order is asked for kind by kind.
        private static func credentialCalls(_ pems: PEMs) -> [(String, Call)] {
            func listed(_ message: [String: Any] = [:]) -> Call { Call("list-certs", message, event: "list-cert") }
            let round: [String: Any] = ["auth": "pubkey", "certs": [pems.end]]
            let connection: [String: Any] = [
                "pk": [
                    "version": "2", "local": round, "remote": ["auth": "pubkey", "cacerts": [pems.root]],
                    "children": ["k": [String: Any]()],
                ]
            ]
            let authority: [String: Any] = [
                "ca1": [
                    "cacert": pems.root, "crl_uris": ["http://ca.example/1.crl", "http://ca.example/2.crl"],
                    "ocsp_uris": ["http://ocsp.example/"], "cert_uri_base": "http://ca.example/certs/",
                ] as [String: Any]
            ]
            return [
                ("load-cert ca", Call("load-cert", ["type": "X509", "flag": "CA", "data": pems.root])),
                ("load-cert end", Call("load-cert", ["type": "X509", "flag": "NONE", "data": pems.end])),
                ("load-cert end", Call("load-cert", ["type": "X509", "data": pems.end])),
                ("load-cert no ca", Call("load-cert", ["type": "X509", "flag": "CA", "data": pems.end])),
                ("load-cert crl", Call("load-cert", ["type": "X509_CRL", "data": pems.list])),
                ("list-certs ca", listed(["type": "X509", "flag": "CA"])),
                ("list-certs end", listed(["type": "X509", "flag": "NONE"])),
                ("list-certs crl", listed(["type": "X509_CRL"])),
                ("list-certs subject", listed(["subject": "O=Lab, CN=end.example"])),
                ("load-key good", Call("load-key", ["type": "any", "data": pems.key])),
                ("load-key typed", Call("load-key", ["type": "ecdsa", "data": pems.key])),
                ("load-key other", Call("load-key", ["type": "rsa", "data": pems.key])),
                ("get-keys one", Call("get-keys")), ("list-certs own", listed(["type": "X509", "flag": "NONE"])),
                ("load-conn certs", Call("load-conn", connection)),
                ("list-conns certs", Call("list-conns", ["ike": "pk"], event: "list-conn")),
                ("load-authority good", Call("load-authority", authority)),
                ("get-authorities one", Call("get-authorities")),
                ("list-authorities one", Call("list-authorities", event: "list-authority")),
                ("load-authority junk", Call("load-authority", ["ca2": ["cacert": "junk"]])),
                ("get-authorities one", Call("get-authorities")),
                ("unload-authority one", Call("unload-authority", ["name": "ca1"])),
                ("get-authorities none", Call("get-authorities")),
                ("unload-conn certs", Call("unload-conn", ["name": "pk"])),
                ("unload-key unknown", Call("unload-key", ["id": "0011"])), ("get-keys one", Call("get-keys")),
                ("unload-key named", Call("unload-key", ["id": pems.keyName])), ("get-keys none", Call("get-keys")),
                ("flush-certs crl", Call("flush-certs", ["type": "X509_CRL"])),
                ("clear-creds", Call("clear-creds")), ("list-certs none", listed()),
            ]
        }

        /// What the calls about credentials bring along.
        private struct PEMs {
            var root: String
            var end: String
            var key: String
            var list: String
            /// As vici names the key.
            var keyName: String

            /// Of an authority that is made for the purpose.
            init(in directory: URL) throws {
                guard let binary = Parley.binary else { throw LabFailure("no parley is built") }
                let (authority, own) = (
                    directory.appendingPathComponent("authority").path, directory.appendingPathComponent("own").path
                )
                func pki(_ arguments: String...) throws { _ = try Subprocess.require([binary, "pki"] + arguments) }
                try pki("ca", "O=Lab, CN=Root", "-o", authority, "--type", "ecdsa")
                try pki("issue", "end.example", "--ca", authority, "-o", own, "--type", "ecdsa")
                try pki("revoke", "--ca", authority)
                func text(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
                root = try text("\(own)/x509ca/ca.pem")
                end = try text("\(own)/x509/end.example.pem")
                key = try text("\(own)/private/end.example.pem")
                list = try text("\(authority)/ca.crl.pem")
                // Its plugins complain before it answers.
                let said = try Subprocess.require([
                    "pki", "--keyid", "--type", "priv", "--in", "\(own)/private/end.example.pem", "--id", "spk",
                    "--format", "hex",
                ])
                keyName =
                    said.split(whereSeparator: \.isWhitespace).map(String.init)
                    .first { $0.count == 40 && $0.allSatisfy(\.isHexDigit) } ?? ""
            }
        }

        /// Where scripts/install puts the package.
        private static let packages = checkout.appendingPathComponent(".build/peers/python").path
        private static let checkout = URL(fileURLWithPath: #filePath)
            .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

        private static let hasPackage: Bool = {
            let probe = try? Subprocess.run(
                ["python3", "-c", "import vici.session"], environment: ["PYTHONPATH": packages])
            if probe?.succeeded != true { print("interop: skipped, python3 has no package vici (scripts/install)") }
            return probe?.succeeded == true
        }()

        /// Every answer of a daemon, flattened: a path of names to a text.
        private func answers(
            _ lab: Lab, _ peer: Peer, _ made: [(label: String, call: Call)]
        ) throws -> [[String: String]] {
            let calls = lab.directory.appendingPathComponent("calls-\(peer.side.rawValue)")
            try JSONSerialization.data(withJSONObject: made.map(\.call.json)).write(to: calls)
            let script = Self.checkout.appendingPathComponent("Tests/InteropTests/calls/vici_calls.py").path
            let output = try Subprocess.require(
                ["sh", "-c", "exec python3 \(script) \(peer.socket) < \(calls.path)"],
                environment: ["PYTHONPATH": Self.packages], seconds: 60)
            let lines = output.split(separator: "\n")
            guard lines.count == made.count else { throw LabFailure("\(lines.count) answers:\n\(output)") }
            return try zip(made, lines).map { call, line in
                var flat: [String: String] = [:]
                let value = try JSONSerialization.jsonObject(with: Data(line.utf8), options: .fragmentsAllowed)
                flatten(value, call.label, into: &flat)
                return flat
            }
        }

        private func flatten(_ value: Any, _ path: String, into flat: inout [String: String]) {
            switch value {
            case let object as [String: Any]:
                if object.isEmpty { flat[path] = "{}" }
                for (key, inner) in object { flatten(inner, "\(path)/\(key)", into: &flat) }
            case let list as [Any]:
                if list.isEmpty { flat[path] = "[]" }
                for (index, inner) in list.enumerated() { flatten(inner, "\(path)/\(index)", into: &flat) }
            default: flat[path] = "\(value)"
            }
        }

        @Test("the same calls to both daemons", .enabled(if: hasPackage), arguments: oneScenario)
        func calls(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                var link = Link(scenario.version)
                link.dpdDelay = 30
                // Both get the left side's configuration; nothing is sent.
                for peer in [lab.left, lab.right] { try peer.load(link.configuration(of: .left)) }
                let made = Self.calls(try PEMs(in: lab.directory))
                let parley = try answers(lab, lab.left, made)
                let charon = try answers(lab, lab.right, made)
                var compared = 0
                for (index, (ours, theirs)) in zip(parley, charon).enumerated() {
                    for path in Set(ours.keys).union(theirs.keys).sorted() {
                        compared += 1
                        if ours[path] == theirs[path] || isExplained(path) { continue }
                        Issue.record(
                            """
                            call \(index), \(path): Parley says \(ours[path] ?? "nothing"), \
                            charon \(theirs[path] ?? "nothing")
                            """)
                    }
                }
                #expect(compared > 200)
            }
        }

        private func isExplained(_ path: String) -> Bool {
            Self.differences.contains { path.range(of: $0.pattern, options: .regularExpression) != nil }
        }

        @Test("every difference stands in Docs/vici.md") func differencesAreDocumented() throws {
            let text = try String(contentsOf: Self.checkout.appendingPathComponent("Docs/vici.md"), encoding: .utf8)
            for difference in Self.differences { #expect(text.contains(difference.reason), "\(difference)") }
        }

        // MARK: Events

        /// Keys that only one of the daemons has in its descriptions of SAs.
        private static let onlyParleys: Set<String> = ["tasks-queued", "mtu", "mtu-path", "mtu-inner", "mtu-source"]
        private static let onlyCharons: Set<String> = [
            "nat-fake", "tasks-passive", "tasks-active", "tasks-queued", "if-id-in", "if-id-out", "mark-in",
            "mark-out", "mark-mask-in", "mark-mask-out", "use-in", "use-out", "nat-local", "nat-remote", "nat-any",
        ]

        @Test("an SA's life as both daemons tell it", .enabled(if: hasPackage), arguments: oneScenario)
        func events(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                try lab.load(Link(scenario.version))
                let names = ["ike-updown", "child-updown", "child-rekey", "ike-rekey"]
                let script = Self.checkout.appendingPathComponent("Tests/InteropTests/calls/vici_events.py").path
                let monitors = try Side.allCases.map { side in
                    try Subprocess(
                        ["python3", script, lab.peer(side).socket] + names,
                        environment: ["PYTHONPATH": Self.packages],
                        outputPath: lab.peer(side).directory.appendingPathComponent("monitored"))
                }
                defer { monitors.forEach { $0.stop() } }
                // A monitor is there once it hears of something.
                try eventually("both monitors listen", seconds: 20) {
                    try lab.up()
                    _ = try lab.left.down(ike: "net")
                    return monitors.allSatisfy { $0.output.contains("ike-updown event") }
                }
                try lab.awaitEmpty()
                try lab.up()
                for side in Side.allCases { try compareSAs(lab, side) }
                let before = try lab.installed(on: .left)
                _ = try lab.left.rekey(child: "inner")
                try eventually("the child is another") {
                    try lab.installed(on: .left).1.uniqueID != before.1.uniqueID
                }
                _ = try lab.left.rekey(ike: "net")
                try eventually("the IKE SA is another") {
                    try lab.installed(on: .left).0.spis != before.0.spis
                }
                _ = try lab.left.down(ike: "net")
                try lab.awaitEmpty()
                /// Whole lines only: the last one may still be on its way.
                func said(_ monitor: Subprocess) -> String {
                    let lines = monitor.output.split(separator: "\n", omittingEmptySubsequences: false)
                    return lines.dropLast().joined(separator: "\n")
                }
                try eventually("both tell the end") {
                    try monitors.allSatisfy {
                        let text = said($0)
                        let ends = try RawMessage.events("ike-updown", in: text)
                        return ends.last.map { $0["up"] == nil } == true && text.contains("ike-rekey event")
                    }
                }
                for name in names {
                    let (ours, theirs) = (
                        try RawMessage.events(name, in: said(monitors[0])),
                        try RawMessage.events(name, in: said(monitors[1]))
                    )
                    #expect(!ours.isEmpty && !theirs.isEmpty, "\(name)")
                    guard let our = ours.last, let their = theirs.last else { continue }
                    expectSameKeys(our, their, name)
                }
            }
        }

        private func compareSAs(_ lab: Lab, _ side: Side) throws {
            guard side == .left else { return }
            func listed(_ peer: Peer) throws -> RawMessage? {
                try RawMessage.events("list-sa", in: peer.swanctl(["--list-sas", "--raw"]).output).first
            }
            let ours = try #require(try listed(lab.left))
            let theirs = try #require(try listed(lab.right))
            expectSameKeys(ours, theirs, "list-sa")
        }

        /// Both say the same things in the same order, but for what only one has.
        private func expectSameKeys(_ ours: RawMessage, _ theirs: RawMessage, _ what: String) {
            let (our, their) = (keys(ours), keys(theirs))
            let common = Set(our).intersection(their)
            #expect(Set(our).subtracting(common).subtracting(Self.onlyParleys.union(Self.onlyCharons)) == [], "\(what)")
            #expect(
                Set(their).subtracting(common).subtracting(Self.onlyCharons).subtracting(["initiator"]) == [], "\(what)"
            )
            #expect(our.filter(common.contains) == their.filter(common.contains), "\(what)")
        }

        /// Names of all levels in order; the numbers in names of children are left out.
        private func keys(_ message: RawMessage) -> [String] {
            message.members.flatMap { member -> [String] in
                let name = member.name.hasPrefix("inner-") ? "inner-N" : member.name
                return [name] + keys(member.content)
            }
            .filter { $0 != "initiator" }
        }

        // MARK: swanctl

        @Test("every subcommand of swanctl", arguments: oneScenario)
        func subcommands(_ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let link = Link(scenario.version)
                try lab.load(link)
                for folder in "x509 x509ca x509ocsp x509aa x509ac x509crl pubkey private rsa ecdsa bliss pkcs8 pkcs12"
                    .split(separator: " ")
                {
                    try FileManager.default.createDirectory(
                        at: lab.left.directory.appendingPathComponent(String(folder)),
                        withIntermediateDirectories: true)
                }
                let file = lab.left.directory.appendingPathComponent("by-swanctl.conf").path
                try
                    (link.configuration(of: .left)
                    + "\nconnections { extra { remote_addrs = 192.0.2.9\nlocal { auth = psk }\nremote { auth = psk }\nchildren { more { } } } }\n")
                    .write(toFile: file, atomically: true, encoding: .utf8)
                func swanctl(_ arguments: String..., prints text: String = "", succeeds: Bool = true) throws {
                    let result = try lab.left.swanctl(arguments)
                    #expect(result.succeeded == succeeds, "\(result)")
                    #expect(text.isEmpty || result.output.contains(text), "\(result)")
                }
                try swanctl("--load-conns", "--file", file, prints: "successfully loaded 2 connections, 0 unloaded")
                try swanctl(
                    "--load-creds", "--clear", "--noprompt", "--file", file, prints: "loaded ike secret 'ike-net'")
                try swanctl("--load-pools", "--file", file, prints: "no pools found, 0 unloaded")
                try swanctl("--load-authorities", "--file", file, prints: "no authorities found, 0 unloaded")
                try swanctl("--load-all", "--noprompt", "--file", file, prints: "successfully loaded 2 connections")
                try swanctl("--list-conns", prints: "extra: IKEv1/2")
                // What swanctl loaded is what runs.
                try lab.up()
                try swanctl("--load-all", "--noprompt", "--file", lab.left.configurationPath, prints: "1 unloaded")
                #expect(try lab.installed(on: .left).1.name == "inner")
                try swanctl("--list-sas", prints: "ESTABLISHED")
                for verb in [
                    "--list-certs", "--list-authorities", "--list-pools", "--flush-certs", "--reload-settings",
                ] {
                    try swanctl(verb)
                }
                try swanctl("--list-pols", "--trap")
                try swanctl("--list-algs", prints: "AES_GCM_16[libcrypto]")
                try swanctl("--counters", prints: "ike-auth-out-req")
                try swanctl("--counters", "--name", "net", prints: "create-child-in-req")
                try swanctl("--counters", "--reset")
                try swanctl("--install", "--child", "nothing", succeeds: false)
                try swanctl("--uninstall", "--child", "inner", succeeds: false)
                try swanctl("--redirect", "--ike", "nothing", "--gateway", "192.0.2.3", succeeds: false)
                try swanctl("--stats", prints: "IKE_SAs: 1 total")
                try swanctl("--rekey", "--ike", "net", prints: "rekey completed successfully")
                try swanctl("--terminate", "--ike", "net", "--force", prints: "terminate completed successfully")
                try lab.awaitEmpty()
            }
        }
    }
}
