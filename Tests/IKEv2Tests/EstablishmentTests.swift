import Cryptography
import IPsec
import Primitives
import Testing

@testable import IKEv2

@Suite struct EstablishmentTests {
    @Test func initialExchangesMakeAChildWithEqualKeys() {
        var pair = Pair()
        pair.establish()
        #expect(pair.initiator.events.contains(.established))
        #expect(pair.responder.events.contains(.established))
        #expect(pair.initiator.sent.count == 2 && pair.responder.sent.count == 2)
        for side in Pair.Side.allCases {
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1)
            #expect(pair[side].claimed.count == 1)
        }
        #expect(pair.disagreements == [])
        let child = pair.initiator.children.first
        #expect(child?.localSelectors.map(\.description) == ["10.1.0.0/16"])
        #expect(child?.remoteSelectors.map(\.description) == ["10.2.0.0/16"])
        #expect(child?.inboundSPI == pair.responder.children.first?.outboundSPI)
    }

    @Test(arguments: [Pair.Side.initiator, .responder]) func deleteLeavesNothing(side: Pair.Side) {
        var pair = Pair()
        pair.establish()
        pair.give(.command(.delete), to: side)
        pair.settle()
        #expect(pair[side].closed == .deletedByUs)
        #expect(pair[side.other].closed == .deletedByPeer)
        for side in Pair.Side.allCases {
            #expect(pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
            #expect(pair[side].claimed.isEmpty && pair[side].timers.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
        }
    }
}
