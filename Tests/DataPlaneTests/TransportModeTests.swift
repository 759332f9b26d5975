import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

/// ESP between hosts (RFC 4303 §3.1.1).
@Suite struct TransportModeTests {
    private static func pair(_ suite: Suite = suites[0], v6: Bool = false, encapsulated: Bool = true) -> AssociationPair
    {
        let selectors = v6 ? (selector("2001:db8::1/128"), selector("2001:db8::2/128")) : (westHost, eastHost)
        let pair = AssociationPair(
            suite, westSelectors: [selectors.0], eastSelectors: [selectors.1], encapsulated: encapsulated
        ).inTransportMode()
        return v6 ? pair.overV6() : pair
    }

    @Test(arguments: suites, [false, true])
    func carriesTheUpperLayerAlone(suite: Suite, v6: Bool) throws {
        let pair = Self.pair(suite, v6: v6, encapsulated: false)
        let (west, east) = engines(pair)
        let ends = v6 ? ("2001:db8::1", "2001:db8::2") : ("192.0.2.1", "192.0.2.2")
        for payload in [0, 1, 15, 16, 500, 1372] {
            let inner = packet(from: ends.0, to: ends.1, payload: payload)
            let esp = try octets(west.seal(inner))
            let header = v6 ? 40 : 20
            let block = max(4, suite.encryption.id.blockOctets)
            let text = (inner.count - header + 2 + block - 1) / block * block
            let tag = suite.encryption.id.tagOctets + (suite.integrity?.tagOctets ?? 0)
            #expect(esp.count == 8 + suite.encryption.id.ivOctets + text + tag)
            let opened = try #require(east.open(esp).packet)
            // The IP header is the outer one's; what it carries came whole.
            #expect(opened.dropFirst(header).elementsEqual(inner.dropFirst(header)))
            let view = try #require(opened.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count) })
            let sent = try #require(inner.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count) })
            #expect(view.flow == sent.flow)
            #expect(view.octets == sent.octets)
            if !v6 {
                #expect(
                    opened[..<20].withUnsafeBytes {
                        InternetChecksum.fold(InternetChecksum.sum($0.baseAddress!, count: 20))
                    } == 0xFFFF)
            }
        }
        #expect(east.dropCounters.nonzero == [:])
    }

    /// A fragment has no whole upper layer, and the outer header cannot have this one's options.
    @Test func refusesFragmentsAndOptions() throws {
        let (west, _) = engines(Self.pair())
        #expect(west.seal(packet(from: "192.0.2.1", to: "192.0.2.2", fragmentOffset: 0x2000)) == .dropped(.unsupported))
        var options = packet(from: "192.0.2.1", to: "192.0.2.2")
        options[0] = 0x46
        options.insert(contentsOf: [1, 1, 1, 1], at: 20)
        options[3] += 4
        #expect(west.seal(options) == .dropped(.unsupported))
        #expect(west.dropCounters[.unsupported] == 2)
        #expect(west.seal(packet(from: "192.0.2.1", to: "192.0.2.2")).octets != nil)
    }

    /// RFC 3948 §3.1.2: a NAT changed the addresses that TCP's and UDP's checksums cover.
    @Test(arguments: [UInt8(6), 17])
    func renewsChecksumsBehindUDP(ipProtocol: UInt8) throws {
        var inner = packet(from: "192.0.2.1", to: "192.0.2.2", ipProtocol: ipProtocol, payload: 32)
        let field = ipProtocol == 6 ? 36 : 26
        inner[field] = 0xAB
        inner[field + 1] = 0xCD
        let (west, east) = engines(Self.pair())
        let opened = try #require(east.open(try octets(west.seal(inner))).packet)
        #expect(opened[field] != 0xAB || opened[field + 1] != 0xCD)
        let sum = opened.withUnsafeBytes { octets in
            let base = octets.baseAddress!
            let pseudo = InternetChecksum.pseudoHeader(
                base, family: .v4, ipProtocol: ipProtocol, payloadOctets: opened.count - 20)
            return InternetChecksum.fold(InternetChecksum.sum(base + 20, count: opened.count - 20, initial: pseudo))
        }
        #expect(sum == 0xFFFF)

        let (bareWest, bareEast) = engines(Self.pair(encapsulated: false))
        let bare = try #require(bareEast.open(try octets(bareWest.seal(inner))).packet)
        #expect(Array(bare[field...field + 1]) == [0xAB, 0xCD], "no NAT, no change")
    }

    @Test func holdsToItsSelectors() throws {
        let narrow = Self.pair().changed { association in
            association.localSelectors = association.localSelectors.map {
                TrafficSelector(first: $0.first, last: $0.last, ipProtocol: 17)!
            }
        }
        let (west, _) = engines(Self.pair())
        let east = InlineEngine()
        east.install(narrow.east)
        #expect(east.open(try octets(west.seal(packet(from: "192.0.2.1", to: "192.0.2.2")))).packet != nil)
        let tcp = try octets(west.seal(packet(from: "192.0.2.1", to: "192.0.2.2", ipProtocol: 6)))
        #expect(east.open(tcp) == .dropped(.outsideSelectors))
    }
}
