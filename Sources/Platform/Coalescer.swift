import CPlatform
import DataPlane
import Primitives

/// Joins consecutive TCP segments, or datagrams of UDP, of a flow into one packet for the device, as a network card does on
/// reception (LRO), but so that they can be had back as they were: same headers, same size, unbroken numbers.
///
/// Payloads stay where they were opened; a joined packet is written from its parts. What cannot be joined passes
/// through at once, behind what its flow has waiting.
final class Coalescer {
    private static let slotCount = 8
    /// Segments in a joined packet; one more part is the offload header.
    private static let maximumSegments = 64
    private static let partsPerSlot = maximumSegments + 1
    private static let maximumOctets = 65_535

    private struct Slot {
        var flow: Flow
        var first: UnsafeMutableRawPointer
        var ipOctets: Int
        var headerOctets: Int
        var segmentOctets: Int
        var totalOctets: Int
        var nextSequence: UInt32
        var acknowledgement: UInt32
        var segments: Int
        var isPushed: Bool
        var queue: Int
    }

    private let joinsDatagrams: Bool
    private let write: (UnsafePointer<parley_part>, Int, Int) -> Void
    // SAFETY (unchecked): one thread uses this object; nothing that looks at a slot comes back to it.
    @exclusivity(unchecked) private var slots: [Slot?] = Array(repeating: nil, count: slotCount)
    private var oldest = 0
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
    }

    deinit {
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
        let plainOctets = view.flow.family == .v4 ? 20 : 40
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
        let index = slots.firstIndex { $0?.flow == view.flow }
        // Only data with ACK, and PSH at most (RFC 9293 §3.1): other flags mean something where they stand.
        guard tcpOctets >= 20, payloadOctets > 0, flags & ~0x08 == 0x10, Self.isIntact(raw, view) else {
            if let index { flush(index) }
            return pass(packet, view.octets, queue, isVerified: false)
        }
        let sequence = raw.bigEndian32(at: plainOctets + 4)
        if let index, let slot = slots[index] {
            if slot.nextSequence == sequence, slot.headerOctets == headerOctets,
                slot.acknowledgement == raw.bigEndian32(at: plainOctets + 8), payloadOctets <= slot.segmentOctets,
                slot.totalOctets + payloadOctets <= Self.maximumOctets, slot.segments < Self.maximumSegments,
                Self.haveEqualHeaders(UnsafeRawPointer(slot.first), raw, view.flow.family, headerOctets)
            {
                append(packet + headerOctets, payloadOctets, isPushed: flags & 0x08 != 0, to: index, slot)
                return
            }
            flush(index)
        }
        if flags & 0x08 != 0 { return pass(packet, view.octets, queue, isVerified: true) }
        start(
            packet, view, queue, headerOctets, payloadOctets, numbers: (sequence, raw.bigEndian32(at: plainOctets + 8)))
    }

    /// Datagrams of one size follow each other; a shorter one is the last.
    private func addDatagram(_ packet: UnsafeMutableRawPointer, _ view: PacketView, _ queue: Int, _ ipOctets: Int) {
        let raw = UnsafeRawPointer(packet)
        let headerOctets = ipOctets + 8
        let payloadOctets = view.octets - headerOctets
        let index = slots.firstIndex { $0?.flow == view.flow }
        // Without a checksum of its own, the joined packet's would be new.
        guard payloadOctets > 0, Int(raw.bigEndian16(at: ipOctets + 4)) == payloadOctets + 8,
            raw.bigEndian16(at: ipOctets + 6) != 0, Self.isIntact(raw, view)
        else {
            if let index { flush(index) }
            return pass(packet, view.octets, queue, isVerified: false)
        }
        if let index, let slot = slots[index] {
            if payloadOctets <= slot.segmentOctets, slot.totalOctets + payloadOctets <= Self.maximumOctets,
                slot.segments < Self.maximumSegments,
                Self.haveEqualHeaders(UnsafeRawPointer(slot.first), raw, view.flow.family, headerOctets)
            {
                return append(packet + headerOctets, payloadOctets, isPushed: false, to: index, slot)
            }
            flush(index)
        }
        start(packet, view, queue, headerOctets, payloadOctets, numbers: (0, 0))
    }

    /// Writes all that waits.
    func flush() {
        for index in slots.indices where slots[index] != nil { flush(index) }
    }

    private func start(
        _ packet: UnsafeMutableRawPointer, _ view: PacketView, _ queue: Int, _ headerOctets: Int,
        _ payloadOctets: Int, numbers: (sequence: UInt32, acknowledgement: UInt32)
    ) {
        let index: Int
        if let free = slots.firstIndex(where: { $0 == nil }) {
            index = free
        } else {
            index = oldest
            oldest = (oldest + 1) % Self.slotCount
            flush(index)
        }
        slots[index] = Slot(
            flow: view.flow, first: packet, ipOctets: view.headerOctets, headerOctets: headerOctets,
            segmentOctets: payloadOctets, totalOctets: view.octets,
            nextSequence: numbers.sequence &+ UInt32(truncatingIfNeeded: payloadOctets),
            acknowledgement: numbers.acknowledgement, segments: 1,
            isPushed: false, queue: queue)
        parts[index * Self.partsPerSlot + 1] = parley_part(base: packet, count: view.octets)
    }

    private func append(
        _ payload: UnsafeMutableRawPointer, _ count: Int, isPushed: Bool, to index: Int, _ slot: Slot
    ) {
        var slot = slot
        slot.segments += 1
        slot.totalOctets += count
        slot.nextSequence &+= UInt32(truncatingIfNeeded: count)
        slot.isPushed = isPushed
        parts[index * Self.partsPerSlot + slot.segments] = parley_part(base: payload, count: count)
        slots[index] = slot
        // A short segment or a push can only be the last.
        if isPushed || count < slot.segmentOctets { flush(index) }
    }

    private func flush(_ index: Int) {
        guard let slot = slots[index] else { return }
        slots[index] = nil
        if slot.segments == 1 { return pass(slot.first, slot.totalOctets, slot.queue, isVerified: true) }
        let packet = slot.first
        if slot.flow.family == .v4 {
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
            ? OffloadHeader.datagrams : slot.flow.family == .v4 ? OffloadHeader.tcpV4 : OffloadHeader.tcpV6
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

    /// Whether the packet's checksums hold. A joined packet gets new ones, which must not hide that they did not.
    private static func isIntact(_ packet: UnsafeRawPointer, _ view: PacketView) -> Bool {
        if view.flow.family == .v4,
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
