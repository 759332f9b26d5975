import Cryptography
import IPsec
import ISAKMP
import Primitives

/// Reading and writing the messages of a handshake as the framework does: header and payload chain.
struct MessageScenario {
    let repetitions: Int

    func run<Session: KeyExchangeSession>(
        _ session: Session.Type, _ version: IKEVersion, _ name: String
    ) throws -> Report {
        var report = Report(
            scenario: "Messages, \(name)",
            explanation: """
                Processor time to read a message of a handshake (modp2048) into header and payloads, and to write it \
                again. Encrypted payloads stay closed.
                """)
        var wire = try Wire<Session>(group: .modp2048, version: version, randomness: .seeded(7))
        _ = try wire.handshake()
        let operations = 20_000
        for (index, datagram) in wire.datagrams.enumerated() {
            // The rest of an encrypted message of version 1 is no payload chain.
            if datagram.octets[19] & HeaderFlags.encryption.rawValue != 0, version == .v1 { continue }
            let (message, last) = try Self.read(datagram.octets)
            var octets = 0
            let readings = try Stopwatch.interleaved(
                operations: operations, repetitions: repetitions,
                [
                    { for _ in 0..<operations { octets &+= try Self.read(datagram.octets).0.payloads.count } },
                    {
                        for _ in 0..<operations {
                            var written: [UInt8] = []
                            written.reserveCapacity(datagram.octets.count)
                            message.header.write(to: &written)
                            PayloadChain.write(message.payloads, last: last, to: &written)
                            octets &+= written.count
                        }
                    },
                ])
            guard octets > 0 else { throw BenchmarkError("no payloads") }
            report.rows.append(
                Report.Row(
                    name: "message \(index + 1), \(datagram.octets.count) octets",
                    figures: [
                        .init("read", "ns", readings[0]),
                        .init("read", "/s", Readings(values: readings[0].values.map { 1e9 / $0 })),
                        .init("write", "ns", readings[1]),
                        .init("write", "/s", Readings(values: readings[1].values.map { 1e9 / $0 })),
                    ]))
        }
        return report
    }

    /// Encrypted payloads end a chain of version 2 (RFC 7296 §3.14, RFC 7383 §2.5).
    private static let encrypted: Set<PayloadType> = [PayloadType(rawValue: 46), PayloadType(rawValue: 53)]

    private static func read(_ octets: [UInt8]) throws -> (Message, PayloadType) {
        var reader = ByteReader(octets)
        let header = try Header(from: &reader)
        let chain = try PayloadChain.read(first: header.nextPayload, terminal: encrypted, from: &reader)
        return (Message(header: header, payloads: chain.payloads), chain.next)
    }
}
