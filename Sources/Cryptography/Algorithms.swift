/// An encryption algorithm by its IKEv2 transform number (IANA "Transform Type 1"; RFC 7296 §3.3.2). Unknown numbers are
/// kept.
package struct EncryptionID: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let tripleDES = EncryptionID(rawValue: 3)
    package static let null = EncryptionID(rawValue: 11)
    package static let aesCBC = EncryptionID(rawValue: 12)
    package static let aesCTR = EncryptionID(rawValue: 13)
    package static let aesCCM8 = EncryptionID(rawValue: 14)
    package static let aesCCM12 = EncryptionID(rawValue: 15)
    package static let aesCCM16 = EncryptionID(rawValue: 16)
    package static let aesGCM8 = EncryptionID(rawValue: 18)
    package static let aesGCM12 = EncryptionID(rawValue: 19)
    package static let aesGCM16 = EncryptionID(rawValue: 20)
    /// ENCR_NULL_AUTH_AES_GMAC (RFC 4543); IKEv1 numbers it 23.
    package static let aesGMAC = EncryptionID(rawValue: 21)
    package static let camelliaCBC = EncryptionID(rawValue: 23)
    package static let chacha20Poly1305 = EncryptionID(rawValue: 28)
    // Implicit IV (RFC 8750 §4): the same ciphers, and no IV in the packet.
    package static let aesCCM8ImplicitIV = EncryptionID(rawValue: 29)
    package static let aesGCM16ImplicitIV = EncryptionID(rawValue: 30)
    package static let chacha20Poly1305ImplicitIV = EncryptionID(rawValue: 31)

    /// The algorithm that computes this one; another where this one only leaves the IV out of the packet.
    package var base: EncryptionID {
        switch self {
        case .aesCCM8ImplicitIV: .aesCCM8
        case .aesGCM16ImplicitIV: .aesGCM16
        case .chacha20Poly1305ImplicitIV: .chacha20Poly1305
        default: self
        }
    }

    /// Whether the IV is the packet's sequence number, 64 bits of it, and does not travel (RFC 8750 §3).
    package var hasImplicitIV: Bool { base != self }

    /// Whether the algorithm authenticates too, so that no integrity transform goes with it (RFC 5282, RFC 7634).
    package var isAEAD: Bool {
        switch base {
        case .aesCCM8, .aesCCM12, .aesCCM16, .aesGCM8, .aesGCM12, .aesGCM16, .aesGMAC, .chacha20Poly1305: true
        default: false
        }
    }

    /// Whether the algorithm hides the text.
    package var isConfidential: Bool { self != .null && self != .aesGMAC }

    /// Whether the algorithm may protect IKE messages: not those that hide nothing (RFC 7296 §3.14, RFC 4543 §5), and not
    /// those whose IV is ESP's sequence number, which IKE has not (RFC 8750 §4).
    package var protectsIKE: Bool { isConfidential && !hasImplicitIV }

    /// Whether a Key Length attribute goes with the transform (RFC 7296 §3.3.5).
    package var hasVariableKey: Bool {
        switch base {
        case .tripleDES, .null, .chacha20Poly1305: false
        default: true
        }
    }

    /// Octets of the IV that travels in each packet or message.
    package var ivOctets: Int { hasImplicitIV ? 0 : nonceIVOctets }

    /// Octets of the IV that the cipher is given, whether it travels or not.
    package var nonceIVOctets: Int {
        switch self {
        case .null: 0
        case .aesCBC, .camelliaCBC: 16
        default: 8
        }
    }

    /// Octets to which plaintext is padded: the cipher's block, or 1 where any length will do (ESP rounds to 4 itself).
    package var blockOctets: Int {
        switch self {
        case .aesCBC, .camelliaCBC: 16
        case .tripleDES: 8
        default: 1
        }
    }

    /// Octets of the integrated check value of an AEAD; 0 for others.
    package var tagOctets: Int {
        switch base {
        case .aesCCM8, .aesGCM8: 8
        case .aesCCM12, .aesGCM12: 12
        case .aesCCM16, .aesGCM16, .aesGMAC, .chacha20Poly1305: 16
        default: 0
        }
    }

    /// Octets of salt that are derived behind the key and never sent (RFC 4106 §4, RFC 4309 §4, RFC 4543 §5.4, RFC
    /// 7634 §2).
    package var saltOctets: Int {
        switch base {
        case .aesGCM8, .aesGCM12, .aesGCM16, .aesGMAC, .chacha20Poly1305, .aesCTR: 4
        case .aesCCM8, .aesCCM12, .aesCCM16: 3
        default: 0
        }
    }
}

/// An encryption algorithm with its key length, as a proposal names it.
package struct Encryption: Hashable, Sendable {
    package var id: EncryptionID
    /// Bits of the cipher key, salt excluded; 0 where the algorithm has only one length.
    package var keyBits: Int

    package init(_ id: EncryptionID, keyBits: Int = 0) {
        self.id = id
        self.keyBits = keyBits
    }

    /// Octets of the cipher key alone.
    package var keyOctets: Int {
        switch id.base {
        case .chacha20Poly1305: 32
        case .tripleDES: 24
        case .null: 0
        default: keyBits / 8
        }
    }

    /// Octets of key material that key derivation yields for this algorithm: key, then salt.
    package var keyMaterialOctets: Int { keyOctets + id.saltOctets }
}

/// An integrity algorithm by its IKEv2 transform number (IANA "Transform Type 3").
package struct IntegrityID: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let none = IntegrityID(rawValue: 0)
    package static let hmacMD5_96 = IntegrityID(rawValue: 1)
    package static let hmacSHA1_96 = IntegrityID(rawValue: 2)
    package static let aesXCBC_96 = IntegrityID(rawValue: 5)
    package static let aesCMAC_96 = IntegrityID(rawValue: 8)
    package static let hmacSHA256_128 = IntegrityID(rawValue: 12)
    package static let hmacSHA384_192 = IntegrityID(rawValue: 13)
    package static let hmacSHA512_256 = IntegrityID(rawValue: 14)

    /// Octets of key (RFC 4868 §2.1.1: as long as the hash's output).
    package var keyOctets: Int {
        switch self {
        case .hmacMD5_96, .aesXCBC_96, .aesCMAC_96: 16
        case .hmacSHA1_96: 20
        case .hmacSHA256_128: 32
        case .hmacSHA384_192: 48
        case .hmacSHA512_256: 64
        default: 0
        }
    }

    /// Octets of check value that travel.
    package var tagOctets: Int {
        switch self {
        case .hmacMD5_96, .hmacSHA1_96, .aesXCBC_96, .aesCMAC_96: 12
        case .hmacSHA256_128: 16
        case .hmacSHA384_192: 24
        case .hmacSHA512_256: 32
        default: 0
        }
    }
}

/// A pseudorandom function by its IKEv2 transform number (IANA "Transform Type 2").
package struct PRFID: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let hmacMD5 = PRFID(rawValue: 1)
    package static let hmacSHA1 = PRFID(rawValue: 2)
    package static let aesXCBC = PRFID(rawValue: 4)
    package static let hmacSHA256 = PRFID(rawValue: 5)
    package static let hmacSHA384 = PRFID(rawValue: 6)
    package static let hmacSHA512 = PRFID(rawValue: 7)
    package static let aesCMAC = PRFID(rawValue: 8)

    /// Octets of output, which is also the preferred key length (RFC 7296 §2.13).
    package var outputOctets: Int {
        switch self {
        case .hmacSHA1: 20
        case .hmacSHA256: 32
        case .hmacSHA384: 48
        case .hmacSHA512: 64
        default: 16
        }
    }

    /// Octets of key, where an older specification fixed them: of each nonce only half as many make up SKEYSEED's key
    /// (RFC 7296 §2.14).
    package var fixedKeyOctets: Int? {
        switch self {
        case .aesXCBC, .aesCMAC: 16
        default: nil
        }
    }

    /// The hash under an HMAC; `nil` for the AES-based functions and unknown numbers.
    package var hash: HashID? {
        switch self {
        case .hmacMD5: .md5
        case .hmacSHA1: .sha1
        case .hmacSHA256: .sha256
        case .hmacSHA384: .sha384
        case .hmacSHA512: .sha512
        default: nil
        }
    }
}

/// A hash function by IKEv1's number (RFC 2409 Appendix A, "Hash Algorithm").
package struct HashID: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let md5 = HashID(rawValue: 1)
    package static let sha1 = HashID(rawValue: 2)
    package static let sha256 = HashID(rawValue: 4)
    package static let sha384 = HashID(rawValue: 5)
    package static let sha512 = HashID(rawValue: 6)

    /// The HMAC over this hash (RFC 2409 §4: the default prf); `nil` for unknown numbers.
    package var prf: PRFID? {
        switch self {
        case .md5: .hmacMD5
        case .sha1: .hmacSHA1
        case .sha256: .hmacSHA256
        case .sha384: .hmacSHA384
        case .sha512: .hmacSHA512
        default: nil
        }
    }
}

/// A key exchange method by its number, which IKEv1's group description and IKEv2's "Transform Type 4" share.
package struct KeyExchangeID: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let none = KeyExchangeID(rawValue: 0)
    package static let modp768 = KeyExchangeID(rawValue: 1)
    package static let modp1024 = KeyExchangeID(rawValue: 2)
    package static let ec2n155 = KeyExchangeID(rawValue: 3)
    package static let ec2n185 = KeyExchangeID(rawValue: 4)
    package static let modp1536 = KeyExchangeID(rawValue: 5)
    package static let modp2048 = KeyExchangeID(rawValue: 14)
    package static let modp3072 = KeyExchangeID(rawValue: 15)
    package static let modp4096 = KeyExchangeID(rawValue: 16)
    package static let modp6144 = KeyExchangeID(rawValue: 17)
    package static let modp8192 = KeyExchangeID(rawValue: 18)
    package static let ecp256 = KeyExchangeID(rawValue: 19)
    package static let ecp384 = KeyExchangeID(rawValue: 20)
    package static let ecp521 = KeyExchangeID(rawValue: 21)
    package static let modp1024s160 = KeyExchangeID(rawValue: 22)
    package static let modp2048s224 = KeyExchangeID(rawValue: 23)
    package static let modp2048s256 = KeyExchangeID(rawValue: 24)
    package static let ecp192 = KeyExchangeID(rawValue: 25)
    package static let ecp224 = KeyExchangeID(rawValue: 26)
    package static let brainpool224 = KeyExchangeID(rawValue: 27)
    package static let brainpool256 = KeyExchangeID(rawValue: 28)
    package static let brainpool384 = KeyExchangeID(rawValue: 29)
    package static let brainpool512 = KeyExchangeID(rawValue: 30)
    package static let curve25519 = KeyExchangeID(rawValue: 31)
    package static let curve448 = KeyExchangeID(rawValue: 32)
    // Version 2 alone: IKEv1's registry ends before (RFC 9370 and IANA's "Transform Type 4").
    package static let mlkem512 = KeyExchangeID(rawValue: 35)
    package static let mlkem768 = KeyExchangeID(rawValue: 36)
    package static let mlkem1024 = KeyExchangeID(rawValue: 37)

    /// Whether it is a key encapsulation: the responder's value depends on the initiator's.
    package var isEncapsulation: Bool { (35...37).contains(rawValue) }
}

/// What an algorithm is called: by the keyword that `swanctl.conf` proposals use, and by the name that `list-sas` prints.
package struct AlgorithmName: Hashable, Sendable {
    package let keyword: String
    package let listed: String
}

extension Encryption {
    /// `aes256gcm16` and `AES_GCM_16`; unknown numbers read `encr-N`.
    package var name: AlgorithmName {
        switch id {
        case .tripleDES: AlgorithmName(keyword: "3des", listed: "3DES_CBC")
        case .null: AlgorithmName(keyword: "null", listed: "NULL")
        case .aesCBC: AlgorithmName(keyword: "aes\(keyBits)", listed: "AES_CBC")
        case .aesCTR: AlgorithmName(keyword: "aes\(keyBits)ctr", listed: "AES_CTR")
        case .aesCCM8: AlgorithmName(keyword: "aes\(keyBits)ccm8", listed: "AES_CCM_8")
        case .aesCCM12: AlgorithmName(keyword: "aes\(keyBits)ccm12", listed: "AES_CCM_12")
        case .aesCCM16: AlgorithmName(keyword: "aes\(keyBits)ccm16", listed: "AES_CCM_16")
        case .aesGCM8: AlgorithmName(keyword: "aes\(keyBits)gcm8", listed: "AES_GCM_8")
        case .aesGCM12: AlgorithmName(keyword: "aes\(keyBits)gcm12", listed: "AES_GCM_12")
        case .aesGCM16: AlgorithmName(keyword: "aes\(keyBits)gcm16", listed: "AES_GCM_16")
        case .aesGMAC: AlgorithmName(keyword: "aes\(keyBits)gmac", listed: "NULL_AES_GMAC")
        case .camelliaCBC: AlgorithmName(keyword: "camellia\(keyBits)", listed: "CAMELLIA_CBC")
        case .chacha20Poly1305: AlgorithmName(keyword: "chacha20poly1305", listed: "CHACHA20_POLY1305")
        case .aesCCM8ImplicitIV: AlgorithmName(keyword: "aes\(keyBits)ccm8iiv", listed: "AES_CCM_8_IIV")
        case .aesGCM16ImplicitIV: AlgorithmName(keyword: "aes\(keyBits)gcm16iiv", listed: "AES_GCM_16_IIV")
        case .chacha20Poly1305ImplicitIV:
            AlgorithmName(keyword: "chacha20poly1305iiv", listed: "CHACHA20_POLY1305_IIV")
        default: AlgorithmName(keyword: "encr-\(id.rawValue)", listed: "ENCR_\(id.rawValue)")
        }
    }
}

extension IntegrityID {
    package var name: AlgorithmName {
        switch self {
        case .none: AlgorithmName(keyword: "none", listed: "NONE")
        case .hmacMD5_96: AlgorithmName(keyword: "md5", listed: "HMAC_MD5_96")
        case .hmacSHA1_96: AlgorithmName(keyword: "sha1", listed: "HMAC_SHA1_96")
        case .aesXCBC_96: AlgorithmName(keyword: "aesxcbc", listed: "AES_XCBC_96")
        case .aesCMAC_96: AlgorithmName(keyword: "aescmac", listed: "AES_CMAC_96")
        case .hmacSHA256_128: AlgorithmName(keyword: "sha256", listed: "HMAC_SHA2_256_128")
        case .hmacSHA384_192: AlgorithmName(keyword: "sha384", listed: "HMAC_SHA2_384_192")
        case .hmacSHA512_256: AlgorithmName(keyword: "sha512", listed: "HMAC_SHA2_512_256")
        default: AlgorithmName(keyword: "integ-\(rawValue)", listed: "INTEG_\(rawValue)")
        }
    }
}

extension PRFID {
    package var name: AlgorithmName {
        switch self {
        case .hmacMD5: AlgorithmName(keyword: "prfmd5", listed: "PRF_HMAC_MD5")
        case .hmacSHA1: AlgorithmName(keyword: "prfsha1", listed: "PRF_HMAC_SHA1")
        case .aesXCBC: AlgorithmName(keyword: "prfaesxcbc", listed: "PRF_AES128_XCBC")
        case .hmacSHA256: AlgorithmName(keyword: "prfsha256", listed: "PRF_HMAC_SHA2_256")
        case .hmacSHA384: AlgorithmName(keyword: "prfsha384", listed: "PRF_HMAC_SHA2_384")
        case .hmacSHA512: AlgorithmName(keyword: "prfsha512", listed: "PRF_HMAC_SHA2_512")
        case .aesCMAC: AlgorithmName(keyword: "prfaescmac", listed: "PRF_AES128_CMAC")
        default: AlgorithmName(keyword: "prf-\(rawValue)", listed: "PRF_\(rawValue)")
        }
    }
}

extension KeyExchangeID {
    package var name: AlgorithmName {
        switch self {
        case .none: AlgorithmName(keyword: "none", listed: "NONE")
        case .modp768: AlgorithmName(keyword: "modp768", listed: "MODP_768")
        case .modp1024: AlgorithmName(keyword: "modp1024", listed: "MODP_1024")
        case .ec2n155: AlgorithmName(keyword: "ec2n155", listed: "EC2N_155")
        case .ec2n185: AlgorithmName(keyword: "ec2n185", listed: "EC2N_185")
        case .modp1536: AlgorithmName(keyword: "modp1536", listed: "MODP_1536")
        case .modp2048: AlgorithmName(keyword: "modp2048", listed: "MODP_2048")
        case .modp3072: AlgorithmName(keyword: "modp3072", listed: "MODP_3072")
        case .modp4096: AlgorithmName(keyword: "modp4096", listed: "MODP_4096")
        case .modp6144: AlgorithmName(keyword: "modp6144", listed: "MODP_6144")
        case .modp8192: AlgorithmName(keyword: "modp8192", listed: "MODP_8192")
        case .ecp256: AlgorithmName(keyword: "ecp256", listed: "ECP_256")
        case .ecp384: AlgorithmName(keyword: "ecp384", listed: "ECP_384")
        case .ecp521: AlgorithmName(keyword: "ecp521", listed: "ECP_521")
        case .modp1024s160: AlgorithmName(keyword: "modp1024s160", listed: "MODP_1024_160")
        case .modp2048s224: AlgorithmName(keyword: "modp2048s224", listed: "MODP_2048_224")
        case .modp2048s256: AlgorithmName(keyword: "modp2048s256", listed: "MODP_2048_256")
        case .ecp192: AlgorithmName(keyword: "ecp192", listed: "ECP_192")
        case .ecp224: AlgorithmName(keyword: "ecp224", listed: "ECP_224")
        case .brainpool224: AlgorithmName(keyword: "ecp224bp", listed: "ECP_224_BP")
        case .brainpool256: AlgorithmName(keyword: "ecp256bp", listed: "ECP_256_BP")
        case .brainpool384: AlgorithmName(keyword: "ecp384bp", listed: "ECP_384_BP")
        case .brainpool512: AlgorithmName(keyword: "ecp512bp", listed: "ECP_512_BP")
        case .curve25519: AlgorithmName(keyword: "x25519", listed: "CURVE_25519")
        case .curve448: AlgorithmName(keyword: "x448", listed: "CURVE_448")
        case .mlkem512: AlgorithmName(keyword: "mlkem512", listed: "ML_KEM_512")
        case .mlkem768: AlgorithmName(keyword: "mlkem768", listed: "ML_KEM_768")
        case .mlkem1024: AlgorithmName(keyword: "mlkem1024", listed: "ML_KEM_1024")
        // Groups that two ends agreed on for themselves (RFC 2409 Appendix A).
        case let group where group.rawValue >= 32_768:
            AlgorithmName(keyword: "group\(group.rawValue)", listed: "GROUP_\(group.rawValue)")
        default: AlgorithmName(keyword: "ke-\(rawValue)", listed: "KE_\(rawValue)")
        }
    }
}
