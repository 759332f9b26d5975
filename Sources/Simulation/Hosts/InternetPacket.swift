package import Primitives

/// An IPv4 packet of one host to another, as far as the in-process hosts need it: no options, no fragments.
package struct InternetPacket: Hashable, Sendable {
    package var source: IPAddress
    package var destination: IPAddress
    /// 1 ICMP, 6 TCP, 17 UDP.
    package var ipProtocol: UInt8
    package var body: [UInt8]

    package init(source: IPAddress, destination: IPAddress, ipProtocol: UInt8, body: [UInt8]) {
        self.source = source
        self.destination = destination
        self.ipProtocol = ipProtocol
        self.body = body
    }

    /// A UDP datagram to the discard port that carries a number.
    init(probe number: UInt64, from source: IPAddress, to destination: IPAddress) {
        var body: [UInt8] = [0, 9, 0, 9, 0, 16, 0, 0]
        body.append(bigEndian: number)
        self.init(source: source, destination: destination, ipProtocol: 17, body: body)
    }

    /// `nil` where the octets are no whole IPv4 packet with a good header checksum.
    package init?(_ octets: [UInt8]) {
        guard octets.count >= 20, octets[0] == 0x45, Checksum.of(octets[..<20]) == 0 else { return nil }
        let total = Int(octets[2]) << 8 | Int(octets[3])
        guard total >= 20, total <= octets.count, let source = IPAddress(octets: octets[12..<16]),
            let destination = IPAddress(octets: octets[16..<20])
        else { return nil }
        self.init(
            source: source, destination: destination, ipProtocol: octets[9], body: Array(octets[20..<total]))
    }

    /// The packet in wire format (RFC 791).
    package var octets: [UInt8] {
        var header: [UInt8] = [0x45, 0]
        header.append(bigEndian: UInt16(truncatingIfNeeded: 20 + body.count))
        header += [0, 0, 0x40, 0, 64, ipProtocol, 0, 0]
        header += source.octets
        header += destination.octets
        header.overwrite(bigEndian: Checksum.of(header[...]), at: 10)
        return header + body
    }

    /// The octets that a TCP or UDP checksum covers besides the body (RFC 9293 §3.1).
    var pseudoHeader: [UInt8] {
        var octets = source.octets + destination.octets + [0, ipProtocol]
        octets.append(bigEndian: UInt16(truncatingIfNeeded: body.count))
        return octets
    }
}

/// The Internet checksum (RFC 1071).
enum Checksum {
    static func of(_ octets: ArraySlice<UInt8>) -> UInt16 {
        var sum: UInt32 = 0
        var index = octets.startIndex
        while index < octets.endIndex {
            let low = index + 1 < octets.endIndex ? octets[index + 1] : 0
            sum += UInt32(octets[index]) << 8 | UInt32(low)
            index += 2
        }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + sum >> 16 }
        return ~UInt16(sum)
    }
}
