internal import CLibcrypto
internal import Primitives

/// A number of libcrypto's that is wiped and freed with its last reference.
final class BigNumber {
    // SAFETY: made in an initialiser, freed in deinit. Who shares a number between threads must not write to it any more.
    let pointer: OpaquePointer

    /// Takes over a number; throws where there is none.
    init(adopting pointer: OpaquePointer?) throws(CryptographyError) {
        guard let pointer else { throw .libraryFailure("BN_new") }
        self.pointer = pointer
    }

    /// Zero.
    convenience init() throws(CryptographyError) { try self.init(adopting: BN_new()) }

    convenience init(word: UInt) throws(CryptographyError) {
        try self.init()
        guard BN_set_word(pointer, word) == 1 else { throw .libraryFailure("BN_set_word") }
    }

    /// Unsigned, the most significant octet first.
    convenience init(_ octets: [UInt8]) throws(CryptographyError) {
        guard let count = Int32(exactly: octets.count) else { throw .invalidKey }
        try self.init(adopting: BN_bin2bn(octets, count, nil))
    }

    /// A number that libcrypto handles in time that does not depend on it, where it has such a way.
    convenience init(_ secret: Secret) throws(CryptographyError) {
        guard let count = Int32(exactly: secret.count) else { throw .invalidKey }
        try self.init(
            adopting: secret.withUnsafeBytes { octets in
                BN_bin2bn(octets.baseAddress?.assumingMemoryBound(to: UInt8.self), count, nil)
            })
        BN_set_flags(pointer, BN_FLG_CONSTTIME)
    }

    convenience init(copying other: OpaquePointer?) throws(CryptographyError) {
        guard let other else { throw .libraryFailure("BN_dup") }
        try self.init(adopting: BN_dup(other))
    }

    deinit { BN_clear_free(pointer) }

    var bits: Int { Int(BN_num_bits(pointer)) }
    var isZero: Bool { BN_is_zero(pointer) == 1 }
    var isOne: Bool { BN_is_one(pointer) == 1 }
    var isOdd: Bool { BN_is_odd(pointer) == 1 }

    static func < (left: BigNumber, right: BigNumber) -> Bool { BN_cmp(left.pointer, right.pointer) < 0 }
    static func == (left: BigNumber, right: BigNumber) -> Bool { BN_cmp(left.pointer, right.pointer) == 0 }

    /// `count` octets, zeros in front; throws when the number needs more.
    func octets(_ count: Int) throws(CryptographyError) -> [UInt8] { try secret(count).exposed }

    /// `count` octets, zeros in front; throws when the number needs more.
    func secret(_ count: Int) throws(CryptographyError) -> Secret {
        let number = pointer
        return try Secret(count: count) { target throws(CryptographyError) in
            let written = BN_bn2binpad(number, target.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(count))
            guard written == Int32(count) else { throw .libraryFailure("BN_bn2binpad") }
        }
    }

    /// A number in `1..<bound`, uniform: draws until one fits, so the number of draws says nothing about it.
    static func draw(below bound: BigNumber, _ randomness: inout Randomness) throws(CryptographyError) -> Secret {
        let count = (bound.bits + 7) / 8
        let spareBits = count * 8 - bound.bits
        // Each draw fits with a probability of a half or more: 200 failures do not happen.
        for _ in 0..<200 {
            let drawn = Secret.random(count, &randomness)
            let candidate = Secret(count: count) { target in
                drawn.withUnsafeBytes { target.copyMemory(from: $0) }
                if count > 0 { target[0] &= 0xff >> UInt8(spareBits) }
            }
            let number = try BigNumber(candidate)
            if !number.isZero, number < bound { return candidate }
        }
        throw .libraryFailure("no number below the bound")
    }
}

/// libcrypto's scratch numbers for one computation; it clears what it lent out.
final class ScratchNumbers {
    // SAFETY: made in init, freed in deinit; a computation uses it from one thread.
    let pointer: OpaquePointer

    init() throws(CryptographyError) {
        guard let pointer = BN_CTX_new() else { throw .libraryFailure("BN_CTX_new") }
        self.pointer = pointer
    }

    deinit { BN_CTX_free(pointer) }
}
