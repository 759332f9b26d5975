import Foundation
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// RFC 7296 §2.8 and §2.25 over every interleaving: two ends that rekey, replace and delete at once.
@Suite struct ExplorationTests {
    /// Losses and repetitions on one path: ordinarily two, so that each kind meets itself and the other. `PARLEY_EXPLORE`
    /// says how many; with 99 every message of a path may be lost once and repeated once, which takes long.
    static let faults = ProcessInfo.processInfo.environment["PARLEY_EXPLORE"].flatMap { Int($0) } ?? 2

    struct Crossing: CustomTestStringConvertible {
        var left: Exploration.Command
        var right: Exploration.Command
        var testDescription: String { "\(left) against \(right)" }
    }

    static let rekeyings = [
        Crossing(left: .rekeyChild, right: .rekeyChild), Crossing(left: .rekeyIKE, right: .rekeyIKE),
        Crossing(left: .rekeyIKE, right: .rekeyChild), Crossing(left: .rekeyChild, right: .rekeyIKE),
    ]
    static let deletions = [
        Crossing(left: .rekeyChild, right: .deleteChild), Crossing(left: .deleteChild, right: .rekeyChild),
        Crossing(left: .deleteChild, right: .deleteChild), Crossing(left: .rekeyIKE, right: .deleteChild),
        Crossing(left: .rekeyIKE, right: .deleteIKE), Crossing(left: .deleteIKE, right: .rekeyIKE),
        Crossing(left: .rekeyChild, right: .deleteIKE), Crossing(left: .deleteIKE, right: .deleteIKE),
    ]

    private func explore(_ crossing: Crossing, seed: UInt64, carriesTraffic: Bool) -> Exploration {
        var pair = Pair(seed: seed)
        pair.establish()
        var exploration = Exploration(pair, faultMaximum: Self.faults, carriesTraffic: carriesTraffic)
        exploration.explore(pair, [(.initiator, crossing.left), (.responder, crossing.right)])
        return exploration
    }

    /// Two seeds: once the initiator's nonces win, once the responder's.
    @Test(arguments: rekeyings, [1, 2] as [UInt64]) func rekeyingsThatCrossLoseNothing(
        crossing: Crossing, seed: UInt64
    ) {
        let exploration = explore(crossing, seed: seed, carriesTraffic: true)
        #expect(exploration.problems == [])
        #expect(exploration.endings > 10 && exploration.statesSeen > 1000)
        print("explored \(crossing.testDescription): \(exploration.summary)")
    }

    @Test(arguments: deletions) func deletionsThatCrossLeaveNothing(crossing: Crossing) {
        let exploration = explore(crossing, seed: 1, carriesTraffic: false)
        #expect(exploration.problems == [])
        #expect(exploration.endings > 1 && exploration.statesSeen > 50)
        print("explored \(crossing.testDescription): \(exploration.summary)")
    }
}
