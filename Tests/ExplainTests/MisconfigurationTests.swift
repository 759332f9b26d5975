import Explain
import IPsec
import KeyManagement
import Testing

/// For each way to configure two ends apart: the decision record names the key that is wrong, and what it should say.
@Suite struct MisconfigurationTests {
    private static let ike = "connections.net.proposals"
    private static let esp = "connections.net.children.inner.esp_proposals"
    private static let localSelectors = "connections.net.children.inner.local_ts"
    private static let remoteSelectors = "connections.net.children.inner.remote_ts"

    private static func proposals(_ new: String) -> [(String, String)] { [("aes256-sha256-ecp256", new)] }
    private static func child(_ new: String) -> [(String, String)] { [("= aes256-sha256\n", "= \(new)\n")] }

    private static let proposalCases: [Misconfiguration] = [
        .init(
            name: "IKE encryption", right: proposals("aes128-sha256-ecp256"), side: .right, key: ike,
            wanted: "aes256-sha256", says: ["encryption", "<- clash", "smallest edit"]),
        .init(
            name: "IKE encryption", right: proposals("aes128-sha256-ecp256"), side: .right, key: "proposals",
            remedySide: .peer, wanted: "aes128-sha256"),
        .init(
            name: "IKE encryption", right: proposals("aes128-sha256-ecp256"), side: .left, key: ike,
            remedySide: .either, says: ["NO_PROPOSAL_CHOSEN", "we offered aes256-sha256"]),
        .init(
            name: "IKE integrity", right: proposals("aes256-sha512-prfsha256-ecp256"), side: .right, key: ike,
            wanted: "aes256-sha256-prfsha256-ecp256", says: ["integrity"]),
        .init(
            name: "PRF", right: proposals("aes256-sha256-prfsha512-ecp256"), side: .right, key: ike,
            wanted: "prfsha256", says: ["PRF"]),
        .init(
            name: "IKE group", right: proposals("aes256-sha256-ecp384"), side: .right, key: ike, wanted: "ecp256",
            says: ["key exchange group"]),
        .init(
            name: "two kinds at once", right: proposals("aes128-sha256-ecp384"), side: .right, key: ike,
            wanted: "aes256-sha256-prfsha256-ecp256"),
        .init(
            name: "an authenticated cipher against none", right: proposals("aes256gcm16-prfsha256-ecp256"),
            side: .right, key: ike, wanted: "aes256-sha256-prfsha256-ecp256"),
        .init(
            name: "the closest of two proposals",
            right: proposals("aes128gcm16-prfsha384-ecp384, aes256-sha256-ecp521"),
            side: .right, key: ike, wanted: "aes256-sha256-prfsha256-ecp256", says: ["ecp521"]),
        .init(
            name: "ESP encryption", right: child("aes128-sha256"), side: .right, key: esp, wanted: "aes256-sha256",
            says: ["no proposal chosen for ESP"]),
        .init(
            name: "ESP encryption", right: child("aes128-sha256"), side: .left, key: esp, remedySide: .either,
            wanted: "what the peer has", says: ["we offered aes256-sha256"]),
        .init(name: "ESP integrity", right: child("aes256-sha512"), side: .right, key: esp, wanted: "aes256-sha256"),
        .init(name: "ESP AEAD", right: child("aes256gcm16"), side: .right, key: esp, wanted: "aes256-sha256"),
        .init(
            name: "extended sequence numbers", right: child("aes256-sha256-esn"), side: .right, key: esp,
            wanted: "aes256-sha256", says: ["extended sequence numbers"]),
        .init(
            name: "PFS that breaks at the first rekeying", left: child("aes256-sha256-ecp256"),
            right: child("aes256-sha256-ecp384"), attempt: .rekey, side: .right, key: esp, wanted: "ecp256",
            says: ["key exchange group"]),
        .init(
            name: "PFS that breaks at the first rekeying", left: child("aes256-sha256-ecp256"),
            right: child("aes256-sha256-ecp384"), attempt: .rekey, side: .left, key: esp, remedySide: .either),
        .init(
            name: "PFS on one side only", left: child("aes256-sha256"), right: child("aes256-sha256-ecp384"),
            attempt: .rekey, side: .right, key: esp, says: ["key exchange group"]),
    ]

    private static let selectorCases: [Misconfiguration] = [
        .init(
            name: "our network", right: [("10.2.0.0/24", "10.9.0.0/24")], side: .right, key: localSelectors,
            wanted: "10.2.0.0/24", says: ["closest child: inner", "local_ts does not fit, remote_ts fits"]),
        .init(
            name: "our network", right: [("10.2.0.0/24", "10.9.0.0/24")], side: .right, key: "remote_ts",
            remedySide: .peer, wanted: "10.9.0.0/24"),
        .init(
            name: "our network", right: [("10.2.0.0/24", "10.9.0.0/24")], side: .left, key: remoteSelectors,
            remedySide: .either, says: ["TS_UNACCEPTABLE", "we offered 10.1.0.0/24 === 10.2.0.0/24"]),
        .init(
            name: "the peer's network", right: [("10.1.0.0/24", "10.9.0.0/24")], side: .right, key: remoteSelectors,
            wanted: "10.1.0.0/24"),
        .init(
            name: "both networks", right: [("10.1.0.0/24", "10.8.0.0/24"), ("10.2.0.0/24", "10.9.0.0/24")],
            side: .right, key: localSelectors, wanted: "10.2.0.0/24"),
        .init(
            name: "a protocol", left: [("10.2.0.0/24", "10.2.0.0/24[tcp/80]")],
            right: [("10.2.0.0/24", "10.2.0.0/24[udp]")], side: .right, key: localSelectors, wanted: "tcp/80"),
        .init(
            name: "ports", left: [("10.2.0.0/24", "10.2.0.0/24[tcp/80]")],
            right: [("10.2.0.0/24", "10.2.0.0/24[tcp/443]")], side: .right, key: localSelectors, wanted: "tcp/80"),
        .init(
            name: "families", right: [("10.1.0.0/24", "fd00:1::/64"), ("10.2.0.0/24", "fd00:2::/64")], side: .right,
            key: remoteSelectors, wanted: "10.1.0.0/24"),
        .init(
            name: "dynamic against a network", right: [("10.2.0.0/24", "dynamic")], side: .right, key: localSelectors,
            wanted: "10.2.0.0/24"),
    ]

    private static let otherMethod = [("remote {\n            auth = psk", "remote {\n            auth = pubkey")]

    private static let identityCases: [Misconfiguration] = [
        .init(
            name: "whom we expect", right: [("id = left.example\n", "id = other.example\n")], side: .right,
            key: "connections.net.remote.id", wanted: "left.example",
            says: ["net: lost by remote.id: other.example here, left.example came"]),
        .init(
            name: "whom we expect", right: [("id = left.example\n", "id = other.example\n")], side: .right,
            key: "local.id", remedySide: .peer, wanted: "other.example"),
        .init(
            name: "whom the peer expects", right: [("id = left.example\n", "id = other.example\n")], side: .left,
            key: "connections.net.local.id", remedySide: .either, says: ["AUTHENTICATION_FAILED"]),
        .init(
            name: "who answers", right: [("        id = right.example", "        id = stranger.example")], side: .left,
            key: "connections.net.remote.id", remedySide: .either, wanted: "local.id"),
        .init(
            name: "the kind of identity", right: [("id = left.example\n", "id = left@example\n")], side: .right,
            key: "connections.net.remote.id", wanted: "left.example"),
        .init(
            name: "wrong secret", right: [("the right one", "the wrong one")], side: .right,
            key: "secrets.ike-net.secret", remedySide: .either, says: ["pre-shared keys most likely differ"]),
        .init(
            name: "wrong secret", right: [("the right one", "the wrong one")], side: .left,
            key: "secrets.ike-net.secret", remedySide: .either, says: ["AUTHENTICATION_FAILED"]),
        .init(
            name: "another method", right: otherMethod, side: .right, key: "connections.net.remote.auth",
            wanted: "psk",
            says: ["a pre-shared key (auth = psk), and a signature (auth = pubkey) was wanted", "(now pubkey)"]),
        .init(
            name: "another method", right: otherMethod, side: .right, key: "local.auth", remedySide: .peer,
            wanted: "pubkey"),
        .init(
            name: "no secret for the peer",
            right: [("id-1 = left.example", "id-1 = a.test"), ("id-2 = right.example", "id-2 = b.test")], side: .right,
            key: "secrets.ike-NAME.id", wanted: "left.example", says: ["no pre-shared key"]),
        .init(
            name: "a secret's owner misspelled",
            right: [("id-1 = left.example", "id-1 = lfet.example"), ("id-2 = right.example", "id-2 = b.test")],
            side: .right, key: "secrets.ike-net.id", wanted: "left.example", says: ["now lfet.example"]),
        .init(
            name: "no secret of our own",
            left: [("id-1 = left.example", "id-1 = a.test"), ("id-2 = right.example", "id-2 = b.test")], side: .left,
            key: "secrets.ike-NAME.id", wanted: "right.example"),
    ]

    private static let addressCases: [Misconfiguration] = [
        .init(
            name: "remote_addrs", right: [("remote_addrs = 192.0.2.1\n", "remote_addrs = 192.0.2.77\n")], side: .right,
            key: "connections.net.remote_addrs", wanted: "192.0.2.1", says: ["no connection is configured"]),
        .init(
            name: "local_addrs", right: [("local_addrs = 192.0.2.2\n", "local_addrs = 192.0.2.78\n")], side: .right,
            key: "connections.net.local_addrs", wanted: "192.0.2.2"),
        .init(
            name: "version 2 meets 1", right: [("version = 2", "version = 1")], side: .right,
            key: "connections.net.version", wanted: "2"),
        .init(
            name: "version 1 meets 2", version: 1, right: [("version = 1", "version = 2")], side: .right,
            key: "connections.net.version", wanted: "1"),
        .init(
            name: "nobody there", left: [("remote_addrs = 192.0.2.2\n", "remote_addrs = 192.0.2.99\n")], side: .left,
            key: "connections.net.remote_addrs", remedySide: .either, says: ["did not finish in time"]),
    ]

    private static let version1Cases: [Misconfiguration] = [
        .init(
            name: "another method", version: 1, right: [("auth = psk", "auth = pubkey")], side: .right,
            key: "connections.net.remote.auth", wanted: "psk", says: ["a pre-shared key (auth = psk), and", "pubkey"]),
        .init(
            name: "encryption", version: 1, right: proposals("aes128-sha256-ecp256"), side: .right, key: ike,
            wanted: "aes256-sha256"),
        .init(
            name: "encryption", version: 1, right: proposals("aes128-sha256-ecp256"), side: .left, key: ike,
            remedySide: .either, says: ["NO-PROPOSAL-CHOSEN", "we offered aes256-sha256"]),
        .init(
            name: "hash", version: 1, right: proposals("aes256-sha512-ecp256"), side: .right, key: ike,
            wanted: "sha256"),
        .init(
            name: "group", version: 1, right: proposals("aes256-sha256-modp2048"), side: .right, key: ike,
            wanted: "ecp256"),
        .init(
            name: "ESP encryption", version: 1, right: child("aes128-sha256"), side: .right, key: esp,
            wanted: "aes256-sha256"),
        .init(
            name: "ESP encryption", version: 1, right: child("aes128-sha256"), side: .left, key: esp,
            remedySide: .either),
        .init(
            name: "PFS group", version: 1, left: child("aes256-sha256-ecp256"), right: child("aes256-sha256-ecp384"),
            side: .right, key: esp, wanted: "ecp256"),
        .init(
            name: "our network", version: 1, right: [("10.2.0.0/24", "10.9.0.0/24")], side: .right,
            key: localSelectors, wanted: "10.2.0.0/24"),
        .init(
            name: "our network", version: 1, right: [("10.2.0.0/24", "10.9.0.0/24")], side: .left,
            key: remoteSelectors, remedySide: .either, says: ["we offered 10.1.0.0/24 === 10.2.0.0/24"]),
        .init(
            name: "wrong secret", version: 1, right: [("the right one", "the wrong one")], side: .right,
            key: "secrets.ike-net.secret", remedySide: .either, says: ["pre-shared keys most likely differ"]),
        .init(
            name: "wrong secret", version: 1, right: [("the right one", "the wrong one")], side: .left,
            key: "secrets.ike-net.secret", remedySide: .either),
        .init(
            name: "whom we expect", version: 1, right: [("id = left.example\n", "id = other.example\n")],
            side: .right, key: "connections.net.remote.id", wanted: "left.example"),
        .init(
            name: "who answers", version: 1,
            right: [("        id = right.example", "        id = stranger.example")], side: .left,
            key: "connections.net.remote.id", wanted: "stranger.example"),
        .init(
            name: "Aggressive Mode on one side only", version: 1,
            left: [("version = 1", "version = 1\naggressive = yes")],
            side: .right, key: "connections.net.aggressive", wanted: "yes"),
        .init(
            name: "wrong secret in Aggressive Mode", version: 1,
            left: [("version = 1", "version = 1\naggressive = yes")],
            right: [("version = 1", "version = 1\naggressive = yes"), ("the right one", "the wrong one")], side: .left,
            key: "secrets.ike-net.secret", remedySide: .either, says: ["pre-shared keys most likely differ"]),
    ]

    private static let cases = proposalCases + selectorCases + identityCases + addressCases + version1Cases

    @Test(arguments: cases) func theRecordNamesTheKeyAndTheRemedy(_ misconfiguration: Misconfiguration) throws {
        let records = try misconfiguration.records()
        let told = records.map { $0.lines.joined(separator: "\n") }.joined(separator: "\n--\n")
        try #require(!records.isEmpty)
        let remedies = records.flatMap(\.remedies)
        let fitting = remedies.filter {
            $0.key == misconfiguration.key && $0.side == misconfiguration.remedySide
                && (misconfiguration.wanted.isEmpty || $0.wanted?.contains(misconfiguration.wanted) == true)
        }
        #expect(!fitting.isEmpty, "\(told)")
        for text in misconfiguration.says { #expect(told.contains(text), "'\(text)' is not in:\n\(told)") }
        #expect(!told.contains("the right one") && !told.contains("the wrong one"))
    }

    @Test func thereAreAtLeastFortyWithoutRepetition() {
        #expect(Self.cases.count >= 40)
        let names = Self.cases.map { "\($0.testDescription) \($0.key) \($0.remedySide)" }
        #expect(Set(names).count == names.count)
    }

    @Test func aConfigurationThatMeetsIsRefusedNothing() throws {
        for version in [1, 2] {
            var hosts = try TwoHosts(
                left: Misconfiguration.text(.left, version: version),
                right: Misconfiguration.text(.right, version: version))
            hosts.command(.initiate(connection: nil, child: "inner"))
            #expect(hosts.isUp)
            #expect(hosts.records(.left).isEmpty && hosts.records(.right).isEmpty)
        }
    }
}
