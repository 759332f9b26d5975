import Primitives

/// What is to be called once, later: a heap by time, with cancelled alarms taken out when they come to its head, or all at
/// once when they are the most of it.
struct Alarms {
    private struct Place: HeapElement {
        var at: Instant
        var number: UInt64

        /// Of equals the one that was set first.
        func isBefore(_ other: Place) -> Bool { at == other.at ? number < other.number : at < other.at }
    }

    private var heap = Heap<Place>()
    private var rings: [UInt64: () -> Void] = [:]
    private var last: UInt64 = 0

    /// How many will ring.
    var count: Int { rings.count }
    /// Entries of the heap, cancelled ones with them.
    var keptCount: Int { heap.count }
    /// When the next one rings.
    var earliest: Instant? { heap.first?.at }

    /// The number by which it can be cancelled.
    mutating func set(at instant: Instant, _ ring: @escaping () -> Void) -> UInt64 {
        last += 1
        rings[last] = ring
        heap.insert(Place(at: instant, number: last))
        return last
    }

    mutating func cancel(_ number: UInt64) {
        guard rings.removeValue(forKey: number) != nil else { return }
        if heap.count > 64, heap.count > 2 * rings.count { heap.filter { rings[$0.number] != nil } }
        dropCancelled()
    }

    /// Takes the earliest out that is due; `nil` where none is.
    mutating func takeDue(at now: Instant) -> (() -> Void)? {
        guard let first = heap.first, first.at <= now else { return nil }
        heap.removeFirst()
        defer { dropCancelled() }
        return rings.removeValue(forKey: first.number)
    }

    /// At the head of the heap is one that rings, or none.
    private mutating func dropCancelled() {
        while let first = heap.first, rings[first.number] == nil { heap.removeFirst() }
    }
}
