import IPsec
import KeyManagement
import Primitives
import Testing

/// IKEv2's make before break, on the toy exchange.
@Suite struct ReauthenticationTests {
    private func established(_ manager: inout KeyManager) throws -> SessionID {
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        return try #require(manager.sessionIDs.first)
    }

    /// The toy session takes a command to rekey for the time to authenticate again.
    private func renew(_ manager: inout KeyManager, _ session: SessionID) -> [Effect] {
        manager.handle(.command(.rekey(Target(session: session)), RequestID(2)), now: KeyManagerTests.at(1))
    }

    @Test func theSecondSessionStandsBeforeTheFirstGoes() throws {
        var manager = KeyManagerTests.manager()
        let old = try established(&manager)
        let request = try #require(KeyManagerTests.sent(renew(&manager, old)).first)
        #expect(manager.sessionIDs.count == 2)
        // Once at a time.
        #expect(KeyManagerTests.sent(renew(&manager, old)).isEmpty && manager.sessionIDs.count == 2)
        let effects = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request, responder: 78)), now: KeyManagerTests.at(1.1))
        var order: [String] = []
        for effect in effects {
            switch effect {
            case .install: order.append("install")
            case .remove: order.append("remove")
            default: break
            }
        }
        #expect(order == ["install", "install", "remove", "remove"])
        #expect(manager.sessionIDs.count == 1 && manager.sessionIDs.first != old)
        #expect(manager.snapshots.first?.state == .established)
    }

    @Test func aFailedSuccessorLeavesTheFirst() throws {
        var manager = KeyManagerTests.manager()
        let old = try established(&manager)
        let request = try #require(KeyManagerTests.sent(renew(&manager, old)).first)
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.refusal, to: request, responder: 78)), now: KeyManagerTests.at(1.1))
        #expect(manager.sessionIDs == [old])
        #expect(manager.snapshots.first?.state == .established)
        // And another may be tried.
        #expect(!KeyManagerTests.sent(renew(&manager, old)).isEmpty)
    }
}
