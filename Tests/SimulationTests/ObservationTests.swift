import Simulation
import Testing

/// What version 2 can do besides is met in the runs of the seeds with processors, not only permitted.
@Suite struct ObservationTests {
    private static let count: UInt64 = 300

    @Test func everyFeatureIsMet() {
        var met: [Observations.Feature: Int] = [:]
        for seed in 1...ObservationTests.count {
            var scenario = Scenario(seed: seed, observes: true, hasProcessors: true)
            if let violation = scenario.run() { Issue.record("parley simulate --seed \(seed): \(violation)") }
            for feature in scenario.observations.met { met[feature, default: 0] += 1 }
        }
        for feature in Observations.Feature.allCases {
            let count = met[feature, default: 0]
            #expect(count >= 3, "\(feature.rawValue) was met in \(count) of \(ObservationTests.count) runs")
        }
    }
}
