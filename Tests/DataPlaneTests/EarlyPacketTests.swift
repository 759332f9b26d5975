import IPsec
import Primitives
import Testing

@testable import DataPlane

/// Packets that came before their SA wait few and briefly, and strangers' not at all.
@Suite struct EarlyPacketTests {
    private let from = Endpoint(IPAddress("192.0.2.1")!, port: 4500)
    private let now = Instant(nanoseconds: 0)

    private func esp(_ spi: UInt32, octets: Int = 100, number: UInt8 = 1) -> [UInt8] {
        var packet: [UInt8] = []
        packet.append(bigEndian: spi)
        return packet + [0, 0, 0, number] + [UInt8](repeating: number, count: octets - 8)
    }

    private func keep(_ early: inout EarlyPackets, _ packet: [UInt8], at: Instant? = nil) -> Int? {
        packet.withUnsafeBytes {
            let spi = SPI($0.loadUnaligned(as: UInt32.self).bigEndian)
            return early.keep($0, of: spi, from: from, trafficClass: 3, now: at ?? now)
        }
    }

    @Test func onlyOfferedSPIsAreWaitedFor() {
        var early = EarlyPackets()
        #expect(keep(&early, esp(7)) == nil)
        early.expect(SPI(7))
        #expect(keep(&early, esp(7, number: 1)) == 0)
        #expect(keep(&early, esp(8)) == nil)
        #expect(keep(&early, esp(7, number: 2)) == 0)
        let taken = early.take(SPI(7), now: now)
        #expect(taken.packets.map { $0.octets[7] } == [1, 2])
        #expect(taken.packets.allSatisfy { $0.from == from && $0.trafficClass == 3 } && taken.lapsed == 0)
        // Its SA is there: what has no SA any more was not early.
        #expect(keep(&early, esp(7)) == nil)
        #expect(early.take(SPI(7), now: now).packets.isEmpty)
    }

    @Test func whatWaitsTooLongGoes() {
        var early = EarlyPackets()
        early.expect(SPI(7))
        early.expect(SPI(8))
        #expect(keep(&early, esp(7)) == 0)
        #expect(keep(&early, esp(8), at: now + .seconds(2)) == 0)
        #expect(keep(&early, esp(8), at: now + .seconds(4)) == 1)
        let taken = early.take(SPI(8), now: now + .seconds(6))
        #expect(taken.packets.count == 1 && taken.lapsed == 1)
    }

    @Test func memoryIsBounded() {
        var early = EarlyPackets()
        early.expect(SPI(7))
        var kept = 0
        while keep(&early, esp(7, octets: 60)) != nil, kept < 10_000 { kept += 1 }
        #expect(kept == EarlyPackets.packetMaximum)
        #expect(early.take(SPI(7), now: now).packets.count == kept)
        early.expect(SPI(8))
        kept = 0
        while keep(&early, esp(8, octets: 60_000)) != nil, kept < 10_000 { kept += 1 }
        #expect(kept == EarlyPackets.octetMaximum / 60_000)
        // Offers that come to nothing make room for others.
        for spi in 0..<UInt32(3 * EarlyPackets.expectedMaximum) { early.expect(SPI(1000 + spi)) }
        #expect(keep(&early, esp(1000)) == nil)
        _ = early.take(SPI(8), now: now)
        #expect(keep(&early, esp(1000 + UInt32(3 * EarlyPackets.expectedMaximum) - 1)) == 0)
    }

    /// Packets with AH wait as well: alone, and around ESP, where the SPI that is seen first is AH's.
    @Test(arguments: [AssociationPair().headerOnly(), AssociationPair().withHeader()])
    func headersWait(pair: AssociationPair) throws {
        let west = InlineEngine()
        west.install(pair.west)
        let inner = (1...3).map { packet(payload: $0) }
        var outer = try inner.map { try octets(west.seal($0)) }
        let drops = DropCounters()
        let plane = InboundPlane(drops: drops) { _ in }
        func open(_ packet: inout [UInt8]) -> [UInt8]? {
            packet.withUnsafeMutableBytes { octets in
                guard let base = octets.baseAddress else { return nil }
                let outcome = plane.openHeader(base, count: octets.count, from: westEndpoint, now: now)
                guard case .opened(let opened) = outcome else { return nil }
                return Array(UnsafeRawBufferPointer(start: opened.packet, count: opened.view.octets))
            }
        }
        // Nobody has offered it yet.
        #expect(open(&outer[0]) == nil && drops[.unknownSPI] == 1)
        plane.expectHeader(pair.east.authenticationHeader?.spi ?? pair.east.spi)
        #expect(open(&outer[0]) == nil && open(&outer[1]) == nil && drops[.unknownSPI] == 1)
        plane.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        let early = plane.takeEarly(pair.east, now: now)
        #expect(early.packets.isEmpty && early.headers.count == 2)
        for (index, packet) in early.headers.enumerated() {
            var octets = packet.octets
            #expect(open(&octets) == inner[index])
            plane.forgetPackets()
        }
        #expect(open(&outer[2]) == inner[2])
    }
}
