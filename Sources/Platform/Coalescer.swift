import CPlatform
import DataPlane
import Primitives

/// Joins consecutive TCP segments, or datagrams of UDP, of a flow into one packet for the device, as a network card does on
/// reception (LRO), but so that they can be had back as they were: same headers, same size, unbroken numbers.
///
/// Payloads stay where they were opened; a joined packet is written from its parts. What cannot be joined passes
/// through at once, behind what its flow has waiting. Joined packets that are whole wait for one another, since a receiver that
/// gets them together answers them together.
final class Coalescer {
    private static let slotCount = 8
    /// Segments in a joined packet; one more part is the offload header.
    private static let maximumSegments = 64
    private static let partsPerSlot = maximumSegments + 1
    private static let maximumOctets = 65_535

    private struct Slot {
        var flow: Flow
        // SAFETY: the first packet's, which the caller keeps until `flush()`.
        var first: UnsafeMutableRawPointer
        var ipOctets: Int
        var headerOctets: Int
        var segmentOctets: Int
        var totalOctets: Int
        var nextSequence: UInt32
        var acknowledgement: UInt32
        /// 0 where the slot is free.
        var segments: Int
        var isPushed: Bool
        /// Whether nothing more can join it.
        var isWhole: Bool
        var queue: Int
    }

    private let joinsDatagrams: Bool
    private let write: (UnsafePointer<parley_part>, Int, Int) -> Void
    // SAFETY: allocated in init, freed in deinit; all are initialized, and indices are below `slotCount`. A ring, which is
    // written from the oldest on.
    private let slots: UnsafeMutablePointer<Slot>
    // SAFETY (unchecked): one thread uses this object; nothing that looks at these comes back to it.
    @exclusivity(unchecked) private var oldest = 0
    @exclusivity(unchecked) private var used = 0
    /// Whose flow came last: most likely it comes next.
    @exclusivity(unchecked) private var latest = 0
    // SAFETY: allocated in init, freed in deinit. Slot `i` has the parts from `i * partsPerSlot` on; the last run of
    // them and the headers' last place are for packets that pass alone. Packets in slots belong to the caller, who keeps
    // them until `flush()`.
    private let parts: UnsafeMutablePointer<parley_part>
    private let headers: UnsafeMutableRawPointer

    /// `write` gets a packet's parts, an ``OffloadHeader`` first, how many they are, and the queue of the device. Datagrams are
    /// joined for a device that takes them so.
    init(joinsDatagrams: Bool, write: @escaping (UnsafePointer<parley_part>, Int, Int) -> Void) {
        self.joinsDatagrams = joinsDatagrams
        self.write = write
        let count = (Self.slotCount + 1) * Self.partsPerSlot
        parts = .allocate(capacity: count)
        parts.initialize(repeating: parley_part(), count: count)
        headers = .allocate(byteCount: (Self.slotCount + 1) * 16, alignment: 16)
        slots = .allocate(capacity: Self.slotCount)
        slots.initialize(
            repeating: Slot(
                flow: .none, first: headers, ipOctets: 0, headerOctets: 0, segmentOctets: 0, totalOctets: 0,
                nextSequence: 0, acknowledgement: 0, segments: 0, isPushed: false, isWhole: false,
                queue: 0),
            count: Self.slotCount)
    }

    deinit {
        slots.deallocate()
        parts.deallocate()
        headers.deallocate()
    }

    /// Takes a packet for a queue, the same for all packets of a flow. It must stay where it is until ``flush()``; its headers may be changed.
    ///
    /// SAFETY: the caller vouches for `view.octets` writable octets that `view` describes.
    func add(_ packet: UnsafeMutableRawPointer, view: PacketView, queue: Int = 0) {
        let isDatagram = view.flow.ipProtocol == 17
        guard view.flow.ipProtocol == 6 || isDatagram && joinsDatagrams else {
            return pass(packet, view.octets, queue, isVerified: false)
        }
        let plainOctets = Self.isV4(view.flow) ? 20 : 40
        guard !view.isFragment, view.headerOctets == plainOctets, view.octets >= plainOctets + (isDatagram ? 8 : 20)
        else {
            // Its ports may be hidden, so that its flow is not known.
            flush()
            return pass(packet, view.octets, queue, isVerified: false)
        }
        if isDatagram { return addDatagram(packet, view, queue, plainOctets) }
        let raw = UnsafeRawPointer(packet)
        let tcpOctets = Int(raw.load(fromByteOffset: plainOctets + 12, as: UInt8.self) >> 4) * 4
        let flags = raw.load(fromByteOffset: plainOctets + 13, as: UInt8.self)
        let headerOctets = plainOctets + tcpOctets
        let payloadOctets = view.octets - headerOctets
        let index = slot(of: view)
        // Only data with ACK, and PSH at most (RFC 9293 §3.1): other flags mean something where they stand.
        guard tcpOctets >= 20, payloadOctets > 0, flags & ~0x08 == 0x10, Self.isIntact(raw, view) else {
            if let index { flush(through: index) }
            return pass(packet, view.octets, queue, isVerified: false)
        }
        let sequence = raw.bigEndian32(at: plainOctets + 4)
        if let index {
            let slot = slots + index
            if !slot.pointee.isWhole, slot.pointee.nextSequence == sequence, slot.pointee.headerOctets == headerOctets,
                slot.pointee.acknowledgement == raw.bigEndian32(at: plainOctets + 8),
                Self.hasRoom(slot, payloadOctets),
                Self.haveEqualHeaders(UnsafeRawPointer(slot.pointee.first), raw, view.flow.family, headerOctets)
            {
                return append(packet + headerOctets, payloadOctets, isPushed: flags & 0x08 != 0, to: index)
            }
        } else if flags & 0x08 != 0 {
            return pass(packet, view.octets, queue, isVerified: true)
        }
        start(
            packet, view, queue, headerOctets, payloadOctets, isWhole: flags & 0x08 != 0,
            numbers: (sequence, raw.bigEndian32(at: plainOctets + 8)))
    }

    /// Datagrams of one size follow each other; a shorter one is the last.
    private func addDatagram(_ packet: UnsafeMutableRawPointer, _ view: PacketView, _ queue: Int, _ ipOctets: Int) {
        let raw = UnsafeRawPointer(packet)
        let headerOctets = ipOctets + 8
        let payloadOctets = view.octets - headerOctets
        let index = slot(of: view)
        // Without a checksum of its own, the joined packet's would be new.
        guard payloadOctets > 0, Int(raw.bigEndian16(at: ipOctets + 4)) == payloadOctets + 8,
            raw.bigEndian16(at: ipOctets + 6) != 0, Self.isIntact(raw, view)
        else {
            if let index { flush(through: index) }
            return pass(packet, view.octets, queue, isVerified: false)
        }
        if let index {
            let slot = slots + index
            if !slot.pointee.isWhole, Self.hasRoom(slot, payloadOctets),
                Self.haveEqualHeaders(UnsafeRawPointer(slot.pointee.first), raw, view.flow.family, headerOctets)
            {
                return append(packet + headerOctets, payloadOctets, isPushed: false, to: index)
            }
        }
        start(packet, view, queue, headerOctets, payloadOctets, isWhole: false, numbers: (0, 0))
    }

    /// Writes all that waits.
    func flush() {
        while used > 0 { writeOldest() }
    }

    /// Writes what waits up to this slot.
    private func flush(through index: Int) {
        while slots[index].segments != 0 { writeOldest() }
    }

    /// Where packets of this flow wait: the slot that was begun last.
    @inline(__always)
    private func slot(of view: PacketView) -> Int? {
        if slots[latest].segments != 0, slots[latest].flow == view.flow { return latest }
        guard used > 0 else { return nil }
        var distance = used
        while distance > 0 {
            distance -= 1
            let index = (oldest + distance) % Self.slotCount
            if slots[index].flow == view.flow {
                latest = index
                return index
            }
        }
        return nil
    }

    /// Whether another part of `octets` fits behind what a slot has.
    @inline(__always)
    private static func hasRoom(_ slot: UnsafeMutablePointer<Slot>, _ octets: Int) -> Bool {
        octets <= slot.pointee.segmentOctets && slot.pointee.totalOctets + octets <= maximumOctets
            && slot.pointee.segments < maximumSegments
    }

    private func start(
        _ packet: UnsafeMutableRawPointer, _ view: PacketView, _ queue: Int, _ headerOctets: Int,
        _ payloadOctets: Int, isWhole: Bool, numbers: (sequence: UInt32, acknowledgement: UInt32)
    ) {
        if used == Self.slotCount {
            repeat { writeOldest() } while used > 0 && slots[oldest].isWhole
        }
        let index = (oldest + used) % Self.slotCount
        slots[index] = Slot(
            flow: view.flow, first: packet, ipOctets: view.headerOctets, headerOctets: headerOctets,
            segmentOctets: payloadOctets, totalOctets: view.octets,
            nextSequence: numbers.sequence &+ UInt32(truncatingIfNeeded: payloadOctets),
            acknowledgement: numbers.acknowledgement, segments: 1,
            isPushed: isWhole, isWhole: isWhole, queue: queue)
        used += 1
        latest = index
        parts[index * Self.partsPerSlot + 1] = parley_part(base: packet, count: view.octets)
    }

    @inline(__always)
    private func append(_ payload: UnsafeMutableRawPointer, _ count: Int, isPushed: Bool, to index: Int) {
        let slot = slots + index
        slot.pointee.segments += 1
        slot.pointee.totalOctets += count
        slot.pointee.nextSequence &+= UInt32(truncatingIfNeeded: count)
        slot.pointee.isPushed = isPushed
        parts[index * Self.partsPerSlot + slot.pointee.segments] = parley_part(base: payload, count: count)
        // A short segment or a push can only be the last.
        if isPushed || count < slot.pointee.segmentOctets || !Self.hasRoom(slot, count) {
            slot.pointee.isWhole = true
        }
    }

    private func writeOldest() {
        let index = oldest
        let slot = slots[index]
        slots[index].segments = 0
        oldest = (oldest + 1) % Self.slotCount
        used -= 1
        if slot.segments == 1 { return pass(slot.first, slot.totalOctets, slot.queue, isVerified: true) }
        let packet = slot.first
        if Self.isV4(slot.flow) {
            packet.store(bigEndian: UInt16(truncatingIfNeeded: slot.totalOctets), at: 2)
            packet.storeBytes(of: 0, toByteOffset: 10, as: UInt16.self)
            let sum = InternetChecksum.fold(InternetChecksum.sum(packet, count: slot.ipOctets))
            packet.storeBytes(of: ~sum, toByteOffset: 10, as: UInt16.self)
        } else {
            packet.store(bigEndian: UInt16(truncatingIfNeeded: slot.totalOctets - 40), at: 4)
        }
        let transport = packet + slot.ipOctets
        let isDatagram = slot.flow.ipProtocol == 17
        let transportOctets = slot.totalOctets - slot.ipOctets
        if isDatagram { transport.store(bigEndian: UInt16(truncatingIfNeeded: transportOctets), at: 4) }
        if slot.isPushed { transport.storeBytes(of: 0x18, toByteOffset: 13, as: UInt8.self) }
        // The device finishes the checksum from the pseudo-header's sum.
        let field = isDatagram ? 6 : 16
        let pseudo = InternetChecksum.pseudoHeader(
            packet, family: slot.flow.family, ipProtocol: slot.flow.ipProtocol, payloadOctets: transportOctets)
        transport.storeBytes(of: InternetChecksum.fold(pseudo), toByteOffset: field, as: UInt16.self)
        var header = OffloadHeader()
        header.flags = OffloadHeader.needsChecksum
        header.kind =
            isDatagram
            ? OffloadHeader.datagrams : Self.isV4(slot.flow) ? OffloadHeader.tcpV4 : OffloadHeader.tcpV6
        header.headerOctets = UInt16(truncatingIfNeeded: slot.headerOctets)
        header.segmentOctets = UInt16(truncatingIfNeeded: slot.segmentOctets)
        header.checksumStart = UInt16(truncatingIfNeeded: slot.ipOctets)
        header.checksumOffset = UInt16(truncatingIfNeeded: field)
        emit(header, index, count: slot.segments + 1, slot.queue)
    }

    /// Writes a packet as it is.
    private func pass(_ packet: UnsafeMutableRawPointer, _ octets: Int, _ queue: Int, isVerified: Bool) {
        var header = OffloadHeader()
        if isVerified { header.flags = OffloadHeader.checksumIsValid }
        parts[Self.slotCount * Self.partsPerSlot + 1] = parley_part(base: packet, count: octets)
        emit(header, Self.slotCount, count: 2, queue)
    }

    private func emit(_ header: OffloadHeader, _ index: Int, count: Int, _ queue: Int) {
        header.write(headers + index * 16)
        let run = parts + index * Self.partsPerSlot
        run[0] = parley_part(base: headers + index * 16, count: OffloadHeader.octets)
        write(run, count, queue)
    }

    /// Told by its case: `==` of another module's enumeration is a call through its conformance.
    @inline(__always)
    private static func isV4(_ flow: Flow) -> Bool { if case .v4 = flow.family { true } else { false } }

    /// Whether the packet's checksums hold. A joined packet gets new ones, which must not hide that they did not.
    @inline(__always)
    private static func isIntact(_ packet: UnsafeRawPointer, _ view: PacketView) -> Bool {
        if isV4(view.flow),
            InternetChecksum.fold(InternetChecksum.sum(packet, count: view.headerOctets)) != 0xFFFF
        {
            return false
        }
        let count = view.octets - view.headerOctets
        let pseudo = InternetChecksum.pseudoHeader(
            packet, family: view.flow.family, ipProtocol: view.flow.ipProtocol, payloadOctets: count)
        let sum = InternetChecksum.sum(packet + view.headerOctets, count: count, initial: pseudo)
        return InternetChecksum.fold(sum) == 0xFFFF
    }

    /// Whether two packets of a flow differ only where segments of one packet differ: DSCP, ECN, TTL and fragment bits,
    /// or traffic class, flow label and hop limit, and the TCP options are equal.
    private static func haveEqualHeaders(
        _ left: UnsafeRawPointer, _ right: UnsafeRawPointer, _ family: IPAddress.Family, _ headerOctets: Int
    ) -> Bool {
        var offset: Int
        switch family {
        case .v4:
            guard left.load(fromByteOffset: 1, as: UInt8.self) == right.load(fromByteOffset: 1, as: UInt8.self),
                left.load(fromByteOffset: 8, as: UInt8.self) == right.load(fromByteOffset: 8, as: UInt8.self),
                left.bigEndian16(at: 6) == right.bigEndian16(at: 6)
            else { return false }
            offset = 40
        case .v6:
            guard left.bigEndian32(at: 0) == right.bigEndian32(at: 0),
                left.load(fromByteOffset: 7, as: UInt8.self) == right.load(fromByteOffset: 7, as: UInt8.self)
            else { return false }
            offset = 60
        }
        while offset < headerOctets {
            guard left.bigEndian32(at: offset) == right.bigEndian32(at: offset) else { return false }
            offset += 4
        }
        return true
    }
}
