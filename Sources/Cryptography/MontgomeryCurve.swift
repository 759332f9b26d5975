internal import CLibcrypto
package import Primitives

/// X25519 and X448 (RFC 7748), as RFC 8031 uses them. Constant-time.
package enum MontgomeryCurve: Sendable {
    case x25519, x448

    /// The curve by its number; `nil` for other numbers.
    package static func find(_ group: KeyExchangeID) -> MontgomeryCurve? {
        switch group {
        case .curve25519: .x25519
        case .curve448: .x448
        default: nil
        }
    }

    /// Octets of private and public values and of shared secrets.
    package var octets: Int {
        switch self {
        case .x25519: 32
        case .x448: 56
        }
    }

    private var libraryID: Int32 {
        switch self {
        case .x25519: EVP_PKEY_X25519
        case .x448: EVP_PKEY_X448
        }
    }

    /// A private scalar; the function itself clamps it (RFC 7748 §5).
    package func makeScalar(_ randomness: inout Randomness) -> Secret { .random(octets, &randomness) }

    /// The public value of a scalar.
    package func publicValue(_ scalar: Secret) throws(CryptographyError) -> [UInt8] {
        guard scalar.count == octets else { throw .invalidKey }
        let key = scalar.withUnsafeBytes { bytes in
            EVP_PKEY_new_raw_private_key(
                libraryID, nil, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        }
        defer { EVP_PKEY_free(key) }
        var value = [UInt8](repeating: 0, count: octets)
        var count = octets
        guard let key, EVP_PKEY_get_raw_public_key(key, &value, &count) == 1, count == octets else {
            throw .libraryFailure("EVP_PKEY_get_raw_public_key")
        }
        return value
    }

    /// The shared secret; `nil` when `peer` has another length or forces the all-zero secret (RFC 7748 §6.1; RFC 8031
    /// §5 makes the check ours).
    package func sharedSecret(
        _ scalar: Secret, publicValue: [UInt8], peer: [UInt8]
    ) throws(CryptographyError) -> Secret? {
        guard scalar.count == octets, publicValue.count == octets else { throw .invalidKey }
        guard peer.count == octets else { return nil }
        let ours = try importPair(scalar, publicValue)
        defer { EVP_PKEY_free(ours) }
        let theirs = EVP_PKEY_new_raw_public_key(libraryID, nil, peer, peer.count)
        defer { EVP_PKEY_free(theirs) }
        let context = EVP_PKEY_CTX_new(ours, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let theirs, let context, EVP_PKEY_derive_init(context) == 1,
            EVP_PKEY_derive_set_peer_ex(context, theirs, 0) == 1  // Every string of the length is a public value.
        else { throw .libraryFailure("EVP_PKEY_derive_init") }
        let width = octets
        var derived = false
        let secret = Secret(count: width) { target in
            var count = width
            derived =
                EVP_PKEY_derive(context, target.baseAddress?.assumingMemoryBound(to: UInt8.self), &count) == 1
                && count == width
        }
        // libcrypto refuses the all-zero secret with an error of its own; the comparison is for versions that do not.
        guard derived, secret != Secret(count: width, fill: { _ in }) else {
            ERR_clear_error()
            return nil
        }
        return secret
    }

    /// A key pair as libcrypto's object. With the public half handed in, libcrypto need not compute it again, which
    /// would cost a third of the whole agreement.
    private func importPair(_ scalar: Secret, _ publicValue: [UInt8]) throws(CryptographyError) -> OpaquePointer {
        let context = EVP_PKEY_CTX_new_id(libraryID, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let context, EVP_PKEY_fromdata_init(context) == 1 else { throw .libraryFailure("EVP_PKEY_fromdata_init") }
        let privateName: StaticString = "priv"
        let publicName: StaticString = "pub"
        let pair: OpaquePointer? = scalar.withUnsafeBytes { secretBytes in
            publicValue.withUnsafeBytes { publicBytes in
                // SAFETY: the parameters only lend the octets and the names, which outlive the import; libcrypto
                // copies and does not write, although its signature is not const.
                var parameters = [
                    OSSL_PARAM_construct_octet_string(
                        UnsafeRawPointer(privateName.utf8Start).assumingMemoryBound(to: CChar.self),
                        UnsafeMutableRawPointer(mutating: secretBytes.baseAddress), secretBytes.count),
                    OSSL_PARAM_construct_octet_string(
                        UnsafeRawPointer(publicName.utf8Start).assumingMemoryBound(to: CChar.self),
                        UnsafeMutableRawPointer(mutating: publicBytes.baseAddress), publicBytes.count),
                    OSSL_PARAM_construct_end(),
                ]
                var pair: OpaquePointer?
                let imported = EVP_PKEY_fromdata(context, &pair, PARLEY_PKEY_KEYPAIR, &parameters)
                if imported != 1 {
                    EVP_PKEY_free(pair)
                    return nil
                }
                return pair
            }
        }
        guard let pair else { throw .libraryFailure("EVP_PKEY_fromdata") }
        return pair
    }
}
