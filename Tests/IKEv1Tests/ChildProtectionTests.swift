import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// AH in Quick Mode (RFC 2407 §4.4.3).
@Suite struct ChildProtectionTests {
    private static func ah(_ integrity: [IntegrityID]) -> Proposal {
        Proposal(.ah, encryption: [], integrity: integrity, extendedSequenceNumbers: [false])
    }

    @Test(arguments: [
        IntegrityID.hmacMD5_96, .hmacSHA1_96, .hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256, .aesXCBC_96,
    ])
    func negotiatesRekeysAndDeletesAH(integrity: IntegrityID) throws {
        let proposals = [Self.ah([integrity])]
        var pair = Pair(
            Pair.connection(isLeft: true, esp: proposals), Pair.connection(isLeft: false, esp: proposals))
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        let sa = try #require(pair.initiator.outbound.values.first)
        let other = try #require(pair.responder.inbound[sa.spi])
        #expect(sa.securityProtocol == .ah && other.securityProtocol == .ah)
        #expect(sa.suite.integrity == integrity)
        #expect(sa.keys.integrity == other.keys.integrity)
        #expect(sa.keys.integrity?.count == integrity.keyOctets)
        let child = try #require(pair.initiator.children.first)
        #expect(child.securityProtocol == .ah)
        pair.give(.command(.deleteChild(child.id)), to: .initiator)
        pair.settle()
        #expect(pair.responder.children.isEmpty, "the Delete names AH")
    }

    /// The transform's number and the attribute say the same algorithm twice, and must agree (RFC 2407 §4.5).
    @Test func refusesContradictions() throws {
        let payload = PhaseTwoProposal.payload(
            [Self.ah([.hmacSHA256_128])], spi: [1, 2, 3, 4], encapsulation: .tunnel, life: PhaseTwoLife())
        let proposal = try #require(payload.proposals.first)
        #expect(proposal.protocolID == IPsecDOI.protocolAH)
        var transform = try #require(proposal.transforms.first)
        #expect(transform.identifier == 5)
        #expect(PhaseTwoProposal.proposal(transform, .ah)?.integrity == [.hmacSHA256_128])
        #expect(PhaseTwoProposal.proposal(transform, .ah)?.encryption.isEmpty == true)
        transform.identifier = 3
        #expect(PhaseTwoProposal.proposal(transform, .ah) == nil)
    }

    @Test func doesNotOfferAHThroughNAT() throws {
        var settings = EngineSettings()
        settings.forceEncapsulation = true
        let proposals = [Self.ah([.hmacSHA1_96]), Pair.esp()]
        var pair = Pair(
            Pair.connection(isLeft: true, esp: proposals), Pair.connection(isLeft: false, esp: proposals),
            settings: settings)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        #expect(pair.initiator.outbound.values.first?.securityProtocol == .esp)
    }
}
