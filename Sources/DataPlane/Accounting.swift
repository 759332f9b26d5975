package import IPsec
package import Primitives
import Synchronization

/// Why a packet went no further. Each has a counter.
package enum DropReason: Int, CaseIterable, Hashable, Sendable {
    // Both directions
    /// Not an IP packet, or one whose lengths do not hold together.
    case malformed
    /// The SA cannot be served: an algorithm, protocol or mode that this plane lacks.
    case unsupported
    // Outbound
    /// No policy's selectors cover the packet.
    case noPolicy
    /// The policy discards it.
    case discarded
    /// The policy lets it pass by the tunnel, and a route brought it here all the same.
    case bypassed
    /// The policy's SA is being negotiated, and no more packets are kept for it.
    case awaitsAssociation
    /// The SA has used up its sequence numbers (RFC 4303 §3.3.3).
    case sequenceExhausted
    /// The SA has carried all the octets or packets that it may (RFC 4301 §4.4.2.1).
    case lifetimeEnded
    /// The cipher failed.
    case sealFailed
    /// Larger than the path takes, and not to be cut; its sender was told (RFC 4301 §8.2).
    case tooBig
    /// The worker whose SA it is had no room for it.
    case workerBusy
    /// The kernel did not take the packet.
    case sendFailed
    // Inbound
    /// No SA has the packet's SPI.
    case unknownSPI
    /// Seen already, or too old to tell (RFC 4303 §3.4.3).
    case replayed
    /// The integrity check value is wrong (RFC 4303 §3.4.4).
    case authenticationFailed
    /// Padding that is not 1, 2, 3 … or longer than the payload (RFC 4303 §2.4).
    case paddingInvalid
    /// A dummy packet, next header 59 (RFC 4303 §2.6): discarded as meant.
    case dummy
    /// A next header that tunnel mode does not have.
    case nextHeader
    /// An SA of ESP and AH met a packet with one of them (RFC 4301 §5.2 step 4).
    case unprotected
    /// A compressed payload that does not decompress, or under another index (RFC 3173 §2.3).
    case compressionInvalid
    /// A genuine packet outside of its SA's selectors (RFC 4301 §5.2 step 4).
    case outsideSelectors
    /// Congestion was met by a packet whose sender does not know the mark for it (RFC 6040 §4.2).
    case congestion
    /// The tunnel device did not take the packet.
    case deliveryFailed
}

/// Counts drops by reason; shared between workers and readers.
package final class DropCounters: Sendable {
    private let counts = Mutex<[UInt64]>(Array(repeating: 0, count: DropReason.allCases.count))

    package init() {}

    package func count(_ reason: DropReason, _ packets: UInt64 = 1) {
        counts.withLock { $0[reason.rawValue] &+= packets }
    }

    package subscript(_ reason: DropReason) -> UInt64 { counts.withLock { $0[reason.rawValue] } }

    /// The reasons that occurred.
    package var nonzero: [DropReason: UInt64] {
        let counts = counts.withLock { $0 }
        var result: [DropReason: UInt64] = [:]
        for reason in DropReason.allCases where counts[reason.rawValue] != 0 {
            result[reason] = counts[reason.rawValue]
        }
        return result
    }
}

/// What one installed SA has carried. Written by its worker, readable from any thread.
package final class AssociationCounters: Sendable {
    private let packets = Atomic<UInt64>(0)
    private let octets = Atomic<UInt64>(0)
    private let lastUse = Atomic<Int64>(.min)

    package init() {}

    /// Adds a packet of `count` octets inside the tunnel.
    package func add(octets count: Int, now: Instant) {
        // One thread writes, so that nothing is lost between reading and writing.
        packets.store(packets.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        octets.store(octets.load(ordering: .relaxed) &+ UInt64(count), ordering: .relaxed)
        lastUse.store(now.nanoseconds, ordering: .relaxed)
    }

    package var snapshot: TrafficCounters {
        let packets = packets.load(ordering: .relaxed)
        let last = lastUse.load(ordering: .relaxed)
        return TrafficCounters(
            packets: packets, octets: octets.load(ordering: .relaxed),
            lastUse: last == .min ? nil : Instant(nanoseconds: last))
    }
}

/// What the plane tells key management.
package enum PlaneEvent: Hashable, Sendable {
    /// Genuine traffic of the child arrived; at most about once a second for each SA.
    case inboundTraffic(ChildID, Instant)
    /// One of the child's SAs is near the end of its sequence numbers, octets or packets and must be replaced.
    case exhausted(ChildID)
    /// One of the child's SAs has carried all that it may, and carries nothing more.
    case expired(ChildID)
    /// A packet met a policy that waits for its SA; at most about once a second for each.
    case acquire(connection: String, child: String)
    /// The newest genuine packet of the child came from another endpoint than expected: a NAT mapping changed.
    case mappingChanged(ChildID, Endpoint)
}
