import Foundation
import IKEv1
import IKEv2

/// `parley-benchmark [--json] [--quick] [--only=ALGORITHM] [scenario …]`: see BENCHMARKS.md for what is measured and a
/// recorded baseline.
@main
struct Main {
    static func main() throws {
        let arguments = CommandLine.arguments.dropFirst()
        let quick = arguments.contains("--quick")
        let json = arguments.contains("--json")
        let only = arguments.first { $0.hasPrefix("--only=") }.map { String($0.dropFirst(7)) }
        let wanted = arguments.filter { !$0.hasPrefix("--") }
        let repetitions = quick ? 3 : 15

        let scenarios: [(String, () throws -> [Report])] = [
            ("groups", { [try GroupScenario(repetitions: repetitions).run()] }),
            (
                "handshakes",
                {
                    let scenario = HandshakeScenario(repetitions: repetitions, only: only)
                    return [
                        try scenario.run(IKESession.self, .v2, "IKEv2"),
                        try scenario.run(IKEv1Session.self, .v1, "IKEv1"),
                    ]
                }
            ),
            ("cookies", { [try CookieScenario(repetitions: repetitions).run()] }),
            ("rekeying", { [try RekeyScenario(count: quick ? 1000 : 10_000).run()] }),
            (
                "memory",
                {
                    let scenario = MemoryScenario(quick: quick)
                    return [
                        try scenario.run(IKESession.self, .v2, "IKEv2"),
                        try scenario.run(IKEv1Session.self, .v1, "IKEv1"), try scenario.packetCiphers(),
                    ]
                }
            ),
            (
                "messages",
                {
                    let scenario = MessageScenario(repetitions: repetitions)
                    return [
                        try scenario.run(IKESession.self, .v2, "IKEv2"),
                        try scenario.run(IKEv1Session.self, .v1, "IKEv1"),
                    ]
                }
            ),
            ("rejection", { [try RejectionScenario(quick: quick).run()] }),
            ("packets", { [try PacketScenario(repetitions: repetitions, only: only).run()] }),
            ("workers", { [try WorkerScenario(repetitions: repetitions).run()] }),
            ("bulk", { [try BulkScenario(repetitions: repetitions).run()] }),
            (
                "policies",
                {
                    let counts = quick ? [10, 10_000] : [10, 10_000, 100_000]
                    return [try PolicyScenario(repetitions: repetitions, counts: counts).run()]
                }
            ),
        ]
        let names = scenarios.map(\.0)
        if arguments.contains("--help") || wanted.contains(where: { !names.contains($0) }) {
            print("usage: parley-benchmark [--json] [--quick] [--only=ALGORITHM] [\(names.joined(separator: " | "))]…")
            exit(arguments.contains("--help") ? 0 : 2)
        }
        #if DEBUG
            FileHandle.standardError.write(Data("built without optimisation: these figures mean nothing\n".utf8))
        #endif
        var reports: [Report] = []
        for (name, run) in scenarios where wanted.isEmpty || wanted.contains(name) {
            let found = try run()
            if !json { for report in found { print(report.table) } }
            reports += found
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(reports), as: UTF8.self))
        }
    }
}
