import DataPlane
import IPsec
import Primitives
import Testing

@Suite struct DatabaseTests {
    @Test func newestSAOfARequestCarriesTheTraffic() throws {
        let old = AssociationPair(child: 1, requestID: 7, spi: 0x1001)
        let new = AssociationPair(child: 2, requestID: 7, spi: 0x1002)
        let (west, east) = engines(old)
        #expect(west.seal(packet()).spi == SPI(0x1001))
        west.install(new.west)
        east.install(new.east)
        let esp = west.seal(packet())
        #expect(esp.spi == SPI(0x1002))
        #expect(east.open(try #require(esp.octets)).packet == packet())
        west.remove(SPI(0x1002), .outbound, of: ChildID(1))
        #expect(west.seal(packet()).spi == SPI(0x1002), "the SPI is another child's")
        west.remove(SPI(0x1002), .outbound, of: ChildID(2))
        #expect(west.seal(packet()).spi == SPI(0x1001), "the older one gets the traffic back")
        west.remove(SPI(0x1001), .outbound, of: ChildID(1))
        #expect(west.seal(packet()) == .dropped(.noPolicy))
        #expect(west.isEmpty)
        #expect(!east.isEmpty)
        #expect(west.counters(of: ChildID(1)) == nil)
    }

    /// RFC 9611: several SAs of one request in use together.
    @Test func aWorkerTakesItsOwnOfSeveralSAs() throws {
        let pairs = (0..<4).map { AssociationPair(child: UInt32($0) + 1, requestID: 7, spi: 0x1001 + UInt32($0)) }
        for worker in 0..<2 {
            let plane = OutboundPlane(drops: DropCounters(), worker: worker) { _ in }
            func insert(_ number: Int, owner: Int) {
                plane.insert(
                    OutboundAssociation(
                        pairs[number].west, counters: AssociationCounters(), owner: owner, isForeign: owner != worker))
            }
            let flow = try #require(packet().withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count)?.flow })
            insert(0, owner: 0)
            #expect(plane.association(for: flow)?.spi == SPI(0x1001), "the only one, whosever it is")
            insert(1, owner: 1)
            #expect(plane.association(for: flow)?.spi == SPI(0x1001 + UInt32(worker)))
            // The first one's successor.
            insert(2, owner: 0)
            #expect(plane.association(for: flow)?.spi == SPI(worker == 0 ? 0x1003 : 0x1002))
            plane.remove(SPI(0x1001), of: ChildID(1))
            plane.remove(SPI(0x1002), of: ChildID(2))
            #expect(plane.association(for: flow)?.spi == SPI(0x1003))
        }
    }

    @Test func removedInboundSAsAreGone() throws {
        let (west, east) = engines(AssociationPair())
        let first = try #require(west.seal(packet()).octets)
        let second = try #require(west.seal(packet()).octets)
        #expect(east.open(first).packet != nil)
        east.remove(SPI(0xC0FF_EE01), .inbound, of: ChildID(9))
        #expect(east.open(second).packet != nil)
        east.remove(SPI(0xC0FF_EE01), .inbound, of: ChildID(1))
        #expect(east.open(first) == .dropped(.unknownSPI))
        #expect(east.isEmpty)
    }

    @Test func narrowerSelectorsComeFirstAndNewerAmongEquals() {
        let wide = AssociationPair(child: 1, requestID: 1, spi: 0x1001, eastSelectors: [selector("0.0.0.0/0")])
        let narrow = AssociationPair(child: 2, requestID: 2, spi: 0x1002, eastSelectors: [selector("10.2.0.0/24")])
        let again = AssociationPair(child: 3, requestID: 3, spi: 0x1003, eastSelectors: [selector("0.0.0.0/0")])
        let port = AssociationPair(
            child: 4, requestID: 4, spi: 0x1004,
            eastSelectors: [TrafficSelector(Prefix("10.2.0.0/24")!, ipProtocol: 17, firstPort: 53, lastPort: 53)])
        for order in [[wide, narrow, port], [port, narrow, wide], [narrow, wide, port]] {
            let west = InlineEngine()
            for pair in order { west.install(pair.west) }
            #expect(west.seal(packet(to: "10.2.0.9")).spi == SPI(0x1004))
            #expect(west.seal(packet(to: "10.2.0.9", destinationPort: 80)).spi == SPI(0x1002))
            #expect(west.seal(packet(to: "10.2.1.9")).spi == SPI(0x1001))
            west.install(again.west)
            #expect(west.seal(packet(to: "10.2.1.9")).spi == SPI(0x1003))
            #expect(west.seal(packet(from: "10.9.0.1")) == .dropped(.noPolicy))
        }
    }

    /// A new SA must not be hidden by what the flow cache remembers, nor a removed one stay there.
    @Test func cacheFollowsChanges() {
        let west = InlineEngine()
        west.install(AssociationPair(child: 1, requestID: 1, spi: 0x1001, eastSelectors: [selector("0.0.0.0/0")]).west)
        for port in 0..<200 {
            #expect(west.seal(packet(destinationPort: UInt16(port))).spi == SPI(0x1001))
        }
        west.install(AssociationPair(child: 2, requestID: 2, spi: 0x1002).west)
        for port in 0..<200 {
            #expect(west.seal(packet(destinationPort: UInt16(port))).spi == SPI(0x1002))
        }
        west.remove(SPI(0x1002), .outbound, of: ChildID(2))
        for port in 0..<200 {
            #expect(west.seal(packet(destinationPort: UInt16(port))).spi == SPI(0x1001))
        }
    }

    @Test func tableFindsWhatIsInAndNothingElse() {
        var random = SeededGenerator(seed: 4)
        let engine = InlineEngine()
        var model: [UInt32: UInt32] = [:]
        for step in 0..<600 {
            // Few SPIs, close together and far apart, so that runs form and break.
            let spi = 256 + UInt32(random.next() % 40) * (random.next() % 2 == 0 ? 1 : 0x0101_0101)
            if random.next() % 3 == 0 {
                if let child = model[spi] {
                    engine.remove(SPI(spi), .inbound, of: ChildID(child))
                    model[spi] = nil
                }
            } else if model[spi] == nil {
                engine.install(AssociationPair(child: UInt32(step + 1), spi: spi).east)
                model[spi] = UInt32(step + 1)
            }
            if step % 20 == 19 {
                for base in 0..<40 {
                    for factor in [UInt32(1), 0x0101_0101] {
                        let probe = 256 + UInt32(base) * factor
                        var esp: [UInt8] = []
                        esp.append(bigEndian: probe)
                        esp += [0, 0, 0, 1] + [UInt8](repeating: 0, count: 64)
                        let expected: DropReason = model[probe] == nil ? .unknownSPI : .authenticationFailed
                        #expect(engine.open(esp) == .dropped(expected))
                    }
                }
            }
        }
    }

    @Test func endpointsMove() throws {
        let (west, _) = engines(AssociationPair())
        let moved = Endpoint(IPAddress(v4: 0xCB00_7105), port: 61_000)
        west.move(ChildID(1), local: westEndpoint, remote: moved)
        guard case .sealed(_, _, _, let local, let remote) = west.seal(packet()) else {
            Issue.record("not sealed")
            return
        }
        #expect(local == westEndpoint)
        #expect(remote == moved)
    }

    @Test func newEndpointsOfAPeerAreReportedOnceAndOnlyForNewerPackets() throws {
        let (west, east) = engines(AssociationPair())
        let early = try #require(west.seal(packet()).octets)
        let packets = try (0..<3).map { _ in try #require(west.seal(packet()).octets) }
        let other = Endpoint(westEndpoint.address, port: 1234)
        _ = east.open(packets[0])
        #expect(east.takeEvents() == [.inboundTraffic(ChildID(1), start)])
        _ = east.open(early, from: other, to: eastEndpoint, now: start)
        #expect(east.takeEvents().isEmpty, "an old packet may have wandered")
        var forged = packets[1]
        forged[20] ^= 1
        _ = east.open(forged, from: other, to: eastEndpoint, now: start)
        #expect(east.takeEvents().isEmpty)
        _ = east.open(packets[1], from: other, to: eastEndpoint, now: start)
        #expect(east.takeEvents() == [.mappingChanged(ChildID(1), other)])
        _ = east.open(packets[2], from: other, to: eastEndpoint, now: start)
        #expect(east.takeEvents().isEmpty)
    }

    @Test func trafficIsReportedOnceASecond() throws {
        let (west, east) = engines(AssociationPair(window: 4096))
        var events = 0
        for step in 0..<50 {
            let now = start + .milliseconds(100 * step)
            _ = east.open(try #require(west.seal(packet()).octets), from: westEndpoint, to: eastEndpoint, now: now)
            events += east.takeEvents().count
        }
        #expect(events == 5)
    }
}
