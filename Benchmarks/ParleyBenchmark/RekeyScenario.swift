import Primitives

/// Many IKE SAs whose keys all run out within a minute.
struct RekeyScenario {
    let count: Int

    func run() throws -> Report {
        var report = Report(
            scenario: "Rekeying",
            explanation: """
                \(count) IKE SAs with one child each between two nodes (aes128gcm16, x25519, forward secrecy). Within one \
                minute of their clock every IKE SA and every child is rekeyed once by the initiator, with its deletes, and \
                nothing may be lost. Processor seconds that each end's key management takes, sockets and data plane left \
                out; one core has 60 in that minute.
                """)
        var pair = try ManagedPair(count: count, rekeyTime: .seconds(60))
        // Set up at one moment, so that all lifetimes lie in the next minute.
        for number in 0..<count { pair.initiate(number) }
        guard pair.established(.responder) == count, pair.lost.isEmpty else {
            throw BenchmarkError("\(pair.established(.responder)) of \(count) are established: \(pair.lost.prefix(3))")
        }
        let setUp = pair.spent
        pair.forgetTimes()
        pair.pass(.seconds(60))
        guard pair.rekeyedIKE >= count, pair.rekeyedChildren >= count, pair.lost.isEmpty else {
            throw BenchmarkError(
                "\(pair.rekeyedIKE) IKE SAs and \(pair.rekeyedChildren) children rekeyed: \(pair.lost.prefix(3))")
        }
        for end in [ManagedPair.End.initiator, .responder] {
            let seconds = pair.spent[end.rawValue] / 1e9
            let rekeyings = Double(pair.rekeyedIKE + pair.rekeyedChildren)
            report.rows.append(
                Report.Row(
                    name: "\(end)",
                    figures: [
                        .init("set up", "s", setUp[end.rawValue] / 1e9),
                        .init("rekeyed IKE SAs", "", Double(pair.rekeyedIKE)),
                        .init("rekeyed children", "", Double(pair.rekeyedChildren)),
                        .init("rekeying", "s", seconds),
                        .init("of one core in that minute", "%", seconds / 60 * 100),
                        .init("a rekeying", "µs", seconds * 1e6 / rekeyings),
                    ]))
        }
        return report
    }
}
