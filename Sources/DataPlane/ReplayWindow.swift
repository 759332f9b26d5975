/// The anti-replay window of one inbound SA (RFC 4303 §3.4.3), as the ring of blocks of RFC 6479: moving forward clears
/// whole words and never shifts.
///
/// A packet is checked with ``accepts(_:)`` before it is opened and entered with ``insert(_:)`` after it has proved
/// genuine; a forged packet therefore never moves the window.
package struct ReplayWindow: ~Copyable {
    /// The largest window on offer.
    package static let maximumPackets = 65_536

    /// Packets behind the highest number that are still accepted, that one included; 0 with the check turned off.
    package let packets: Int
    /// Whether numbers have 64 bits of which the low 32 travel (RFC 4303 §2.2.1).
    package let extended: Bool
    /// The highest number entered; 0 before the first.
    package private(set) var top: UInt64 = 0

    private let blockMask: UInt64
    // SAFETY: allocated here with `blockMask + 1` words, never handed out, freed in deinit. Indices are masked.
    private let blocks: UnsafeMutablePointer<UInt64>

    /// A window of up to ``maximumPackets``; sizes beyond are cut, negative ones turn the check off.
    package init(packets: Int, extended: Bool) {
        self.packets = max(0, min(packets, ReplayWindow.maximumPackets))
        self.extended = extended
        // One block more than the window spans, because the newest block is filled only in part.
        var count = 1
        while count < (self.packets + 63) / 64 + 1 { count *= 2 }
        blockMask = UInt64(count - 1)
        blocks = .allocate(capacity: count)
        blocks.initialize(repeating: 0, count: count)
    }

    deinit { blocks.deallocate() }

    /// The whole number that the 32 bits of a packet stand for (RFC 4303 Appendix A2.2); `nil` where there is none: 0,
    /// a number before the first subspace or past the last.
    package func sequence(low: UInt32) -> UInt64? {
        guard extended else { return low == 0 ? nil : UInt64(low) }
        // Without a window there is still a position to guess from: the nearer half of the number space.
        let span = packets == 0 ? UInt32(1) << 31 : UInt32(packets)
        let topLow = UInt32(truncatingIfNeeded: top)
        var high = UInt32(truncatingIfNeeded: top >> 32)
        let bottom = topLow &- (span &- 1)
        if topLow >= span - 1 {
            // The window lies in one subspace; a number below it belongs to the next.
            if low < bottom {
                guard high != .max else { return nil }
                high += 1
            }
        } else if low >= bottom {
            // The window reaches back into the subspace before.
            guard high != 0 else { return nil }
            high -= 1
        }
        let sequence = UInt64(high) << 32 | UInt64(low)
        return sequence == 0 ? nil : sequence
    }

    /// Whether the number is new: above the window, or in it and not yet entered.
    package func accepts(_ sequence: UInt64) -> Bool {
        guard sequence != 0 else { return false }
        guard packets != 0, sequence <= top else { return true }
        guard top - sequence < UInt64(packets) else { return false }
        return blocks[Int((sequence >> 6) & blockMask)] & (1 << (sequence & 63)) == 0
    }

    /// Enters a number that ``accepts(_:)`` approved and whose packet proved genuine.
    package mutating func insert(_ sequence: UInt64) {
        guard packets != 0 else {
            top = max(top, sequence)
            return
        }
        if sequence > top {
            let newest = sequence >> 6
            let steps = min(newest - (top >> 6), blockMask + 1)
            var step: UInt64 = 0
            while step < steps {
                blocks[Int((newest - step) & blockMask)] = 0
                step += 1
            }
            top = sequence
        }
        // Not `|=`: Swift 6.3 makes invalid code of that under the thread sanitizer.
        let index = Int((sequence >> 6) & blockMask)
        blocks[index] = blocks[index] | 1 << (sequence & 63)
    }
}
