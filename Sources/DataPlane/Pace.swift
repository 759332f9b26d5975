/// When packets at a constant rate are due.
package struct Pace {
    /// Packets that a late worker makes up for.
    private static let mostAtOnce = 64
    private static let second: Int64 = 1_000_000_000
    /// Nothing is made up for after this, so that no sum overflows.
    private static let mostNanoseconds = 3600 * second

    /// Packets a second, at least 1. A change holds for what is left of the present pause.
    package var rate: Int
    private var last: Int64?
    /// What is due of the next packet, in parts of a second's.
    private var credit: Int64 = 0

    package init(rate: Int) { self.rate = rate }

    /// How many packets are due at this moment, in nanoseconds of any clock that does not go back; they count as sent.
    package mutating func due(at nanoseconds: Int64) -> Int {
        guard let last else {
            self.last = nanoseconds
            return 1
        }
        self.last = nanoseconds
        credit += min(max(0, nanoseconds - last), Self.mostNanoseconds) * Int64(rate)
        let count = credit / Self.second
        credit -= count * Self.second
        // What was missed for long stays missed: a burst would show more than a gap.
        return Int(min(count, Int64(Self.mostAtOnce)))
    }
}
