/// The injected source of random octets. The daemon hands in the system's generator; tests and the simulation hand in a
/// seeded one.
package struct Randomness: Sendable {
    private var generator: any RandomNumberGenerator & Sendable

    package init(_ generator: any RandomNumberGenerator & Sendable) { self.generator = generator }

    /// The operating system's cryptographic generator.
    package static var system: Randomness { Randomness(SystemRandomNumberGenerator()) }

    /// A reproducible generator; for tests and the simulation only.
    package static func seeded(_ seed: UInt64) -> Randomness { Randomness(SeededGenerator(seed: seed)) }

    package mutating func octets(_ count: Int) -> [UInt8] {
        var octets: [UInt8] = []
        octets.reserveCapacity(count)
        while octets.count < count {
            var word = generator.next()
            for _ in 0..<min(8, count - octets.count) {
                octets.append(UInt8(truncatingIfNeeded: word))
                word >>= 8
            }
        }
        return octets
    }

    package mutating func uint32() -> UInt32 { UInt32(truncatingIfNeeded: generator.next()) }
    package mutating func uint64() -> UInt64 { generator.next() }

    /// A uniform number in `0..<bound`; `bound` must be positive.
    package mutating func below(_ bound: UInt64) -> UInt64 { generator.next(upperBound: bound) }

    /// A number in `0..<1`, for jitter.
    package mutating func fraction() -> Double { Double(generator.next() >> 11) / 9_007_199_254_740_992 }
}

/// SplitMix64: small, fast and reproducible; never for keys outside tests.
package struct SeededGenerator: RandomNumberGenerator, Sendable {
    private var state: UInt64

    package init(seed: UInt64) { state = seed }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
