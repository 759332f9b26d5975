/// What a key is to this version.
enum KeyRule {
    /// Read and obeyed.
    case supported
    /// Known to swanctl, and harmless with these values, which say what this version does anyway. The text says why others
    /// are refused.
    case fixed([String], String)
    /// Known to swanctl; refused by name, for the reason in the text.
    case unsupported(String)
}

/// The keys and sections of `swanctl.conf`, all of them: what is not here is unknown.
enum KnownKeys {
    private static func no(_ reason: String) -> KeyRule { .fixed(["no", "false", "disabled", "0"], reason) }
    private static func yes(_ reason: String) -> KeyRule { .fixed(["yes", "true", "enabled", "1"], reason) }
    private static func zero(_ reason: String) -> KeyRule { .fixed(["0", "0s", "0/0", "0x0", "0/0x00000000"], reason) }

    static func rules(
        supported: [String], fixed: [String: KeyRule] = [:], unsupported: [String: String] = [:]
    ) -> [String: KeyRule] {
        var rules = fixed
        for key in supported { rules[key] = .supported }
        for (key, reason) in unsupported { rules[key] = .unsupported(reason) }
        return rules
    }

    private static let mediation = "there is no mediation (strongSwan's own extension) here"
    private static let interfaceIDs =
        "packets are carried in userspace, where the kernel's XFRM interfaces have no part"
    private static let marks = "packets are carried in userspace, where the kernel's marks do not choose SAs"

    static let connection = rules(
        supported: [
            "version", "local_addrs", "remote_addrs", "local_port", "remote_port", "proposals", "encap", "dpd_delay",
            "dpd_timeout", "rekey_time", "reauth_time", "over_time", "rand_time", "keyingtries", "unique",
            "aggressive", "exchange", "accept_groups", "fragmentation", "vips", "pools", "pull", "label_domain",
            "label_secrecy", "label_integrity", "commit_bit", "identity_pfs", "mobike", "childless", "ppk_id",
            "ppk_required", "ppk_intermediate", "resumption", "redirect_to", "redirect_at", "enable_tcp",
            "tcp_remote_port", "profile", "optimized_rekey", "clones", "ocsp", "announce_auth",
            "send_cert", "send_certreq", "dscp",
        ],
        fixed: [
            "mediation": no(mediation),
            "if_id_in": zero(interfaceIDs), "if_id_out": zero(interfaceIDs),
        ],
        unsupported: ["mediated_by": mediation, "mediation_peer": mediation])

    static let authentication = rules(
        supported: [
            "auth", "id", "round", "xauth_id", "eap_id", "aaa_id", "pubkeys", "certs", "cacerts", "revocation", "ca_id",
            "cert_policy", "groups", "peap_binding",
        ])

    static let child = rules(
        supported: [
            "esp_proposals", "local_ts", "remote_ts", "mode", "rekey_time", "life_time", "rand_time", "start_action",
            "dpd_action", "close_action", "replay_window", "reqid", "sa_pairs", "ah_proposals", "bundle", "rekey_bytes",
            "life_bytes",
            "rand_bytes", "rekey_packets", "life_packets", "rand_packets", "tfc_padding", "copy_ecn", "copy_dscp",
            "priority", "ipcomp", "copy_df", "rehearse_rekey",
            "non_first_fragments", "per_cpu_sas", "inactivity", "updown", "hostaccess",
        ],
        fixed: [
            "sha256_96": no("HMAC-SHA-256 is cut to 128 bits alone, as RFC 4868 has it"),
            "policies": yes("an SA without its selectors would let anything through"),
            "policies_fwd_out": no("packets are carried in userspace, without the kernel's forward policies"),
            "mark_in": zero(marks), "mark_out": zero(marks), "mark_in_sa": no(marks),
            "set_mark_in": zero(marks), "set_mark_out": zero(marks), "if_id_in": zero(interfaceIDs),
            "if_id_out": zero(interfaceIDs),
            "hw_offload": no("packets are carried in userspace, where no network card takes them over"),
            "icmp": no("packets are carried in userspace, without the kernel's flag for ICMP errors"),
        ],
        unsupported: [
            "interface": "routes and policies belong to the daemon's own TUN device",
            "label": "security labels of SELinux are not negotiated",
            "label_mode": "security labels of SELinux are not negotiated",
        ])

    /// A private group: Parley's own.
    static let group = rules(
        supported: ["number", "type", "prime", "generator", "generator_y", "curve_a", "curve_b", "order"])

    static let sharedKey = rules(supported: ["secret"])
    static let passphrase = rules(supported: ["file", "secret"])

    /// Besides these, a number is an attribute's type.
    static let pool = rules(
        supported: [
            "addrs", "dns", "nbns", "dhcp", "netmask", "subnet", "split_include", "split_exclude", "server", "p_cscf",
        ],
        unsupported: ["address": "a peer's address is one of 'addrs'"])

    /// The section `radius`: keys of `charon.plugins.eap-radius`, and what `radius.servers.NAME` and `radius.dae` hold.
    static let radius = rules(
        supported: [
            "accounting", "accounting_interval", "nas_identifier", "retransmit_timeout", "retransmit_base",
            "retransmit_tries", "class_group", "filter_id",
        ],
        fixed: [
            "accounting_close_on_timeout": no("a server that does not answer ends no session"),
            "accounting_requires_vip": no("every user is accounted for"),
            "close_all_on_timeout": no("a server that does not answer ends no session"),
            "eap_start": no("the user's identity is known when the server is asked first"),
            "station_id_with_port": yes("the port tells apart those behind one NAT"),
        ],
        unsupported: [
            "id_prefix": "identities go to the server as they are",
            "port": "it belongs into servers.NAME, as auth_port",
            "secret": "it belongs into servers.NAME", "server": "it belongs into servers.NAME, as address",
            "sockets": "requests of one server share a socket",
        ])
    static let radiusServer = rules(
        supported: [
            "address", "secret", "auth_port", "acct_port", "nas_identifier", "preference",
            "require_message_authenticator",
        ],
        unsupported: ["port": "it is auth_port", "sockets": "requests of one server share a socket"])
    static let radiusAuthorization = rules(supported: ["enable", "listen", "port", "secret"])

    /// An authority.
    static let authority = rules(
        supported: ["cacert", "file", "crl_uris", "ocsp_uris", "cert_uri_base"],
        unsupported: [
            "handle": "there are no tokens here", "slot": "there are no tokens here",
            "module": "there are no tokens here",
        ])
    /// A section `cert…` or `cacert…` of a round.
    static let certificate = rules(
        supported: ["file"],
        unsupported: [
            "handle": "there are no tokens here", "slot": "there are no tokens here",
            "module": "there are no tokens here",
        ])

    /// Prefixes of names in `secrets` that tell a directory of key files.
    static let keyDirectories = ["private", "rsa", "ecdsa", "pkcs8", "pkcs12"]
    /// Prefixes of names in `secrets`.
    static let unsupportedSecrets = [
        "ntlm": "a password itself is needed, in secrets.eap…",
        "token": "keys on tokens (PKCS #11) are not used; private keys are read from files",
    ]

    /// The values of `auth` that swanctl knows, by how they start.
    static let unsupportedAuthentication = [
        "pubkey", "rsa", "ecdsa", "eap", "xauth", "ike:", "ed25519", "ed448", "bliss", "eap-", "any",
    ]
}
