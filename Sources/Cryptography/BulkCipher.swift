internal import CIPsecMB

/// A block chain with HMAC in the multi-buffer library, whose work comes in batches, keyed once: one SA, one direction, one thread.
final class BulkCipher {
    /// What the library says of itself; `nil` where it is missing.
    static var version: String? { parley_mb_version().map { String(cString: $0) } }

    /// The most packets that one call of the library takes here.
    static let batch = 64

    // SAFETY: made in init, freed in deinit. The class is not Sendable, so one thread at a time uses it.
    private let chain: OpaquePointer
    /// Room for a batch's descriptions.
    private let packets: UnsafeMutablePointer<parley_mb_packet>
    private let sources: UnsafeMutablePointer<Int>

    /// `nil` where the library is missing or the algorithms are none of those: AES-CBC with an HMAC of SHA-1 or SHA-2.
    init?(_ encryption: Encryption, integrity: IntegrityID?, encryptionKey: Secret, integrityKey: Secret?) {
        guard encryption.id.base == .aesCBC, let integrity, let integrityKey, let hash = BulkCipher.hash(integrity)
        else { return nil }
        let chain = encryptionKey.withUnsafeBytes { cipherKey in
            integrityKey.withUnsafeBytes { hashKey in
                parley_mb_chain_create(
                    cipherKey.baseAddress, UInt32(encryption.keyOctets * 8), hash, hashKey.baseAddress, hashKey.count,
                    integrity.tagOctets)
            }
        }
        guard let chain else { return nil }
        self.chain = chain
        packets = .allocate(capacity: Self.batch)
        sources = .allocate(capacity: Self.batch)
        packets.initialize(repeating: parley_mb_packet(), count: Self.batch)
        sources.initialize(repeating: 0, count: Self.batch)
    }

    deinit {
        parley_mb_chain_destroy(chain)
        packets.deallocate()
        sources.deallocate()
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

    /// Works on a batch. `prepare` gives the octets of text of a packet, or `nil` for one that does not take
    /// part.
    func run(
        _ batch: UnsafeMutableBufferPointer<PacketCipher.Work>, esn: Bool, seals: Bool,
        prepare: (PacketCipher.Work) -> Int?
    ) {
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
