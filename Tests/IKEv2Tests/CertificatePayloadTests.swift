import IPsec
import Primitives
import Testing

@testable import IKEv2

/// Signatures and certificates in IKE_AUTH (RFC 7296 §1.2, §3.6, §3.7), whatever they are worth.
@Suite struct CertificatePayloadTests {
    private static func connection(isLeft: Bool) -> Connection {
        var connection = Pair.connection(isLeft: isLeft)
        for (rounds, isOwn) in [(\Connection.local, true), (\.remote, false)] {
            connection[keyPath: rounds][0].method = .publicKey(KeyConstraint())
            if isOwn {
                connection[keyPath: rounds][0].certificates.certificates = [[0x30, isLeft ? 1 : 2], [0x30, 3]]
            } else {
                connection[keyPath: rounds][0].certificates.authorityHashes = [[UInt8](repeating: 7, count: 20)]
            }
        }
        return connection
    }

    private static func pair() -> Pair { Pair(connection(isLeft: true), connection(isLeft: false)) }

    @Test func eachCertificateIsSentOnce() {
        var pair = Self.pair()
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.responder.verifications.map(\.proof.certificates) == [[[0x30, 1], [0x30, 3]]])
        #expect(pair.initiator.verifications.map(\.proof.certificates) == [[[0x30, 2], [0x30, 3]]])
        #expect(pair.initiator.verifications.first?.identity == Identity("right.example"))
    }

    /// Who is to sign, and proves itself with a pre-shared key, is not let in; nor the other way round.
    @Test(arguments: Pair.Side.allCases) func theOtherMethodIsRefused(side: Pair.Side) {
        var connections = [Self.connection(isLeft: true), Self.connection(isLeft: false)]
        connections[side.rawValue].local[0].method = .preSharedKey
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair[side.other].usable.isEmpty)
        pair.run(for: .seconds(300))
        let peer = Identity(side == .initiator ? "left.example" : "right.example")!
        #expect(pair[side.other].closed == .refused(.authentication(peer: peer)))
        #expect(pair.initiator.closed != nil && pair.responder.closed != nil)
        #expect(pair.initiator.inbound.isEmpty && pair.responder.inbound.isEmpty)
    }
}
