import Cryptography
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// What a child is made of beside ESP in tunnel mode: AH, transport mode, compression, counted lifetimes, padding.
@Suite struct ChildProtectionTests {
    private static let ah = Proposal(
        .ah, encryption: [], integrity: [.hmacSHA256_128, .hmacSHA1_96], extendedSequenceNumbers: [true, false])

    private func pair(
        _ proposals: [Proposal], settings: EngineSettings = EngineSettings(),
        _ change: (inout ChildPolicy) -> Void = { _ in }
    ) -> Pair {
        var left = Pair.connection(isLeft: true, esp: proposals)
        var right = Pair.connection(isLeft: false, esp: proposals)
        change(&left.children[0])
        change(&right.children[0])
        return Pair(left, right, settings: settings)
    }

    @Test func negotiatesRekeysAndDeletesAH() throws {
        var pair = pair([Self.ah])
        pair.establish()
        #expect(pair.disagreements == [])
        let sa = try #require(pair.initiator.outbound.values.first)
        #expect(sa.securityProtocol == .ah)
        #expect(
            sa.suite
                == IPsec.Suite(
                    encryption: Encryption(.null), integrity: .hmacSHA256_128, extendedSequenceNumbers: true))
        #expect(sa.keys.encryption.count == 0)
        #expect(sa.keys.integrity?.count == 32)
        let old = try #require(pair.initiator.children.first)
        #expect(old.securityProtocol == .ah)
        pair.give(.command(.rekeyChild(old.id)), to: .responder)
        pair.give(.command(.rekeyChild(old.id)), to: .initiator)
        pair.run(for: .seconds(30))
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.count == 1, "the old one is deleted under AH's number")
            #expect(pair[side].usable.first?.inboundSPI != old.inboundSPI)
        }
        #expect(pair.disagreements == [])
        let new = try #require(pair.initiator.usable.first)
        pair.give(.command(.deleteChild(new.id)), to: .initiator)
        pair.settle()
        #expect(pair.responder.children.isEmpty)
        #expect(pair.responder.inbound.isEmpty)
    }

    /// Our order counts, across protocols; and where packets go inside UDP, AH is no choice.
    @Test func choosesBetweenProtocols() throws {
        var first = pair([Self.ah, Pair.esp])
        first.establish()
        #expect(first.initiator.outbound.values.first?.securityProtocol == .ah)
        var settings = EngineSettings()
        settings.forceEncapsulation = true
        var second = pair([Self.ah, Pair.esp], settings: settings)
        second.establish()
        #expect(second.initiator.outbound.values.first?.securityProtocol == .esp)
        #expect(second.disagreements == [])
        var third = pair([Self.ah], settings: settings)
        third.establish()
        #expect(third.initiator.outbound.isEmpty)
    }

    @Test func agreesOnCompressionWhereBothWantIt() throws {
        var pair = pair([Pair.esp]) { $0.compresses = true }
        pair.establish()
        for side in Pair.Side.allCases {
            let outbound = try #require(pair[side].outbound.values.first)
            let other = try #require(pair[side.other].inbound[outbound.spi])
            #expect(outbound.compression != nil)
            #expect(outbound.compression == other.compression, "the receiver's index")
            #expect((256...61_439).contains(outbound.compression?.index ?? 0))
        }
        let child = try #require(pair.initiator.children.first)
        pair.give(.command(.rekeyChild(child.id)), to: .initiator)
        pair.settle()
        #expect(pair.initiator.outbound.values.allSatisfy { $0.compression != nil })

        var alone = Pair.connection(isLeft: true)
        alone.children[0].compresses = true
        var one = Pair(alone, Pair.connection(isLeft: false))
        one.establish()
        #expect(one.initiator.outbound.values.first?.compression == nil)
        #expect(one.responder.outbound.values.first?.compression == nil)
    }

    @Test func handsLimitsAndTreatmentToTheDataPlane() throws {
        var pair = pair([Pair.esp]) {
            $0.octetLifetime = CountedLifetime(rekey: 1000, life: 2000, random: 100)
            $0.packetLifetime = CountedLifetime(rekey: 0, life: 7)
            $0.treatment.padding = .octets(500)
            $0.treatment.copiesDSCP = .no
            $0.priority = 3
        }
        pair.establish()
        let (inbound, outbound) = (
            try #require(pair.initiator.inbound.values.first), try #require(pair.initiator.outbound.values.first)
        )
        for sa in [inbound, outbound] {
            #expect((900...1000).contains(sa.limits.softOctets))
            #expect(sa.limits.hardOctets == 2000)
            #expect(sa.limits.hardPackets == 7)
            #expect(sa.treatment.padding == .octets(500))
            #expect(sa.treatment.copiesDSCP == .no)
            #expect(sa.priority == 3)
        }
    }

    @Test func childrenEndWhenTheyAreUsedUp() throws {
        var pair = Pair()
        pair.establish()
        let child = try #require(pair.initiator.children.first)
        pair.give(.childExhausted(child.id), to: .initiator)
        pair.run(for: .seconds(30))
        let next = try #require(pair.initiator.usable.first)
        #expect(next.id != child.id)
        pair.give(.childExpired(next.id), to: .initiator)
        pair.settle()
        #expect(pair.initiator.children.isEmpty)
        #expect(pair.responder.children.isEmpty)
        pair.give(.childExpired(next.id), to: .initiator)
        #expect(pair.wire.isEmpty, "it is gone")
    }
}
