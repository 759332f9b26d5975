internal import CLibcrypto

/// What kind of key is to be made.
package enum KeyGenerationKind: Hashable, Sendable {
    /// With the bits of its modulus.
    case rsa(Int)
    case ecdsa(SignatureCurve)
    case ed25519
    case ed448
}

extension PrivateKey {
    /// Moduli that are made; shorter ones are refused by everybody soon.
    package static let generatedModulusBits = 2048...8192

    /// Makes a key with libcrypto's own generator.
    package static func make(_ kind: KeyGenerationKind) throws(CryptographyError) -> PrivateKey {
        defer { ERR_clear_error() }
        let type: Int32
        switch kind {
        case .rsa(let bits):
            guard generatedModulusBits.contains(bits) else { throw .unsupported("RSA of \(bits) bits") }
            type = EVP_PKEY_RSA
        case .ecdsa: type = EVP_PKEY_EC
        case .ed25519: type = EVP_PKEY_ED25519
        case .ed448: type = EVP_PKEY_ED448
        }
        let context = EVP_PKEY_CTX_new_id(type, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let context, EVP_PKEY_keygen_init(context) == 1 else { throw .libraryFailure("EVP_PKEY_keygen_init") }
        switch kind {
        case .rsa(let bits):
            guard EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(bits)) == 1 else {
                throw .libraryFailure("EVP_PKEY_CTX_set_rsa_keygen_bits")
            }
        case .ecdsa(let curve):
            let identifier = [SignatureCurve.p256: NID_X9_62_prime256v1, .p384: NID_secp384r1, .p521: NID_secp521r1]
            guard let number = identifier[curve], EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, number) == 1 else {
                throw .libraryFailure("EVP_PKEY_CTX_set_ec_paramgen_curve_nid")
            }
        case .ed25519, .ed448: break
        }
        var key: OpaquePointer?
        guard EVP_PKEY_keygen(context, &key) == 1, let key else { throw .libraryFailure("EVP_PKEY_keygen") }
        do throws(KeyDefect) {
            return try PrivateKey(adopting: KeyHandle(key))
        } catch {
            throw .libraryFailure("a key that was just made cannot be used")
        }
    }

    /// The key in PEM: PKCS #8 (RFC 5958), encrypted with AES-256 and PBKDF2 where there is a passphrase. For a file that
    /// its owner alone may read.
    package func pem(passphrase: Secret? = nil) throws(CryptographyError) -> Secret {
        let sink = BIO_new(BIO_s_secmem())
        defer { BIO_free(sink) }
        guard let sink else { throw .libraryFailure("BIO_new") }
        let count = Int32(clamping: passphrase?.count ?? 0)
        let cipher = passphrase == nil ? nil : EVP_aes_256_cbc()
        let written = (passphrase ?? Secret([UInt8]())).withUnsafeBytes { phrase in
            // SAFETY: libcrypto reads `count` characters of the phrase, for the time of the call.
            PEM_write_bio_PKCS8PrivateKey(
                sink, handle.pointer, cipher, phrase.baseAddress?.assumingMemoryBound(to: CChar.self), count, nil, nil)
        }
        guard written == 1 else { throw .libraryFailure("PEM_write_bio_PKCS8PrivateKey") }
        return Secret(count: Int(BIO_ctrl_pending(sink))) { target in
            // SAFETY: the target has as many octets as are pending.
            _ = BIO_read(sink, target.baseAddress, Int32(clamping: target.count))
        }
    }

    /// The algorithm to sign certificates and messages with: a hash as strong as the key.
    package var signatureAlgorithm: SignatureAlgorithm? {
        switch DigitalSignature.describe(publicKey.subjectPublicKeyInfo) {
        case .some(let key):
            switch key.kind {
            case .rsa: .rsa(.sha256)
            case .rsaPSS: .rsaPSS(.sha256, saltOctets: 32)
            case .ecdsa: .ecdsa(key.bits > 384 ? .sha512 : key.bits > 256 ? .sha384 : .sha256)
            case .dsa: nil
            case .ed25519: .ed25519
            case .ed448: .ed448
            }
        case nil: nil
        }
    }

    /// The signature over a message. ECDSA's is the DER of Ecdsa-Sig-Value (RFC 3279 §2.2.3).
    package func sign(
        message: [UInt8], _ algorithm: SignatureAlgorithm
    ) throws(CryptographyError) -> [UInt8] {
        defer { ERR_clear_error() }
        guard SignatureContext.fits(algorithm, EVP_PKEY_get_base_id(handle.pointer)) else { throw .invalidKey }
        let context = EVP_MD_CTX_new()
        defer { EVP_MD_CTX_free(context) }
        // The context owns what it makes of the key.
        var keyContext: OpaquePointer?
        let digest = try SignatureContext.digest(algorithm)
        guard let context, EVP_DigestSignInit(context, &keyContext, digest, nil, handle.pointer) == 1,
            SignatureContext.prepare(keyContext, algorithm)
        else { throw .libraryFailure("EVP_DigestSignInit") }
        var count = 0
        guard EVP_DigestSign(context, nil, &count, message, message.count) == 1 else {
            throw .libraryFailure("EVP_DigestSign")
        }
        var signature = [UInt8](repeating: 0, count: count)
        guard EVP_DigestSign(context, &signature, &count, message, message.count) == 1 else {
            throw .libraryFailure("EVP_DigestSign")
        }
        return Array(signature.prefix(count))
    }
}
