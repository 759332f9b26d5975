import CPlatform
package import Primitives

/// The machine's monotonic clock.
package enum Clock {
    package static func now() -> Instant { Instant(nanoseconds: parley_monotonic()) }
}
