import AllocationCounter
import Cryptography
import Primitives
import Testing
import VectorSupport

/// One side of a packet's way, over an array.
private func pass(
    _ cipher: PacketCipher, _ packet: inout [UInt8], sequence: UInt64, esn: Bool, sealing: Bool
) -> Bool {
    packet.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return false }
        return sealing
            ? cipher.seal(base, count: buffer.count, sequence: sequence, esn: esn)
            : cipher.open(base, count: buffer.count, sequence: sequence, esn: esn)
    }
}

@Suite struct PacketCipherTests {
    struct Kind: Sendable, CustomStringConvertible {
        let encryption: Encryption
        let integrity: IntegrityID?
        var description: String {
            encryption.name.keyword + (integrity.map { "-" + $0.name.keyword } ?? "")
        }

        var encryptionKey: Secret { Secret((0..<encryption.keyMaterialOctets).map { UInt8($0 &* 5 &+ 11) }) }
        var integrityKey: Secret? { integrity.map { Secret((0..<UInt8($0.keyOctets)).map { $0 ^ 0x77 }) } }

        func cipher(sealing: Bool) throws -> PacketCipher {
            try PacketCipher(
                suite: encryption, integrity: integrity, encryptionKey: encryptionKey, integrityKey: integrityKey,
                sealing: sealing)
        }

        /// A packet with `blocks` blocks of known plaintext.
        func packet(_ cipher: PacketCipher, blocks: Int, sequence: UInt64) -> [UInt8] {
            let text = (0..<(blocks * cipher.blockOctets)).map { UInt8(truncatingIfNeeded: $0) }
            var packet: [UInt8] = [0xde, 0xad, 0xbe, 0xef]
            packet.append(bigEndian: UInt32(truncatingIfNeeded: sequence))
            packet += [UInt8](repeating: 0, count: cipher.ivOctets) + text
            packet += [UInt8](repeating: 0, count: cipher.tagOctets)
            return packet
        }
    }

    static let kinds: [Kind] = {
        var kinds: [Kind] = []
        for bits in [128, 192, 256] {
            let combined: [EncryptionID] = [
                .aesGCM8, .aesGCM12, .aesGCM16, .aesGMAC, .aesCCM8, .aesCCM12, .aesCCM16, .aesGCM16ImplicitIV,
                .aesCCM8ImplicitIV,
            ]
            for id in combined {
                kinds.append(Kind(encryption: Encryption(id, keyBits: bits), integrity: nil))
            }
            let hashes: [IntegrityID] = [
                .hmacMD5_96, .hmacSHA1_96, .aesXCBC_96, .aesCMAC_96, .hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256,
            ]
            for integrity in hashes {
                kinds.append(Kind(encryption: Encryption(.aesCBC, keyBits: bits), integrity: integrity))
            }
            kinds.append(Kind(encryption: Encryption(.camelliaCBC, keyBits: bits), integrity: .hmacSHA256_128))
            kinds.append(Kind(encryption: Encryption(.aesCTR, keyBits: bits), integrity: .hmacSHA256_128))
        }
        kinds.append(Kind(encryption: Encryption(.chacha20Poly1305), integrity: nil))
        kinds.append(Kind(encryption: Encryption(.chacha20Poly1305ImplicitIV), integrity: nil))
        kinds.append(Kind(encryption: Encryption(.tripleDES), integrity: .hmacSHA1_96))
        for integrity in [IntegrityID.hmacSHA256_128, .hmacMD5_96, .aesXCBC_96, .aesCMAC_96] {
            kinds.append(Kind(encryption: Encryption(.null), integrity: integrity))
        }
        return kinds
    }()

    @Test(arguments: kinds) func everySuiteCarriesPackets(_ kind: Kind) throws {
        for esn in [false, true] {
            let sender = try kind.cipher(sealing: true)
            let receiver = try kind.cipher(sealing: false)
            #expect(sender.blockOctets >= 4 && sender.blockOctets == receiver.blockOctets)
            #expect(sender.ivOctets == kind.encryption.id.ivOctets)
            for (blocks, sequence) in [(1, UInt64(1)), (2, 2), (7, 0xffff_ffff), (90, 0x1_0000_0003)] {
                let plain = kind.packet(sender, blocks: blocks, sequence: sequence)
                var packet = plain
                #expect(pass(sender, &packet, sequence: sequence, esn: esn, sealing: true))
                let body = 8 + sender.ivOctets..<plain.count - sender.tagOctets
                #expect((packet[body] == plain[body]) == (!kind.encryption.id.isConfidential))
                #expect(packet[..<8] == plain[..<8])
                #expect(pass(receiver, &packet, sequence: sequence, esn: esn, sealing: false))
                #expect(packet[body] == plain[body])
            }
        }
    }

    @Test(arguments: kinds) func everyChangedOctetIsNoticed(_ kind: Kind) throws {
        for esn in [false, true] {
            let sender = try kind.cipher(sealing: true)
            let receiver = try kind.cipher(sealing: false)
            var sealed = kind.packet(sender, blocks: 3, sequence: 5)
            #expect(pass(sender, &sealed, sequence: 5, esn: esn, sealing: true))
            // With extended numbers an AEAD authenticates the number that the receiver worked out, not the field.
            let unbound = esn && kind.integrity == nil ? 4..<8 : 0..<0
            for index in sealed.indices where !unbound.contains(index) {
                var changed = sealed
                changed[index] ^= 0x10
                #expect(!pass(receiver, &changed, sequence: 5, esn: esn, sealing: false), "octet \(index)")
            }
            var other = sealed
            #expect(!pass(receiver, &other, sequence: 5, esn: !esn, sealing: false))
            if esn {
                other = sealed
                #expect(!pass(receiver, &other, sequence: 0x1_0000_0005, esn: true, sealing: false))
            }
            for count in 0..<sealed.count {
                var short = Array(sealed.prefix(count))
                #expect(!pass(receiver, &short, sequence: 5, esn: esn, sealing: false), "cut to \(count)")
            }
            // What was refused has not spoiled the key.
            #expect(pass(receiver, &sealed, sequence: 5, esn: esn, sealing: false))
        }
    }

    @Test func publishedPackets() throws {
        let suites: [String: Encryption] = [
            "chacha20poly1305": Encryption(.chacha20Poly1305), "aes128gcm16": Encryption(.aesGCM16, keyBits: 128),
        ]
        for record in VectorFile("esp-packets").records {
            let suite = try #require(suites[record[text: "suite"]])
            let receiver = try PacketCipher(
                suite: suite, integrity: nil, encryptionKey: Secret(record["key"]), integrityKey: nil, sealing: false)
            let header = record["header"]
            let sequence = record["sequence"].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            var packet = header + record["iv"] + record["ciphertext"] + record["tag"]
            let esn = record["esn"] == [1]
            #expect(pass(receiver, &packet, sequence: sequence, esn: esn, sealing: false), "\(record)")
            #expect(Array(packet.dropFirst(16).dropLast(16)) == record["plaintext"], "\(record)")
        }
    }

    /// Packets that `reference/packets.py`, a second implementation, made.
    @Test func packetsOfOlderSuites() throws {
        var suites: [String: Encryption] = [
            "3des": Encryption(.tripleDES), "null": Encryption(.null),
            "chacha20poly1305iiv": Encryption(.chacha20Poly1305ImplicitIV),
        ]
        for bits in [128, 192, 256] {
            let ids: [EncryptionID] = [
                .aesCBC, .camelliaCBC, .aesCTR, .aesGCM8, .aesGCM12, .aesGCM16, .aesCCM8, .aesCCM12, .aesCCM16,
                .aesGMAC, .aesGCM16ImplicitIV, .aesCCM8ImplicitIV,
            ]
            for id in ids {
                let encryption = Encryption(id, keyBits: bits)
                suites[encryption.name.keyword] = encryption
            }
        }
        let codes = Dictionary(
            uniqueKeysWithValues: [
                IntegrityID.hmacMD5_96, .hmacSHA1_96, .hmacSHA256_128, .aesXCBC_96, .aesCMAC_96,
            ].map { ($0.name.keyword, $0) })
        var seen: Set<String> = []
        for record in VectorFile("esp-older-suites").records {
            let name = "\(record[text: "suite"])-\(record[text: "integrity"])"
            let suite = try #require(suites[record[text: "suite"]], "\(name)")
            let integrity = codes[record[text: "integrity"]]
            let receiver = try PacketCipher(
                suite: suite, integrity: integrity, encryptionKey: Secret(record["key"]),
                integrityKey: integrity.map { _ in Secret(record["integritykey"]) }, sealing: false)
            let sequence = record["sequence"].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            var packet = record["packet"]
            let esn = record["esn"] == [1]
            #expect(pass(receiver, &packet, sequence: sequence, esn: esn, sealing: false), "\(name)")
            let text = packet.dropFirst(8 + receiver.ivOctets).dropLast(receiver.tagOctets)
            #expect(Array(text) == record["plaintext"], "\(name)")
            seen.insert(name)
        }
        #expect(seen.count == 49)
    }

    /// The same packet but for the IV, which RFC 8750 §3 makes of the number that the receiver has worked out.
    @Test(arguments: [
        (EncryptionID.aesGCM16ImplicitIV, 256), (.aesCCM8ImplicitIV, 128), (.chacha20Poly1305ImplicitIV, 0),
    ])
    func implicitIVsAreExplicitOnesLeftOut(_ id: EncryptionID, _ bits: Int) throws {
        let implicit = Kind(encryption: Encryption(id, keyBits: bits), integrity: nil)
        let explicit = Kind(encryption: Encryption(id.base, keyBits: bits), integrity: nil)
        for (esn, sequence) in [(false, UInt64(0xfedc_ba98)), (true, 0x1234_5678_9abc_def0)] {
            let sender = try implicit.cipher(sealing: true)
            let other = try explicit.cipher(sealing: true)
            var short = implicit.packet(sender, blocks: 9, sequence: sequence)
            var long = explicit.packet(other, blocks: 9, sequence: sequence)
            #expect(pass(sender, &short, sequence: sequence, esn: esn, sealing: true))
            #expect(pass(other, &long, sequence: sequence, esn: esn, sealing: true))
            #expect(short.count == long.count - 8)
            #expect(Array(short) == Array(long[..<8]) + Array(long[16...]))
            #expect(Array(long[8..<16]) == (0..<8).map { UInt8(truncatingIfNeeded: sequence >> (56 - 8 * $0)) })
        }
    }

    @Test func counterIVsAreTheSequenceNumber() throws {
        let sender = try Kind(encryption: Encryption(.aesGCM16, keyBits: 128), integrity: nil).cipher(sealing: true)
        var packet = Self.kinds[0].packet(sender, blocks: 1, sequence: 0x0102_0304_0506_0708)
        #expect(pass(sender, &packet, sequence: 0x0102_0304_0506_0708, esn: true, sealing: true))
        #expect(packet[8..<16] == [1, 2, 3, 4, 5, 6, 7, 8])
    }

    /// NIST SP 800-38A, Appendix C: the IV is a nonce under the packet's own key, and the text chains on from it.
    @Test func chainedIVsAreTheEncryptedNumber() throws {
        let kind = Kind(encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA256_128)
        let sender = try kind.cipher(sealing: true)
        let plain = kind.packet(sender, blocks: 2, sequence: 0x1_0000_0009)
        var packet = plain
        #expect(pass(sender, &packet, sequence: 0x1_0000_0009, esn: true, sealing: true))
        let nonce: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]
        let zero = [UInt8](repeating: 0, count: 16)
        let iv = try MessageCipher.encrypt(kind.encryption, key: kind.encryptionKey, iv: zero, nonce)
        #expect(Array(packet[8..<24]) == iv)
        let text = try MessageCipher.encrypt(kind.encryption, key: kind.encryptionKey, iv: iv, Array(plain[24..<56]))
        #expect(Array(packet[24..<56]) == text)
    }

    @Test func chainedIVsLookRandomAndDoNotRepeat() throws {
        let kind = Kind(encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA256_128)
        let sender = try kind.cipher(sealing: true)
        var seen: Set<[UInt8]> = []
        var ones = 0
        for sequence in UInt64(1)...2000 {
            var packet = kind.packet(sender, blocks: 1, sequence: sequence)
            #expect(pass(sender, &packet, sequence: sequence, esn: false, sealing: true))
            let iv = Array(packet[8..<24])
            ones += iv.reduce(0) { $0 + $1.nonzeroBitCount }
            seen.insert(iv)
        }
        #expect(seen.count == 2000)
        // 256,000 fair bits: 128,000 ones, standard deviation 253.
        #expect(abs(ones - 128_000) < 1500)
    }

    @Test func thatWhichCannotProtectIsRefused() {
        let key = Secret([UInt8](repeating: 1, count: 16))
        #expect(throws: CryptographyError.self) {
            try PacketCipher(
                suite: Encryption(.aesCBC, keyBits: 128), integrity: nil, encryptionKey: key, integrityKey: nil,
                sealing: true)
        }
        #expect(throws: CryptographyError.invalidKey) {
            try PacketCipher(
                suite: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA256_128, encryptionKey: key,
                integrityKey: key, sealing: true)
        }
        #expect(throws: CryptographyError.invalidKey) {
            try PacketCipher(
                suite: Encryption(.aesGCM16, keyBits: 128), integrity: nil, encryptionKey: key, integrityKey: nil,
                sealing: true)
        }
        #expect(throws: CryptographyError.self) {
            try PacketCipher(
                suite: Encryption(.null), integrity: IntegrityID.none, encryptionKey: Secret([]), integrityKey: nil,
                sealing: true)
        }
    }

    @Test func aCipherWorksOneWayOnly() throws {
        let kind = Self.kinds[0]
        let sender = try kind.cipher(sealing: true)
        let receiver = try kind.cipher(sealing: false)
        var packet = kind.packet(sender, blocks: 2, sequence: 1)
        #expect(!pass(receiver, &packet, sequence: 1, esn: false, sealing: true))
        #expect(pass(sender, &packet, sequence: 1, esn: false, sealing: true))
        #expect(!pass(sender, &packet, sequence: 1, esn: false, sealing: false))
    }

    @Test(arguments: kinds) func packetsAllocateNothing(_ kind: Kind) throws {
        guard parley_allocations_are_counted() == 1 else { return }
        let sender = try kind.cipher(sealing: true)
        let receiver = try kind.cipher(sealing: false)
        let packet = kind.packet(sender, blocks: 40, sequence: 1)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: packet.count, alignment: 16)
        defer { buffer.deallocate() }
        buffer.copyBytes(from: packet)
        let base = try #require(buffer.baseAddress)
        var fine = 0
        var sequence: UInt64 = 0
        func run(_ packets: UInt64) {
            let last = sequence + packets
            while sequence < last {  // a `for` would itself allocate in a debug build
                sequence += 1
                if sender.seal(base, count: buffer.count, sequence: sequence, esn: false),
                    receiver.open(base, count: buffer.count, sequence: sequence, esn: false)
                {
                    fine += 1
                }
            }
        }
        run(3)  // The first packet may load what every later one uses.
        let before = parley_allocation_count()
        run(10_000)
        let allocations = parley_allocation_count() - before
        #expect(fine == 10_003)
        #expect(allocations == 0)
    }

    @Test func noNumberIsSealedTwice() throws {
        for kind in [Self.kinds[0], Kind(encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA1_96)] {
            let sender = try kind.cipher(sealing: true)
            func seals(_ sequence: UInt64) -> Bool {
                var packet = kind.packet(sender, blocks: 1, sequence: sequence)
                return pass(sender, &packet, sequence: sequence, esn: true, sealing: true)
            }
            #expect(!seals(0))  // RFC 4303 §2.2: the first packet has number 1
            #expect(seals(1))
            #expect(!seals(1))
            #expect(seals(7))
            #expect(!seals(6))
            #expect(!seals(7))
            #expect(seals(.max))
            #expect(!seals(0) && !seals(1) && !seals(.max))
        }
    }

    @Test func allocationsAreSeenByTheCounter() throws {
        guard parley_allocations_are_counted() == 1 else { return }
        let before = parley_allocation_count()
        let cipher = try Self.kinds[0].cipher(sealing: true)  // libcrypto's and Swift's heap objects
        let kept = [UInt8](repeating: UInt8(cipher.tagOctets), count: 5000)
        #expect(kept.count == 5000)
        #expect(parley_allocation_count() - before >= 5)
    }
}
