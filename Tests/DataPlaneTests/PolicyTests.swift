import DataPlane
import IPsec
import Primitives
import Testing

/// The ordered SPD: entries with SAs and without (RFC 4301 §4.4.1).
@Suite struct PolicyTests {
    private func policy(
        _ action: SecurityPolicy.Action, _ local: String, _ remote: String, priority: UInt32 = 0, child: String = "net"
    ) -> SecurityPolicy {
        SecurityPolicy(
            connection: "home", child: child, action: action, priority: priority, localSelectors: [selector(local)],
            remoteSelectors: [selector(remote)])
    }

    @Test func discardsAndBypassesByNarrowness() throws {
        let (west, _) = engines(AssociationPair())
        west.install(policy(.discard, "10.1.0.0/16", "10.2.3.0/24"))
        west.install(policy(.bypass, "10.1.0.0/16", "10.2.3.4/32"))
        #expect(west.seal(packet(to: "10.2.0.1")).octets != nil)
        #expect(west.seal(packet(to: "10.2.3.1")).octets == nil)
        #expect(west.seal(packet(to: "10.2.3.4")).octets == nil)
        #expect(west.dropCounters.nonzero == [.discarded: 1, .bypassed: 1])
        west.remove(policy(.discard, "10.1.0.0/16", "10.2.3.0/24"))
        #expect(west.seal(packet(to: "10.2.3.1")).octets != nil)
        #expect(west.seal(packet(to: "10.2.3.4")).octets == nil)
    }

    @Test func prioritiesComeBeforeNarrowness() {
        let (west, _) = engines(AssociationPair())
        west.install(policy(.discard, "0.0.0.0/0", "0.0.0.0/0", priority: 7))
        #expect(west.seal(packet()).octets == nil)
        let first = AssociationPair(child: 2, requestID: 2, spi: 0x2222).changed { $0.priority = 6 }
        west.install(first.west)
        #expect(west.seal(packet()).spi == SPI(0x2222))
    }

    @Test func trapsKeepTheFirstPacketsAndAskOnceASecond() throws {
        let (west, east) = engines()
        let trap = policy(.trap, "10.1.0.0/16", "10.2.0.0/16")
        west.install(trap)
        for payload in 0..<20 { #expect(west.seal(packet(payload: payload)).octets == nil) }
        #expect(west.takeEvents() == [.acquire(connection: "home", child: "net")])
        #expect(west.dropCounters.nonzero == [.awaitsAssociation: 4], "sixteen are kept")
        #expect(west.seal(packet(), now: start + .seconds(2)).octets == nil)
        #expect(west.takeEvents() == [.acquire(connection: "home", child: "net")])
        #expect(west.sealWaiting(now: start + .seconds(2)).isEmpty)

        let pair = AssociationPair()
        west.install(pair.west)
        east.install(pair.east)
        let waiting = west.sealWaiting(now: start + .seconds(3))
        #expect(waiting.count == 16)
        for (payload, sealed) in waiting.enumerated() {
            #expect(east.open(try octets(sealed)).packet == packet(payload: payload), "in order")
        }
        #expect(west.sealWaiting(now: start + .seconds(3)).isEmpty, "once")
        #expect(west.seal(packet()).octets != nil, "the SA stands before its trap")
        west.remove(pair.west.spi, .outbound, of: pair.west.child)
        #expect(west.seal(packet(), now: start + .seconds(9)).octets == nil)
        #expect(west.takeEvents() == [.acquire(connection: "home", child: "net")])
    }

    @Test func waitingPacketsGrowOldAndGoWithTheirPolicy() {
        let west = InlineEngine()
        let trap = policy(.trap, "10.1.0.0/16", "10.2.0.0/16")
        west.install(trap)
        _ = west.seal(packet())
        west.install(AssociationPair().west)
        #expect(west.sealWaiting(now: start + .seconds(60)).isEmpty)
        #expect(west.dropCounters[.awaitsAssociation] == 1)
        west.remove(SPI(0xC0FF_EE01), .outbound, of: ChildID(1))
        _ = west.seal(packet())
        west.remove(trap)
        #expect(west.dropCounters[.noPolicy] == 1)
        #expect(west.seal(packet()) == .dropped(.noPolicy))
        #expect(west.dropCounters[.noPolicy] == 2)
    }

    /// The tables against a list that is searched from its beginning.
    @Test func agreesWithAnOrderedList() {
        struct Rule {
            var association: SecurityAssociation
            var narrowness: Int
            var age: Int
        }
        var random = SeededGenerator(seed: 11)
        func number(_ bound: UInt64) -> UInt64 { random.next() % bound }
        func range() -> TrafficSelector {
            let base = UInt32(0x0A00_0000) + UInt32(number(64)) << 8
            switch number(4) {
            case 0: return TrafficSelector(Prefix(IPAddress(v4: base), length: 24)!)
            case 1: return TrafficSelector(Prefix(IPAddress(v4: base & 0xFFFF_0000), length: 16)!)
            case 2: return TrafficSelector(IPAddress(v4: base + UInt32(number(4))))
            default:
                return TrafficSelector(
                    first: IPAddress(v4: base), last: IPAddress(v4: base + UInt32(number(300))), ipProtocol: 17)!
            }
        }
        func narrowness(_ selector: TrafficSelector) -> Int {
            let span = selector.last.value - selector.first.value
            return (span.leadingZeroBitCount - 96) * 4 + (selector.ipProtocol == 0 ? 0 : 1)
        }
        let engine = InlineEngine()
        var rules: [Rule] = []
        for step in 0..<400 {
            if number(4) == 0, let index = rules.indices.randomElement(using: &random) {
                let gone = rules.remove(at: index).association
                engine.remove(gone.spi, .outbound, of: gone.child)
            } else {
                let pair = AssociationPair(
                    child: UInt32(step + 1), requestID: UInt32(step + 1), spi: 0x1_0000 + UInt32(step),
                    westSelectors: [range()], eastSelectors: [range()]
                ).changed { $0.priority = UInt32(number(3) == 0 ? 1 + number(3) : 0) }
                engine.install(pair.west)
                rules.append(
                    Rule(
                        association: pair.west,
                        narrowness: narrowness(pair.west.localSelectors[0]) + narrowness(pair.west.remoteSelectors[0]),
                        age: step))
            }
            for _ in 0..<10 {
                let from = IPAddress(v4: 0x0A00_0000 + UInt32(number(64)) << 8 + UInt32(number(4)))
                let to = IPAddress(v4: 0x0A00_0000 + UInt32(number(64)) << 8 + UInt32(number(4)))
                let ipProtocol: UInt8 = number(2) == 0 ? 17 : 6
                let expected = rules.filter { rule in
                    rule.association.localSelectors[0].matches(from, ipProtocol: ipProtocol, port: 4000)
                        && rule.association.remoteSelectors[0].matches(to, ipProtocol: ipProtocol, port: 53)
                }.min { left, right in
                    let (l, r) = (left.association.priority, right.association.priority)
                    return (l == 0 ? .max : l, -left.narrowness, -left.age) < (
                        r == 0 ? .max : r, -right.narrowness, -right.age
                    )
                }
                let found = engine.seal(packet(from: from.description, to: to.description, ipProtocol: ipProtocol)).spi
                #expect(found == expected?.association.spi)
            }
        }
    }

    /// A lookup looks at the shapes of selectors, not at their number: a hundred thousand SAs are found in as many steps as
    /// ten. The time is in `Benchmarks`; here that each is found at all.
    @Test func findsAnyOfManyAssociations() {
        var table = PolicyTable()
        func association(_ index: UInt32) -> SecurityAssociation {
            AssociationPair(
                suites[0], child: index + 1, requestID: index + 1, spi: 0x1000 + index,
                westSelectors: [selector("10.0.0.0/8")],
                eastSelectors: [TrafficSelector(IPAddress(v4: 0xAC10_0000 + index))]
            ).west
        }
        let counters = AssociationCounters()
        for index in 0..<UInt32(2000) { table.insert(OutboundAssociation(association(index), counters: counters)) }
        for index in stride(from: UInt32(0), to: 2000, by: 37) {
            let octets = packet(to: IPAddress(v4: 0xAC10_0000 + index).description)
            let flow = octets.withUnsafeBytes { PacketView($0.baseAddress!, count: octets.count)!.flow }
            let spi = table.association(for: flow)?.spi
            #expect(spi == SPI(0x1000 + index))
        }
    }
}
