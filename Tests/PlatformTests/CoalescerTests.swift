import CPlatform
import DataPlane
import Primitives
import Testing

@testable import Platform

/// What a coalescer makes of packets.
final class CoalescerBench {
    /// What was written: the offload header and the octets behind it.
    private(set) var written: [(header: OffloadHeader, packet: [UInt8])] = []
    private var buffers: [UnsafeMutableRawBufferPointer] = []
    private var coalescer: Coalescer?

    init() {
        coalescer = Coalescer(joinsDatagrams: true) { [unowned self] parts, count, _ in
            let octets = (0..<count).flatMap {
                Array(UnsafeRawBufferPointer(start: parts[$0].base, count: parts[$0].count))
            }
            let header = octets.withUnsafeBytes { OffloadHeader($0.baseAddress!) }
            written.append((header, Array(octets[OffloadHeader.octets...])))
        }
    }

    deinit { buffers.forEach { $0.deallocate() } }

    func add(_ packet: [UInt8]) {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: packet.count, alignment: 16)
        buffer.copyBytes(from: packet)
        buffers.append(buffer)
        coalescer!.add(buffer.baseAddress!, view: PacketView(buffer.baseAddress!, count: packet.count)!)
    }

    func flush() { coalescer!.flush() }
}

/// An intact TCP packet.
private func segment(
    v6: Bool = false, port: UInt16 = 1000, sequence: UInt32 = 1, payload: Int, flags: UInt8 = 0x10,
    acknowledgement: UInt32 = 77, options: [UInt8] = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], trafficClass: UInt8 = 0
) -> [UInt8] {
    var tcp: [UInt8] = []
    tcp.append(bigEndian: port)
    tcp.append(bigEndian: UInt16(80))
    tcp.append(bigEndian: sequence)
    tcp.append(bigEndian: acknowledgement)
    tcp += [UInt8(((20 + options.count) / 4) << 4), flags, 1, 0, 0, 0, 0, 0] + options
    tcp += (0..<payload).map { UInt8(truncatingIfNeeded: UInt32($0) &+ sequence) }
    var packet: [UInt8]
    if v6 {
        packet = [0x60 | trafficClass >> 4, trafficClass << 4, 0, 0]
        packet.append(bigEndian: UInt16(tcp.count))
        packet += [6, 64] + IPAddress("fd01::1")!.octets + IPAddress("fd02::1")!.octets
    } else {
        packet = [0x45, trafficClass]
        packet.append(bigEndian: UInt16(20 + tcp.count))
        packet += [0, 7, 0x40, 0, 64, 6, 0, 0] + IPAddress("10.1.0.1")!.octets + IPAddress("10.2.0.1")!.octets
    }
    packet += tcp
    let ipOctets = v6 ? 40 : 20
    func put(_ sum: UInt64, at index: Int) {
        let folded = ~InternetChecksum.fold(sum)
        withUnsafeBytes(of: folded) {
            packet[index] = $0[0]; packet[index + 1] = $0[1]
        }
    }
    if !v6 { put(packet.withUnsafeBytes { InternetChecksum.sum($0.baseAddress!, count: 20) }, at: 10) }
    put(
        packet.withUnsafeBytes {
            let pseudo = InternetChecksum.pseudoHeader(
                $0.baseAddress!, family: v6 ? .v6 : .v4, ipProtocol: 6, payloadOctets: tcp.count)
            return InternetChecksum.sum($0.baseAddress! + ipOctets, count: tcp.count, initial: pseudo)
        }, at: ipOctets + 16)
    return packet
}

/// The segments of a packet as the device hands it over.
func segments(of packet: [UInt8], kind: UInt8 = OffloadHeader.tcpV4, octets: Int) -> [[UInt8]] {
    packet.withUnsafeBytes { raw in
        let view = PacketView(raw.baseAddress!, count: raw.count)!
        let segments = Segments(raw.baseAddress!, view: view, kind: kind, segmentOctets: octets)!
        return (0..<segments.count).map { index in
            var target = [UInt8](repeating: 0, count: segments.octets(index))
            target.withUnsafeMutableBytes { segments.write(index, to: $0.baseAddress!) }
            return target
        }
    }
}

@Suite struct CoalescerTests {
    @Test(arguments: [false, true], [1000, 3000, 3001, 40_000, 64_000])
    func segmentsAndJoinsAreInverse(v6: Bool, payload: Int) throws {
        let whole = segment(v6: v6, payload: payload, flags: 0x18)
        let parts = segments(of: whole, octets: 1000)
        #expect(parts.count == (payload + 999) / 1000)
        for (index, part) in parts.enumerated() {
            let expected = segment(
                v6: v6, sequence: 1 + UInt32(index * 1000), payload: min(1000, payload - index * 1000),
                flags: index == parts.count - 1 ? 0x18 : 0x10)
            // Identification counts on, and the header's checksum with it.
            #expect(part[(v6 ? 0 : 12)...] == expected[(v6 ? 0 : 12)...])
        }
        let bench = CoalescerBench()
        parts.forEach(bench.add)
        bench.flush()
        try #require(bench.written.count == 1)
        var (header, joined) = bench.written[0]
        let ipOctets = v6 ? 40 : 20
        if parts.count > 1 {
            #expect(header.kind == (v6 ? OffloadHeader.tcpV6 : OffloadHeader.tcpV4))
            #expect(header.flags == OffloadHeader.needsChecksum)
            #expect(header.segmentOctets == 1000)
            #expect(header.headerOctets == UInt16(ipOctets + 32))
            let completed = joined.withUnsafeMutableBytes {
                header.completeChecksum($0.baseAddress!, count: $0.count)
            }
            #expect(completed)
        } else {
            #expect(header.kind == 0)
        }
        #expect(joined == whole)
    }

    @Test func foreignPacketsPassBetween() {
        let bench = CoalescerBench()
        let udp = packet(from: "10.1.0.1", to: "10.2.0.1", payload: 9)
        bench.add(segment(payload: 100))
        bench.add(udp)
        bench.add(segment(port: 2000, payload: 100))
        bench.add(segment(sequence: 101, payload: 100))
        #expect(bench.written.map(\.packet) == [udp])
        bench.flush()
        #expect(bench.written.count == 3)
        #expect(bench.written[1].packet.count == 20 + 32 + 200)
        #expect(bench.written[2].packet == segment(port: 2000, payload: 100))
        #expect(bench.written[2].header.flags == OffloadHeader.checksumIsValid)
    }

    @Test(arguments: [
        ("a gap", segment(sequence: 102, payload: 100)),
        ("a larger one", segment(sequence: 101, payload: 101)),
        ("another acknowledgement", segment(sequence: 101, payload: 100, acknowledgement: 78)),
        ("other options", segment(sequence: 101, payload: 100, options: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 3])),
        ("fewer options", segment(sequence: 101, payload: 100, options: [])),
        ("a congestion mark", segment(sequence: 101, payload: 100, trafficClass: 3)),
        ("an end", segment(sequence: 101, payload: 100, flags: 0x11)),
        ("urgency", segment(sequence: 101, payload: 100, flags: 0x30)),
        ("a bare acknowledgement", segment(sequence: 101, payload: 0)),
    ])
    func whatDiffersIsNotJoined(what: String, second: [UInt8]) {
        let bench = CoalescerBench()
        bench.add(segment(payload: 100))
        bench.add(second)
        bench.flush()
        #expect(bench.written.map(\.packet) == [segment(payload: 100), second], "in order")
        #expect(bench.written.allSatisfy { $0.header.kind == 0 })
    }

    /// A packet whose checksum is wrong must reach its receiver with it.
    @Test(arguments: [10, 36, 60])
    func damagedPacketsAreNotMended(index: Int) {
        let bench = CoalescerBench()
        var damaged = segment(sequence: 101, payload: 100)
        damaged[index] ^= 0x40
        bench.add(segment(payload: 100))
        bench.add(damaged)
        bench.add(segment(sequence: 201, payload: 100))
        bench.flush()
        #expect(bench.written.map(\.packet) == [segment(payload: 100), damaged, segment(sequence: 201, payload: 100)])
        #expect(bench.written[1].header.flags == 0)
    }

    @Test func manyFlowsAndSegmentsStayWithinTheirRoom() {
        let bench = CoalescerBench()
        for round in 0..<70 {
            for flow in 0..<8 {
                bench.add(segment(port: UInt16(flow), sequence: UInt32(1 + round * 10), payload: 10))
            }
        }
        bench.flush()
        #expect(bench.written.count == 16, "64 segments, then 6, of eight flows")
        #expect(bench.written.reduce(0) { $0 + $1.packet.count - 52 } == 70 * 8 * 10)
        let others = CoalescerBench()
        for flow in 0..<20 { others.add(segment(port: UInt16(flow), payload: 10)) }
        #expect(others.written.count == 12, "eight wait")
        others.flush()
        #expect(others.written.count == 20)
    }

    /// What is whole waits for what else comes of its flow, in order, and for no more than there is room for.
    @Test func wholeOnesAreWrittenTogether() {
        let bench = CoalescerBench()
        bench.add(segment(payload: 100))
        bench.add(segment(sequence: 101, payload: 100, flags: 0x18))
        bench.add(segment(sequence: 201, payload: 100))
        bench.add(segment(sequence: 301, payload: 40))
        bench.add(segment(sequence: 341, payload: 100, flags: 0x18))
        #expect(bench.written.isEmpty)
        bench.flush()
        #expect(bench.written.map { $0.packet.count - 52 } == [200, 140, 100])
        #expect(bench.written.map { $0.packet[33] } == [0x18, 0x10, 0x18], "PSH where it was")

        let many = CoalescerBench()
        for number in 0..<9 {
            let first = UInt32(1 + number * 150)
            many.add(segment(sequence: first, payload: 100))
            many.add(segment(sequence: first + 100, payload: 50))
        }
        #expect(many.written.count == 8)
        many.flush()
        #expect(many.written.count == 9)
    }

    /// What may not wait goes behind all that its flow has waiting, whole or not, and nothing else need go.
    @Test func urgentOnesKeepTheirPlace() {
        let bench = CoalescerBench()
        bench.add(segment(payload: 100))
        bench.add(segment(sequence: 101, payload: 50))
        bench.add(segment(sequence: 151, payload: 100))
        bench.add(segment(port: 2000, payload: 100))
        bench.add(segment(sequence: 251, payload: 0, flags: 0x11))
        #expect(bench.written.map { $0.packet.count - 52 } == [150, 100, 0])
        bench.flush()
        #expect(bench.written.count == 4)
    }
}
