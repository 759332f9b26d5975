/// IKEv2's transforms (IANA "Internet Key Exchange Version 2 Parameters").
enum TransformNames {
    static let types: [UInt8: String] = [
        1: "Encryption", 2: "Pseudorandom function", 3: "Integrity", 4: "Key exchange",
        5: "Extended sequence numbers", 6: "Additional key exchange 1", 7: "Additional key exchange 2",
        8: "Additional key exchange 3", 9: "Additional key exchange 4", 10: "Additional key exchange 5",
        11: "Additional key exchange 6", 12: "Additional key exchange 7", 13: "Key wrap",
        14: "Group controller authentication",
    ]

    static func of(type: UInt8, _ number: UInt16) -> String {
        let name: String? =
            switch type {
            case 1: encryption[number]
            case 2: prf[number]
            case 3: integrity[number]
            case 4, 6...12: groups[number]
            case 5: [0: "no", 1: "yes"][number]
            default: nil
            }
        return name ?? "unknown (\(number))"
    }

    static let encryption: [UInt16: String] = [
        1: "DES-IV64", 2: "DES", 3: "3DES", 4: "RC5", 5: "IDEA", 6: "CAST", 7: "Blowfish", 8: "3IDEA",
        9: "DES-IV32", 11: "NULL", 12: "AES-CBC", 13: "AES-CTR", 14: "AES-CCM-8", 15: "AES-CCM-12",
        16: "AES-CCM-16", 18: "AES-GCM-8", 19: "AES-GCM-12", 20: "AES-GCM-16", 21: "NULL-AUTH-AES-GMAC",
        23: "Camellia-CBC", 24: "Camellia-CTR", 25: "Camellia-CCM-8", 26: "Camellia-CCM-12",
        27: "Camellia-CCM-16", 28: "ChaCha20-Poly1305", 29: "AES-CCM-8-IIV", 30: "AES-GCM-16-IIV",
        31: "ChaCha20-Poly1305-IIV", 32: "Kuznyechik-MGM-KTREE", 33: "Magma-MGM-KTREE",
        34: "Kuznyechik-MGM-MAC-KTREE", 35: "Magma-MGM-MAC-KTREE",
    ]

    static let prf: [UInt16: String] = [
        1: "HMAC-MD5", 2: "HMAC-SHA1", 3: "HMAC-Tiger", 4: "AES128-XCBC", 5: "HMAC-SHA2-256", 6: "HMAC-SHA2-384",
        7: "HMAC-SHA2-512", 8: "AES128-CMAC", 9: "HMAC-Streebog-512",
    ]

    static let integrity: [UInt16: String] = [
        0: "none", 1: "HMAC-MD5-96", 2: "HMAC-SHA1-96", 3: "DES-MAC", 4: "KPDK-MD5", 5: "AES-XCBC-96",
        6: "HMAC-MD5-128", 7: "HMAC-SHA1-160", 8: "AES-CMAC-96", 9: "AES-128-GMAC", 10: "AES-192-GMAC",
        11: "AES-256-GMAC", 12: "HMAC-SHA2-256-128", 13: "HMAC-SHA2-384-192", 14: "HMAC-SHA2-512-256",
    ]

    static let groups: [UInt16: String] = [
        0: "none", 1: "MODP-768", 2: "MODP-1024", 3: "EC2N-155", 4: "EC2N-185", 5: "MODP-1536", 6: "EC2N-163 random",
        7: "EC2N-163 Koblitz", 8: "EC2N-283 random", 9: "EC2N-283 Koblitz", 10: "EC2N-409 random",
        11: "EC2N-409 Koblitz", 12: "EC2N-571 random", 13: "EC2N-571 Koblitz", 14: "MODP-2048",
        15: "MODP-3072", 16: "MODP-4096", 17: "MODP-6144", 18: "MODP-8192", 19: "ECP-256", 20: "ECP-384",
        21: "ECP-521", 22: "MODP-1024 with 160-bit subgroup", 23: "MODP-2048 with 224-bit subgroup",
        24: "MODP-2048 with 256-bit subgroup", 25: "ECP-192", 26: "ECP-224", 27: "Brainpool-224",
        28: "Brainpool-256", 29: "Brainpool-384", 30: "Brainpool-512", 31: "Curve25519", 32: "Curve448",
        33: "GOST-256", 34: "GOST-512", 35: "ML-KEM-512", 36: "ML-KEM-768", 37: "ML-KEM-1024",
    ]
}

/// Security protocols (RFC 2407 §4.4.1, RFC 7296 §3.3.1).
enum ProtocolNames {
    static func of(_ number: UInt8, isVersion2: Bool) -> String {
        let names: [UInt8: String] =
            isVersion2
            ? [0: "none", 1: "IKE", 2: "AH", 3: "ESP", 4: "FC ESP header", 5: "FC CT authentication", 6: "GIKE update"]
            : [0: "none", 1: "ISAKMP", 2: "AH", 3: "ESP", 4: "IPComp", 5: "GIGABEAM"]
        return names[number] ?? "unknown (\(number))"
    }
}

/// Identification types (RFC 2407 §4.6.2.1, RFC 7296 §3.5). Both versions number them alike up to 11; 12 is a list in
/// version 1 (RFC 3554 §3) and a Fibre Channel name in version 2 (RFC 4595 §4.4), which alone has 13 (RFC 7619 §2).
enum IdentityNames {
    static func of(_ kind: UInt8, isVersion2: Bool) -> String {
        let own: [UInt8: String] = isVersion2 ? [12: "FC name", 13: "null"] : [12: "list"]
        let names: [UInt8: String] = [
            1: "IPv4 address", 2: "FQDN", 3: "e-mail address (USER_FQDN)", 4: "IPv4 subnet", 5: "IPv6 address",
            6: "IPv6 subnet", 7: "IPv4 range", 8: "IPv6 range", 9: "DER distinguished name", 10: "DER general name",
            11: "key ID",
        ]
        return names[kind] ?? own[kind] ?? "unknown (\(kind))"
    }
}

/// Certificate encodings (RFC 2408 §3.9, RFC 7296 §3.6).
enum CertificateNames {
    static func of(_ encoding: UInt8) -> String {
        let names: [UInt8: String] = [
            0: "none", 1: "PKCS #7 wrapped X.509", 2: "PGP", 3: "DNS signed key", 4: "X.509 for signature",
            5: "X.509 for key exchange", 6: "Kerberos tokens", 7: "CRL", 8: "ARL", 9: "SPKI",
            10: "X.509 attribute", 11: "raw RSA key", 12: "hash and URL of X.509", 13: "hash and URL of bundle",
            14: "OCSP content", 15: "raw public key",
        ]
        return names[encoding] ?? "unknown (\(encoding))"
    }
}
