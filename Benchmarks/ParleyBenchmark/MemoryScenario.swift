import CHeap
import Cryptography
import IPsec
import Primitives

/// What an established IKE SA with one child keeps.
struct MemoryScenario {
    let quick: Bool

    func run<Session: KeyExchangeSession>(
        _ session: Session.Type, _ version: IKEVersion, _ name: String
    ) throws -> Report {
        var report = Report(
            scenario: "Memory, \(name)",
            explanation: """
                Octets that stay per IKE SA with one child at one end (the session with its keys, and the child's SPI in \
                the node's table), when that many are kept and the other end is dropped: growth of the heap, and of \
                resident memory, divided by the number. The packet ciphers that a data plane makes of the child's keys \
                come on top and are measured alone. The aim is 4096 at most.
                """)
        for count in quick ? [1000] : [1000, 10_000] {
            for isInitiator in [true, false] {
                let use = try grow(session, version, count, isInitiator)
                report.rows.append(
                    Report.Row(
                        name: "\(count) \(isInitiator ? "initiators" : "responders")",
                        figures: [
                            .init("heap", "octets", use.heap / Double(count)),
                            .init("resident", "octets", use.resident / Double(count)),
                        ]))
            }
        }
        return report
    }

    private func grow<Session: KeyExchangeSession>(
        _ session: Session.Type, _ version: IKEVersion, _ count: Int, _ isInitiator: Bool
    ) throws -> (heap: Double, resident: Double) {
        var wire = try Wire<Session>(group: .ecp256, version: version, randomness: .seeded(UInt64(count)))
        for _ in 0..<50 { _ = try wire.handshake() }  // what is made once is made now
        wire.forget()
        parley_heap_trim()
        let before = MemoryUse.now()
        var kept: [Session] = []
        kept.reserveCapacity(count)
        for _ in 0..<count {
            let pair = try wire.handshake()
            kept.append(isInitiator ? pair.initiator : pair.responder)
        }
        let after = MemoryUse.now()
        // Reading the sessions here keeps them until after the measurement.
        let established = kept.count { $0.snapshot.state == .established }
        guard established == count else { throw BenchmarkError("\(established) of \(count) are established") }
        return (after.heap - before.heap, after.resident - before.resident)
    }

    /// The packet ciphers of one child: one to seal and one to open.
    func packetCiphers() throws -> Report {
        var report = Report(
            scenario: "Memory, packet ciphers",
            explanation: "Growth of the heap for the two packet ciphers of one child, libcrypto's contexts included.")
        let kinds: [(String, Encryption, IntegrityID?)] = [
            ("aes256gcm16", Encryption(.aesGCM16, keyBits: 256), nil),
            ("chacha20poly1305", Encryption(.chacha20Poly1305), nil),
            ("aes256-sha256", Encryption(.aesCBC, keyBits: 256), .hmacSHA256_128),
        ]
        for (name, encryption, integrity) in kinds {
            let key = Secret([UInt8](repeating: 1, count: encryption.keyMaterialOctets))
            let macKey = integrity.map { Secret([UInt8](repeating: 2, count: $0.keyOctets)) }
            var kept: [PacketCipher] = []
            let count = 1000
            kept.reserveCapacity(2 * count)
            let before = MemoryUse.now()
            for _ in 0..<count {
                for sealing in [true, false] {
                    kept.append(
                        try PacketCipher(
                            suite: encryption, integrity: integrity, encryptionKey: key, integrityKey: macKey,
                            sealing: sealing))
                }
            }
            let after = MemoryUse.now()
            withExtendedLifetime(kept) {}
            report.rows.append(
                Report.Row(
                    name: name,
                    figures: [.init("heap", "octets", (after.heap - before.heap) / Double(count))]))
        }
        return report
    }
}
