import Cryptography
import Primitives
import Testing
import VectorSupport

@Suite struct HMACTests {
    struct Family: Sendable, CustomStringConvertible {
        let file: String
        let hash: HashID
        let prf: PRFID
        let integrity: IntegrityID
        var description: String { file }
    }

    static let families = [
        Family(file: "hmac-sha1", hash: .sha1, prf: .hmacSHA1, integrity: .hmacSHA1_96),
        Family(file: "hmac-sha256", hash: .sha256, prf: .hmacSHA256, integrity: .hmacSHA256_128),
        Family(file: "hmac-sha384", hash: .sha384, prf: .hmacSHA384, integrity: .hmacSHA384_192),
        Family(file: "hmac-sha512", hash: .sha512, prf: .hmacSHA512, integrity: .hmacSHA512_256),
    ]

    @Test(arguments: families) func wycheproof(_ family: Family) throws {
        for record in VectorFile(family.file).records {
            let tag = record["tag"]
            let key = Secret(record["key"])
            let valid = record[text: "result"] == "valid"
            let full = try PseudorandomFunction.compute(family.prf, key: key, [.open(record["msg"])])
            #expect((Array(full.prefix(tag.count)) == tag) == valid, "\(record)")
            guard tag.count == family.integrity.tagOctets else { continue }
            let accepted = try IntegrityCheck.verify(family.integrity, key: key, record["msg"][...], tag: tag[...])
            #expect(accepted == valid, "\(record)")
        }
    }

    @Test func requestsForComments() throws {
        let functions: [String: PRFID] = [
            "md5": .hmacMD5, "sha1": .hmacSHA1, "sha256": .hmacSHA256, "sha384": .hmacSHA384, "sha512": .hmacSHA512,
        ]
        for record in VectorFile("hmac-rfc").records {
            let prf = try #require(functions[record[text: "hash"]])
            let key = Secret(record["key"])
            let message = record["msg"]
            #expect(try PseudorandomFunction.compute(prf, key: key, [.open(message)]) == record["mac"], "\(record)")
            // Where a message is cut, and whether a part is secret, makes no difference.
            let parts: [Octets] = [
                .open(Array(message.prefix(3))), .open([]), .secret(Secret(message.dropFirst(3))),
            ]
            #expect(try PseudorandomFunction.derive(prf, key: key, parts) == Secret(record["mac"]), "\(record)")
        }
    }

    @Test func truncatedTagsAreRefused() throws {
        let key = Secret([UInt8](repeating: 7, count: 32))
        let data: [UInt8] = Array(0..<100)
        let tag = try IntegrityCheck.compute(.hmacSHA256_128, key: key, data[...])
        #expect(tag.count == 16)
        #expect(try IntegrityCheck.verify(.hmacSHA256_128, key: key, data[...], tag: tag[...]))
        #expect(try !IntegrityCheck.verify(.hmacSHA256_128, key: key, data[...], tag: tag.dropLast()))
        #expect(try !IntegrityCheck.verify(.hmacSHA256_128, key: key, data[...], tag: [][...]))
        #expect(try !IntegrityCheck.verify(.hmacSHA256_128, key: key, data[...], tag: (tag + [0])[...]))
        #expect(try !IntegrityCheck.verify(.hmacSHA256_128, key: key, data.dropLast(), tag: tag[...]))
    }

    /// `HMAC-SHA2-256("", "")`, as Python's hmac module computes it.
    @Test func emptyKeysAndMessagesAreTaken() throws {
        let expected = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"
        let computed = try PseudorandomFunction.compute(.hmacSHA256, key: Secret([]), [])
        #expect(computed.hex == expected)
    }

    @Test func unknownAlgorithmsAreRefused() {
        #expect(throws: CryptographyError.unsupported("prf 3")) {
            try PseudorandomFunction.compute(PRFID(rawValue: 3), key: Secret([1]), [])
        }
        #expect(throws: CryptographyError.unsupported("integrity 0")) {
            try IntegrityCheck.compute(.none, key: Secret([1]), [][...])
        }
        #expect(throws: CryptographyError.unsupported("hash 99")) { try Digest.compute(HashID(rawValue: 99), []) }
    }

    /// The digests of "abc" in RFC 1321, FIPS 180-4's examples.
    @Test func digests() throws {
        let parts: [Octets] = [.open([0x61]), .secret(Secret([0x62])), .open([0x63])]
        #expect(try Digest.compute(.md5, parts).hex == "900150983cd24fb0d6963f7d28e17f72")
        #expect(try Digest.compute(.sha1, parts).hex == "a9993e364706816aba3e25717850c26c9cd0d89d")
        #expect(
            try Digest.compute(.sha256, parts).hex
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            try Digest.compute(.sha384, parts).hex
                == "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
                + "8086072ba1e7cc2358baeca134c825a7")
        #expect(
            try Digest.compute(.sha512, parts).hex
                == "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f")
    }
}
