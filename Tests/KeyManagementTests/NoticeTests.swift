import IPsec
import Primitives
import Testing

@testable import KeyManagement

/// What an operator is told that hinders nobody.
@Suite struct NoticeTests {
    private func notices(_ effects: [Effect]) -> [NodeNotice] {
        effects.compactMap {
            if case .report(let event) = $0, case .noticed(let notice) = event.kind { notice } else { nil }
        }
    }

    private func sessionNotices(_ effects: [Effect]) -> [(session: SessionID?, notice: SessionNotice)] {
        effects.compactMap {
            if case .report(let event) = $0, case .session(.noticed(let notice)) = event.kind {
                (event.session, notice)
            } else {
                nil
            }
        }
    }

    private let remote = Endpoint(KeyManagerTests.right, port: 500)

    private func datagram(_ octets: [UInt8]) -> Input {
        .datagram(Datagram(local: Endpoint(KeyManagerTests.left, port: 500), remote: remote, octets: octets))
    }

    @Test func strangersAreToldOfOnceASecond() {
        var manager = KeyManagerTests.manager()
        let strange = ScriptedSession.message(.answer, initiator: 1, responder: 2, fromInitiator: true)
        var told: [[NodeNotice]] = []
        for moment in [0, 0.2, 0.9, 1, 1.5] {
            told.append(notices(manager.handle(datagram([1, 2, 3]), now: KeyManagerTests.at(moment))))
            told.append(notices(manager.handle(datagram(strange), now: KeyManagerTests.at(moment))))
        }
        #expect(
            told == [
                [.malformedHeader(remote: remote, count: 1)], [.unknownSPI(remote: remote, count: 1)], [], [], [], [],
                [.malformedHeader(remote: remote, count: 3)], [.unknownSPI(remote: remote, count: 3)], [], [],
            ])
        #expect(manager.counters.malformed == 5 && manager.counters.unknownSPI == 5)
    }

    @Test func aPeerWithoutAnAddressIsTold() {
        var manager = KeyManagerTests.manager { $0.remoteAddresses = [.any(nil)] }
        let effects = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        #expect(notices(effects) == [.noRemoteAddress])
        // What nobody commands is told as well.
        var starting = KeyManagerTests.manager(children: [KeyManagerTests.child { $0.startAction = .start }]) {
            $0.remoteAddresses = [.any(nil)]
        }
        #expect(notices(starting.handle(.deadline, now: KeyManagerTests.at(0))) == [.noRemoteAddress])
    }

    @Test(arguments: [Connection.Uniqueness.replace, .keep, .no])
    func whatUniquenessDoesIsTold(unique: Connection.Uniqueness) throws {
        var manager = KeyManagerTests.manager { $0.unique = unique }
        func begin(_ initiator: UInt64) -> [Effect] {
            manager.handle(
                .datagram(KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: initiator)),
                now: KeyManagerTests.at(0))
        }
        #expect(sessionNotices(begin(1)).isEmpty)
        let first = try #require(manager.sessionIDs.first)
        let told = sessionNotices(begin(2))
        switch unique {
        case .replace:
            #expect(told.map(\.notice) == [.olderReplaced(first)])
            #expect(told.first?.session != first && manager.sessionIDs == [told.first?.session])
        case .keep:
            #expect(told.map(\.notice) == [.olderKept])
            #expect(manager.sessionIDs == [first])
        default: #expect(told.isEmpty && manager.sessionIDs.count == 2)
        }
    }

    @Test func repetitionsOfASessionAreToldOnceASecond() throws {
        var manager = KeyManagerTests.manager()
        _ = manager.handle(
            .datagram(KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: 1)),
            now: KeyManagerTests.at(0))
        let session = try #require(manager.sessionIDs.first)
        var told: [Bool] = []
        for moment in [1, 1.5, 2] {
            _ = manager.handle(.deadline, now: KeyManagerTests.at(moment))
            let isTold = manager.isWorthTelling(.noticed(.repeatedRequest(messageID: 4)), of: session)
            told.append(isTold)
        }
        #expect(told == [true, false, true])
        let isLateTold = manager.isWorthTelling(
            .noticed(.answeredLate(messageID: 1, retransmissions: 1)), of: session)
        #expect(isLateTold)
    }
}
