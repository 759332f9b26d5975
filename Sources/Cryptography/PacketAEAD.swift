internal import CPacketAEAD

/// An AEAD over ESP packets in the library that is fastest for it on this processor, keyed once: one SA, one direction, one
/// thread.
final class PacketAEAD {
    // SAFETY: made in init, freed in deinit. The class is not Sendable, so one thread at a time uses it. ``PacketCipher``,
    // which keeps this object, calls the library with it without a detour.
    let context: OpaquePointer

    /// Whether it is BoringSSL that works, and not the multi-buffer library.
    var isBoringSSL: Bool { parley_aead_library_of(context) == PARLEY_AEAD_BORINGSSL }

    /// `material` is the cipher's key and then the salt of its nonces (RFC 4106 §8.1, RFC 7634 §2). `nil` where the
    /// algorithm is none of theirs, or the library that `implementation` names is missing.
    init?(_ encryption: Encryption, material: Secret, implementation: PacketCipher.Implementation) {
        let kind: parley_aead_kind
        switch encryption.id.base {
        case .aesGCM8, .aesGCM12, .aesGCM16: kind = PARLEY_AEAD_GCM
        case .chacha20Poly1305: kind = PARLEY_AEAD_CHACHA20_POLY1305
        default: return nil
        }
        let library: parley_aead_library
        switch implementation {
        case .fastest: library = PARLEY_AEAD_FASTEST
        case .multiBuffer: library = PARLEY_AEAD_MULTI_BUFFER
        case .boringSSL: library = PARLEY_AEAD_BORINGSSL
        case .libcrypto: return nil
        }
        guard material.count >= encryption.keyOctets + 4 else { return nil }
        let context = material.withUnsafeBytes { octets in
            parley_aead_create(
                kind, library, octets.baseAddress, UInt32(encryption.keyOctets * 8),
                octets.baseAddress.map { $0 + encryption.keyOctets }, encryption.id.tagOctets)
        }
        guard let context else { return nil }
        self.context = context
    }

    deinit { parley_aead_destroy(context) }
}
