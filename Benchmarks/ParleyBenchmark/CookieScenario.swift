import Cryptography
import IKEv2
import IPsec
import KeyManagement
import Primitives

/// What a flood of first messages costs a node that asks for cookies (RFC 7296 §2.6).
struct CookieScenario {
    let repetitions: Int

    func run() throws -> Report {
        guard let here = IPAddress("192.0.2.2"), let net = Prefix("10.0.0.0/8") else { throw BenchmarkError("address") }
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: [.curve25519])
        let esp = Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])
        var connection = Connection(
            name: "any", proposals: [ike],
            children: [
                ChildPolicy(
                    name: "net", proposals: [esp], localSelectors: [.fixed(TrafficSelector(net))],
                    remoteSelectors: [.fixed(TrafficSelector(net))])
            ])
        connection.version = .v2
        connection.localAddresses = [.range(here, here)]
        var limits = AdmissionLimits()
        limits.cookieThreshold = 0
        limits.puzzleThreshold = .max
        var manager = KeyManager(
            now: Instant(nanoseconds: 1_000_000_000_000), randomness: .buffered,
            policies: PolicyDatabase(connections: [connection]), limits: limits, sourceAddress: { _ in here })
        var wire = try Wire<IKESession>(group: .curve25519, version: .v2, randomness: .buffered)
        _ = try wire.handshake()
        guard let request = wire.datagrams.first else { throw BenchmarkError("no first message") }
        let operations = 2000
        var number: UInt32 = 0
        var answered = 0
        let readings = try Stopwatch.interleaved(
            operations: operations, repetitions: repetitions,
            [
                {
                    for _ in 0..<operations {
                        // Each from another address with another SPI, as a flood has it.
                        number &+= 1
                        var octets = request.octets
                        for byte in 0..<4 { octets[byte] = UInt8(truncatingIfNeeded: number >> (8 * UInt32(byte))) | 1 }
                        let source = Endpoint(IPAddress(v4: 0x0A00_0000 | (number & 0xFF_FFFF)), port: 500)
                        let effects = manager.handle(
                            .datagram(Datagram(local: Endpoint(here, port: 500), remote: source, octets: octets)),
                            now: Instant(nanoseconds: 1_000_000_000_000))
                        for case .send in effects { answered += 1 }
                    }
                }
            ])
        guard answered == operations * (repetitions + 1), manager.sessionCounts.all == 0 else {
            throw BenchmarkError("\(answered) answers, \(manager.sessionCounts.all) states")
        }
        var report = Report(
            scenario: "Cookies",
            explanation: """
                Processor time for one IKE_SA_INIT request of \(request.octets.count) octets (x25519), each of another \
                address, that is answered with a COOKIE and leaves no state; sockets left out.
                """)
        report.rows.append(
            Report.Row(
                name: "COOKIE",
                figures: [
                    .init("a reply", "µs", Readings(values: readings[0].values.map { $0 / 1000 })),
                    .init("on one core", "/s", Readings(values: readings[0].values.map { 1e9 / $0 })),
                ]))
        return report
    }
}
