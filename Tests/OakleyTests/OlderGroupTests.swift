import Cryptography
import Oakley
import Primitives
import Testing
import VectorSupport

/// The groups of RFC 2409 §6 and RFC 5114 against `reference/groups.py`, a second implementation of them.
@Suite struct OlderGroupTests {
    private static let records = VectorFile("oakley-groups").records
    private static let answers = records.filter { $0[text: "hostile"].isEmpty }
    private static let hostile = records.filter { !$0[text: "hostile"].isEmpty }

    private func group(_ record: VectorFile.Record) throws -> KeyExchangeID {
        KeyExchangeID(rawValue: try #require(UInt16(record[text: "group"])))
    }

    @Test func knownAnswers() throws {
        var groups: Set<UInt16> = []
        for record in Self.answers {
            let id = try group(record)
            groups.insert(id.rawValue)
            let (x, y) = (Secret(record["x"]), Secret(record["y"]))
            let (gx, gy) = (record["gx"], record["gy"])
            if let modulus = PrimeGroup.find(id) {
                #expect(try modulus.publicValue(x) == gx, "\(id)")
                #expect(try modulus.publicValue(y) == gy, "\(id)")
                #expect(try modulus.sharedSecret(x, peer: gy) == Secret(record["gxy"]), "\(id)")
                #expect(try modulus.sharedSecret(y, peer: gx) == Secret(record["gxy"]), "\(id)")
            } else {
                let curve = try #require(EllipticCurve.find(id))
                #expect(try curve.publicValue(x) == gx, "\(id)")
                #expect(try curve.publicValue(y) == gy, "\(id)")
                #expect(try curve.sharedSecret(x, peer: gy) == Secret(record["gxy"]), "\(id)")
                #expect(try curve.sharedSecret(y, peer: gx) == Secret(record["gxy"]), "\(id)")
            }
        }
        #expect(groups == [1, 3, 4, 22, 23, 24, 25, 26, 27, 28, 29, 30])
    }

    /// RFC 5114 §A.1: a public value that the document itself prints.
    @Test func publishedPublicValue() throws {
        let x = try #require([UInt8](hex: "b9a3b3ae8fefc1a2930496507086f8455d48943e"))
        let value = try #require(PrimeGroup.find(.modp1024s160)).publicValue(Secret(x))
        #expect(
            value.hex
                == "2a853b3d92197501b9015b2deb3ed84f5e021dcc3e52f109d3273d2b7521281cbabe0e76ff5727fa8acce26956ba9a1f"
                + "ca26f20228d8693feb10841d84a7360054ece5a7f5b7a61ad3dfb3c60d2e43106d8727da37df9cce95b478755d06bcea"
                + "8f9d45965f75a5f3d1df3701165fc9e50c4279ceb07f989540ae96d5d88ed776")
    }

    /// RFC 2412 §E.3 and §E.4 print the generators' x; a scalar of one sends it.
    @Test func oakleyCurvesHaveTheirGenerators() throws {
        let third = try #require(EllipticCurve.find(.ec2n155))
        let fourth = try #require(EllipticCurve.find(.ec2n185))
        #expect(third.octets == 20 && fourth.octets == 24)
        #expect(try third.publicValue(Secret([1])) == [UInt8](repeating: 0, count: 19) + [0x7b])
        #expect(try fourth.publicValue(Secret([1])) == [UInt8](repeating: 0, count: 23) + [0x18])
    }

    /// Points of small order, names of no point, and second names of a point.
    @Test func hostilePointsAreRefused() throws {
        var randomness = Randomness.seeded(9)
        for record in Self.hostile {
            let id = try group(record)
            let pair = try KeyDetermination.generate(id, &randomness)
            #expect(throws: OakleyError.invalidPublicValue(id), "\(record[text: "what"])") {
                try KeyDetermination.sharedSecret(pair, peer: record["hostile"])
            }
        }
        #expect(Self.hostile.count >= 10)
    }

    /// A private scalar is a multiple of the cofactor, so that a part of small order in a peer's point vanishes: the
    /// generator of group 3 has a part of order 4, and no public value has one.
    @Test(arguments: [(KeyExchangeID.ec2n155, 12), (.ec2n185, 4)])
    func scalarsAreMultiplesOfTheCofactor(_ id: KeyExchangeID, _ cofactor: Int) throws {
        let curve = try #require(EllipticCurve.find(id))
        var randomness = Randomness.seeded(77)
        var seen: Set<[UInt8]> = []
        for _ in 0..<20 {
            let octets = try curve.makeScalar(&randomness).exposed
            #expect(octets.reduce(0) { ($0 * 256 + Int($1)) % cofactor } == 0)
            seen.insert(octets)
        }
        #expect(seen.count == 20)
    }

    /// RFC 6989 §2.2: in a group with a small order, a value outside the subgroup would tell the peer parts of the
    /// exponent. 2 is such a value in each.
    @Test(arguments: [KeyExchangeID.modp1024s160, .modp2048s224, .modp2048s256])
    func valuesOutsideTheSubgroupAreRefused(_ id: KeyExchangeID) throws {
        var randomness = Randomness.seeded(3)
        let pair = try KeyDetermination.generate(id, &randomness)
        let zeros = [UInt8](repeating: 0, count: pair.publicValue.count - 1)
        for low: UInt8 in [0, 1, 2, 3] {
            #expect(throws: OakleyError.invalidPublicValue(id)) {
                try KeyDetermination.sharedSecret(pair, peer: zeros + [low])
            }
        }
        // The same value is fine where the subgroup is half of the group.
        let safe = try KeyDetermination.generate(.modp768, &randomness)
        let two = [UInt8](repeating: 0, count: 95) + [2]
        #expect(try KeyDetermination.sharedSecret(safe, peer: two) == Secret(safe.publicValue))
    }
}
