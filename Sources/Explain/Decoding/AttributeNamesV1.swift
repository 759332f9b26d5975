/// IKEv1's transforms and attributes: phase 1 (RFC 2409 Appendix A) and phase 2 (RFC 2407 §4.4, §4.5), with what IANA
/// registered since.
enum AttributeNamesV1 {
    static func transform(_ identifier: UInt8, protocolID: UInt8) -> String {
        let name: String? =
            switch protocolID {
            case 1: [1: "KEY_IKE"][identifier]
            case 2:
                [
                    2: "AH_MD5", 3: "AH_SHA", 4: "AH_DES", 5: "AH_SHA2-256", 6: "AH_SHA2-384", 7: "AH_SHA2-512",
                    8: "AH_RIPEMD", 9: "AH_AES-XCBC-MAC", 10: "AH_RSA", 11: "AH_AES-128-GMAC", 12: "AH_AES-192-GMAC",
                    13: "AH_AES-256-GMAC",
                ][identifier]
            case 3: ciphers[identifier]
            case 4: [1: "IPCOMP_OUI", 2: "IPCOMP_DEFLATE", 3: "IPCOMP_LZS", 4: "IPCOMP_LZJH"][identifier]
            default: nil
            }
        return name ?? "unknown (\(identifier))"
    }

    private static let ciphers: [UInt8: String] = [
        1: "ESP_DES_IV64", 2: "ESP_DES", 3: "ESP_3DES", 4: "ESP_RC5", 5: "ESP_IDEA", 6: "ESP_CAST",
        7: "ESP_BLOWFISH", 8: "ESP_3IDEA", 9: "ESP_DES_IV32", 10: "ESP_RC4", 11: "ESP_NULL", 12: "ESP_AES-CBC",
        13: "ESP_AES-CTR", 14: "ESP_AES-CCM-8", 15: "ESP_AES-CCM-12", 16: "ESP_AES-CCM-16", 18: "ESP_AES-GCM-8",
        19: "ESP_AES-GCM-12", 20: "ESP_AES-GCM-16", 21: "ESP_SEED-CBC", 22: "ESP_CAMELLIA",
        23: "ESP_NULL_AUTH_AES-GMAC",
    ]

    static func name(_ type: UInt16, isPhaseOne: Bool) -> String {
        (isPhaseOne ? phaseOne[type] : phaseTwo[type]) ?? "Attribute \(type)"
    }

    private static let phaseOne: [UInt16: String] = [
        1: "Encryption", 2: "Hash", 3: "Authentication method", 4: "Group", 5: "Group type", 6: "Group prime",
        7: "Group generator one", 8: "Group generator two", 9: "Group curve A", 10: "Group curve B",
        11: "Life type", 12: "Life duration", 13: "PRF", 14: "Key length", 15: "Field size", 16: "Group order",
    ]

    private static let phaseTwo: [UInt16: String] = [
        1: "Life type", 2: "Life duration", 3: "Group", 4: "Encapsulation mode", 5: "Authentication algorithm",
        6: "Key length", 7: "Key rounds", 8: "Compression dictionary size", 9: "Private compression algorithm",
        10: "ECN tunnel", 11: "Extended sequence numbers", 12: "Authentication key length",
        13: "Signature encoding", 14: "Address preservation", 15: "SA direction",
    ]

    static func value(_ type: UInt16, _ number: UInt64, isPhaseOne: Bool) -> String {
        let table: [UInt64: String]? =
            isPhaseOne
            ? [1: phaseOneCiphers, 2: hashes, 3: methods, 5: groupTypes, 11: lifeTypes][type]
            : [1: lifeTypes, 4: modes, 5: authentication, 10: ecnTunnel, 11: [1: "64 bits"]][type]
        let isGroup = isPhaseOne ? type == 4 : type == 3
        if isGroup {
            return UInt16(exactly: number).flatMap { TransformNames.groups[$0] } ?? "unknown (\(number))"
        }
        guard let table else { return "\(number)" }
        return table[number] ?? "unknown (\(number))"
    }

    private static let ecnTunnel: [UInt64: String] = [1: "allowed", 2: "forbidden"]
    private static let lifeTypes: [UInt64: String] = [1: "seconds", 2: "kilobytes"]
    private static let groupTypes: [UInt64: String] = [1: "MODP", 2: "ECP", 3: "EC2N"]
    private static let hashes: [UInt64: String] = [
        1: "MD5", 2: "SHA1", 3: "Tiger", 4: "SHA2-256", 5: "SHA2-384", 6: "SHA2-512",
    ]
    private static let phaseOneCiphers: [UInt64: String] = [
        1: "DES-CBC", 2: "IDEA-CBC", 3: "Blowfish-CBC", 4: "RC5-CBC", 5: "3DES-CBC", 6: "CAST-CBC", 7: "AES-CBC",
        8: "Camellia-CBC",
    ]
    private static let methods: [UInt64: String] = [
        1: "pre-shared key", 2: "DSS signatures", 3: "RSA signatures", 4: "RSA encryption",
        5: "revised RSA encryption", 6: "ElGamal encryption", 7: "revised ElGamal encryption",
        8: "ECDSA signatures", 9: "ECDSA with SHA-256 on P-256", 10: "ECDSA with SHA-384 on P-384",
        11: "ECDSA with SHA-512 on P-521", 64221: "hybrid RSA (initiator)", 64222: "hybrid RSA (responder)",
        65001: "XAUTH pre-shared key (initiator)", 65002: "XAUTH pre-shared key (responder)",
        64223: "hybrid DSS (initiator)", 64224: "hybrid DSS (responder)", 65003: "XAUTH DSS (initiator)",
        65004: "XAUTH DSS (responder)", 65005: "XAUTH RSA (initiator)", 65006: "XAUTH RSA (responder)",
        65007: "XAUTH RSA encryption (initiator)", 65008: "XAUTH RSA encryption (responder)",
        65009: "XAUTH revised RSA encryption (initiator)", 65010: "XAUTH revised RSA encryption (responder)",
    ]

    /// Every authentication method that has a name.
    static let methodNumbers: [UInt16] = methods.keys.map { UInt16(truncatingIfNeeded: $0) }.sorted()

    static func method(_ number: UInt16) -> String? { methods[UInt64(number)] }

    /// Where a method is described.
    static func methodReference(_ number: UInt16) -> String {
        switch number {
        case 1: "RFC 2409 §5.4"
        case 2, 3: "RFC 2409 §5.1"
        case 4: "RFC 2409 §5.2"
        case 5: "RFC 2409 §5.3"
        case 9...11: "RFC 4754 §4"
        case 64_221...64_228: "draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2"
        case 65_001...65_010: "draft-beaulieu-ike-xauth-02 §7.2"
        default: "IANA"
        }
    }

    private static let modes: [UInt64: String] = [
        1: "tunnel", 2: "transport", 3: "tunnel in UDP", 4: "transport in UDP", 61443: "tunnel in UDP (draft)",
        61444: "transport in UDP (draft)",
    ]
    private static let authentication: [UInt64: String] = [
        1: "HMAC-MD5", 2: "HMAC-SHA1", 3: "DES-MAC", 4: "KPDK", 5: "HMAC-SHA2-256", 6: "HMAC-SHA2-384",
        7: "HMAC-SHA2-512", 8: "HMAC-RIPEMD", 9: "AES-XCBC-MAC", 10: "SIG-RSA", 11: "AES-128-GMAC",
        12: "AES-192-GMAC", 13: "AES-256-GMAC",
    ]
}
