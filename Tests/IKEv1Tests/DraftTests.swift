import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// NAT traversal as the drafts before RFC 3947 speak it: what an end does that hears only of them.
@Suite struct DraftTests {
    /// A network on which the vendor IDs of some dialects get lost, so that both ends believe the other not to know them.
    /// Nothing protects vendor IDs (RFC 2409 §5: HASH_I covers SAi_b).
    private static func losing(_ dialects: [NATDialect]) -> (Pair.Side, Int, Datagram) -> [Datagram] {
        { _, _, datagram in
            var reader = ByteReader(datagram.octets)
            guard let header = try? Header(from: &reader), !header.flags.contains(.encryption),
                let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads
            else { return [datagram] }
            let kept = payloads.filter { payload in
                payload.type != .vendorID || !dialects.contains { $0.vendorID == payload.body }
            }
            var changed = datagram
            changed.octets = Message(header: header, payloads: kept).octets
            return [changed]
        }
    }

    private static func payloadTypes(_ datagram: Datagram) -> [UInt8] {
        var reader = ByteReader(datagram.octets)
        guard let header = try? Header(from: &reader),
            let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        else { return [] }
        return payloads.map(\.type.rawValue)
    }

    private static let worse: [NATDialect] = [.draft03, .draft02, .draft02LineFeed]

    @Test("a dialect that both know is spoken, with its payloads and encapsulation", arguments: worse, [false, true])
    func dialect(_ dialect: NATDialect, isAggressive: Bool) throws {
        var settings = EngineSettings()
        settings.forceEncapsulation = true
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        left.isAggressive = isAggressive
        right.isAggressive = isAggressive
        var pair = Pair(left, right, settings: settings)
        let lost = NATDialect.allCases.filter { $0 != dialect }
        pair.network = Self.losing(lost)
        pair.establish()
        for side in Pair.Side.allCases {
            #expect(pair[side].session.nat.dialect == dialect)
            #expect(pair[side].usable.count == 1 && pair[side].usable.allSatisfy(\.udpEncapsulation))
            // From message 5, or 3, on both speak from port 4500 (draft 02 §4).
            #expect(pair[side].session.local.port == 4500 && pair[side].session.remote.port == 4500)
        }
        #expect(pair.disagreements == [])
        let discovery = isAggressive ? pair.responder.sent[0] : pair.initiator.sent[1]
        #expect(Self.payloadTypes(discovery).count { $0 == 130 } == 2)
        #expect(!Self.payloadTypes(discovery).contains(20))
        let quick = try #require(pair.responder.session.quickModes.first)
        #expect(quick.policy.name == "net")
    }

    @Test("of several, the standard's is taken, and the responder names it alone")
    func standard() {
        var pair = Pair()
        pair.establish()
        #expect(pair.initiator.session.nat.dialect == .standard && pair.responder.session.nat.dialect == .standard)
        #expect(Self.payloadTypes(pair.initiator.sent[0]).count { $0 == 13 } >= 4)
        let bodies = Self.vendors(pair.responder.sent[0])
        #expect(NATDialect.allCases.filter { bodies.contains($0.vendorID) } == [.standard])
    }

    private static func vendors(_ datagram: Datagram) -> [[UInt8]] {
        var reader = ByteReader(datagram.octets)
        guard let header = try? Header(from: &reader),
            let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        else { return [] }
        return payloads.filter { $0.type == .vendorID }.map(\.body)
    }

    @Test("a peer that knows nothing of NAT gets no NAT-D")
    func none() {
        var pair = Pair()
        pair.network = Self.losing(NATDialect.allCases)
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        for datagram in pair.initiator.sent.prefix(2) + pair.responder.sent.prefix(2) {
            #expect(!Self.payloadTypes(datagram).contains { $0 == 20 || $0 == 130 })
        }
    }
}
