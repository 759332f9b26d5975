import Cryptography
import ISAKMP
import KeyDeterminationModes
import Primitives
import Testing

/// The five exchanges of RFC 2408, Oakley's modes and SKEME's, from their first message to their end.
@Suite struct ExchangesRunTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let description: ExchangeDescription
        var suite = Wire.suite()
        var leavesKey = true
        var testDescription: String { "\(description.name), \(suite.authentication)" }
    }

    static let firstPhase: [Case] = [
        Case(description: FrameworkExchanges.base), Case(description: FrameworkExchanges.identityProtection),
        Case(description: FrameworkExchanges.authenticationOnly, suite: Wire.suite(group: 0), leavesKey: false),
        Case(description: FrameworkExchanges.aggressive),
        Case(description: FrameworkExchanges.base, suite: Wire.suite(.signature)),
        Case(description: FrameworkExchanges.identityProtection, suite: Wire.suite(.signature, group: 14)),
        Case(
            description: FrameworkExchanges.authenticationOnly, suite: Wire.suite(.signature, group: 0),
            leavesKey: false),
        Case(description: FrameworkExchanges.aggressive, suite: Wire.suite(.signature, group: 19)),
        Case(description: OakleyModes.aggressive),
        Case(description: OakleyModes.aggressive, suite: Wire.suite(.signature, group: 2)),
        Case(description: OakleyModes.hiddenIdentities, suite: Wire.suite(.encryption, group: 14)),
        Case(description: OakleyModes.withoutExponentials, suite: Wire.suite(.encryption, group: 0)),
        Case(description: OakleyModes.conservative, suite: Wire.suite(.encryption, group: 5)),
        Case(description: OakleyModes.conservativeWithSignatures),
        Case(description: OakleyModes.conservativeWithSignatures, suite: Wire.suite(.signature)),
        Case(description: SKEMEModes.basic, suite: Wire.suite(.encryption)),
        Case(description: SKEMEModes.shareOnly, suite: Wire.suite(.encryption, group: 0)),
        Case(description: SKEMEModes.preSharedKey),
    ]

    @Test(arguments: firstPhase) func bothEndsHoldTheSameKey(_ example: Case) throws {
        var wire = Wire(phaseOne: [
            ExchangeOffering(example.description, Wire.policy(1, [example.suite]))
        ])
        wire.begin(example.description, Wire.policy(0, [example.suite]))
        wire.settle()
        #expect(wire.refusals(0) == [] && wire.refusals(1) == [])
        let left = try #require(wire.outcomes(0).first)
        let right = try #require(wire.outcomes(1).first)
        #expect(wire.outcomes(0).count == 1 && wire.outcomes(1).count == 1)
        #expect(left.key == right.key && left.keyName == right.keyName)
        #expect((left.key != nil) == example.leavesKey)
        #expect(left.suite == right.suite && left.suite == example.suite)
        #expect(left.peerIdentity == Identities.right && right.peerIdentity == Identities.left)
        #expect(wire.sent.count == example.description.messages.count)
        #expect(wire.nodes.allSatisfy { $0.sessionCount == 1 && $0.halfOpenCount == 0 })
        // The message that the description calls encrypted is, and no other.
        for (rule, datagram) in zip(example.description.messages, wire.sent) {
            #expect((datagram.octets[19] & 1 == 1) == rule.isEncrypted)
            if rule.isEncrypted { #expect(!datagram.octets.contains(Array("example".utf8))) }
        }
    }

    @Test(arguments: firstPhase) func twoRunsLeaveDifferentKeys(_ example: Case) throws {
        guard example.leavesKey else { return }
        let keys = (1...2).map { seed in
            var wire = Wire(
                seed: UInt64(seed) * 77,
                phaseOne: [ExchangeOffering(example.description, Wire.policy(1, [example.suite]))])
            wire.begin(example.description, Wire.policy(0, [example.suite]))
            wire.settle()
            return wire.outcomes(0).first?.key
        }
        #expect(keys[0] != nil && keys[0] != keys[1])
    }

    static let secondPhase: [Case] = [
        Case(description: FrameworkExchanges.authenticationOnly, leavesKey: false),
        Case(description: FrameworkExchanges.base), Case(description: OakleyModes.quick),
        Case(description: OakleyModes.externalKeyDistribution),
        Case(description: OakleyModes.newGroup, leavesKey: false), Case(description: SKEMEModes.fastRekey),
    ]

    @Test(arguments: secondPhase) func exchangesRunUnderAnSA(_ example: Case) throws {
        var wire = Wire(
            phaseOne: [ExchangeOffering(FrameworkExchanges.identityProtection, Wire.policy(1))],
            phaseTwo: [ExchangeOffering(example.description, Wire.policy(1))])
        let id = wire.begin(FrameworkExchanges.identityProtection, Wire.policy(0))
        wire.settle()
        let before = wire.sent.count
        var policy = Wire.policy(0)
        policy.given[OakleyModes.externalKey] = .secret(Secret(Array("a key from elsewhere".utf8)))
        policy.given[OakleyModes.groupDescriptor] = .open([1, 2, 3])
        wire.feed(.begin(example.description, policy), to: id, at: 0)
        wire.settle()
        #expect(wire.refusals(0) == [] && wire.refusals(1) == [])
        #expect(wire.outcomes(0).count == 2 && wire.outcomes(1).count == 2)
        let left = try #require(wire.outcomes(0).last)
        let right = try #require(wire.outcomes(1).last)
        #expect(left.messageID != 0 && left.messageID == right.messageID)
        #expect(left.key == right.key && (left.key != nil) == example.leavesKey)
        #expect(left.keyName == right.keyName)
        #expect(left.key != wire.outcomes(0)[0].key || left.key == nil)
        #expect(left.peerIdentity == Identities.right && right.peerIdentity == Identities.left)
        if example.description.type == .oakleyExternalKey {
            #expect(right.key == Secret(Array("a key from elsewhere".utf8)))
        }
        for datagram in wire.sent[before...] {
            #expect((datagram.octets[19] & 1 == 1) == !example.description.protectsItself)
        }
    }

    @Test func informationalRunsUnderAnSAAndIsBelieved() throws {
        var wire = Wire(phaseOne: [ExchangeOffering(FrameworkExchanges.base, Wire.policy(1))])
        let id = wire.begin(FrameworkExchanges.base, Wire.policy(0))
        wire.settle()
        wire.feed(.notify(NotificationPayload(doi: 0, protocolID: 1, type: 8192, data: [1, 2])), to: id, at: 0)
        wire.settle()
        let heard = wire.events[1].compactMap { event -> NotificationPayload? in
            if case .notified(let notification, isAuthenticated: true) = event { notification } else { nil }
        }
        #expect(heard.map(\.type) == [8192])
        wire.feed(.delete(DeletePayload(doi: 0, protocolID: 3, spis: [[1, 2, 3, 4]])), to: id, at: 0)
        wire.settle()
        let deleted = wire.events[1].contains {
            if case .deleted(let delete) = $0 { delete.spis == [[1, 2, 3, 4]] } else { false }
        }
        #expect(deleted && wire.nodes[1].sessionCount == 1)
        // Once more the same datagram: nobody hears it twice.
        let last = try #require(wire.sent.last?.octets)
        let count = wire.events[1].count
        wire.deliver(last, to: 1)
        #expect(wire.events[1].count == count + 1)
        if case .dropped = wire.events[1].last {} else { Issue.record("a repeated notice was heard") }
        wire.feed(.end, to: id, at: 0)
        wire.settle()
        #expect(wire.nodes.allSatisfy { $0.sessionCount == 0 })
    }
}

extension Array where Element == UInt8 {
    func contains(_ part: [UInt8]) -> Bool {
        guard count >= part.count else { return false }
        return (0...(count - part.count)).contains { Array(self[$0..<($0 + part.count)]) == part }
    }
}
