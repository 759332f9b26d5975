package import Primitives

/// The loss event rate as a receiver sees it (RFC 5348 §5), of an SA's sequence numbers: the losses of one round trip are one
/// event, and what counts is how many packets lie between events.
package struct LossHistory: Sendable {
    /// RFC 5348 §5.4.
    private static let weights = [1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2]

    /// The highest sequence numbers that arrived, the highest first: what is missing below the third is lost
    /// (RFC 5348 §5.1: NDUPACK).
    private var highest: [UInt64] = []
    private var firstSequence: UInt64 = 0
    /// Packets from each event to the next, the newest first.
    private var intervals: [UInt64] = []
    private var event: (sequence: UInt64, time: Instant)?

    package init() { highest.reserveCapacity(4) }

    /// A genuine packet arrived. `isMarked`: with the mark of congestion, which counts as a loss (RFC 5348 §3.2.2).
    package mutating func note(_ sequence: UInt64, isMarked: Bool, roundTrip: Duration, now: Instant) {
        guard !highest.isEmpty else {
            highest = [sequence]
            firstSequence = sequence
            if isMarked { begin(sequence, roundTrip, now) }
            return
        }
        guard highest.count < 3 || sequence > highest[2] else { return }
        guard !highest.contains(sequence) else { return }
        let settled = highest.count < 3 ? nil : highest[2]
        highest.insert(sequence, at: highest.firstIndex { $0 < sequence } ?? highest.count)
        if highest.count > 3 { highest.removeLast() }
        // Between the two there is none that arrived, or it would be among the highest.
        if let settled, let third = highest.last, third > settled + 1 { begin(settled + 1, roundTrip, now) }
        if isMarked { begin(sequence, roundTrip, now) }
    }

    /// A loss begins an event, unless it is within a round trip of the last one's beginning.
    private mutating func begin(_ sequence: UInt64, _ roundTrip: Duration, _ now: Instant) {
        if let event {
            guard sequence > event.sequence, now - event.time > roundTrip else { return }
            intervals.insert(sequence - event.sequence, at: 0)
            if intervals.count > Self.weights.count { intervals.removeLast() }
        } else {
            intervals = [max(1, sequence - min(sequence, firstSequence))]
        }
        event = (sequence, now)
    }

    /// The inverse of the loss event rate: packets for each event, 0 without an event (RFC 5348 §5.4).
    package var packetsPerLoss: UInt32 {
        guard let event, let newest = highest.first else { return 0 }
        let open = newest > event.sequence ? newest - event.sequence : 0
        let past = Self.mean(intervals[...])
        // The interval that is still open counts where it makes things better.
        let all = Self.mean(([open] + intervals).prefix(Self.weights.count))
        return UInt32(min(max(1, max(past, all)), Double(UInt32.max)))
    }

    private static func mean(_ intervals: ArraySlice<UInt64>) -> Double {
        var (sum, weight) = (0.0, 0.0)
        for (interval, own) in zip(intervals, weights) {
            sum += Double(interval) * own
            weight += own
        }
        return weight == 0 ? 0 : sum / weight
    }
}
