import IPsec
import Primitives
import Testing

@testable import DataPlane

/// ICMP error messages through a tunnel (RFC 4301 §6.2): a router behind one end that no selector has tells a host behind the
/// other what became of its packet.
@Suite struct EnclosedFlowTests {
    private static let dns = TrafficSelector(Prefix("10.2.0.0/16")!, ipProtocol: 17, firstPort: 53, lastPort: 53)
    private static let dns6 = TrafficSelector(Prefix("fd02::/16")!, ipProtocol: 17, firstPort: 53, lastPort: 53)

    /// A message of a router behind the west about a packet that came from the east.
    private func error(
        _ kind: UInt8, about octets: [UInt8], from: String = "172.16.0.9", to: String = "10.2.0.1"
    ) -> [UInt8] {
        var message = packet(from: from, to: to, ipProtocol: from.contains(":") ? 58 : 1, payload: octets.count)
        let start = message.count - octets.count - 8
        message.replaceSubrange(start..., with: [kind, 0, 0, 0, 0, 0, 0, 0] + octets)
        return message
    }

    /// What the east sent, of which routers show so many octets.
    private func triggering(_ port: UInt16 = 53, to: String = "10.1.0.1", from: String = "10.2.0.1", octets: Int = 28)
        -> [UInt8]
    {
        Array(packet(from: from, to: to, sourcePort: port, destinationPort: 4000, payload: 400).prefix(octets))
    }

    private func engines(_ pair: AssociationPair) -> (west: InlineEngine, east: InlineEngine) {
        let (west, east) = (InlineEngine(), InlineEngine())
        west.install(pair.west)
        east.install(pair.east)
        return (west, east)
    }

    @Test(arguments: [3, 4, 11, 12] as [UInt8]) func errorsGoWhereTheirTrafficGoes(kind: UInt8) throws {
        let (west, east) = engines(AssociationPair(eastSelectors: [Self.dns]))
        let message = error(kind, about: triggering())
        let esp = try #require(west.seal(message, now: start).octets)
        #expect(east.open(esp, from: westEndpoint, to: eastEndpoint, now: start).packet == message)
        #expect(west.dropCounters.nonzero == [:] && east.dropCounters.nonzero == [:])
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt8]) func theSameOverIPv6(kind: UInt8) throws {
        let (west, east) = engines(AssociationPair(eastSelectors: [Self.dns6]))
        let about = triggering(to: "fd01::1", from: "fd02::1", octets: 80)
        let message = error(kind, about: about, from: "fd99::9", to: "fd02::1")
        let esp = try #require(west.seal(message, now: start).octets)
        #expect(east.open(esp, from: westEndpoint, to: eastEndpoint, now: start).packet == message)
        // Behind an extension header too.
        var behind = about
        behind[6] = 60
        behind.insert(contentsOf: [17, 0, 1, 4, 0, 0, 0, 0], at: 40)
        let other = error(kind, about: behind, from: "fd99::9", to: "fd02::1")
        #expect(west.seal(other, now: start).octets != nil)
    }

    @Test func whatConcernsOthersDoesNot() throws {
        let pair = AssociationPair(eastSelectors: [Self.dns])
        let (west, east) = engines(pair)
        let wrong = [
            // Of another port, host or direction; too short; no error; a redirect; no packet.
            error(3, about: triggering(54)), error(3, about: triggering(to: "10.9.0.1")),
            error(3, about: triggering(to: "10.2.0.1", from: "10.1.0.1")), error(3, about: triggering(octets: 19)),
            error(3, about: triggering(octets: 22)), error(8, about: triggering()), error(0, about: triggering()),
            error(5, about: triggering()), error(3, about: Array(repeating: 0x45, count: 28)), error(3, about: []),
        ]
        for (index, message) in wrong.enumerated() {
            #expect(west.seal(message, now: start) == .dropped(.noPolicy), "\(index)")
        }
        // A peer that sends them all the same, in an SA that it has, is not believed.
        var wide = pair
        wide.west.localSelectors = [selector("0.0.0.0/0")]
        wide.west.remoteSelectors = [selector("0.0.0.0/0")]
        let liar = InlineEngine()
        liar.install(wide.west)
        for (index, message) in wrong.enumerated() {
            let esp = try #require(liar.seal(message, now: start).octets)
            #expect(
                east.open(esp, from: westEndpoint, to: eastEndpoint, now: start) == .dropped(.outsideSelectors),
                "\(index)")
        }
    }

    /// Where a policy has the message itself, that one counts.
    @Test func theMessagesOwnPolicyComesFirst() throws {
        let (west, _) = engines(AssociationPair(eastSelectors: [Self.dns]))
        let own = AssociationPair(
            child: 2, requestID: 2, spi: 0xC0FF_EE02, westSelectors: [selector("172.16.0.0/16")],
            eastSelectors: [selector("10.2.0.0/16")])
        west.install(own.west)
        guard case .sealed(_, let child, _, _, _) = west.seal(error(3, about: triggering()), now: start) else {
            Issue.record("nothing was sealed")
            return
        }
        #expect(child == ChildID(2))
    }

    /// Whatever stands there is read within its bounds.
    @Test func everyTruncationIsRead() {
        let (west, _) = engines(AssociationPair(eastSelectors: [Self.dns, Self.dns6]))
        for (kind, from, about) in [
            (UInt8(3), "172.16.0.9", triggering(octets: 60)),
            (1, "fd99::9", triggering(to: "fd01::1", from: "fd02::1", octets: 90)),
        ] {
            for count in 0...about.count {
                let message = error(
                    kind, about: Array(about.prefix(count)), from: from, to: from == "fd99::9" ? "fd02::1" : "10.2.0.1")
                let isEnough = count >= (from == "fd99::9" ? 44 : 24)
                #expect((west.seal(message, now: start).octets != nil) == isEnough, "\(from) \(count)")
            }
        }
    }
}
