import Cryptography
import ISAKMP
import KeyDeterminationModes
import Oakley
import Primitives
import Testing

/// The Commit bit and CONNECTED (RFC 2408 §3.1), and what keeps an SA of the second phase apart from others.
@Suite struct CommitTests {
    private func established(commits: Bool, _ second: [ExchangeDescription]) throws -> (Wire, FrameworkSessionID) {
        var settings = FrameworkSettings()
        settings.commits = commits
        var wire = Wire(
            settings: settings,
            phaseOne: [ExchangeOffering(FrameworkExchanges.aggressive, Wire.policy(1))],
            phaseTwo: second.map { ExchangeOffering($0, Wire.policy(1)) })
        let id = wire.begin(FrameworkExchanges.aggressive, Wire.policy(0))
        wire.settle()
        try #require(wire.outcomes(0).count == 1 && wire.outcomes(1).count == 1)
        return (wire, id)
    }

    private func connected(_ wire: Wire, at end: Int) -> [TracedMessage] {
        wire.messages(end).filter { message in
            !message.isSent && message.header.exchange == .informational
                && message.payloads.contains {
                    (try? NotificationPayload(parsing: $0.body))?.type == NotificationType.connected
                }
        }
    }

    @Test func theResponderConnectsBothPhases() throws {
        var (wire, id) = try established(commits: true, [OakleyModes.quick])
        #expect(wire.sent[1].octets[19] & 2 == 2, "message 2 has the Commit bit")
        #expect(connected(wire, at: 0).map(\.header.messageID) == [0])
        wire.feed(.begin(OakleyModes.quick, Wire.policy(0)), to: id, at: 0)
        wire.settle()
        let messageID = try #require(wire.outcomes(0).last?.messageID)
        #expect(connected(wire, at: 0).map(\.header.messageID) == [0, messageID])
        #expect(wire.outcomes(0).last?.key == wire.outcomes(1).last?.key)
    }

    @Test func withoutConnectedTheInitiatorWaitsAndAsksAgain() throws {
        var settings = FrameworkSettings()
        settings.commits = true
        var wire = Wire(
            settings: settings, phaseOne: [ExchangeOffering(FrameworkExchanges.aggressive, Wire.policy(1))])
        // Message 4 on the wire is CONNECTED.
        wire.tamper = { number, octets in number == 4 ? nil : octets }
        wire.begin(FrameworkExchanges.aggressive, Wire.policy(0))
        wire.settle()
        #expect(wire.outcomes(1).count == 1 && wire.outcomes(0).isEmpty)
        wire.run(for: .seconds(5))
        #expect(wire.outcomes(0).count == 1 && wire.outcomes(0)[0].key == wire.outcomes(1)[0].key)
    }

    @Test func anInitiatorThatHearsNoConnectedGivesUp() throws {
        var settings = FrameworkSettings()
        settings.commits = true
        var wire = Wire(
            settings: settings, phaseOne: [ExchangeOffering(FrameworkExchanges.aggressive, Wire.policy(1))])
        wire.tamper = { number, octets in number >= 4 ? nil : octets }
        wire.begin(FrameworkExchanges.aggressive, Wire.policy(0))
        wire.run(for: .seconds(120))
        #expect(wire.outcomes(0).isEmpty && wire.nodes[0].sessionCount == 0)
    }

    @Test func anSAExpiresAndSaysSo() throws {
        var settings = FrameworkSettings()
        settings.lifetime = .seconds(100)
        var wire = Wire(
            settings: settings, phaseOne: [ExchangeOffering(FrameworkExchanges.base, Wire.policy(1))])
        wire.begin(FrameworkExchanges.base, Wire.policy(0))
        wire.settle()
        wire.run(for: .seconds(99))
        #expect(wire.nodes.allSatisfy { $0.sessionCount == 1 })
        wire.run(for: .seconds(3))
        #expect(wire.nodes.allSatisfy { $0.sessionCount == 0 })
    }

    @Test func anExchangeNobodyOfferedIsNotBegun() throws {
        var (wire, id) = try established(commits: false, [OakleyModes.quick])
        wire.feed(.begin(SKEMEModes.fastRekey, Wire.policy(0)), to: id, at: 0)
        wire.run(for: .seconds(120))
        #expect(wire.outcomes(0).count == 1 && wire.outcomes(1).count == 1)
        #expect(wire.nodes.allSatisfy { node in node.sessions.allSatisfy { node.session($0)?.openExchanges == 0 } })
    }

    /// RFC 2412 §2.10: a key that was distributed by hand is a name for new ones.
    @Test func aPreDistributedKeyGivesNewOnes() throws {
        var wire = Wire(phaseTwo: [ExchangeOffering(OakleyModes.quick, Wire.policy(1))])
        let cookies = (Cookie(0xAAAA_0000_0000_0001), Cookie(0xBBBB_0000_0000_0002))
        var ids: [FrameworkSessionID] = []
        for end in 0..<2 {
            let identities = [Identities.left, Identities.right]
            let named = ModeOutcome(
                description: OakleyModes.quick, role: end == 0 ? .initiator : .responder, messageID: 0,
                key: Secret([UInt8](repeating: 9, count: 32)), keyName: [], suite: Wire.suite(), choice: nil,
                peerIdentity: identities[1 - end], ownIdentity: identities[end], delivered: [:])
            let session = ModeSession(
                named: named, role: end == 0 ? .initiator : .responder, initiatorCookie: cookies.0,
                responderCookie: cookies.1, functions: ModeFunctions(), settings: FrameworkSettings(),
                offerings: [ExchangeOffering(OakleyModes.quick, Wire.policy(end))])
            let held = wire.nodes[end].hold(session, with: Wire.parties(end))
            ids.append(try #require(held))
        }
        // From either end: the roles of an exchange are its own.
        for end in 0..<2 {
            wire.feed(.begin(OakleyModes.quick, Wire.policy(end)), to: ids[end], at: end)
            wire.settle()
            #expect(wire.outcomes(0).count == end + 1 && wire.outcomes(1).count == end + 1)
            #expect(wire.outcomes(0).last?.key == wire.outcomes(1).last?.key)
            #expect(wire.outcomes(0).last?.keyName.count == 72)
        }
        #expect(wire.outcomes(0)[0].key != wire.outcomes(0)[1].key)
    }

    /// RFC 2412 §2.8: a group that only the two ends know, and a key exchange in it.
    @Test func aPrivateGroupIsDefinedAndUsed() throws {
        var (wire, id) = try established(commits: false, [OakleyModes.newGroup])
        let description = try #require(GroupDescription(.modp1536))
        var policy = Wire.policy(0)
        policy.given[OakleyModes.groupDescriptor] = .open(GroupDescriptor.write(description))
        wire.feed(.begin(OakleyModes.newGroup, policy), to: id, at: 0)
        wire.settle()
        var functions: [ModeFunctions] = []
        var name: UInt32 = 0
        for end in 0..<2 {
            let outcome = try #require(wire.outcomes(end).last { $0.description.type == .oakleyNewGroup })
            guard case .open(let octets)? = outcome.delivered[OakleyModes.groupDescriptor] else {
                Issue.record("no descriptor at end \(end)")
                return
            }
            let read = try #require(GroupDescriptor.read(octets))
            #expect(read == description)
            name = try #require(GroupDescriptor.name(outcome.keyName))
            var randomness = Randomness.seeded(3)
            var own = ModeFunctions()
            let checked = try read.checked(GroupLimits(), &randomness)
            let isDefined = own.define(name, checked)
            #expect(isDefined)
            functions.append(own)
        }
        let suite = Wire.suite(group: name)
        var later = Wire(
            phaseOne: [ExchangeOffering(OakleyModes.aggressive, Wire.policy(1, [suite]))], functions: functions[0])
        later.begin(OakleyModes.aggressive, Wire.policy(0, [suite]))
        later.settle()
        #expect(later.outcomes(0).first?.key == later.outcomes(1).first?.key && later.outcomes(1).count == 1)
        #expect(later.outcomes(0).first?.suite?.group == name && name > 65_535)
        // Who does not know the group does not take the offer.
        var stranger = Wire(phaseOne: [ExchangeOffering(OakleyModes.aggressive, Wire.policy(1, [suite]))])
        stranger.begin(OakleyModes.aggressive, Wire.policy(0, [suite]))
        stranger.settle()
        #expect(stranger.outcomes(1).isEmpty)
    }
}
