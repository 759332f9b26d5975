import Cryptography
import IPsec
import Oakley
import Primitives

/// Whole handshakes of two ends in one process, beside their public-key operations alone.
struct HandshakeScenario {
    let repetitions: Int
    /// The one algorithm to measure; `nil` for all.
    let only: String?

    func run<Session: KeyExchangeSession>(
        _ session: Session.Type, _ version: IKEVersion, _ name: String
    ) throws -> Report {
        var report = Report(
            scenario: "Handshakes, \(name)",
            explanation: """
                Processor time of both ends together for an IKE SA with one child (aes256-sha256, pre-shared keys, \
                ESP with aes256gcm16), sockets left out; beside it, in the same repetition, the two key pairs and two \
                shared secrets alone. The aim is a ratio of 1.5 at most.
                """)
        var groups: [(KeyExchangeID, KeyExchangeID?, Int)] = [
            (.curve25519, nil, 100), (.ecp256, nil, 100), (.ecp384, nil, 15), (.modp2048, nil, 25),
            (.modp3072, nil, 10),
        ]
        if version == .v2 { groups.insert((.curve25519, .mlkem768, 100), at: 1) }
        for (group, further, operations) in groups {
            let name = group.name.keyword + (further.map { "-ke1_\($0.name.keyword)" } ?? "")
            guard only == nil || only == name else { continue }
            var wire = try Wire<Session>(group: group, further: further, version: version, randomness: .buffered)
            var randomness = Randomness.buffered
            let readings = try Stopwatch.interleaved(
                operations: operations, repetitions: repetitions,
                [
                    {
                        for _ in 0..<operations { _ = try wire.handshake() }
                        wire.forget()
                    },
                    {
                        for _ in 0..<operations {
                            let initiator = try KeyDetermination.generate(group, &randomness)
                            let responder = try KeyDetermination.generate(group, &randomness)
                            _ = try KeyDetermination.sharedSecret(initiator, peer: responder.publicValue)
                            _ = try KeyDetermination.sharedSecret(responder, peer: initiator.publicValue)
                            guard let further else { continue }
                            let lattice = try KeyDetermination.generate(further, &randomness)
                            let answer = try KeyDetermination.respond(further, to: lattice.publicValue, &randomness)
                            _ = try KeyDetermination.sharedSecret(lattice, peer: answer.publicValue)
                        }
                    },
                ])
            let rest = Readings(values: zip(readings[0].values, readings[1].values).map { $0 - $1 })
            func micro(_ readings: Readings) -> Readings { Readings(values: readings.values.map { $0 / 1000 }) }
            report.rows.append(
                Report.Row(
                    name: name,
                    figures: [
                        .init("handshakes", "/s", Readings(values: readings[0].values.map { 1e9 / $0 })),
                        .init("both ends", "µs", micro(readings[0])),
                        .init("public-key operations", "µs", micro(readings[1])),
                        .init("the rest", "µs", micro(rest)),
                        .init("ratio", "", Stopwatch.ratio(readings[0], readings[1])),
                    ]))
        }
        return report
    }
}
