import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Main Mode and Quick Mode between two ends.
@Suite struct EstablishmentTests {
    private func expectEstablished(_ pair: Pair, _ place: SourceLocation = #_sourceLocation) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, sourceLocation: place)
            #expect(pair[side].refusals == [], sourceLocation: place)
            #expect(pair[side].session.snapshot.state == .established, sourceLocation: place)
            #expect(pair[side].usable.count == 1, sourceLocation: place)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, sourceLocation: place)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys), sourceLocation: place)
            #expect(pair[side].claimed.count == 1, sourceLocation: place)
        }
        #expect(pair.disagreements == [], sourceLocation: place)
    }

    @Test func nineMessagesMakeATunnel() throws {
        var pair = Pair()
        pair.establish()
        expectEstablished(pair)
        #expect(pair.initiator.sent.count == 5 && pair.responder.sent.count == 4)
        let left = pair.initiator.session.snapshot
        let right = pair.responder.session.snapshot
        #expect(left.version == 1 && left.isInitiator && !right.isInitiator)
        #expect(left.connection == "left" && right.connection == "right")
        #expect(left.initiatorSPI == right.initiatorSPI && left.responderSPI == right.responderSPI)
        #expect(left.initiatorSPI != 0 && left.responderSPI != 0)
        #expect(left.remoteIdentity == Identity("right.example") && right.remoteIdentity == Identity("left.example"))
        #expect(left.localIdentity == right.remoteIdentity)
        #expect(left.suite == right.suite && left.suite?.prf == .hmacSHA256 && left.suite?.keyExchange == .curve25519)
        let one = try #require(left.children.first)
        let two = try #require(right.children.first)
        #expect(one.inboundSPI == two.outboundSPI && one.outboundSPI == two.inboundSPI)
        #expect(one.localSelectors == two.remoteSelectors && one.remoteSelectors == two.localSelectors)
        #expect(one.mode == .tunnel && !one.udpEncapsulation && one.name == "net")
        // The two directions have different keys.
        let keys = pair.initiator.installed.map(\.keys.encryption)
        #expect(keys.count == 2 && keys[0] != keys[1])
    }

    @Test func everyMessageIsOnTheWireAsRFC2409DrawsIt() throws {
        var pair = Pair()
        pair.establish()
        func headers(_ side: Pair.Side) throws -> [Header] {
            try pair[side].sent.map {
                var reader = ByteReader($0.octets)
                return try Header(from: &reader)
            }
        }
        let initiator = try headers(.initiator)
        let responder = try headers(.responder)
        let mainMode = [ExchangeType](repeating: .identityProtection, count: 3)
        #expect(initiator.map(\.exchange) == mainMode + [.quickMode, .quickMode])
        #expect(responder.map(\.exchange) == mainMode + [.quickMode])
        #expect(initiator.map { $0.flags.contains(.encryption) } == [false, false, true, true, true])
        #expect(responder.map { $0.flags.contains(.encryption) } == [false, false, true, true])
        #expect(initiator.map(\.messageID).prefix(3) == [0, 0, 0] && initiator[3].messageID != 0)
        #expect(Set((initiator.suffix(2) + responder.suffix(1)).map(\.messageID)).count == 1)
        #expect(initiator[0].responder.isZero && !responder[0].responder.isZero)
        for (header, datagram) in zip(initiator, pair.initiator.sent) {
            #expect(Int(header.length) == datagram.octets.count)
            #expect(header.majorVersion == 1)
        }
    }

    @Test func anInboundSAIsThereBeforeThePeerMayUseIt() {
        var pair = Pair()
        pair.establish()
        // The responder receives before message 2 of Quick Mode and sends after message 3.
        #expect(pair.responder.order == ["send", "send", "send", "install in", "send", "install out"])
        #expect(pair.initiator.order == ["send", "send", "send", "send", "install in", "install out", "send"])
        // The responder may send while the initiator is at work on message 2: what comes then is awaited.
        #expect(pair.initiator.offered.map(\.spi) == pair.initiator.children.map(\.inboundSPI))
        #expect(pair.initiator.offered.allSatisfy { $0.sent == 3 } && pair.responder.offered.isEmpty)
    }

    @Test(
        arguments: [128, 192, 256],
        [
            (IntegrityID.hmacSHA1_96, PRFID.hmacSHA1), (.hmacSHA256_128, .hmacSHA256), (.hmacSHA384_192, .hmacSHA384),
            (.hmacSHA512_256, .hmacSHA512),
        ])
    func everyPhaseOneSuite(bits: Int, hash: (IntegrityID, PRFID)) {
        let proposal = Pair.ike(bits, hash.0, hash.1)
        var pair = Pair(
            Pair.connection(isLeft: true, ike: [proposal]), Pair.connection(isLeft: false, ike: [proposal]))
        pair.establish()
        expectEstablished(pair)
        #expect(pair.initiator.session.snapshot.suite?.encryption == Encryption(.aesCBC, keyBits: bits))
        #expect(pair.initiator.session.snapshot.suite?.prf == hash.1)
    }

    @Test(arguments: [KeyExchangeID.modp2048, .modp3072, .modp4096, .ecp256, .ecp384, .ecp521, .curve25519])
    func everyGroupInBothPhases(group: KeyExchangeID) {
        let ike = [Pair.ike(256, .hmacSHA256_128, .hmacSHA256, group)]
        let esp = [Pair.esp(group: group)]
        var pair = Pair(
            Pair.connection(isLeft: true, ike: ike, esp: esp), Pair.connection(isLeft: false, ike: ike, esp: esp))
        pair.establish()
        expectEstablished(pair)
        #expect(pair.initiator.children.first?.suite.keyExchange == group)
        #expect(pair.responder.children.first?.suite.keyExchange == group)
    }

    static let espSuites: [(Encryption, [IntegrityID])] = [
        (Encryption(.aesGCM16, keyBits: 128), []), (Encryption(.aesGCM16, keyBits: 256), []),
        (Encryption(.aesCBC, keyBits: 128), [.hmacSHA1_96]), (Encryption(.aesCBC, keyBits: 128), [.hmacSHA256_128]),
        (Encryption(.aesCBC, keyBits: 256), [.hmacSHA384_192]), (Encryption(.aesCBC, keyBits: 256), [.hmacSHA512_256]),
    ]

    @Test(arguments: espSuites, [false, true])
    func everyESPSuite(suite: (Encryption, [IntegrityID]), extended: Bool) throws {
        let esp = [Pair.esp(suite.0, suite.1, extended: [extended])]
        var pair = Pair(Pair.connection(isLeft: true, esp: esp), Pair.connection(isLeft: false, esp: esp))
        pair.establish()
        expectEstablished(pair)
        let child = try #require(pair.responder.children.first)
        #expect(child.suite.encryption == suite.0 && child.suite.integrity == suite.1.first)
        #expect(child.suite.extendedSequenceNumbers == extended)
        for association in pair.initiator.installed + pair.responder.installed {
            #expect(association.keys.encryption.count == suite.0.keyMaterialOctets)
            #expect(association.keys.integrity?.count == suite.1.first?.keyOctets)
        }
    }

    @Test func theResponderPrefersItsOwnOrder() {
        let strong = Pair.ike(256, .hmacSHA512_256, .hmacSHA512)
        let weak = Pair.ike(128, .hmacSHA1_96, .hmacSHA1)
        var pair = Pair(
            Pair.connection(isLeft: true, ike: [weak, strong]), Pair.connection(isLeft: false, ike: [strong, weak]))
        pair.establish()
        expectEstablished(pair)
        #expect(pair.initiator.session.snapshot.suite?.prf == .hmacSHA512)
    }

    @Test func severalChildrenShareOneISAKMPSA() {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        var other = left.children[0]
        other.name = "other"
        other.localSelectors = [Pair.selector("10.3.0.0/16")]
        left.children.append(other)
        other.localSelectors = right.children[0].localSelectors
        other.remoteSelectors = [Pair.selector("10.3.0.0/16")]
        right.children.append(other)
        var pair = Pair(left, right)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.give(.command(.createChild(name: "other")), to: .initiator)
        pair.settle()
        #expect(Set(pair.initiator.usable.map(\.name)) == ["net", "other"])
        #expect(Set(pair.responder.usable.map(\.name)) == ["net", "other"])
        #expect(Set(pair.responder.usable.map(\.requestID)).count == 2)
        #expect(pair.disagreements == [])
    }

    @Test func theResponderCanAskForAChildToo() {
        var pair = Pair()
        pair.establish()
        pair.give(.command(.deleteChild(pair.responder.children[0].id)), to: .responder)
        pair.settle()
        #expect(pair.initiator.children.isEmpty && pair.responder.children.isEmpty)
        pair.give(.command(.createChild(name: "net")), to: .responder)
        pair.settle()
        expectEstablished(pair)
    }

    @Test func theFirstSASaysSo() {
        var pair = Pair()
        pair.establish()
        #expect(pair.responder.events.contains(.initialContact))
        var second = Pair()
        second[.initiator].environment.establishedConnections["left"] = 1
        second.establish()
        #expect(second.responder.events.contains(.established))
        #expect(!second.responder.events.contains(.initialContact))
    }

    @Test func aResponderChoosesTheConnectionByIdentity() {
        var other = Pair.connection(isLeft: false)
        other.name = "somebody"
        other.remoteIdentity = .exactly(Identity("somebody.example")!)
        // The wrong one stands first.
        var pair = Pair(Pair.connection(isLeft: true), other, others: [Pair.connection(isLeft: false)])
        pair.establish()
        expectEstablished(pair)
        #expect(pair.responder.session.snapshot.connection == "right")
    }

    @Test func addressesAreIdentitiesWhereNoneAreConfigured() {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        left.localIdentity = nil
        right.localIdentity = nil
        left.remoteIdentity = .exactly(Identity(Pair.right))
        right.remoteIdentity = .exactly(Identity(Pair.left))
        var pair = Pair(left, right)
        pair.establish()
        expectEstablished(pair)
        #expect(pair.responder.session.snapshot.remoteIdentity == Identity(Pair.left))
    }

    @Test func dynamicSelectorsAreTheEndsThemselves() {
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        for index in [0] {
            left.children[index].localSelectors = [.dynamic]
            left.children[index].remoteSelectors = [.dynamic]
            right.children[index].localSelectors = [.dynamic]
            right.children[index].remoteSelectors = [.dynamic]
        }
        var pair = Pair(left, right)
        pair.establish()
        expectEstablished(pair)
        #expect(pair.initiator.children.first?.localSelectors == [TrafficSelector(Pair.left)])
        #expect(pair.initiator.children.first?.remoteSelectors == [TrafficSelector(Pair.right)])
    }

    @Test func sameSeedSameOctets() {
        var one = Pair(seed: 5)
        var two = Pair(seed: 5)
        var three = Pair(seed: 6)
        one.establish()
        two.establish()
        three.establish()
        #expect(one.initiator.sent == two.initiator.sent)
        #expect(one.initiator.sent != three.initiator.sent)
    }

    @Test func tracesShowWhatTravelledEncrypted() {
        var settings = EngineSettings()
        settings.traceMessages = true
        var pair = Pair(settings: settings)
        pair.establish()
        func traces(_ side: Pair.Side) -> [MessageTrace] {
            pair[side].events.compactMap { if case .message(let trace) = $0 { trace } else { nil } }
        }
        #expect(traces(.initiator).count == 9 && traces(.responder).count == 9)
        let protected = traces(.initiator).map { trace in trace.parts.allSatisfy(\.isProtected) }
        #expect(protected == [false, false, false, false, true, true, true, true, true])
        #expect(traces(.initiator).map(\.isOutgoing) == [true, false, true, false, true, false, true, false, true])
    }
}
