import IPsec

/// What one SA has carried, held against its limits (RFC 4301 §4.4.2.1).
struct Usage {
    enum Verdict {
        case fine
        /// The SA should be replaced; said once.
        case nearlyUsedUp
        /// The packet would pass the hard limit. `isNews` the first time.
        case usedUp(isNews: Bool)
    }

    private let limits: TrafficLimits
    private var octets: UInt64 = 0
    private var packets: UInt64 = 0
    private var reportedSoft = false
    private var reportedHard = false

    init(_ limits: TrafficLimits) { self.limits = limits }

    /// Counts a packet of `count` octets in, unless it does not fit any more.
    @inline(__always)
    mutating func charge(_ count: Int) -> Verdict {
        let afterwards = octets &+ UInt64(count)
        if limits.hardOctets != 0, afterwards > limits.hardOctets { return end() }
        if limits.hardPackets != 0, packets >= limits.hardPackets { return end() }
        octets = afterwards
        packets &+= 1
        guard !reportedSoft else { return .fine }
        guard
            limits.softOctets != 0 && octets >= limits.softOctets
                || limits.softPackets != 0 && packets >= limits.softPackets
        else { return .fine }
        reportedSoft = true
        return .nearlyUsedUp
    }

    private mutating func end() -> Verdict {
        defer { reportedHard = true }
        return .usedUp(isNews: !reportedHard)
    }
}
