import IPsec
import Primitives
import Testing

@testable import IKEv1

/// What sessions tell that hinders nobody.
@Suite struct NoticeTests {
    private func notices(_ end: Pair.End) -> [SessionNotice] {
        end.events.compactMap { if case .noticed(let notice) = $0 { notice } else { nil } }
    }

    /// The second and the fourth message are answers of Main Mode, the eighth is Quick Mode's.
    @Test(arguments: [(1, true), (3, true), (7, false)])
    func aLostAnswerIsToldAtBothEnds(lost: Int, isPhaseOne: Bool) throws {
        var pair = Pair()
        pair.network = { _, number, datagram in number == lost ? [] : [datagram] }
        pair.establish()
        pair.run(for: .seconds(60))
        #expect(pair.initiator.usable.count == 1)
        guard case .answeredLate(let sent, 1)? = notices(pair.initiator).first,
            case .repeatedRequest(let received)? = notices(pair.responder).first
        else {
            Issue.record("\(notices(pair.initiator)), \(notices(pair.responder))")
            return
        }
        #expect(sent == received && (sent == 0) == isPhaseOne)
        #expect(notices(pair.initiator).count == 1 && notices(pair.responder).count == 1)
    }

    @Test func withoutLossNothingIsTold() {
        var pair = Pair()
        pair.establish()
        pair.run(for: .seconds(60))
        #expect(pair.initiator.usable.count == 1)
        for end in pair.ends { #expect(notices(end).isEmpty) }
    }
}
