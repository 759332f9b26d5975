import Cryptography
import Primitives
import Testing
import VectorSupport

/// The groups' arithmetic against published values; private values are given, so these go below `KeyDetermination`.
@Suite struct GroupVectorTests {
    @Test func primeGroups() throws {
        let records = VectorFile("modp").records
        #expect(records.count == 7)
        for record in records {
            let id = KeyExchangeID(rawValue: try #require(UInt16(record[text: "group"])))
            let group = try #require(PrimeGroup.find(id))
            let (x, y) = (Secret(record["x"]), Secret(record["y"]))
            #expect(try group.publicValue(x) == record["gx"], "\(id)")
            #expect(try group.publicValue(y) == record["gy"], "\(id)")
            #expect(try group.sharedSecret(x, peer: record["gy"]) == Secret(record["gxy"]), "\(id)")
            #expect(try group.sharedSecret(y, peer: record["gx"]) == Secret(record["gxy"]), "\(id)")
        }
    }

    /// A shared secret with zeros in front keeps them: about one in 256 has (RFC 7296 §2.14).
    @Test func sharedSecretsKeepTheirLength() throws {
        let group = try #require(PrimeGroup.find(.modp1024))
        var randomness = Randomness.seeded(1)
        let fixed = try group.makeExponent(&randomness)
        let peer = try group.publicValue(fixed)
        var padded = 0
        for _ in 0..<2000 where padded == 0 {
            let exponent = try group.makeExponent(&randomness)
            let secret = try #require(try group.sharedSecret(exponent, peer: peer))
            #expect(secret.count == 128)
            if secret.exposed[0] == 0 {
                padded += 1
                #expect(try group.sharedSecret(fixed, peer: try group.publicValue(exponent)) == secret)
            }
        }
        #expect(padded == 1)
    }

    @Test func curvesInIKE() throws {
        for record in VectorFile("ecp-rfc5903").records {
            let id = KeyExchangeID(rawValue: try #require(UInt16(record[text: "group"])))
            let curve = try #require(EllipticCurve.find(id))
            let (i, r) = (Secret(record["i"]), Secret(record["r"]))
            #expect(try curve.publicValue(i) == record["gi"], "\(record)")
            #expect(try curve.publicValue(r) == record["gr"], "\(record)")
            #expect(try curve.sharedSecret(i, peer: record["gr"]) == Secret(record["gir"]), "\(record)")
            #expect(try curve.sharedSecret(r, peer: record["gi"]) == Secret(record["gir"]), "\(record)")
        }
    }

    @Test(arguments: [("ecdh-ecp256", KeyExchangeID.ecp256), ("ecdh-ecp384", .ecp384), ("ecdh-ecp521", .ecp521)])
    func curvesOfWycheproof(_ file: String, _ id: KeyExchangeID) throws {
        let curve = try #require(EllipticCurve.find(id))
        var valid = 0
        var refused = 0
        for record in VectorFile(file).records {
            let point = record["public"]
            #expect(point.first == 4)
            let secret = try curve.sharedSecret(Secret(record["private"]), peer: Array(point.dropFirst()))
            if record[text: "result"] == "valid" {
                valid += 1
                #expect(secret == Secret(record["shared"]), "\(record)")
            } else {
                refused += 1
                #expect(secret == nil, "\(record)")
            }
        }
        #expect(valid >= 100 && refused >= 10)
    }

    @Test(arguments: [("curve25519", MontgomeryCurve.x25519), ("curve448", .x448)])
    func montgomeryCurves(_ file: String, _ curve: MontgomeryCurve) throws {
        var zero = 0
        for record in VectorFile(file).records {
            let scalar = Secret(record["private"])
            let own = try curve.publicValue(scalar)
            let secret = try curve.sharedSecret(scalar, publicValue: own, peer: record["public"])
            let shared = record["shared"]
            if record[text: "result"] == "invalid" || shared.allSatisfy({ $0 == 0 }) {
                zero += 1
                #expect(secret == nil, "\(record)")
            } else {
                #expect(secret == Secret(shared), "\(record)")
            }
        }
        #expect(zero > 0)
    }

    /// RFC 7748 §6.1 and §6.2: the public values of the examples' private keys.
    @Test func montgomeryPublicValues() throws {
        let bob = try #require(
            [UInt8](hex: "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
        #expect(
            try MontgomeryCurve.x25519.publicValue(Secret(bob)).hex
                == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let other = try #require(
            [UInt8](
                hex: "9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf5"
                    + "74a9419744897391006382a6f127ab1d9ac2d8c0a598726b"))
        #expect(
            try MontgomeryCurve.x448.publicValue(Secret(other)).hex
                == "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bb"
                + "c836647241d953d40c5b12da88120d53177f80e532c41fa0")
    }
}
