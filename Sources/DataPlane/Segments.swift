import Primitives

/// The header that a TUN device puts before each packet once asked to (virtio 1.2 §5.1.6, `struct virtio_net_hdr`), in
/// native byte order.
package struct OffloadHeader: Equatable, Sendable {
    package static let octets = 10

    package static let needsChecksum: UInt8 = 1
    package static let checksumIsValid: UInt8 = 2
    package static let tcpV4: UInt8 = 1
    package static let tcpV6: UInt8 = 4
    /// Datagrams of UDP, one after the other.
    package static let datagrams: UInt8 = 5
    package static let congestionBit: UInt8 = 0x80

    package var flags: UInt8 = 0
    package var kind: UInt8 = 0
    package var headerOctets: UInt16 = 0
    package var segmentOctets: UInt16 = 0
    package var checksumStart: UInt16 = 0
    package var checksumOffset: UInt16 = 0

    package init() {}

    /// SAFETY: the caller vouches for ``octets`` readable ones.
    package init(_ pointer: UnsafeRawPointer) {
        flags = pointer.load(as: UInt8.self)
        kind = pointer.load(fromByteOffset: 1, as: UInt8.self)
        headerOctets = pointer.loadUnaligned(fromByteOffset: 2, as: UInt16.self)
        segmentOctets = pointer.loadUnaligned(fromByteOffset: 4, as: UInt16.self)
        checksumStart = pointer.loadUnaligned(fromByteOffset: 6, as: UInt16.self)
        checksumOffset = pointer.loadUnaligned(fromByteOffset: 8, as: UInt16.self)
    }

    /// SAFETY: the caller vouches for ``octets`` writable ones.
    package func write(_ pointer: UnsafeMutableRawPointer) {
        pointer.storeBytes(of: flags, as: UInt8.self)
        pointer.storeBytes(of: kind, toByteOffset: 1, as: UInt8.self)
        pointer.storeBytes(of: headerOctets, toByteOffset: 2, as: UInt16.self)
        pointer.storeBytes(of: segmentOctets, toByteOffset: 4, as: UInt16.self)
        pointer.storeBytes(of: checksumStart, toByteOffset: 6, as: UInt16.self)
        pointer.storeBytes(of: checksumOffset, toByteOffset: 8, as: UInt16.self)
    }

    /// Finishes a checksum that the sender left to the device: the field holds the pseudo-header's sum. False where the
    /// field lies outside of the packet.
    ///
    /// SAFETY: the caller vouches for `count` writable octets.
    package func completeChecksum(_ packet: UnsafeMutableRawPointer, count: Int) -> Bool {
        guard flags & OffloadHeader.needsChecksum != 0 else { return true }
        let start = Int(checksumStart)
        let field = start + Int(checksumOffset)
        guard field + 2 <= count else { return false }
        let sum = ~InternetChecksum.fold(InternetChecksum.sum(packet + start, count: count - start))
        packet.storeBytes(of: sum == 0 ? 0xFFFF : sum, toByteOffset: field, as: UInt16.self)
        return true
    }
}

/// A packet of TCP or UDP that stands for several, each with a part of its payload. The work of a network card that
/// segments (TSO, USO), done while the octets are copied to where they will be sealed.
package struct Segments {
    private static let tcp: UInt8 = 6
    private static let udp: UInt8 = 17

    private let packet: UnsafeRawPointer
    private let isV4: Bool
    private let isTCP: Bool
    private let ipOctets: Int
    private let headerOctets: Int
    private let payloadOctets: Int
    private let segmentOctets: Int
    private let identification: UInt16
    /// Sums over what the headers of all segments have in common, the pseudo-header included.
    private var ipSum: UInt64 = 0
    private var transportSum: UInt64

    /// How many segments there are.
    package let count: Int

    /// `nil` where the packet is not one of `kind` (``OffloadHeader/kind``) whose headers and segment size make sense.
    ///
    /// SAFETY: the caller vouches for `view.octets` readable octets as long as this value is used.
    package init?(_ packet: UnsafeRawPointer, view: PacketView, kind: UInt8, segmentOctets: Int) {
        isTCP = kind != OffloadHeader.datagrams
        let least = isTCP ? 20 : 8
        guard view.flow.ipProtocol == (isTCP ? Self.tcp : Self.udp), !view.isFragment, segmentOctets > 0,
            view.octets >= view.headerOctets + least
        else { return nil }
        var transportOctets = least
        if isTCP {
            transportOctets = Int(packet.load(fromByteOffset: view.headerOctets + 12, as: UInt8.self) >> 4) * 4
        }
        guard transportOctets >= least, view.octets > view.headerOctets + transportOctets else { return nil }
        self.packet = packet
        isV4 = view.flow.isV4
        ipOctets = view.headerOctets
        headerOctets = view.headerOctets + transportOctets
        payloadOctets = view.octets - headerOctets
        self.segmentOctets = segmentOctets
        identification = isV4 ? packet.bigEndian16(at: 4) : 0
        count = (payloadOctets + segmentOctets - 1) / segmentOctets
        let transport = packet + view.headerOctets
        transportSum = InternetChecksum.pseudoHeader(
            packet, family: view.flow.family, ipProtocol: view.flow.ipProtocol, payloadOctets: 0)
        transportSum = InternetChecksum.sum(transport, count: transportOctets, initial: transportSum)
        // Length, number and checksum differ.
        if isV4 {
            ipSum = InternetChecksum.sum(packet, count: ipOctets)
            ipSum &+= Self.complement(packet + 2) &+ Self.complement(packet + 4) &+ Self.complement(packet + 10)
        }
        // Number, flags and checksum; or length and checksum.
        transportSum &+= Self.complement(transport + 4) &+ Self.complement(transport + 6)
        if isTCP { transportSum &+= Self.complement(transport + 12) &+ Self.complement(transport + 16) }
    }

    /// What takes two octets out of a sum again.
    private static func complement(_ octets: UnsafeRawPointer) -> UInt64 {
        UInt64(~octets.loadUnaligned(as: UInt16.self))
    }

    /// Octets of segment `index`, headers included.
    package func octets(_ index: Int) -> Int {
        headerOctets + min(segmentOctets, payloadOctets - index * segmentOctets)
    }

    /// Writes segment `index`: its part of the payload behind headers with their own lengths, numbers, flags and checksums.
    ///
    /// SAFETY: the caller vouches for ``octets(_:)`` writable octets at `target`.
    package func write(_ index: Int, to target: UnsafeMutableRawPointer) {
        let total = octets(index)
        target.copyMemory(from: packet, byteCount: headerOctets)
        let payload = InternetChecksum.copy(
            packet + headerOctets + index * segmentOctets, to: target + headerOctets, count: total - headerOctets)
        if isV4 {
            target.store(bigEndian: UInt16(truncatingIfNeeded: total), at: 2)
            target.store(bigEndian: identification &+ UInt16(truncatingIfNeeded: index), at: 4)
            let lengthAndNumber = UInt64(target.loadUnaligned(fromByteOffset: 2, as: UInt32.self))
            target.storeBytes(
                of: ~InternetChecksum.fold(ipSum &+ lengthAndNumber), toByteOffset: 10, as: UInt16.self)
        } else {
            target.store(bigEndian: UInt16(truncatingIfNeeded: total - 40), at: 4)
        }
        let transport = target + ipOctets
        let length = UInt16(truncatingIfNeeded: total - ipOctets)
        // Headers have an even number of octets.
        var whole = transportSum &+ payload &+ UInt64(length.bigEndian)
        if isTCP {
            whole &+= number(index, transport)
        } else {
            transport.store(bigEndian: length, at: 4)
            whole &+= UInt64(length.bigEndian)
        }
        let sum = ~InternetChecksum.fold(whole)
        // A sum of 0 would say that there is none (RFC 768).
        transport.storeBytes(of: !isTCP && sum == 0 ? 0xFFFF : sum, toByteOffset: isTCP ? 16 : 6, as: UInt16.self)
    }

    /// Number and flags of a segment of TCP (RFC 9293 §3.1). Their sum.
    @inline(__always)
    private func number(_ index: Int, _ tcp: UnsafeMutableRawPointer) -> UInt64 {
        let number = packet.bigEndian32(at: ipOctets + 4) &+ UInt32(truncatingIfNeeded: index * segmentOctets)
        tcp.store(bigEndian: number, at: 4)
        // FIN and PSH belong to the last segment, CWR to the first (RFC 3168 §6.1.2).
        var flags = packet.load(fromByteOffset: ipOctets + 13, as: UInt8.self)
        if index != count - 1 { flags &= ~0x09 }
        if index != 0 { flags &= ~0x80 }
        tcp.storeBytes(of: flags, toByteOffset: 13, as: UInt8.self)
        return UInt64(number.bigEndian) &+ UInt64(tcp.loadUnaligned(fromByteOffset: 12, as: UInt16.self))
    }
}
