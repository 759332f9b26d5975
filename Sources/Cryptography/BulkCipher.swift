internal import CIPsecMB

/// A cipher of the multi-buffer library, keyed once: one SA, one direction, one thread.
final class BulkCipher {
    /// What the library says of itself; `nil` where it is missing.
    static var version: String? { parley_mb_version().map { String(cString: $0) } }

    /// The most packets that one call of the library takes here.
    static let batch = 64

    // SAFETY: one of the two is there; made in init, freed in deinit. The class is not Sendable, so one thread at a time
    // uses them. ``PacketCipher``, which keeps this object, calls the library with `aead` without a detour.
    let aead: OpaquePointer?
    private let chain: OpaquePointer?
    /// Room for a batch's descriptions; `nil` for an AEAD.
    private let packets: UnsafeMutablePointer<parley_mb_packet>?
    private let sources: UnsafeMutablePointer<Int>?

    /// Whether this is a block chain with HMAC, whose work comes in batches.
    var isChain: Bool { chain != nil }

    /// `nil` where the library is missing or has no better way for the algorithms.
    init?(_ encryption: Encryption, integrity: IntegrityID?, encryptionKey: Secret, integrityKey: Secret?) {
        let keyBits = UInt32(encryption.keyOctets * 8)
        var aead: OpaquePointer?
        var chain: OpaquePointer?
        switch encryption.id.base {
        case .aesGCM8, .aesGCM12, .aesGCM16:
            aead = Self.aead(PARLEY_MB_GCM, encryption, encryptionKey)
        case .chacha20Poly1305:
            aead = Self.aead(PARLEY_MB_CHACHA20_POLY1305, encryption, encryptionKey)
        case .aesCBC:
            guard let integrity, let integrityKey, let hash = BulkCipher.hash(integrity) else { return nil }
            chain = encryptionKey.withUnsafeBytes { cipherKey in
                integrityKey.withUnsafeBytes { hashKey in
                    parley_mb_chain_create(
                        cipherKey.baseAddress, keyBits, hash, hashKey.baseAddress, hashKey.count, integrity.tagOctets)
                }
            }
        default: return nil
        }
        guard aead != nil || chain != nil else { return nil }
        self.aead = aead
        self.chain = chain
        packets = chain == nil ? nil : .allocate(capacity: Self.batch)
        sources = chain == nil ? nil : .allocate(capacity: Self.batch)
        packets?.initialize(repeating: parley_mb_packet(), count: Self.batch)
        sources?.initialize(repeating: 0, count: Self.batch)
    }

    deinit {
        parley_mb_aead_destroy(aead)
        parley_mb_chain_destroy(chain)
        packets?.deallocate()
        sources?.deallocate()
    }

    /// `material` is the cipher's key and then the salt of its nonces (RFC 4106 §8.1, RFC 7634 §2).
    private static func aead(
        _ kind: parley_mb_aead_kind, _ encryption: Encryption, _ material: Secret
    ) -> OpaquePointer? {
        guard material.count >= encryption.keyOctets + 4 else { return nil }
        return material.withUnsafeBytes { octets in
            parley_mb_aead_create(
                kind, octets.baseAddress, UInt32(encryption.keyOctets * 8),
                octets.baseAddress.map { $0 + encryption.keyOctets }, encryption.id.tagOctets)
        }
    }

    private static func hash(_ integrity: IntegrityID) -> parley_mb_hash? {
        switch integrity {
        case .hmacSHA1_96: PARLEY_MB_SHA1
        case .hmacSHA256_128: PARLEY_MB_SHA256
        case .hmacSHA384_192: PARLEY_MB_SHA384
        case .hmacSHA512_256: PARLEY_MB_SHA512
        default: nil
        }
    }

    /// Lets a chain work on a batch. `prepare` gives the octets of text of a packet, or `nil` for one that does not take
    /// part.
    func run(
        _ batch: UnsafeMutableBufferPointer<PacketCipher.Work>, esn: Bool, seals: Bool,
        prepare: (PacketCipher.Work) -> Int?
    ) {
        guard let chain, let packets, let sources else { return }
        var next = 0
        while next < batch.count {
            var count = 0
            while next < batch.count, count < Self.batch {
                let work = batch[next]
                batch[next].isDone = false
                if let textCount = prepare(work) {
                    packets[count] = parley_mb_packet(
                        start: work.packet.assumingMemoryBound(to: UInt8.self), text_count: textCount,
                        high: UInt32(truncatingIfNeeded: work.sequence >> 32).bigEndian, is_done: 0)
                    sources[count] = next
                    count += 1
                }
                next += 1
            }
            if seals {
                parley_mb_chain_seal(chain, packets, count, esn ? 1 : 0)
            } else {
                parley_mb_chain_open(chain, packets, count, esn ? 1 : 0)
            }
            for index in 0..<count { batch[sources[index]].isDone = packets[index].is_done != 0 }
        }
    }
}
