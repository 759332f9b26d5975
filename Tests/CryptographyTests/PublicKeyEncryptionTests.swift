import Cryptography
import Primitives
import Testing
import VectorSupport

/// RSAES-PKCS1-v1_5 with implicit rejection.
@Suite struct PublicKeyEncryptionTests {
    private static let file = VectorFile("rsa-pkcs1").records
    private static let cases = Array(file.dropFirst())

    private static func key() throws -> PrivateKey {
        try PrivateKey(parsing: Secret(try #require(file.first)["private"]))
    }

    /// Messages where the padding holds, and where it does not what another implementation makes of the ciphertext.
    @Test func answersAreThoseOfAnotherImplementation() throws {
        let key = try Self.key()
        var held = 0
        var rejected = 0
        for record in Self.cases where record[text: "answered"] == "yes" {
            let answer = try key.decrypt(record["ciphertext"], lengths: 0...245)
            #expect(answer.exposed == record["answer"], "\(record)")
            if record[text: "result"] == "invalid" {
                rejected += 1
            } else {
                held += 1
                #expect(answer.exposed == record["message"], "\(record)")
            }
        }
        #expect((held, rejected) == (10, 19))
    }

    @Test func ciphertextsOfAWrongLengthGetAnAnswerToo() throws {
        let key = try Self.key()
        let whole = try #require(Self.cases.first)["ciphertext"]
        for ciphertext in [[], [1], Array(whole.dropLast()), whole + [0], [UInt8](repeating: 0xFF, count: 256)] {
            let answer = try key.decrypt(ciphertext, lengths: 8...100)
            #expect((8...100).contains(answer.count))
            #expect(try key.decrypt(ciphertext, lengths: 8...100) == answer, "the same answer each time")
        }
        #expect(try key.decrypt([1], lengths: 8...100) != (try key.decrypt([2], lengths: 8...100)))
    }

    /// A message whose length nobody awaits is rejected like one whose padding does not hold.
    @Test func lengthsOutsideTheRangeAreRejected() throws {
        let key = try TestKeys.privateKey("rsa-left")
        for count in [0, 7, 8, 32, 64, 65, 245] {
            let message = Secret([UInt8](repeating: 7, count: count))
            let answer = try key.decrypt(try key.publicKey.encrypt(message), lengths: 8...64)
            #expect((8...64).contains(answer.count))
            #expect((answer == message) == (8...64).contains(count))
        }
    }

    @Test(arguments: ["rsa-left", "rsa-other", "rsa-odd"])
    func whatIsEncryptedIsDecrypted(_ name: String) throws {
        let key = try TestKeys.privateKey(name)
        let longest = try #require(key.publicKey.longestPlaintext)
        for count in [0, 1, 32, longest] {
            let message = Secret((0..<count).map { UInt8(truncatingIfNeeded: $0) })
            let ciphertext = try key.publicKey.encrypt(message)
            #expect(ciphertext.count == key.publicKey.ciphertextOctets)
            #expect(try key.decrypt(ciphertext, lengths: 0...longest) == message)
            #expect(try key.publicKey.encrypt(message) != ciphertext, "the padding is random")
        }
        #expect(throws: CryptographyError.invalidKey) {
            try key.publicKey.encrypt(Secret([UInt8](repeating: 1, count: longest + 1)))
        }
    }

    @Test func onlyRSAKeysDecryptAndOnlyPossibleLengths() throws {
        let curve = try TestKeys.privateKey("ecdsa-256-left")
        #expect(curve.publicKey.longestPlaintext == nil)
        #expect(throws: CryptographyError.invalidKey) { try curve.decrypt([1], lengths: 0...10) }
        #expect(throws: CryptographyError.invalidKey) { try curve.publicKey.encrypt(Secret([1])) }
        let key = try TestKeys.privateKey("rsa-odd")
        #expect(throws: CryptographyError.invalidKey) { try key.decrypt([1], lengths: 119...200) }
    }

    /// Stand-ins look like messages: their lengths spread over the range, and no two are alike.
    @Test func standInsLookLikeMessages() throws {
        let key = try TestKeys.privateKey("rsa-odd")
        var lengths: Set<Int> = []
        var answers: Set<[UInt8]> = []
        for number in 0..<UInt8(60) {
            let answer = try key.decrypt([UInt8](repeating: 0, count: 128) + [number], lengths: 8...100)
            lengths.insert(answer.count)
            answers.insert(answer.exposed)
        }
        #expect(lengths.count > 25 && answers.count == 60)
    }
}
