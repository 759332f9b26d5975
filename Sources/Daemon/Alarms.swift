import Primitives

/// What is to be called once, later: a binary heap by time, with cancelled alarms taken out when they come to its head, or all
/// at once when they are the most of it.
struct Alarms {
    private struct Place {
        var at: Instant
        var number: UInt64

        /// Of equals the one that was set first.
        static func < (left: Place, right: Place) -> Bool {
            left.at == right.at ? left.number < right.number : left.at < right.at
        }
    }

    private var heap: [Place] = []
    private var rings: [UInt64: () -> Void] = [:]
    private var last: UInt64 = 0

    /// How many will ring.
    var count: Int { rings.count }
    /// Entries of the heap, cancelled ones with them.
    var keptCount: Int { heap.count }
    /// When the next one rings; where that was cancelled, when it would have.
    var earliest: Instant? { heap.first?.at }

    /// The number by which it can be cancelled.
    mutating func set(at instant: Instant, _ ring: @escaping () -> Void) -> UInt64 {
        last += 1
        rings[last] = ring
        heap.append(Place(at: instant, number: last))
        var index = heap.count - 1
        while index > 0, heap[index] < heap[(index - 1) / 2] {
            heap.swapAt(index, (index - 1) / 2)
            index = (index - 1) / 2
        }
        return last
    }

    mutating func cancel(_ number: UInt64) {
        guard rings.removeValue(forKey: number) != nil else { return }
        if heap.count > 64, heap.count > 2 * rings.count {
            heap = heap.filter { rings[$0.number] != nil }.sorted(by: <)
        }
        dropCancelled()
    }

    /// Takes the earliest out that is due; `nil` where none is.
    mutating func takeDue(at now: Instant) -> (() -> Void)? {
        dropCancelled()
        guard let first = heap.first, first.at <= now else { return nil }
        removeFirst()
        let ring = rings.removeValue(forKey: first.number)
        dropCancelled()
        return ring
    }

    private mutating func dropCancelled() {
        while let first = heap.first, rings[first.number] == nil { removeFirst() }
    }

    private mutating func removeFirst() {
        let moved = heap.removeLast()
        if heap.isEmpty { return }
        heap[0] = moved
        var index = 0
        while true {
            var smallest = index
            for child in [2 * index + 1, 2 * index + 2] where child < heap.count && heap[child] < heap[smallest] {
                smallest = child
            }
            if smallest == index { return }
            heap.swapAt(index, smallest)
            index = smallest
        }
    }
}
