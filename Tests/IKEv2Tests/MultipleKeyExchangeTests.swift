import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives
import Testing

@testable import IKEv2

/// Several key exchanges for one SA (RFC 9370), in IKE_INTERMEDIATE (RFC 9242) and IKE_FOLLOWUP_KE.
@Suite struct MultipleKeyExchangeTests {
    static func proposal(_ base: Proposal, _ first: KeyExchangeID, _ further: [[KeyExchangeID]]) -> Proposal {
        var proposal = base
        proposal.keyExchange = [first]
        proposal.additionalKeyExchanges = further
        return proposal
    }

    private func pair(
        _ further: [[KeyExchangeID]], responder: [[KeyExchangeID]]? = nil, seed: UInt64 = 1
    ) -> Pair {
        func connection(_ isLeft: Bool, _ further: [[KeyExchangeID]]) -> Connection {
            Pair.connection(
                isLeft: isLeft, ike: [Self.proposal(Pair.aes, .curve25519, further)],
                esp: [Self.proposal(Pair.esp, .curve25519, further)])
        }
        return Pair(connection(true, further), connection(false, responder ?? further), seed: seed)
    }

    private func exchanges(_ end: Pair.End) -> [UInt8] {
        end.sent.filter { $0.octets.count >= 28 }.map { $0.octets[18] }
    }

    @Test(
        arguments: [
            [[.mlkem768]], [[.mlkem1024]], [[.mlkem768], [.mlkem1024]], [[.ecp256], [], [.mlkem768]],
            [[.none, .mlkem768], [.ecp384]],
        ] as [[[KeyExchangeID]]])
    func everyRoundChangesTheKeys(further: [[KeyExchangeID]]) throws {
        var pair = pair(further)
        pair.establish()
        #expect(pair.initiator.events.contains(.established) && pair.responder.events.contains(.established))
        #expect(pair.disagreements == [] && pair.initiator.outbound.count == 1)
        let suite = try #require(pair.initiator.session.current?.suite)
        let rounds = suite.furtherKeyExchanges.count
        #expect(rounds == further.count { $0.first.map { $0 != .none } ?? false })
        #expect(pair.responder.session.current?.suite == suite)
        #expect(pair.initiator.session.current?.nextRequestID == UInt32(rounds + 2))
        #expect(Set(exchanges(pair.initiator)).isSuperset(of: rounds > 0 ? [34, 43, 35] : [34, 35]))
        // Children and the IKE SA are rekeyed with as many.
        for side in Pair.Side.allCases {
            pair.give(.command(.rekeyChild(pair[side].usable[0].id)), to: side)
            pair.settle()
            #expect(pair[side].usable.count == 1)
            #expect(pair[side].usable.first?.suite.furtherKeyExchanges == suite.furtherKeyExchanges)
            #expect(pair.disagreements == [])
            let before = pair[side].session.current?.initiatorSPI
            pair.give(.command(.rekeyIKE), to: side)
            pair.settle()
            #expect(pair[side].session.current?.initiatorSPI != before)
            #expect(pair[side].session.current?.suite == suite)
        }
        pair.give(.command(.createChild(name: "net")), to: .responder)
        pair.settle()
        #expect(pair.initiator.usable.count == 2 && pair.disagreements == [])
        #expect(rounds == 0 || exchanges(pair.initiator).contains(44))
        #expect(pair.initiator.session.followUps.isEmpty && pair.responder.session.followUps.isEmpty)
    }

    @Test(arguments: [KeyExchangeID.mlkem768, .mlkem1024]) func aloneItIsAKeyExchangeToo(group: KeyExchangeID) {
        let ike = Self.proposal(Pair.aes, group, [])
        let esp = Self.proposal(Pair.esp, group, [])
        var pair = Pair(
            Pair.connection(isLeft: true, ike: [ike], esp: [esp]),
            Pair.connection(isLeft: false, ike: [ike], esp: [esp]))
        pair.establish()
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.run(for: .seconds(30))
        #expect(pair.initiator.usable.first?.suite.keyExchange == group && pair.disagreements == [])
        #expect(pair.initiator.events.contains(.rekeyedIKE))
    }

    @Test func aPeerThatDoesNotKnowThemIsMetWithout() {
        // An offer with and one without: the responder takes the latter.
        var left = Pair.connection(
            isLeft: true, ike: [Self.proposal(Pair.aes, .curve25519, [[.mlkem768]]), Pair.aes])
        left.children[0].proposals = [Self.proposal(Pair.esp, .curve25519, [[.mlkem768]]), Pair.esp]
        var pair = Pair(left, Pair.connection(isLeft: false))
        pair.establish()
        #expect(pair.initiator.events.contains(.established) && pair.disagreements == [])
        #expect(pair.initiator.session.current?.suite.additionalKeyExchanges == [])
        #expect(!exchanges(pair.initiator).contains(43))
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.usable.first?.suite.additionalKeyExchanges == [] && pair.disagreements == [])
    }

    @Test func anInitiatorThatDoesNotAnnounceThemGetsNone() throws {
        var pair = pair([[.mlkem768, .none]])
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        // The announcement is lost from the request.
        let first = try #require(pair.wire.popLast()?.datagram.mirrored)
        var reader = ByteReader(first.octets)
        let header = try Header(from: &reader)
        let (payloads, _) = try PayloadChain.read(first: header.nextPayload, from: &reader)
        let kept = try payloads.filter {
            try $0.type != .notify || NotifyPayload(parsing: $0).type != .intermediateSupported
        }
        #expect(kept.count == payloads.count - 1)
        pair.give(
            .datagram(
                Datagram(
                    local: first.local, remote: first.remote,
                    octets: Message(header: header, payloads: kept).octets)), to: .responder)
        #expect(pair.responder.session.current?.suite.furtherKeyExchanges == [])
        #expect(pair.responder.closed == nil)
    }

    @Test func noMethodIsTakenTwice() {
        var pair = pair([[.mlkem768], [.mlkem768, .ecp256]])
        pair.establish()
        #expect(pair.initiator.session.current?.suite.furtherKeyExchanges == [.mlkem768, .ecp256])
        var refused = self.pair([[.curve25519]])
        refused.establish()
        #expect(refused.initiator.closed != nil && refused.responder.closed != nil)
    }

    @Test(arguments: [1, 2] as [UInt64]) func rekeyingsThatCrossAreSettled(seed: UInt64) {
        for ike in [true, false] {
            var pair = pair([[.ecp256]], seed: seed)
            pair.establish()
            for side in Pair.Side.allCases {
                pair.give(.command(ike ? .rekeyIKE : .rekeyChild(pair[side].children[0].id)), to: side)
            }
            pair.run(for: .seconds(400))
            #expect(pair.disagreements == [])
            for side in Pair.Side.allCases {
                #expect(pair[side].closed == nil && pair[side].children.count == 1 && pair[side].claimed.count == 1)
                #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys))
            }
        }
    }

    @Test func eachMessageCanBeLostOrComeTwice() {
        for number in 0..<14 {
            for isLost in [true, false] {
                var pair = pair([[.mlkem768], [.ecp256]])
                pair.network = { _, count, datagram in
                    count == number ? (isLost ? [] : [datagram, datagram]) : [datagram]
                }
                pair.establish()
                pair.run(for: .seconds(30))
                #expect(pair.initiator.events.contains(.established), "\(number)")
                if let child = pair.initiator.usable.first {
                    pair.give(.command(.rekeyChild(child.id)), to: .initiator)
                }
                pair.run(for: .seconds(60))
                #expect(pair.disagreements == [] && pair.initiator.usable.count == 1, "\(number)")
            }
        }
    }

    /// Whoever changes an additional key exchange on the way is noticed: both ends authenticate all of it.
    @Test func theTranscriptIsAuthenticated() throws {
        var pair = pair([[.ecp256]])
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        for _ in 0..<3 {
            let (to, datagram) = pair.wire.removeFirst()
            pair.give(.datagram(datagram.mirrored), to: to)
        }
        guard case .awaitingAuthenticationRequest(var acceptance) = pair.responder.session.phase else {
            Issue.record("the responder does not await IKE_AUTH")
            return
        }
        let whole = acceptance.transcript.octets(authenticationID: 2)
        #expect(whole.count == 2 * 32 + 4 && whole.suffix(4) == [0, 0, 0, 2])
        #expect(acceptance.remaining.isEmpty)
        try acceptance.transcript.append(
            [1], fromInitiator: true, try #require(pair.responder.session.current?.suite), acceptance.proofs)
        pair.ends[1].session.phase = .awaitingAuthenticationRequest(acceptance)
        pair.settle()
        #expect(pair.responder.closed == .refused(.authentication(peer: Identity("left.example")!)))
        #expect(!pair.initiator.events.contains(.established))
    }

    @Test func ikeAuthDoesNotComeEarly() throws {
        var pair = pair([[.ecp256]])
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        for _ in 0..<2 {
            let (to, datagram) = pair.wire.removeFirst()
            pair.give(.datagram(datagram.mirrored), to: to)
        }
        pair.wire = []
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(9)
        for datagram in try sa.seal(.ikeAuth, messageID: 1, isResponse: false, [], &randomness) {
            let snapshot = pair.initiator.session.snapshot
            pair.give(
                .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: datagram)), to: .responder)
        }
        guard case .refused(.protocolViolation)? = pair.responder.closed else {
            Issue.record("\(String(describing: pair.responder.closed))")
            return
        }
    }

    @Test func aFollowUpToNothingIsRefusedByName() throws {
        var pair = pair([[.ecp256]])
        pair.establish()
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(9)
        let link = NotifyPayload(.additionalKeyExchange, data: Array(repeating: 1, count: 16)).payload
        let request = try sa.seal(
            .ikeFollowUpKE, messageID: sa.nextRequestID, isResponse: false, [link], &randomness)
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: request[0])), to: .responder)
        let answer = try #require(pair.responder.sent.last)
        var reader = ByteReader(answer.octets)
        let inner = try sa.open(answer.octets, try Header(from: &reader))?.inner
        #expect(try inner?.first.map { try NotifyPayload(parsing: $0).type } == .stateNotFound)
        #expect(pair.responder.closed == nil)
    }

    /// Half-done exchanges are few, and give back what they took.
    @Test func halfDoneExchangesAreBounded() throws {
        var pair = pair([[.ecp256]])
        pair.establish()
        for _ in 0..<20 {
            // The initiator forgets each time, and begins anew.
            pair.give(.command(.createChild(name: "net")), to: .initiator)
            let (_, request) = pair.wire.removeFirst()
            pair.give(.datagram(request.mirrored), to: .responder)
            pair.wire = []
            pair.ends[0].session.associations[0].pending = []
        }
        #expect(pair.responder.session.followUps.count == IKESession.maximumFollowUps)
        #expect(pair.responder.environment.spisInUse.count == 1 + IKESession.maximumFollowUps)
        pair.give(.command(.delete), to: .responder)
        pair.settle()
        #expect(pair.responder.environment.spisInUse.isEmpty)
    }

    @Test func aWrongKeyOfTheRightLengthIsNoTrap() throws {
        // Every flipped octet of an IKE_INTERMEDIATE request is dropped as not authentic.
        var pair = pair([[.mlkem768]])
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        for _ in 0..<2 {
            let (to, datagram) = pair.wire.removeFirst()
            pair.give(.datagram(datagram.mirrored), to: to)
        }
        let pieces = pair.wire.map(\.datagram.mirrored)
        pair.wire = []
        for piece in pieces {
            for index in stride(from: 0, to: piece.octets.count, by: 37) {
                var flipped = piece
                flipped.octets[index] ^= 0x10
                pair.give(.datagram(flipped), to: .responder)
            }
        }
        #expect(pair.responder.sent.count == 1 && pair.responder.closed == nil)
        for piece in pieces { pair.give(.datagram(piece), to: .responder) }
        pair.settle()
        #expect(pair.initiator.events.contains(.established))
    }
}
