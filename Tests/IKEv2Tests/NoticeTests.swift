import IPsec
import Primitives
import Testing

@testable import IKEv2

/// What sessions tell that hinders nobody.
@Suite struct NoticeTests {
    private func notices(_ end: Pair.End) -> [SessionNotice] {
        end.events.compactMap { if case .noticed(let notice) = $0 { notice } else { nil } }
    }

    /// Message 1 is IKE_SA_INIT's answer, message 3 IKE_AUTH's.
    @Test(arguments: [(1, UInt32(0)), (3, UInt32(1))])
    func aLostAnswerIsToldAtBothEnds(lost: Int, messageID: UInt32) {
        var pair = Pair()
        pair.network = { _, number, datagram in number == lost ? [] : [datagram] }
        pair.establish()
        pair.run(for: .seconds(60))
        #expect(pair.initiator.usable.count == 1)
        #expect(notices(pair.initiator) == [.answeredLate(messageID: messageID, retransmissions: 1)])
        #expect(notices(pair.responder) == [.repeatedRequest(messageID: messageID)])
    }

    @Test func aForgedRepetitionIsNotTold() throws {
        var pair = Pair()
        pair.establish()
        var forged = try #require(pair.initiator.sent.last).mirrored
        forged.octets[forged.octets.count - 1] ^= 1
        pair.give(.datagram(forged), to: .responder)
        #expect(notices(pair.responder).isEmpty && notices(pair.initiator).isEmpty)
    }

    @Test func narrowedSelectorsAreToldAtBothEnds() {
        var wide = Pair.connection(isLeft: true)
        wide.children[0].remoteSelectors = [Pair.selector("10.0.0.0/8")]
        var pair = Pair(wide)
        pair.establish()
        #expect(pair.initiator.usable.count == 1)
        for end in pair.ends {
            #expect(notices(end) == end.usable.map { SessionNotice.selectorsNarrowed($0.id) })
        }
        // Those that fit are not told.
        var whole = Pair()
        whole.establish()
        for end in whole.ends { #expect(end.usable.count == 1 && notices(end).isEmpty) }
    }

    @Test func anIKESAThatStandsWithoutItsChildIsToldAtBothEnds() {
        var other = Pair.connection(isLeft: false)
        other.children[0].remoteSelectors = [Pair.selector("10.9.0.0/16")]
        var pair = Pair(Pair.connection(isLeft: true), other)
        pair.establish()
        for end in pair.ends {
            #expect(end.closed == nil && end.usable.isEmpty)
            #expect(notices(end) == [.keptWithoutChild])
        }
        // With CREATE_CHILD_SA it is the same.
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        for end in pair.ends { #expect(notices(end) == [.keptWithoutChild, .keptWithoutChild]) }
    }
}
