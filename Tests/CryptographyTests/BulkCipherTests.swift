import AllocationCounter
import Cryptography
import Primitives
import Testing

@testable import Cryptography

/// The multi-buffer library and BoringSSL against libcrypto, packet by packet and in batches. Where the machine lacks the
/// former, both sides are libcrypto and its tests hold trivially; `usesTheLibrariesWhereTheyAre` says which it is.
@Suite struct BulkCipherTests {
    static let kinds = PacketCipherTests.kinds
    private static let chains = kinds.filter { $0.encryption.id == .aesCBC }

    private func cipher(
        _ kind: PacketCipherTests.Kind, sealing: Bool, _ implementation: PacketCipher.Implementation = .fastest
    ) throws -> PacketCipher {
        try PacketCipher(
            suite: kind.encryption, integrity: kind.integrity, encryptionKey: kind.encryptionKey,
            integrityKey: kind.integrityKey, sealing: sealing, implementation: implementation)
    }

    private func run(
        _ cipher: PacketCipher, _ packets: inout [[UInt8]], first: UInt64, esn: Bool, sealing: Bool
    ) -> [Bool] {
        // One memory for all, as the workers have it.
        let stride = (packets.map(\.count).max() ?? 0) + 64
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: stride * packets.count, alignment: 64)
        defer { memory.deallocate() }
        var work: [PacketCipher.Work] = []
        for (index, packet) in packets.enumerated() {
            let place = UnsafeMutableRawBufferPointer(rebasing: memory[(index * stride)...])
            place.copyBytes(from: packet)
            work.append(
                PacketCipher.Work(packet: place.baseAddress!, count: packet.count, sequence: first + UInt64(index)))
        }
        work.withUnsafeMutableBufferPointer { batch in
            if sealing { cipher.seal(batch, esn: esn) } else { cipher.open(batch, esn: esn) }
        }
        for index in packets.indices {
            packets[index] = Array(memory[(index * stride)..<(index * stride + packets[index].count)])
        }
        return work.map(\.isDone)
    }

    @Test(arguments: [
        Encryption(.aesGCM16, keyBits: 128), Encryption(.aesGCM16, keyBits: 192), Encryption(.aesGCM8, keyBits: 256),
        Encryption(.chacha20Poly1305),
    ])
    func usesTheLibrariesWhereTheyAre(_ encryption: Encryption) throws {
        let material = Secret([UInt8](repeating: 1, count: encryption.keyMaterialOctets))
        func made(_ implementation: PacketCipher.Implementation) -> PacketAEAD? {
            PacketAEAD(encryption, material: material, implementation: implementation)
        }
        // swift-crypto carries BoringSSL along everywhere: where it is not found, its names have changed.
        #expect(try #require(made(.boringSSL)).isBoringSSL)
        #expect((made(.multiBuffer) != nil) == (BulkCipher.version != nil))
        #expect(made(.multiBuffer)?.isBoringSSL != true)
        #expect(made(.fastest) != nil)
        #expect(made(.libcrypto) == nil)
        #if !arch(x86_64)
            #expect(BulkCipher.version == nil)
        #endif
    }

    @Test func chainsUseTheLibraryWhereItIs() throws {
        let bulk = BulkCipher(
            Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA256_128,
            encryptionKey: Secret([UInt8](repeating: 1, count: 32)),
            integrityKey: Secret([UInt8](repeating: 2, count: 32)))
        #expect((bulk != nil) == (BulkCipher.version != nil))
    }

    @Test(arguments: kinds, [PacketCipher.Implementation.fastest, .multiBuffer, .boringSSL])
    func agreesWithLibcrypto(_ kind: PacketCipherTests.Kind, _ implementation: PacketCipher.Implementation) throws {
        for esn in [false, true] { try agrees(kind, implementation, esn: esn) }
    }

    private func agrees(
        _ kind: PacketCipherTests.Kind, _ implementation: PacketCipher.Implementation, esn: Bool
    ) throws {
        let fast = try cipher(kind, sealing: true, implementation)
        let plain = try cipher(kind, sealing: true, .libcrypto)
        let fastOpener = try cipher(kind, sealing: false, implementation)
        let plainOpener = try cipher(kind, sealing: false, .libcrypto)
        var sequence: UInt64 = 0xFFFF_FFF0
        for blocks in Array(1...20) + [63, 64, 65, 90, 350] {
            sequence += 1
            let text = kind.packet(fast, blocks: blocks, sequence: sequence)
            var (left, right) = ([text], [text])
            #expect(run(fast, &left, first: sequence, esn: esn, sealing: true) == [true])
            #expect(run(plain, &right, first: sequence, esn: esn, sealing: true) == [true])
            #expect(left == right, "\(blocks) blocks")
            var (opened, other) = (left, right)
            #expect(run(plainOpener, &opened, first: sequence, esn: esn, sealing: false) == [true])
            #expect(run(fastOpener, &other, first: sequence, esn: esn, sealing: false) == [true])
            let body = 8 + fast.ivOctets..<text.count - fast.tagOctets
            #expect(opened[0][body] == text[body])
            #expect(other[0][body] == text[body])
            // An altered octet anywhere is found: SPI, IV, text, tag.
            for place in [0, 8, text.count / 2, text.count - 1] {
                var altered = left
                altered[0][place] ^= 0x10
                #expect(run(fastOpener, &altered, first: sequence, esn: esn, sealing: false) == [false], "\(place)")
            }
        }
    }

    @Test(arguments: chains, [false, true])
    func batchesAreTheirPackets(_ kind: PacketCipherTests.Kind, esn: Bool) throws {
        for count in [1, 2, 7, 64, 65, 150] {
            let fast = try cipher(kind, sealing: true)
            let plain = try cipher(kind, sealing: true, .libcrypto)
            let first: UInt64 = 0xFFFF_FFC0
            var batch = (0..<count).map { kind.packet(fast, blocks: 1 + $0 * 7 % 90, sequence: first + UInt64($0)) }
            let text = batch
            var single = batch
            #expect(run(fast, &batch, first: first, esn: esn, sealing: true).allSatisfy { $0 })
            for index in single.indices {
                var one = [single[index]]
                #expect(run(plain, &one, first: first + UInt64(index), esn: esn, sealing: true) == [true])
                single[index] = one[0]
            }
            #expect(batch == single)

            // Damage in some does not touch the others.
            let opener = try cipher(kind, sealing: false)
            for index in stride(from: 0, to: count, by: 3) { batch[index][batch[index].count - 1 - index % 20] ^= 4 }
            let done = run(opener, &batch, first: first, esn: esn, sealing: false)
            for index in 0..<count {
                #expect(done[index] == !index.isMultiple(of: 3))
                guard done[index] else { continue }
                let body = 8 + fast.ivOctets..<text[index].count - fast.tagOctets
                #expect(batch[index][body] == text[index][body])
            }
        }
    }

    @Test func batchesRefuseNumbersThatDoNotGrow() throws {
        let kind = try #require(Self.chains.first)
        let sealer = try cipher(kind, sealing: true)
        var batch = (0..<3).map { _ in kind.packet(sealer, blocks: 4, sequence: 5) }
        #expect(run(sealer, &batch, first: 5, esn: false, sealing: true) == [true, true, true])
        var again = (0..<3).map { _ in kind.packet(sealer, blocks: 4, sequence: 6) }
        #expect(run(sealer, &again, first: 6, esn: false, sealing: true) == [false, false, true])
    }

    @Test func batchesAllocateNothing() throws {
        guard parley_allocations_are_counted() != 0 else { return }
        let kind = try #require(Self.chains.first)
        let sealer = try cipher(kind, sealing: true)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 32 * 1600, alignment: 64)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        let count = 8 + sealer.ivOctets + 1440 + sealer.tagOctets
        var work = (0..<32).map {
            PacketCipher.Work(packet: memory.baseAddress! + $0 * 1600, count: count, sequence: UInt64($0))
        }
        var next: UInt64 = 1
        work.withUnsafeMutableBufferPointer { batch in
            func carry() {
                for index in batch.indices {
                    batch[index].sequence = next
                    next += 1
                }
                sealer.seal(batch, esn: true)
            }
            carry()
            let before = parley_allocation_count()
            for _ in 0..<50 { carry() }
            #expect(parley_allocation_count() - before == 0)
        }
        #expect(work.allSatisfy { $0.isDone })
    }
}
