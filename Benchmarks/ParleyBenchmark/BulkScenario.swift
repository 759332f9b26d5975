import CPacketAEAD
import Cryptography

/// Sealing and opening in the library that is fastest here: what the way through `PacketCipher` costs beside the bare call, and
/// beside the same work in libcrypto.
struct BulkScenario {
    let repetitions: Int
    private static let batch = 32

    private struct Kind {
        let name: String
        let encryption: Encryption
        let integrity: IntegrityID?
    }

    private static let kinds = [
        Kind(name: "aes256gcm16", encryption: Encryption(.aesGCM16, keyBits: 256), integrity: nil),
        Kind(name: "aes128gcm16", encryption: Encryption(.aesGCM16, keyBits: 128), integrity: nil),
        Kind(name: "chacha20poly1305", encryption: Encryption(.chacha20Poly1305), integrity: nil),
        Kind(name: "aes256-sha256", encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA256_128),
        Kind(name: "aes128-sha1", encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA1_96),
    ]

    func run() throws -> Report {
        var report = Report(
            scenario: "ESP packets in the fastest library",
            explanation: """
                Processor time per packet over batches of \(Self.batch), in place. "raw" is the library's own call with a \
                ready nonce; "libcrypto" the same packets one by one. Opening includes copying the sealed packet back, \
                everywhere. An algorithm whose name begins with "mb" or "boring" is in that library, whichever is the faster.
                """)
        for kind in Self.kinds {
            for octets in [64, 512, 1400] { report.rows.append(try row(kind, octets)) }
        }
        for kind in Self.kinds where kind.integrity == nil {
            for (name, implementation) in [("mb", PacketCipher.Implementation.multiBuffer), ("boring", .boringSSL)] {
                for octets in [64, 512, 1400] {
                    let row = try row(kind, octets, implementation)
                    report.rows.append(Report.Row(name: "\(name) \(row.name)", figures: row.figures))
                }
            }
        }
        return report
    }

    private func row(
        _ kind: Kind, _ octets: Int, _ implementation: PacketCipher.Implementation = .fastest
    ) throws -> Report.Row {
        let key = Secret((0..<kind.encryption.keyMaterialOctets).map { UInt8(truncatingIfNeeded: $0 &* 3) })
        let macKey = kind.integrity.map { Secret([UInt8](repeating: 9, count: $0.keyOctets)) }
        func cipher(_ sealing: Bool, _ implementation: PacketCipher.Implementation) throws -> PacketCipher {
            try PacketCipher(
                suite: kind.encryption, integrity: kind.integrity, encryptionKey: key, integrityKey: macKey,
                sealing: sealing, implementation: implementation)
        }
        let fast = try cipher(true, implementation)
        let plain = try cipher(true, .libcrypto)
        let opener = try cipher(false, implementation)
        let plainOpener = try cipher(false, .libcrypto)
        let block = fast.blockOctets
        let text = (octets + 2 + block - 1) / block * block
        let count = 8 + fast.ivOctets + text + fast.tagOctets
        let stride = (count + 63) / 64 * 64
        let memory = UnsafeMutableRawPointer.allocate(byteCount: stride * Self.batch, alignment: 64)
        let sealed = UnsafeMutableRawPointer.allocate(byteCount: stride * Self.batch, alignment: 64)
        defer {
            memory.deallocate()
            sealed.deallocate()
        }
        memory.initializeMemory(as: UInt8.self, repeating: 0x5A, count: stride * Self.batch)
        var work = (0..<Self.batch).map {
            PacketCipher.Work(packet: memory + $0 * stride, count: count, sequence: 0)
        }
        let raw = kind.integrity == nil ? RawBulk(kind.encryption, key, implementation, tagOctets: fast.tagOctets) : nil
        defer { raw?.destroy() }
        let rounds = max(20, 100_000 / (octets + 200))
        var sequence: UInt64 = 0
        var failures = 0
        func seal(_ cipher: PacketCipher) {
            for _ in 0..<rounds {
                for index in work.indices {
                    sequence += 1
                    work[index].sequence = sequence
                }
                work.withUnsafeMutableBufferPointer { cipher.seal($0, esn: false) }
                for done in work where !done.isDone { _ = done; failures += 1 }
            }
        }
        // A sealed batch to open again and again.
        for index in work.indices {
            sequence += 1
            work[index].sequence = sequence
            (work[index].packet + 4).storeBytes(of: UInt32(truncatingIfNeeded: sequence).bigEndian, as: UInt32.self)
        }
        work.withUnsafeMutableBufferPointer { fast.seal($0, esn: false) }
        sealed.copyMemory(from: memory, byteCount: stride * Self.batch)
        let openWork = work
        func open(_ cipher: PacketCipher) {
            for _ in 0..<rounds {
                memory.copyMemory(from: sealed, byteCount: stride * Self.batch)
                var work = openWork
                work.withUnsafeMutableBufferPointer { cipher.open($0, esn: false) }
                for done in work where !done.isDone { _ = done; failures += 1 }
            }
        }
        let readings = try Stopwatch.interleaved(
            operations: rounds * Self.batch, repetitions: repetitions,
            [
                { seal(fast) },
                {
                    for _ in 0..<rounds {
                        for index in 0..<Self.batch { raw?.seal(memory + index * stride, text) }
                    }
                },
                { seal(plain) }, { open(opener) },
                {
                    for _ in 0..<rounds {
                        memory.copyMemory(from: sealed, byteCount: stride * Self.batch)
                        for index in 0..<Self.batch { raw?.open(memory + index * stride, text) }
                    }
                },
                { open(plainOpener) },
            ])
        guard failures == 0 else { throw BenchmarkError("\(failures) packets failed with \(kind.name)") }
        var figures: [Report.Figure] = [.init("seal", "ns", readings[0])]
        // The raw call of a chain would be the batch itself.
        let none = Readings(values: [.nan])
        figures.append(.init("raw", "ns", raw == nil ? none : readings[1]))
        figures.append(.init("ratio", "", raw == nil ? none : Stopwatch.ratio(readings[0], readings[1])))
        figures.append(.init("libcrypto", "ns", readings[2]))
        figures.append(.init("open", "ns", readings[3]))
        figures.append(.init("raw", "ns", raw == nil ? none : readings[4]))
        figures.append(.init("ratio", "", raw == nil ? none : Stopwatch.ratio(readings[3], readings[4])))
        figures.append(.init("libcrypto", "ns", readings[5]))
        return Report.Row(name: "\(kind.name), \(octets)", figures: figures)
    }
}

/// The library's call for an AEAD, with nothing around it.
private struct RawBulk {
    private let aead: OpaquePointer
    private let nonce = UnsafeMutableRawPointer.allocate(byteCount: 12, alignment: 8)

    init?(
        _ encryption: Encryption, _ key: Secret, _ implementation: PacketCipher.Implementation, tagOctets: Int
    ) {
        let kind = encryption.id == .chacha20Poly1305 ? PARLEY_AEAD_CHACHA20_POLY1305 : PARLEY_AEAD_GCM
        let library =
            switch implementation {
            case .multiBuffer: PARLEY_AEAD_MULTI_BUFFER
            case .boringSSL: PARLEY_AEAD_BORINGSSL
            case .fastest, .libcrypto: PARLEY_AEAD_FASTEST
            }
        guard
            let aead = key.withUnsafeBytes({
                parley_aead_create(
                    kind, library, $0.baseAddress, UInt32(encryption.keyOctets * 8),
                    $0.baseAddress.map { $0 + encryption.keyOctets }, tagOctets)
            })
        else { return nil }
        self.aead = aead
        nonce.initializeMemory(as: UInt8.self, repeating: 7, count: 12)
        key.withUnsafeBytes { nonce.copyMemory(from: $0.baseAddress! + encryption.keyOctets, byteCount: 4) }
    }

    func destroy() {
        parley_aead_destroy(aead)
        nonce.deallocate()
    }

    func seal(_ packet: UnsafeMutableRawPointer, _ text: Int) {
        _ = parley_aead_seal(aead, packet + 16, text, nonce, packet, 8, packet + 16 + text)
    }

    func open(_ packet: UnsafeMutableRawPointer, _ text: Int) {
        (nonce + 4).copyMemory(from: packet + 8, byteCount: 8)
        _ = parley_aead_open(aead, packet + 16, text, nonce, packet, 8, packet + 16 + text)
    }
}
