internal import CLibcrypto

/// A message authentication code, keyed once and used for any number of messages, one after another.
///
/// SAFETY: pointers are read for the count that goes with them; the output has room for ``outputOctets``.
protocol MessageAuthenticator: AnyObject {
    var outputOctets: Int { get }
    /// Starts a message; whatever was taken in and not finished is forgotten.
    func begin()
    func update(_ octets: UnsafeRawPointer?, _ count: Int)
    /// Writes the whole output. ``begin()`` comes before the next message.
    func finish(into output: UnsafeMutableRawPointer)
}

extension MessageAuthenticator {
    func update(_ part: Octets) { part.withUnsafeBytes { update($0.baseAddress, $0.count) } }
}

/// AES-XCBC-MAC (RFC 3566) and AES-CMAC (RFC 4493), both with 128-bit keys: CBC-MACs whose last block is combined with
/// one of two further keys, for whole and for padded blocks. Allocates nothing after init.
///
///     E[0] = 0, E[i] = AES(K, M[i] xor E[i-1]) for i < n
///     MAC  = AES(K, M[n] xor E[n-1] xor K_whole)           if M[n] is a whole block
///     MAC  = AES(K, (M[n] | 1 | 0…) xor E[n-1] xor K_cut)  otherwise
final class BlockAuthenticator: MessageAuthenticator {
    enum Kind { case xcbc, cmac }

    private static let block = 16
    private static let stretch = 256

    // SAFETY: both are made in init, freed in deinit and never handed out; the class is not Sendable, so one thread at a
    // time uses them. The memory holds K_whole at 0, K_cut at 16, the block held back at 32, zeros (never written
    // after init) at 48, and room for the chain at 64.
    private let context: OpaquePointer
    private let memory: UnsafeMutableRawPointer
    private var held = 0

    private var whole: UnsafeMutableRawPointer { memory }
    private var cut: UnsafeMutableRawPointer { memory + 16 }
    private var last: UnsafeMutableRawPointer { memory + 32 }
    private var zeros: UnsafeMutableRawPointer { memory + 48 }
    private var chain: UnsafeMutableRawPointer { memory + 64 }

    var outputOctets: Int { Self.block }

    /// Throws `invalidKey` unless the key has 16 octets.
    init(_ kind: Kind, key: Secret) throws(CryptographyError) {
        guard key.count == Self.block else { throw .invalidKey }
        guard let cipher = FetchedCipher.find(Encryption(.aesCBC, keyBits: 128)) else {
            throw .unsupported("AES-128-CBC")
        }
        guard let context = EVP_CIPHER_CTX_new() else { throw .libraryFailure("EVP_CIPHER_CTX_new") }
        self.context = context
        memory = .allocate(byteCount: 64 + Self.stretch, alignment: 16)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: 64 + Self.stretch)
        var fine = EVP_CipherInit_ex(context, cipher.pointer, nil, nil, nil, 1) == 1
        fine = fine && EVP_CIPHER_CTX_set_padding(context, 0) == 1
        fine = fine && key.withUnsafeBytes { setKey($0.baseAddress) }
        switch kind {
        case .xcbc: fine = fine && deriveExtended()
        case .cmac: fine = fine && deriveDoubled()
        }
        guard fine else { throw .libraryFailure("EVP_CipherInit_ex") }
        begin()
    }

    deinit {
        EVP_CIPHER_CTX_free(context)
        OPENSSL_cleanse(memory, 64 + Self.stretch)
        memory.deallocate()
    }

    private func setKey(_ key: UnsafeRawPointer?) -> Bool {
        EVP_CipherInit_ex(context, nil, nil, key?.assumingMemoryBound(to: UInt8.self), octets(zeros), 1) == 1
    }

    private func octets(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutablePointer<UInt8> {
        pointer.assumingMemoryBound(to: UInt8.self)
    }

    /// Chains `count` octets, whole blocks and at most a stretch, and writes what comes out to `output`.
    private func absorb(_ input: UnsafeRawPointer, _ count: Int, into output: UnsafeMutableRawPointer) -> Bool {
        var written: Int32 = 0
        return EVP_CipherUpdate(
            context, octets(output), &written, input.assumingMemoryBound(to: UInt8.self), Int32(count)) == 1
    }

    /// AES of one block with the key set.
    private func encrypt(_ input: UnsafeRawPointer, into output: UnsafeMutableRawPointer) -> Bool {
        setKey(nil) && absorb(input, Self.block, into: output)
    }

    /// RFC 3566 §4: K1 = AES(K, 1…), K2 = AES(K, 2…), K3 = AES(K, 3…); the chain runs under K1.
    private func deriveExtended() -> Bool {
        func derived(_ octet: UInt8, _ output: UnsafeMutableRawPointer) -> Bool {
            last.initializeMemory(as: UInt8.self, repeating: octet, count: Self.block)
            return encrypt(last, into: output)
        }
        return derived(2, whole) && derived(3, cut) && derived(1, chain) && setKey(chain)
    }

    /// RFC 4493 §2.3: K1 = 2 · AES(K, 0), K2 = 4 · AES(K, 0) in GF(2^128).
    private func deriveDoubled() -> Bool {
        guard encrypt(zeros, into: chain) else { return false }
        func double(_ from: UnsafeMutableRawPointer, _ to: UnsafeMutableRawPointer) {
            let (source, target) = (octets(from), octets(to))
            let carry = source[0] >> 7
            for index in 0..<15 { target[index] = source[index] << 1 | source[index + 1] >> 7 }
            target[15] = source[15] << 1 ^ (0x87 & (0 &- carry))
        }
        double(chain, whole)
        double(whole, cut)
        return true
    }

    func begin() {
        held = 0
        _ = setKey(nil)
    }

    func update(_ input: UnsafeRawPointer?, _ count: Int) {
        guard var input, count > 0 else { return }
        var count = count
        if held + count > Self.block {
            // What comes now is behind the block held back, which is therefore not the last one.
            let taken = Self.block - held
            (last + held).copyMemory(from: input, byteCount: taken)
            _ = absorb(last, Self.block, into: chain)
            held = 0
            input += taken
            count -= taken
            while count > Self.block {
                let part = min(Self.stretch, (count - 1) / Self.block * Self.block)
                _ = absorb(input, part, into: chain)
                input += part
                count -= part
            }
        }
        (last + held).copyMemory(from: input, byteCount: count)
        held += count
    }

    func finish(into output: UnsafeMutableRawPointer) {
        let isWhole = held == Self.block
        let block = octets(last)
        if !isWhole {
            block[held] = 0x80
            for index in (held + 1)..<Self.block { block[index] = 0 }
        }
        let key = octets(isWhole ? whole : cut)
        for index in 0..<Self.block { block[index] ^= key[index] }
        _ = absorb(last, Self.block, into: output)
        held = 0
    }

    /// A key of any length for the functions' use as a prf: one of another length becomes its own code under a key of zeros
    /// (RFC 4615 §3), but for XCBC a short one is padded with zeros (RFC 4434 §2).
    static func pseudorandomFunction(_ kind: Kind, key: Secret) throws(CryptographyError) -> BlockAuthenticator {
        if key.count == block { return try BlockAuthenticator(kind, key: key) }
        if kind == .xcbc, key.count < block {
            let padded = Secret(count: block) { target in key.withUnsafeBytes { target.copyMemory(from: $0) } }
            return try BlockAuthenticator(kind, key: padded)
        }
        let hashing = try BlockAuthenticator(kind, key: Secret(count: block) { _ in })
        hashing.update(.secret(key))
        let hashed = Secret(count: block) { target in
            if let base = target.baseAddress { hashing.finish(into: base) }
        }
        return try BlockAuthenticator(kind, key: hashed)
    }
}
