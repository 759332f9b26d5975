package import Primitives

/// A packet of the wire, from its IP header on, as far as a capture looks at it.
package struct WirePacket: Sendable {
    package let source: IPAddress
    package let destination: IPAddress
    /// Of the transport; 44 for IPv6 fragments.
    package let ipProtocol: UInt8
    /// What belongs to the packet: a link may have padded it.
    package private(set) var octets: [UInt8]
    /// Where the transport's header begins.
    private let transport: Int
    private let isFragment: Bool

    /// `nil` for what is no IP packet.
    package init?(_ octets: [UInt8]) {
        guard let first = octets.first else { return nil }
        func number(_ offset: Int) -> Int { Int(octets[offset]) << 8 | Int(octets[offset + 1]) }
        switch first >> 4 {
        case 4:
            let header = Int(first & 15) * 4
            guard header >= 20, octets.count >= header else { return nil }
            let total = number(2)
            guard let source = IPAddress(octets: octets[12..<16]), let destination = IPAddress(octets: octets[16..<20])
            else { return nil }
            (self.source, self.destination) = (source, destination)
            ipProtocol = octets[9]
            transport = header
            isFragment = number(6) & 0x3FFF != 0
            // A packet of many segments may be longer than its header can say.
            self.octets = total >= header && total <= octets.count ? Array(octets[..<total]) : octets
        case 6:
            guard octets.count >= 40, let source = IPAddress(octets: octets[8..<24]),
                let destination = IPAddress(octets: octets[24..<40])
            else { return nil }
            (self.source, self.destination) = (source, destination)
            ipProtocol = octets[6]
            transport = 40
            isFragment = ipProtocol == 44
            let total = number(4) + 40
            self.octets = total > 40 && total <= octets.count ? Array(octets[..<total]) : octets
        default: return nil
        }
    }

    /// The payload of UDP; `nil` for other packets, and fragments.
    private var datagram: Range<Int>? {
        guard ipProtocol == 17, !isFragment, octets.count >= transport + 8 else { return nil }
        return transport + 8..<octets.count
    }

    /// Whether it belongs to IKE, as far as the packet alone can tell: UDP that is no ESP (RFC 3948 §2), and no keepalive.
    package var isExchange: Bool {
        guard let datagram, datagram.count >= 28 else { return false }
        func port(_ offset: Int) -> Int { Int(octets[transport + offset]) << 8 | Int(octets[transport + offset + 1]) }
        return port(0) == 500 || port(2) == 500 || octets[datagram].prefix(4).allSatisfy { $0 == 0 }
    }

    /// The packets as they are on the wire: cut into datagrams of `segment` octets of payload where the kernel carried
    /// several as one, with checksums where a network card would have computed them.
    ///
    /// - Parameter segment: 0: it is one packet.
    package func packets(segment: Int, lacksChecksum: Bool) -> [[UInt8]] {
        guard let datagram else { return [octets] }
        guard segment > 0, segment < datagram.count else {
            return lacksChecksum ? [rewritten(octets[datagram], number: 0)] : [octets]
        }
        return stride(from: datagram.lowerBound, to: datagram.upperBound, by: segment).enumerated().map {
            rewritten(octets[$0.element..<min($0.element + segment, datagram.upperBound)], number: $0.offset)
        }
    }

    /// The headers with another payload of UDP.
    private func rewritten(_ payload: ArraySlice<UInt8>, number: Int) -> [UInt8] {
        var packet = Array(octets[..<(transport + 8)]) + payload
        packet.overwrite(bigEndian: UInt16(truncatingIfNeeded: payload.count + 8), at: transport + 4)
        packet.overwrite(bigEndian: 0 as UInt16, at: transport + 6)
        if source.family == .v4 {
            packet.overwrite(bigEndian: UInt16(truncatingIfNeeded: packet.count), at: 2)
            // Each packet has the next identification.
            let identification = UInt16(packet[4]) << 8 | UInt16(packet[5])
            packet.overwrite(bigEndian: identification &+ UInt16(truncatingIfNeeded: number), at: 4)
            packet.overwrite(bigEndian: 0 as UInt16, at: 10)
            packet.overwrite(bigEndian: InternetSum.of(packet[..<transport]), at: 10)
        } else {
            packet.overwrite(bigEndian: UInt16(truncatingIfNeeded: packet.count - 40), at: 4)
        }
        var summed = source.octets + destination.octets
        summed.append(bigEndian: UInt32(payload.count + 8))
        summed.append(bigEndian: 17 as UInt32)
        let sum = InternetSum.of((summed + packet[transport...])[...])
        packet.overwrite(bigEndian: sum == 0 ? 0xFFFF : sum, at: transport + 6)
        return packet
    }
}

/// The Internet checksum (RFC 1071).
enum InternetSum {
    static func of(_ octets: ArraySlice<UInt8>) -> UInt16 {
        var sum: UInt64 = 0
        for index in stride(from: octets.startIndex, to: octets.endIndex, by: 2) {
            let low = index + 1 < octets.endIndex ? UInt64(octets[index + 1]) : 0
            sum += UInt64(octets[index]) << 8 | low
        }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        return ~UInt16(truncatingIfNeeded: sum)
    }
}
