import IPsec
import Primitives
import Testing

@testable import Configuration

/// `strongswan.conf`: what counts, and that nothing is passed over in silence.
@Suite struct SettingsTests {
    private func read(_ text: String) throws -> Configuration.Settings {
        try Configuration.Settings.read(SourceFile(name: "strongswan.conf", text: text))
    }

    @Test func valuesOfCharonAreRead() throws {
        let settings = try read(
            """
            charon {
                port = 1500
                port_nat_t = 1501
                retransmit_timeout = 2.5
                retransmit_base = 1.5
                retransmit_tries = 3
                retransmit_limit = 20
                keep_alive = 5s
                half_open_timeout = 10
                replay_window = 64
                packet_workers = 3
                fragment_size = 1400
                fragment_size_v6 = 0
                cookie_threshold = 7
                cookie_threshold_ip = 2
                block_threshold = 9
                init_limit_half_open = 100
                ikesa_limit = 2000
                max_packet = 9000
                initiator_only = yes
                follow_redirects = no
                install_virtual_ip = no
                inactivity_close_ike = yes
                install_routes = no
                dns1 = 192.0.2.53
                dns2 = 2001:db8::53
                nbns1 = 192.0.2.137
                make_before_break = true
            }
            """)
        #expect(settings.engine.port == 1500 && settings.engine.natPort == 1501)
        #expect(settings.engine.retransmitTimeout == .milliseconds(2500))
        #expect(settings.engine.retransmitBase == 1.5 && settings.engine.retransmitTries == 3)
        #expect(settings.engine.retransmitLimit == .seconds(20))
        #expect(settings.engine.keepaliveInterval == .seconds(5) && settings.engine.halfOpenTimeout == .seconds(10))
        #expect(settings.replayWindowPackets == 64 && settings.packetWorkers == 3)
        #expect(try read("charon { packet_workers = 0 }").packetWorkers == nil)
        #expect(try read("charon { path_probing_interval = 3s }").engine.probingInterval == .seconds(3))
        #expect(try read("charon { path_probing_interval = 0 }").engine.probingInterval == .seconds(1))
        #expect(settings.engine.fragmentOctetsV4 == 1400 && settings.engine.fragmentOctetsV6 == 1280)
        #expect(settings.engine.cookieThreshold == 7 && settings.engine.cookieThresholdPerSource == 2)
        #expect(settings.engine.blockThreshold == 9)
        #expect(settings.engine.halfOpenLimit == 100 && settings.engine.sessionLimit == 2000)
        #expect(settings.engine.messageOctets == 9000)
        #expect(settings.engine.initiatesOnly && !settings.engine.followsRedirects)
        #expect(settings.closesIdleSessions && !Configuration.Settings().closesIdleSessions)
        #expect(!settings.installsAddresses && !settings.installsRoutes)
        #expect(settings.nameServers.map(\.description) == ["192.0.2.53", "2001:db8::53"])
        #expect(settings.netBIOSNameServers.map(\.description) == ["192.0.2.137"])
        #expect(settings.notes == [])
        #expect(try read("").engine == Configuration.Settings().engine)
        #expect(try read("").nameServerFile == nil && read("charon { install_dns = no }").nameServerFile == nil)
        #expect(try read("charon { install_dns = yes }").nameServerFile == "/etc/resolv.conf")
        #expect(try read("charon { install_dns = /run/x }").nameServerFile == "/run/x")
        #expect(throws: ConfigurationErrors.self) { try read("charon { install_dns = sometimes }") }
        #expect(try !read("").usesCertificateLocations)
        #expect(try read("charon { hash_and_url = yes }").usesCertificateLocations)
        #expect(try read("").nameMatching == .strict)
        #expect(try read("charon { rdn_matching = relaxed }").nameMatching == .relaxed)
        let signatures = try read("charon { rsa_pss = yes\nsignature_authentication_constraints = no }")
        #expect(signatures.prefersPSS && signatures.signsDigitally && !signatures.bindsMessages)
        #expect(try !read("charon { signature_authentication = no }").signsDigitally)
        #expect(try read("charon { dos_protection = no }").engine.cookieThreshold == 0)
    }

    /// `mode = iptfs`, and the section that says how.
    @Test func aggregationIsReadWhole() throws {
        let settings = try read(
            """
            charon {
                iptfs {
                    packet_size = 1200
                    reorder_window = 7
                    max_queue_size = 5000
                    packet_rate = 250
                    accept_fragments = no
                    dont_frag = yes
                    drop_time = 1500000
                    init_delay = 300
                    other = 1
                }
            }
            """)
        var expected = Aggregation()
        expected.packetOctets = 1200
        expected.reorderWindow = 7
        expected.queueOctets = 5000
        expected.packetRate = 250
        expected.takesFragments = false
        expected.keepsWhole = true
        expected.dropTime = .milliseconds(1500)
        expected.initialDelay = .microseconds(300)
        #expect(settings.aggregation == expected)
        #expect(settings.notes.count == 1)
        for key in ["drop_time", "init_delay"] {
            #expect(throws: ConfigurationErrors.self) { try read("charon { iptfs { \(key) = 60000001 } }") }
        }
        #expect(settings.notes.contains { $0.contains("unknown key 'other' in charon.iptfs") })
        func configuration(_ lines: String, version: Int = 2) throws -> Configuration {
            let text = """
                connections { a { version = \(version)
                    remote_addrs = 192.0.2.1
                    local { auth = psk }
                    remote { auth = psk }
                    children { b { \(lines) } } } }
                """
            return try Configuration.read(SourceFile(name: "swanctl.conf", text: text), settings: settings)
        }
        func child(_ lines: String, version: Int = 2) throws -> ChildPolicy? {
            try configuration(lines, version: version).connections.first?.children.first
        }
        let policy = try child("mode = iptfs")
        #expect(policy?.aggregation == expected && policy?.mode == .tunnel && policy?.action == nil)
        #expect(try child("mode = tunnel")?.aggregation == nil)
        #expect(throws: ConfigurationErrors.self) { try child("mode = iptfs", version: 1) }
        let controlled = try read("charon { iptfs { packet_rate = 9\ncongestion_control = yes } }")
        #expect(controlled.aggregation.controlsCongestion && controlled.aggregation.packetRate == 9)
        #expect(throws: ConfigurationErrors.self) {
            let text = "charon { iptfs { congestion_control = yes } }"
            _ = try Configuration.read(SourceFile(name: "swanctl.conf", text: text))
        }
        #expect(throws: ConfigurationErrors.self) { try child("mode = iptfs\nipcomp = yes") }
        #expect(try child("per_cpu_sas = yes")?.usesResources == true && child("")?.usesResources == false)
        #expect(throws: ConfigurationErrors.self) { try child("per_cpu_sas = encap") }
        #expect(throws: ConfigurationErrors.self) { try child("per_cpu_sas = yes", version: 1) }
        // A reading that changes one of these changes the connection.
        func form(_ line: String) throws -> CanonicalNode { try configuration(line).canonicalForm }
        let lines = ["", "mode = iptfs", "per_cpu_sas = yes", "non_first_fragments = yes", "rehearse_rekey = yes"]
        #expect(Set(try lines.map(form)).count == lines.count)
    }

    /// The section `charon.tls`, with charon's words for versions.
    @Test func versionsOfTLS() throws {
        func versions(_ lines: String) throws -> ClosedRange<TLSVersion> {
            try read("charon { tls { \(lines) } }").tlsVersions
        }
        #expect(try read("").tlsVersions == .v12 ... .v13)
        #expect(try versions("version_max = 1.2") == .v12 ... .v12)
        #expect(try versions("version_max = 1.3") == .v12 ... .v13)
        #expect(try versions("version_min = 1.3") == .v13 ... .v13)
        #expect(try versions("version_min = 1.3\nversion_max = 1.3") == .v13 ... .v13)
        #expect(try versions("version_min = 1.0") == .v12 ... .v13)
        #expect(try versions("version_min = 1.1\nversion_max = 1.2") == .v12 ... .v12)
        func complaint(_ lines: String) -> String {
            do { return "\(try versions(lines))" } catch { return "\(error)" }
        }
        #expect(complaint("version_max = 1.1").contains("TLS 1.2 is the oldest that is spoken here"))
        #expect(complaint("version_max = 1.0").contains("'version_max = 1.0' in charon.tls"))
        #expect(complaint("version_min = 1.3\nversion_max = 1.2").contains("not to be below version_min = 1.3"))
        #expect(complaint("version_max = 1.4").contains("expected 1.2 or 1.3"))
        let notes = try read("charon { tls { suites = x\nversoin_max = 1.2 } }").notes
        #expect(notes.count == 2 && notes.contains { $0.contains("did you mean 'version_max'?") })
        // In swanctl.conf what changes nothing is an error, and the versions are what a configuration says of itself.
        func configuration(_ lines: String) throws -> Configuration {
            let text = "charon { tls { \(lines) } }"
            return try Configuration.read(SourceFile(name: "swanctl.conf", text: text))
        }
        #expect(throws: ConfigurationErrors.self) { try configuration("suites = x") }
        let narrow = try configuration("version_max = 1.2")
        #expect(narrow.settings.tlsVersions == .v12 ... .v12)
        let again = try Configuration.read(SourceFile(name: "again", text: narrow.canonicalForm.text))
        #expect(again.settings.tlsVersions == .v12 ... .v12)
    }

    /// charon-systemd's own section comes before the common one, and swanctl.conf's before both.
    @Test func theNearerSectionCounts() throws {
        let settings = try read("charon-systemd { retransmit_tries = 2 }\ncharon { retransmit_tries = 9\nport = 1500 }")
        #expect(settings.engine.retransmitTries == 2 && settings.engine.port == 1500)
        let file = SourceFile(name: "swanctl.conf", text: "charon { port = 1600 }")
        let configuration = try Configuration.read(file, settings: settings)
        #expect(configuration.settings.engine.port == 1600 && configuration.settings.engine.retransmitTries == 2)
    }

    @Test func namesOfPeersFitAsTheSettingSays() throws {
        let own = try #require(Identity("O=Parley, CN=host"))
        func connection(_ setting: String) throws -> Connection {
            let text = """
                connections { a { remote_addrs = 192.0.2.1
                    local { auth = pubkey
                        id = "O=Parley, CN=host" }
                    remote { auth = pubkey
                        id = "CN=gate, O=Parley"
                        ca_id = "CN=*, C=CH" }
                    children { b { } } } }
                """
            let file = SourceFile(name: "swanctl.conf", text: text)
            return try #require(try Configuration.read(file, settings: try read(setting)).connections.first)
        }
        let written = try #require(Identity("CN=gate, O=Parley"))
        let turned = try #require(Identity("O=Parley, CN=gate"))
        let longer = try #require(Identity("C=CH, O=Parley, OU=x, CN=gate"))
        let cases: [(setting: String, fitting: [Identity])] = [
            ("", [written]), ("charon { rdn_matching = strict }", [written]),
            ("charon { rdn_matching = reordered }", [written, turned]),
            ("charon { rdn_matching = relaxed }", [written, turned, longer]),
        ]
        for (setting, fitting) in cases {
            let connection = try connection(setting)
            #expect([written, turned, longer].filter(connection.remoteIdentity.matches) == fitting, "\(setting)")
            // What the peer is asked to be stays what was written, and our own name is not touched.
            #expect(connection.remoteIdentity.identity == written && connection.localIdentity == own)
            let authority = try #require(connection.remote.first?.certificates.authorityIdentity)
            #expect(authority.matches(try #require(Identity("C=CH, CN=Root"))) == (fitting.count > 1))
            #expect(authority.matches(try #require(Identity("C=CH, O=x, CN=Root"))) == (fitting.count > 2))
        }
    }

    /// Users behind EAP and the owners of secrets are named by the same rule; a post-quantum key's name is octets.
    @Test func namesOfUsersAndSecretsFitAsTheSettingHasIt() throws {
        let text = """
            connections { a { version = 2
                local { auth = pubkey }
                remote { auth = eap-tls
                    eap_id = "CN=joe, O=Parley" }
                children { b { } } } }
            secrets { ike-a { id-1 = "CN=joe, O=Parley"
                    id-2 = gate.example
                    secret = one }
                eap-a { id = "CN=joe, O=Parley"
                    secret = two }
                ppk-a { id = "CN=joe, O=Parley"
                    secret = three } }
            """
        let names = ["CN=joe, O=Parley", "O=Parley, CN=joe", "C=CH, O=Parley, CN=joe"].compactMap { Identity($0) }
        let gate = try #require(Identity("gate.example"))
        for (setting, count) in [("", 1), ("strict", 1), ("reordered", 2), ("relaxed", 3)] {
            let settings = try read(setting.isEmpty ? "" : "charon { rdn_matching = \(setting) }")
            let configuration = try Configuration.read(
                SourceFile(name: "swanctl.conf", text: text), settings: settings)
            let user = try #require(configuration.connections.first?.remote.first?.userIdentity)
            let shared = try #require(configuration.secrets.first { !$0.isPostquantum })
            let password = try #require(configuration.users.first)
            for patterns in [[user], shared.identities, password.identities] {
                let fitting = names.filter { name in patterns.contains { $0.matches(name) } }
                #expect(fitting == Array(names.prefix(count)), "\(setting)")
            }
            #expect(
                shared.identities.contains { $0.matches(gate) } && !password.identities.contains { $0.matches(gate) })
            let quantum = try #require(configuration.secrets.first { $0.isPostquantum })
            #expect(quantum.identities == [.exactly(names[0])], "\(setting)")
        }
    }

    /// Windows' profile has PEAP bound to TLS, unless it is told otherwise; nobody else is asked unless it is told so.
    @Test func usersOfPEAPAreBound() throws {
        func binds(_ lines: String, _ round: String = "auth = eap-peap") throws -> Bool? {
            let text = "connections { a { version = 2\n\(lines)\nlocal { auth = pubkey }\nremote { \(round) } } }"
            let configuration = try Configuration.read(SourceFile(name: "f", text: text))
            return configuration.connections.first?.remote.first?.asksBinding
        }
        #expect(try binds("") == false && binds("profile = apple", "auth = eap-mschapv2") == false)
        #expect(try binds("profile = windows") == true && binds("profile = windows", "auth = eap-tls") == false)
        #expect(try binds("", "auth = eap-peap\npeap_binding = yes") == true)
        #expect(try binds("profile = windows", "auth = eap-peap\npeap_binding = no") == false)
        #expect(throws: (any Error).self) { try binds("", "auth = eap-tls\npeap_binding = yes") }
    }

    @Test func poolsTellTheServersOfAll() throws {
        let settings = try read("charon { dns1 = 192.0.2.53\nnbns1 = 192.0.2.137 }")
        let text = "pools { a { addrs = 10.3.0.0/24\ndns = 192.0.2.1 } }"
        let pool = try #require(
            try Configuration.read(SourceFile(name: "f", text: text), settings: settings).pools.first)
        #expect(pool.information.nameServers.map(\.description) == ["192.0.2.1", "192.0.2.53"])
        #expect(pool.information.netBIOSNameServers.map(\.description) == ["192.0.2.137"])
    }

    @Test(arguments: [
        ("charon {\nthreads = 4 }", "2:1: 'threads' in charon changes nothing: one thread negotiates"),
        ("charon {\nprot = 4 }", "2:1: unknown key 'prot' in charon; did you mean 'port'?"),
        ("charon {\ndelete_rekeyed = yes }", "2:1: 'delete_rekeyed = yes' in charon changes nothing: "),
        ("charon {\nuser = ipsec }", "2:1: 'user' in charon changes nothing: systemd's unit says"),
        (
            "charon {\nplugins { eap-radius { server = x } } }",
            "2:11: 'server' in charon.plugins.eap-radius changes nothing: "
        ),
        (
            "charon {\nplugins { new-thing { a { b = c } } } }",
            "2:11: 'a' in charon.plugins.new-thing changes nothing: there is no such"
        ),
        ("charon {\nsyslog { daemon { ike = 2 } } }", "2:1: section 'charon.syslog' changes nothing: the log goes to"),
        ("charon {\nfilelgo { } }", "2:1: unknown section 'filelgo' in charon; did you mean 'filelog'?"),
        ("charon { filelog { a {\nknl = 2 } } }", "2:1: 'knl' in charon.a: no lines here are of that kind"),
        ("charon { filelog { a {\npath = /x } } }", "2:1: 'path' in charon.a: the log goes to standard error"),
        ("\nchaorn { port = 1 }", "2:1: unknown section 'chaorn'; did you mean 'charon'?"),
        ("\npki { load = x }", "2:1: section 'pki' changes nothing: it is another program's"),
        ("\nport = 1", "2:1: unknown key 'port' outside of any section"),
    ])
    func whatChangesNothingIsSaid(_ text: String, _ expected: String) throws {
        let notes = try read(text).notes
        #expect(notes.count == 1 && notes.first?.hasPrefix("strongswan.conf:" + expected) == true, "\(notes)")
    }

    /// Distributions have a file for each plugin that says `load = yes`.
    @Test func whetherPluginsAreLoadedIsNotWorthALine() throws {
        #expect(try read("charon { plugins { aes { load = yes }\nxcbc { load = yes } } }").notes == [])
    }

    @Test(arguments: [
        "port = 0", "retransmit_base = fast", "dns1 = here", "ikesa_limit = -1", "max_packet = 5",
        "rdn_matching = loose",
    ])
    func wrongValuesAreErrors(_ line: String) {
        #expect(throws: ConfigurationErrors.self) { try read("charon { \(line) }") }
    }

    @Test func logLevelsAreThoseOfTheMostTalkativeLog() throws {
        let text = "charon { filelog { a { default = 0\nike = 2 }\nb { default = -1\nnet = 3 } } }"
        #expect(try read(text).logLevels == ["default": 0, "ike": 2, "net": 3, "dmn": 0, "chd": 0, "cfg": 0])
        #expect(try read("charon-systemd { journal { default = 2 } }").logLevels["cfg"] == 2)
        #expect(try read("charon { }").logLevels.isEmpty)
        #expect(throws: ConfigurationErrors.self) { try read("charon { filelog { a { ike = loud } } }") }
    }

    /// All of charon's keys: each is obeyed, or said to change nothing, with the reason.
    @Test func everyKeyOfCharonIsKnown() throws {
        let keys = """
            accept_private_algs accept_unencrypted_mainmode_messages block_threshold cert_cache cache_crls \
            check_current_path cisco_flexvpn cisco_unity close_ike_on_child_failure cookie_threshold cookie_threshold_ip \
            delete_rekeyed delete_rekeyed_delay dh_exponent_ansi_x9_42 dlopen_use_rtld_now dns1 dns2 dos_protection \
            flush_auth_cfg follow_redirects force_eap_only_authentication fragment_size fragment_size_v4 \
            fragment_size_v6 group half_open_timeout hash_and_url \
            i_dont_care_about_security_and_use_aggressive_mode_psk ignore_routing_tables ignore_acquire_ts ikesa_limit \
            ikesa_table_segments ikesa_table_size inactivity_close_ike init_limit_half_open init_limit_job_load \
            initiator_only install_routes install_virtual_ip install_virtual_ip_on integrity_test interfaces_ignore \
            interfaces_use keep_alive keep_alive_dpd_margin load load_modular max_ikev1_exchanges max_packet \
            make_before_break multiple_authentication nbns1 nbns2 ocsp_nonce_len port port_nat_t prefer_best_path \
            prefer_configured_proposals prefer_temporary_addrs process_route rdn_matching receive_delay \
            receive_delay_response receive_delay_request receive_delay_type reject_trusted_end_entity replay_window \
            reqid_base retransmit_base retransmit_timeout retransmit_tries retransmit_jitter retransmit_limit \
            retry_initiate_interval reuse_ikesa routing_table routing_table_prio rsa_pss rsa_pss_trailerfield send_delay \
            send_delay_response send_delay_request send_delay_type send_vendor_id signature_authentication \
            signature_authentication_constraints spi_label spi_mask spi_min spi_max threads user
            """.split(separator: " ").map(String.init)
        #expect(keys.count == 92)
        var obeyed = 0
        for key in keys {
            switch KnownKeys.settings[key] {
            case nil: Issue.record("\(key) is not known")
            case .supported: obeyed += 1
            case .fixed, .unsupported:
                let notes = try read("charon { \(key) = unheard-of }").notes
                #expect(notes.count == 1 && notes[0].contains("'\(key)") && notes[0].count > key.count + 60, "\(notes)")
            }
        }
        #expect(obeyed == 34, "a key more or less is obeyed: say so in Docs/configuration.md")
        for section in "crypto_test host_resolver leak_detective processor start-scripts stop-scripts tls x509".split(
            separator: " ")
        {
            #expect(try read("charon { \(section) { a = 1 } }").notes.count == 1)
        }
        let plugins = """
            kernel-netlink kernel-libipsec socket-default eap-radius ha load-tester resolve updown attr attr-sql save-keys \
            revocation dhcp ipseckey dnscert unbound addrblock bypass-lan forecast whitelist pkcs11 tpm xauth-pam xauth-eap \
            eap-tls eap-ttls eap-peap eap-dynamic vici error-notify lookip
            """
        for plugin in plugins.split(separator: " ") {
            let notes = try read("charon { plugins { \(plugin) { enable = yes } } }").notes
            #expect(
                notes.count == 1 && notes[0].contains("plugins.\(plugin) ") && !notes[0].contains("no such"), "\(notes)"
            )
        }
    }
}
