internal import CLibcrypto
package import Primitives
import Synchronization

/// libcrypto's generator (seeded from the operating system, RFC 4086), drawn from in blocks: a system call for each
/// eight octets would be a tenth of what a handshake costs beside its public-key operations.
///
/// A reference: copies share the block, so no two of them ever give out the same octets. What was given out is wiped.
package final class BufferedGenerator: RandomNumberGenerator, Sendable {
    private struct Block {
        var words = [UInt64](repeating: 0, count: 64)
        var left = 0
    }

    private let block = Mutex(Block())

    package init() {}

    deinit { block.withLock { wipe(&$0.words) } }

    private func wipe(_ words: inout [UInt64]) {
        words.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) }
    }

    package func next() -> UInt64 {
        block.withLock { block in
            if block.left == 0 {
                let filled = block.words.withUnsafeMutableBytes { RAND_bytes($0.baseAddress, Int32($0.count)) == 1 }
                // Without libcrypto's generator the operating system's own remains.
                guard filled else {
                    var system = SystemRandomNumberGenerator()
                    return system.next()
                }
                block.left = block.words.count
            }
            block.left -= 1
            let word = block.words[block.left]
            block.words[block.left] = 0
            return word
        }
    }
}

extension Randomness {
    /// Cryptographic randomness for a whole process: ``BufferedGenerator``.
    package static var buffered: Randomness { Randomness(BufferedGenerator()) }
}
