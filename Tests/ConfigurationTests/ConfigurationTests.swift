import Configuration
import Cryptography
import IPsec
import Primitives
import Testing

/// A connection with additions of its own, on known lines: they start at line 4, column 1.
func connection(_ additions: String) -> String {
    "connections { home {\nlocal { auth = psk }\nremote { auth = psk }\n\(additions)\n} }"
}

func child(_ additions: String) -> String { connection("children { net {\n\(additions)\n} }") }

/// The errors of a file, one line each, without the file's name.
func errors(_ text: String) -> [String] {
    do throws(ConfigurationErrors) {
        _ = try Configuration.read(SourceFile(name: "f", text: text))
        return []
    } catch {
        return error.diagnostics.map { String($0.description.dropFirst(2)) }
    }
}

@Suite struct ConfigurationTests {
    static let full = """
        connections {
            home {
                version = 2
                local_addrs = 192.0.2.1
                remote_addrs = 192.0.2.2, 198.51.100.0/24, gw.example.org, 2001:db8::1-2001:db8::9
                proposals = aes256gcm16-prfsha384-ecp384, aes128-sha256-x25519
                encap = yes
                dpd_delay = 30s
                keyingtries = 0
                unique = replace
                local {
                    auth = psk
                    id = moon.example.org
                }
                remote {
                    auth = psk
                    id = *.example.org
                }
                children {
                    net {
                        esp_proposals = aes256gcm16-esn-noesn, aes128-sha1-modp2048
                        local_ts = 10.1.0.0/16, dynamic[tcp/80]
                        remote_ts = 10.2.0.0/16[udp], 10.9.0.1-10.9.0.7[/1024-2048]
                        rekey_time = 30m
                        start_action = start
                        dpd_action = restart
                        replay_window = 1024
                        reqid = 7
                    }
                    host { mode = transport }
                }
            }
            any { local { auth = psk } remote { auth = psk } }
        }
        secrets {
            ike-home {
                secret = "correct horse"
                id-1 = moon.example.org
                id-2 = @sun.example.org
            }
            ike-hex { secret = 0x0a0B }
            ike-base64 { secret = 0sAQID }
        }
        charon {
            port = 1500
            port_nat_t = 1501
            retransmit_timeout = 0.5
            retransmit_base = 1.5
            retransmit_tries = 3
            keep_alive = 5s
            half_open_timeout = 10
            replay_window = 64
        }
        """

    private static func alone(_ additions: String) -> String { connection(additions) }

    @Test func readsHowPacketsAreTreated() throws {
        let text = child(
            """
            ah_proposals = sha256-modp2048-esn, default
            rekey_bytes = 1100
            life_packets = 110
            tfc_padding = mtu
            copy_ecn = no
            copy_df = no
            copy_dscp = in
            priority = 9
            replay_window = 65536
            """)
        let connection = try #require(try Configuration.read(SourceFile(name: "f", text: text)).connections.first)
        let net = try #require(connection.child("net"))
        #expect(net.proposals.map(\.securityProtocol) == [.ah, .ah])
        #expect(net.proposals[0].description == "sha256-modp2048-esn")
        #expect(net.proposals[0].encryption.isEmpty)
        #expect(net.octetLifetime == CountedLifetime(rekey: 1100, life: 1210, random: 110))
        #expect(net.packetLifetime == CountedLifetime(rekey: 100, life: 110, random: 10))
        #expect(net.treatment.padding == .mtu)
        #expect(!net.treatment.copiesECN && !net.treatment.copiesDF)
        #expect(net.treatment.copiesDSCP == .in)
        #expect(net.priority == 9)
        #expect(net.replayWindowPackets == 65_536)
        #expect(connection.avoidsEncapsulation, "AH does not go inside UDP")

        let plain = try Configuration.read(SourceFile(name: "f", text: child("reqid = 1"))).connections
        #expect(plain.first?.avoidsEncapsulation == false)
        #expect(plain.first?.child("net")?.octetLifetime == CountedLifetime())
        #expect(plain.first?.child("net")?.treatment == PacketTreatment())
        let both = child("esp_proposals = aes128gcm16\nah_proposals = sha1")
        let children = try Configuration.read(SourceFile(name: "f", text: both)).connections.first?.children
        #expect(children?.first?.proposals.map(\.securityProtocol) == [.esp, .ah])
        #expect(
            errors(ConfigurationTests.alone("encap = yes\nchildren { net { ah_proposals = sha1 } }")) == [
                "4:9: 'encap = yes' in connections.home leaves no way for its 'ah_proposals': AH does not go inside UDP"
            ])
        let bare = try Configuration.read(SourceFile(name: "f", text: ConfigurationTests.alone("encap = no")))
            .connections.first
        #expect(bare?.avoidsEncapsulation == true)
    }

    @Test func readsAWholeFile() throws {
        let configuration = try Configuration.read(SourceFile(name: "f", text: ConfigurationTests.full))
        let home = try #require(configuration.policies.connection("home"))
        #expect(configuration.connections.map(\.name) == ["home", "any"])
        #expect(home.version == .v2)
        #expect(home.localAddresses.map(\.description) == ["192.0.2.1"])
        #expect(
            home.remoteAddresses.map(\.description) == [
                "192.0.2.2", "198.51.100.0-198.51.100.255", "gw.example.org", "2001:db8::1-2001:db8::9",
            ])
        #expect(
            home.proposals.map(\.description) == ["aes256gcm16-prfsha384-ecp384", "aes128-sha256-prfsha256-x25519"])
        #expect(home.forceEncapsulation)
        #expect(home.deadPeerDelay == .seconds(30))
        #expect(home.keyingTries == 0)
        #expect(home.unique == .replace)
        #expect(home.localIdentity == Identity("moon.example.org"))
        #expect(home.remoteIdentity == .suffix(.fqdn, ".example.org"))
        #expect(home.localPort == 1500)

        let net = try #require(home.child("net"))
        #expect(net.proposals.map(\.extendedSequenceNumbers) == [[true, false], [false]])
        #expect(net.proposals[1].keyExchange == [.modp2048])
        #expect(net.localSelectors.map(\.description) == ["10.1.0.0/16", "dynamic[6/80-80]"])
        #expect(net.remoteSelectors.map(\.description) == ["10.2.0.0/16[udp]", "10.9.0.1..10.9.0.7[0/1024-2048]"])
        #expect(net.rekeyTime == .seconds(1800))
        #expect(net.lifeTime == .seconds(1980))
        #expect(net.randomTime == .seconds(180))
        #expect((net.startAction, net.deadPeerAction, net.closeAction) == (.start, .start, .none))
        #expect((net.replayWindowPackets, net.requestID) == (1024, 7))

        let host = try #require(home.child("host"))
        #expect(host.mode == .transport)
        #expect(host.replayWindowPackets == 64)
        #expect(host.localSelectors == [.dynamic])

        #expect(configuration.secrets.map(\.name) == ["ike-home", "ike-hex", "ike-base64"])
        #expect(configuration.secrets[0].secret == Secret(Array("correct horse".utf8)))
        #expect(configuration.secrets[0].identities.map(\.description) == ["moon.example.org", "sun.example.org"])
        #expect(configuration.secrets[1].secret == Secret([10, 11]))
        #expect(configuration.secrets[2].secret == Secret([1, 2, 3]))

        let engine = configuration.settings.engine
        #expect((engine.port, engine.natPort, engine.retransmitTries) == (1500, 1501, 3))
        #expect((engine.retransmitTimeout, engine.retransmitBase) == (.milliseconds(500), 1.5))
        #expect((engine.keepaliveInterval, engine.halfOpenTimeout) == (.seconds(5), .seconds(10)))
    }

    @Test func defaultsAreCharons() throws {
        let configuration = try Configuration.read(SourceFile(name: "f", text: child("")))
        let home = configuration.connections[0]
        #expect((home.version, home.localPort, home.remotePort) == (.any, 500, 500))
        #expect(home.localAddresses == [.any(nil)] && home.remoteAddresses == [.any(nil)])
        #expect((home.rekeyTime, home.overTime, home.randomTime) == (.seconds(14_400), .seconds(1440), .seconds(1440)))
        #expect((home.localIdentity, home.remoteIdentity) == (nil, .any))
        #expect(home.proposals == ProposalKeywords.defaults(for: .ike))
        #expect(home.children[0].rekeyTime == .seconds(3600))
        #expect(home.children[0].lifeTime == .seconds(3960))
        #expect(home.children[0].randomTime == .seconds(360))
        #expect(home.children[0].replayWindowPackets == 32)
        #expect(configuration.settings == Configuration.Settings())
    }

    @Test func lifetimesFollowFromEachOther() throws {
        func read(_ text: String) throws -> Connection {
            try Configuration.read(SourceFile(name: "f", text: text)).connections[0]
        }
        let life = try read(child("life_time = 1100s"))
        #expect(life.children[0].rekeyTime == .seconds(1000))
        #expect(life.children[0].randomTime == .seconds(100))
        let reauth = try read(connection("reauth_time = 1h"))
        #expect((reauth.rekeyTime, reauth.reauthenticationTime) == (.zero, .seconds(3600)))
        #expect((reauth.overTime, reauth.randomTime) == (.seconds(360), .seconds(360)))
        let both = try read(connection("reauth_time = 2h\nrekey_time = 1d\nover_time = 5m\nrand_time = 0"))
        #expect((both.rekeyTime, both.overTime, both.randomTime) == (.seconds(86_400), .seconds(300), .zero))
    }

    @Test func templatesAreTakenOver() throws {
        let text = """
            connections {
                a : defaults { remote_addrs = 192.0.2.1 }
                b : defaults { version = 1 }
            }
            defaults {
                version = 2
                local { auth = psk }
                remote { auth = psk }
            }
            """
        let configuration = try Configuration.read(SourceFile(name: "f", text: text))
        #expect(configuration.connections.map(\.version) == [.v2, .v1])
        #expect(configuration.connections[0].remoteAddresses.map(\.description) == ["192.0.2.1"])
    }

    @Test func theCanonicalFormReadsBackTheSame() throws {
        let strange = """
            connections {
                "a b" {
                    version = 1
                    local_addrs = %any4, %any6
                    proposals = aes128-sha1-modp2048
                    local {
                        auth = psk
                        id = "keyid:#00ff"
                    }
                    remote {
                        auth = psk
                        id = "{99}:#0102"
                    }
                    children {
                        x {
                            local_ts = 10.0.0.1-10.0.0.7[tcp/opaque], dynamic[icmp]
                            remote_ts = ::/0[17/53]
                            rekey_time = 0
                            life_time = 1h
                            rand_time = 0
                        }
                    }
                }
                "c\\"d" {
                    local { auth = psk }
                    remote {
                        auth = psk
                        id = *@example.org
                    }
                }
            }
            """
        for text in [ConfigurationTests.full, strange] {
            let configuration = try Configuration.read(SourceFile(name: "f", text: text))
            // Secrets are not told: their sections go, for this comparison.
            var copy = configuration
            copy.secrets = []
            let again = try Configuration.read(SourceFile(name: "g", text: copy.canonicalForm.text))
            #expect(again.connections == configuration.connections)
            #expect(again.settings == configuration.settings)
            #expect(again.canonicalForm == copy.canonicalForm)
        }
    }

    @Test func theCanonicalFormHoldsNoSecret() throws {
        let configuration = try Configuration.read(SourceFile(name: "f", text: ConfigurationTests.full))
        #expect(!configuration.canonicalForm.text.contains("correct horse"))
        #expect(configuration.canonicalForm.text.contains("id-2 = sun.example.org"))
    }

    @Test func reportsEverythingAtOnceInOrder() {
        let text = """
            connections {
                home {
                    remote_adrs = 192.0.2.1
                    version = 3
                    local { auth = psk }
                    remote { auth = eap-aka }
                    children { net { start_action = strat } }
                }
            }
            secrets { ike-1 { secret = 0x1 } }
            colour = blue
            """
        #expect(
            errors(text) == [
                "3:9: unknown key 'remote_adrs' in connections.home; did you mean 'remote_addrs'?",
                "4:19: wrong value '3' for 'version' in connections.home: expected 0 (both), 1 or 2",
                "6:25: 'auth = eap-aka' in connections.home.remote is known to swanctl, not supported by this version; only "
                    + "'psk', 'null', 'xauth', 'eap', 'eap-md5', 'eap-gtc', 'eap-mschapv2', 'eap-tls', 'eap-ttls', 'eap-peap', 'eap-radius', 'xauth-radius', 'pubkey', 'rsa', 'ecdsa', 'ed25519', 'ed448', 'dss', 'rsa-encryption', 'rsa-encryption-revised' are",
                "7:41: wrong value 'strat' for 'start_action' in connections.home.children.net: expected none, trap, "
                    + "start, route, restart, clear, trap|start or start|trap; did you mean 'start'?",
                "10:28: 'secret' in secrets.ike-1 is neither text nor 0x and hexadecimal nor 0s and base64",
                "11:1: unknown key 'colour' outside of any section",
            ])
    }
}

/// Keys of IKEv2's extensions.
@Suite struct ExtensionKeyTests {
    private func read(_ text: String) throws -> Configuration {
        try Configuration.read(SourceFile(name: "swanctl.conf", text: text))
    }

    @Test func defaultsAreCharons() throws {
        let configuration = try read("connections { a { local { auth = psk }\n remote { auth = psk } } }")
        let connection = try #require(configuration.connections.first)
        #expect(connection.isMobile && connection.fragmentation == .yes && connection.childless == .allow)
        #expect(connection.statusUse == .reply)
        #expect(connection.postquantumKey == nil && !connection.requiresPostquantumKey)
        let engine = configuration.settings.engine
        #expect(engine.fragmentOctetsV4 == 1280 && engine.fragmentOctetsV6 == 1280 && engine.window == 1)
        #expect(engine.cookieThreshold == 30 && engine.cookieThresholdPerSource == 3 && engine.blockThreshold == 5)
    }

    @Test func valuesAreRead() throws {
        let configuration = try read(
            """
            charon {
                fragment_size = 1400
                fragment_size_v4 = 0
                cookie_threshold = 1
                cookie_threshold_ip = 0
                block_threshold = 7
                window_size = 8
            }
            connections {
                a {
                    mobike = no
                    fragmentation = accept
                    childless = force
                    ocsp = both
                    announce_auth = yes
                    ppk_id = quantum
                    ppk_required = yes
                    local { auth = psk }
                    remote { auth = psk }
                    children { net { rehearse_rekey = yes } }
                }
            }
            secrets {
                ppk-one {
                    id = quantum
                    secret = 0x0102
                }
                ike-one { secret = x }
            }
            """)
        let connection = try #require(configuration.connections.first)
        #expect(!connection.isMobile && connection.fragmentation == .accept && connection.childless == .force)
        #expect(connection.statusUse == .both && connection.announcesMethods)
        #expect(connection.postquantumKey.map { String(decoding: $0.octets, as: UTF8.self) } == "quantum")
        #expect(connection.requiresPostquantumKey && connection.children.first?.rehearsesRekeying == true)
        #expect(!connection.cutsMessages)
        let engine = configuration.settings.engine
        #expect(engine.fragmentOctetsV4 == 576 && engine.fragmentOctetsV6 == 1400 && engine.window == 8)
        #expect(engine.cookieThreshold == 1 && engine.cookieThresholdPerSource == 0 && engine.blockThreshold == 7)
        #expect(configuration.secrets.map(\.isPostquantum) == [true, false])
        #expect(configuration.secrets.first?.secret == Secret([1, 2]))
    }

    @Test(arguments: ["window_size = 0", "window_size = 33", "fragment_size = 70000", "cookie_threshold = -1"])
    func wrongSettingsAreRefused(line: String) {
        #expect(throws: ConfigurationErrors.self) { try read("charon {\n \(line)\n}") }
    }

    @Test(arguments: [
        "childless = maybe", "ocsp = sometimes", "fragmentation = often", "mobike = perhaps", "ppk_id = %any",
    ])
    func wrongValuesAreRefused(line: String) {
        #expect(throws: ConfigurationErrors.self) {
            try read("connections { a {\n \(line)\n local { auth = psk }\n remote { auth = psk }\n } }")
        }
    }

    @Test func usesTCPAsToldInVersionTwoAlone() throws {
        func read(_ version: Int, _ lines: String, _ ports: String = "4500, 443") throws -> Configuration {
            try Configuration.read(
                SourceFile(
                    name: "x",
                    text: """
                        charon { tcp_ports = \(ports) }
                        connections { a { version = \(version)
                            \(lines)
                            remote_addrs = 192.0.2.1
                            local { auth = psk }
                            remote { auth = psk }
                            children { b { } } } }
                        """))
        }
        let fallback = try read(2, "enable_tcp = fallback\ntcp_remote_port = 443")
        #expect(fallback.settings.streamPorts == [4500, 443])
        #expect(fallback.connections.map(\.streamUse) == [.fallback])
        #expect(fallback.connections.map(\.streamPort) == [443])
        let yes = try read(0, "enable_tcp = yes").connections
        #expect(yes.map(\.streamUse) == [.yes])
        #expect(yes.map(\.streamPort) == [4500])
        #expect(try read(1, "").connections.map(\.streamUse) == [.no])
        #expect(throws: ConfigurationErrors.self) { try read(1, "enable_tcp = yes") }
        #expect(throws: ConfigurationErrors.self) { try read(2, "enable_tcp = maybe") }
        #expect(throws: ConfigurationErrors.self) { try read(2, "", "0") }
        #expect(throws: ConfigurationErrors.self) { try read(2, "", "1, 2, 3, 4, 5, 6, 7, 8, 9") }
    }
}
