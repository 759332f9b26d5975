import DataPlane
import IPsec
import Primitives
import Testing

/// Lifetimes that count octets and packets, padding, and what crosses between headers.
@Suite struct LifetimeTests {
    @Test func countsPackets() throws {
        let pair = AssociationPair().changed { $0.limits = TrafficLimits(softPackets: 3, hardPackets: 5) }
        let (west, east) = engines(pair)
        var sealed: [[UInt8]] = []
        for number in 1...5 {
            sealed.append(try octets(west.seal(packet())))
            #expect(west.takeEvents() == (number == 3 ? [.exhausted(ChildID(1))] : []), "packet \(number)")
        }
        #expect(west.seal(packet()) == .dropped(.lifetimeEnded))
        #expect(west.takeEvents() == [.expired(ChildID(1))])
        #expect(west.seal(packet()) == .dropped(.lifetimeEnded))
        #expect(west.takeEvents().isEmpty, "said once")
        #expect(west.dropCounters[.lifetimeEnded] == 2)
        for (index, esp) in sealed.enumerated() {
            #expect(east.open(esp).packet != nil)
            let events = east.takeEvents().filter { $0 != .inboundTraffic(ChildID(1), start) }
            #expect(events == (index == 2 ? [.exhausted(ChildID(1))] : []))
        }
    }

    @Test func countsOctets() throws {
        let inner = packet(payload: 72)
        #expect(inner.count == 100)
        let pair = AssociationPair().changed { $0.limits = TrafficLimits(softOctets: 150, hardOctets: 300) }
        let (west, east) = engines(pair)
        let (free, _) = engines(AssociationPair())
        for number in 1...3 {
            #expect(west.seal(inner).octets != nil)
            #expect(west.takeEvents() == (number == 2 ? [.exhausted(ChildID(1))] : []))
        }
        #expect(west.seal(packet(payload: 0)) == .dropped(.lifetimeEnded))
        // The receiver holds to its own limit, whatever the sender does.
        for _ in 0..<3 { #expect(east.open(try octets(free.seal(inner))).packet != nil) }
        _ = east.takeEvents()
        #expect(east.open(try octets(free.seal(inner))) == .dropped(.lifetimeEnded))
        #expect(east.takeEvents() == [.expired(ChildID(1))])
    }

    @Test func jitterStaysWithinItsBounds() {
        var policy = ChildPolicy(name: "net", proposals: [])
        #expect(
            { () -> TrafficLimits in
                var random = Randomness.seeded(1)
                return policy.limits(&random)
            }() == .none)
        policy.octetLifetime = CountedLifetime(rekey: 1000, life: 1100, random: 100)
        policy.packetLifetime = CountedLifetime(rekey: 10, life: 11, random: 500)
        var random = Randomness.seeded(1)
        var soft: Set<UInt64> = []
        for _ in 0..<200 {
            let limits = policy.limits(&random)
            soft.insert(limits.softOctets)
            #expect((900...1000).contains(limits.softOctets))
            #expect((1...10).contains(limits.softPackets))
            #expect(limits.hardOctets == 1100)
            #expect(limits.hardPackets == 11)
        }
        #expect(soft.count > 20)
    }

    @Test func padsAgainstTrafficAnalysis() throws {
        for (padding, least) in [(TrafficFlowPadding.octets(600), 600), (.mtu, 1400)] {
            let (west, east) = engines(AssociationPair().changed { $0.treatment.padding = padding })
            var sizes: Set<Int> = []
            for payload in [0, 1, 100, 500] {
                let esp = try octets(west.seal(packet(payload: payload)))
                sizes.insert(esp.count)
                #expect(east.open(esp).packet == packet(payload: payload))
            }
            #expect(sizes.count == 1)
            #expect(sizes.first.map { $0 > least } == true)
            let large = packet(payload: 2000)
            #expect(east.open(try octets(west.seal(large))).packet == large)
        }
    }

    @Test func dummyPacketsAreDiscarded() throws {
        let (west, east) = engines(AssociationPair())
        guard case .sealed(let dummy, _, _, _, _) = west.sealDummy(for: packet(), count: 300) else {
            Issue.record("no dummy packet")
            return
        }
        let real = try octets(west.seal(packet(payload: 272)))
        #expect(dummy.count == real.count, "nobody can tell them apart")
        #expect(east.open(dummy) == .dropped(.dummy))
        #expect(east.open(dummy) == .dropped(.replayed))
        #expect(east.open(real).packet != nil)
        #expect(west.counters(of: ChildID(1))?.outbound.packets == 1)
    }

    @Test(arguments: DSCPCopy.all, [false, true])
    func copiesDSCPAndECNAsTold(dscp: DSCPCopy, ecn: Bool) throws {
        let pair = AssociationPair().changed {
            $0.treatment.copiesDSCP = dscp
            $0.treatment.copiesECN = ecn
        }
        let outbound = OutboundAssociation(pair.west, counters: AssociationCounters())
        #expect(outbound.outerClass(0xBA) == (dscp == .out || dscp == .yes ? 0xB8 : 0) | (ecn ? 2 : 0))

        let (west, east) = engines(pair)
        var inner = packet()
        inner[1] = 0x0A
        let sum = inner[..<20].withUnsafeBytes {
            ~InternetChecksum.fold(InternetChecksum.sum($0.baseAddress!, count: 20))
        }
        withUnsafeBytes(of: sum) { inner.replaceSubrange(10..<12, with: $0) }
        let esp = try octets(west.seal(inner))
        // DSCP 46 and congestion on the way.
        let result = east.open(esp, from: westEndpoint, to: eastEndpoint, trafficClass: 0xBB, now: start)
        let opened = try #require(result.packet)
        #expect(opened[1] == (dscp == .in || dscp == .yes ? 0xB8 : 0x08) | (ecn ? 3 : 2))
        #expect(
            opened[..<20].withUnsafeBytes { InternetChecksum.fold(InternetChecksum.sum($0.baseAddress!, count: 20)) }
                == 0xFFFF)
    }
}

extension DSCPCopy {
    fileprivate static let all: [DSCPCopy] = [.no, .in, .out, .yes]
}
