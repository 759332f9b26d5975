import Foundation
import Testing

extension Interop {
    /// Misconfigurations with charon at the other end: what Parley's decision record names.
    @Suite struct Explanations {
        struct Case: Sendable {
            let name: String
            let version: Version
            /// Replacements in the text of Parley's and of charon's side.
            var parley: [(String, String)] = []
            var charon: [(String, String)] = []
            /// Keys of remedies, of which one must be named.
            let key: String
            /// What stands in that remedy, or in the record.
            var says = ""
        }

        private static let ike = "aes256-sha256-ecp256"
        private static let esp = "aes256gcm16-ecp256"

        /// charon begins: Parley knows both sides.
        private static let answered: [Case] = Version.allCases.flatMap { version -> [Case] in
            [
                Case(
                    name: "IKE encryption", version: version, charon: [(ike, "aes128-sha256-ecp256")],
                    key: "connections.net.proposals", says: "aes128-sha256"),
                Case(
                    name: "IKE group", version: version, charon: [(ike, "aes256-sha256-modp2048")],
                    key: "connections.net.proposals", says: "modp2048"),
                Case(
                    name: "IKE hash", version: version, charon: [(ike, "aes256-sha512-ecp256")],
                    key: "connections.net.proposals", says: "sha512"),
                Case(
                    name: "ESP encryption", version: version, charon: [(esp, "aes128gcm16-ecp256")],
                    key: "connections.net.children.inner.esp_proposals", says: "aes128gcm16"),
                Case(
                    name: "our network", version: version,
                    parley: [("local_ts = 10.2.0.0/24", "local_ts = 10.9.0.0/24")],
                    key: "connections.net.children.inner.local_ts", says: "10.2.0.0/24"),
                Case(
                    name: "the peer's network", version: version,
                    parley: [("remote_ts = 10.1.0.0/24", "remote_ts = 10.9.0.0/24")],
                    key: "connections.net.children.inner.remote_ts", says: "10.1.0.0/24"),
                Case(
                    name: "secret", version: version, charon: [("a shared secret", "another secret")],
                    key: "secrets.ike-net.secret", says: "pre-shared keys most likely differ"),
                Case(
                    name: "peer's identity", version: version,
                    parley: [
                        (
                            "remote {\n      auth = psk\n      id = left.example",
                            "remote {\n      auth = psk\n      id = other.example"
                        )
                    ],
                    key: "connections.net.remote.id", says: "left.example"),
                Case(
                    name: "addresses", version: version,
                    parley: [("remote_addrs = 192.0.2.2", "remote_addrs = 203.0.113.7")],
                    key: "connections.net.remote_addrs", says: "192.0.2.2"),
                Case(
                    name: "version", version: version,
                    parley: [("version = \(version.rawValue)", "version = \(3 - version.rawValue)")],
                    key: "connections.net.version"),
            ]
        }

        /// Parley begins: it learns what the peer says.
        private static let refused: [Case] =
            Version.allCases.flatMap { version -> [Case] in
                [
                    Case(
                        name: "IKE encryption", version: version, charon: [(ike, "aes128-sha256-ecp256")],
                        key: "connections.net.proposals", says: "aes256-sha256"),
                    Case(
                        name: "ESP encryption", version: version, charon: [(esp, "aes128gcm16-ecp256")],
                        key: "connections.net.children.inner.esp_proposals", says: esp.prefix(11).description),
                    Case(
                        name: "networks", version: version,
                        charon: [("local_ts = 10.2.0.0/24", "local_ts = 10.9.0.0/24")],
                        key: "connections.net.children.inner.remote_ts", says: "10.2.0.0/24"),
                ]
            } + [
                Case(
                    name: "secret", version: .v2, charon: [("a shared secret", "another secret")],
                    key: "secrets.ike-net.secret", says: "AUTHENTICATION_FAILED"),
                Case(
                    name: "identity", version: .v2, charon: [("id = left.example", "id = other.example")],
                    key: "connections.net.local.id", says: "left.example"),
            ]

        @Test("what charon asks is refused, with the key that is wrong", arguments: [Pairing(.charon, .parley)])
        func answering(_ pairing: Pairing) throws {
            try run(Self.answered, Scenario(pairing: pairing, version: .v2))
        }

        @Test("what charon refuses is explained", arguments: [Pairing(.parley, .charon)])
        func asking(_ pairing: Pairing) throws {
            try run(Self.refused, Scenario(pairing: pairing, version: .v2))
        }

        /// All cases in one lab: both daemons read each case's configuration anew.
        private func run(_ cases: [Case], _ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                let sides = Side.allCases.map { (side: $0, peer: lab.peer($0)) }
                let parley = try #require(sides.first { $0.peer.implementation == .parley })
                guard let client = parley.peer as? Parley else { return }
                for entry in cases {
                    let link = Link(entry.version)
                    for (side, peer) in sides.reversed() {
                        var text = link.configuration(of: side)
                        for (old, new) in peer.implementation == .parley ? entry.parley : entry.charon {
                            guard text.contains(old) else {
                                throw LabFailure("\(entry.name): '\(old)' is not in\n\(text)")
                            }
                            text = text.replacingOccurrences(of: old, with: new)
                        }
                        try peer.load(text)
                    }
                    let before = try client.client(["explain", "last", "--json", "--count", "200"]).output
                    // Its own end may take long: the record is there before.
                    let attempt = try Subprocess(
                        ["swanctl", "--initiate", "--child", "inner", "--timeout", "6", "--uri", lab.left.uri],
                        outputPath: lab.directory.appendingPathComponent("attempt-\(UUID().uuidString.prefix(8))"))
                    defer { attempt.stop() }
                    let told = "IKEv\(entry.version.rawValue) \(entry.name)"
                    do {
                        try eventually("\(told): a record names \(entry.key) and \(entry.says)", seconds: 8) {
                            let now = try client.client(["explain", "last", "--json", "--count", "200"]).output
                            return now != before && Self.hasRemedy(now, entry)
                        }
                    } catch {
                        let last = try client.client(["explain", "last", "--count", "3"]).output
                        Issue.record("\(told): \(error)\n\(last)")
                    }
                    _ = attempt.wait(seconds: 8)
                    _ = try? lab.left.down(ike: "net")
                }
            }
        }

        /// Whether one of the newest records, that of this attempt, has the remedy.
        private static func hasRemedy(_ output: String, _ entry: Case) -> Bool {
            guard let json = try? JSONSerialization.jsonObject(with: Data(output.utf8)) as? [String: Any] else {
                return false
            }
            return (1...2).contains { index in
                guard let record = json["\(index)"] as? [String: Any],
                    let remedies = record["remedies"] as? [String: Any],
                    let lines = record["lines"] as? [String]
                else { return false }
                let keys = remedies.values.compactMap { ($0 as? [String: Any])?["key"] as? String }
                return keys.contains(entry.key)
                    && (entry.says.isEmpty || lines.contains { $0.contains(entry.says) })
            }
        }

        @Test("there are at least twenty with charon") func thereAreTwenty() {
            #expect(Self.answered.count + Self.refused.count >= 20)
        }
    }
}
