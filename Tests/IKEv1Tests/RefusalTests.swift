import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Negotiations that come to nothing: each ends, says why on both sides, and leaves nothing behind.
@Suite struct RefusalTests {
    /// Neither end holds anything once its timers have run out.
    private func expectNothingLeft(_ pair: inout Pair, _ place: SourceLocation = #_sourceLocation) {
        pair.run(for: .seconds(900))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil, sourceLocation: place)
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty, sourceLocation: place)
            #expect(pair[side].claimed.isEmpty, sourceLocation: place)
            #expect(pair[side].environment.spisInUse.isEmpty, sourceLocation: place)
        }
    }

    @Test func differentPreSharedKeys() throws {
        var pair = Pair(otherKey: "another")
        pair.establish()
        pair.run(for: .seconds(60))
        #expect(pair.responder.installed.isEmpty && pair.initiator.installed.isEmpty)
        let suspects = pair.responder.refusals.filter { if case .authentication = $0 { true } else { false } }
        #expect(suspects.count == 1)
        #expect(!pair.initiator.refusals.isEmpty)
        #expect(!pair.initiator.events.contains(.established) && !pair.responder.events.contains(.established))
        expectNothingLeft(&pair)
    }

    /// An authenticated notification before message 6 shows that both ends have the same pre-shared key, so that this is not what is
    /// wrong. Its IV comes of message 5, or of what was before, where the peer says it without having taken that.
    @Test(arguments: [true, false]) func anAuthenticatedComplaintIsNoWrongKey(hasTakenProof: Bool) throws {
        func outcome(_ type: UInt16, isProtectedByTheKey: Bool = true) throws -> [Refusal] {
            var pair = Pair()
            // Message 5 and what is behind it are lost.
            pair.network = { _, number, datagram in number < 4 ? [datagram] : [] }
            pair.establish()
            guard case .negotiating(let ours) = pair.initiator.session.phase,
                case .negotiating(let theirs) = pair.responder.session.phase
            else {
                Issue.record("Main Mode has ended")
                return []
            }
            #expect(ours.exchange.passed == 5)
            var keys = try #require(theirs.keys)
            let chain = try #require(hasTakenProof ? ours.chain : theirs.chain)
            let session = pair.responder.session
            if !isProtectedByTheKey {
                keys = try PhaseOneKeys(
                    suite: try #require(session.suite), seed: Secret([UInt8](repeating: 1, count: 32)),
                    sharedSecret: Secret([2]), initiator: [3], responder: [4])
            }
            let notification = NotificationPayload(
                doi: IPsecDOI.identifier, protocolID: IPsecDOI.protocolISAKMP, spi: session.cookies, type: type)
            var context = Context(taking: &pair[.responder].environment)
            let octets = try session.sendProtected(
                [notification.payload], keys: keys, lastBlock: chain.iv, &context)
            pair.give(
                .datagram(Datagram(local: session.remote, remote: session.local, octets: octets)), to: .initiator)
            #expect(pair.initiator.closed == pair.initiator.refusals.first.map { .refused($0) })
            return pair.initiator.refusals
        }
        #expect(try outcome(1) == [.peerWithKey(notification: 1, name: "INVALID-PAYLOAD-TYPE")])
        #expect(try outcome(24) == [.peer(notification: 24, name: "AUTHENTICATION-FAILED")])
        #expect(try outcome(1, isProtectedByTheKey: false) == [.authentication(peer: Identity("right.example")!)])
    }

    /// The method is agreed before anybody says who it is.
    @Test func anotherMethodIsNamed() {
        var right = Pair.connection(isLeft: false)
        right.local[0].method = .publicKey(KeyConstraint())
        right.remote[0].method = .publicKey(KeyConstraint())
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(
            pair.responder.refusals == [.method(peer: Identity(Pair.left), wanted: ["pubkey"], seen: ["psk"])])
        #expect(pair.initiator.refusals == [.peer(notification: 14, name: "NO-PROPOSAL-CHOSEN")])
        expectNothingLeft(&pair)
    }

    @Test func noKeyForThePeer() {
        for missing in Pair.Side.allCases {
            var pair = Pair(key: missing == .initiator ? "" : "secret", otherKey: missing == .responder ? "" : "secret")
            pair.establish()
            let known = pair[missing].refusals.contains { if case .noCredential = $0 { true } else { false } }
            #expect(known)
            #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
            expectNothingLeft(&pair)
        }
    }

    @Test func noPhaseOneProposalInCommon() throws {
        let other = Pair.ike(256, .hmacSHA512_256, .hmacSHA512, .modp2048)
        var pair = Pair(Pair.connection(isLeft: true), Pair.connection(isLeft: false, ike: [other]))
        pair.establish()
        let refusal = try #require(pair.responder.refusals.first)
        guard case .noProposal(.ike, let mismatch) = refusal else {
            Issue.record("\(refusal)")
            return
        }
        #expect(mismatch.configured == [other] && mismatch.offered.count == 1)
        #expect(mismatch.clashes.first?.kind == .encryption)
        // The initiator hears of it at once, and says that it was the peer.
        #expect(pair.initiator.refusals == [.peer(notification: 14, name: "NO-PROPOSAL-CHOSEN")])
        #expect(pair.initiator.closed == .refused(.peer(notification: 14, name: "NO-PROPOSAL-CHOSEN")))
        expectNothingLeft(&pair)
    }

    @Test func nobodyAtTheseAddresses() {
        var right = Pair.connection(isLeft: false)
        right.remoteAddresses = [.range(IPAddress("203.0.113.9")!, IPAddress("203.0.113.9")!)]
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(pair.responder.refusals == [.noConnection(local: Pair.right, remote: Pair.left)])
        expectNothingLeft(&pair)
    }

    @Test func aConnectionOfTheOtherVersion() {
        var right = Pair.connection(isLeft: false)
        right.version = .v2
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(pair.responder.refusals == [.noConnection(local: Pair.right, remote: Pair.left)])
        expectNothingLeft(&pair)
    }

    @Test func theInitiatorIsSomebodyElse() {
        var right = Pair.connection(isLeft: false)
        right.remoteIdentity = .exactly(Identity("other.example")!)
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(
            pair.responder.refusals == [
                .identity(wanted: [right.remoteIdentity], seen: Identity("left.example")!)
            ])
        #expect(!pair.initiator.events.contains(.established))
        #expect(pair.responder.installed.isEmpty)
        expectNothingLeft(&pair)
    }

    @Test func theResponderIsSomebodyElse() {
        var left = Pair.connection(isLeft: true)
        left.remoteIdentity = .exactly(Identity("other.example")!)
        var pair = Pair(left)
        pair.establish()
        #expect(
            pair.initiator.refusals.first
                == .identity(wanted: [left.remoteIdentity], seen: Identity("right.example")!))
        #expect(!pair.initiator.events.contains(.established) && pair.initiator.installed.isEmpty)
    }

    @Test func noPhaseTwoProposalInCommon() throws {
        let esp = Pair.esp(Encryption(.aesCBC, keyBits: 256), [.hmacSHA512_256])
        var pair = Pair(Pair.connection(isLeft: true), Pair.connection(isLeft: false, esp: [esp]))
        pair.establish()
        let refusal = try #require(pair.responder.refusals.first)
        guard case .noProposal(.esp, let mismatch) = refusal else {
            Issue.record("\(refusal)")
            return
        }
        #expect(mismatch.configured == [esp])
        #expect(
            pair.initiator.events.contains(
                .refused(child: "net", .peer(notification: 14, name: "NO-PROPOSAL-CHOSEN"))))
        // The ISAKMP SA stands: another child may come to something.
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil && pair[side].session.snapshot.state == .established)
            #expect(pair[side].environment.spisInUse.isEmpty && pair[side].installed.isEmpty)
        }
        pair.run(for: .seconds(900))
        #expect(pair.initiator.session.snapshot.activeExchanges == [])
    }

    @Test(arguments: [nil, KeyExchangeID.modp2048] as [KeyExchangeID?])
    func onlyOneEndWantsPerfectForwardSecrecy(group: KeyExchangeID?) {
        let other: KeyExchangeID? = group == nil ? .curve25519 : nil
        var pair = Pair(
            Pair.connection(isLeft: true, esp: [Pair.esp(group: group)]),
            Pair.connection(isLeft: false, esp: [Pair.esp(group: other)]))
        pair.establish()
        let refused = pair.responder.refusals.contains { if case .noProposal(.esp, _) = $0 { true } else { false } }
        #expect(refused)
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        #expect(pair.responder.environment.spisInUse.isEmpty && pair.initiator.environment.spisInUse.isEmpty)
    }

    @Test func selectorsWithNothingInCommon() throws {
        var right = Pair.connection(isLeft: false)
        right.children[0].remoteSelectors = [Pair.selector("10.9.0.0/16")]
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        let refusal = try #require(pair.responder.refusals.first)
        guard case .selectors(let offeredLocal, let offeredRemote, _, let configuredRemote) = refusal else {
            Issue.record("\(refusal)")
            return
        }
        #expect(offeredLocal.map(\.description) == ["10.2.0.0/16"])
        #expect(offeredRemote.map(\.description) == ["10.1.0.0/16"])
        #expect(configuredRemote.map(\.description) == ["10.9.0.0/16"])
        #expect(
            pair.initiator.events.contains(
                .refused(child: "net", .peer(notification: 18, name: "INVALID-ID-INFORMATION"))))
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        #expect(pair.initiator.session.snapshot.state == .established)
    }

    @Test func aWiderOfferThanConfiguredIsRefusedAndANarrowerOneTaken() {
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = [Pair.selector("10.2.0.0/24")]
        var wide = Pair(Pair.connection(isLeft: true), right)
        wide.establish()
        #expect(wide.responder.installed.isEmpty)
        right.children[0].localSelectors = [Pair.selector("10.0.0.0/8")]
        right.children[0].remoteSelectors = [Pair.selector("10.0.0.0/8")]
        var narrow = Pair(Pair.connection(isLeft: true), right)
        narrow.establish()
        #expect(narrow.responder.children.first?.localSelectors.map(\.description) == ["10.2.0.0/16"])
        #expect(narrow.disagreements == [] && narrow.initiator.usable.count == 1)
    }

    @Test func noAnswerAtAll() {
        var pair = Pair()
        pair.network = { _, _, _ in [] }
        pair.establish()
        pair.run(for: .seconds(900))
        #expect(pair.initiator.closed == .peerUnresponsive)
        #expect(pair.initiator.sent.count == 6)
        #expect(Set(pair.initiator.sent).count == 1)
        #expect(pair.initiator.claimed.isEmpty && pair.initiator.timers.isEmpty)
    }

    @Test func aPeerThatStopsAnywhereCostsNothingForEver() {
        for heard in 0..<9 {
            var pair = Pair()
            pair.network = { _, number, datagram in number < heard ? [datagram] : [] }
            pair.establish()
            pair.run(for: .seconds(900))
            for side in Pair.Side.allCases {
                let end = pair[side]
                #expect(end.session.snapshot.activeExchanges == [], "\(side) after \(heard)")
                if end.closed != nil {
                    #expect(end.claimed.isEmpty && end.inbound.isEmpty && end.environment.spisInUse.isEmpty)
                } else {
                    #expect(end.environment.spisInUse == Set(end.inbound.keys), "\(side) after \(heard)")
                }
            }
        }
    }

    @Test func otherExchangesAreRefusedByName() {
        for type in [ExchangeType.aggressive, .base, .authenticationOnly] {
            var pair = Pair()
            let header = Header(initiator: Cookie(7), responder: .zero, majorVersion: 1, exchange: type)
            let message = Message(header: header, payloads: [Payload(.securityAssociation, body: [0, 0, 0, 1])])
            let datagram = Datagram(
                local: Endpoint(Pair.right, port: 500), remote: Endpoint(Pair.left, port: 500), octets: message.octets)
            pair.give(.datagram(datagram), to: .responder)
            #expect(pair.responder.closed != nil && pair.responder.claimed.isEmpty)
        }
    }

    @Test func aProposalThatOnlyAEADsFillCannotBeSaid() {
        let aead = Proposal(
            .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: [.curve25519])
        var pair = Pair(Pair.connection(isLeft: true, ike: [aead]))
        pair.establish()
        #expect(pair.initiator.sent.isEmpty)
        let isPolicy = pair.initiator.refusals.contains { if case .policy = $0 { true } else { false } }
        #expect(isPolicy && pair.initiator.closed != nil && pair.initiator.claimed.isEmpty)
    }
}
