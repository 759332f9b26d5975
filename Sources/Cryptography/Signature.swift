internal import CLibcrypto

/// How a digest is signed. What is signed is a digest already (HASH_I or HASH_R of RFC 2409 §5), and is not hashed again.
package enum SignatureScheme: Hashable, Sendable {
    /// The digest alone inside the padding of block type 1, "a private key encryption in PKCS #1 format" without the
    /// hash's object identifier (RFC 2409 §5.1).
    case rsa
    /// r followed by s (RFC 2409 §5.1).
    case dss
    /// r followed by s, each as long as the curve's field (RFC 4754 §4).
    case ecdsa(SignatureCurve)

    /// Whether keys of the kind sign this way.
    package func fits(_ kind: KeyKind) -> Bool {
        switch (self, kind) {
        case (.rsa, .rsa), (.dss, .dsa): true
        case (.ecdsa(let wanted), .ecdsa(let curve)): wanted == curve
        default: false
        }
    }
}

extension PrivateKey {
    /// A signature over a digest.
    package func sign(_ digest: [UInt8], _ scheme: SignatureScheme) throws(CryptographyError) -> [UInt8] {
        guard scheme.fits(kind) else { throw .invalidKey }
        let context = EVP_PKEY_CTX_new(handle.pointer, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let context, EVP_PKEY_sign_init(context) == 1 else { throw .libraryFailure("EVP_PKEY_sign_init") }
        try SignatureForm.prepare(context, scheme)
        var count = 0
        guard EVP_PKEY_sign(context, nil, &count, digest, digest.count) == 1 else {
            ERR_clear_error()
            throw .libraryFailure("EVP_PKEY_sign")
        }
        var signature = [UInt8](repeating: 0, count: count)
        guard EVP_PKEY_sign(context, &signature, &count, digest, digest.count) == 1 else {
            ERR_clear_error()
            throw .libraryFailure("EVP_PKEY_sign")
        }
        signature.removeLast(signature.count - count)
        return try SignatureForm.plain(signature, kind)
    }
}

extension PublicKey {
    /// Whether `signature` over `digest` holds. Never throws: whatever is wrong with a signature, it does not hold.
    package func verifies(_ signature: [UInt8], over digest: [UInt8], _ scheme: SignatureScheme) -> Bool {
        defer { ERR_clear_error() }
        guard scheme.fits(kind), let encoded = SignatureForm.encoded(signature, kind) else { return false }
        let context = EVP_PKEY_CTX_new(handle.pointer, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let context, EVP_PKEY_verify_init(context) == 1,
            (try? SignatureForm.prepare(context, scheme)) != nil
        else { return false }
        return EVP_PKEY_verify(context, encoded, encoded.count, digest, digest.count) == 1
    }
}

/// The two forms of a signature: what travels in IKE, and what libcrypto takes.
private enum SignatureForm {
    static func prepare(_ context: OpaquePointer, _ scheme: SignatureScheme) throws(CryptographyError) {
        // Without a digest set, libcrypto pads the octets themselves.
        guard scheme == .rsa else { return }
        guard EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 else {
            throw .libraryFailure("EVP_PKEY_CTX_set_rsa_padding")
        }
    }

    /// Octets of each half of a signature of two numbers; `nil` for RSA.
    private static func half(_ kind: KeyKind) -> Int? {
        switch kind {
        case .rsa, .ed25519, .ed448: nil
        case .dsa(let octets): octets
        case .ecdsa(let curve): curve.octets
        }
    }

    /// r | s from the DER of libcrypto.
    static func plain(_ signature: [UInt8], _ kind: KeyKind) throws(CryptographyError) -> [UInt8] {
        guard let half = half(kind) else { return signature }
        // SAFETY: the reader stays within the count, and the array outlives the call. The numbers belong to `parsed`.
        let parsed = signature.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return d2i_ECDSA_SIG(nil, &cursor, buffer.count)
        }
        guard let parsed else { throw .libraryFailure("d2i_ECDSA_SIG") }
        defer { ECDSA_SIG_free(parsed) }
        let r = try BigNumber(copying: ECDSA_SIG_get0_r(parsed))
        let s = try BigNumber(copying: ECDSA_SIG_get0_s(parsed))
        return try r.octets(half) + s.octets(half)
    }

    /// The DER of two numbers, which DSA and ECDSA share (RFC 3279 §2.2); `nil` for a wrong length.
    static func encoded(_ signature: [UInt8], _ kind: KeyKind) -> [UInt8]? {
        guard let half = half(kind) else { return signature }
        guard signature.count == 2 * half, let parsed = ECDSA_SIG_new() else { return nil }
        defer { ECDSA_SIG_free(parsed) }
        let r = BN_bin2bn(Array(signature[..<half]), Int32(half), nil)
        let s = BN_bin2bn(Array(signature[half...]), Int32(half), nil)
        guard ECDSA_SIG_set0(parsed, r, s) == 1 else {
            BN_free(r)
            BN_free(s)
            return nil
        }
        var encoded: UnsafeMutablePointer<UInt8>?
        let count = i2d_ECDSA_SIG(parsed, &encoded)
        defer { CRYPTO_free(encoded, nil, 0) }
        // SAFETY: libcrypto allocated `count` octets and hands them over.
        guard count > 0, let encoded else { return nil }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(count)))
    }
}
