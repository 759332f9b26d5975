import Cryptography
import Primitives
import Testing

@Suite struct SecretTests {
    @Test func equalityIsOfLengthAndOctets() {
        #expect(Secret([1, 2, 3]) == Secret([1, 2, 3]))
        #expect(Secret([1, 2, 3]) != Secret([1, 2, 4]))
        #expect(Secret([1, 2, 3]) != Secret([1, 2]))
        #expect(Secret([]) == Secret([]))
    }

    @Test func partsAndConcatenation() {
        let whole = Secret(Array(0..<100))
        #expect(whole[0..<0] == Secret([]))
        #expect(whole[10..<13] == Secret([10, 11, 12]))
        #expect(Secret(concatenating: [whole[0..<40], Secret([]), whole[40..<100]]) == whole)
        #expect(whole.exposed == Array(0..<100))
    }

    @Test func aSecretDoesNotPrintItself() {
        let secret = Secret(Array("sesame".utf8))
        #expect(!String(describing: secret).contains("sesame"))
        #expect(!String(reflecting: secret).contains("115"))
        var dumped = ""
        dump(secret, to: &dumped)
        #expect(!dumped.contains("115") && !dumped.contains("sesame"))
        // Nor where it lies: an address is of use to whoever can read memory elsewhere.
        #expect(Mirror(reflecting: secret).children.isEmpty && !dumped.contains("0x"))
    }

    @Test func generatedSecretsFollowTheGenerator() {
        var first = Randomness.seeded(3)
        var second = Randomness.seeded(3)
        let octets = first.octets(19)
        #expect(Secret.random(19, &second) == Secret(octets))
        #expect(first.uint64() == second.uint64())
        #expect(Secret.random(19, &second) != Secret(octets))
    }

    @Test func comparisonOfAuthenticators() {
        #expect(ConstantTime.equal([], []))
        #expect(ConstantTime.equal([1, 2], [1, 2]))
        #expect(!ConstantTime.equal([1, 2], [1, 3]))
        #expect(!ConstantTime.equal([1, 2], [1]))
    }
}
