/// What a key is to this version.
enum KeyRule {
    /// Read and obeyed.
    case supported
    /// Known to swanctl, and harmless with these values, which say what this version does anyway.
    case fixed([String])
    /// Known to swanctl; refused by name. The text says more where there is more to say.
    case unsupported(String?)
}

/// The keys and sections of `swanctl.conf`, all of them: what is not here is unknown.
enum KnownKeys {
    private static let no = KeyRule.fixed(["no", "false", "disabled", "0"])
    private static let yes = KeyRule.fixed(["yes", "true", "enabled", "1"])
    private static let zero = KeyRule.fixed(["0", "0s"])

    private static func rules(
        supported: [String], fixed: [String: KeyRule] = [:], unsupported: [String], reasons: [String: String] = [:]
    ) -> [String: KeyRule] {
        var rules = fixed
        for key in supported { rules[key] = .supported }
        for key in unsupported { rules[key] = .unsupported(nil) }
        for (key, reason) in reasons { rules[key] = .unsupported(reason) }
        return rules
    }

    static let connection = rules(
        supported: [
            "version", "local_addrs", "remote_addrs", "local_port", "remote_port", "proposals", "encap", "dpd_delay",
            "dpd_timeout", "rekey_time", "reauth_time", "over_time", "rand_time", "keyingtries", "unique",
            "aggressive", "exchange", "accept_groups", "fragmentation", "vips", "pools", "pull", "label_domain",
            "label_secrecy", "label_integrity", "commit_bit", "identity_pfs", "mobike", "childless", "ppk_id",
            "ppk_required", "ppk_intermediate", "resumption", "redirect_to", "redirect_at", "enable_tcp",
            "tcp_remote_port", "profile", "optimized_rekey",
        ],
        fixed: [
            "mediation": no,
            "send_certreq": .fixed(["yes", "no"]), "send_cert": .fixed(["ifasked", "always", "never"]),
            "dscp": .fixed(["000000"]), "if_id_in": zero, "if_id_out": zero, "ocsp": .fixed(["reply", "never"]),
        ],
        unsupported: ["mediated_by", "mediation_peer"])

    static let authentication = rules(
        supported: ["auth", "id", "round", "xauth_id", "eap_id", "pubkeys", "certs", "cacerts", "revocation"],
        unsupported: [
            "aaa_id", "ca_id", "groups", "cert_policy",
        ])

    static let child = rules(
        supported: [
            "esp_proposals", "local_ts", "remote_ts", "mode", "rekey_time", "life_time", "rand_time", "start_action",
            "dpd_action", "close_action", "replay_window", "reqid", "sa_pairs", "ah_proposals", "bundle", "rekey_bytes",
            "life_bytes",
            "rand_bytes", "rekey_packets", "life_packets", "rand_packets", "tfc_padding", "copy_ecn", "copy_dscp",
            "priority", "ipcomp", "copy_df", "rehearse_rekey",
        ],
        fixed: [
            "sha256_96": no, "hostaccess": no, "policies": yes, "policies_fwd_out": no,
            "inactivity": zero, "mark_in": zero, "mark_out": zero, "mark_in_sa": no,
            "set_mark_in": zero, "set_mark_out": zero, "if_id_in": zero, "if_id_out": zero,
            "per_cpu_sas": no, "hw_offload": no, "icmp": no,
        ],
        unsupported: ["interface", "label", "label_mode"],
        reasons: ["updown": "scripts are not run yet"])

    /// A private group: Parley's own.
    static let group = rules(
        supported: ["number", "type", "prime", "generator", "generator_y", "curve_a", "curve_b", "order"],
        unsupported: [])

    static let sharedKey = rules(supported: ["secret"], unsupported: [])
    static let passphrase = rules(supported: ["file", "secret"], unsupported: [])

    /// Besides these, a number is an attribute's type.
    static let pool = rules(
        supported: ["addrs", "dns", "nbns", "dhcp", "netmask", "subnet", "split_include", "split_exclude"],
        unsupported: ["server", "p_cscf", "address"])

    /// The section `radius`: keys of `charon.plugins.eap-radius`, and what `radius.servers.NAME` and `radius.dae` hold.
    static let radius = rules(
        supported: [
            "accounting", "accounting_interval", "nas_identifier", "retransmit_timeout", "retransmit_base",
            "retransmit_tries",
        ],
        fixed: [
            "accounting_close_on_timeout": no, "accounting_requires_vip": no, "class_group": no,
            "close_all_on_timeout": no,
            "eap_start": no, "filter_id": no, "station_id_with_port": yes,
        ],
        unsupported: ["id_prefix", "port", "secret", "server", "sockets"])
    static let radiusServer = rules(
        supported: [
            "address", "secret", "auth_port", "acct_port", "nas_identifier", "preference",
            "require_message_authenticator",
        ],
        unsupported: ["port", "sockets"])
    static let radiusAuthorization = rules(supported: ["enable", "listen", "port", "secret"], unsupported: [])

    /// The section `charon`: keys of `strongswan.conf`.
    static let settings = rules(
        supported: [
            "port", "port_nat_t", "retransmit_timeout", "retransmit_base", "retransmit_tries", "keep_alive",
            "half_open_timeout", "replay_window", "window_size",
            "fragment_size", "fragment_size_v4", "fragment_size_v6", "cookie_threshold", "cookie_threshold_ip",
            "puzzle_threshold", "puzzle_difficulty",
            "block_threshold", "follow_redirects", "tcp_ports",
        ],
        fixed: [
            "retransmit_jitter": zero, "retransmit_limit": zero, "install_routes": .fixed(["yes", "no"]),
            "install_virtual_ip": .fixed(["yes", "no"]), "make_before_break": yes, "prefer_configured_proposals": yes,
            "delete_rekeyed": no, "send_vendor_id": no, "reuse_ikesa": yes, "initiator_only": no,
            "accept_unencrypted_mainmode_messages": no, "close_ike_on_child_failure": no,
        ],
        unsupported: [
            "accept_private_algs", "cert_cache", "cache_crls", "check_current_path", "cisco_flexvpn",
            "cisco_unity", "delete_rekeyed_delay", "dns1", "dns2",
            "dos_protection", "force_eap_only_authentication", "group", "hash_and_url",
            "ignore_routing_tables",
            "ignore_acquire_ts", "i_dont_care_about_security_and_use_aggressive_mode_psk", "ikesa_limit",
            "ikesa_table_segments", "ikesa_table_size", "inactivity_close_ike", "init_limit_half_open",
            "init_limit_job_load", "install_virtual_ip_on", "integrity_test", "interfaces_ignore", "interfaces_use",
            "keep_alive_dpd_margin", "load", "load_modular", "max_ikev1_exchanges", "max_packet",
            "multiple_authentication", "nbns1", "nbns2", "ocsp_nonce_len", "prefer_best_path",
            "prefer_temporary_addrs", "process_route", "rdn_matching", "receive_delay", "receive_delay_response",
            "receive_delay_request", "receive_delay_type", "reject_trusted_end_entity", "reqid_base",
            "retry_initiate_interval", "routing_table", "routing_table_prio", "rsa_pss", "send_delay",
            "send_delay_response", "send_delay_request", "send_delay_type", "signature_authentication",
            "signature_authentication_constraints", "spi_label", "spi_mask", "spi_min", "spi_max", "threads", "user",
        ])

    /// Sections that swanctl or charon know and this version refuses by name, by the section that holds them.
    static let unsupportedTopLevel = ["authorities"]
    static let unsupportedSettingsSections = [
        "plugins", "filelog", "syslog", "crypto_test", "host_resolver", "leak_detective", "processor", "start-scripts",
        "stop-scripts", "tls", "x509", "iptfs", "imcv", "tnc",
    ]
    /// Prefixes of names in `secrets` that tell a directory of key files.
    static let keyDirectories = ["private", "rsa", "ecdsa", "pkcs8", "pkcs12"]
    /// Prefixes of names in `secrets`.
    static let unsupportedSecrets = [
        "ntlm", "token",
    ]

    /// The values of `auth` that swanctl knows, by how they start.
    static let unsupportedAuthentication = [
        "pubkey", "rsa", "ecdsa", "eap", "xauth", "ike:", "ed25519", "ed448", "bliss", "eap-", "any",
    ]
}
