import DataPlane
import IPsec
import Primitives
import Testing

/// IPComp inside ESP and AH (RFC 3173).
@Suite struct CompressionTests {
    /// A payload that DEFLATE cannot shrink.
    private func noise(_ count: Int) -> [UInt8] {
        var random = Randomness.seeded(3)
        return Array(packet(payload: 0)) + random.octets(count)
    }

    private func sized(_ octets: [UInt8]) -> [UInt8] {
        var octets = octets
        octets.overwrite(bigEndian: UInt16(octets.count), at: 2)
        return octets
    }

    @Test func shrinksWhatCanShrink() throws {
        let (west, east) = engines(AssociationPair().compressed())
        let (plain, _) = engines(AssociationPair())
        let inner = sized(packet(payload: 0) + [UInt8](repeating: 7, count: 1200))
        let esp = try octets(west.seal(inner))
        #expect(esp.count < 120)
        #expect(try octets(plain.seal(inner)).count > 1200)
        #expect(east.open(esp).packet == inner)
    }

    @Test func leavesTheRestAsItIs() throws {
        let (west, east) = engines(AssociationPair().compressed())
        let inner = sized(noise(1000))
        for _ in 0..<50 {
            let esp = try octets(west.seal(inner))
            #expect(esp.count <= inner.count + 44)
            #expect(east.open(esp).packet == inner)
        }
        let short = packet(payload: 20)
        #expect(east.open(try octets(west.seal(short))).packet == short)
    }

    @Test func worksInTransportModeAndUnderAH() throws {
        let selectors = AssociationPair(westSelectors: [westHost], eastSelectors: [eastHost])
        let inner = sized(packet(from: "192.0.2.1", to: "192.0.2.2", payload: 0) + [UInt8](repeating: 7, count: 900))
        let (west, east) = engines(selectors.inTransportMode().compressed().changed { $0.udpEncapsulation = false })
        let esp = try octets(west.seal(inner))
        #expect(esp.count < 120)
        #expect(try #require(east.open(esp).packet).dropFirst(20).elementsEqual(inner.dropFirst(20)))

        let (outer, inside) = engines(AssociationPair().headerOnly().compressed())
        let tunnelled = sized(packet(payload: 0) + [UInt8](repeating: 7, count: 900))
        let header = try octets(outer.seal(tunnelled))
        #expect(header[20] == 108)
        #expect(header.count < 160)
        #expect(inside.openHeader(header).packet == tunnelled)
    }

    @Test func refusesAnotherIndexAndDamagedStreams() throws {
        let inner = sized(packet(payload: 0) + [UInt8](repeating: 7, count: 900))
        let (west, _) = engines(AssociationPair().compressed(9))
        let east = InlineEngine()
        east.install(AssociationPair().compressed(10).east)
        #expect(east.open(try octets(west.seal(inner))) == .dropped(.compressionInvalid))
        let without = InlineEngine()
        without.install(AssociationPair().east)
        #expect(without.open(try octets(west.seal(inner))) == .dropped(.nextHeader))
    }

    /// A peer's small packet that would become gigabytes ends at the size of an IP packet.
    @Test func boundsWhatAPacketBecomes() throws {
        let (west, east) = engines(AssociationPair(suites[0]).compressed())
        let large = sized(packet(payload: 0) + [UInt8](repeating: 0, count: 65_000))
        #expect(east.open(try octets(west.seal(large))).packet == large)
    }
}
