internal import CLibcrypto

/// HMAC (RFC 2104), keyed once and used for any number of messages: the states after the inner and the outer pad are
/// kept and copied for each message, which saves two compressions a message and allocates nothing.
///
///     HMAC(K, text) = H(K xor opad | H(K xor ipad | text))
final class KeyedHash: MessageAuthenticator {
    let hash: HashFunction
    var outputOctets: Int { hash.outputOctets }
    private let stride: Int
    // SAFETY: three states, `stride` octets apart: after the inner pad, after the outer pad, and
    // running. Allocated in init, freed in deinit, never handed out; the class is not Sendable, so one thread uses it.
    private let memory: UnsafeMutableRawPointer

    private var inner: UnsafeMutableRawPointer { memory }
    private var outer: UnsafeMutableRawPointer { memory + stride }
    private var running: UnsafeMutableRawPointer { memory + 2 * stride }

    /// Takes a key of any length, the empty one too; a key longer than a block is hashed first.
    init(_ hash: HashFunction, key: Secret) {
        self.hash = hash
        stride = (hash.stateOctets + 15) & ~15
        memory = .allocate(byteCount: 3 * stride, alignment: 8)
        key.withUnsafeBytes { absorb($0) }
        begin()
    }

    private func absorb(_ key: UnsafeRawBufferPointer) {
        withUnsafeTemporaryAllocation(byteCount: HashFunction.largestBlockOctets, alignment: 16) { pad in
            guard let block = pad.baseAddress else { return }
            pad.initializeMemory(as: UInt8.self, repeating: 0)
            if key.count > hash.blockOctets {
                hash.begin(running)
                hash.update(running, key.baseAddress, key.count)
                hash.finish(running, into: block)
            } else {
                pad.copyMemory(from: key)
            }
            for index in 0..<hash.blockOctets { pad[index] ^= 0x36 }
            hash.begin(inner)
            hash.update(inner, block, hash.blockOctets)
            for index in 0..<hash.blockOctets { pad[index] ^= 0x36 ^ 0x5c }
            hash.begin(outer)
            hash.update(outer, block, hash.blockOctets)
            OPENSSL_cleanse(block, pad.count)
        }
    }

    deinit {
        OPENSSL_cleanse(memory, 3 * stride)
        memory.deallocate()
    }

    /// Starts a message.
    func begin() { running.copyMemory(from: inner, byteCount: hash.stateOctets) }

    func update(_ octets: UnsafeRawPointer?, _ count: Int) { hash.update(running, octets, count) }

    /// Writes the whole output, `hash.outputOctets` octets, to `output`.
    func finish(into output: UnsafeMutableRawPointer) {
        hash.finish(running, into: output)
        running.copyMemory(from: outer, byteCount: hash.stateOctets)
        hash.update(running, output, hash.outputOctets)
        hash.finish(running, into: output)
    }
}
