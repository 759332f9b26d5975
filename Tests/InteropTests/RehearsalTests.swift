import Foundation
import Testing

extension Interop {
    /// `parley rehearse` with charon at the other end.
    @Suite struct Rehearsals {
        @Test("a key exchange that differs is found before the first rekeying", arguments: [Pairing(.parley, .charon)])
        func differs(_ pairing: Pairing) throws {
            try Lab.with(Scenario(pairing: pairing, version: .v2)) { lab in
                var link = Link(.v2)
                link.children[0].proposals[.right] = "aes256gcm16-ecp384"
                try lab.load(link)
                try lab.up()
                let client = try #require(lab.left as? Parley)
                let before = try lab.installed(on: .left).1.spiIn
                let result = try client.client(["rehearse", "inner", "--json"])
                #expect(!result.succeeded)
                let told = try #require(Self.section(result.output))
                #expect(told["outcome"] as? String == "refused")
                let remedy = (told["remedies"] as? [String: [String: String]])?["1"]
                #expect(remedy?["key"] == "connections.net.children.inner.esp_proposals")
                #expect(remedy?["current"] == "ecp256")
                // What is up goes on.
                #expect(try lab.installed(on: .left).1.spiIn == before)
                #expect(try lab.ping(count: 5).loss == 0)
                let text = try client.client(["rehearse", "net"])
                #expect(text.output.contains("it is the key exchange that differs"), "\(text)")
            }
        }

        @Test("one that both have is agreed on", arguments: [Version.v1, .v2])
        func agrees(_ version: Version) throws {
            try Lab.with(Scenario(pairing: Pairing(.parley, .charon), version: version)) { lab in
                try lab.load(Link(version))
                try lab.up()
                let client = try #require(lab.left as? Parley)
                let before = try lab.installed(on: .left).1.spiIn
                let result = try client.client(["rehearse", "inner", "--json"])
                #expect(result.succeeded, "\(result)")
                let told = try #require(Self.section(result.output))
                #expect(told["outcome"] as? String == "agreed" && told["dh-group"] as? String == "ECP_256")
                try eventually("a new child") { try lab.installed(on: .left).1.spiIn != before }
                #expect(try lab.ping(count: 5).loss == 0)
            }
        }

        private static func section(_ output: String) -> [String: Any]? {
            // What went to standard error stands behind it.
            let end = output.lastIndex(of: "}") ?? output.startIndex
            let json = try? JSONSerialization.jsonObject(with: Data(output[...end].utf8)) as? [String: Any]
            return (json?["rehearsals"] as? [String: Any])?.values.first as? [String: Any]
        }
    }
}
