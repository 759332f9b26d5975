import DataPlane
import Primitives
import Testing

@testable import Platform

/// Datagrams of UDP that go to the device together, and what the device gives of an application's that stand for several.
@Suite struct DatagramJoiningTests {
    /// An intact datagram.
    private func datagram(
        v6: Bool = false, port: UInt16 = 1000, payload: Int, first: UInt8 = 0, identification: UInt8 = 7,
        trafficClass: UInt8 = 0, hasChecksum: Bool = true
    ) -> [UInt8] {
        var udp: [UInt8] = []
        udp.append(bigEndian: port)
        udp.append(bigEndian: UInt16(53))
        udp.append(bigEndian: UInt16(8 + payload))
        udp += [0, 0] + (0..<payload).map { UInt8(truncatingIfNeeded: $0) &+ first }
        var packet: [UInt8]
        if v6 {
            packet = [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0]
            packet.append(bigEndian: UInt16(udp.count))
            packet += [17, 64] + IPAddress("fd01::1")!.octets + IPAddress("fd02::1")!.octets
        } else {
            packet = [0x45, trafficClass]
            packet.append(bigEndian: UInt16(20 + udp.count))
            packet += [0, identification, 0x40, 0, 64, 17, 0, 0]
            packet += IPAddress("10.1.0.1")!.octets + IPAddress("10.2.0.1")!.octets
        }
        packet += udp
        let ipOctets = v6 ? 40 : 20
        func put(_ sum: UInt16, at index: Int) {
            withUnsafeBytes(of: sum) { packet.replaceSubrange(index..<index + 2, with: $0) }
        }
        if !v6 {
            put(
                packet.withUnsafeBytes { ~InternetChecksum.fold(InternetChecksum.sum($0.baseAddress!, count: 20)) },
                at: 10)
        }
        guard hasChecksum else { return packet }
        let sum = packet.withUnsafeBytes {
            let pseudo = InternetChecksum.pseudoHeader(
                $0.baseAddress!, family: v6 ? .v6 : .v4, ipProtocol: 17, payloadOctets: udp.count)
            return ~InternetChecksum.fold(
                InternetChecksum.sum($0.baseAddress! + ipOctets, count: udp.count, initial: pseudo))
        }
        put(sum == 0 ? 0xFFFF : sum, at: ipOctets + 6)
        return packet
    }

    @Test(arguments: [false, true]) func joinedOnesComeApartAsTheyWere(v6: Bool) throws {
        // The last may be shorter; IPv4 counts its identifications on.
        let sizes = Array(repeating: 300, count: 9) + [41]
        let single = sizes.enumerated().map {
            datagram(v6: v6, payload: $1, first: UInt8($0), identification: UInt8(7 + $0))
        }
        let bench = CoalescerBench()
        single.forEach(bench.add)
        bench.add(single[0])
        bench.flush()
        #expect(bench.written.count == 2, "a shorter one ends what is joined")
        #expect(bench.written[1].packet == single[0])
        let (header, joined) = bench.written[0]
        let ipOctets = v6 ? 40 : 20
        #expect(header.kind == OffloadHeader.datagrams && header.flags == OffloadHeader.needsChecksum)
        #expect(header.segmentOctets == 300 && header.headerOctets == UInt16(ipOctets + 8))
        #expect(header.checksumStart == UInt16(ipOctets) && header.checksumOffset == 6)
        #expect(joined.count == ipOctets + 8 + sizes.reduce(0, +))
        #expect(Int(joined[ipOctets + 4]) << 8 | Int(joined[ipOctets + 5]) == 8 + sizes.reduce(0, +))
        #expect(segments(of: joined, kind: OffloadHeader.datagrams, octets: 300) == single)
    }

    @Test func noMoreThanTheKernelTakes() {
        let bench = CoalescerBench()
        for number in 0..<150 { bench.add(datagram(payload: 10, identification: UInt8(number))) }
        for number in 0..<60 { bench.add(datagram(payload: 1400, identification: UInt8(number))) }
        bench.flush()
        #expect(bench.written.map(\.packet.count) == [668, 668, 248, 28 + 46 * 1400, 28 + 14 * 1400])
    }

    @Test(arguments: ["larger", "other port", "marked", "no checksum", "damaged", "other length"])
    func whatDiffersIsNotJoined(what: String) {
        var second = datagram(
            port: what == "other port" ? 1001 : 1000, payload: what == "larger" ? 101 : 100,
            trafficClass: what == "marked" ? 3 : 0, hasChecksum: what != "no checksum")
        if what == "damaged" { second[60] ^= 1 }
        if what == "other length" { second[25] -= 4 }
        let bench = CoalescerBench()
        let first = datagram(payload: 100)
        bench.add(first)
        bench.add(second)
        bench.flush()
        #expect(bench.written.map(\.packet) == [first, second], "in order, and as they came")
        #expect(bench.written.allSatisfy { $0.header.kind == 0 })
        let isDoubtful = ["no checksum", "damaged", "other length"].contains(what)
        #expect(bench.written[1].header.flags == (isDoubtful ? 0 : OffloadHeader.checksumIsValid))
    }

    @Test func kindsMustFit() {
        let udp = datagram(payload: 100)
        udp.withUnsafeBytes { raw in
            let view = PacketView(raw.baseAddress!, count: raw.count)!
            #expect(
                Segments(raw.baseAddress!, view: view, kind: OffloadHeader.datagrams, segmentOctets: 10)?.count == 10)
            #expect(Segments(raw.baseAddress!, view: view, kind: OffloadHeader.tcpV4, segmentOctets: 10) == nil)
            #expect(Segments(raw.baseAddress!, view: view, kind: OffloadHeader.datagrams, segmentOctets: 0) == nil)
        }
    }
}
