import Capture
import Primitives
import Testing

@Suite struct CaptureWriterTests {
    @Test(arguments: [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")])
    func whatIsWrittenReadsBack(_ left: String, _ right: String) throws {
        let source = Endpoint(try #require(IPAddress(left)), port: 500)
        let destination = Endpoint(try #require(IPAddress(right)), port: 500)
        var message = [UInt8](repeating: 0, count: 28)
        message[0] = 1
        message[17] = 0x20
        message[27] = 28
        let time: UInt64 = 1_700_000_000_123_456_789
        var octets = CaptureWriter.beginning
        octets += CaptureWriter.packet(from: source, to: destination, message, time: time, comment: "first")
        octets += CaptureWriter.packet(from: destination, to: source, message, time: time + 1)
        let file = try CaptureFile(octets)
        #expect(file.problem == nil)
        let packets = PacketReader.packets(of: file)
        #expect(packets.map(\.source) == [source, destination])
        #expect(packets.map(\.time) == [time, time + 1])
        for packet in packets {
            guard case .ike = packet.kind else {
                Issue.record("\(packet.kind)")
                continue
            }
        }
    }

    @Test func lengthsAreMultiplesOfFour() throws {
        let address = try #require(IPAddress("192.0.2.1"))
        for count in 0..<9 {
            let block = CaptureWriter.packet(
                from: Endpoint(address, port: 1), to: Endpoint(address, port: 2), [UInt8](repeating: 7, count: count),
                time: 0, comment: String(repeating: "x", count: count))
            #expect(block.count % 4 == 0)
            #expect(block[4..<8] == block.suffix(4))
        }
    }
}
