internal import Crypto

/// Key encapsulation over module lattices, ML-KEM (FIPS 203): not Diffie-Hellman, since only one end makes a key pair,
/// and the other a ciphertext for it. From swift-crypto, for libcrypto 3.0 has none.
package enum ModuleLattice: Hashable, Sendable {
    case mlkem768
    case mlkem1024

    /// Octets of an encapsulation key (FIPS 203, table 3).
    package var publicOctets: Int {
        switch self {
        case .mlkem768: 1184
        case .mlkem1024: 1568
        }
    }

    /// Octets of a ciphertext.
    package var ciphertextOctets: Int {
        switch self {
        case .mlkem768: 1088
        case .mlkem1024: 1568
        }
    }

    /// Octets of the seed d | z that a key pair comes from.
    package static let seedOctets = 64

    /// The encapsulation key that belongs to a seed of ``seedOctets``.
    ///
    /// - Throws: `invalidKey` for a seed of another length.
    package func publicKey(seed: Secret) throws(CryptographyError) -> [UInt8] {
        try attempt(.invalidKey) {
            switch self {
            case .mlkem768: Array(try mlkem768Key(seed).publicKey.rawRepresentation)
            case .mlkem1024: Array(try mlkem1024Key(seed).publicKey.rawRepresentation)
            }
        }
    }

    /// A ciphertext for an encapsulation key, and the 32 octets that both ends share. The library draws the randomness
    /// itself.
    ///
    /// - Throws: `invalidKey` where the key has the wrong length or holds numbers that are not reduced (FIPS 203 §7.2).
    package func encapsulate(
        to publicKey: [UInt8]
    ) throws(CryptographyError) -> (ciphertext: [UInt8], sharedSecret: Secret) {
        guard publicKey.count == publicOctets else { throw .invalidKey }
        let result = try attempt(.invalidKey) {
            switch self {
            case .mlkem768: try MLKEM768.PublicKey(rawRepresentation: publicKey).encapsulate()
            case .mlkem1024: try MLKEM1024.PublicKey(rawRepresentation: publicKey).encapsulate()
            }
        }
        return (Array(result.encapsulated), secret(result.sharedSecret))
    }

    /// The 32 octets that a ciphertext for the seed's key stands for. A ciphertext of the right length always yields some
    /// (FIPS 203 §7.3: implicit rejection), which nobody shares where it was tampered with.
    ///
    /// - Throws: `invalidKey` for a ciphertext of the wrong length.
    package func decapsulate(_ ciphertext: [UInt8], seed: Secret) throws(CryptographyError) -> Secret {
        guard ciphertext.count == ciphertextOctets else { throw .invalidKey }
        let shared = try attempt(.invalidKey) {
            switch self {
            case .mlkem768: try mlkem768Key(seed).decapsulate(ciphertext)
            case .mlkem1024: try mlkem1024Key(seed).decapsulate(ciphertext)
            }
        }
        return secret(shared)
    }

    private func mlkem768Key(_ seed: Secret) throws -> MLKEM768.PrivateKey {
        // SAFETY: the pointer stays within the call; the initialiser copies what it needs.
        try seed.withUnsafeBytes { try MLKEM768.PrivateKey(seedRepresentation: Array($0), publicKey: nil) }
    }

    private func mlkem1024Key(_ seed: Secret) throws -> MLKEM1024.PrivateKey {
        // SAFETY: as above.
        try seed.withUnsafeBytes { try MLKEM1024.PrivateKey(seedRepresentation: Array($0), publicKey: nil) }
    }

    private func secret(_ key: SymmetricKey) -> Secret {
        // SAFETY: the pointer stays within the call; `Secret` copies the octets into memory that it wipes.
        key.withUnsafeBytes { octets in Secret(count: octets.count) { $0.copyMemory(from: octets) } }
    }

    private func attempt<Result>(
        _ failure: CryptographyError, _ body: () throws -> Result
    ) throws(CryptographyError) -> Result {
        do { return try body() } catch { throw failure }
    }
}
