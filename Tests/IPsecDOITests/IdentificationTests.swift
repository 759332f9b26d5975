import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

/// Identification payloads and the situation (RFC 2407 §4.2, §4.6.2).
@Suite struct IdentificationTests {
    @Test func endsOfTheISAKMPSA() throws {
        for text in ["gateway.example", "me@example.org", "192.0.2.1", "2001:db8::1", "keyid:abc"] {
            let identity = try #require(Identity(text))
            let body = Identification.body(identity)
            #expect(body.prefix(4) == [identity.kind.rawValue, 0, 0, 0])
            #expect(try Identification.identity(body) == identity)
        }
        #expect(try Identification.identity([1, 17, 1, 0xF4, 192, 0, 2, 1]) == Identity("192.0.2.1"))
        for body: [UInt8] in [[], [1], [1, 0, 0], [2, 0, 0, 0]] {
            #expect(throws: ParseError.self) { try Identification.identity(body) }
        }
    }

    /// RFC 2407 §4.6.2.1: every type, with data of its form.
    @Test func everyTypeIsReadAndWritten() throws {
        let four: [UInt8] = [192, 0, 2, 1]
        let sixteen = [UInt8](1...16)
        let data: [(UInt8, [UInt8])] = [
            (1, four), (2, Array("gw.example".utf8)), (3, Array("me@example".utf8)), (4, four + [255, 255, 255, 0]),
            (5, sixteen), (6, sixteen + sixteen), (7, four + [192, 0, 2, 9]), (8, sixteen + sixteen),
            (9, [0x30, 0]), (10, [0x82, 1, 0x61]), (11, [1, 2, 3]),
        ]
        #expect(data.map(\.0) == Array(1...11))
        for (kind, octets) in data {
            let identity = try Identification.identity([kind, 0, 0, 0] + octets)
            #expect(identity.kind.rawValue == kind && identity.octets == octets)
            #expect(Identification.body(identity) == [kind, 0, 0, 0] + octets)
            guard [1, 4, 5, 6, 7, 8].contains(kind) else { continue }
            for broken in [Array(octets.dropLast()), octets + [0]] {
                #expect(throws: ParseError.self, "type \(kind)") {
                    try Identification.identity([kind, 0, 0, 0] + broken)
                }
            }
        }
    }

    static let sides: [(TrafficSelector, [UInt8])] = {
        func selector(_ text: String, ipProtocol: UInt8 = 0, port: UInt16? = nil) -> TrafficSelector {
            TrafficSelector(Prefix(text)!, ipProtocol: ipProtocol, firstPort: port ?? 0, lastPort: port ?? .max)
        }
        let range = TrafficSelector(first: IPAddress("10.0.0.1")!, last: IPAddress("10.0.0.9")!)!
        let six = [UInt8](hex: "20010db8000000000000000000000000")!
        return [
            (selector("10.1.0.0/16"), [4, 0, 0, 0, 10, 1, 0, 0, 255, 255, 0, 0]),
            (selector("192.0.2.1/32"), [1, 0, 0, 0, 192, 0, 2, 1]),
            (selector("0.0.0.0/0"), [4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            (selector("10.1.0.0/17", ipProtocol: 6, port: 80), [4, 6, 0, 80, 10, 1, 0, 0, 255, 255, 128, 0]),
            (range, [7, 0, 0, 0, 10, 0, 0, 1, 10, 0, 0, 9]),
            (selector("2001:db8::/32"), [6, 0, 0, 0] + six + [255, 255, 255, 255] + [UInt8](repeating: 0, count: 12)),
            (selector("2001:db8::/128"), [5, 0, 0, 0] + six),
            (selector("::/0"), [6, 0, 0, 0] + [UInt8](repeating: 0, count: 32)),
        ]
    }()

    @Test(arguments: sides) func sidesOfAnIPsecSA(side: (TrafficSelector, [UInt8])) throws {
        #expect(Identification.body(side.0) == side.1)
        #expect(try Identification.selector(side.1) == side.0)
        for count in 0..<side.1.count {
            // Three octets short of a range is no address, subnet or range.
            #expect(throws: ParseError.self) { try Identification.selector(Array(side.1.prefix(count))) }
        }
    }

    @Test func aSingleAddressAsSubnetOrRange() throws {
        let address = TrafficSelector(IPAddress("192.0.2.1")!)
        #expect(try Identification.selector([4, 0, 0, 0, 192, 0, 2, 1, 255, 255, 255, 255]) == address)
        #expect(try Identification.selector([7, 0, 0, 0, 192, 0, 2, 1, 192, 0, 2, 1]) == address)
    }

    @Test func wrongSidesAreRefused() {
        let wrong: [[UInt8]] = [
            [4, 0, 0, 0, 10, 0, 0, 0, 255, 0, 255, 0],  // a mask with a hole
            [4, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 255],
            [7, 0, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1],  // backwards
            [2, 0, 0, 0, 97, 46, 98, 99],  // a name
            [1, 0, 0, 0, 1, 2, 3, 4, 5], [5, 0, 0, 0, 1, 2, 3, 4], [200, 0, 0, 0, 1, 2, 3, 4],
        ]
        for body in wrong { #expect(throws: ParseError.self, "\(body)") { try Identification.selector(body) } }
    }

    @Test func hostBitsOfASubnetDoNotCount() throws {
        let selector = try Identification.selector([4, 0, 0, 0, 10, 1, 2, 3, 255, 255, 0, 0])
        #expect(selector.description == "10.1.0.0/16")
    }

    @Test func theSituationEndsWhereItSays() throws {
        var plain = ByteReader([0, 0, 0, 1, 9])
        #expect(try IPsecDOI.readSituation(&plain) == .identityOnly)
        #expect(plain.remaining == 1)
        #expect(IPsecDOI.identifier == 1 && GenericDOI.identifier == 0)
    }
}
