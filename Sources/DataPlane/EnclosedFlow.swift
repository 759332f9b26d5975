/// An ICMP error message shows the packet that met the error, which says whose traffic it concerns: where no policy has the
/// message itself, the one of that traffic has it (RFC 4301 §6.2).
extension PacketView {
    /// Destination Unreachable, Source Quench, Time Exceeded and Parameter Problem (RFC 792). A Redirect speaks of the link
    /// that it is on, and no tunnel is one.
    private static let errorsV4: Set<UInt8> = [3, 4, 11, 12]
    /// The same and Packet Too Big (RFC 4443 §3).
    private static let errorsV6: ClosedRange<UInt8> = 1...4
    private static let errorHeaderOctets = 8

    /// The flow of the traffic that answers the packet inside of an ICMP error message: that packet's ends, the other way
    /// round. `nil` for anything else, and where too little of it is there.
    ///
    /// SAFETY: the caller vouches for the packet that this view describes.
    func enclosedFlow(_ packet: UnsafeRawPointer) -> Flow? {
        guard !isFragment, octets >= headerOctets + Self.errorHeaderOctets else { return nil }
        let kind = packet.load(fromByteOffset: headerOctets, as: UInt8.self)
        let inner = packet + headerOctets + Self.errorHeaderOctets
        let count = octets - headerOctets - Self.errorHeaderOctets
        switch (flow.family, flow.ipProtocol) {
        case (.v4, 1):
            guard Self.errorsV4.contains(kind) else { return nil }
            return Self.reversedV4(inner, count)
        case (.v6, 58):
            guard Self.errorsV6.contains(kind) else { return nil }
            return Self.reversedV6(inner, count)
        default: return nil
        }
    }

    /// The rest of the packet is seldom there, whatever its length says.
    private static func reversedV4(_ packet: UnsafeRawPointer, _ count: Int) -> Flow? {
        guard count >= 20, packet.load(as: UInt8.self) >> 4 == 4 else { return nil }
        let headerOctets = Int(packet.load(as: UInt8.self) & 15) * 4
        guard headerOctets >= 20 else { return nil }
        var flow = Flow(
            family: .v4, ipProtocol: packet.load(fromByteOffset: 9, as: UInt8.self), hasPorts: false,
            source: UInt128(packet.bigEndian32(at: 16)), destination: UInt128(packet.bigEndian32(at: 12)))
        if packet.bigEndian16(at: 6) & 0x1FFF == 0 { flow.readReversedPorts(packet, headerOctets, count) }
        return flow
    }

    private static func reversedV6(_ packet: UnsafeRawPointer, _ count: Int) -> Flow? {
        guard count >= 40, packet.load(as: UInt8.self) >> 4 == 6 else { return nil }
        var flow = Flow(
            family: .v6, ipProtocol: packet.load(fromByteOffset: 6, as: UInt8.self), hasPorts: false,
            source: packet.bigEndian128(at: 24), destination: packet.bigEndian128(at: 8))
        var offset = 40
        for _ in 0..<maximumExtensionHeaders {
            let length: Int
            switch flow.ipProtocol {
            case 0, 43, 60, 135:
                guard count >= offset + 8 else { return nil }
                length = (Int(packet.load(fromByteOffset: offset + 1, as: UInt8.self)) + 1) * 8
            case 44:
                guard count >= offset + 8 else { return nil }
                length = 8
                if packet.bigEndian16(at: offset + 2) >> 3 != 0 {
                    flow.ipProtocol = packet.load(fromByteOffset: offset, as: UInt8.self)
                    return flow
                }
            default:
                flow.readReversedPorts(packet, offset, count)
                return flow
            }
            flow.ipProtocol = packet.load(fromByteOffset: offset, as: UInt8.self)
            offset += length
        }
        return nil
    }
}

extension Flow {
    /// Ports as the answer has them. Types of ICMP have no other way round.
    fileprivate mutating func readReversedPorts(_ packet: UnsafeRawPointer, _ offset: Int, _ count: Int) {
        guard [6, 17, 33, 132, 136].contains(ipProtocol), count >= offset + 4 else { return }
        sourcePort = packet.bigEndian16(at: offset + 2)
        destinationPort = packet.bigEndian16(at: offset)
        hasPorts = true
    }
}
