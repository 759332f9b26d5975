import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Phase 1 in three messages.
@Suite struct AggressiveModeTests {
    private static func pair(
        key: String = "secret", otherKey: String? = nil, settings: EngineSettings = EngineSettings(),
        initiator change: (inout Connection) -> Void = { _ in },
        responder changeOther: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        left.isAggressive = true
        right.isAggressive = true
        change(&left)
        changeOther(&right)
        return Pair(left, right, key: key, otherKey: otherKey, settings: settings)
    }

    private func expectEstablished(_ pair: Pair, _ comment: Comment) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment)
            #expect(pair[side].usable.count == 1, comment)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys), comment)
        }
        #expect(pair.disagreements == [], comment)
    }

    private func expectNothingLeft(_ pair: inout Pair, _ place: SourceLocation = #_sourceLocation) {
        pair.run(for: .seconds(900))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil, sourceLocation: place)
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty, sourceLocation: place)
            #expect(pair[side].claimed.isEmpty, sourceLocation: place)
            #expect(pair[side].environment.spisInUse.isEmpty, sourceLocation: place)
        }
    }

    @Test func threeMessagesThenQuickMode() {
        var pair = Self.pair()
        pair.establish()
        expectEstablished(pair, "")
        #expect(pair.sentCount == 6)
        #expect(pair.initiator.sent.map(\.octets[18]) == [4, 4, 32, 32])
        #expect(pair.initiator.sent.map { $0.octets[19] & 1 } == [0, 1, 1, 1])
        #expect(pair.responder.sent.map(\.octets[18]) == [4, 32])
        #expect(pair.initiator.session.snapshot.remoteIdentity == Identity("right.example"))
        #expect(pair.responder.session.snapshot.remoteIdentity == Identity("left.example"))
    }

    @Test func eachMessageCanBeLostOnceOrTwice() {
        for count in 1...2 {
            for lost in 0..<6 {
                var pair = Self.pair()
                pair.network = { _, number, datagram in (lost..<lost + count).contains(number) ? [] : [datagram] }
                pair.establish()
                pair.run(for: .seconds(60))
                expectEstablished(pair, "\(count) messages lost from \(lost)")
            }
        }
    }

    @Test func eachMessageCanComeTwice() {
        for repeated in 0..<6 {
            var pair = Self.pair()
            pair.network = { _, number, datagram in number == repeated ? [datagram, datagram] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(30))
            expectEstablished(pair, "message \(repeated) twice")
            #expect(pair.sentCount <= 8, "message \(repeated) twice")
        }
    }

    @Test(arguments: 0..<3) func aFlippedBitNeverMakesEndsDisagree(message: Int) {
        var sample = Self.pair()
        sample.establish()
        let sent = message == 1 ? sample.responder.sent[0] : sample.initiator.sent[message / 2]
        for octet in stride(from: 0, to: sent.octets.count, by: 5) {
            var pair = Self.pair()
            pair.network = { _, number, datagram in
                guard number == message else { return [datagram] }
                var flipped = datagram
                flipped.octets[octet] ^= 1 << UInt8(octet % 8)
                return [flipped]
            }
            pair.establish()
            pair.run(for: .seconds(60))
            #expect(pair.disagreements == [], "octet \(octet) of message \(message)")
            let both = Pair.Side.allCases.allSatisfy { pair[$0].usable.count == 1 }
            #expect(both || pair.initiator.installed.isEmpty, "octet \(octet) of message \(message)")
        }
    }

    /// RFC 2409 §5.4 draws message 3 in clear and leaves encryption to the sender.
    @Test(arguments: [false, true]) func messageThreeInClear(isForged: Bool) throws {
        var pair = Self.pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.deliverOne()
        pair.wire = []
        let session = pair.responder.session
        guard case .negotiating(let negotiation) = session.phase else {
            Issue.record("\(session.phase)")
            return
        }
        var proof = try session.proof(by: .initiator, negotiation, identity: negotiation.peerIdentityBody)
        if isForged { proof[5] ^= 1 }
        let octets = Message(header: session.header(.aggressive), payloads: [Payload(.hash, body: proof)]).octets
        pair.give(
            .datagram(Datagram(local: session.local, remote: session.remote, octets: octets)), to: .responder)
        #expect(pair.responder.events.contains(.established) == !isForged)
    }

    // MARK: Refusals

    @Test func onlyWhereTheConnectionSaysSo() throws {
        var pair = Self.pair(responder: { $0.isAggressive = false })
        pair.establish()
        guard case .policy(let text) = try #require(pair.responder.refusals.first) else {
            Issue.record("\(pair.responder.refusals)")
            return
        }
        #expect(text.contains("aggressive = yes") && text.contains("'right'"))
        #expect(pair.responder.sent.map(\.octets[18]) == [5])
        #expect(pair.initiator.refusals == [.peer(notification: 14, name: "NO-PROPOSAL-CHOSEN")])
        expectNothingLeft(&pair)
    }

    /// Whoever allows the weaker mode allows the stronger one.
    @Test func mainModeStaysPossible() {
        var pair = Self.pair(initiator: { $0.isAggressive = false })
        pair.establish()
        expectEstablished(pair, "")
        #expect(pair.initiator.sent[0].octets[18] == 2)
    }

    @Test func differentPreSharedKeys() {
        var pair = Self.pair(otherKey: "another")
        pair.establish()
        #expect(pair.initiator.refusals.isEmpty)
        pair.run(for: .seconds(10))
        #expect(pair.initiator.refusals == [.authentication(peer: Identity("right.example")!)])
        #expect(!pair.initiator.events.contains(.established) && !pair.responder.events.contains(.established))
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        expectNothingLeft(&pair)
    }

    @Test func noKeyForThePeer() {
        for missing in Pair.Side.allCases {
            var pair = Self.pair(
                key: missing == .initiator ? "" : "secret", otherKey: missing == .responder ? "" : "secret")
            pair.establish()
            let other = Identity(missing == .initiator ? "right.example" : "left.example")
            let known = pair[missing].refusals.contains {
                if case .noCredential(_, let remote) = $0 { remote == other } else { false }
            }
            #expect(known)
            expectNothingLeft(&pair)
        }
    }

    @Test func anotherIdentityThanWanted() {
        for side in Pair.Side.allCases {
            let stranger = Identity("stranger.example")
            var pair = Self.pair(
                initiator: { if side == .initiator { $0.localIdentity = stranger } },
                responder: { if side == .responder { $0.localIdentity = stranger } })
            pair.establish()
            let seen = pair[side.other].refusals.compactMap { refusal -> Identity? in
                if case .identity(_, let seen) = refusal { seen } else { nil }
            }
            #expect(seen == [stranger])
            // A responder hears nothing that it could trust, and waits its time out.
            if side == .initiator { #expect(!pair.initiator.refusals.isEmpty) }
            expectNothingLeft(&pair)
        }
    }

    /// A forger who sees message 1 is quicker than the responder: the responder's own answer still counts.
    @Test func aForgedAnswerDoesNotEndTheAttempt() {
        var pair = Self.pair()
        pair.network = { side, number, datagram in
            guard side == .responder, number == 1 else { return [datagram] }
            var forged = datagram
            forged.octets[forged.octets.count - 1] ^= 1
            // The proof stands behind the identity; any change of the nonce breaks it.
            forged.octets[Header.octetCount + 100] ^= 1
            return [forged, datagram]
        }
        pair.establish()
        pair.run(for: .seconds(60))
        let both = Pair.Side.allCases.allSatisfy { pair[$0].usable.count == 1 }
        #expect(both || !pair.initiator.refusals.isEmpty)
        #expect(pair.disagreements == [])
    }

    /// Three times what came from there, and nothing unasked, before the initiator's address is known to be its own.
    @Test(arguments: [false, true]) func anUnprovenAddressIsNotFlooded(isAggressive: Bool) {
        var pair = Self.pair(
            initiator: { $0.isAggressive = isAggressive }, responder: { $0.isAggressive = isAggressive })
        // Nothing of the responder's arrives: the initiator's address may be somebody else's.
        pair.network = { side, _, datagram in side == .responder ? [] : [datagram] }
        pair.establish()
        pair.run(for: .seconds(600))
        let asked = pair.initiator.sent.filter { $0.octets[18] != 5 }
        #expect(pair.responder.sent.count <= asked.count)
        let largest = pair.responder.sent.map(\.octets.count).max() ?? 0
        #expect(largest > 0 && largest <= 3 * (asked.first?.octets.count ?? 0))
    }

    // MARK: NAT

    @Test func behindNATItFloatsWithMessageThree() {
        var settings = EngineSettings()
        settings.forceEncapsulation = true
        var pair = Self.pair(settings: settings)
        pair.establish()
        expectEstablished(pair, "")
        #expect(pair.initiator.sent.map(\.remote.port) == [500, 4500, 4500, 4500])
        #expect(pair.responder.sent.map(\.remote.port) == [500, 4500])
        #expect(pair.initiator.installed.allSatisfy { $0.udpEncapsulation })
    }

    @Test func onlyTheFirstGroupIsOffered() throws {
        let proposals = [
            Pair.ike(128, .hmacSHA256_128, .hmacSHA256, .curve25519),
            Pair.ike(256, .hmacSHA256_128, .hmacSHA256, .ecp256),
            Pair.ike(256, .hmacSHA256_128, .hmacSHA256, .curve25519),
        ]
        var pair = Self.pair(initiator: { $0.proposals = proposals }, responder: { $0.proposals = proposals })
        pair.establish()
        expectEstablished(pair, "")
        let payloads = try IKEv1Session.clearPayloads(
            pair.initiator.sent[0].octets,
            Header(initiator: Cookie(1), responder: Cookie(0), majorVersion: 1, exchange: .aggressive, messageID: 0)
                .with(next: .securityAssociation))
        let offer = try IKEv1Session.securityAssociation(payloads)
        let transforms = try #require(offer.proposals.first).transforms
        let groups = transforms.compactMap { PhaseOneProposal.proposal($0)?.keyExchange }
        #expect(groups == [[.curve25519], [.curve25519]])
    }
}

extension Header {
    fileprivate func with(next: PayloadType) -> Header {
        var header = self
        header.nextPayload = next
        return header
    }
}
