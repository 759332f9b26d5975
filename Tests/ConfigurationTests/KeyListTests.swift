import Testing

@testable import Configuration

/// Every key that swanctl has, with its default: it is accepted with that default, or refused by name and with a reason.
@Suite struct KeyListTests {
    private static let connectionKeys = """
        version=0 local_addrs=%any remote_addrs=%any local_port=500 remote_port=500 proposals=default vips= aggressive=no \
        pull=yes dscp=000000 encap=no mobike=yes dpd_delay=0s dpd_timeout=0s fragmentation=yes childless=allow \
        send_certreq=yes send_cert=ifasked ocsp=reply ppk_id=x ppk_required=no keyingtries=1 unique=no reauth_time=0s \
        rekey_time=4h over_time=10m rand_time=10m pools= if_id_in=0 if_id_out=0 mediation=no mediated_by=x \
        mediation_peer=x
        """
    private static let childKeys = """
        esp_proposals=default ah_proposals= sha256_96=no local_ts=dynamic remote_ts=dynamic rekey_time=1h life_time=66m \
        rand_time=6m rekey_bytes=0 life_bytes=0 rand_bytes=0 rekey_packets=0 life_packets=0 rand_packets=0 updown=x \
        hostaccess=no mode=tunnel policies=yes policies_fwd_out=no dpd_action=clear start_action=none close_action=none \
        ipcomp=no inactivity=0s reqid=0 priority=0 interface=x mark_in=0/0x00000000 mark_out=0/0x00000000 mark_in_sa=no \
        set_mark_in=0/0x00000000 set_mark_out=0/0x00000000 if_id_in=0 if_id_out=0 label=x label_mode=system \
        tfc_padding=0 replay_window=32 per_cpu_sas=no hw_offload=no copy_df=yes copy_ecn=yes copy_dscp=out icmp=no
        """
    private static let round = """
        round=0 auth=psk id=x.example.org eap_id= aaa_id= xauth_id= certs= pubkeys= cacerts= ca_id=x groups= \
        cert_policy=1.2 revocation=relaxed
        """
    private static let pool = """
        addrs=10.3.0.0/24 dns=10.0.0.1 nbns=10.0.0.1 dhcp=10.0.0.1 netmask=255.255.255.0 server=10.0.0.1 \
        subnet=10.0.0.0/8 p_cscf=10.0.0.1 split_include=10.0.0.0/8 split_exclude=10.0.0.0/8 address=10.0.0.1 28672=x
        """

    private static func pairs(_ list: String) -> [(key: String, value: String)] {
        list.split(separator: " ").map { pair in
            let sides = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (String(sides[0]), sides.count > 1 ? String(sides[1]) : "")
        }
    }

    /// - Parameter file: a whole file with the line in it.
    private func check(
        _ list: String, _ rules: [String: KeyRule], count: Int, _ file: (String, String) -> String
    ) {
        let pairs = KeyListTests.pairs(list)
        #expect(pairs.count == count)
        for (key, value) in pairs {
            let found = errors(file(key, "\(key) = \(value)"))
            if case .unsupported(let reason)? = rules[key] {
                #expect(found.count == 1 && found[0].contains("'\(key)' in ") && found[0].hasSuffix(reason), "\(found)")
                #expect(reason.count > 10)
                continue
            }
            #expect(found.isEmpty, "\(key) = \(value): \(found)")
            // What only its default fits says why, when it is asked for more.
            guard case .fixed(_, let reason)? = rules[key] else { continue }
            let refused = errors(file(key, "\(key) = 17"))
            #expect(refused.count == 1 && refused[0].contains("'\(key) = 17'") && refused[0].hasSuffix(reason))
        }
    }

    @Test func connections() {
        check(KeyListTests.connectionKeys, KnownKeys.connection, count: 33) { _, line in connection(line) }
    }

    @Test func children() {
        check(KeyListTests.childKeys, KnownKeys.child, count: 44) { _, line in child(line) }
    }

    @Test func rounds() {
        check(KeyListTests.round, KnownKeys.authentication, count: 13) { key, line in
            let method = ["ca_id", "cert_policy"].contains(key) ? "pubkey" : "psk"
            let line = key == "auth" ? line : "auth = \(method)\n\(line)"
            return "connections { home { local { auth = psk }\nremote {\n\(line)\n} } }"
        }
    }

    @Test func poolsAndSecrets() throws {
        check(KeyListTests.pool, KnownKeys.pool, count: 12) { key, line in
            "pools { a {\n" + (key == "addrs" ? line : "addrs = 10.3.0.0/24\n\(line)") + "\n} }"
        }
        for kind in ["ike", "eap", "xauth", "ppk", "private", "rsa", "ecdsa", "pkcs8", "pkcs12", "ntlm", "token"] {
            let file = ["private", "rsa", "ecdsa", "pkcs8", "pkcs12"].contains(kind) ? "file = a\n" : ""
            let found = errors("secrets { \(kind)-a {\n\(file)secret = x\n} }")
            if let reason = KnownKeys.unsupportedSecrets[kind] {
                #expect(found.count == 1 && found[0].contains("'\(kind)-a'") && found[0].hasSuffix(reason))
            } else {
                #expect(found.isEmpty, "\(found)")
            }
        }
        // INTERNAL_IP4_SERVER and P_CSCF_IP6_ADDRESS.
        let text = "pools { a { addrs = 10.3.0.0/24\nserver = 10.0.0.1\np_cscf = 2001:db8::1 } }"
        let others = try Configuration.read(SourceFile(name: "f", text: text)).pools[0].information.others
        #expect(others.map(\.type) == [23_456, 21] && others.map(\.value.count) == [4, 16])
        #expect(others[0].value == [10, 0, 0, 1])
    }

    /// The values that a few keys have besides their defaults.
    @Test func values() throws {
        #expect(errors(child("mode = pass")).isEmpty && errors(child("mode = drop")).isEmpty)
        for mode in ["beet", "transport_proxy"] { #expect(errors(child("mode = \(mode)")).count == 1) }
        let both = try Configuration.read(SourceFile(name: "f", text: child("start_action = trap|start")))
        let net = try #require(both.connections.first?.child("net"))
        #expect(net.startAction == .start && net.standingAction == .trap)
        #expect(both.canonicalForm.text.contains("start_action = trap|start"))
        let counted = try Configuration.read(
            SourceFile(name: "f", text: child("rekey_bytes = 1g\nlife_bytes = 1100 m"))
        )
        .connections.first?.child("net")
        #expect(counted?.octetLifetime.rekey == 1 << 30 && counted?.octetLifetime.life == 1100 << 20)
        let quiet = try Configuration.read(SourceFile(name: "f", text: child("inactivity = 5m")))
        #expect(quiet.connections.first?.child("net")?.inactivity == .seconds(300))
        #expect(
            quiet.canonicalForm.text.contains("inactivity = 5m")
                || quiet.canonicalForm.text.contains("inactivity = 300s"))
        for (text, value) in [("101110", UInt8(46)), ("000001", 1), ("111111", 63), ("000000", 0)] {
            let marked = try Configuration.read(SourceFile(name: "f", text: connection("dscp = \(text)")))
            #expect(marked.connections.first?.differentiatedServices == value)
            #expect(marked.connections.first?.trafficClass == value << 2)
            #expect(marked.canonicalForm.text.contains("dscp = \(text)") == (value > 0))
        }
        let silent = try Configuration.read(
            SourceFile(name: "f", text: connection("send_cert = never\nsend_certreq = no"))
        ).connections.first
        #expect(silent?.showsCertificates == false && silent?.requestsCertificates == false)
        for action in ["clear", "none", "trap", "route", "restart", "start"] {
            #expect(errors(child("dpd_action = \(action)\nclose_action = \(action)")).isEmpty)
        }
    }

    /// Every keyword of proposals that swanctl has is an algorithm here, or refused by name.
    @Test func proposals() {
        let ciphers = """
            null des 3des aes aes128 aes192 aes256 aes128ctr aes256ctr aes128ccm8 aes128ccm12 aes128ccm16 aes128ccm64 \
            aes128ccm96 aes128ccm128 aes128gcm8 aes128gcm12 aes128gcm16 aes128gcm64 aes128gcm96 aes128gcm128 aes128gmac \
            chacha20poly1305 chacha20poly1305compat blowfish blowfish128 blowfish192 blowfish256 camellia camellia128 \
            camellia192 camellia256 camellia128ctr camellia128ccm8 camellia128ccm12 camellia128ccm16 cast128 serpent \
            serpent128 serpent256 twofish twofish192
            """
        let hashes = """
            md5 md5_128 sha sha1 sha1_160 sha256 sha2_256 sha256_96 sha2_256_96 sha384 sha2_384 sha512 sha2_512 aesxcbc \
            aescmac camelliaxcbc
            """
        let prfs = "prfmd5 prfsha1 prfsha256 prfsha384 prfsha512 prfaesxcbc prfaescmac prfcamelliaxcbc"
        let groups = """
            none modpnone modpnull modp768 modp1024 modp1536 modp2048 modp3072 modp4096 modp6144 modp8192 modp1024s160 \
            modp2048s224 modp2048s256 ecp192 ecp224 ecp256 ecp384 ecp521 ecp224bp ecp256bp ecp384bp ecp512bp curve25519 \
            x25519 curve448 x448 gost256 gost512 mlkem512 mlkem768 mlkem1024
            """
        var known = 0
        for word in [ciphers, hashes, prfs, groups, "esn noesn"].flatMap({ $0.split(separator: " ") }) {
            do throws(ProposalKeywords.Failure) {
                _ = try ProposalKeywords.parse(String(word), for: .esp)
                known += 1
            } catch {
                // Alone it makes no proposal; unknown it must not be.
                #expect(!error.message.contains("unknown algorithm"), "\(word)")
                if !error.message.contains("is known to swanctl") { known += 1 }
            }
        }
        #expect(known > 60)
    }
}
