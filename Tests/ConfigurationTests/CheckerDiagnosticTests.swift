import Configuration
import Primitives
import Testing

/// Every kind of diagnostic of the checker.
@Suite struct CheckerDiagnosticTests {
    private static let unsupported = "known to swanctl, not supported by this version"

    @Test(arguments: [
        ("dpd_dely = 1", "unknown key 'dpd_dely' in connections.home; did you mean 'dpd_delay'?"),
        ("colour = 1", "unknown key 'colour' in connections.home"),
        ("children = 1", "'children' in connections.home is a section: write 'children { … }'"),
        ("version { }", "'version' in connections.home is a key: write 'version = …'"),
        ("childern { }", "unknown section 'childern' in connections.home; did you mean 'children'?"),
        ("mediation = yes", "'mediation = yes' in connections.home is \(unsupported); only 'no' is"),
        ("if_id_in = 1", "'if_id_in = 1' in connections.home is \(unsupported); only '0' is"),
        (
            "children { x = 1 }",
            "unknown key 'x' in connections.home.children, which holds one section for each child"
        ),
    ])
    func names(_ addition: String, _ expected: String) {
        let place = "4:\(expected.hasPrefix("unknown key 'x'") ? 12 : column(addition)): "
        let found = errors(connection(addition))
        #expect(found.count == 1)
        // What is refused by name says more: why.
        let isRefused = expected.contains(CheckerDiagnosticTests.unsupported)
        let first = found.first ?? ""
        #expect(isRefused ? first.hasPrefix(place + expected + ": ") : first == place + expected)
    }

    /// Keys are pointed at themselves; the refused values of known keys where they stand.
    private func column(_ addition: String) -> Int {
        addition.hasPrefix("mediation") ? 13 : addition.hasPrefix("if_id") ? 12 : 1
    }

    @Test(arguments: [
        ("version", "two", "0 (both), 1 or 2"),
        ("local_addrs", "192.0.2.256", "addresses, blocks, ranges, DNS names or %any"),
        ("local_addrs", "192.0.2.9-192.0.2.1", "addresses, blocks, ranges, DNS names or %any"),
        ("remote_addrs", "a..b", "addresses, blocks, ranges, DNS names or %any"),
        ("remote_addrs", "2001:db8::g", "addresses, blocks, ranges, DNS names or %any"),
        ("local_port", "0", "a number from 1 to 65535"), ("remote_port", "65536", "a number from 1 to 65535"),
        ("dscp", "000002", "six binary digits such as 101110"), ("dscp", "+11111", "six binary digits such as 101110"),
        ("dscp", "1111111", "six binary digits such as 101110"), ("encap", "maybe", "yes or no"),
        ("dpd_delay", "3w", "a time such as 30s, 5m, 1h or 1d"),
        ("dpd_timeout", "-1", "a time such as 30s, 5m, 1h or 1d"),
        ("rekey_time", "h", "a time such as 30s, 5m, 1h or 1d"),
        ("over_time", "99999999999", "a time such as 30s, 5m, 1h or 1d"),
        ("keyingtries", "many", "a number from 0 to 4294967295"), ("unique", "always", "no, never, keep or replace"),
    ])
    func values(_ key: String, _ value: String, _ expected: String) {
        #expect(
            errors(connection("\(key) = \(value)")) == [
                "4:\(key.count + 4): wrong value '\(value)' for '\(key)' in connections.home: expected \(expected)"
            ])
    }

    @Test(arguments: [
        ("local_ts = 10.0.0.0/33", "5:12: wrong value '10.0.0.0/33' for 'local_ts'"),
        ("remote_ts = dynamic, 10.0.0.0/8[tcp", "5:22: wrong value '10.0.0.0/8[tcp' for 'remote_ts'"),
        ("remote_ts = 10.0.0.0/8[nonsense]", "5:13: wrong value '10.0.0.0/8[nonsense]' for 'remote_ts'"),
        ("remote_ts = 10.0.0.0/8[tcp/9-1]", "5:13: wrong value '10.0.0.0/8[tcp/9-1]' for 'remote_ts'"),
        ("local_ts = ,", "5:12: wrong value ',' for 'local_ts'"),
        ("mode = beet", "5:8: 'mode = beet' in connections.home.children.net is \(unsupported): "),
        ("mode = tunel", "5:8: wrong value 'tunel' for 'mode'"),
        ("ah_proposals = aes128-sha256", "5:16: 'aes128' encrypts, which AH does not: it is for ESP (ah_proposals in"),
        ("ah_proposals = noesn", "5:16: proposal 'noesn' names no integrity algorithm (ah_proposals in"),
        (
            "tfc_padding = 65536",
            "5:15: wrong value '65536' for 'tfc_padding' in connections.home.children.net: expected"
        ),
        ("copy_dscp = maybe", "5:13: wrong value 'maybe' for 'copy_dscp'"),
        (
            "rekey_bytes = 2000\nlife_bytes = 1000",
            "6:14: 'life_bytes' in connections.home.children.net is smaller than"
        ),
        ("rekey_packets = x", "5:17: wrong value 'x' for 'rekey_packets'"),
        ("priority = 4294967296", "5:12: wrong value '4294967296' for 'priority'"),
        (
            "hw_offload = yes",
            "5:14: 'hw_offload = yes' in connections.home.children.net is \(unsupported); only 'no' is: "
        ),
        ("ipcomp = maybe", "5:10: wrong value 'maybe' for 'ipcomp'"),
        ("rekey_bytes = 1x", "5:15: wrong value '1x' for 'rekey_bytes'"),
        ("rekey_bytes = 9999999999g", "5:15: wrong value '9999999999g' for 'rekey_bytes'"),
        ("replay_window = 65537", "5:17: wrong value '65537' for 'replay_window'"),
        ("reqid = -1", "5:9: wrong value '-1' for 'reqid'"),
        ("rekey_time = 1h\nlife_time = 30m", "6:13: 'life_time' in connections.home.children.net is shorter than"),
        ("esp_proposals = ,", "5:17: wrong value ',' for 'esp_proposals'"),
        ("esp_proposals = aes128-sha2566", "5:17: unknown algorithm 'sha2566' in proposal 'aes128-sha2566'"),
        ("inner { }", "5:1: unknown section 'inner' in connections.home.children.net"),
    ])
    func children(_ addition: String, _ expected: String) {
        let found = errors(child(addition))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix(expected) == true, "\(found)")
    }

    @Test(arguments: [
        (
            "version = 1\nlocal { }",
            "3:1: in IKE version 1 both ends prove themselves in the same way, and local and remote of connections.home differ"
        ),
        (
            "local { auth = skp }",
            "2:16: wrong value 'skp' for 'auth' in connections.home.local: expected psk, null, xauth, eap, eap-md5, "
                + "eap-gtc, eap-mschapv2, eap-tls, eap-ttls, eap-peap, eap-radius, xauth-radius, pubkey, rsa, ecdsa, ed25519, ed448, dss, rsa-encryption or rsa-encryption-revised"
        ),
        (
            "local { auth = eap-aka }",
            "2:16: 'auth = eap-aka' in connections.home.local is \(unsupported); only "
                + "'psk', 'null', 'xauth', 'eap', 'eap-md5', 'eap-gtc', 'eap-mschapv2', 'eap-tls', 'eap-ttls', 'eap-peap', 'eap-radius', 'xauth-radius', 'pubkey', 'rsa', 'ecdsa', 'ed25519', 'ed448', 'dss', 'rsa-encryption', 'rsa-encryption-revised' are"
        ),
        (
            "version = 1\nlocal { auth = rsa }",
            "3:16: in IKE version 1 both ends prove themselves in the same way, and local and remote of connections.home "
                + "differ"
        ),
        (
            "local { auth = psk\npubkeys = a, b.pem }",
            "3:11: cannot read the key file 'a' in connections.home.local: no files here\n"
                + "3:14: cannot read the key file 'b.pem' in connections.home.local: no files here"
        ),
        ("", "1:15: connections.home has no 'local' section: write local { auth = psk }"),
        (
            "local { auth = psk\nid = *.a }",
            "3:6: wrong value '*.a' for 'id' in connections.home.local: expected one identity of our own, without '*'"
        ),
        (
            "local { auth = psk\nid = \"@#0\" }",
            "3:6: wrong value '@#0' for 'id' in connections.home.local: expected an identity "
                + "such as 192.0.2.1, gw.example.org, user@example.org or @#hex"
        ),
        (
            "local { auth = psk\nid = \"asn1gn:x\" }",
            "3:6: 'id = asn1gn:x' in connections.home.local: identities of the kind 'asn1gn' are \(unsupported)"
        ),
        (
            "local { auth = psk\nid = \"C=CH, X=y\" }",
            "3:6: wrong value 'C=CH, X=y' for 'id' in connections.home.local: expected an identity "
                + "such as 192.0.2.1, gw.example.org, user@example.org or @#hex"
        ),
        (
            "local { auth = psk\nid = \"C=CH, O=*\" }",
            "3:6: wrong value 'C=CH, O=*' for 'id' in connections.home.local: expected one identity of our own, without '*'"
        ),
        (
            "local { auth = psk\ncacerts = a }",
            "3:1: 'cacerts' in connections.home.local is for the peer: it belongs into a remote section"
        ),
        (
            "local { auth = psk\nca_id = a }",
            "3:1: 'ca_id' in connections.home.local is for the peer: it belongs into a remote section"
        ),
        (
            "local { auth = psk\ncert1 { } }",
            "3:1: connections.home.local.cert1 has no 'file'"
        ),
        (
            "local { auth = psk\nround = x }",
            "3:9: wrong value 'x' for 'round' in connections.home.local: expected a number from 0 to 4294967295"
        ),
        ("local { auth = psk\nids = x }", "3:1: unknown key 'ids' in connections.home.local; did you mean 'id'?"),
    ])
    func rounds(_ local: String, _ expected: String) {
        #expect(
            errors("connections { home {\n\(local)\nremote { auth = psk }\n} }").joined(separator: "\n") == expected)
    }

    @Test(arguments: [
        ("secrets { ike { } }", "1:11: secrets.ike has no 'secret'"),
        (
            "secrets { ike { secret = 0sA } }",
            "1:26: 'secret' in secrets.ike is neither text nor 0x and hexadecimal nor 0s and base64"
        ),
        (
            "secrets { ike { secret = x\nid = ^a.*$ } }",
            "2:6: 'id = ^a.*$' in secrets.ike: regular expressions in identities are \(unsupported)"
        ),
        (
            "secrets { ike { secret = x\nscret = y } }",
            "2:1: unknown key 'scret' in secrets.ike; did you mean 'secret'?"
        ),
        (
            "secrets { ntlm-x { secret = x } }",
            "1:11: secret 'ntlm-x' is of a kind that is \(unsupported): a password itself is needed, in secrets.eap…"
        ),
        (
            "secrets { iek { secret = x } }",
            "1:11: unknown kind of secret 'iek': the name must start with 'ike', 'xauth' or 'eap'; did you mean 'ike'?"
        ),
        ("secrets { x = 1 }", "1:11: unknown key 'x' in secrets, which holds one section for each secret"),
        ("connections { x = 1 }", "1:15: unknown key 'x' in connections, which holds one section for each connection"),
        ("conections { }", "1:1: unknown section 'conections'; did you mean 'connections'?"),
        (
            "authorities { a { cacert = x\nhandle = 1 } }",
            "2:1: 'handle' in authorities.a is \(unsupported): there are no tokens here"
        ),
        (
            "authorities { a { cacert = x\ncrl_uris = ldap://x } }",
            "2:12: wrong value 'ldap://x' for 'crl_uris' in authorities.a: expected addresses that begin with http://, "
                + "which alone are fetched"
        ),
        (
            "authorities { a { cacert = x\nfile = /y } }",
            "1:15: authorities.a needs one of 'cacert' (a file in x509ca) and 'file' (a path)"
        ),
        ("authorities { x = 1 }", "1:15: unknown key 'x' in authorities, which holds one section for each authority"),
        ("pools { a { dns = 10.0.0.1 } }", "1:9: pools.a has no 'addrs': write addrs = 10.3.0.0/24"),
        (
            "pools { a { addrs = 10.0.0.0/24\ndsn = 10.0.0.1 } }",
            "2:1: unknown key 'dsn' in pools.a; did you mean 'dns'?"
        ),
        ("pools { addrs = 10.0.0.0/24 }", "1:9: unknown key 'addrs' in pools, which holds one section for each pool"),
        (
            "pools { a { addrs = 10.0.0.0/33 } }",
            "1:21: wrong value '10.0.0.0/33' for 'addrs' in pools.a: expected one block such as 10.3.0.0/24, or one range "
                + "such as 10.3.0.10-10.3.0.99"
        ),
        (
            "pools { a { addrs = 10.0.0.0/24\naddress = 10.0.0.1 } }",
            "2:1: 'address' in pools.a is \(unsupported): a peer's address is one of 'addrs'"
        ),
        ("charon { prot = 1 }", "1:10: unknown key 'prot' in charon; did you mean 'port'?"),
        (
            "charon { load = x }",
            "1:10: 'load' in charon is \(unsupported): algorithms come from one library; nothing is loaded or tested at run time"
        ),
        ("charon { plugins { } }", "1:10: section 'charon.plugins' is \(unsupported): it has none"),
        (
            "charon { retransmit_base = 0 }",
            "1:28: wrong value '0' for 'retransmit_base' in charon: expected a factor from 1 to 10, such as 1.8"
        ),
    ])
    func elsewhere(_ text: String, _ expected: String) {
        #expect(errors(text) == [expected])
    }

    @Test func version1NeedsAClassicCipher() {
        let found = errors(connection("version = 1\nproposals = aes128gcm16-prfsha256-x25519"))
        #expect(found.count == 1)
        #expect(found.first?.hasPrefix("5:13: IKE version 1 has no authenticated ciphers") == true)
    }

    /// Groups 3 and 4 have no number in version 2, and AES-CMAC has none in version 1.
    @Test func versionsLackNumbers() {
        let group = "aes128-sha1-ec2n155"
        for version in [0, 2] {
            #expect(
                errors(connection("version = \(version)\nproposals = \(group)")) == [
                    "5:13: 'ec2n155' is a group of IKE version 1 alone: it needs version = 1 "
                        + "(proposals in connections.home)"
                ])
        }
        #expect(errors(connection("version = 1\nproposals = \(group), aes256gcm16-sha256-x25519")) == [])
        #expect(errors(connection("version = 1\nproposals = aes128-aesxcbc-x25519")).count == 1)
        func child(_ version: Int, _ proposals: String) -> [String] {
            errors(connection("version = \(version)\nchildren { net { esp_proposals = \(proposals) } }"))
        }
        #expect(child(2, "aes128-aescmac") == [] && child(2, "chacha20poly1305") == [])
        #expect(child(1, "aes128-aescmac").first?.contains("IKE version 1 has no numbers for these") == true)
        #expect(child(1, "chacha20poly1305").count == 1)
        for keyword in ["aes128gcm16iiv", "aes128ccm8iiv", "chacha20poly1305iiv"] {
            #expect(child(2, keyword) == [] && child(1, keyword).count == 1)
            #expect(child(1, "\(keyword)-aes128gcm16") == [])
        }
        #expect(child(1, "aes128-aescmac, aes128-aesxcbc") == [] && child(1, "aes128gmac") == [])
    }

    @Test func emptySectionsOfOthersAreNoError() {
        #expect(errors("pools { }\nauthorities { }\nconnections { }\nsecrets { }") == [])
        #expect(errors(connection("mobike = no\nfragmentation = yes\nsend_cert = ifasked")) == [])
    }

    @Test func noMessageHoldsASecret() {
        let text =
            "secrets { ike { secret = 0xhunter2\nid = \"@#hunter\" } eap { secrt = hunter2 } xauth { secret = 0xhunter2 } }"
        #expect(errors(text).count == 5, "\(errors(text))")
        #expect(!errors(text).contains { $0.contains("hunter2") })
    }

    /// Files that are almost right: no file traps, hangs or is refused without a reason.
    @Test func damagedFilesAreReadOrRefused() {
        let octets = Array(ConfigurationTests.full.utf8)
        let marks = Array("{}=:,\"\\#\n .%[]@*-".utf8)
        var randomness = Randomness.seeded(4711)
        var refused = 0
        for _ in 0..<500 {
            var damaged = octets
            for _ in 0...randomness.below(3) {
                let index = Int(randomness.below(UInt64(damaged.count)))
                switch randomness.below(3) {
                case 0: damaged[index] = marks[Int(randomness.below(UInt64(marks.count)))]
                case 1: damaged.remove(at: index)
                default: damaged.insert(UInt8(randomness.below(128)), at: index)
                }
            }
            let found = errors(String(decoding: damaged, as: UTF8.self))
            #expect(found.filter { !$0.contains(": ") || $0.contains("correct horse") } == [])
            refused += found.isEmpty ? 0 : 1
        }
        #expect(refused > 250)
    }
}
