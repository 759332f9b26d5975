import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Labelled situations (RFC 2407 §4.2): SAs stand where both ends want the same labels, and nowhere else.
@Suite struct SituationTests {
    private static let secret = SecuritySituation(
        labelledDomain: 7, secrecy: SecurityLabel(level: [3], categories: [1, 5]),
        integrity: SecurityLabel(level: [1, 2], categories: []))

    private func pair(_ left: SecuritySituation, _ right: SecuritySituation, isAggressive: Bool = false) -> Pair {
        var connections = [Pair.connection(isLeft: true), Pair.connection(isLeft: false)]
        connections[0].situation = left
        connections[1].situation = right
        for index in 0..<2 { connections[index].isAggressive = isAggressive }
        return Pair(connections[0], connections[1])
    }

    @Test(arguments: [false, true]) func equalLabelsMakeSAs(isAggressive: Bool) throws {
        var pair = pair(Self.secret, Self.secret, isAggressive: isAggressive)
        pair.establish()
        pair.run(for: .seconds(5))
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        // Both SA payloads of phase 1 say so on the wire.
        let situation = IPsecDOI.octets(Self.secret)
        for side in Pair.Side.allCases {
            let first = try #require(pair[side].sent.first?.octets)
            #expect(first[28 + 4..<(28 + 8)] == [0, 0, 0, 1])
            #expect(Array(first[36..<(36 + situation.count)]) == situation)
        }
    }

    @Test(arguments: [false, true]) func otherLabelsMakeNone(isAggressive: Bool) {
        var other = Self.secret
        other.secrecy?.categories = [1]
        for (left, right) in [
            (Self.secret, SecuritySituation.identityOnly), (.identityOnly, Self.secret), (Self.secret, other),
            (
                SecuritySituation(labelledDomain: 8, secrecy: Self.secret.secrecy, integrity: Self.secret.integrity),
                Self.secret
            ),
        ] {
            var pair = pair(left, right, isAggressive: isAggressive)
            pair.establish()
            pair.run(for: .seconds(900))
            #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
            let isSaid = pair.responder.refusals.contains {
                if case .policy(let reason) = $0 { reason.contains("situation") } else { false }
            }
            #expect(isSaid, "\(pair.responder.refusals)")
            // SITUATION-NOT-SUPPORTED.
            #expect(pair.initiator.refusals.contains { if case .peer(notification: 3, _) = $0 { true } else { false } })
            for side in Pair.Side.allCases {
                #expect(pair[side].closed != nil && pair[side].environment.spisInUse.isEmpty)
            }
        }
    }
}
