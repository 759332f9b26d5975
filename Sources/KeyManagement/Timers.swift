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

    private var heap: [Entry] = []

    package init() {}

    package var first: Entry? { heap.first }
    package var earliest: Instant? { heap.first?.deadline }
    package var count: Int { heap.count }

    package mutating func insert(_ entry: Entry) {
        heap.append(entry)
        var index = heap.count - 1
        while index > 0 {
            let parent = (index - 1) / 2
            guard heap[index].deadline < heap[parent].deadline else { break }
            heap.swapAt(index, parent)
            index = parent
        }
    }

    /// Takes the earliest entry out if it is due at `now`.
    package mutating func popDue(at now: Instant) -> Entry? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty {
            heap[0] = last
            sink(from: 0)
        }
        return first
    }

    private mutating func sink(from start: Int) {
        var index = start
        while true {
            var smallest = index
            for child in [2 * index + 1, 2 * index + 2]
            where child < heap.count && heap[child].deadline < heap[smallest].deadline {
                smallest = child
            }
            if smallest == index { return }
            heap.swapAt(index, smallest)
            index = smallest
        }
    }
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
