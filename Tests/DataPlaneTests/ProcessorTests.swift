import IPsec
import Primitives
import Testing

@testable import DataPlane

/// SAs of one policy for several processors (RFC 9611), without threads.
@Suite struct ProcessorTests {
    private func pairs(_ count: Int) -> [AssociationPair] {
        (0..<count).map { number in
            AssociationPair(child: UInt32(number) + 1, spi: 0xC0FF_EE00 + UInt32(number)).changed {
                $0.resource = number
            }
        }
    }

    @Test func eachProcessorSealsWithItsOwn() throws {
        let (west, east) = (InlineEngine(workers: 3), InlineEngine())
        let pairs = pairs(3)
        for pair in pairs {
            west.install(pair.west)
            east.install(pair.east)
        }
        for round in 0..<2 {
            for worker in 0..<3 {
                let sealed = west.seal(packet(payload: round), worker: worker, now: start)
                #expect(sealed.spi == pairs[worker].west.spi)
                let opened = east.openAll(try octets(sealed), from: westEndpoint, now: start)
                #expect(opened.compactMap(\.packet) == [packet(payload: round)])
            }
        }
        // One that has none hands over, whichever goes.
        for gone in [0, 2] {
            west.remove(pairs[gone].west.spi, .outbound, of: pairs[gone].west.child)
            let sealed = west.seal(packet(), worker: gone, now: start)
            #expect(sealed.spi != nil && sealed.spi != pairs[gone].west.spi)
            #expect(east.openAll(try octets(sealed), from: westEndpoint, now: start).first?.packet == packet())
        }
        #expect(west.seal(packet(), worker: 0, now: start).spi == pairs[1].west.spi)
        #expect(west.seal(packet(), worker: 2, now: start).spi == pairs[1].west.spi)
        #expect(west.counters(of: ChildID(2))?.outbound.packets == 5)
    }

    /// What comes before its SA is opened with it, where its SPI was offered.
    @Test func earlyPacketsWait() throws {
        let pair = AssociationPair()
        let (west, east) = (InlineEngine(), InlineEngine())
        west.install(pair.west)
        let sealed = try octets(west.seal(packet(), worker: 0, now: start))
        #expect(east.openAll(sealed, from: westEndpoint, now: start).compactMap(\.packet) == [])
        east.expect(pair.east.spi)
        #expect(east.openAll(sealed, from: westEndpoint, now: start).compactMap(\.packet) == [])
        east.install(pair.east)
        #expect(east.openEarly(pair.east, now: start + .seconds(1)).compactMap(\.packet) == [packet()])
        #expect(east.openEarly(pair.east, now: start + .seconds(1)) == [])
    }
}
