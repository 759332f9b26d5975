import IPsec
import KeyManagement
import Primitives
import Testing

/// Sessions that gateways send on (RFC 5685), on the toy exchange.
@Suite struct RedirectionTests {
    @Test func whatWasAskedForIsSetUpAtTheOtherGateway() throws {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        let second = manager.handle(
            .datagram(KeyManagerTests.answer(.redirect, to: request)), now: KeyManagerTests.at(0.1))
        #expect(KeyManagerTests.replies(second).isEmpty && manager.sessionIDs.count == 1)
        let next = try #require(KeyManagerTests.sent(second).first)
        #expect(next.remote == Endpoint(ScriptedSession.otherGateway, port: 500))
        let third = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: next, responder: 78)), now: KeyManagerTests.at(0.2))
        #expect(KeyManagerTests.replies(third) == [.done(matches: 1)])
        #expect(manager.snapshots.map(\.remote.address) == [ScriptedSession.otherGateway])
    }

    @Test func anEstablishedSessionStaysUntilItsSuccessorStands() throws {
        var manager = KeyManagerTests.manager()
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        let old = try #require(manager.sessionIDs.first)
        let redirected = manager.handle(
            .datagram(KeyManagerTests.answer(.redirect, to: request)), now: KeyManagerTests.at(1))
        let next = try #require(KeyManagerTests.sent(redirected).first)
        #expect(next.remote.address == ScriptedSession.otherGateway && manager.sessionIDs.count == 2)
        // Once at a time.
        let again = manager.handle(
            .datagram(KeyManagerTests.answer(.redirect, to: request)), now: KeyManagerTests.at(1.1))
        #expect(KeyManagerTests.sent(again).isEmpty)
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: next, responder: 78)), now: KeyManagerTests.at(1.2))
        #expect(manager.sessionIDs.count == 1 && manager.sessionIDs.first != old)
        #expect(manager.snapshots.map(\.remote.address) == [ScriptedSession.otherGateway])
    }

    @Test func theCommandReachesThoseThatCanBeSentOn() throws {
        var manager = KeyManagerTests.manager()
        func redirect(_ sessions: [SessionID]) -> [Effect] {
            manager.handle(
                .command(.redirect(sessions, to: .address(ScriptedSession.otherGateway)), RequestID(9)),
                now: KeyManagerTests.at(2))
        }
        let none = redirect([])
        #expect(KeyManagerTests.replies(none) == [.failed(.nothingMatches, matches: 0)])
        _ = manager.handle(
            .datagram(KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: 5)),
            now: KeyManagerTests.at(0))
        let peer = try #require(manager.sessionIDs.first)
        let told = redirect([peer])
        #expect(KeyManagerTests.replies(told) == [.done(matches: 1)] && KeyManagerTests.sent(told).count == 1)
        // One that we began is the gateway's to send on.
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(3))
        if let request = KeyManagerTests.sent(first).first {
            _ = manager.handle(
                .datagram(KeyManagerTests.answer(.answer, to: request, responder: 99)), now: KeyManagerTests.at(3.1))
            let own = try #require(manager.snapshots.first { $0.isInitiator }?.id)
            let refused = redirect([own])
            #expect(KeyManagerTests.replies(refused) == [.failed(.notRedirectable, matches: 1)])
        }
    }
}
