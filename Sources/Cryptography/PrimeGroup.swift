internal import CLibcrypto
package import Primitives

/// Exponentiation modulo a prime: the MODP groups. Those of RFC 2409 §6.2 and RFC 3526 have safe primes and generator 2;
/// those of RFC 5114 have a generator of a small prime order. Exponentiation takes time that depends on the group only.
package final class PrimeGroup: @unchecked Sendable {
    // SAFETY: written in init only and freed in deinit; libcrypto only reads a modulus, a base and a Montgomery context
    // that are handed to an exponentiation.
    let prime: BigNumber
    private let lastElement: BigNumber  // prime - 1, of order 2
    let generator: BigNumber
    /// The generator's order, where it is much smaller than the prime.
    let order: BigNumber?
    private let montgomery: OpaquePointer

    /// Octets of the prime, and so of public values and shared secrets.
    package let octets: Int
    /// Octets of private exponents: more than twice the strength that RFC 3526 §8 gives the group.
    package let exponentOctets: Int

    /// A group with numbers that have been checked. Without an order the prime must be safe: (p-1)/2 is prime too.
    init(prime: BigNumber, generator: BigNumber, order: BigNumber?) throws(CryptographyError) {
        let scratch = try ScratchNumbers()
        let lastElement = try BigNumber(copying: prime.pointer)
        guard BN_sub_word(lastElement.pointer, 1) == 1 else { throw .libraryFailure("BN_sub_word") }
        guard let montgomery = BN_MONT_CTX_new() else { throw .libraryFailure("BN_MONT_CTX_new") }
        guard BN_MONT_CTX_set(montgomery, prime.pointer, scratch.pointer) == 1 else {
            BN_MONT_CTX_free(montgomery)
            throw .libraryFailure("BN_MONT_CTX_set")
        }
        self.prime = prime
        self.lastElement = lastElement
        self.generator = generator
        self.order = order
        self.montgomery = montgomery
        octets = (prime.bits + 7) / 8
        exponentOctets = order.map { ($0.bits + 7) / 8 } ?? Self.exponentOctets(primeBits: prime.bits)
    }

    deinit { BN_MONT_CTX_free(montgomery) }

    private static func exponentOctets(primeBits: Int) -> Int {
        switch primeBits {
        case ...2048: 32
        case ...3072: 40
        case ...4096: 48
        case ...6144: 56
        default: 64
        }
    }

    /// The group by its number; `nil` for numbers that are not MODP groups.
    package static func find(_ group: KeyExchangeID) -> PrimeGroup? {
        switch group {
        case .modp768: modp768
        case .modp1024: modp1024
        case .modp1536: modp1536
        case .modp2048: modp2048
        case .modp3072: modp3072
        case .modp4096: modp4096
        case .modp6144: modp6144
        case .modp8192: modp8192
        case .modp1024s160: modp1024s160
        case .modp2048s224: modp2048s224
        case .modp2048s256: modp2048s256
        default: nil
        }
    }

    /// RFC 2409 §6.1, §6.2 and RFC 3526: the generator is 2.
    private static func safe(_ prime: OpaquePointer?) -> PrimeGroup? {
        guard let prime = try? BigNumber(adopting: prime), let two = try? BigNumber(word: 2) else { return nil }
        return try? PrimeGroup(prime: prime, generator: two, order: nil)
    }

    /// RFC 5114 §2: prime, generator and its order from libcrypto's parameters.
    private static func subgroup(_ parameters: OpaquePointer?) -> PrimeGroup? {
        defer { DH_free(parameters) }
        guard let parameters, let prime = try? BigNumber(copying: DH_get0_p(parameters)),
            let generator = try? BigNumber(copying: DH_get0_g(parameters)),
            let order = try? BigNumber(copying: DH_get0_q(parameters))
        else { return nil }
        return try? PrimeGroup(prime: prime, generator: generator, order: order)
    }

    private static let modp768 = safe(BN_get_rfc2409_prime_768(nil))
    private static let modp1024 = safe(BN_get_rfc2409_prime_1024(nil))
    private static let modp1536 = safe(BN_get_rfc3526_prime_1536(nil))
    private static let modp2048 = safe(BN_get_rfc3526_prime_2048(nil))
    private static let modp3072 = safe(BN_get_rfc3526_prime_3072(nil))
    private static let modp4096 = safe(BN_get_rfc3526_prime_4096(nil))
    private static let modp6144 = safe(BN_get_rfc3526_prime_6144(nil))
    private static let modp8192 = safe(BN_get_rfc3526_prime_8192(nil))
    private static let modp1024s160 = subgroup(DH_get_1024_160())
    private static let modp2048s224 = subgroup(DH_get_2048_224())
    private static let modp2048s256 = subgroup(DH_get_2048_256())

    /// A private exponent: below the generator's order where that is small, else with its top bit set, so that its
    /// length says nothing about it.
    package func makeExponent(_ randomness: inout Randomness) throws(CryptographyError) -> Secret {
        if let order { return try BigNumber.draw(below: order, &randomness) }
        let drawn = Secret.random(exponentOctets, &randomness)
        return Secret(count: exponentOctets) { target in
            drawn.withUnsafeBytes { target.copyMemory(from: $0) }
            target[0] |= 0x80
        }
    }

    /// `g^exponent mod p`, padded in front with zeros to ``octets``.
    package func publicValue(_ exponent: Secret) throws(CryptographyError) -> [UInt8] {
        try power(generator, try BigNumber(exponent)).secret(octets).exposed
    }

    /// `peer^exponent mod p`, padded in front with zeros to ``octets`` (RFC 7296 §2.14); `nil` unless `peer` has exactly
    /// that length and lies in 2...p-2. Other values have an order of 1 or 2 and would give the secret away. In a group
    /// whose generator has a small order, `peer` must have that order too (RFC 6989 §2.2).
    package func sharedSecret(_ exponent: Secret, peer: [UInt8]) throws(CryptographyError) -> Secret? {
        guard peer.count == octets else { return nil }
        let value = try BigNumber(peer)
        guard !value.isZero, !value.isOne, value < lastElement else { return nil }
        if let order {
            guard try power(value, order).isOne else { return nil }
        }
        return try power(value, try BigNumber(exponent)).secret(octets)
    }

    private func power(_ base: BigNumber, _ exponent: BigNumber) throws(CryptographyError) -> BigNumber {
        let scratch = try ScratchNumbers()
        let result = try BigNumber()
        let done = BN_mod_exp_mont_consttime(
            result.pointer, base.pointer, exponent.pointer, prime.pointer, scratch.pointer, montgomery)
        guard done == 1 else { throw .libraryFailure("BN_mod_exp_mont_consttime") }
        return result
    }
}
