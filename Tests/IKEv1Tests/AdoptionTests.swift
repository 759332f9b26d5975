import IPsec
import Primitives
import Testing

@testable import IKEv1

/// Children that a session takes over from an older one between the same identities.
@Suite struct AdoptionTests {
    /// The older session was negotiating the child's replacement, so it has no time for one any more. Where that comes to nothing,
    /// the child must not die of age.
    @Test func aChildWhoseReplacementWasUnderWayIsReplacedAllTheSame() throws {
        for hasRekeyTime in [true, false] {
            var left = Pair.connection(isLeft: true)
            if hasRekeyTime { left.children[0].rekeyTime = .seconds(100) }
            left.children[0].lifeTime = .seconds(200)
            var pair = Pair(left)
            pair.establish()
            let own = try #require(pair.initiator.children.first)
            var foreign = own
            foreign.id = ChildID(4000)
            foreign.inboundSPI = SPI(0x4000_0000)
            foreign.rekeyAt = nil
            // The peer forgets the one that is there, so that the adopted one is alone.
            pair.give(.command(.deleteChild(own.id)), to: .initiator)
            pair.run(for: .seconds(1))
            let before = pair.initiator.sent.count { $0.octets[18] == 32 }
            pair.give(.adopt([foreign]), to: .initiator)
            pair.run(for: .seconds(30))
            let hasTried = pair.initiator.sent.count { $0.octets[18] == 32 } > before
            #expect(hasTried == hasRekeyTime)
            #expect(pair.initiator.usable.contains { $0.id != foreign.id } == hasRekeyTime)
        }
    }
}
