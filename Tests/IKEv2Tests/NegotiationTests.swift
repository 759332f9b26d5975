import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Suites, groups, and the ways in which a first negotiation is refused or narrowed.
@Suite struct NegotiationTests {
    static let ciphers: [(Encryption, IntegrityID?)] = {
        let aead = [
            Encryption(.aesGCM16, keyBits: 128), Encryption(.aesGCM16, keyBits: 256), Encryption(.chacha20Poly1305),
        ]
        let integrity: [IntegrityID] = [.hmacSHA1_96, .hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256]
        let block = [128, 256].flatMap { bits in
            integrity.map { (Encryption(.aesCBC, keyBits: bits), Optional($0)) }
        }
        return aead.map { ($0, nil) } + block
    }()
    static let groups: [KeyExchangeID] = [
        .modp2048, .modp3072, .modp4096, .ecp256, .ecp384, .ecp521, .curve25519,
    ]

    private func pair(_ ike: Proposal, _ esp: Proposal) -> Pair {
        Pair(
            Pair.connection(isLeft: true, ike: [ike], esp: [esp]),
            Pair.connection(isLeft: false, ike: [ike], esp: [esp]))
    }

    @Test(arguments: ciphers.indices) func everyCipherAgrees(_ index: Int) {
        let (encryption, integrity) = Self.ciphers[index]
        for prf in [PRFID.hmacSHA1, .hmacSHA256, .hmacSHA384, .hmacSHA512] {
            var pair = pair(
                Proposal(
                    .ike, encryption: [encryption], integrity: integrity.map { [$0] } ?? [], prf: [prf],
                    keyExchange: [.curve25519]),
                Proposal(
                    .esp, encryption: [encryption], integrity: integrity.map { [$0] } ?? [],
                    extendedSequenceNumbers: [true, false]))
            pair.establish()
            #expect(pair.disagreements == [])
            let sa = pair.initiator.outbound.values.first
            #expect(sa?.suite.encryption == encryption)
            #expect(sa?.suite.integrity == integrity)
            #expect(sa?.suite.extendedSequenceNumbers == true)
            #expect(sa?.keys.encryption.count == encryption.keyMaterialOctets)
            #expect(pair.initiator.session.snapshot.suite?.prf == prf)
        }
    }

    /// RFC 8750 §4, by its transform numbers; an end that does not know them takes the cipher with an IV beside it.
    @Test(arguments: [29, 30, 31] as [UInt16], [false, true]) func implicitIVsAgree(_ number: UInt16, isKnown: Bool) {
        let id = EncryptionID(rawValue: number)
        let bits = id.hasVariableKey ? 256 : 0
        let both = Proposal(
            .esp, encryption: [Encryption(id, keyBits: bits), Encryption(id.base, keyBits: bits)],
            extendedSequenceNumbers: [false])
        var one = both
        if !isKnown { one.encryption.removeFirst() }
        var pair = Pair(
            Pair.connection(isLeft: true, esp: [both]), Pair.connection(isLeft: false, esp: [one]))
        pair.establish()
        #expect(pair.disagreements == [])
        let sa = pair.initiator.outbound.values.first
        #expect(sa?.suite.encryption == Encryption(isKnown ? id : id.base, keyBits: bits))
        #expect(sa?.keys.encryption.count == Encryption(id.base, keyBits: bits).keyMaterialOctets)
    }

    /// RFC 8750 §4: nobody protects IKE with them, whatever is offered and configured.
    @Test func implicitIVsProtectNoIKE() {
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesGCM16ImplicitIV, keyBits: 128)], prf: [.hmacSHA256],
            keyExchange: [.curve25519])
        #expect(throws: Proposal.Refused.self) { try Proposal.select(configured: [ike], offered: [ike]).get() }
        #expect(!MessageCipher.supports(Encryption(.chacha20Poly1305ImplicitIV)))
    }

    @Test(arguments: groups) func everyGroupAgrees(_ group: KeyExchangeID) {
        var ike = Pair.aes
        ike.keyExchange = [group]
        var esp = Pair.esp
        esp.keyExchange = [group]
        var pair = pair(ike, esp)
        pair.establish()
        #expect(pair.disagreements == [])
        #expect(pair.initiator.session.snapshot.suite?.keyExchange == group)
        // The first child has the IKE SA's keys; its successor has perfect forward secrecy.
        let child = pair.initiator.children.first
        #expect(child?.suite.keyExchange == nil)
        if let child { pair.give(.command(.rekeyChild(child.id)), to: .initiator) }
        pair.settle()
        #expect(pair.initiator.usable.first?.suite.keyExchange == group)
        #expect(pair.disagreements == [])
    }

    @Test func aGroupThatTheResponderDoesNotPreferIsTriedAgain() {
        var ike = Pair.aes
        ike.keyExchange = [.curve25519, .ecp256]
        var other = Pair.aes
        other.keyExchange = [.ecp256]
        var pair = Pair(
            Pair.connection(isLeft: true, ike: [ike]), Pair.connection(isLeft: false, ike: [other]))
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        // The responder refuses the first message and ends; key management makes a new one for the second.
        let (_, first) = pair.wire.removeFirst()
        let environment = pair.responder.environment
        pair.give(.datagram(first.mirrored), to: .responder)
        #expect(pair.responder.closed != nil)
        pair.ends[1].environment = environment
        pair.ends[1].closed = nil
        pair.ends[1].session = IKESession(
            responder: SessionID(3), local: first.remote, remote: first.local, &pair.ends[1].environment)
        pair.settle()
        #expect(pair.initiator.events.contains(.established))
        #expect(pair.initiator.session.snapshot.suite?.keyExchange == .ecp256)
        #expect(pair.disagreements == [])
    }

    @Test func aGroupThatWasNotOfferedIsNotTried() throws {
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let request = try #require(pair.initiator.sent.last)
        pair.wire = []
        var reader = ByteReader(request.octets)
        let header = try Header(from: &reader)
        let demand = Message(
            header: Header(
                initiator: header.initiator, responder: .zero, majorVersion: 2, exchange: .ikeSAInit,
                flags: [.response]),
            payloads: [NotifyPayload(.invalidKeyExchange, data: [0, 2]).payload])
        pair.give(
            .datagram(Datagram(local: request.local, remote: request.remote, octets: demand.octets)), to: .initiator)
        #expect(pair.initiator.sent.count == 1)
        #expect(pair.initiator.closed == nil)
    }

    @Test func theCookieComesFirstAndTheRestStays() throws {
        let secret = Secret(Array(repeating: 7, count: 32))
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let request = try #require(pair.wire.popLast()?.datagram.mirrored)
        #expect(StatelessCookie.verify(request, secret: secret) == .nothing)
        let challenge = try #require(StatelessCookie.challenge(request, secret: secret))
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        let again = try #require(pair.wire.last?.datagram.mirrored)
        #expect(StatelessCookie.verify(again, secret: secret) == .address)
        #expect(StatelessCookie.verify(again, secret: Secret(Array(repeating: 8, count: 32))) == .nothing)
        var moved = again
        moved.remote.address = IPAddress("192.0.2.77")!
        #expect(StatelessCookie.verify(moved, secret: secret) == .nothing)
        // Header, then the cookie, then the payloads of before.
        #expect(again.octets.suffix(request.octets.count - 28) == request.octets.dropFirst(28))
        #expect(again.octets[16] == 41)
        pair.settle()
        #expect(pair.responder.events.contains(.established))
        #expect(pair.disagreements == [])
        #expect(StatelessCookie.challenge(pair.initiator.sent.last!.mirrored, secret: secret) == nil)
    }

    @Test func aWrongKeyIsRefusedByTheResponder() {
        var pair = Pair(otherKey: "other")
        pair.establish()
        let refusal = Refusal.authentication(peer: Identity("left.example")!)
        #expect(pair.responder.closed == .refused(refusal))
        #expect(pair.responder.events.contains(.refused(child: nil, refusal)))
        #expect(pair.initiator.closed == .refused(.peer(notification: 24, name: "AUTHENTICATION_FAILED")))
        for side in Pair.Side.allCases {
            #expect(pair[side].installed.isEmpty && pair[side].claimed.isEmpty && pair[side].timers.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
        }
    }

    @Test func aWrongProofOfTheResponderIsToldAndEnds() {
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        // The initiator's key changes after it made its own proof: only the responder's will not hold.
        pair.network = { side, _, datagram in side == .responder && datagram.octets[18] == 35 ? [] : [datagram] }
        pair.settle()
        pair.network = { _, _, datagram in [datagram] }
        pair.ends[0].key = Array("changed".utf8)
        pair.run(for: .seconds(10))
        let refusal = Refusal.authentication(peer: Identity("right.example")!)
        #expect(pair.initiator.closed == .refused(refusal))
        #expect(pair.responder.closed == .refused(.peer(notification: 24, name: "AUTHENTICATION_FAILED")))
        #expect(pair.responder.inbound.isEmpty && pair.responder.outbound.isEmpty)
    }

    /// Some peers keep the IKE SA when they hear no more than why (RFC 7296 §2.21.2): the Delete comes with it.
    @Test func whoDoesNotBelieveTheResponderDeletes() throws {
        var pair = Pair()
        pair.network = { side, _, datagram in
            datagram.octets[18] == (side == .responder ? 35 : 37) ? [] : [datagram]
        }
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        pair.ends[0].key = Array("changed".utf8)
        pair.network = { side, _, datagram in datagram.octets[18] == 37 ? [] : [datagram] }
        pair.run(for: .seconds(5))
        let farewell = try #require(pair.initiator.sent.last)
        var sa = try #require(pair.responder.session.current)
        var reader = ByteReader(farewell.octets)
        let header = try Header(from: &reader)
        let payloads = try #require(try sa.open(farewell.octets, header)).inner
        #expect(payloads.map(\.type) == [.notify, .deleteV2])
        let content = try MessageContent(payloads)
        #expect(content.notification(.authenticationFailed) != nil && content.deletions == [.ike])
        pair.network = { _, _, datagram in [datagram] }
        pair.give(.datagram(farewell.mirrored), to: .responder)
        // One answer, which ends the initiator's session too, and both are told why.
        #expect(pair.responder.closed == .refused(.peer(notification: 24, name: "AUTHENTICATION_FAILED")))
        #expect(pair.responder.inbound.isEmpty && pair.responder.outbound.isEmpty)
        pair.settle()
        #expect(pair.initiator.closed == .refused(.authentication(peer: Identity("right.example")!)))
    }

    /// One that knows the notification alone.
    @Test func whoIsToldAloneThatItFailedIsGone() throws {
        var pair = Pair()
        pair.establish()
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(9)
        let octets = try sa.seal(
            .informationalV2, messageID: sa.nextRequestID, isResponse: false,
            [NotifyPayload(.authenticationFailed).payload], &randomness)
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: octets[0])), to: .responder)
        #expect(pair.responder.closed == .refused(.peer(notification: 24, name: "AUTHENTICATION_FAILED")))
    }

    @Test(arguments: Pair.Side.allCases) func aMissingKeyIsNamed(side: Pair.Side) {
        var pair = side == .initiator ? Pair(key: "", otherKey: "x") : Pair(key: "x", otherKey: "")
        pair.establish()
        let local = Identity(side == .initiator ? "left.example" : "right.example")!
        let remote = Identity(side == .initiator ? "right.example" : "left.example")!
        #expect(pair[side].closed == .refused(.noCredential(local: local, remote: remote)))
    }

    @Test func anUnwantedIdentityIsNamed() {
        var right = Pair.connection(isLeft: false)
        right.remoteIdentity = .exactly(Identity("somebody.else")!)
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(
            pair.responder.closed
                == .refused(.identity(wanted: [right.remoteIdentity], seen: Identity("left.example")!)))
        #expect(pair.initiator.closed == .refused(.peer(notification: 24, name: "AUTHENTICATION_FAILED")))
    }

    @Test func noCommonProposalIsRefusedWithBothColumns() {
        var other = Pair.aes
        other.encryption = [Encryption(.aesCBC, keyBits: 256)]
        var pair = Pair(
            Pair.connection(isLeft: true), Pair.connection(isLeft: false, ike: [other]))
        pair.establish()
        guard case .refused(.noProposal(.ike, let mismatch))? = pair.responder.closed else {
            Issue.record("closed \(String(describing: pair.responder.closed))")
            return
        }
        #expect(mismatch.configured == [other])
        #expect(mismatch.offered.first?.encryption == Pair.aes.encryption)
        #expect(mismatch.clashes.first?.kind == .encryption)
        #expect(pair.initiator.closed == .refused(.peer(notification: 14, name: "NO_PROPOSAL_CHOSEN")))
    }

    @Test func disjointSelectorsLeaveTheIKESA() {
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = [Pair.selector("10.9.0.0/16")]
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(pair.initiator.events.contains(.established) && pair.responder.events.contains(.established))
        #expect(
            pair.initiator.events.contains(
                .refused(child: "net", .peer(notification: 38, name: "TS_UNACCEPTABLE"))))
        let refused = pair.responder.events.contains {
            if case .refused(_, .selectors) = $0 { true } else { false }
        }
        #expect(refused)
        for side in Pair.Side.allCases {
            #expect(pair[side].installed.isEmpty && pair[side].environment.spisInUse.isEmpty)
        }
    }

    @Test func aChildWithoutCommonProposalLeavesTheIKESA() {
        var esp = Pair.esp
        esp.encryption = [Encryption(.chacha20Poly1305)]
        var pair = Pair(Pair.connection(isLeft: true), Pair.connection(isLeft: false, esp: [esp]))
        pair.establish()
        #expect(
            pair.initiator.events.contains(
                .refused(child: "net", .peer(notification: 14, name: "NO_PROPOSAL_CHOSEN"))))
        #expect(pair.initiator.events.contains(.established) && pair.initiator.closed == nil)
        #expect(pair.responder.installed.isEmpty)
    }

    @Test func selectorsAreNarrowedAndTheBestPolicyWins() {
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = [Pair.selector("10.2.3.0/24")]
        var wide = right.children[0]
        wide.name = "wide"
        wide.localSelectors = [Pair.selector("10.2.0.0/17")]
        right.children.append(wide)
        var pair = Pair(Pair.connection(isLeft: true), right)
        pair.establish()
        #expect(pair.responder.children.first?.name == "wide")
        #expect(pair.initiator.children.first?.remoteSelectors.map(\.description) == ["10.2.0.0/17"])
        #expect(pair.disagreements == [])
    }

    @Test func dynamicSelectorsBecomeTheEndsAddresses() {
        var left = Pair.connection(isLeft: true)
        left.children[0].localSelectors = [.dynamic]
        left.children[0].remoteSelectors = [.dynamic]
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = [.dynamic]
        right.children[0].remoteSelectors = [.dynamic]
        var pair = Pair(left, right)
        pair.establish()
        #expect(pair.initiator.children.first?.localSelectors == [TrafficSelector(Pair.left)])
        #expect(pair.initiator.children.first?.remoteSelectors == [TrafficSelector(Pair.right)])
        #expect(pair.disagreements == [])
    }

    @Test func transportModeComesOnlyWhereBothWantIt() {
        var left = Pair.connection(isLeft: true)
        left.children[0].mode = .transport
        var right = Pair.connection(isLeft: false)
        right.children[0].mode = .transport
        var pair = Pair(left, right)
        pair.establish()
        #expect(pair.initiator.children.first?.mode == .transport)
        #expect(pair.responder.children.first?.mode == .transport)

        pair = Pair(left, Pair.connection(isLeft: false))
        pair.establish()
        // The initiator takes away what it did not ask for.
        #expect(pair.initiator.children.isEmpty && pair.responder.children.isEmpty)
        #expect(pair.initiator.closed == nil)
    }

    @Test func aSecondChildHasItsOwnExchange() {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        for index in [0, 1] {
            var child = index == 0 ? left.children[0] : right.children[0]
            child.name = "other"
            child.proposals[0].keyExchange = [.ecp256]
            child.localSelectors = [Pair.selector(index == 0 ? "10.3.0.0/16" : "10.4.0.0/16")]
            child.remoteSelectors = [Pair.selector(index == 0 ? "10.4.0.0/16" : "10.3.0.0/16")]
            if index == 0 { left.children.append(child) } else { right.children.append(child) }
        }
        var pair = Pair(left, right)
        pair.establish()
        pair.give(.command(.createChild(name: "other")), to: .initiator)
        pair.give(.command(.createChild(name: "other")), to: .responder)
        pair.settle()
        #expect(pair.initiator.children.count == 3)
        #expect(pair.initiator.children.filter { $0.suite.keyExchange == .ecp256 }.count == 2)
        #expect(pair.disagreements == [])
        #expect(pair.initiator.outbound.count == 3 && pair.responder.outbound.count == 3)
    }
}

extension Datagram {
    /// The same datagram as the other end sees it.
    var mirrored: Datagram { Datagram(local: remote, remote: local, octets: octets) }
}
