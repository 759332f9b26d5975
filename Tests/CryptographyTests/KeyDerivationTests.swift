import Cryptography
import Primitives
import Testing
import VectorSupport

/// The key derivations' equations, built from the functions here, against NIST's sample cases.
@Suite struct KeyDerivationTests {
    private func record(_ kdf: String) throws -> VectorFile.Record {
        try #require(VectorFile("ike-kdf").records.first { $0[text: "kdf"] == kdf })
    }

    private func expectChain(_ key: VectorFile.Record, from skeyid: Secret) throws {
        let cookies: [Octets] = [.open(key["ckyInit"]), .open(key["ckyResp"])]
        let shared = Octets.secret(Secret(key["gxy"]))
        #expect(skeyid == Secret(key["sKeyId"]))
        let d = try PseudorandomFunction.derive(.hmacSHA1, key: skeyid, [shared] + cookies + [.open([0])])
        #expect(d == Secret(key["sKeyIdD"]))
        let a = try PseudorandomFunction.derive(
            .hmacSHA1, key: skeyid, [.secret(d), shared] + cookies + [.open([1])])
        #expect(a == Secret(key["sKeyIdA"]))
        let e = try PseudorandomFunction.derive(
            .hmacSHA1, key: skeyid, [.secret(a), shared] + cookies + [.open([2])])
        #expect(e == Secret(key["sKeyIdE"]))
    }

    @Test func ikev1WithPresharedKey() throws {
        let key = try record("ikev1_psk")
        let skeyid = try PseudorandomFunction.derive(
            .hmacSHA1, key: Secret(key["preSharedKey"]), [.open(key["nInit"]), .open(key["nResp"])])
        try expectChain(key, from: skeyid)
    }

    @Test func ikev1WithSignatures() throws {
        let key = try record("ikev1_dsa")
        let skeyid = try PseudorandomFunction.derive(
            .hmacSHA1, key: Secret(key["nInit"] + key["nResp"]), [.secret(Secret(key["gxy"]))])
        try expectChain(key, from: skeyid)
    }

    @Test func ikev2() throws {
        let key = try record("ikev2")
        let nonces = key["nInit"] + key["nResp"]
        let skeyseed = try PseudorandomFunction.derive(
            .hmacSHA1, key: Secret(nonces), [.secret(Secret(key["gir"]))])
        #expect(skeyseed == Secret(key["sKeySeed"]))
        let seed: [Octets] = [.open(nonces), .open(key["spiInit"]), .open(key["spiResp"])]
        let expected = key["derivedKeyingMaterial"]
        let material = try PseudorandomFunction.expand(.hmacSHA1, key: skeyseed, seed: seed, count: expected.count)
        #expect(material == Secret(expected))
        // A shorter request is a prefix of a longer one.
        let short = try PseudorandomFunction.expand(.hmacSHA1, key: skeyseed, seed: seed, count: 33)
        #expect(short == Secret(expected.prefix(33)))

        let sk_d = material[0..<20]
        let child = key["derivedKeyingMaterialChild"]
        #expect(
            try PseudorandomFunction.expand(.hmacSHA1, key: sk_d, seed: [.open(nonces)], count: child.count)
                == Secret(child))
        let withGroup = key["derivedKeyingMaterialDh"]
        #expect(
            try PseudorandomFunction.expand(
                .hmacSHA1, key: sk_d, seed: [.secret(Secret(key["girNew"])), .open(nonces)], count: withGroup.count)
                == Secret(withGroup))
        #expect(
            try PseudorandomFunction.derive(
                .hmacSHA1, key: sk_d, [.secret(Secret(key["girNew"])), .open(nonces)])
                == Secret(key["sKeySeedReKey"]))
    }

    @Test func expansionEndsAfter255Blocks() throws {
        let key = Secret([1, 2, 3])
        let longest = try PseudorandomFunction.expand(.hmacSHA256, key: key, seed: [.open([9])], count: 255 * 32)
        #expect(longest.count == 8160)
        let block254 = longest[(253 * 32)..<(254 * 32)]
        let block255 = try PseudorandomFunction.derive(
            .hmacSHA256, key: key, [.secret(block254), .open([9]), .open([255])])
        #expect(longest[(254 * 32)..<8160] == block255)
        #expect(throws: CryptographyError.invalidKey) {
            try PseudorandomFunction.expand(.hmacSHA256, key: key, seed: [.open([9])], count: 255 * 32 + 1)
        }
        #expect(try PseudorandomFunction.expand(.hmacSHA256, key: key, seed: [], count: 0).count == 0)
    }
}
