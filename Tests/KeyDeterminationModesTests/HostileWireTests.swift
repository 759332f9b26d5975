import Cryptography
import ISAKMP
import KeyDeterminationModes
import Primitives
import Testing

/// What an attacker on the wire can do to any exchange: nothing but delay and prevent.
@Suite struct HostileWireTests {
    private func wire(_ example: ExchangesRunTests.Case, settings: FrameworkSettings = .init()) -> Wire {
        Wire(
            settings: settings,
            phaseOne: [ExchangeOffering(example.description, Wire.policy(1, [example.suite]))])
    }

    /// Both ends hold the same key, or at least one holds none; no end holds one with somebody else.
    private func expectAgreement(_ wire: Wire, _ what: String) {
        let left = wire.outcomes(0)
        let right = wire.outcomes(1)
        #expect(left.count <= 1 && right.count <= 1, "\(what)")
        if let left = left.first, let right = right.first {
            #expect(left.key == right.key && left.keyName == right.keyName, "\(what): keys differ")
        }
        #expect(left.allSatisfy { $0.peerIdentity == Identities.right }, "\(what)")
        #expect(right.allSatisfy { $0.peerIdentity == Identities.left }, "\(what)")
    }

    @Test(arguments: ExchangesRunTests.firstPhase)
    func aFlippedBitChangesNothingButTime(_ example: ExchangesRunTests.Case) {
        var lengths: [Int] = []
        var calm = wire(example)
        calm.begin(example.description, Wire.policy(0, [example.suite]))
        calm.settle()
        lengths = calm.sent.map(\.octets.count)
        for (number, length) in lengths.enumerated() {
            for offset in stride(from: number % 5, to: length, by: 5) {
                var wire = wire(example)
                wire.tamper = { index, octets in
                    guard index == number + 1, offset < octets.count else { return octets }
                    var octets = octets
                    octets[offset] ^= 1 << UInt8(offset % 8)
                    return octets
                }
                wire.begin(example.description, Wire.policy(0, [example.suite]))
                wire.run(for: .seconds(200))
                expectAgreement(wire, "\(example): message \(number + 1), octet \(offset)")
                #expect(
                    wire.nodes.allSatisfy { node in
                        node.halfOpenCount == 0 && node.sessions.allSatisfy { node.session($0)?.openExchanges == 0 }
                    })
            }
        }
    }

    @Test(arguments: ExchangesRunTests.firstPhase)
    func truncationsAndLossesOnlyDelay(_ example: ExchangesRunTests.Case) throws {
        var settings = FrameworkSettings()
        settings.commits = true
        // Without a key nobody can say CONNECTED: a lost last message leaves the responder without.
        let last = example.description.messages.count
        for lost in 1...last where example.leavesKey || lost < last {
            for length in [nil, 0, 27, 28, 40] as [Int?] {
                var wire = wire(example, settings: settings)
                wire.tamper = { index, octets in
                    index == lost ? length.map { Array(octets.prefix($0)) } : octets
                }
                wire.begin(example.description, Wire.policy(0, [example.suite]))
                wire.run(for: .seconds(50))
                expectAgreement(wire, "\(example): message \(lost) cut to \(length ?? -1)")
                #expect(
                    wire.outcomes(0).count == 1 && wire.outcomes(1).count == 1,
                    "message \(lost) cut to \(length ?? -1) was not said again")
            }
        }
    }

    @Test(arguments: ExchangesRunTests.firstPhase)
    func repetitionsAndReflectionsChangeNothing(_ example: ExchangesRunTests.Case) throws {
        var wire = wire(example)
        wire.begin(example.description, Wire.policy(0, [example.suite]))
        wire.settle()
        let key = try #require(wire.outcomes(0).first)
        let recorded = wire.sent
        for round in 0..<3 {
            for (from, octets) in recorded {
                wire.deliver(octets, to: 1 - from)
                // Back to its sender.
                wire.deliver(octets, to: from)
            }
            wire.underWay = []
            #expect(wire.outcomes(0).count == 1 && wire.outcomes(1).count == 1, "round \(round)")
        }
        #expect(wire.outcomes(1).first?.key == key.key)
        // A later run is not answered with what was recorded of this one.
        wire.run(for: .seconds(100))
        #expect(wire.nodes[1].halfOpenCount == 0)
    }

    @Test(arguments: ExchangesRunTests.firstPhase)
    func aRecordedExchangeCannotBePlayedAgain(_ example: ExchangesRunTests.Case) throws {
        var first = wire(example)
        first.begin(example.description, Wire.policy(0, [example.suite]))
        first.settle()
        // Another responder with the same keys, which draws other values.
        var second = Wire(
            seed: 99, phaseOne: [ExchangeOffering(example.description, Wire.policy(1, [example.suite]))])
        for (from, octets) in first.sent where from == 0 { second.deliver(octets, to: 1) }
        second.underWay = []
        #expect(second.outcomes(1).isEmpty, "\(example): a replay was believed")
        second.run(for: .seconds(200))
        #expect(second.nodes[1].sessionCount == 0)
    }

    @Test(arguments: ExchangesRunTests.firstPhase)
    func anotherKeyEndsWithNothing(_ example: ExchangesRunTests.Case) {
        var wire = wire(example)
        wire.holders[0].shared = Array("another key".utf8)
        wire.holders[0].secret = Array("other keys".utf8)
        wire.begin(example.description, Wire.policy(0, [example.suite]))
        wire.run(for: .seconds(200))
        #expect(wire.outcomes(1).isEmpty && wire.outcomes(0).isEmpty)
        #expect(wire.nodes.allSatisfy { $0.sessionCount == 0 })
    }

    @Test func identitiesAreHeldToThePolicy() {
        for example in ExchangesRunTests.firstPhase {
            var stranger = Wire.policy(0, [example.suite])
            stranger.identities = [Identities.name("stranger.example")]
            var wire = wire(example)
            wire.holders[0].identities = [Identities.name("stranger.example")]
            wire.begin(example.description, stranger)
            wire.run(for: .seconds(200))
            #expect(wire.outcomes(1).isEmpty, "\(example): a stranger got in")
            #expect(wire.nodes.allSatisfy { $0.halfOpenCount == 0 })
        }
    }

    @Test func noticesInClearAreNotBelieved() throws {
        var wire = Wire(phaseOne: [ExchangeOffering(FrameworkExchanges.identityProtection, Wire.policy(1))])
        wire.begin(FrameworkExchanges.identityProtection, Wire.policy(0))
        let header = try #require(wire.sent.first.map { Array($0.octets.prefix(16)) })
        let initiator = Cookie(header.prefix(8).reduce(0) { $0 << 8 | UInt64($1) })
        func notice(_ payload: Payload, _ responder: Cookie) -> [UInt8] {
            Message(
                header: Header(
                    initiator: initiator, responder: responder, majorVersion: 1, exchange: .informational, messageID: 7),
                payloads: [payload]
            ).octets
        }
        wire.deliver(
            notice(NotificationPayload(doi: 0, protocolID: 1, type: 14).payload, .zero), to: 0)
        let heard = wire.events[0].contains {
            if case .notified(_, isAuthenticated: false) = $0 { true } else { false }
        }
        #expect(heard)
        wire.settle()
        #expect(wire.outcomes(0).count == 1)
        let second = try #require(wire.sent.first { $0.from == 1 }.map { Array($0.octets.prefix(16)) })
        let responder = Cookie(second.suffix(8).reduce(0) { $0 << 8 | UInt64($1) })
        let delete = DeletePayload(doi: 0, protocolID: 1, spis: [second]).payload
        wire.deliver(notice(delete, responder), to: 0)
        #expect(wire.nodes[0].sessionCount == 1)
    }

    @Test func noProposalIsSaidOnceAndInFewerOctets() {
        var wire = Wire(phaseOne: [
            ExchangeOffering(FrameworkExchanges.base, Wire.policy(1, [Wire.suite(group: 14)]))
        ])
        wire.begin(FrameworkExchanges.base, Wire.policy(0, [Wire.suite(group: 31), Wire.suite(group: 19)]))
        wire.settle()
        #expect(wire.refusals(1) == [.noProposalChosen])
        #expect(wire.sent.count == 2 && wire.sent[1].octets.count <= wire.sent[0].octets.count)
        #expect(wire.nodes[1].sessionCount == 0)
    }
}
