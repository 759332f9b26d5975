// The names of `strongswan.conf`. What is not here is unknown.
extension KnownKeys {
    private static let kernel = "packets are carried in userspace, without the kernel's IPsec"
    private static let routing = "routes go into a table of the daemon's own, and the kernel chooses source addresses"
    private static let threads =
        "one thread negotiates, and packet_workers says how many carry packets; there are no queues to tune"
    private static let strangeness = "it would make the daemon misbehave on purpose, for tests"
    private static let tunnels =
        "TLS inside EAP has fragments of 1024 octets, and MSCHAPv2 proves users inside"
    private static let suites = "TLS takes suites, groups and signatures of its own choice"
    private static let keys = "certificates and keys are judged in one way alone"
    private static let build = "algorithms come from one library; nothing is loaded or tested at run time"

    /// The section `charon` (and `charon-systemd`, which says the same things).
    static let settings = rules(
        supported: [
            "port", "port_nat_t", "retransmit_timeout", "retransmit_base", "retransmit_tries", "retransmit_limit",
            "keep_alive", "half_open_timeout", "replay_window", "window_size", "fragment_size", "fragment_size_v4",
            "fragment_size_v6", "cookie_threshold", "cookie_threshold_ip", "block_threshold", "puzzle_threshold",
            "puzzle_difficulty", "dos_protection",
            "follow_redirects", "tcp_ports", "packet_workers", "path_probing", "path_probing_interval", "ikesa_limit",
            "init_limit_half_open",
            "initiator_only",
            "max_packet",
            "dns1",
            "dns2", "nbns1", "nbns2", "inactivity_close_ike", "install_virtual_ip", "install_routes", "install_dns",
            "hash_and_url", "multiple_authentication", "rdn_matching", "rsa_pss", "signature_authentication",
            "signature_authentication_constraints",
        ],
        fixed: [
            "accept_private_algs": .fixed(["no"], "algorithm numbers of private use mean nothing here"),
            "accept_unencrypted_mainmode_messages": .fixed(["no"], "messages that must be encrypted are"),
            "cisco_flexvpn": .fixed(["no"], "that client is told apart by what it says"),
            "close_ike_on_child_failure": .fixed(["no"], "an IKE SA outlives the refusal of a child"),
            "delete_rekeyed": .fixed(
                ["no"], "in version 1 a replaced child ends with its lifetime, and in version 2 it is deleted"),
            "flush_auth_cfg": .fixed(["no"], "what an authentication was judged by is kept for explanations"),
            "force_eap_only_authentication": .fixed(["no"], "a gateway proves itself by a key (RFC 7296 §2.16)"),
            "ignore_acquire_ts": .fixed(["no"], "a trap proposes the child's selectors"),
            "make_before_break": .fixed(["yes"], "reauthentication sets the new SA up before the old one goes"),
            "prefer_configured_proposals": .fixed(["yes"], "the order of our own proposals counts"),
            "receive_delay": .fixed(["0"], strangeness), "send_delay": .fixed(["0"], strangeness),
            "retransmit_jitter": .fixed(["0"], "retransmissions go out on time"),
            "retry_initiate_interval": .fixed(
                ["0", "0s"], "what start_action wants is tried again at growing distances"),
            "reuse_ikesa": .fixed(["yes"], "children of a connection share its IKE SA"),
            "send_vendor_id": .fixed(["no"], "no vendor ID names the program"),
            "spi_label": .fixed(["0"], "SPIs are random"), "spi_mask": .fixed(["0"], "SPIs are random"),
        ],
        unsupported: [
            "cert_cache": keys, "cache_crls": "lists are read from x509crl, and none are written",
            "check_current_path": routing, "cisco_unity": "Unity's attributes are sent to peers that announce it",
            "delete_rekeyed_delay": "how long a replaced child lingers is fixed",
            "dh_exponent_ansi_x9_42": "private values are as long as the library makes them",
            "dlopen_use_rtld_now": build,
            "group": "systemd's unit says what the daemon may do (packaging/parley.service)",
            "user": "systemd's unit says what the daemon may do (packaging/parley.service)",
            "host_resolver": "names are looked up by a thread of their own",
            "i_dont_care_about_security_and_use_aggressive_mode_psk":
                "a connection's aggressive = yes is consent enough",
            "ignore_routing_tables": routing, "ikesa_table_segments": threads, "ikesa_table_size": threads,
            "init_limit_job_load": threads, "install_virtual_ip_on": "virtual addresses go on the TUN device",
            "integrity_test": build, "interfaces_ignore": "sockets are bound to all addresses",
            "interfaces_use": "sockets are bound to all addresses",
            "keep_alive_dpd_margin": "keepalives are no dead peer detection", "load": build, "load_modular": build,
            "max_ikev1_exchanges": "exchanges of a peer are bounded by a fixed number",
            "ocsp_nonce_len": keys, "plugin_dir": build, "prefer_best_path": routing, "prefer_temporary_addrs": routing,
            "process_route": routing,
            "receive_delay_request": strangeness, "receive_delay_response": strangeness,
            "receive_delay_type": strangeness,
            "reject_trusted_end_entity": keys, "reqid_base": "reqids are the daemon's own business",
            "routing_table": "the routes' table has a fixed number", "routing_table_prio": "the rule has a fixed place",
            "rsa_pss_trailerfield": keys, "send_delay_request": strangeness, "send_delay_response": strangeness,
            "send_delay_type": strangeness,
            "spi_min": "SPIs are random, above 255", "spi_max": "SPIs are random, above 255", "threads": threads,
        ])

    /// The section `charon.iptfs`.
    static let aggregation = rules(
        supported: [
            "packet_size", "reorder_window", "max_queue_size", "accept_fragments", "dont_frag", "packet_rate",
            "congestion_control", "drop_time", "init_delay",
        ])

    /// The section `charon.tls`.
    static let tls = rules(
        supported: ["version_min", "version_max"],
        unsupported: [
            "cipher": suites, "key_exchange": suites, "mac": suites, "suites": suites, "ke_group": suites,
            "signature": suites,
            "send_certreq_authorities": "a server names no authorities, so that a user shows what its round says",
        ])

    /// Sections of `charon` that change nothing here, with the reason.
    static let settingsSections = [
        "crypto_test": build, "host_resolver": "names are looked up by a thread of their own",
        "leak_detective": build, "processor": threads, "start-scripts": "scripts are not run yet",
        "stop-scripts": "scripts are not run yet",
        "x509": keys,
        "imcv": "no TNC is spoken", "tnc": "no TNC is spoken",
        "syslog": "the log goes to standard error, from where systemd's journal takes it",
    ]

    /// Sections beside `charon` in `strongswan.conf`: those of other programs.
    static let programSections = [
        "libtls", "libimcv", "libtnccs", "pki", "pool", "starter", "stroke", "swanctl", "scepclient", "manager",
        "medcli",
        "medsrv", "charon-nm", "charon-svc", "charon-cmd", "aikgen", "attest", "conftest", "sec-updater",
        "sw-collector",
        "imv_policy_manager", "openac", "tpm_extendpcr", "scepclient", "load-tester", "checksum_builder",
    ]

    /// Plugins of charon whose settings change nothing here, with the reason. `load` is none of their settings.
    static let plugins = [
        "addrblock": keys, "attr": "pools tell what peers are told; dns1, dns2, nbns1 and nbns2 count for all",
        "attr-sql": "pools live in the configuration, not in a database",
        "bypass-lan": "a child with mode = pass does it",
        "coupling": "it is not there", "dhcp": "addresses come from pools alone",
        "dnscert": "keys are not looked up in the DNS",
        "duplicheck": "connections have 'unique'", "eap-aka": "that method is not there",
        "eap-dynamic": "a round names its method",
        "eap-radius": "swanctl.conf's section 'radius' names the servers", "eap-sim": "that method is not there",
        "eap-tls": tunnels, "eap-ttls": tunnels, "eap-peap": tunnels,
        "eap-tnc": "no TNC is spoken",
        "error-notify": "vici's event 'alert' and 'decision' tell them", "farp": "no ARP is answered for peers",
        "forecast": "multicast is not forwarded", "ha": "there is no cluster",
        "ipseckey": "keys are not looked up in the DNS",
        "kernel-libipsec": "ESP goes bare with encap = no, and other selectors than asked for are never taken",
        "kernel-netlink": kernel, "led": "it is not there", "load-tester": "parley simulate does it",
        "lookip": "list-sas tells it",
        "osx-attr": "it is not there", "p-cscf": "pools have 'p_cscf'", "pkcs11": "keys on tokens are not used",
        "radattr": "attributes of RADIUS go to no peer but those that have a meaning in IKE",
        "resolve": "charon.install_dns says where name servers of gateways go",
        "revocation": "revocation is judged by x509crl's lists, as the connection's 'revocation' says",
        "save-keys": "parley run --key-log does it",
        "socket-default": "sockets are bound to all addresses of both families",
        "sql": "the configuration is a file", "stroke": "the control socket speaks vici",
        "systime-fix": "the clock is believed",
        "tpm": "keys on chips are not used", "unbound": "answers are not validated",
        "updown": "a child names its script with 'updown'",
        "vici": "parley run --uri says where the control socket is", "whitelist": "connections say who may come",
        "wolfssl": build, "openssl": build, "gcrypt": build, "botan": build, "random": build, "pem": build,
        "test-vectors": build,
        "ntru": build, "xauth-eap": "passwords are those of secrets.xauth…",
        "xauth-pam": "passwords are those of secrets.xauth…",
    ]

    /// Sources of log lines, as charon abbreviates them, that are topics here.
    static let logTopics = ["dmn", "ike", "chd", "cfg", "net"]
    /// Sources of log lines that are none here.
    static let foreignTopics = [
        "mgr", "job", "knl", "asn", "enc", "tnc", "imc", "imv", "pts", "tls", "app", "esp", "lib",
    ]
    /// What a log's section says besides levels.
    static let logKeys = [
        "path", "append", "flush_line", "ike_name", "json", "log_level", "time_format", "time_precision", "time_add_ms",
        "identifier", "map_level",
    ]
}
