/// What the numbers of the IPsec DOI stand for (RFC 2407 §4.4 to §4.6), as a DOI is asked for them.
extension IPsecDOI {
    private static let protocols: [UInt8: String] = [
        1: "PROTO_ISAKMP", 2: "PROTO_IPSEC_AH", 3: "PROTO_IPSEC_ESP", 4: "PROTO_IPCOMP",
    ]

    /// RFC 2407 §4.4.1.
    package static func protocolName(_ protocolID: UInt8) -> String? { protocols[protocolID] }

    /// RFC 2407 §4.4.2 to §4.4.5, by protocol.
    private static let transforms: [UInt8: [UInt8: String]] = [
        1: [1: "KEY_IKE"],
        2: [2: "AH_MD5", 3: "AH_SHA", 4: "AH_DES", 5: "AH_SHA2-256", 6: "AH_SHA2-384", 7: "AH_SHA2-512"],
        3: [
            1: "ESP_DES_IV64", 2: "ESP_DES", 3: "ESP_3DES", 4: "ESP_RC5", 5: "ESP_IDEA", 6: "ESP_CAST",
            7: "ESP_BLOWFISH", 8: "ESP_3IDEA", 9: "ESP_DES_IV32", 10: "ESP_RC4", 11: "ESP_NULL", 12: "ESP_AES-CBC",
            13: "ESP_AES-CTR", 14: "ESP_AES-CCM_8", 15: "ESP_AES-CCM_12", 16: "ESP_AES-CCM_16", 18: "ESP_AES-GCM_8",
            19: "ESP_AES-GCM_12", 20: "ESP_AES-GCM_16", 22: "ESP_CAMELLIA", 23: "ESP_NULL_AUTH_AES-GMAC",
        ],
        4: [1: "IPCOMP_OUI", 2: "IPCOMP_DEFLATE", 3: "IPCOMP_LZS", 4: "IPCOMP_LZJH"],
    ]

    package static func transformName(_ identifier: UInt8, protocolID: UInt8) -> String? {
        transforms[protocolID]?[identifier]
    }

    /// RFC 2409 Appendix A.
    private static let phaseOneAttributes: [UInt16: String] = [
        1: "Encryption Algorithm", 2: "Hash Algorithm", 3: "Authentication Method", 4: "Group Description",
        5: "Group Type", 6: "Group Prime/Irreducible Polynomial", 7: "Group Generator One", 8: "Group Generator Two",
        9: "Group Curve A", 10: "Group Curve B", 11: "Life Type", 12: "Life Duration", 13: "PRF", 14: "Key Length",
        15: "Field Size", 16: "Group Order",
    ]

    /// RFC 2407 §4.5, RFC 4304 §4.
    private static let attributes: [UInt16: String] = [
        1: "SA Life Type", 2: "SA Life Duration", 3: "Group Description", 4: "Encapsulation Mode",
        5: "Authentication Algorithm", 6: "Key Length", 7: "Key Rounds", 8: "Compress Dictionary Size",
        9: "Compress Private Algorithm", 11: "Extended (64-bit) Sequence Number",
    ]

    package static func attributeName(_ type: UInt16, protocolID: UInt8) -> String? {
        switch protocolID {
        case protocolISAKMP: phaseOneAttributes[type]
        case 2...4: attributes[type]
        default: nil
        }
    }

    /// RFC 2407 §4.6.2.1.
    private static let identifications: [UInt8: String] = [
        1: "ID_IPV4_ADDR", 2: "ID_FQDN", 3: "ID_USER_FQDN", 4: "ID_IPV4_ADDR_SUBNET", 5: "ID_IPV6_ADDR",
        6: "ID_IPV6_ADDR_SUBNET", 7: "ID_IPV4_ADDR_RANGE", 8: "ID_IPV6_ADDR_RANGE", 9: "ID_DER_ASN1_DN",
        10: "ID_DER_ASN1_GN", 11: "ID_KEY_ID",
    ]

    package static func identificationName(_ type: UInt8) -> String? { identifications[type] }

    /// RFC 2407 §4.6.3.
    private static let notifications: [UInt16: String] = [
        24_576: "RESPONDER-LIFETIME", 24_577: "REPLAY-STATUS", 24_578: "INITIAL-CONTACT",
    ]

    package static func notificationName(_ type: UInt16) -> String? { notifications[type] }
}
