import ISAKMP
import KeyDeterminationModes
import Simulation
import Testing

/// Every exchange of ISAKMP, Oakley and SKEME over a hostile network, from seeds: ends that hold a key hold the same, every
/// exchange ends, and no state is left.
@Suite struct ExchangeScenarioTests {
    @Test(arguments: ModeCatalogue.all.map(\.keyword)) func promisesAreKept(_ keyword: String) throws {
        let entry = try #require(ModeCatalogue.find(keyword))
        var done = 0
        for seed in 1...12 as ClosedRange<UInt64> {
            var scenario = ExchangeScenario(seed: seed, entry)
            let broken = scenario.run()
            #expect(broken == nil, "seed \(seed) of \(keyword)")
            if scenario.pair.isDone { done += 1 }
        }
        // The networks are bad, but not so bad that nothing comes of anything.
        #expect(done >= 4, "\(keyword): \(done) of 12")
    }

    @Test func aSeedGivesTheSameRun() throws {
        let entry = try #require(ModeCatalogue.find("oakley-conservative"))
        var runs = [ExchangeScenario(seed: 5, entry), ExchangeScenario(seed: 5, entry)]
        for index in 0..<2 { _ = runs[index].run() }
        #expect(runs[0].datagrams == runs[1].datagrams && runs[0].datagrams > 0)
        #expect(runs[0].pair.outcome(0)?.key == runs[1].pair.outcome(0)?.key)
    }
}
