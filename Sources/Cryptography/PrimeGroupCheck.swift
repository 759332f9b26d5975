internal import CLibcrypto
package import Primitives

extension PrimeGroup {
    /// The numbers that make up a group.
    package struct Parameters: Hashable, Sendable {
        package var prime: [UInt8]
        package var generator: [UInt8]
        /// The generator's order; `nil` where the prime is safe and the order is (p-1)/2 or p-1.
        package var order: [UInt8]?

        package init(prime: [UInt8], generator: [UInt8], order: [UInt8]? = nil) {
            self.prime = prime
            self.generator = generator
            self.order = order
        }
    }

    /// A group from a peer's numbers after they have been checked: the prime, the generator and the order of the subgroup
    /// that it makes. Cheap checks come first; the costly one, primality, is bounded by `limits`. `randomness` draws the
    /// bases of the tests.
    package static func checked(
        _ parameters: Parameters, _ limits: GroupLimits, _ randomness: inout Randomness
    ) throws(GroupDefect) -> PrimeGroup {
        // Before the numbers are made, and the more before they are computed with.
        for number in [parameters.prime, parameters.generator, parameters.order ?? []] {
            guard number.count <= limits.modulusBits.upperBound / 8 + 1 else { throw .size(bits: number.count * 8) }
        }
        let result: Result<PrimeGroup, GroupDefect>
        do throws(CryptographyError) {
            result = try examined(parameters, limits, &randomness)
        } catch {
            throw .library
        }
        return try result.get()
    }

    private static func examined(
        _ parameters: Parameters, _ limits: GroupLimits, _ randomness: inout Randomness
    ) throws(CryptographyError) -> Result<PrimeGroup, GroupDefect> {
        let scratch = try ScratchNumbers()
        let prime = try BigNumber(parameters.prime)
        let generator = try BigNumber(parameters.generator)
        guard limits.modulusBits.contains(prime.bits) else { return .failure(.size(bits: prime.bits)) }
        guard prime.isOdd, !prime.hasSmallFactor else { return .failure(.notPrime) }
        let last = try prime.minus(1)
        guard !generator.isZero, !generator.isOne, generator < last else { return .failure(.generatorOrder) }
        // Fermat's test refuses nearly every composite at the price of one exponentiation.
        guard try prime.power(try BigNumber(word: 2), last, scratch).isOne else { return .failure(.notPrime) }
        let half = try last.halved()
        let order = try parameters.order.map { octets throws(CryptographyError) in try BigNumber(octets) }
        guard let order, !(order == half), !(order == last) else {
            // With q = (p-1)/2 prime and 2^(p-1) = 1 mod p, p is prime by Pocklington's theorem: 3 does not divide it.
            guard try half.isProbablyPrime(&randomness, scratch) else {
                // Say which of the two it is.
                let isPrime = try prime.isProbablyPrime(&randomness, scratch)
                return .failure(isPrime ? .notSafe : .notPrime)
            }
            if let order, try !prime.power(generator, order, scratch).isOne { return .failure(.generatorOrder) }
            return .success(try PrimeGroup(prime: prime, generator: generator, order: nil))
        }
        guard order.bits >= GroupLimits.leastOrderBits, order < half else { return .failure(.order) }
        let remainder = try BigNumber()
        guard BN_div(nil, remainder.pointer, last.pointer, order.pointer, scratch.pointer) == 1 else {
            throw .libraryFailure("BN_div")
        }
        guard remainder.isZero, try order.isProbablyPrime(&randomness, scratch) else { return .failure(.order) }
        guard try prime.power(generator, order, scratch).isOne else { return .failure(.generatorOrder) }
        guard try prime.isProbablyPrime(&randomness, scratch) else { return .failure(.notPrime) }
        return .success(try PrimeGroup(prime: prime, generator: generator, order: order))
    }

    /// The group's own numbers.
    package var parameters: Parameters? {
        guard let prime = try? prime.significantOctets(), let generator = try? generator.significantOctets() else {
            return nil
        }
        return Parameters(prime: prime, generator: generator, order: try? order?.significantOctets())
    }
}
