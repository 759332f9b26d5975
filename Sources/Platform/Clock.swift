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
