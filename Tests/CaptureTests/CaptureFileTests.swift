import Capture
import Foundation
import Primitives
import Testing

@Suite struct CaptureFileTests {
    static func octets(_ name: String) throws -> [UInt8] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return Array(try Data(contentsOf: folder.appending(path: "Captures/\(name)")))
    }

    static func packets(_ name: String) throws -> [CapturedPacket] {
        PacketReader.packets(of: try CaptureFile(try octets(name)))
    }

    /// IKE messages, ESP packets, AH packets and keepalives, as tshark counts them.
    @Test(arguments: [
        ("ISAKMP_sa_setup.pcap", 9, 0, 0, 0), ("ikev1-isakmp-main-mode.pcap", 9, 0, 0, 0),
        ("ikev2four.pcap", 21, 0, 0, 0), ("ikev2pI2.pcap", 2, 0, 0, 0), ("isakmp4500.pcap", 15, 8, 0, 4),
        ("02-sunrise-sunset-esp.pcap", 0, 8, 0, 0), ("OSPFv3_with_AH.pcap", 0, 0, 61, 0),
        ("isakmp-no-none-np.pcapng", 1, 0, 0, 0), ("isakmpv1-attr-oobr.pcap", 1, 0, 0, 0),
    ])
    func packetsAreFound(name: String, ike: Int, esp: Int, ah: Int, keepalives: Int) throws {
        var counts = [0, 0, 0, 0]
        for packet in try CaptureFileTests.packets(name) {
            switch packet.kind {
            case .ike: counts[0] += 1
            case .esp: counts[1] += 1
            case .ah: counts[2] += 1
            case .keepalive: counts[3] += 1
            case .fragment, .other, .broken: break
            }
        }
        #expect(counts == [ike, esp, ah, keepalives])
    }

    @Test func endsAndTimesAreTold() throws {
        let first = try #require(try CaptureFileTests.packets("ikev1-isakmp-main-mode.pcap").first)
        #expect(first.source == Endpoint(IPAddress(v4: 0xC0A8_0C01), port: 500))
        #expect(first.destination == Endpoint(IPAddress(v4: 0xC0A8_0C02), port: 500))
        #expect(first.time == 1_439_117_415_368_374_000)
    }

    @Test func theOtherByteOrderReadsTheSame() throws {
        let octets = try CaptureFileTests.octets("ikev2pI2.pcap")
        var swapped = octets
        func swap(_ range: Range<Int>) { swapped.replaceSubrange(range, with: octets[range].reversed()) }
        swap(0..<4)
        swap(4..<6)
        swap(6..<8)
        for field in stride(from: 8, to: 24, by: 4) { swap(field..<(field + 4)) }
        let isLittle = octets[0] == 0xD4
        var offset = 24
        while offset + 16 <= octets.count {
            let length = octets[(offset + 8)..<(offset + 12)]
            let count = (isLittle ? Array(length.reversed()) : Array(length)).reduce(0) { $0 << 8 | Int($1) }
            for field in stride(from: offset, to: offset + 16, by: 4) { swap(field..<(field + 4)) }
            offset += 16 + count
        }
        #expect(try CaptureFile(swapped).frames == CaptureFile(octets).frames)
        #expect(swapped != octets)
    }

    @Test func whatIsNoCaptureIsRefused() {
        for octets: [UInt8] in [[], [1, 2, 3], Array("not a capture at all".utf8)] {
            #expect(throws: ParseError.self) { try CaptureFile(octets) }
        }
    }

    @Test func everyTruncationKeepsWhatWasWhole() throws {
        for name in ["ikev2pI2.pcap", "isakmp-no-none-np.pcapng"] {
            let octets = try CaptureFileTests.octets(name)
            let whole = try CaptureFile(octets)
            for count in 24..<octets.count {
                guard let file = try? CaptureFile(Array(octets[..<count])) else { continue }
                #expect(file.frames.count <= whole.frames.count)
                #expect(Array(whole.frames.prefix(file.frames.count)) == file.frames)
            }
        }
    }

    @Test func fragmentsArePutTogether() throws {
        var message: [UInt8] = [1, 0xF4, 1, 0xF4, 0, 108, 0, 0]
        message += (0..<100).map { UInt8($0) }
        func frame(_ part: ArraySlice<UInt8>, offset: Int, more: Bool) -> [UInt8] {
            var octets: [UInt8] = [0x45, 0]
            octets.append(bigEndian: UInt16(20 + part.count))
            octets += [0, 7]
            octets.append(bigEndian: UInt16(offset / 8) | (more ? 0x2000 : 0))
            return octets + [64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2] + part
        }
        let parts = [frame(message[..<48], offset: 0, more: true), frame(message[48...], offset: 48, more: false)]
        for order in [[0, 1], [1, 0]] {
            var octets: [UInt8] =
                [0xA1, 0xB2, 0xC3, 0xD4, 0, 2, 0, 4] + [UInt8](repeating: 0, count: 11) + [0] + [0, 0, 0, 101]
            for index in order {
                octets += [0, 0, 0, 0, 0, 0, 0, 0]
                for _ in 0..<2 { octets.append(bigEndian: UInt32(parts[index].count)) }
                octets += parts[index]
            }
            let packets = PacketReader.packets(of: try CaptureFile(octets))
            #expect(packets.map(\.kind) == [.fragment, .ike(Array(message[8...]))])
        }
    }

    /// A raw-IP capture of fragments of one UDP packet between two hosts: where each begins, its octets, whether more follow.
    private static func capture(_ fragments: [(offset: Int, octets: [UInt8], more: Bool)]) throws -> [CapturedPacket] {
        var octets: [UInt8] =
            [0xA1, 0xB2, 0xC3, 0xD4, 0, 2, 0, 4] + [UInt8](repeating: 0, count: 11) + [0] + [0, 0, 0, 101]
        for fragment in fragments {
            octets += [UInt8](repeating: 0, count: 8)
            for _ in 0..<2 { octets.append(bigEndian: UInt32(20 + fragment.octets.count)) }
            octets += [0x45, 0]
            octets.append(bigEndian: UInt16(20 + fragment.octets.count))
            octets += [0, 7]
            octets.append(bigEndian: UInt16(fragment.offset / 8) | (fragment.more ? 0x2000 : 0))
            octets += [64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2] + fragment.octets
        }
        return PacketReader.packets(of: try CaptureFile(octets))
    }

    /// The last fragment first, 8,000 of them: put together at each one this took seconds.
    @Test func manySmallFragmentsCostLittle() throws {
        let message: [UInt8] = [1, 0xF4, 1, 0xF4, 0xFA, 0, 0, 0] + [UInt8](repeating: 7, count: 63_992)
        let starts = [63_992] + Array(stride(from: 0, to: 63_992, by: 8))
        let parts = starts.map { (offset: $0, octets: Array(message[$0..<($0 + 8)]), more: $0 != 63_992) }
        let packets = try CaptureFileTests.capture(parts)
        #expect(packets.last?.kind == .ike(Array(message[8...])))
        #expect(packets.count { $0.kind == .fragment } == 7_999)
    }

    @Test func fragmentsThatOverlapAreReported() throws {
        let part = [UInt8](repeating: 1, count: 48)
        let packets = try CaptureFileTests.capture([
            (offset: 48, octets: part, more: false), (offset: 0, octets: part, more: true),
        ])
        #expect(packets.count { $0.kind == .fragment } == 1)
        let overlapping = try CaptureFileTests.capture([
            (offset: 48, octets: part, more: false), (offset: 8, octets: part, more: true),
            (offset: 0, octets: part, more: true),
        ])
        #expect(
            overlapping.last?.kind
                == .broken("octet 0: the fragments of a packet do not overlap (RFC 5722 §4)"))
    }

    @Test func aRepeatedFragmentChangesNothing() throws {
        let message: [UInt8] = [1, 0xF4, 1, 0xF4, 0, 96, 0, 0] + [UInt8](repeating: 9, count: 88)
        let first = (offset: 0, octets: Array(message[..<48]), more: true)
        let packets = try CaptureFileTests.capture([
            first, first, (offset: 48, octets: Array(message[48...]), more: false),
        ])
        #expect(packets.map(\.kind) == [.fragment, .fragment, .ike(Array(message[8...]))])
    }
}
