import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// NON_FIRST_FRAGMENTS_ALSO (RFC 7296 §3.10.1) between two sessions.
@Suite struct NonFirstFragmentsTests {
    private static func pair(_ left: Bool, _ right: Bool, _ change: (inout Connection) -> Void = { _ in }) -> Pair {
        var one = Pair.connection(isLeft: true)
        var other = Pair.connection(isLeft: false)
        one.children[0].carriesFragments = left
        other.children[0].carriesFragments = right
        change(&one)
        change(&other)
        var pair = Pair(one, other)
        pair.establish()
        return pair
    }

    private static func carried(_ pair: Pair) -> [Bool] {
        Pair.Side.allCases.flatMap { side in
            pair[side].inbound.values.map(\.carriesFragments) + pair[side].outbound.values.map(\.carriesFragments)
        }
    }

    @Test(arguments: [(true, true), (true, false), (false, true), (false, false)]) func bothEndsMustSayIt(
        left: Bool, right: Bool
    ) {
        var pair = Self.pair(left, right)
        let expected = Array(repeating: left && right, count: 4)
        #expect(Self.carried(pair) == expected && pair.disagreements == [])
        // CREATE_CHILD_SA says it as well: a rekeying from each end, and another child.
        for side in Pair.Side.allCases {
            pair.give(.command(.rekeyChild(pair[side].usable[0].id)), to: side)
            pair.run(for: .seconds(10))
            #expect(Self.carried(pair) == expected && pair.disagreements == [])
        }
        pair.give(.command(.createChild(name: "net")), to: .responder)
        pair.settle()
        #expect(Self.carried(pair) == expected + expected)
    }

    @Test func aShortRekeyingKeepsIt() {
        for (left, right) in [(true, true), (true, false)] {
            var pair = Self.pair(left, right) { $0.optimizesRekeying = true }
            let before = pair.initiator.usable.first?.inboundSPI
            pair.give(.command(.rekeyChild(pair.initiator.usable[0].id)), to: .initiator)
            pair.run(for: .seconds(10))
            #expect(pair.initiator.usable.first?.inboundSPI != before)
            #expect(Self.carried(pair) == Array(repeating: left && right, count: 4))
        }
    }

    @Test func transportModeCarriesNone() {
        let pair = Self.pair(true, true) {
            $0.children[0].mode = .transport
            $0.children[0].localSelectors = [.dynamic]
            $0.children[0].remoteSelectors = [.dynamic]
        }
        #expect(pair.initiator.usable.first?.mode == .transport)
        #expect(Self.carried(pair) == [false, false, false, false])
    }
}
