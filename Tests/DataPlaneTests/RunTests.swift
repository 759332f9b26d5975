import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

/// Packets of one size that came together are what they are one by one.
@Suite struct RunTests {
    private final class Heard {
        var events: [PlaneEvent] = []
        var packets: [[UInt8]] = []
    }

    /// What a plane makes of packets of one size but for the last: by runs as far as it takes them, or each by itself.
    private func open(
        _ packets: [[UInt8]], _ pairs: [AssociationPair], by runs: Bool, from: Endpoint = westEndpoint
    ) -> (packets: [[UInt8]], drops: [DropReason: UInt64], events: [PlaneEvent], taken: Int) {
        let heard = Heard()
        let drops = DropCounters()
        let plane = InboundPlane(drops: drops) { heard.events.append($0) }
        for pair in pairs { plane.insert(InboundAssociation(pair.east, counters: AssociationCounters())) }
        var memory = packets.flatMap { $0 }
        let size = packets[0].count
        var taken = 0
        memory.withUnsafeMutableBytes { octets in
            let base = octets.baseAddress!
            var offset = 0
            while offset < octets.count {
                if runs {
                    let count = plane.openRun(
                        base + offset, count: octets.count - offset, size: size, from: from, trafficClass: 0, now: start
                    ) { packet, view, association in
                        #expect(pairs.contains { $0.east.child == association.child })
                        heard.packets.append(Array(UnsafeRawBufferPointer(start: packet, count: view.octets)))
                    }
                    offset += count
                    taken += count
                    guard offset < octets.count else { break }
                }
                let count = min(size, octets.count - offset)
                if case .opened(let opened) = plane.open(base + offset, count: count, from: from, now: start) {
                    heard.packets.append(
                        Array(UnsafeRawBufferPointer(start: opened.packet, count: opened.view.octets)))
                }
                offset += count
            }
        }
        return (heard.packets, drops.nonzero, heard.events, taken)
    }

    private func compare(
        _ packets: [[UInt8]], _ pairs: AssociationPair..., from: Endpoint = westEndpoint
    ) -> (packets: [[UInt8]], drops: [DropReason: UInt64], events: [PlaneEvent], taken: Int) {
        let run = open(packets, pairs, by: true, from: from)
        let single = open(packets, pairs, by: false, from: from)
        #expect(run.packets == single.packets)
        #expect(run.drops == single.drops)
        #expect(run.events == single.events)
        return run
    }

    @Test(arguments: suites, [false, true])
    func goodAndBadOnes(suite: Suite, esn: Bool) throws {
        let pair = AssociationPair(esn ? extended(suite) : suite, window: 128)
        let (west, _) = engines(pair)
        let inner = (0..<12).map { packet(sourcePort: UInt16(4000 + $0), payload: $0 == 11 ? 40 : 300) }
        var sealed = try inner.map { try octets(west.seal($0)) }
        sealed[3] = sealed[2]  // said twice
        sealed[5][sealed[5].count - 1] ^= 1  // forged
        sealed[7][4...7] = [0, 0, 0, 0]  // no number, or another one
        let run = compare(sealed, pair)
        #expect(run.packets == [0, 1, 2, 4, 6, 8, 9, 10, 11].map { inner[$0] })
        let cipher = try PacketCipher(
            suite: suite.encryption, integrity: suite.integrity, encryptionKey: pair.east.keys.encryption,
            integrityKey: pair.east.keys.integrity, sealing: false)
        #expect(run.taken == (cipher.prefersBatches ? 0 : sealed.reduce(0) { $0 + $1.count }))
        #expect(run.events == [.inboundTraffic(ChildID(1), start)])
    }

    /// Two SAs in turns, and packets of an SA that nobody has.
    @Test func severalAssociations() throws {
        let (first, second) = (AssociationPair(), AssociationPair(child: 2, requestID: 2, spi: 0x0BAD_CAFE))
        let (one, other) = (engines(first).west, engines(second).west)
        let stranger = engines(AssociationPair(spi: 0xDEAD_0001)).west
        let inner = (0..<9).map { packet(sourcePort: UInt16(4000 + $0)) }
        let sealed = try inner.enumerated().map {
            try octets([one, one, other, stranger, other, one, stranger, stranger, one][$0].seal($1))
        }
        let run = compare(sealed, first, second)
        #expect(run.packets == [0, 1, 2, 4, 5, 8].map { inner[$0] })
        #expect(run.drops == [.unknownSPI: 3])
    }

    /// What is in a packet is looked at as ever: selectors, dummies and the peer's endpoint.
    @Test func contents() throws {
        let pair = AssociationPair()
        let (west, _) = engines(pair)
        let wide = AssociationPair(
            westSelectors: [selector("0.0.0.0/0")], eastSelectors: [selector("0.0.0.0/0")])
        let (stray, _) = engines(wide)
        let sealed = [
            try octets(west.seal(packet())), try octets(stray.seal(packet(from: "10.9.0.1"))),
            try octets(west.sealDummy(for: packet(), count: packet().count)),
        ]
        #expect(compare([sealed[0]], pair).packets == [packet()])
        #expect(compare([sealed[1]], pair).drops == [.outsideSelectors: 1])
        #expect(compare([sealed[0], sealed[2]], pair).drops == [.dummy: 1])
        let elsewhere = Endpoint(westEndpoint.address, port: 61_000)
        #expect(
            compare([sealed[0]], pair, from: elsewhere).events == [
                .mappingChanged(ChildID(1), elsewhere), .inboundTraffic(ChildID(1), start),
            ])
    }

    /// What is too short for a header is not looked into.
    @Test func shortOnes() {
        #expect(compare([[0xC0, 0xFF, 0xEE, 0x01, 0, 0, 0, 1]], AssociationPair()).drops == [.malformed: 1])
        #expect(compare([[0xC0, 0xFF, 0xEE, 0x01, 0, 0, 0]], AssociationPair()).drops == [.malformed: 1])
        #expect(compare([[0xC0, 0xFF, 0xEE, 0x01]], AssociationPair()).taken == 0)
    }

    /// An SA without a packet so far takes none that looks like nothing.
    @Test func addressesOfZeros() throws {
        let pair = AssociationPair()
        let wide = AssociationPair(
            westSelectors: [selector("0.0.0.0/0")], eastSelectors: [selector("0.0.0.0/0")])
        let esp = try octets(engines(wide).west.seal(packet(from: "0.0.0.0", to: "0.0.0.0", ipProtocol: 0)))
        #expect(compare([esp], pair).drops == [.outsideSelectors: 1])
    }

    /// SAs that carry more than IP in ESP are left to be opened one by one.
    @Test func othersAreLeft() throws {
        let inner = (0..<4).map { packet(sourcePort: UInt16(4000 + $0)) }
        let compressed = AssociationPair().compressed()
        let (west, _) = engines(compressed)
        let sealed = try inner.map { try octets(west.seal($0)) }
        let run = compare(sealed, compressed)
        #expect(run.taken == 0)
        #expect(run.packets == inner)
    }
}
