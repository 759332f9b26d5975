/// Finds the inner packets of one SA's AGGFRAG payloads (RFC 9347 §2.2, §2.5): whole ones at once, and cut ones when all
/// their parts are here, in whatever order the payloads come, as long as none is further behind than the reordering window
/// has it. Belongs to the SA's worker.
final class Disaggregator {
    /// What a payload left of packets that are cut at its edges.
    private struct Slot {
        var sequence: UInt64 = 0
        var isTaken = false
        /// Octets at the beginning that continue a packet, and whether that ends here.
        var leading = 0
        var ends = false
        /// Octets at the end that begin a packet.
        var trailing = 0
        /// Only padding: packets continue behind it.
        var isPadding = false
        // SAFETY: freed by the owner's deinit; `capacity` octets, of which `leading + trailing` are of use.
        var octets: UnsafeMutableRawPointer?
        var capacity = 0

        /// Whether all of it goes on a packet, which ends elsewhere.
        var isAllLeading: Bool { leading > 0 && !ends && trailing == 0 }
    }

    private var slots: [Slot]
    private let window: UInt64
    private var newest: UInt64 = 0

    init(window: Int) {
        // As many as may overtake one, it itself, and the beginning that a fragment of 64 KiB had long before.
        let count = min(max(window, 0), 255) + 64
        self.window = UInt64(count)
        slots = Array(repeating: Slot(), count: count)
    }

    deinit { for slot in slots { slot.octets?.deallocate() } }

    /// Takes a payload; `deliver` gets each inner packet in place, with its length. `room` is where a packet of several parts
    /// is put together, 65,575 octets; `deliver` hears whether it lies there. False where the payload is none.
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `payload`.
    func take(
        _ payload: UnsafeMutableRawPointer, _ count: Int, sequence: UInt64, room: () -> UnsafeMutableRawPointer,
        deliver: (UnsafeMutableRawPointer, Int, _ isMoved: Bool) -> Void
    ) -> Bool {
        guard count >= AggregatedPayload.headerOctets else { return false }
        let header: Int
        switch payload.load(as: UInt8.self) {
        case AggregatedPayload.plainType: header = AggregatedPayload.headerOctets
        case AggregatedPayload.congestionType: header = AggregatedPayload.congestionHeaderOctets
        default: return false
        }
        guard count >= header else { return false }
        let data = payload + header
        let octets = count - header
        let offset = Int(UnsafeRawPointer(payload).bigEndian16(at: 2))
        let leading = min(offset, octets)
        // 1. Whole packets. What came before them in order is put together first.
        var cursor = offset
        var isValid = true
        var isPadding = false
        var slot = Slot()
        slot.sequence = sequence
        slot.isTaken = true
        slot.leading = leading
        slot.ends = offset <= octets
        // The trailing part must be known before anything is put together, so blocks are walked over twice.
        while cursor < octets {
            if data.load(fromByteOffset: cursor, as: UInt8.self) >> 4 == 0 {
                isPadding = cursor == 0
                break
            }
            let length = AggregatedPayload.packetOctets(data + cursor, octets - cursor)
            if length == 0 {
                isValid = false
                break
            }
            guard let length, length <= octets - cursor else {
                slot.trailing = octets - cursor
                break
            }
            cursor += length
        }
        slot.isPadding = isPadding || offset == 0 && octets == 0
        let isKept = keep(slot, data, octets)
        if isKept, leading > 0 || slot.isPadding { joinBackwards(from: sequence, room, deliver) }
        cursor = offset
        while cursor < octets, data.load(fromByteOffset: cursor, as: UInt8.self) >> 4 != 0 {
            guard let length = AggregatedPayload.packetOctets(data + cursor, octets - cursor), length > 0,
                length <= octets - cursor
            else { break }
            deliver(data + cursor, length, false)
            cursor += length
        }
        if isKept, slot.trailing > 0 { join(from: sequence, room, deliver) }
        return isValid
    }

    private func index(_ sequence: UInt64) -> Int { Int(sequence % window) }

    private func isHere(_ sequence: UInt64) -> Bool {
        let slot = slots[index(sequence)]
        return slot.isTaken && slot.sequence == sequence
    }

    /// Keeps the edges of a payload. False where it is too old for that.
    private func keep(_ slot: Slot, _ data: UnsafeRawPointer, _ octets: Int) -> Bool {
        guard slot.sequence + window > newest else { return false }
        newest = max(newest, slot.sequence)
        let place = index(slot.sequence)
        var slot = slot
        let kept = slot.leading + slot.trailing
        slot.octets = slots[place].octets
        slot.capacity = slots[place].capacity
        if kept > slot.capacity {
            slot.octets?.deallocate()
            slot.capacity = max(2048, kept)
            slot.octets = .allocate(byteCount: slot.capacity, alignment: 16)
        }
        if let memory = slot.octets {
            memory.copyMemory(from: data, byteCount: slot.leading)
            (memory + slot.leading).copyMemory(from: data + (octets - slot.trailing), byteCount: slot.trailing)
        }
        slots[place] = slot
        return true
    }

    /// Looks for the payload in which the packet begins that goes on in this one.
    private func joinBackwards(
        from sequence: UInt64, _ room: () -> UnsafeMutableRawPointer,
        _ deliver: (UnsafeMutableRawPointer, Int, Bool) -> Void
    ) {
        var earlier = sequence
        while earlier > 0, earlier + window > newest + 1 {
            earlier -= 1
            guard isHere(earlier) else { return }
            let slot = slots[index(earlier)]
            if slot.trailing > 0 { return join(from: earlier, room, deliver) }
            // All of it goes on, or it is padding in between.
            guard slot.isPadding || slot.isAllLeading else { return }
        }
    }

    /// Puts the packet together that begins at the end of a payload, where all of it is here.
    private func join(
        from first: UInt64, _ room: () -> UnsafeMutableRawPointer,
        _ deliver: (UnsafeMutableRawPointer, Int, Bool) -> Void
    ) {
        var total = slots[index(first)].trailing
        guard total > 0 else { return }
        var last = first
        while true {
            last += 1
            guard isHere(last) else { return }
            let slot = slots[index(last)]
            if slot.isPadding { continue }
            guard slot.leading > 0 else { return forget(first) }
            total += slot.leading
            guard total <= 65_575 else { return forget(first) }
            if slot.ends { break }
        }
        let memory = room()
        var filled = 0
        for sequence in first...last {
            let slot = slots[index(sequence)]
            guard let octets = slot.octets else { continue }
            let (start, count) = sequence == first ? (slot.leading, slot.trailing) : (0, slot.leading)
            (memory + filled).copyMemory(from: octets + start, byteCount: count)
            filled += count
        }
        forget(first)
        guard let length = AggregatedPayload.packetOctets(memory, filled), length == filled else { return }
        deliver(memory, filled, true)
    }

    private func forget(_ sequence: UInt64) { slots[index(sequence)].trailing = 0 }
}
