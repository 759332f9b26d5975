import IPsec
import KeyManagement
import Primitives
import Testing

/// Single connections put in force and taken out beside SAs that live.
@Suite struct ChangeTests {
    private static func established(start: ChildAction = .none) throws -> KeyManager {
        var manager = KeyManagerTests.manager(children: [KeyManagerTests.child { $0.startAction = start }])
        let request = RequestID(1)
        let sent = KeyManagerTests.sent(
            manager.handle(.command(.initiate(connection: nil, child: "net"), request), now: KeyManagerTests.at(0)))
        let answer = KeyManagerTests.answer(.answer, to: try #require(sent.first))
        _ = manager.handle(.datagram(answer), now: KeyManagerTests.at(0.1))
        #expect(manager.snapshots.map(\.state) == [.established])
        return manager
    }

    private func traps(_ effects: [Effect]) -> [Bool] {
        effects.compactMap { if case .trap(_, _, let isSet) = $0 { isSet } else { nil } }
    }

    @Test func whatIsPutWithStartComesUp() throws {
        var manager = KeyManagerTests.manager()
        var connection = try #require(manager.policies.connection("peer"))
        connection.name = "more"
        connection.children[0].startAction = .start
        let effects = manager.handle(.command(.put(connection), RequestID(1)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(effects) == [.done(matches: 1)])
        #expect(manager.policies.connections.map(\.name) == ["peer", "more"])
        let due = try #require(manager.nextDeadline)
        #expect(KeyManagerTests.sent(manager.handle(.deadline, now: due)).count == 1)
        // The same again is nothing new.
        let again = manager.handle(.command(.put(connection), RequestID(2)), now: KeyManagerTests.at(2))
        #expect(again.count == 1)
    }

    @Test func aReplacedConnectionKeepsItsSAs() throws {
        var manager = try ChangeTests.established(start: .start)
        var connection = try #require(manager.policies.connection("peer"))
        connection.deadPeerDelay = .seconds(7)
        _ = manager.handle(.command(.put(connection), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(manager.snapshots.map(\.state) == [.established])
        #expect(manager.policies.connection("peer")?.deadPeerDelay == .seconds(7))
        // A child that is gone takes its SA along.
        connection.children = []
        _ = manager.handle(.command(.put(connection), RequestID(3)), now: KeyManagerTests.at(2))
        #expect(manager.snapshots.isEmpty)
    }

    @Test func unloadingEndsWhatStartActionBegan() throws {
        var started = try ChangeTests.established(start: .start)
        let effects = started.handle(.command(.drop(connection: "peer"), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(effects) == [.done(matches: 1)])
        #expect(started.snapshots.isEmpty)
        #expect(started.policies.connections.isEmpty)
        var asked = try ChangeTests.established()
        _ = asked.handle(.command(.drop(connection: "peer"), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(asked.snapshots.map(\.state) == [.established])
        let unknown = asked.handle(.command(.drop(connection: "peer"), RequestID(3)), now: KeyManagerTests.at(2))
        #expect(KeyManagerTests.replies(unknown) == [.failed(.noSuchConfiguration("peer"), matches: 0)])
    }

    @Test func aLoadEndsChildrenThatAreGone() throws {
        var manager = try ChangeTests.established()
        var connection = try #require(manager.policies.connection("peer"))
        connection.children = [KeyManagerTests.child("other")]
        _ = manager.handle(
            .command(.load(PolicyDatabase(connections: [connection])), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(manager.snapshots.isEmpty)
    }

    @Test func trapsAreSetAndTakenBack() throws {
        var manager = KeyManagerTests.manager()
        func perform(_ command: Command) -> [Effect] {
            manager.handle(.command(command, RequestID(1)), now: KeyManagerTests.at(0))
        }
        #expect(traps(perform(.install(connection: nil, child: "net"))) == [true])
        #expect(manager.traps == [ChildKey(connection: "peer", child: "net")])
        #expect(KeyManagerTests.replies(perform(.install(connection: "other", child: "net"))).count == 1)
        #expect(traps(perform(.uninstall(connection: nil, child: "net"))) == [false])
        #expect(
            KeyManagerTests.replies(perform(.uninstall(connection: nil, child: "net")))
                == [.failed(.notInstalled(child: "net"), matches: 0)])
        #expect(manager.traps.isEmpty)
    }

    @Test func aPeersDeleteLeavesATrapWhereCloseActionSaysSo() throws {
        var manager = KeyManagerTests.manager(children: [KeyManagerTests.child { $0.closeAction = .trap }])
        let sent = KeyManagerTests.sent(
            manager.handle(.command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        )
        let request = try #require(sent.first)
        _ = manager.handle(.datagram(KeyManagerTests.answer(.answer, to: request)), now: KeyManagerTests.at(0.1))
        #expect(manager.traps.isEmpty)
        let ended = manager.handle(
            .datagram(KeyManagerTests.answer(.bye, to: request)), now: KeyManagerTests.at(1))
        #expect(traps(ended) == [true])
        #expect(manager.traps == [ChildKey(connection: "peer", child: "net")])
    }

    @Test func aDeadPeerLeavesATrapWhereItsActionSaysSo() throws {
        var manager = KeyManagerTests.manager(children: [KeyManagerTests.child { $0.deadPeerAction = .trap }])
        var effects = manager.handle(
            .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0))
        while let due = manager.nextDeadline, !manager.snapshots.isEmpty {
            effects += manager.handle(.deadline, now: due)
        }
        #expect(traps(effects) == [true])
    }

    @Test(arguments: [ChildAction.start, .trap]) func whatWeEndStaysDown(action: ChildAction) throws {
        for child in [nil, "net"] {
            var manager = KeyManagerTests.manager(
                children: [
                    KeyManagerTests.child {
                        $0.closeAction = action
                        $0.deadPeerAction = action
                    }
                ])
            let sent = KeyManagerTests.sent(
                manager.handle(
                    .command(.initiate(connection: nil, child: "net"), RequestID(1)), now: KeyManagerTests.at(0)))
            _ = manager.handle(
                .datagram(KeyManagerTests.answer(.answer, to: try #require(sent.first))), now: KeyManagerTests.at(0.1))
            var effects = manager.handle(
                .command(
                    .terminate(Target(connection: "peer", child: child, session: nil, childID: nil)), RequestID(2)),
                now: KeyManagerTests.at(1))
            #expect(KeyManagerTests.replies(effects) == [.done(matches: 1)])
            while let due = manager.nextDeadline, due < KeyManagerTests.at(60) {
                effects += manager.handle(.deadline, now: due)
            }
            #expect(
                KeyManagerTests.sent(effects).allSatisfy { $0.octets.last != ScriptedSession.Message.request.rawValue })
            #expect(traps(effects).isEmpty)
        }
    }

    @Test func anAbandonedSAGoesAtOnce() throws {
        var manager = try ChangeTests.established()
        let effects = manager.handle(
            .command(.abandon(Target(connection: "peer")), RequestID(2)), now: KeyManagerTests.at(1))
        #expect(KeyManagerTests.replies(effects) == [.done(matches: 1)])
        #expect(manager.snapshots.isEmpty)
        #expect(manager.residue.isEmpty)
        let nothing = manager.handle(
            .command(.abandon(Target(connection: "peer")), RequestID(3)), now: KeyManagerTests.at(2))
        #expect(KeyManagerTests.replies(nothing) == [.failed(.nothingMatches, matches: 0)])
    }

    @Test func databasesFindByNameAfterChanges() {
        var database = PolicyDatabase()
        for name in ["a", "b", "c"] { database.put(Connection(name: name, proposals: [], children: [])) }
        database.remove("a")
        #expect(database.connections.map(\.name) == ["b", "c"])
        #expect(database.connection("c")?.name == "c")
        #expect(database.connection("a") == nil)
        var changed = Connection(name: "b", proposals: [], children: [])
        changed.keyingTries = 9
        database.put(changed)
        #expect(database.connections.map(\.keyingTries) == [9, 1])
    }
}
