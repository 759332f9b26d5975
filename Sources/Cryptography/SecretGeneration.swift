package import Primitives

extension Secret {
    /// `count` octets from the generator handed in.
    package static func random(_ count: Int, _ randomness: inout Randomness) -> Secret {
        var source = randomness
        let secret = Secret(count: count) { target in
            var offset = 0
            while offset < count {
                var word = source.uint64()
                for _ in 0..<min(8, count - offset) {
                    target[offset] = UInt8(truncatingIfNeeded: word)
                    word >>= 8
                    offset += 1
                }
            }
        }
        randomness = source
        return secret
    }
}
