/// The sequence numbers of one outbound SA (RFC 4303 §2.2, §3.3.3): from 1 on, none twice, none after the last.
struct SequenceCounter {
    /// Numbers that remain when the SA should be replaced.
    private static let reserve = UInt64(1) << 20

    let extended: Bool
    private let last: UInt64
    private var current: UInt64

    /// `used` is the last number used: 0 but in tests.
    init(extended: Bool, used: UInt64 = 0) {
        self.extended = extended
        last = extended ? .max : UInt64(UInt32.max)
        current = used
    }

    var isNearlyExhausted: Bool { current > last - SequenceCounter.reserve }

    /// The next number; `nil` where none is left: the counter never cycles.
    mutating func next() -> UInt64? {
        guard current < last else { return nil }
        current += 1
        return current
    }
}
