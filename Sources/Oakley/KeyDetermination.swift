package import Cryptography
package import Primitives

/// Why a key determination did not yield a key.
package enum OakleyError: Error, Hashable, Sendable {
    /// This build lacks the group.
    case unsupportedGroup(KeyExchangeID)
    /// The peer's public value has the wrong length, or is one that gives the secret away.
    case invalidPublicValue(KeyExchangeID)
    /// libcrypto failed.
    case libraryFailure
}

/// One side's ephemeral Diffie-Hellman key: the value to send, and the private value behind it.
package struct KeyPair: Sendable {
    /// The group it is for.
    package let group: KeyExchangeID
    /// What goes into the Key Exchange payload (RFC 7296 §3.4, RFC 2409 §5), of the group's fixed length.
    package let publicValue: [UInt8]
    let privateValue: Secret
    let arithmetic: KeyDetermination.Arithmetic
}

/// Diffie-Hellman in the numbered groups: MODP (RFC 2409 §6, RFC 3526, RFC 5114), EC2N (RFC 2409 §6.3, §6.4), ECP (RFC
/// 5903, RFC 5114), brainpool (RFC 6954), Curve25519 and Curve448 (RFC 8031); and in
/// private groups that a ``GroupRegistry`` holds. Beside them stand key encapsulations, in `KeyEncapsulation.swift`.
///
///     initiator                          responder
///     x, g^x      ------- g^x ------->
///                 <------ g^y --------   y, g^y
///     (g^y)^x               =            (g^x)^y
package enum KeyDetermination {
    /// How a group computes.
    enum Arithmetic: Sendable {
        case prime(PrimeGroup)
        case curve(EllipticCurve)
        case montgomery(MontgomeryCurve)
        case encapsulation(ModuleLattice)

        init?(_ group: KeyExchangeID) {
            if let found = MontgomeryCurve.find(group) {
                self = .montgomery(found)
            } else if let found = EllipticCurve.find(group) {
                self = .curve(found)
            } else if let found = PrimeGroup.find(group) {
                self = .prime(found)
            } else if let found = ModuleLattice.find(group) {
                self = .encapsulation(found)
            } else {
                return nil
            }
        }

        var publicOctets: Int {
            switch self {
            case .prime(let modulus): modulus.octets
            case .curve(let curve): curve.publicOctets
            case .montgomery(let curve): curve.octets
            case .encapsulation(let lattice): lattice.publicOctets
            }
        }
    }

    private static func arithmetic(_ group: KeyExchangeID, _ registry: GroupRegistry) -> Arithmetic? {
        Arithmetic(group) ?? registry[group]?.arithmetic
    }

    /// Whether this build has the group.
    package static func supports(_ group: KeyExchangeID) -> Bool { Arithmetic(group) != nil }

    /// Whether this build has the group, or the registry a private one of that number.
    package static func supports(_ group: KeyExchangeID, in registry: GroupRegistry) -> Bool {
        arithmetic(group, registry) != nil
    }

    /// Octets of the group's public values; `nil` for groups this build lacks.
    package static func publicValueOctets(_ group: KeyExchangeID) -> Int? { Arithmetic(group)?.publicOctets }

    /// Octets of the group's public values, private groups included.
    package static func publicValueOctets(_ group: KeyExchangeID, in registry: GroupRegistry) -> Int? {
        arithmetic(group, registry)?.publicOctets
    }

    /// A fresh key pair. The private value comes from `randomness` alone, so equal generators give equal pairs.
    package static func generate(
        _ group: KeyExchangeID, _ randomness: inout Randomness
    ) throws(OakleyError) -> KeyPair {
        try generate(group, in: GroupRegistry(), &randomness)
    }

    /// A fresh key pair in a numbered group or in a private one of the registry.
    package static func generate(
        _ group: KeyExchangeID, in registry: GroupRegistry, _ randomness: inout Randomness
    ) throws(OakleyError) -> KeyPair {
        guard let arithmetic = arithmetic(group, registry) else { throw .unsupportedGroup(group) }
        return try generate(group, arithmetic, &randomness)
    }

    /// A fresh key pair in a group that was given in full and has no number; `group` only labels it.
    package static func generate(
        in checked: CheckedGroup, labelled group: KeyExchangeID, _ randomness: inout Randomness
    ) throws(OakleyError) -> KeyPair {
        try generate(group, checked.arithmetic, &randomness)
    }

    private static func generate(
        _ group: KeyExchangeID, _ arithmetic: Arithmetic, _ randomness: inout Randomness
    ) throws(OakleyError) -> KeyPair {
        do {
            switch arithmetic {
            case .prime(let modulus):
                return try pair(group, arithmetic, modulus.makeExponent(&randomness), modulus.publicValue)
            case .curve(let curve):
                return try pair(group, arithmetic, curve.makeScalar(&randomness), curve.publicValue)
            case .montgomery(let curve):
                return try pair(group, arithmetic, curve.makeScalar(&randomness), curve.publicValue)
            case .encapsulation(let lattice):
                let seed = Secret(randomness.octets(ModuleLattice.seedOctets))
                return try pair(group, arithmetic, seed) { seed throws(CryptographyError) in
                    try lattice.publicKey(seed: seed)
                }
            }
        } catch {
            throw .libraryFailure
        }
    }

    private static func pair(
        _ group: KeyExchangeID, _ arithmetic: Arithmetic, _ privateValue: Secret,
        _ publicValue: (Secret) throws(CryptographyError) -> [UInt8]
    ) throws(CryptographyError) -> KeyPair {
        KeyPair(
            group: group, publicValue: try publicValue(privateValue), privateValue: privateValue, arithmetic: arithmetic
        )
    }

    /// The secret that both sides come to: g^xy padded in front to the length of the prime (RFC 7296 §2.14), the x
    /// coordinate for ECP and EC2N (RFC 5903 §9, RFC 2409 §6.3), the function's output for Curve25519 and Curve448.
    /// Throws `invalidPublicValue` for a peer's value of the wrong length, outside 2...p-2, off the curve, or of small
    /// order.
    package static func sharedSecret(_ pair: KeyPair, peer: [UInt8]) throws(OakleyError) -> Secret {
        let secret: Secret?
        do {
            switch pair.arithmetic {
            case .prime(let modulus): secret = try modulus.sharedSecret(pair.privateValue, peer: peer)
            case .curve(let curve): secret = try curve.sharedSecret(pair.privateValue, peer: peer)
            case .montgomery(let curve):
                secret = try curve.sharedSecret(
                    pair.privateValue, publicValue: pair.publicValue, peer: peer)
            case .encapsulation(let lattice):
                secret =
                    peer.count == lattice.ciphertextOctets
                    ? try lattice.decapsulate(peer, seed: pair.privateValue) : nil
            }
        } catch {
            throw .libraryFailure
        }
        guard let secret else { throw .invalidPublicValue(pair.group) }
        return secret
    }
}
