import Capture
import Foundation
import Glibc
import Primitives
import Testing

@testable import parley

/// What a capture takes, and where it ends.
@Suite struct CaptureCommandTests {
    private func packet(_ source: String, _ destination: String, isExchange: Bool = true) throws -> WirePacket {
        let block = CaptureWriter.packet(
            from: Endpoint(try #require(IPAddress(source)), port: isExchange ? 500 : 4500),
            to: Endpoint(try #require(IPAddress(destination)), port: isExchange ? 500 : 4500),
            [UInt8](repeating: 1, count: 40), time: 0)
        return try #require(WirePacket(Array(block[28...])))
    }

    @Test func peersAreChosenByEitherEnd() throws {
        let wanted = try #require(IPAddress("192.0.2.9"))
        let filter = PeerFilter(peers: [wanted])
        #expect(filter.verdict(try packet("192.0.2.9", "192.0.2.1")) == .take)
        #expect(filter.verdict(try packet("192.0.2.1", "192.0.2.9", isExchange: false)) == .take)
        #expect(filter.verdict(try packet("192.0.2.1", "192.0.2.8")) == .leave)
        #expect(PeerFilter(peers: nil).verdict(try packet("192.0.2.1", "192.0.2.8")) == .take)
    }

    @Test func firstMessagesOfAConnectionWaitUntilItsPeerIsKnown() throws {
        var filter = PeerFilter(peers: nil, connectionPeers: [])
        let (first, other) = (try packet("192.0.2.9", "192.0.2.1"), try packet("192.0.2.8", "192.0.2.1"))
        #expect(filter.verdict(first) == .hold)
        #expect(filter.verdict(try packet("192.0.2.9", "192.0.2.1", isExchange: false)) == .leave)
        filter.hold([1], of: first)
        filter.hold([2], of: other)
        filter.hold([3], of: first)
        #expect(filter.release() == [])
        filter.connectionPeers = [try #require(IPAddress("192.0.2.9"))]
        #expect(filter.release() == [[1], [3]])
        #expect(filter.release() == [])
        #expect(filter.verdict(first) == .take)
        // A flood of strangers costs no more than so many.
        for number in 0..<1000 { filter.hold([UInt8(truncatingIfNeeded: number)], of: other) }
        filter.connectionPeers = [try #require(IPAddress("192.0.2.8"))]
        #expect(filter.release().count == 128)
    }

    @Test(
        arguments: [
            ("4096", 4096), ("500k", 512_000), ("2M", 2_097_152), ("1g", 1_073_741_824), ("100", nil), ("1kk", nil),
            ("-5m", nil), ("m", nil), ("99999999999999999g", nil),
        ] as [(String, Int?)]) func sizesAreRead(_ text: String, _ octets: Int?)
    {
        #expect(CaptureBounds.octets(text) == octets)
    }

    @Test func filesEndAtTheirBounds() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("capture-\(UUID().uuidString)").path
        defer { unlink(path) }
        func count(_ bounds: CaptureBounds) throws -> (packets: Int, octets: Int, isFull: Bool) {
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            defer { close(descriptor) }
            var sink = CaptureSink(descriptor: descriptor, path: path, bounds: bounds)
            sink.begin(CaptureWriter.beginning)
            for _ in 0..<10 { sink.add([UInt8](repeating: 0, count: 1000)) }
            try sink.flush()
            return (sink.packets, try Data(contentsOf: URL(fileURLWithPath: path)).count, sink.isDone)
        }
        let beginning = CaptureWriter.beginning.count
        #expect(try count(CaptureBounds(packets: 3, octets: .max)) == (3, beginning + 3000, true))
        #expect(try count(CaptureBounds(packets: nil, octets: beginning + 4500)) == (4, beginning + 4000, true))
        #expect(try count(CaptureBounds(packets: nil, octets: .max, seconds: 3600)) == (10, beginning + 10_000, false))
    }

    @Test(arguments: [
        ["capture", "f", "--opened", "--secrets", "d"], ["capture", "f", "--opened", "--peer", "192.0.2.1"],
        ["capture", "f", "--count", "0"], ["capture", "f", "--max-size", "12"], ["capture", "f", "--seconds", "0"],
        ["capture"],
    ]) func whatMakesNoSenseIsRefused(_ arguments: [String]) {
        #expect(throws: (any Error).self) { try Parley.parseAsRoot(arguments) }
    }
}
