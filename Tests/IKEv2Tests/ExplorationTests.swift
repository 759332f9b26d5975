import Foundation
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// RFC 7296 §2.8 and §2.25 over every interleaving: two ends that rekey, replace and delete at once, and each message
/// lost once and repeated once, or not.
@Suite struct ExplorationTests {
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
        var pair = Pair(settings: ExploredEnds.settings, seed: seed)
        pair.establish()
        var exploration = Exploration(pair, seed: seed, carriesTraffic: carriesTraffic)
        exploration.explore(pair, [(.initiator, crossing.left), (.responder, crossing.right)])
        return exploration
    }

    /// Where two rekeyings of one kind meet, once the initiator's nonces win and once the responder's.
    @Test(arguments: rekeyings) func rekeyingsThatCrossLoseNothing(crossing: Crossing) {
        let needed: Set<Pair.Side> = crossing.left == crossing.right ? [.initiator, .responder] : []
        var winners: Set<Pair.Side> = []
        for seed in 1...16 as ClosedRange<UInt64> {
            let exploration = explore(crossing, seed: seed, carriesTraffic: true)
            #expect(exploration.problems == [])
            #expect(exploration.endings > 10 && exploration.statesSeen > 1000 && exploration.mostFaults > 7)
            print("explored \(crossing.testDescription): \(exploration.summary)")
            winners.formUnion(exploration.winners)
            if winners == needed { break }
        }
        #expect(winners == needed)
    }

    @Test(arguments: deletions) func deletionsThatCrossLeaveNothing(crossing: Crossing) {
        let exploration = explore(crossing, seed: 1, carriesTraffic: false)
        #expect(exploration.problems == [])
        #expect(exploration.endings > 1 && exploration.statesSeen > 40)
        print("explored \(crossing.testDescription): \(exploration.summary)")
    }
}
