import Primitives

/// Registered notification names (IANA's IKEv2 parameters; RFC 2408 §3.14.1 and RFC 2407 §4.6.3 for version 1).
enum NotificationNames {
    static func version2(_ type: UInt16) -> String { version2Names[type] ?? "notification \(type)" }
    static func version1(_ type: UInt16) -> String { version1Names[type] ?? "notification \(type)" }

    /// Every number that has a name, in order.
    static func all(isVersion2: Bool) -> [(number: UInt16, name: String)] {
        (isVersion2 ? version2Names : version1Names).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    }

    private static let version2Names: [UInt16: String] = [
        1: "UNSUPPORTED_CRITICAL_PAYLOAD", 4: "INVALID_IKE_SPI", 5: "INVALID_MAJOR_VERSION", 7: "INVALID_SYNTAX",
        9: "INVALID_MESSAGE_ID", 11: "INVALID_SPI", 14: "NO_PROPOSAL_CHOSEN", 17: "INVALID_KE_PAYLOAD",
        24: "AUTHENTICATION_FAILED", 34: "SINGLE_PAIR_REQUIRED", 35: "NO_ADDITIONAL_SAS",
        36: "INTERNAL_ADDRESS_FAILURE", 37: "FAILED_CP_REQUIRED", 38: "TS_UNACCEPTABLE", 39: "INVALID_SELECTORS",
        40: "UNACCEPTABLE_ADDRESSES", 41: "UNEXPECTED_NAT_DETECTED", 42: "USE_ASSIGNED_HoA",
        43: "TEMPORARY_FAILURE", 44: "CHILD_SA_NOT_FOUND", 45: "INVALID_GROUP_ID", 46: "AUTHORIZATION_FAILED",
        47: "STATE_NOT_FOUND", 48: "TS_MAX_QUEUE", 16384: "INITIAL_CONTACT", 16385: "SET_WINDOW_SIZE",
        16386: "ADDITIONAL_TS_POSSIBLE", 16387: "IPCOMP_SUPPORTED", 16388: "NAT_DETECTION_SOURCE_IP",
        16389: "NAT_DETECTION_DESTINATION_IP", 16390: "COOKIE", 16391: "USE_TRANSPORT_MODE",
        16392: "HTTP_CERT_LOOKUP_SUPPORTED", 16393: "REKEY_SA", 16394: "ESP_TFC_PADDING_NOT_SUPPORTED",
        16395: "NON_FIRST_FRAGMENTS_ALSO", 16396: "MOBIKE_SUPPORTED", 16397: "ADDITIONAL_IP4_ADDRESS",
        16398: "ADDITIONAL_IP6_ADDRESS", 16399: "NO_ADDITIONAL_ADDRESSES", 16400: "UPDATE_SA_ADDRESSES",
        16401: "COOKIE2", 16402: "NO_NATS_ALLOWED", 16403: "AUTH_LIFETIME", 16404: "MULTIPLE_AUTH_SUPPORTED",
        16405: "ANOTHER_AUTH_FOLLOWS", 16406: "REDIRECT_SUPPORTED", 16407: "REDIRECT", 16408: "REDIRECTED_FROM",
        16409: "TICKET_LT_OPAQUE", 16410: "TICKET_REQUEST", 16411: "TICKET_ACK", 16412: "TICKET_NACK",
        16413: "TICKET_OPAQUE", 16414: "LINK_ID", 16415: "USE_WESP_MODE", 16416: "ROHC_SUPPORTED",
        16417: "EAP_ONLY_AUTHENTICATION", 16418: "CHILDLESS_IKEV2_SUPPORTED", 16419: "QUICK_CRASH_DETECTION",
        16420: "IKEV2_MESSAGE_ID_SYNC_SUPPORTED", 16421: "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED",
        16422: "IKEV2_MESSAGE_ID_SYNC", 16423: "IPSEC_REPLAY_COUNTER_SYNC", 16424: "SECURE_PASSWORD_METHODS",
        16425: "PSK_PERSIST", 16426: "PSK_CONFIRM", 16427: "ERX_SUPPORTED", 16428: "IFOM_CAPABILITY",
        16429: "SENDER_REQUEST_ID", 16430: "IKEV2_FRAGMENTATION_SUPPORTED", 16431: "SIGNATURE_HASH_ALGORITHMS",
        16432: "CLONE_IKE_SA_SUPPORTED", 16433: "CLONE_IKE_SA", 16434: "PUZZLE", 16435: "USE_PPK",
        16436: "PPK_IDENTITY", 16437: "NO_PPK_AUTH", 16438: "INTERMEDIATE_EXCHANGE_SUPPORTED",
        16439: "IP4_ALLOWED", 16440: "IP6_ALLOWED", 16441: "ADDITIONAL_KEY_EXCHANGE", 16442: "USE_AGGFRAG",
        16443: "SUPPORTED_AUTH_METHODS", 16444: "SA_RESOURCE_INFO", 16445: "USE_PPK_INT", 16446: "PPK_IDENTITY_KEY",
    ]

    private static let version1Names: [UInt16: String] = [
        1: "INVALID-PAYLOAD-TYPE", 2: "DOI-NOT-SUPPORTED", 3: "SITUATION-NOT-SUPPORTED", 4: "INVALID-COOKIE",
        5: "INVALID-MAJOR-VERSION", 6: "INVALID-MINOR-VERSION", 7: "INVALID-EXCHANGE-TYPE", 8: "INVALID-FLAGS",
        9: "INVALID-MESSAGE-ID", 10: "INVALID-PROTOCOL-ID", 11: "INVALID-SPI", 12: "INVALID-TRANSFORM-ID",
        13: "ATTRIBUTES-NOT-SUPPORTED", 14: "NO-PROPOSAL-CHOSEN", 15: "BAD-PROPOSAL-SYNTAX",
        16: "PAYLOAD-MALFORMED", 17: "INVALID-KEY-INFORMATION", 18: "INVALID-ID-INFORMATION",
        19: "INVALID-CERT-ENCODING", 20: "INVALID-CERTIFICATE", 21: "CERT-TYPE-UNSUPPORTED",
        22: "INVALID-CERT-AUTHORITY", 23: "INVALID-HASH-INFORMATION", 24: "AUTHENTICATION-FAILED",
        25: "INVALID-SIGNATURE", 26: "ADDRESS-NOTIFICATION", 27: "NOTIFY-SA-LIFETIME",
        28: "CERTIFICATE-UNAVAILABLE", 29: "UNSUPPORTED-EXCHANGE-TYPE", 30: "UNEQUAL-PAYLOAD-LENGTHS",
        16384: "CONNECTED", 24576: "RESPONDER-LIFETIME", 24577: "REPLAY-STATUS", 24578: "INITIAL-CONTACT",
        36136: "R-U-THERE", 36137: "R-U-THERE-ACK",
    ]
}

/// Vendor IDs that announce something, by their octets.
enum VendorNames {
    static func name(_ body: [UInt8]) -> String {
        let text = body.hex
        return names.first { text.hasPrefix($0.0) }.map { "announces \($0.1)" } ?? "vendor ID \(body.prefix(8).hex)"
    }

    private static let names: [(String, String)] = [
        ("afcad71368a1f1c96b8696fc7757", "dead peer detection (RFC 3706)"),
        ("4a131c81070358455c5728f20e95452f", "NAT traversal (RFC 3947)"),
        ("16f6ca16e4a4066d83821a0f0aeaa862", "NAT traversal (draft 01)"),
        ("6105c422e76847e43f9684801292aecd", "NAT traversal (SSH's draft 02)"),
        ("4485152d18b6bbcd0be8a8469579ddcc", "NAT traversal (draft 00)"),
        ("cd60464335df21f87cfdb2fc68b6a448", "NAT traversal (draft 02)"),
        ("90cb80913ebb696e086381b5ec427b1f", "NAT traversal (draft 02)"),
        ("7d9419a65310ca6f2c179d9215529d56", "NAT traversal (draft 03)"),
        ("9909b64eed937c6573de52ace952fa6b", "NAT traversal (draft 04)"),
        ("80d0bb3def54565ee84645d4c85ce3ee", "NAT traversal (draft 05)"),
        ("4d1e0e136deafa34c4f3ea9f02ec7285", "NAT traversal (draft 06)"),
        ("439b59f8ba676c4c7737ae22eab8f582", "NAT traversal (draft 07)"),
        ("8f8d83826d246b6fc7a8a6a428c11de8", "NAT traversal (draft 08)"),
        ("09002689dfd6b712", "XAUTH"),
        ("4048b7d56ebce88525e7de7f00d6c2d3", "fragmentation"),
        ("12f5f28c457168a9702d9fe274cc", "Cisco Unity"),
        ("1e2b516905991c7d7c96fcbfb587e461", "Microsoft's ISAKMP/Oakley"),
        ("fb1de3cdf341b7ea16b7e5be0855f120", "Microsoft's negotiation discovery"),
        ("26244d38eddb61b3172a36e3d0cfb819", "Microsoft's initial contact"),
        ("e3a5966a76379fe707228231e5ce8652", "Microsoft's IKE with generated addresses"),
        ("214ca4faffa7f32d6748e5303395ae83", "Microsoft's MAMIE"),
        ("621b04bb09882ac1e15935fefa24aeee", "GSSAPI"),
        ("882fe56d6fd20dbc2251613b2ebe5beb", "strongSwan"),
        ("7003cbc1097dbe9c2600ba6983bc8b35", "racoon"),
        ("4f452d4c69627265737761", "Libreswan"),
        ("1f07f70eaa6514d3b0fa96542a", "Cisco VPN Concentrator"),
        ("f4ed19e0c114eb516faaac0ee37daf2807b4381f", "Check Point"),
        ("4865617274426561745f4e6f74696679", "heartbeat notifications"),
    ]
}
