internal import CLibcrypto

extension PrivateKey {
    /// A fresh key from libcrypto's own source of randomness.
    ///
    /// - Throws: `unsupported` for sizes that are not made here.
    package static func generate(_ kind: KeyKind) throws(CryptographyError) -> PrivateKey {
        var key: OpaquePointer?
        switch kind {
        case .rsa(let octets):
            guard KeyHandle.modulusBits.contains(Int32(clamping: octets * 8)) else { throw .unsupported("\(kind)") }
            key = try generate(EVP_PKEY_RSA) { context in
                EVP_PKEY_CTX_set_rsa_keygen_bits(context, Int32(octets * 8)) == 1
            }
        case .ecdsa(let curve):
            let name = [SignatureCurve.p256: "P-256", .p384: "P-384", .p521: "P-521"][curve] ?? ""
            key = try generate(EVP_PKEY_EC) { EVP_PKEY_CTX_set_group_name($0, name) == 1 }
        case .dsa(let octets):
            guard let parameters = try dsaParameters(orderBits: Int32(octets * 8)) else {
                throw .unsupported("\(kind)")
            }
            defer { EVP_PKEY_free(parameters) }
            let context = EVP_PKEY_CTX_new(parameters, nil)
            defer { EVP_PKEY_CTX_free(context) }
            guard let context, EVP_PKEY_keygen_init(context) == 1, EVP_PKEY_generate(context, &key) == 1 else {
                throw .libraryFailure("EVP_PKEY_generate")
            }
        case .ed25519, .ed448: throw .unsupported("\(kind)")
        }
        guard let key else { throw .libraryFailure("EVP_PKEY_generate") }
        return try adopt(key)
    }

    /// Through its encoding, so that it is checked like any other key.
    private static func adopt(_ key: OpaquePointer) throws(CryptographyError) -> PrivateKey {
        defer { EVP_PKEY_free(key) }
        let count = i2d_PrivateKey(key, nil)
        guard count > 0 else { throw .libraryFailure("i2d_PrivateKey") }
        let encoded = Secret(count: Int(count)) { target in
            // SAFETY: libcrypto writes as many octets as it has just counted.
            var cursor = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
            _ = i2d_PrivateKey(key, &cursor)
        }
        do throws(KeyDefect) { return try PrivateKey(parsing: encoded) } catch {
            throw .libraryFailure("a fresh key is unreadable")
        }
    }

    private static func generate(
        _ type: Int32, _ configure: (OpaquePointer) -> Bool
    ) throws(CryptographyError) -> OpaquePointer? {
        let context = EVP_PKEY_CTX_new_id(type, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var key: OpaquePointer?
        guard let context, EVP_PKEY_keygen_init(context) == 1, configure(context),
            EVP_PKEY_generate(context, &key) == 1
        else {
            ERR_clear_error()
            throw .libraryFailure("EVP_PKEY_generate")
        }
        return key
    }

    /// A modulus of 1024 bits with an order of 160, or of 2048 bits with a longer one (FIPS 186-4 §4.2).
    private static func dsaParameters(orderBits: Int32) throws(CryptographyError) -> OpaquePointer? {
        guard [160, 224, 256].contains(orderBits) else { return nil }
        let context = EVP_PKEY_CTX_new_id(EVP_PKEY_DSA, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var parameters: OpaquePointer?
        guard let context, EVP_PKEY_paramgen_init(context) == 1,
            EVP_PKEY_CTX_set_dsa_paramgen_bits(context, orderBits == 160 ? 1024 : 2048) == 1,
            EVP_PKEY_CTX_set_dsa_paramgen_q_bits(context, orderBits) == 1,
            EVP_PKEY_paramgen(context, &parameters) == 1
        else {
            ERR_clear_error()
            throw .libraryFailure("EVP_PKEY_paramgen")
        }
        return parameters
    }
}
