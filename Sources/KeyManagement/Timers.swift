package import IPsec
package import Primitives

/// The deadlines of all sessions: a binary heap with lazy deletion. What is really set stands with each session; a
/// popped entry that the session no longer has is skipped, so that no stale timer ever fires.
package struct TimerQueue: Sendable {
    package struct Entry: Hashable, Sendable {
        package var deadline: Instant
        package var session: SessionID
        package var timer: SessionTimer

        package init(deadline: Instant, session: SessionID, timer: SessionTimer) {
            self.deadline = deadline
            self.session = session
            self.timer = timer
        }
    }

    private var heap = Heap<Entry>()

    package init() {}

    package var first: Entry? { heap.first }
    package var earliest: Instant? { heap.first?.deadline }
    package var count: Int { heap.count }

    package mutating func insert(_ entry: Entry) { heap.insert(entry) }

    /// Takes the earliest entry out if it is due at `now`.
    package mutating func popDue(at now: Instant) -> Entry? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        return heap.removeFirst()
    }
}

extension TimerQueue.Entry: HeapElement {
    package func isBefore(_ other: TimerQueue.Entry) -> Bool { deadline < other.deadline }
}

/// The timers that one session has set: few, so a flat list.
struct SessionTimers: Sendable {
    private var set: [(timer: SessionTimer, deadline: Instant)] = []

    subscript(_ timer: SessionTimer) -> Instant? {
        get { set.first { $0.timer == timer }?.deadline }
        set(deadline) {
            if let index = set.firstIndex(where: { $0.timer == timer }) {
                if let deadline { set[index].deadline = deadline } else { set.remove(at: index) }
            } else if let deadline {
                set.append((timer, deadline))
            }
        }
    }
}
