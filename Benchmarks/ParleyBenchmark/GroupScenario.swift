import Cryptography
import Oakley
import Primitives

/// What a handshake's public-key operations cost by themselves: one key pair and one agreement an end.
struct GroupScenario {
    let repetitions: Int

    func run() throws -> Report {
        var report = Report(
            scenario: "Key determination",
            explanation: "Processor time for one key pair and for one shared secret; a handshake takes two of each.")
        let groups: [(KeyExchangeID, Int)] = [
            (.modp2048, 40), (.modp3072, 15), (.modp4096, 8), (.ecp256, 200), (.ecp384, 40), (.ecp521, 30),
            (.curve25519, 200),
        ]
        for (group, operations) in groups {
            var randomness = Randomness.seeded(1)
            let own = try KeyDetermination.generate(group, &randomness)
            let peer = try KeyDetermination.generate(group, &randomness).publicValue
            let readings = try Stopwatch.interleaved(
                operations: operations, repetitions: repetitions,
                [
                    { for _ in 0..<operations { _ = try KeyDetermination.generate(group, &randomness) } },
                    { for _ in 0..<operations { _ = try KeyDetermination.sharedSecret(own, peer: peer) } },
                ])
            let both = Readings(values: zip(readings[0].values, readings[1].values).map { ($0 + $1) / 1000 })
            report.rows.append(
                Report.Row(
                    name: group.name.keyword,
                    figures: [
                        .init("key pair", "µs", Readings(values: readings[0].values.map { $0 / 1000 })),
                        .init("shared secret", "µs", Readings(values: readings[1].values.map { $0 / 1000 })),
                        .init("an end's share", "µs", both),
                    ]))
        }
        return report
    }
}
