import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// ESP and AH of one proposal number, meant together (RFC 2408 §4.2): ESP inside AH.
@Suite struct BundleTests {
    private static func ah(_ integrity: [IntegrityID], _ groups: [KeyExchangeID] = []) -> Proposal {
        Proposal(.ah, encryption: [], integrity: integrity, keyExchange: groups, extendedSequenceNumbers: [false])
    }

    private static func connection(
        isLeft: Bool, _ proposals: [Proposal], isBundle: Bool = true
    ) -> Connection {
        var connection = Pair.connection(isLeft: isLeft, esp: proposals)
        connection.children[0].isBundle = isBundle
        return connection
    }

    private static let cbc = Pair.esp(Encryption(.aesCBC, keyBits: 256), [.hmacSHA256_128])
    private static let both = [cbc, Pair.esp(), ah([.hmacSHA1_96, .hmacSHA256_128])]

    private func expectBundle(_ pair: Pair, _ integrity: IntegrityID, _ place: SourceLocation = #_sourceLocation) throws
    {
        for side in Pair.Side.allCases {
            let out = try #require(pair[side].outbound.values.first, sourceLocation: place)
            let other = try #require(pair[side.other].inbound[out.spi], sourceLocation: place)
            let (sent, received) = (
                try #require(out.authenticationHeader, sourceLocation: place),
                try #require(other.authenticationHeader, sourceLocation: place)
            )
            #expect(out.securityProtocol == .esp && other.securityProtocol == .esp, sourceLocation: place)
            #expect(sent.spi == received.spi && sent.key == received.key, sourceLocation: place)
            #expect(sent.integrity == integrity && received.integrity == integrity, sourceLocation: place)
            #expect(sent.key.count == integrity.keyOctets, sourceLocation: place)
            // KEYMAT names the protocol (RFC 2409 §5.5), so that the halves have nothing in common.
            if let key = out.keys.integrity, key.count == sent.key.count {
                #expect(key != sent.key, sourceLocation: place)
            }
        }
        #expect(pair.disagreements == [], sourceLocation: place)
    }

    @Test func bothHalvesAreNegotiatedRekeyedAndDeleted() throws {
        var pair = Pair(Self.connection(isLeft: true, Self.both), Self.connection(isLeft: false, Self.both))
        pair.establish()
        try expectBundle(pair, .hmacSHA1_96)
        let child = try #require(pair.initiator.usable.first)
        #expect(child.suite.header == .init(integrity: .hmacSHA1_96, extendedSequenceNumbers: false))
        #expect(child.suite.description == "aes256-sha256 in AH sha1")
        pair.give(.command(.rekeyChild(child.id)), to: .initiator)
        pair.run(for: .seconds(60))
        #expect(pair.initiator.usable.count == 1 && pair.initiator.usable[0].id != child.id)
        try expectBundle(pair, .hmacSHA1_96)
        pair.give(.command(.deleteChild(pair.initiator.usable[0].id)), to: .initiator)
        pair.settle()
        for side in Pair.Side.allCases {
            #expect(pair[side].children.isEmpty && pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
        }
    }

    @Test func withForwardSecrecyAndSeveralPairs() throws {
        let groups: [KeyExchangeID] = [.curve25519]
        var esp = Self.cbc
        esp.keyExchange = groups
        let proposals = [esp, Self.ah([.hmacSHA512_256], groups)]
        var left = Self.connection(isLeft: true, proposals)
        left.children[0].parallelPairs = 2
        var pair = Pair(left, Self.connection(isLeft: false, proposals))
        pair.establish()
        try expectBundle(pair, .hmacSHA512_256)
        #expect(pair.initiator.outbound.count == 2)
        #expect(Set(pair.initiator.outbound.values.compactMap { $0.authenticationHeader?.key.exposed }).count == 2)
    }

    /// The wire: one number, two protocols, each with a transform of its own.
    @Test func theOfferHasBothUnderOneNumber() {
        let payload = PhaseTwoProposal.payload(
            Self.both, isBundle: true, spi: [1, 2, 3, 4], encapsulation: .tunnel, life: PhaseTwoLife())
        #expect(payload.proposals.map(\.number) == [1, 1, 2, 2])
        #expect(payload.proposals.map(\.protocolID) == [3, 2, 3, 2])
        #expect(payload.proposals.map { $0.transforms.map(\.number) } == [[1], [1, 2], [1], [1, 2]])
        #expect(
            PhaseTwoProposal.payload(
                [Self.cbc], isBundle: true, spi: [1, 2, 3, 4], encapsulation: .tunnel, life: PhaseTwoLife()
            ).proposals.isEmpty)
    }

    /// Nobody takes half of what is meant together, nor both of what are alternatives.
    @Test(arguments: Pair.Side.allCases) func halvesAreNotTakenAlone(side: Pair.Side) {
        var pair = Pair(
            Self.connection(isLeft: true, Self.both, isBundle: side == .initiator),
            Self.connection(isLeft: false, Self.both, isBundle: side == .responder))
        pair.establish()
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        #expect(pair.initiator.refusals == [.peer(notification: 14, name: "NO-PROPOSAL-CHOSEN")])
    }

    /// A responder that answers with one half, or another number for it, has not taken what was offered.
    @Test func halfAnAnswerIsRefused() throws {
        for change in 0..<2 {
            var pair = Pair(Self.connection(isLeft: true, Self.both), Self.connection(isLeft: false, Self.both))
            pair.network = { side, _, datagram in
                guard side == .responder, datagram.octets[18] == 32 else { return [datagram] }
                return []
            }
            pair.establish()
            var answer = try #require(pair.responder.sent.last { $0.octets[18] == 32 })
            let phaseOne = try RemoteAccess.keys(pair, .responder)
            let message = try #require(pair.initiator.session.quickModes.first)
            answer.octets = try Self.rewritten(answer.octets, phaseOne, message) { proposals in
                if change == 0 { proposals.removeLast() } else { proposals[1].number = 9 }
            }
            pair.network = { _, _, datagram in [datagram] }
            pair.give(.datagram(answer.mirrored), to: .initiator)
            #expect(pair.initiator.installed.isEmpty)
            #expect(pair.initiator.refusals == [.protocolViolation("the responder chose what was not offered")])
        }
    }

    /// Message 2 of Quick Mode with other proposals, authenticated anew.
    private static func rewritten(
        _ octets: [UInt8], _ phaseOne: PhaseOne, _ quickMode: QuickMode,
        _ change: (inout [ProposalPayload]) -> Void
    ) throws -> [UInt8] {
        var reader = ByteReader(octets)
        let header = try Header(from: &reader)
        var chain = quickMode.chain
        var payloads = try chain.open(octets, header: header, keys: phaseOne.keys).payloads
        let place = try #require(payloads.firstIndex { $0.type == .securityAssociation })
        var offer = try SecurityAssociationPayload(parsing: payloads[place].body[...], IPsecDOI.self)
        change(&offer.proposals)
        payloads[place] = Payload(.securityAssociation, body: offer.body)
        payloads.removeFirst()
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        let hash = try phaseOne.keys.authenticator([header.messageID.octets, quickMode.ownNonce, rest])
        var again = quickMode.chain
        return try again.seal(
            [Payload(.hash, body: hash)] + payloads,
            header: Header(
                initiator: header.initiator, responder: header.responder, majorVersion: 1, exchange: .quickMode,
                messageID: header.messageID), keys: phaseOne.keys)
    }

    @Test func aHDoesNotPassANAT() {
        var settings = EngineSettings()
        settings.forceEncapsulation = true
        var pair = Pair(
            Self.connection(isLeft: true, Self.both), Self.connection(isLeft: false, Self.both), settings: settings)
        pair.establish()
        #expect(pair.initiator.installed.isEmpty)
        guard case .policy(let reason)? = pair.initiator.refusals.first else {
            Issue.record("no reason")
            return
        }
        #expect(reason.contains("NAT"))
    }
}
