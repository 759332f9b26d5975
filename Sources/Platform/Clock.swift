import CPlatform
import Glibc
package import Primitives

/// The machine's clocks.
package enum Clock {
    /// The monotonic one.
    package static func now() -> Instant { Instant(nanoseconds: parley_monotonic()) }

    /// The calendar's, which certificates are held to.
    package static func wallTime() -> WallTime { WallTime(seconds: Int64(time(nil))) }
}

/// How long a worker may sleep.
struct Patience {
    /// For `parley_wait`.
    private(set) var nanoseconds: Int64 = -1

    /// Not longer than this; `nil` is no limit.
    mutating func limit(_ duration: Duration?) {
        guard let duration else { return }
        let wanted = max(0, (Instant(nanoseconds: 0) + duration).nanoseconds)
        nanoseconds = nanoseconds < 0 ? wanted : min(nanoseconds, wanted)
    }
}
