internal import CLibcrypto
internal import Primitives

extension BigNumber {
    private static let smallPrimes: [UInt] = (2...1000).filter { number in
        !(2..<number).contains { $0 * $0 <= number && number.isMultiple(of: $0) }
    }

    /// Whether a prime below 1000 divides the number, which is above them all.
    var hasSmallFactor: Bool {
        Self.smallPrimes.contains { BN_mod_word(pointer, $0) == 0 }
    }

    /// `base ^ exponent` modulo this number, which is odd. Not for secrets.
    func power(
        _ base: BigNumber, _ exponent: BigNumber, _ scratch: ScratchNumbers
    ) throws(CryptographyError) -> BigNumber {
        let result = try BigNumber()
        guard BN_mod_exp(result.pointer, base.pointer, exponent.pointer, pointer, scratch.pointer) == 1 else {
            throw .libraryFailure("BN_mod_exp")
        }
        return result
    }

    /// As many octets as the number needs, none for zero.
    func significantOctets() throws(CryptographyError) -> [UInt8] { try octets((bits + 7) / 8) }

    /// The number, less `word`.
    func minus(_ word: UInt) throws(CryptographyError) -> BigNumber {
        let result = try BigNumber(copying: pointer)
        guard BN_sub_word(result.pointer, word) == 1 else { throw .libraryFailure("BN_sub_word") }
        return result
    }

    /// The number halved `times` times, rounded down.
    func halved(_ times: Int32 = 1) throws(CryptographyError) -> BigNumber {
        let result = try BigNumber()
        guard BN_rshift(result.pointer, pointer, times) == 1 else { throw .libraryFailure("BN_rshift") }
        return result
    }

    /// The Miller-Rabin test with bases that the author of the number cannot foresee. libcrypto's own test takes up to
    /// 128 bases for large numbers, minutes for one of 8192 bits; a composite passes one with a probability below 1/4.
    func isProbablyPrime(
        _ randomness: inout Randomness, _ scratch: ScratchNumbers
    ) throws(CryptographyError) -> Bool {
        guard isOdd, bits > 20, !hasSmallFactor else { return false }
        let rounds = bits <= 2048 ? 64 : bits <= 4096 ? 32 : 16
        let last = try minus(1)
        var twos: Int32 = 0
        while BN_is_bit_set(last.pointer, twos) == 0 { twos += 1 }
        let odd = try last.halved(twos)
        for _ in 0..<rounds {
            let base = try BigNumber(try BigNumber.draw(below: last, &randomness).exposed)
            let power = try power(base, odd, scratch)
            if power.isOne || power == last { continue }
            var isWitness = true
            for _ in 1..<max(1, twos) where isWitness {
                guard BN_mod_sqr(power.pointer, power.pointer, pointer, scratch.pointer) == 1 else {
                    throw .libraryFailure("BN_mod_sqr")
                }
                isWitness = !(power == last)
            }
            if isWitness { return false }
        }
        return true
    }
}
