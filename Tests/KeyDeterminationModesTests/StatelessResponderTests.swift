import Cryptography
import ISAKMP
import KeyDeterminationModes
import Primitives
import Testing

/// RFC 2408 §2.5.3: a responder under load keeps nothing for an initiator that has not returned its cookie, where the
/// exchange allows it, and little where it does not.
@Suite struct StatelessResponderTests {
    @Test func theDescriptionsSayWhereItIsPossible() {
        let possible = (FrameworkExchanges.all + [OakleyModes.aggressive, SKEMEModes.basic, SKEMEModes.preSharedKey])
            .filter(\.allowsStatelessAnswer).map(\.type)
        #expect(possible == [.base, .identityProtection])
        #expect(OakleyModes.conservative.beginsWithCookies && !OakleyModes.conservative.allowsStatelessAnswer)
    }

    private func pressed(_ description: ExchangeDescription, _ suites: [ExchangeSuite]) -> Wire {
        var wire = Wire(phaseOne: [ExchangeOffering(description, Wire.policy(1, suites))])
        wire.nodes[1].limits.statelessThreshold = 0
        return wire
    }

    @Test(arguments: [FrameworkExchanges.base, FrameworkExchanges.identityProtection])
    func messageTwoIsSaidWithoutAMemory(_ description: ExchangeDescription) throws {
        var wire = pressed(description, [Wire.suite()])
        wire.begin(description, Wire.policy(0))
        // Message 1 arrives and is answered; nothing is there.
        let first = wire.underWay.removeFirst()
        wire.deliver(first.octets, to: 1)
        #expect(wire.nodes[1].sessionCount == 0 && wire.nodes[1].statelessAnswers == 1)
        let second = try #require(wire.underWay.first?.octets)
        #expect(second.count <= 3 * first.octets.count)
        // The same message 1 is answered with the same octets.
        wire.deliver(first.octets, to: 1)
        #expect(wire.underWay.last?.octets == second && wire.nodes[1].sessionCount == 0)
        wire.settle()
        #expect(wire.outcomes(0).first?.key == wire.outcomes(1).first?.key && wire.outcomes(1).count == 1)
    }

    @Test func aFloodLeavesNothing() {
        for description in [FrameworkExchanges.base, FrameworkExchanges.identityProtection] {
            var wire = pressed(description, [Wire.suite()])
            for _ in 0..<500 { wire.begin(description, Wire.policy(0)) }
            for (to, octets) in wire.underWay where to == 1 { wire.deliver(octets, to: 1) }
            #expect(wire.nodes[1].sessionCount == 0 && wire.nodes[1].statelessAnswers == 500)
        }
        // Where message 2 costs a Diffie-Hellman value, there is a limit instead.
        var wire = pressed(FrameworkExchanges.aggressive, [Wire.suite()])
        wire.nodes[1].limits.halfOpenMaximumPerSource = 8
        for _ in 0..<50 { wire.begin(FrameworkExchanges.aggressive, Wire.policy(0)) }
        let flood = wire.underWay
        wire.underWay = []
        for (_, octets) in flood { wire.deliver(octets, to: 1) }
        #expect(wire.nodes[1].sessionCount == 8 && wire.nodes[1].turnedAway == 42)
        // Nothing is said again to an address that has shown nothing, and the limit holds no longer than the timeout.
        let said = wire.sent.count { $0.from == 1 }
        wire.underWay = []
        wire.tamper = { _, _ in nil }
        wire.run(for: .seconds(61))
        #expect(wire.sent.count { $0.from == 1 } == said && wire.nodes[1].sessionCount == 0)
    }

    @Test func aCookieRequestIsAnsweredWithoutAMemory() throws {
        let suite = Wire.suite(.encryption)
        var wire = Wire(phaseOne: [ExchangeOffering(OakleyModes.conservative, Wire.policy(1, [suite]))])
        wire.begin(OakleyModes.conservative, Wire.policy(0, [suite]))
        let request = wire.underWay.removeFirst().octets
        #expect(request.count == 28 && request.prefix(16).allSatisfy { $0 == 0 })
        wire.deliver(request, to: 1)
        #expect(wire.nodes[1].sessionCount == 0)
        let cookie = try #require(wire.underWay.first?.octets)
        #expect(cookie.count == 28 && cookie.prefix(8).allSatisfy { $0 == 0 } && cookie[8..<16].contains { $0 != 0 })
        wire.settle()
        #expect(wire.outcomes(0).count == 1 && wire.outcomes(1).count == 1)
    }

    @Test func onlyTheRightCookieOpensASession() throws {
        for description in [FrameworkExchanges.base, FrameworkExchanges.identityProtection] {
            var wire = pressed(description, [Wire.suite()])
            wire.begin(description, Wire.policy(0))
            for _ in 0..<2 {
                let (to, octets) = wire.underWay.removeFirst()
                wire.deliver(octets, to: to)
            }
            let third = try #require(wire.underWay.first?.octets)
            wire.underWay = []
            for offset in [8, 15] {
                var forged = third
                forged[offset] ^= 1
                wire.deliver(forged, to: 1)
                #expect(wire.nodes[1].sessionCount == 0)
            }
            // From another port; from another address.
            for change in 0..<2 {
                var parties = Wire.parties(1)
                if change == 0 { parties.peer.port = 501 } else { parties.peer.address = IPAddress(v4: 1) }
                let effects = wire.nodes[1].receive(third, from: parties, wire.now, &wire.randomness[1])
                #expect(effects.isEmpty && wire.nodes[1].sessionCount == 0)
            }
            // Long after.
            var late = wire
            late.now = late.now + .seconds(300)
            late.deliver(third, to: 1)
            #expect(late.nodes[1].sessionCount == 0)
            wire.deliver(third, to: 1)
            #expect(wire.nodes[1].sessionCount == 1)
        }
    }
}
