import IPsec
import KeyManagement
import Platform
import Primitives
import Synchronization
import Testing

@testable import Daemon

/// When peers' names are looked up.
@Suite struct NameScheduleTests {
    private func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }

    @Test func anAnswerIsGoodForAsLongAsItsTTLSays() {
        var schedule = NameSchedule()
        #expect(schedule.next == nil)
        schedule.watch(["a", "b"], now: at(0))
        #expect(schedule.due(at: at(0)) == ["a", "b"])
        schedule.note("a", isFound: true, lifetime: .seconds(30), now: at(1))
        schedule.note("b", isFound: true, lifetime: nil, now: at(1))
        #expect(schedule.next == at(31) && schedule.due(at: at(30)).isEmpty)
        #expect(schedule.due(at: at(31)) == ["a"] && schedule.due(at: at(61)) == ["a", "b"])
        // Neither for ever nor without a pause.
        schedule.note("a", isFound: true, lifetime: .zero, now: at(31))
        #expect(schedule.next == at(36))
        schedule.note("a", isFound: true, lifetime: .seconds(1_000_000), now: at(36))
        schedule.note("b", isFound: false, lifetime: nil, now: at(61))
        #expect(schedule.next == at(76))
        schedule.note("b", isFound: true, lifetime: .seconds(1_000_000), now: at(100))
        #expect(schedule.next == at(3636))
    }

    @Test func aPeerThatDoesNotAnswerIsLookedUpAtOnceButNotAgainAndAgain() {
        var schedule = NameSchedule()
        schedule.watch(["a"], now: at(0))
        schedule.note("a", isFound: true, lifetime: .seconds(600), now: at(0))
        schedule.doubt("a", now: at(100))
        #expect(schedule.due(at: at(100)) == ["a"])
        schedule.note("a", isFound: true, lifetime: .seconds(600), now: at(101))
        schedule.doubt("a", now: at(102))
        #expect(schedule.due(at: at(105)).isEmpty && schedule.due(at: at(106)) == ["a"])
        schedule.doubt("unknown", now: at(103))
        schedule.note("unknown", isFound: true, lifetime: nil, now: at(103))
        #expect(schedule.due(at: at(1000)) == ["a"])
    }

    @Test func whatIsWatchedStillKeepsItsTime() {
        var schedule = NameSchedule()
        schedule.watch(["a"], now: at(0))
        schedule.note("a", isFound: true, lifetime: .seconds(600), now: at(0))
        schedule.watch(["a", "b"], now: at(10))
        #expect(schedule.due(at: at(10)) == ["b"])
        schedule.watch(["b"], now: at(11))
        #expect(schedule.due(at: at(10_000)) == ["b"])
    }

    /// The thread, with a resolver handed in: what is watched is looked up.
    @Test func theWatchPostsWhatItFinds() throws {
        let inbox = Inbox()
        let asked = Mutex<[String]>([])
        let watch = NameWatch(inbox: inbox) { name in
            let count = asked.withLock { names in
                names.append(name)
                return names.count
            }
            return Resolver.Resolution([IPAddress(v4: UInt32(count))], lifetime: .seconds(3000))
        }
        watch.watch(["gw.example"])
        _ = Poller.wait([Poller.Interest(inbox.wakeup.descriptor)], milliseconds: 60_000)
        inbox.wakeup.clear()
        guard case .resolved(let first)? = inbox.take().first else {
            Issue.record("nothing was posted")
            return
        }
        #expect(first == ["gw.example": [IPAddress(v4: 1)]])
        watch.doubt(["elsewhere.example"])
        watch.watch(["gw.example", "other.example"])
        _ = Poller.wait([Poller.Interest(inbox.wakeup.descriptor)], milliseconds: 60_000)
        guard case .resolved(let second)? = inbox.take().first else {
            Issue.record("nothing was posted again")
            return
        }
        // What is known is not asked for again.
        #expect(second == ["other.example": [IPAddress(v4: 2)]])
        #expect(asked.withLock { $0 } == ["gw.example", "other.example"])
    }

    @Test func anOrderIsNoNews() {
        func database(_ addresses: [UInt32]) -> PolicyDatabase {
            var connection = Connection(name: "peer", proposals: [], children: [])
            connection.remoteAddresses = [.name("gw", addresses.map { IPAddress(v4: $0) })]
            return PolicyDatabase(connections: [connection])
        }
        let before = database([1, 2])
        #expect(before.resolved(["gw": [IPAddress(v4: 2), IPAddress(v4: 1)]]).connections == before.connections)
        #expect(before.resolved(["gw": []]).connections == before.connections)
        #expect(before.resolved([:]).connections == before.connections)
        let after = before.resolved(["gw": [IPAddress(v4: 3)]])
        #expect(after.connections == database([3]).connections)
        #expect(after.changedNames(since: before).map(\.name) == ["gw"] && before.changedNames(since: before).isEmpty)
    }

    @Test func retransmissionsAndSilenceAreDoubts() {
        func event(_ kind: Event.Kind) -> Event { Event(time: at(0), session: nil, connection: "peer", kind: kind) }
        #expect(event(.closed(.peerUnresponsive)).doubtsPeer && !event(.closed(.deletedByPeer)).doubtsPeer)
        #expect(event(.session(.retransmitting(messageID: 1, attempt: 2))).doubtsPeer)
        #expect(!event(.session(.retransmitting(messageID: 1, attempt: 1))).doubtsPeer)
        #expect(!event(.session(.established)).doubtsPeer)
    }
}
