import IPsec
import Primitives
import Testing

@testable import DataPlane

/// Fragments on tunnels whose selectors have ports (RFC 4301 §7).
@Suite struct FragmentTests {
    private static let dns = TrafficSelector(
        Prefix("10.2.0.0/16")!, ipProtocol: 17, firstPort: 53, lastPort: 53)
    private static let dnsV6 = TrafficSelector(Prefix("fd02::/16")!, ipProtocol: 17, firstPort: 53, lastPort: 53)

    private static func pair(_ carries: Bool) -> AssociationPair {
        AssociationPair(eastSelectors: [dns, dnsV6]).changed { $0.carriesFragments = carries }
    }

    /// A fragment of packet `id`; the first one shows ports.
    private static func fragment(
        _ id: UInt8, isFirst: Bool, port: UInt16 = 53, offset: UInt16 = 3, ipProtocol: UInt8 = 17
    ) -> [UInt8] {
        var octets = packet(
            ipProtocol: ipProtocol, destinationPort: isFirst ? port : 0x4142, payload: 16,
            fragmentOffset: isFirst ? 0x2000 : offset)
        octets[5] = id
        return octets
    }

    private static func fragmentV6(_ id: UInt8, isFirst: Bool) -> [UInt8] {
        var octets = packet(from: "fd01::1", to: "fd02::1", destinationPort: isFirst ? 53 : 0x4142, payload: 16)
        octets[5] += 8
        octets[6] = 44
        // Next header, reserved, offset 0 with more to come or offset 3, identification.
        octets.insert(contentsOf: [17, 0, 0, isFirst ? 1 : 24, 0, 0, 0, id], at: 40)
        return octets
    }

    private static func engine(_ association: SecurityAssociation) -> InlineEngine {
        let engine = InlineEngine()
        engine.install(association)
        return engine
    }

    @Test func withoutAgreementLaterFragmentsAreNeitherSentNorTaken() throws {
        let pair = Self.pair(false)
        let west = Self.engine(pair.west)
        #expect(west.seal(Self.fragment(7, isFirst: true), now: start).octets != nil)
        #expect(west.seal(Self.fragment(7, isFirst: false), now: start) == .dropped(.noPolicy))
        // A peer that sends one all the same.
        var careless = pair.west
        careless.remoteSelectors = [selector("10.2.0.0/16")]
        let sender = Self.engine(careless)
        let east = Self.engine(pair.east)
        for isFirst in [true, false] {
            let sealed = try #require(sender.seal(Self.fragment(7, isFirst: isFirst), now: start).octets)
            let opened = east.open(sealed)
            #expect((opened == .dropped(.outsideSelectors)) == !isFirst)
        }
    }

    @Test func withAgreementTheyFollowTheirFirst() throws {
        let pair = Self.pair(true)
        let west = Self.engine(pair.west)
        let east = Self.engine(pair.east)
        for (first, later) in [
            (Self.fragment(7, isFirst: true), Self.fragment(7, isFirst: false)),
            (Self.fragmentV6(9, isFirst: true), Self.fragmentV6(9, isFirst: false)),
        ] {
            #expect(west.seal(later, now: start) == .dropped(.noPolicy))
            for fragment in [first, later, later] {
                let sealed = try #require(west.seal(fragment, now: start).octets)
                guard case .opened(let packet, _, _) = east.open(sealed) else {
                    Issue.record("dropped")
                    continue
                }
                #expect(packet == fragment)
            }
        }
        // Another packet's, and one that comes too late.
        #expect(west.seal(Self.fragment(8, isFirst: false), now: start) == .dropped(.noPolicy))
        #expect(west.seal(Self.fragmentV6(8, isFirst: false), now: start) == .dropped(.noPolicy))
        #expect(west.seal(Self.fragment(7, isFirst: false), now: start + .seconds(31)) == .dropped(.noPolicy))
    }

    @Test func theReceiverHoldsThemToTheWholePacketsPolicy() throws {
        let pair = Self.pair(true)
        var careless = pair.west
        careless.remoteSelectors = [selector("10.2.0.0/16")]
        let sender = Self.engine(careless)
        let east = Self.engine(pair.east)
        func taken(_ fragment: [UInt8]) throws -> Bool {
            let sealed = try #require(sender.seal(fragment, now: start).octets)
            if case .opened = east.open(sealed) { return true }
            return false
        }
        // Without a first fragment; behind one that the policy refuses; behind one that it takes.
        #expect(try !taken(Self.fragment(1, isFirst: false)))
        #expect(try !taken(Self.fragment(1, isFirst: true, port: 80)))
        #expect(try !taken(Self.fragment(1, isFirst: false)))
        #expect(try taken(Self.fragment(1, isFirst: true)))
        #expect(try taken(Self.fragment(1, isFirst: false)))
        #expect(try !taken(Self.fragment(2, isFirst: false)))
        #expect(east.dropCounters[.outsideSelectors] == 4)
    }

    @Test func whatWouldWriteOverTCPsHeaderIsDropped() throws {
        // RFC 4301 §7.2 wants a least offset, where a selector looks at ports: an OPAQUE one, or a negotiated one.
        let opaque = TrafficSelector(Prefix("10.2.0.0/16")!, ipProtocol: 6, firstPort: .max, lastPort: 0)
        let pair = AssociationPair(eastSelectors: [opaque])
        let west = Self.engine(pair.west)
        let east = Self.engine(pair.east)
        for (offset, isTaken) in [(UInt16(1), false), (2, true)] {
            let fragment = Self.fragment(1, isFirst: false, offset: offset, ipProtocol: 6)
            let sealed = try #require(west.seal(fragment, now: start).octets)
            #expect((east.open(sealed) == .dropped(.outsideSelectors)) == !isTaken)
        }
        // A tunnel that does not look at ports carries everything (§7.1).
        let whole = AssociationPair()
        let sealed = try #require(
            Self.engine(whole.west).seal(Self.fragment(1, isFirst: false, offset: 1, ipProtocol: 6), now: start).octets)
        guard case .opened = Self.engine(whole.east).open(sealed) else {
            Issue.record("dropped")
            return
        }
    }

    @Test func thePolicyOfTheWholePacketChoosesTheTunnel() throws {
        // A wide tunnel beside a narrow one that carries fragments.
        let narrow = Self.pair(true)
        let wide = AssociationPair(child: 2, requestID: 2, spi: 0xC0FF_EE02)
        let west = Self.engine(narrow.west)
        west.install(wide.west)
        #expect(west.seal(Self.fragment(1, isFirst: true), now: start).spi == narrow.west.spi)
        #expect(west.seal(Self.fragment(1, isFirst: false), now: start).spi == narrow.west.spi)
        #expect(west.seal(Self.fragment(2, isFirst: true, port: 80), now: start).spi == wide.west.spi)
        #expect(west.seal(Self.fragment(2, isFirst: false), now: start).spi == wide.west.spi)
    }
}
