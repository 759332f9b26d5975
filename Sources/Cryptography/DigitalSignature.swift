internal import CLibcrypto

/// A signature algorithm with all its parameters, as an AlgorithmIdentifier names it (RFC 3279, 4055, 5758, 8410).
package enum SignatureAlgorithm: Hashable, Sendable {
    /// RSASSA-PKCS1-v1_5 (RFC 8017 §8.2).
    case rsa(HashID)
    /// RSASSA-PSS with MGF1 over the same hash (RFC 8017 §8.1).
    case rsaPSS(HashID, saltOctets: Int)
    /// The signature is the DER of Ecdsa-Sig-Value (RFC 3279 §2.2.3).
    case ecdsa(HashID)
    /// DSA (FIPS 186-4), whose signature is the DER of Dss-Sig-Value (RFC 3279 §2.2.2): in old certificates and lists, and never in
    /// IKE's own signatures.
    case dsa(HashID)
    case ed25519
    case ed448

    /// `nil`: the algorithm signs the message itself.
    package var hash: HashID? {
        switch self {
        case .rsa(let hash), .rsaPSS(let hash, _), .ecdsa(let hash), .dsa(let hash): hash
        case .ed25519, .ed448: nil
        }
    }
}

extension SignatureAlgorithm: CustomStringConvertible {
    package var description: String {
        func name(_ hash: HashID) -> String {
            switch hash {
            case .md5: "MD5"
            case .sha1: "SHA-1"
            case .sha256: "SHA-256"
            case .sha384: "SHA-384"
            case .sha512: "SHA-512"
            default: "hash \(hash.rawValue)"
            }
        }
        return switch self {
        case .rsa(let hash): "RSA with \(name(hash))"
        case .rsaPSS(let hash, let salt): "RSA-PSS with \(name(hash)) and \(salt) octets of salt"
        case .ecdsa(let hash): "ECDSA with \(name(hash))"
        case .dsa(let hash): "DSA with \(name(hash))"
        case .ed25519: "Ed25519"
        case .ed448: "Ed448"
        }
    }
}

/// Sets up a context for a signature or its check.
enum SignatureContext {
    static func digest(_ algorithm: SignatureAlgorithm) throws(CryptographyError) -> OpaquePointer? {
        switch algorithm.hash {
        case nil: return nil
        case .md5: return EVP_md5()
        case .sha1: return EVP_sha1()
        case .sha256: return EVP_sha256()
        case .sha384: return EVP_sha384()
        case .sha512: return EVP_sha512()
        case .some(let hash): throw .unsupported("hash \(hash.rawValue)")
        }
    }

    /// Whether a key of libcrypto's number for its kind can sign with the algorithm.
    static func fits(_ algorithm: SignatureAlgorithm, _ kind: Int32) -> Bool {
        switch algorithm {
        case .rsa: kind == EVP_PKEY_RSA
        case .rsaPSS: kind == EVP_PKEY_RSA || kind == EVP_PKEY_RSA_PSS
        case .ecdsa: kind == EVP_PKEY_EC
        case .dsa: kind == EVP_PKEY_DSA
        case .ed25519: kind == EVP_PKEY_ED25519
        case .ed448: kind == EVP_PKEY_ED448
        }
    }

    static func prepare(_ context: OpaquePointer?, _ algorithm: SignatureAlgorithm) -> Bool {
        switch algorithm {
        case .rsa: EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1
        case .rsaPSS(_, let salt):
            EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
                && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, Int32(clamping: salt)) == 1
        case .ecdsa, .dsa, .ed25519, .ed448: true
        }
    }
}

/// What a key of a certificate is, and how strong.
package struct KeyDescription: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: Hashable, Sendable {
        case rsa
        /// A key that signs with RSASSA-PSS alone (RFC 4055 §3).
        case rsaPSS
        case ecdsa
        /// Of authorities alone; without its parameters it has no bits.
        case dsa
        case ed25519
        case ed448
    }

    package var kind: Kind
    /// Of the modulus or the curve's field.
    package var bits: Int

    package init(kind: Kind, bits: Int) {
        self.kind = kind
        self.bits = bits
    }

    package var description: String {
        switch kind {
        case .rsa: "RSA of \(bits) bits"
        case .rsaPSS: "RSA-PSS of \(bits) bits"
        case .ecdsa: "ECDSA of \(bits) bits"
        case .dsa: "DSA of \(bits) bits"
        case .ed25519: "Ed25519"
        case .ed448: "Ed448"
        }
    }
}

/// Signatures over messages by keys in SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
package enum DigitalSignature {
    /// Keys longer than this cost a stranger's victim too much time.
    private static let maximumModulusBits = 16_384

    /// Runs `body` with libcrypto's form of a key; `nil` where it cannot be read.
    private static func withKey<Result>(
        _ subjectPublicKeyInfo: [UInt8], _ body: (OpaquePointer) -> Result?
    ) -> Result? {
        defer { ERR_clear_error() }
        // SAFETY: the reader stays within the count that it is handed, and the array outlives the call.
        let key = subjectPublicKeyInfo.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return d2i_PUBKEY(nil, &cursor, buffer.count)
        }
        guard let key else { return nil }
        defer { EVP_PKEY_free(key) }
        return body(key)
    }

    /// What the key is; `nil` for one that is not used here.
    package static func describe(_ subjectPublicKeyInfo: [UInt8]) -> KeyDescription? {
        withKey(subjectPublicKeyInfo) { key in
            let bits = Int(EVP_PKEY_get_bits(key))
            guard bits <= maximumModulusBits else { return nil }
            return switch EVP_PKEY_get_base_id(key) {
            case EVP_PKEY_RSA: KeyDescription(kind: .rsa, bits: bits)
            case EVP_PKEY_RSA_PSS: KeyDescription(kind: .rsaPSS, bits: bits)
            case EVP_PKEY_EC: KeyDescription(kind: .ecdsa, bits: bits)
            case EVP_PKEY_DSA: KeyDescription(kind: .dsa, bits: max(bits, 0))
            case EVP_PKEY_ED25519: KeyDescription(kind: .ed25519, bits: bits)
            case EVP_PKEY_ED448: KeyDescription(kind: .ed448, bits: bits)
            default: nil
            }
        }
    }

    /// Whether `signature` is the key's over `message`. Never throws: whatever is wrong with one, it does not hold.
    package static func verifies(
        _ signature: [UInt8], over message: [UInt8], key subjectPublicKeyInfo: [UInt8], _ algorithm: SignatureAlgorithm
    ) -> Bool {
        withKey(subjectPublicKeyInfo) { key in
            guard SignatureContext.fits(algorithm, EVP_PKEY_get_base_id(key)),
                Int(EVP_PKEY_get_bits(key)) <= maximumModulusBits, let context = EVP_MD_CTX_new()
            else { return false }
            defer { EVP_MD_CTX_free(context) }
            // The context owns what it makes of the key.
            var keyContext: OpaquePointer?
            guard let digest = try? SignatureContext.digest(algorithm) ?? nil, algorithm.hash != nil else {
                guard algorithm.hash == nil, EVP_DigestVerifyInit(context, nil, nil, nil, key) == 1 else {
                    return false
                }
                return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
            }
            guard EVP_DigestVerifyInit(context, &keyContext, digest, nil, key) == 1,
                SignatureContext.prepare(keyContext, algorithm)
            else { return false }
            return EVP_DigestVerify(context, signature, signature.count, message, message.count) == 1
        } ?? false
    }
}
