import Foundation
import Simulation
import Testing

/// Whole hosts in virtual time. `PARLEY_SEEDS` says how many seeds to run (10,000 by default); a failing seed is run
/// again with `parley simulate --seed N`.
@Suite struct SeedTests {
    static let count = ProcessInfo.processInfo.environment["PARLEY_SEEDS"].flatMap { UInt64($0) } ?? 10_000

    /// And a tenth as many with SAs for processors, which run again with `parley simulate --processors`.
    @Test(arguments: [false, true]) func everySeedKeepsEveryPromise(hasProcessors: Bool) async {
        let workers = UInt64(ProcessInfo.processInfo.activeProcessorCount)
        let count = hasProcessors ? SeedTests.count / 10 : SeedTests.count
        let broken = await withTaskGroup(of: [(UInt64, Violation)].self) { group in
            for worker in 0..<workers {
                group.addTask {
                    stride(from: worker + 1, through: count, by: Int(workers)).compactMap { seed in
                        var scenario = Scenario(seed: seed, hasProcessors: hasProcessors)
                        return scenario.run().map { (seed, $0) }
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        for (seed, violation) in broken.sorted(by: { $0.0 < $1.0 }).prefix(20) {
            Issue.record("parley simulate \(hasProcessors ? "--processors " : "")--seed \(seed): \(violation)")
        }
        #expect(broken.isEmpty, "\(broken.count) of \(count) seeds")
    }

    /// A fifth as many runs of users' hosts at a gateway; one that fails runs again with `parley simulate --remote-access`.
    @Test func remoteAccessKeepsEveryPromise() async {
        let workers = UInt64(ProcessInfo.processInfo.activeProcessorCount)
        let broken = await withTaskGroup(of: [(UInt64, Violation)].self) { group in
            for worker in 0..<workers {
                group.addTask {
                    stride(from: worker + 1, through: SeedTests.count / 5, by: Int(workers)).compactMap { seed in
                        var scenario = RemoteAccessScenario(seed: seed)
                        return scenario.run().map { (seed, $0) }
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        for (seed, violation) in broken.sorted(by: { $0.0 < $1.0 }).prefix(20) {
            Issue.record("parley simulate --remote-access --seed \(seed): \(violation)")
        }
        #expect(broken.isEmpty, "\(broken.count) of \(SeedTests.count / 5) seeds")
    }

    @Test func aSeedAlwaysTellsTheSameStory() {
        for seed: UInt64 in [3, 4, 5] {
            var first = Scenario(seed: seed, keepsLog: true)
            var second = Scenario(seed: seed, keepsLog: true)
            _ = first.run()
            _ = second.run()
            #expect(!first.world.log.isEmpty)
            #expect(first.world.log == second.world.log)
        }
    }

    /// The checkers see what they are there for: a run under a checker that cannot fail proves nothing.
    @Test func trafficFlowsInEverySeed() {
        for seed: UInt64 in 1...20 {
            var scenario = Scenario(seed: seed)
            #expect(scenario.run() == nil)
            #expect(scenario.deliveredAfterHealing >= 2)
            #expect(scenario.world.packetsAccepted > 100)
            #expect(scenario.version == 1 || scenario.steadyPackets > 200)
        }
    }

    /// IKE_INTERMEDIATE and IKE_FOLLOWUP_KE (RFC 9242, RFC 9370) are met in the runs, not only permitted.
    @Test func everyExchangeIsMet() {
        let wanted: Set<Int> = [38, 43, 44]
        var met: Set<Int> = []
        for seed: UInt64 in 1...300 where met != wanted {
            var scenario = Scenario(seed: seed, keepsLog: true)
            #expect(scenario.run() == nil)
            for exchange in wanted where scenario.world.log.contains(where: { $0.contains("exchange \(exchange) ") }) {
                met.insert(exchange)
            }
        }
        #expect(met == wanted)
    }
}
