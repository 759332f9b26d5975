import Capture
import Primitives
import Testing

/// Packets of the wire, cut into what the wire carries.
@Suite struct WirePacketTests {
    private static let ends = [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")]

    /// A datagram from its IP header on, whole and right.
    private func datagram(
        _ ends: (String, String), ports: (UInt16, UInt16) = (4500, 4500), _ payload: [UInt8]
    ) throws -> [UInt8] {
        let block = CaptureWriter.packet(
            from: Endpoint(try #require(IPAddress(ends.0)), port: ports.0),
            to: Endpoint(try #require(IPAddress(ends.1)), port: ports.1), payload, time: 0)
        // Behind type, length, interface and times stand the captured and the real length.
        let count = Int(block[20]) | Int(block[21]) << 8
        return Array(block[28..<(28 + count)])
    }

    /// The sum over a part with its checksum in it, which is all ones (RFC 1071).
    private func sum(_ octets: [UInt8]) -> UInt32 {
        var sum: UInt32 = 0
        for index in stride(from: 0, to: octets.count, by: 2) {
            sum += UInt32(octets[index]) << 8 | (index + 1 < octets.count ? UInt32(octets[index + 1]) : 0)
        }
        while sum > 0xFFFF { sum = (sum & 0xFFFF) + (sum >> 16) }
        return sum
    }

    private func expectRight(_ packet: [UInt8], payload: [UInt8]) {
        let isV4 = packet[0] >> 4 == 4
        let header = isV4 ? 20 : 40
        let length = Int(packet[isV4 ? 2 : 4]) << 8 | Int(packet[isV4 ? 3 : 5])
        #expect(length == (isV4 ? packet.count : packet.count - 40))
        if isV4 { #expect(sum(Array(packet[..<20])) == 0xFFFF) }
        let udp = Array(packet[header...])
        #expect(Int(udp[4]) << 8 | Int(udp[5]) == udp.count)
        var pseudo = Array(packet[(isV4 ? 12 : 8)..<header])
        pseudo += [0, 0, UInt8(udp.count >> 8), UInt8(udp.count & 0xFF), 0, 0, 0, 17]
        #expect(sum(pseudo + udp) == 0xFFFF)
        #expect(Array(udp[8...]) == payload)
    }

    @Test(arguments: ends) func whatTheKernelCarriesAsOneIsCut(_ ends: (String, String)) throws {
        let payload = (0..<2500).map { UInt8(truncatingIfNeeded: $0) }
        let packet = try #require(WirePacket(try datagram(ends, payload)))
        let parts = packet.packets(segment: 1000, lacksChecksum: true)
        #expect(parts.count == 3)
        for (index, part) in parts.enumerated() {
            expectRight(part, payload: Array(payload[(index * 1000)..<min(2500, (index + 1) * 1000)]))
        }
        if packet.source.family == .v4 { #expect(Set(parts.map { [$0[4], $0[5]] }).count == 3) }
    }

    @Test(arguments: ends) func whatIsOnePacketStaysSo(_ ends: (String, String)) throws {
        let octets = try datagram(ends, Array(repeating: 7, count: 99))
        let padded = try #require(WirePacket(octets + [0, 0, 0, 0, 0]))
        #expect(padded.packets(segment: 0, lacksChecksum: false) == [octets])
        #expect(padded.packets(segment: 99, lacksChecksum: false) == [octets])
        var spoilt = octets
        spoilt[octets.count - 99 - 1] ^= 0x55
        let mended = try #require(WirePacket(spoilt)).packets(segment: 0, lacksChecksum: true)
        #expect(mended.count == 1)
        expectRight(mended[0], payload: Array(repeating: 7, count: 99))
    }

    @Test func exchangesAreTold() throws {
        func isExchange(_ ports: (UInt16, UInt16), _ payload: [UInt8]) throws -> Bool {
            try #require(WirePacket(try datagram(Self.ends[0], ports: ports, payload))).isExchange
        }
        let message = [UInt8](repeating: 1, count: 28)
        #expect(try isExchange((500, 500), message))
        #expect(try isExchange((40_000, 500), message))
        #expect(try isExchange((4500, 20_001), [0, 0, 0, 0] + message))
        // ESP, and a keepalive.
        #expect(try !isExchange((4500, 4500), message + message))
        #expect(try !isExchange((4500, 4500), [0xFF]))
    }

    @Test func whatIsNoPacketIsNone() throws {
        let octets = try datagram(Self.ends[1], [1, 2, 3])
        for count in 0..<40 { #expect(WirePacket(Array(octets[..<count])) == nil) }
        #expect(WirePacket([0x45] + [UInt8](repeating: 0, count: 18)) == nil)
        #expect(WirePacket([0x4F] + [UInt8](repeating: 0, count: 30)) == nil)
        #expect(WirePacket([0x00, 0x01] + [UInt8](repeating: 0, count: 60)) == nil)
        // Cut off within UDP's header: what there is stays as it is.
        let cut = try #require(WirePacket(Array(octets[..<45])))
        #expect(cut.packets(segment: 10, lacksChecksum: true) == [Array(octets[..<45])])
    }
}
