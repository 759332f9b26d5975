package import Cryptography
package import ISAKMP
package import Oakley
package import Primitives

/// Who answers an exchange's questions, with keys that it was given: a key that both ends hold, and key pairs of identities
/// for public-key encryption.
///
/// Encryption "to" an identity is Diffie-Hellman with a fresh value against the identity's public value, then AES-GCM under
/// what follows from it (RFC 8031's group, prf+ of RFC 7296 §2.13): any length fits, and what was not made for the key is
/// refused without an error that depends on its padding, which is what makes PKCS #1 v1.5 dangerous here.
package struct ModeKeyHolder: Sendable {
    /// The key for any pair of identities.
    package var sharedKey: Secret?
    private var pairs: [[UInt8]: KeyPair] = [:]
    /// Public values by identity: what certificates would say.
    package private(set) var publicValues: [[UInt8]: [UInt8]] = [:]

    private static let group = KeyExchangeID.curve25519
    private static let encryption = Encryption(.aesGCM16, keyBits: 256)
    private static let publicOctets = 32

    package init(sharedKey: Secret? = nil) { self.sharedKey = sharedKey }

    /// Makes a key pair for one of our identities.
    ///
    /// - Returns: the public value, for the peer.
    package mutating func makeKey(
        for identity: [UInt8], _ randomness: inout Randomness
    ) throws(OakleyError) -> [UInt8] {
        let pair = try KeyDetermination.generate(Self.group, &randomness)
        pairs[identity] = pair
        publicValues[identity] = pair.publicValue
        return pair.publicValue
    }

    /// A peer's public value, which somebody vouches for.
    package mutating func trust(_ publicValue: [UInt8], of identity: [UInt8]) { publicValues[identity] = publicValue }

    package func answer(
        _ question: ExchangeQuestion<Secret>, _ randomness: inout Randomness
    ) -> ExchangeAnswer<Secret> {
        switch question {
        case .sharedKey: sharedKey.map { .key($0) } ?? .refused
        // Signatures are for who holds certificates.
        case .sign, .verify: .refused
        case .encrypt(let identity, let plaintext):
            encrypt(plaintext, to: identity, &randomness).map { .octets($0) } ?? .refused
        case .decrypt(let identity, let ciphertext):
            decrypt(ciphertext, as: identity).map { .key($0) } ?? .refused
        }
    }

    private func material(_ secret: Secret, _ fresh: [UInt8], _ fixed: [UInt8]) -> Secret? {
        guard let seed = try? PseudorandomFunction.derive(.hmacSHA256, key: Secret(fresh + fixed), [.secret(secret)])
        else { return nil }
        return try? PseudorandomFunction.expand(
            .hmacSHA256, key: seed, seed: [.open(fresh), .open(fixed)], count: Self.encryption.keyMaterialOctets)
    }

    private func encrypt(_ plaintext: Secret, to identity: [UInt8], _ randomness: inout Randomness) -> [UInt8]? {
        guard let fixed = publicValues[identity], let pair = try? KeyDetermination.generate(Self.group, &randomness),
            let secret = try? KeyDetermination.sharedSecret(pair, peer: fixed),
            let material = material(secret, pair.publicValue, fixed)
        else { return nil }
        // The key is for this one message: its IV may be anything.
        let sealed = try? MessageCipher.seal(
            Self.encryption, key: material, explicitIV: [UInt8](repeating: 0, count: 8),
            additionalData: pair.publicValue + identity, plaintext.exposed)
        return sealed.map { pair.publicValue + $0 }
    }

    private func decrypt(_ ciphertext: [UInt8], as identity: [UInt8]) -> Secret? {
        guard let pair = pairs[identity], ciphertext.count > Self.publicOctets else { return nil }
        let fresh = Array(ciphertext.prefix(Self.publicOctets))
        guard let secret = try? KeyDetermination.sharedSecret(pair, peer: fresh),
            let material = material(secret, fresh, pair.publicValue)
        else { return nil }
        let plaintext = try? MessageCipher.open(
            Self.encryption, key: material, explicitIV: [UInt8](repeating: 0, count: 8),
            additionalData: fresh + identity, Array(ciphertext.dropFirst(Self.publicOctets)))
        return plaintext.map { Secret($0) }
    }
}
