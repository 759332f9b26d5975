import Cryptography
import Primitives
import Testing

@Suite struct BufferedGeneratorTests {
    @Test func copiesNeverGiveTheSame() {
        var one = Randomness.buffered
        var other = one
        var seen: Set<UInt64> = []
        for _ in 0..<5000 {
            seen.insert(one.uint64())
            seen.insert(other.uint64())
        }
        #expect(seen.count == 10_000)
    }

    @Test func threadsNeverGetTheSame() async {
        let generator = BufferedGenerator()
        let seen = await withTaskGroup(of: [UInt64].self) { tasks in
            for _ in 0..<4 {
                tasks.addTask {
                    var randomness = Randomness(generator)
                    return (0..<2000).map { _ in randomness.uint64() }
                }
            }
            return await tasks.reduce(into: Set<UInt64>()) { $0.formUnion($1) }
        }
        #expect(seen.count == 8000)
    }

    @Test func bitsAreBalanced() {
        var randomness = Randomness.buffered
        let ones = randomness.octets(32_000).reduce(0) { $0 + $1.nonzeroBitCount }
        // 256,000 fair bits: 128,000 ones, standard deviation 253.
        #expect(abs(ones - 128_000) < 1800)
        let words = (0..<1000).map { _ in randomness.uint64() }
        #expect(!words.contains(0))
    }
}
