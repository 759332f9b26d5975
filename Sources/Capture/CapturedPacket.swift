package import Primitives

/// What a captured frame holds, as far as IPsec is concerned.
package struct CapturedPacket: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// An IKE message, without the non-ESP marker.
        case ike([UInt8])
        case esp(spi: UInt32, sequence: UInt32)
        case ah(spi: UInt32, sequence: UInt32)
        /// A NAT keepalive (RFC 3948 §2.3).
        case keepalive
        /// A fragment of a packet that stands with its last one.
        case fragment
        /// Nothing of IPsec.
        case other
        /// Cut off or contradictory; why.
        case broken(String)
    }
    package var number: Int
    /// Nanoseconds since 1970.
    package var time: UInt64
    package var source: Endpoint?
    package var destination: Endpoint?
    package var kind: Kind
}

/// Finds the IPsec packets of a capture, fragments of IP put together.
package struct PacketReader: Sendable {
    private var fragments: [FragmentKey: Fragments] = [:]

    private struct FragmentKey: Hashable {
        var source: IPAddress
        var destination: IPAddress
        var identification: UInt32
        var ipProtocol: UInt8
    }

    private struct Fragments {
        var parts: [Int: [UInt8]] = [:]
        /// Octets of all parts together.
        var received = 0
        var total: Int?
        /// The frame of the first part that came, counted from 1.
        var frame: Int

        /// The octets from the packet's start as far as they hang together.
        var beginning: [UInt8] {
            var whole: [UInt8] = []
            for (start, part) in parts.sorted(by: { $0.key < $1.key }) where start == whole.count { whole += part }
            return whole
        }
    }

    /// Packets under way at a time, and octets of one: damaged captures cost no more.
    private static let maximumPending = 64
    private static let maximumOctets = 65_535

    package init() {}

    /// The packets of a capture, in order.
    package static func packets(of file: CaptureFile) -> [CapturedPacket] {
        var reader = PacketReader()
        var packets = file.frames.map { reader.read($0) }
        reader.settle(&packets)
        return packets
    }

    /// Packets whose fragments never came whole: what there is of them.
    private func settle(_ packets: inout [CapturedPacket]) {
        for (key, pending) in fragments where packets.indices.contains(pending.frame - 1) {
            do throws(ParseError) {
                try readTransport(
                    key.ipProtocol, pending.beginning, key.source, key.destination, &packets[pending.frame - 1])
            } catch {
                packets[pending.frame - 1].kind = .broken("fragments are missing: \(error)")
            }
        }
    }

    package mutating func read(_ frame: Frame) -> CapturedPacket {
        var packet = CapturedPacket(
            number: frame.number, time: frame.time, source: nil, destination: nil, kind: .other)
        do throws(ParseError) {
            try readLink(frame, &packet)
        } catch {
            let cut = frame.missing > 0 ? " (\(frame.missing) octets were not captured)" : ""
            packet.kind = .broken("\(error)\(cut)")
        }
        return packet
    }

    // MARK: Link layers

    private mutating func readLink(_ frame: Frame, _ packet: inout CapturedPacket) throws(ParseError) {
        var reader = ByteReader(frame.octets)
        switch frame.linkType {
        case 1:  // Ethernet
            _ = try reader.read(12)
            try readEtherType(try reader.readUInt16(), &reader, &packet)
        case 113:  // Linux cooked
            _ = try reader.read(14)
            try readEtherType(try reader.readUInt16(), &reader, &packet)
        case 276:  // Linux cooked, version 2
            let type = try reader.readUInt16()
            _ = try reader.read(18)
            try readEtherType(type, &reader, &packet)
        case 101, 228, 229, 12, 14: try readIP(reader.readRest(), &packet)  // raw IP
        case 0, 108:  // BSD loopback: the family in the capturing machine's byte order
            _ = try reader.read(4)
            try readIP(reader.readRest(), &packet)
        case 9:  // PPP
            let first = try reader.readUInt8()
            if first == 0xFF { _ = try reader.read(3) } else { _ = try reader.read(1) }
            try readIP(reader.readRest(), &packet)
        default: throw .invalid(offset: 0, rule: "link type \(frame.linkType) is not known here")
        }
    }

    private mutating func readEtherType(
        _ type: UInt16, _ reader: inout ByteReader, _ packet: inout CapturedPacket
    ) throws(ParseError) {
        var type = type
        var tags = 0
        while type == 0x8100 || type == 0x88A8, tags < 4 {
            _ = try reader.readUInt16()
            type = try reader.readUInt16()
            tags += 1
        }
        guard type == 0x0800 || type == 0x86DD else { return }
        try readIP(reader.readRest(), &packet)
    }

    // MARK: IP

    private mutating func readIP(_ octets: ArraySlice<UInt8>, _ packet: inout CapturedPacket) throws(ParseError) {
        var reader = ByteReader(octets)
        let start = reader.offset
        let first = try reader.readUInt8()
        switch first >> 4 {
        case 4: try readIPv4(first, octets, start, &packet)
        case 6: try readIPv6(octets, &packet)
        default: throw .invalid(offset: start, rule: "an IP packet has version 4 or 6")
        }
    }

    private mutating func readIPv4(
        _ first: UInt8, _ octets: ArraySlice<UInt8>, _ start: Int, _ packet: inout CapturedPacket
    ) throws(ParseError) {
        var reader = ByteReader(octets)
        let headerOctets = Int(first & 15) * 4
        _ = try reader.read(2)
        let total = Int(try reader.readUInt16())
        let identification = try reader.readUInt16()
        let fragment = try reader.readUInt16()
        _ = try reader.readUInt8()
        let ipProtocol = try reader.readUInt8()
        _ = try reader.readUInt16()
        let source = IPAddress(octets: try reader.read(4)) ?? .any(.v4)
        let destination = IPAddress(octets: try reader.read(4)) ?? .any(.v4)
        guard headerOctets >= 20 else { throw .invalid(offset: start, rule: "an IPv4 header has 20 octets or more") }
        _ = try reader.read(headerOctets - 20)
        // A total of 0 was left to the network card; an Ethernet trailer follows a smaller one.
        let payload = total >= headerOctets ? min(reader.remaining, total - headerOctets) : reader.remaining
        try readFragment(
            Array(try reader.read(payload)), ipProtocol, source, destination, UInt32(identification),
            offset: Int(fragment & 0x1FFF) * 8, more: fragment & 0x2000 != 0, &packet)
    }

    private mutating func readIPv6(_ octets: ArraySlice<UInt8>, _ packet: inout CapturedPacket) throws(ParseError) {
        var reader = ByteReader(octets)
        _ = try reader.read(4)
        let length = Int(try reader.readUInt16())
        var next = try reader.readUInt8()
        _ = try reader.readUInt8()
        let source = IPAddress(octets: try reader.read(16)) ?? .any(.v6)
        let destination = IPAddress(octets: try reader.read(16)) ?? .any(.v6)
        var body = ByteReader(try reader.read(min(length, reader.remaining)))
        var headers = 0
        // Hop-by-hop, routing and destination options (RFC 8200 §4).
        while [0, 43, 60].contains(next), headers < 8 {
            next = try body.readUInt8()
            let length = Int(try body.readUInt8())
            _ = try body.read(length * 8 + 6)
            headers += 1
        }
        guard next == 44 else {
            try readTransport(next, Array(body.readRest()), source, destination, &packet)
            return
        }
        let ipProtocol = try body.readUInt8()
        _ = try body.readUInt8()
        let fragment = try body.readUInt16()
        let identification = try body.readUInt32()
        try readFragment(
            Array(body.readRest()), ipProtocol, source, destination, identification,
            offset: Int(fragment & 0xFFF8), more: fragment & 1 != 0, &packet)
    }

    private mutating func readFragment(
        _ octets: [UInt8], _ ipProtocol: UInt8, _ source: IPAddress, _ destination: IPAddress,
        _ identification: UInt32, offset: Int, more: Bool, _ packet: inout CapturedPacket
    ) throws(ParseError) {
        if offset == 0, !more {
            try readTransport(ipProtocol, octets, source, destination, &packet)
            return
        }
        packet.source = Endpoint(source, port: 0)
        packet.destination = Endpoint(destination, port: 0)
        guard offset + octets.count <= PacketReader.maximumOctets else {
            throw .invalid(offset: offset, rule: "a packet has at most 65,535 octets")
        }
        let key = FragmentKey(
            source: source, destination: destination, identification: identification, ipProtocol: ipProtocol)
        if fragments[key] == nil, fragments.count >= PacketReader.maximumPending { fragments = [:] }
        packet.kind = .fragment
        // The first of equals counts, and parts are put together once, when there are as many octets as the packet has:
        // doing so at each part would let 8,000 small ones cost seconds.
        guard !octets.isEmpty, fragments[key]?.parts[offset] == nil else { return }
        fragments[key, default: Fragments(frame: packet.number)].parts[offset] = octets
        fragments[key]?.received += octets.count
        if !more { fragments[key]?.total = offset + octets.count }
        guard let pending = fragments[key] else { return }
        guard pending.received <= pending.total ?? PacketReader.maximumOctets else {
            fragments[key] = nil
            throw .invalid(offset: offset, rule: "the fragments of a packet do not overlap (RFC 5722 §4)")
        }
        guard pending.received == pending.total else { return }
        let whole = pending.beginning
        guard whole.count == pending.total else { return }
        fragments[key] = nil
        try readTransport(ipProtocol, whole, source, destination, &packet)
    }

    // MARK: Transport

    private func readTransport(
        _ ipProtocol: UInt8, _ octets: [UInt8], _ source: IPAddress, _ destination: IPAddress,
        _ packet: inout CapturedPacket
    ) throws(ParseError) {
        packet.source = Endpoint(source, port: 0)
        packet.destination = Endpoint(destination, port: 0)
        var reader = ByteReader(octets)
        switch ipProtocol {
        case 50: packet.kind = .esp(spi: try reader.readUInt32(), sequence: try reader.readUInt32())
        case 51:
            _ = try reader.readUInt32()
            packet.kind = .ah(spi: try reader.readUInt32(), sequence: try reader.readUInt32())
        case 17:
            let ports = (try reader.readUInt16(), try reader.readUInt16())
            packet.source = Endpoint(source, port: ports.0)
            packet.destination = Endpoint(destination, port: ports.1)
            let length = Int(try reader.readUInt16())
            _ = try reader.readUInt16()
            let body = Array(try reader.read(min(reader.remaining, max(0, length - 8))))
            packet.kind = try PacketReader.kind(body, ports: ports)
        default: packet.kind = .other
        }
    }

    private static func kind(_ body: [UInt8], ports: (UInt16, UInt16)) throws(ParseError) -> CapturedPacket.Kind {
        let plain: Set<UInt16> = [500, 848]
        let encapsulated: Set<UInt16> = [4500]
        if plain.contains(ports.0) || plain.contains(ports.1) { return .ike(body) }
        guard encapsulated.contains(ports.0) || encapsulated.contains(ports.1) else { return .other }
        if body == [0xFF] { return .keepalive }
        if body.starts(with: [0, 0, 0, 0]) { return .ike(Array(body.dropFirst(4))) }
        var reader = ByteReader(body)
        return .esp(spi: try reader.readUInt32(), sequence: try reader.readUInt32())
    }
}
