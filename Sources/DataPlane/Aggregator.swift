package import IPsec
package import Primitives

/// The octets of AGGFRAG payloads (RFC 9347 §6.1).
package enum AggregatedPayload {
    /// The ESP next header.
    package static let nextHeader: UInt8 = 144
    /// Sub-type, a reserved octet and the block offset.
    package static let headerOctets = 4
    static let plainType: UInt8 = 0
    /// With congestion control: loss event rate, round-trip time, delays and time stamps follow.
    static let congestionType: UInt8 = 1
    package static let congestionHeaderOctets = 24

    /// Of the header in front of the packets.
    package static func headerOctets(_ aggregation: Aggregation) -> Int {
        aggregation.tellsOfCongestion ? congestionHeaderOctets : headerOctets
    }

    /// The whole length of the IP packet that begins here; `nil` where too few octets are here to tell, and 0 for what is no
    /// IP packet.
    ///
    /// SAFETY: the caller vouches for `count` octets, at least 1.
    static func packetOctets(_ start: UnsafeRawPointer, _ count: Int) -> Int? {
        switch start.load(as: UInt8.self) >> 4 {
        case 4:
            guard count >= 4 else { return nil }
            let octets = Int(start.bigEndian16(at: 2))
            return octets >= 20 ? octets : 0
        case 6:
            guard count >= 6 else { return nil }
            return 40 + Int(start.bigEndian16(at: 4))
        default: return 0
        }
    }
}

/// Puts the inner packets of one SA into payloads: several into one, and one into several. Belongs to the SA's worker;
/// memory is allocated once.
///
/// Without a rate, payloads are handed out as they fill, and the last one by ``finish(_:)``, or by ``finish(at:_:)`` once it has
/// waited for more packets as long as it may. With a rate they wait in a
/// queue, from which ``next(_:)`` takes one each time that a packet is due; there is always one, full of padding at worst.
package final class Aggregator {
    /// Octets of a full payload with its header.
    package let capacity: Int
    package let packetRate: Int
    /// Of the header in front of the packets; who sends a payload with congestion control fills it in.
    package let headerOctets: Int
    private let keepsWhole: Bool
    private let initialDelay: Duration
    /// Payloads that the queue holds, 0 without a rate.
    private let slots: Int

    // SAFETY: allocated in init, freed in deinit: `slots + 1` payloads of `capacity` octets. The one that is being filled is
    // the one behind those that wait.
    private let storage: UnsafeMutableRawPointer
    private var first = 0
    private var waiting = 0
    /// Octets of the payload that is being filled; 0 where none is begun.
    private var used = 0
    /// When the payload that is begun should go out, full or not; `nil` where none is begun, and with a rate.
    package private(set) var deadline: Instant?

    /// The least that a payload's remainder must have for a packet to begin in it: so that its length is there too.
    private static let leastBeginning = 8

    /// `capacity` is what fits into a packet of the SA; at least 64.
    package init(_ aggregation: Aggregation, capacity: Int) {
        self.capacity = min(max(capacity, 64), 65_535)
        packetRate = aggregation.packetRate
        headerOctets = AggregatedPayload.headerOctets(aggregation)
        keepsWhole = aggregation.keepsWhole
        initialDelay = aggregation.initialDelay
        slots = packetRate == 0 ? 0 : max(2, aggregation.queueOctets / self.capacity)
        storage = .allocate(byteCount: (slots + 1) * self.capacity, alignment: 64)
    }

    deinit { storage.deallocate() }

    /// Whether a payload is begun that nobody has got yet.
    package var isOpen: Bool { used > 0 }

    private var current: UnsafeMutableRawPointer {
        storage + (slots == 0 ? 0 : (first + waiting) % (slots + 1) * capacity)
    }

    /// Whether a packet of `count` octets can be carried, and there is room for it now.
    package func takes(_ count: Int) -> Bool {
        if keepsWhole, count > capacity - headerOctets { return false }
        guard slots > 0 else { return true }
        // At worst it begins a payload of its own, and the one before is ended.
        let payloads = count / (capacity - headerOctets) + 2
        return waiting + payloads <= slots
    }

    /// Adds a packet that ``takes(_:)`` lets pass, at this moment; `emit` gets each payload that is full by it.
    ///
    /// SAFETY: the caller vouches for `count` readable octets, a whole IP packet.
    package func add(
        _ packet: UnsafeRawPointer, _ count: Int, now: Instant, emit: (UnsafeRawPointer, Int) -> Void
    ) {
        var offset = 0
        while offset < count {
            let room = capacity - max(used, headerOctets)
            let rest = count - offset
            if offset == 0, used > 0, rest > room, keepsWhole || room < Self.leastBeginning {
                end(emit)
                continue
            }
            if used == 0 {
                begin(blockOffset: offset == 0 ? 0 : rest)
                if slots == 0 { deadline = now + initialDelay }
            }
            let part = min(capacity - used, rest)
            (current + used).copyMemory(from: packet + offset, byteCount: part)
            used += part
            offset += part
            if used == capacity { end(emit) }
        }
    }

    /// Hands out the payload that is begun, as far as it is.
    package func finish(_ emit: (UnsafeRawPointer, Int) -> Void) {
        if used > 0 { end(emit) }
    }

    /// The same, where it has waited long enough.
    package func finish(at now: Instant, _ emit: (UnsafeRawPointer, Int) -> Void) {
        if let deadline, initialDelay > .zero, now < deadline { return }
        finish(emit)
    }

    /// Takes the payload that is due: the next of the queue, or what is begun, or padding.
    package func next(_ emit: (UnsafeRawPointer, Int) -> Void) {
        if waiting == 0 {
            if used == 0 { begin(blockOffset: 0) }
            end { _, _ in }
        }
        emit(storage + first * capacity, capacity)
        first = (first + 1) % (slots + 1)
        waiting -= 1
    }

    /// Hands out all that waits, and what is begun.
    package func drain(_ emit: (UnsafeRawPointer, Int) -> Void) {
        while waiting > 0 || used > 0 { next(emit) }
    }

    /// Hands out a payload for the sake of its header, where none is begun: four octets of padding (RFC 9347 §6.1.3).
    package func report(_ emit: (UnsafeRawPointer, Int) -> Void) {
        guard slots == 0, used == 0 else { return }
        begin(blockOffset: 0)
        (current + used).initializeMemory(as: UInt8.self, repeating: 0, count: 4)
        used += 4
        end(emit)
    }

    private func begin(blockOffset: Int) {
        let payload = current
        payload.initializeMemory(as: UInt8.self, repeating: 0, count: headerOctets)
        let isPlain = headerOctets == AggregatedPayload.headerOctets
        payload.storeBytes(
            of: isPlain ? AggregatedPayload.plainType : AggregatedPayload.congestionType, as: UInt8.self)
        payload.store(bigEndian: UInt16(truncatingIfNeeded: blockOffset), at: 2)
        used = headerOctets
    }

    private func end(_ emit: (UnsafeRawPointer, Int) -> Void) {
        let payload = current
        let count = used
        used = 0
        deadline = nil
        guard slots > 0 else { return emit(payload, count) }
        // A pad block takes the rest (RFC 9347 §6.1.3).
        (payload + count).initializeMemory(as: UInt8.self, repeating: 0, count: capacity - count)
        waiting += 1
    }
}
