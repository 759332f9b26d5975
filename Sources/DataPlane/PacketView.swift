package import Primitives

/// What the policy looks at in an IP packet: its addresses, protocol and ports (RFC 4301 §4.4.1.1).
package struct Flow: Equatable, Sendable {
    package var family: IPAddress.Family
    package var ipProtocol: UInt8
    /// Whether the ports could be seen; not so in later fragments and in protocols without them.
    package var hasPorts: Bool
    package var sourcePort: UInt16 = 0
    package var destinationPort: UInt16 = 0
    package var source: UInt128
    package var destination: UInt128

    /// The flow of no packet: IPv4 has no such addresses.
    package static var none: Flow {
        Flow(family: .v4, ipProtocol: 0, hasPorts: false, source: .max, destination: .max)
    }

    /// Told by its case: across modules, `==` of an enumeration is a call through its conformance.
    @inline(__always)
    var isV4: Bool { if case .v4 = family { true } else { false } }

    package var sourceAddress: IPAddress { IPAddress(family: family, value: source) }
    package var destinationAddress: IPAddress { IPAddress(family: family, value: destination) }

    /// Most that are compared are equal, so all is looked at without a branch between.
    @inline(__always)
    package static func == (left: Flow, right: Flow) -> Bool {
        let addresses = (left.source ^ right.source) | (left.destination ^ right.destination)
        let ports = (left.sourcePort ^ right.sourcePort) | (left.destinationPort ^ right.destinationPort)
        let protocols = UInt16(left.ipProtocol ^ right.ipProtocol)
        return addresses == 0 && ports | protocols == 0 && left.hasPorts == right.hasPorts
            && left.isV4 == right.isV4
    }

    /// A spread of the fields for cache slots; not for anything that an adversary may profit from.
    var slotHash: UInt64 {
        var word = UInt64(truncatingIfNeeded: source) ^ UInt64(truncatingIfNeeded: source >> 64)
        word = (word ^ (word >> 32)) &* 0x9E37_79B9_7F4A_7C15
        word ^= UInt64(truncatingIfNeeded: destination) ^ UInt64(truncatingIfNeeded: destination >> 64)
        word ^= UInt64(sourcePort) << 40 | UInt64(destinationPort) << 24 | UInt64(ipProtocol)
        word = (word ^ (word >> 29)) &* 0xBF58_476D_1CE4_E5B9
        return word ^ (word >> 32)
    }
}

/// The headers of one IP packet, read once.
package struct PacketView: Sendable {
    package var flow: Flow
    /// The length that the packet itself claims; never more than was there.
    package var octets: Int
    /// Octets before the upper-layer header.
    package var headerOctets: Int
    /// DSCP and ECN.
    package var trafficClass: UInt8
    /// Whether the packet is a fragment of a larger one.
    package var isFragment: Bool
    /// What the fragments of one packet have in common, and how many units of 8 octets lie before this one (RFC 791 §3.1,
    /// RFC 8200 §4.5); 0 in a packet of IPv6 that is whole.
    package var identification: UInt32
    package var fragmentOffset: UInt16
    /// Whether the packet must not be cut on its way: DF, which IPv6 implies.
    package var forbidsFragments: Bool
    /// Whether the IP header has neither options nor extension headers behind it.
    package var isPlain: Bool { headerOctets == (flow.isV4 ? 20 : 40) }

    /// How many IPv6 extension headers are followed before the packet counts as malformed.
    static let maximumExtensionHeaders = 8

    /// Reads an IPv4 or IPv6 packet of `count` octets; `nil` where its lengths do not hold together.
    package init?(_ packet: UnsafeRawPointer, count: Int) {
        self.init()
        guard read(packet, count: count) else { return nil }
    }

    /// Of no packet: what ``read(_:count:)`` fills.
    init() {
        flow = .none
        octets = 0
        headerOctets = 0
        trafficClass = 0
        isFragment = false
        identification = 0
        fragmentOffset = 0
        forbidsFragments = false
    }

    /// As ``init(_:count:)``, in place. False where the lengths do not hold together; what is here is nothing then.
    mutating func read(_ packet: UnsafeRawPointer, count: Int) -> Bool {
        // SAFETY: the caller vouches for `count` readable octets; each access below follows a check against it.
        guard count >= 20 else { return false }
        switch packet.load(as: UInt8.self) >> 4 {
        case 4: return read(v4: packet, count: count)
        case 6: return read(v6: packet, count: count)
        default: return false
        }
    }

    @inline(__always)
    private mutating func read(v4 packet: UnsafeRawPointer, count: Int) -> Bool {
        let headerOctets = Int(packet.load(as: UInt8.self) & 15) * 4
        let total = Int(packet.bigEndian16(at: 2))
        guard headerOctets >= 20, total >= headerOctets, total <= count else { return false }
        let fragment = packet.bigEndian16(at: 6)
        flow = Flow(
            family: .v4, ipProtocol: packet.load(fromByteOffset: 9, as: UInt8.self), hasPorts: false,
            source: UInt128(packet.bigEndian32(at: 12)), destination: UInt128(packet.bigEndian32(at: 16)))
        octets = total
        self.headerOctets = headerOctets
        trafficClass = packet.load(fromByteOffset: 1, as: UInt8.self)
        isFragment = fragment & 0x3FFF != 0
        identification = UInt32(packet.bigEndian16(at: 4))
        fragmentOffset = fragment & 0x1FFF
        forbidsFragments = fragment & 0x4000 != 0
        if fragment & 0x1FFF == 0 { readPorts(packet) }
        return true
    }

    private mutating func read(v6 packet: UnsafeRawPointer, count: Int) -> Bool {
        guard count >= 40 else { return false }
        let total = 40 + Int(packet.bigEndian16(at: 4))
        guard total <= count else { return false }
        flow = Flow(
            family: .v6, ipProtocol: packet.load(fromByteOffset: 6, as: UInt8.self), hasPorts: false,
            source: packet.bigEndian128(at: 8), destination: packet.bigEndian128(at: 24))
        octets = total
        headerOctets = 40
        trafficClass = UInt8(truncatingIfNeeded: packet.bigEndian16(at: 0) >> 4)
        isFragment = false
        identification = 0
        fragmentOffset = 0
        forbidsFragments = true
        var isLaterFragment = false
        var followed = 0
        while !isLaterFragment {
            let next = flow.ipProtocol
            let length: Int
            switch next {
            case 0, 43, 60, 135:
                guard total >= headerOctets + 8 else { return false }
                length = (Int(packet.load(fromByteOffset: headerOctets + 1, as: UInt8.self)) + 1) * 8
            case 51:
                guard total >= headerOctets + 8 else { return false }
                length = (Int(packet.load(fromByteOffset: headerOctets + 1, as: UInt8.self)) + 2) * 4
            case 44:
                guard total >= headerOctets + 8 else { return false }
                length = 8
                isFragment = true
                identification = packet.bigEndian32(at: headerOctets + 4)
                fragmentOffset = packet.bigEndian16(at: headerOctets + 2) >> 3
                isLaterFragment = fragmentOffset != 0
            default:
                readPorts(packet)
                return true
            }
            followed += 1
            guard followed <= PacketView.maximumExtensionHeaders, total >= headerOctets + length else { return false }
            flow.ipProtocol = packet.load(fromByteOffset: headerOctets, as: UInt8.self)
            headerOctets += length
        }
        return true
    }

    /// Ports of TCP, UDP, UDP-Lite, SCTP and DCCP; for ICMP type and code stand in for both (RFC 4301 §4.4.1.1).
    @inline(__always)
    private mutating func readPorts(_ packet: UnsafeRawPointer) {
        switch flow.ipProtocol {
        case 6, 17, 33, 132, 136:
            guard octets >= headerOctets + 4 else { return }
            flow.sourcePort = packet.bigEndian16(at: headerOctets)
            flow.destinationPort = packet.bigEndian16(at: headerOctets + 2)
            flow.hasPorts = true
        case 1, 58:
            guard octets >= headerOctets + 2 else { return }
            flow.sourcePort = packet.bigEndian16(at: headerOctets)
            flow.destinationPort = flow.sourcePort
            flow.hasPorts = true
        default: break
        }
    }
}

extension UnsafeRawPointer {
    // SAFETY: these read as many octets as their names say at any alignment; callers have checked the length.
    @inlinable
    package func bigEndian16(at offset: Int) -> UInt16 {
        UInt16(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inlinable
    package func bigEndian32(at offset: Int) -> UInt32 {
        UInt32(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inlinable
    package func bigEndian64(at offset: Int) -> UInt64 {
        UInt64(bigEndian: loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    @inlinable
    package func bigEndian128(at offset: Int) -> UInt128 {
        UInt128(bigEndian64(at: offset)) << 64 | UInt128(bigEndian64(at: offset + 8))
    }
}

extension UnsafeMutableRawPointer {
    // SAFETY: these write as many octets as their names say at any alignment; callers have checked the room.
    package func store(bigEndian value: UInt16, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
    }

    package func store(bigEndian value: UInt32, at offset: Int) {
        storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt32.self)
    }

    package func store(bigEndian value: UInt128, at offset: Int) {
        storeBytes(of: UInt64(truncatingIfNeeded: value >> 64).bigEndian, toByteOffset: offset, as: UInt64.self)
        storeBytes(of: UInt64(truncatingIfNeeded: value).bigEndian, toByteOffset: offset + 8, as: UInt64.self)
    }
}

/// DSCP and ECN of a packet (RFC 2474 §3, RFC 3168 §5).
package enum TrafficClass {
    /// Writes another value; IPv4's checksum follows (RFC 1624 §3).
    ///
    /// SAFETY: the caller vouches for the packet that `view` describes.
    package static func replace(_ packet: UnsafeMutableRawPointer, _ view: inout PacketView, with value: UInt8) {
        guard value != view.trafficClass else { return }
        let raw = UnsafeRawPointer(packet)
        switch view.flow.family {
        case .v4:
            packet.storeBytes(of: value, toByteOffset: 1, as: UInt8.self)
            var sum = UInt32(~raw.bigEndian16(at: 10)) + UInt32(~UInt16(view.trafficClass)) + UInt32(value)
            sum = (sum & 0xFFFF) + (sum >> 16)
            sum = (sum & 0xFFFF) + (sum >> 16)
            packet.store(bigEndian: ~UInt16(truncatingIfNeeded: sum), at: 10)
        case .v6:
            packet.store(bigEndian: raw.bigEndian16(at: 0) & 0xF00F | UInt16(value) << 4, at: 0)
        }
        view.trafficClass = value
    }
}

/// Explicit congestion notification across the tunnel's end (RFC 6040 §4.2).
package enum Congestion {
    /// Marks the inner packet where the outer one met congestion. False where it must be dropped: it met congestion and
    /// its sender would not understand the mark.
    ///
    /// SAFETY: the caller vouches for the packet that `view` describes.
    package static func combine(
        outer: UInt8, _ packet: UnsafeMutableRawPointer, _ view: inout PacketView
    ) -> Bool {
        let marked: UInt8
        switch (outer & 3, view.trafficClass & 3) {
        case (3, 0): return false
        case (3, _): marked = view.trafficClass | 3
        case (1, 2): marked = view.trafficClass ^ 3
        default: return true
        }
        TrafficClass.replace(packet, &view, with: marked)
        return true
    }
}
