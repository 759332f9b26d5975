internal import CLibcrypto
internal import CPacketAEAD

/// ESP in place (RFC 4303 §2): one security association, one direction, one thread. Keyed once; a packet sets only the
/// IV, and nothing is allocated.
///
///     [SPI 4][sequence 4][IV][payload, padding, pad length, next header][tag]
///
/// The IV of an AEAD and of CTR is the 64-bit sequence number, which never repeats under a key (RFC 4106 §3.1, RFC 7634
/// §2); with implicit IVs it is that without travelling, and a receiver uses the number it has worked out (RFC 8750 §3). The
/// IV of CBC is the sequence number, encrypted as a block with the packet's own key, so that nobody without the
/// key predicts it (RFC 3602 §3; NIST SP 800-38A, Appendix C, first method) and a replayed simulation makes the same
/// packets.
///
/// AES-GCM and ChaCha20-Poly1305 run in Intel's multi-buffer library or in BoringSSL, whichever is faster on the processor,
/// and AES-CBC with HMAC in the former; everything else, and everything where they are missing, in libcrypto, which takes up
/// to five times as long. CBC gains only where several packets come at once: see ``prefersBatches``.
///
/// AES-GMAC authenticates what stands between SPI and tag, the IV included, and leaves it readable. RFC 4543 §3.3 draws
/// the IV in no figure; Linux and other implementations authenticate it.
package final class PacketCipher {
    /// Octets of IV in each packet.
    package let ivOctets: Int
    /// Octets of integrity check value at the packet's end.
    package let tagOctets: Int
    /// What payload, padding and the two trailing octets are rounded to: a power of two, at least 4 (RFC 4303 §2.4).
    package let blockOctets: Int

    private let hasImplicitIV: Bool
    private let isSealing: Bool
    private let isAEAD: Bool
    private let isChained: Bool
    /// Whether the text is authenticated only, as additional data (RFC 4543).
    private let isClear: Bool
    /// The number of the packet last sealed: an AEAD that seals two packets under one number gives its key away.
    private var lastSealed: UInt64 = 0
    private let cipher: CipherContext?
    private let mac: (any MessageAuthenticator)?
    private let bulk: BulkCipher?
    private let fast: PacketAEAD?
    // SAFETY: `fast`'s own, which lives as long as this object.
    private let aead: OpaquePointer?
    // SAFETY: made in init, freed in deinit and never handed out; the class is not Sendable, so one thread at a time
    // uses it. It holds additional data (12 octets at 0), zeros (16 at 16, never written), a check value (64 at 32), and an
    // IV that does not travel (8 at 96).
    private let scratch: UnsafeMutableRawPointer
    private static let scratchOctets = 128

    /// Where a cipher comes from.
    package enum Implementation: Sendable {
        /// Whichever is fastest on this processor for the algorithm.
        case fastest
        /// Intel's library where it is there and serves the algorithm, else libcrypto.
        case multiBuffer
        /// BoringSSL where it serves the algorithm, else libcrypto.
        case boringSSL
        case libcrypto
    }

    /// A cipher for `suite`, with `integrity` beside it unless the suite authenticates. `encryptionKey` is key material:
    /// cipher key, then salt. Throws `unsupported` for algorithms this build lacks or that leave a packet without
    /// integrity (RFC 4301 §3.2 allows that, and it is not safe), and `invalidKey` for lengths that do not fit.
    package init(
        suite encryption: Encryption, integrity: IntegrityID?, encryptionKey: Secret, integrityKey: Secret?,
        sealing: Bool, implementation: Implementation = .fastest
    ) throws(CryptographyError) {
        let id = encryption.id
        var mac: (any MessageAuthenticator)?
        var tagOctets = id.tagOctets
        if !id.isAEAD {
            guard let integrity, IntegrityCheck.supports(integrity) else {
                throw .unsupported("\(encryption.name.keyword) with \((integrity ?? .none).name.keyword)")
            }
            guard let integrityKey, integrityKey.count == integrity.keyOctets else { throw .invalidKey }
            mac = try IntegrityCheck.keyed(integrity, integrityKey)
            tagOctets = integrity.tagOctets
        }
        let cipher = id == .null ? nil : try CipherContext(encryption, key: encryptionKey, sealing: sealing)
        let bulk =
            implementation == .fastest || implementation == .multiBuffer
            ? BulkCipher(
                encryption, integrity: id.isAEAD ? nil : integrity, encryptionKey: encryptionKey,
                integrityKey: integrityKey) : nil

        self.cipher = cipher
        self.mac = mac
        self.bulk = bulk
        fast = PacketAEAD(encryption, material: encryptionKey, implementation: implementation)
        aead = fast?.context
        self.tagOctets = tagOctets
        ivOctets = id.ivOctets
        blockOctets = max(4, id.blockOctets)
        hasImplicitIV = id.hasImplicitIV
        isSealing = sealing
        isAEAD = id.isAEAD
        isChained = id.blockOctets > 1
        isClear = !id.isConfidential
        scratch = .allocate(byteCount: Self.scratchOctets, alignment: 8)
        scratch.initializeMemory(as: UInt8.self, repeating: 0, count: Self.scratchOctets)
    }

    deinit {
        OPENSSL_cleanse(scratch, Self.scratchOctets)
        scratch.deallocate()
    }

    /// Writes IV, ciphertext and tag of a packet whose SPI, sequence number and padded plaintext are in place. `count`
    /// is the whole length; `sequence` the 64-bit number, whose high half is authenticated if `esn` (RFC 4303 §2.2.1).
    /// False when the lengths do not fit, when the number is not above all before it, or when libcrypto fails; the packet
    /// must then not be sent.
    ///
    /// SAFETY: the caller owns `packet` for `count` octets.
    package func seal(_ packet: UnsafeMutableRawPointer, count: Int, sequence: UInt64, esn: Bool) -> Bool {
        let textCount = count - 8 - ivOctets - tagOctets
        guard isSealing, sequence > lastSealed, textCount >= 4, textCount & (blockOctets - 1) == 0 else {
            return false
        }
        lastSealed = sequence
        if let aead {
            return parley_aead_seal_packet(aead, packet, ivOctets, textCount, sequence, esn ? 1 : 0) != 0
        }
        let iv = packet + 8
        let text = iv + ivOctets
        let tag = text + textCount
        if ivOctets >= 8 { writeSequence(iv, sequence) }
        if isAEAD {
            let (additional, additionalCount) = additionalData(packet, sequence, esn)
            let nonceIV = nonceIV(iv, sequence)
            if isClear {
                return cipher?.seal(
                    iv: nonceIV, additional: additional, additionalCount, further: iv, ivOctets + textCount, text: text,
                    0,
                    tag: tag) ?? false
            }
            return cipher?.seal(
                iv: nonceIV, additional: additional, additionalCount, text: text, textCount, tag: tag) ?? false
        }
        if isChained {
            // The block that holds the number is encrypted into the IV, and chains into the text behind it.
            guard let cipher, cipher.transform(iv: scratch + 16, iv, ivOctets + textCount) else { return false }
        } else if let cipher {
            guard cipher.transform(iv: iv, text, textCount) else { return false }
        }
        return writeCheckValue(packet, count - tagOctets, sequence, esn, into: tag)
    }

    /// Verifies a packet, then decrypts it in place. False when it is not authentic; its octets are then unspecified.
    ///
    /// SAFETY: the caller owns `packet` for `count` octets.
    package func open(_ packet: UnsafeMutableRawPointer, count: Int, sequence: UInt64, esn: Bool) -> Bool {
        let textCount = count - 8 - ivOctets - tagOctets
        guard !isSealing, textCount >= 4, textCount & (blockOctets - 1) == 0 else { return false }
        if let aead {
            return parley_aead_open_packet(aead, packet, ivOctets, textCount, sequence, esn ? 1 : 0) != 0
        }
        let iv = packet + 8
        let text = iv + ivOctets
        let tag = text + textCount
        if isAEAD {
            let (additional, additionalCount) = additionalData(packet, sequence, esn)
            let nonceIV = nonceIV(iv, sequence)
            if isClear {
                return cipher?.open(
                    iv: nonceIV, additional: additional, additionalCount, further: iv, ivOctets + textCount, text: text,
                    0,
                    tag: tag) ?? false
            }
            return cipher?.open(
                iv: nonceIV, additional: additional, additionalCount, text: text, textCount, tag: tag) ?? false
        }
        let expected = scratch + 32
        guard writeCheckValue(packet, count - tagOctets, sequence, esn, into: expected),
            CRYPTO_memcmp(expected, tag, tagOctets) == 0
        else { return false }
        return cipher?.transform(iv: iv, text, textCount) ?? true
    }

    /// Whether ``seal(_:esn:)`` and ``open(_:esn:)`` with several packets are faster than one packet after another.
    package var prefersBatches: Bool { bulk != nil }

    /// A packet of a batch.
    package struct Work {
        /// SAFETY: whoever puts it in owns ``count`` octets there.
        package var packet: UnsafeMutableRawPointer
        package var count: Int
        package var sequence: UInt64
        /// What ``seal(_:count:sequence:esn:)`` or ``open(_:count:sequence:esn:)`` would have returned.
        package var isDone = false

        package init(packet: UnsafeMutableRawPointer, count: Int, sequence: UInt64) {
            self.packet = packet
            self.count = count
            self.sequence = sequence
        }
    }

    /// Seals several packets of this SA, in the order of their numbers.
    package func seal(_ batch: UnsafeMutableBufferPointer<Work>, esn: Bool) {
        guard let bulk, batch.count > 1 else {
            for index in batch.indices {
                let work = batch[index]
                batch[index].isDone = seal(work.packet, count: work.count, sequence: work.sequence, esn: esn)
            }
            return
        }
        bulk.run(batch, esn: esn, seals: true) { work in
            let textCount = work.count - 8 - ivOctets - tagOctets
            guard isSealing, work.sequence > lastSealed, textCount >= 16, textCount.isMultiple(of: 16) else {
                return nil
            }
            lastSealed = work.sequence
            writeSequence(work.packet + 8, work.sequence)
            return textCount
        }
    }

    /// Opens several packets of this SA.
    package func open(_ batch: UnsafeMutableBufferPointer<Work>, esn: Bool) {
        guard let bulk, batch.count > 1 else {
            for index in batch.indices {
                let work = batch[index]
                batch[index].isDone = open(work.packet, count: work.count, sequence: work.sequence, esn: esn)
            }
            return
        }
        bulk.run(batch, esn: esn, seals: false) { work in
            let textCount = work.count - 8 - ivOctets - tagOctets
            return !isSealing && textCount >= 16 && textCount.isMultiple(of: 16) ? textCount : nil
        }
    }

    /// The 8 octets of IV that go into an AEAD's nonce: the packet's, or the number, whose high half is zero without
    /// extended ones (RFC 8750 §3).
    private func nonceIV(_ field: UnsafeMutableRawPointer, _ sequence: UInt64) -> UnsafeMutableRawPointer {
        guard hasImplicitIV else { return field }
        let place = scratch + 96
        place.storeBytes(of: sequence.bigEndian, as: UInt64.self)
        return place
    }

    /// Fills the IV's field with the number, zeros in front.
    private func writeSequence(_ field: UnsafeMutableRawPointer, _ sequence: UInt64) {
        if ivOctets > 8 { field.storeBytes(of: 0, as: UInt64.self) }
        field.storeBytes(of: sequence.bigEndian, toByteOffset: ivOctets - 8, as: UInt64.self)
    }

    /// RFC 4106 §5: SPI and sequence number as they stand in the packet, or SPI and the extended sequence number.
    private func additionalData(
        _ packet: UnsafeMutableRawPointer, _ sequence: UInt64, _ esn: Bool
    ) -> (UnsafeRawPointer, Int) {
        guard esn else { return (UnsafeRawPointer(packet), 8) }
        scratch.copyMemory(from: packet, byteCount: 4)
        (scratch + 4).storeBytes(of: sequence.bigEndian, as: UInt64.self)
        return (UnsafeRawPointer(scratch), 12)
    }

    /// RFC 4303 §2.8: over SPI to next header, with the high half of the sequence number behind if it is extended.
    private func writeCheckValue(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ sequence: UInt64, _ esn: Bool,
        into output: UnsafeMutableRawPointer
    ) -> Bool {
        guard let mac else { return false }
        let check = scratch + 32
        mac.begin()
        mac.update(packet, count)
        if esn {
            var high = UInt32(truncatingIfNeeded: sequence >> 32).bigEndian
            mac.update(&high, 4)
        }
        mac.finish(into: check)
        if output != check { output.copyMemory(from: check, byteCount: tagOctets) }
        return true
    }
}
