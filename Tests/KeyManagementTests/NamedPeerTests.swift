import IPsec
import KeyManagement
import Primitives
import Testing

/// Peers known by a DNS name whose addresses change, on the toy exchange.
@Suite struct NamedPeerTests {
    private static let first = IPAddress(v4: 0x0A00_0010)
    private static let second = IPAddress(v4: 0x0A00_0011)
    private static let third = IPAddress(v4: 0x0A00_0012)

    private static func manager(_ addresses: [IPAddress], change: (inout Connection) -> Void = { _ in }) -> KeyManager {
        KeyManagerTests.manager {
            $0.remoteAddresses = [.name("gw.example", addresses)]
            change(&$0)
        }
    }

    /// The name stands for other addresses from now on.
    private static func resolve(
        _ manager: inout KeyManager, _ addresses: [IPAddress], at seconds: Double
    ) -> [Effect] {
        var policies = manager.policies
        var connection = policies.connections[0]
        connection.remoteAddresses = [.name("gw.example", addresses)]
        policies.put(connection)
        return manager.handle(.command(.load(policies), RequestID(99)), now: KeyManagerTests.at(seconds))
    }

    private static func up(_ manager: inout KeyManager) throws -> SessionID {
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        let request = try #require(KeyManagerTests.sent(first).first)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        #expect(manager.snapshots.map(\.state) == [.established])
        return try #require(manager.sessionIDs.first)
    }

    @Test func whatIsUpStaysWhileTheNameHasItsAddress() throws {
        var manager = Self.manager([Self.first])
        let session = try Self.up(&manager)
        for addresses in [[Self.second, Self.first], [Self.first], [Self.first, Self.third]] {
            let effects = Self.resolve(&manager, addresses, at: 1)
            #expect(KeyManagerTests.sent(effects).isEmpty && manager.sessionIDs == [session])
        }
    }

    @Test func whatIsUpMakesBeforeItBreaksWhenTheNameHasLostItsAddress() throws {
        var manager = Self.manager([Self.first])
        let old = try Self.up(&manager)
        let effects = Self.resolve(&manager, [Self.second], at: 1)
        let request = try #require(KeyManagerTests.sent(effects).first)
        #expect(request.remote.address == Self.second && manager.sessionIDs.count == 2)
        // Once at a time.
        #expect(KeyManagerTests.sent(Self.resolve(&manager, [Self.third], at: 2)).isEmpty == false)
        #expect(manager.snapshots.first { $0.id == old }?.state == .established)
        let later = KeyManagerTests.sent(Self.resolve(&manager, [Self.third], at: 3))
        #expect(later.isEmpty)
        let current = try #require(manager.snapshots.last { $0.remote.address == Self.third })
        #expect(current.state == .connecting && manager.sessionIDs.count == 2)
    }

    @Test func theOldOneRetiresWhenTheNewOneStands() throws {
        var manager = Self.manager([Self.first])
        let old = try Self.up(&manager)
        let request = try #require(KeyManagerTests.sent(Self.resolve(&manager, [Self.second], at: 1)).first)
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request, responder: 78)), now: KeyManagerTests.at(2))
        #expect(manager.snapshots.map(\.remote.address) == [Self.second] && manager.sessionIDs.first != old)
    }

    @Test func theOldOneGoesOnWhereNobodyAnswersAtTheNewAddress() throws {
        var manager = Self.manager([Self.first])
        let old = try Self.up(&manager)
        _ = Self.resolve(&manager, [Self.second], at: 1)
        while let deadline = manager.nextDeadline, deadline < KeyManagerTests.at(60) {
            _ = manager.handle(.deadline, now: deadline)
        }
        #expect(manager.sessionIDs == [old] && manager.snapshots.map(\.state) == [.established])
    }

    @Test func aFirstExchangeUnderWayGoesToTheNewAddressAtOnce() throws {
        var manager = Self.manager([Self.first])
        let first = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        #expect(KeyManagerTests.sent(first).map(\.remote.address) == [Self.first])
        let second = Self.resolve(&manager, [Self.second], at: 1)
        let request = try #require(KeyManagerTests.sent(second).first)
        #expect(request.remote.address == Self.second && manager.sessionIDs.count == 1)
        let third = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request, responder: 78)), now: KeyManagerTests.at(2))
        #expect(KeyManagerTests.replies(third) == [.done(matches: 1)])
    }

    @Test func everyAddressIsTriedInTurn() throws {
        var manager = Self.manager([Self.first, Self.second, Self.third])
        var tried: [IPAddress] = []
        var replies: [Response] = []
        var last: Datagram?
        func note(_ effects: [Effect]) {
            for datagram in KeyManagerTests.sent(effects) {
                last = datagram
                if tried.last != datagram.remote.address { tried.append(datagram.remote.address) }
            }
            replies += KeyManagerTests.replies(effects)
        }
        for round: UInt64 in 1...2 {
            note(
                manager.handle(
                    .command(.initiate(connection: nil, child: "net"), RequestID(round)),
                    now: KeyManagerTests.at(100 * Double(round))))
            while let deadline = manager.nextDeadline { note(manager.handle(.deadline, now: deadline)) }
        }
        // Each once for one `keyingtries`.
        #expect(tried == [Self.first, Self.second, Self.third, Self.first, Self.second, Self.third])
        #expect(replies == Array(repeating: .failed(.closed(.peerUnresponsive), matches: 1), count: 2))
        // The one that answers is where the next one begins.
        note(
            manager.handle(
                .command(.initiate(connection: nil, child: "net"), RequestID(3)), now: KeyManagerTests.at(1000)))
        while tried.last != Self.second, let deadline = manager.nextDeadline {
            note(manager.handle(.deadline, now: deadline))
        }
        let request = try #require(last)
        note(
            manager.handle(
                .datagram(KeyManagerTests.answer(.answer, to: request, responder: 78)), now: KeyManagerTests.at(1005)))
        #expect(replies.last == .done(matches: 1) && manager.snapshots.map(\.remote.address) == [Self.second])
        note(
            manager.handle(
                .command(.terminate(Target(connection: "peer")), RequestID(4)), now: KeyManagerTests.at(1010)))
        tried = []
        note(
            manager.handle(
                .command(.initiate(connection: nil, child: "net"), RequestID(5)), now: KeyManagerTests.at(1020)))
        #expect(tried == [Self.second])
    }

    @Test func aSuccessorThatIsTriedAgainStillSucceeds() throws {
        var manager = Self.manager([Self.first])
        let old = try Self.up(&manager)
        _ = Self.resolve(&manager, [Self.second, Self.third], at: 1)
        var last: Datagram?
        while last?.remote.address != Self.third, let deadline = manager.nextDeadline {
            last = KeyManagerTests.sent(manager.handle(.deadline, now: deadline)).last ?? last
        }
        let request = try #require(last)
        #expect(manager.sessionIDs.count == 2 && manager.sessionIDs.contains(old))
        _ = manager.handle(
            .datagram(KeyManagerTests.answer(.answer, to: request, responder: 78)), now: KeyManagerTests.at(30))
        #expect(manager.snapshots.map(\.remote.address) == [Self.third])
    }
}
