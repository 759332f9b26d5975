import Cryptography
import Primitives
import Testing

/// AES-XCBC and AES-CMAC against the examples of their RFCs.
@Suite struct BlockAuthenticatorTests {
    struct Example: Sendable {
        let key: [UInt8]
        let message: [UInt8]
        let code: String
    }

    private static let numbers = [UInt8](0..<16)
    private static let long: [UInt8] = numbers + [0xed, 0xcb]
    private static let twenty = [UInt8](0..<20)

    /// RFC 3566 §4.6.
    static let extended = [
        Example(key: numbers, message: [], code: "75f0251d528ac01c4573dfd584d79f29"),
        Example(key: numbers, message: [0, 1, 2], code: "5b376580ae2f19afe7219ceef172756f"),
        Example(key: numbers, message: numbers, code: "d2a246fa349b68a79998a4394ff7a263"),
        Example(key: numbers, message: twenty, code: "47f51b4564966215b8985c63055ed308"),
        Example(key: numbers, message: [UInt8](0..<32), code: "f54f0ec8d2b9f3d36807734bd5283fd4"),
        Example(key: numbers, message: [UInt8](0..<34), code: "becbb3bccdb518a30677d5481fb6b4d8"),
        Example(
            key: numbers, message: [UInt8](repeating: 0, count: 1000), code: "f0dafee895db30253761103b5d84528f"),
    ]

    /// RFC 4434 §4: keys of 16, 10 and 18 octets.
    static let extendedFunction = [
        Example(key: numbers, message: twenty, code: "47f51b4564966215b8985c63055ed308"),
        Example(key: Array(numbers[..<10]), message: twenty, code: "0fa087af7d866e7653434e602fdde835"),
        Example(key: long, message: twenty, code: "8cd3c93ae598a9803006ffb67c40e9e4"),
    ]

    private static let nist = [UInt8](hex: "2b7e151628aed2a6abf7158809cf4f3c") ?? []
    private static let text =
        [UInt8](
            hex: "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52ef"
                + "f69f2445df4f9b17ad2b417be66c3710") ?? []

    /// RFC 4493 §4.
    static let cipherBased = [
        Example(key: nist, message: [], code: "bb1d6929e95937287fa37d129b756746"),
        Example(key: nist, message: Array(text[..<16]), code: "070a16b46b4d4144f79bdd9dd04a287c"),
        Example(key: nist, message: Array(text[..<40]), code: "dfa66747de9ae63030ca32611497c827"),
        Example(key: nist, message: text, code: "51f0bebf7e3b9d92fc49741779363cfe"),
    ]

    /// RFC 4615 §4.
    static let cipherBasedFunction = [
        Example(key: long, message: twenty, code: "84a348a4a45d235babfffc0d2b4da09a"),
        Example(key: numbers, message: twenty, code: "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        Example(key: Array(numbers[..<10]), message: twenty, code: "290d9e112edb09ee141fcf64c0b72f3d"),
    ]

    @Test(arguments: [(PRFID.aesXCBC, extended + extendedFunction), (.aesCMAC, cipherBased + cipherBasedFunction)])
    func functions(_ prf: PRFID, _ examples: [Example]) throws {
        for example in examples {
            let key = Secret(example.key)
            let code = try PseudorandomFunction.compute(prf, key: key, [.open(example.message)])
            #expect(code.hex == example.code)
            // Wherever the message is cut, the code is the same.
            for cut in [0, 1, 15, 16, 17, 31, 33] where cut <= example.message.count {
                let parts: [Octets] = [
                    .open(Array(example.message[..<cut])), .secret(Secret([])),
                    .secret(Secret(example.message[cut...])),
                ]
                #expect(try PseudorandomFunction.derive(prf, key: key, parts) == Secret(code), "cut at \(cut)")
            }
        }
    }

    @Test(arguments: [(IntegrityID.aesXCBC_96, extended), (.aesCMAC_96, cipherBased)])
    func integrity(_ id: IntegrityID, _ examples: [Example]) throws {
        #expect(IntegrityCheck.supports(id))
        for example in examples {
            let key = Secret(example.key)
            let tag = try IntegrityCheck.compute(id, key: key, example.message[...])
            #expect(tag.hex == String(example.code.prefix(24)))
            #expect(try IntegrityCheck.verify(id, key: key, example.message[...], tag: tag[...]))
            #expect(try !IntegrityCheck.verify(id, key: key, (example.message + [0])[...], tag: tag[...]))
            #expect(try !IntegrityCheck.verify(id, key: key, example.message[...], tag: tag.dropLast()))
        }
        // Only the prfs take other lengths.
        for count in [0, 15, 17, 32] {
            let key = Secret([UInt8](repeating: 1, count: count))
            #expect(throws: CryptographyError.invalidKey) { try IntegrityCheck.compute(id, key: key, [][...]) }
        }
    }

    /// prf+ (RFC 7296 §2.13), written out.
    @Test(arguments: [PRFID.aesXCBC, .aesCMAC, .hmacMD5]) func expansion(_ prf: PRFID) throws {
        let key = Secret(Self.long)
        let seed = Self.twenty
        var expected: [UInt8] = []
        var block: [UInt8] = []
        for number: UInt8 in 1...5 {
            block = try PseudorandomFunction.compute(prf, key: key, [.open(block), .open(seed), .open([number])])
            #expect(block.count == 16 && prf.outputOctets == 16)
            expected += block
        }
        #expect(
            try PseudorandomFunction.expand(prf, key: key, seed: [.open(seed)], count: 77) == Secret(expected[..<77]))
    }
}
