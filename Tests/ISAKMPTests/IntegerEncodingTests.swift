import ISAKMP
import Testing

/// RFC 2412 Appendix C.
@Suite struct IntegerEncodingTests {
    /// The appendix's example: 51 bits in two words.
    @Test func theExampleOfTheAppendix() throws {
        let number: [UInt8] = [0x07, 1, 2, 3, 4, 5, 6]
        let encoded = IntegerEncoding.words.encode(number)
        #expect(encoded == [0, 0, 0, 2, 0, 0x07, 1, 2, 3, 4, 5, 6])
        #expect(try IntegerEncoding.words.decode(encoded) == number)
        #expect(try IntegerEncoding.words.decode(encoded, count: 9) == [0, 0] + number)
    }

    @Test func zeroHasNoWords() throws {
        #expect(IntegerEncoding.words.encode([0, 0]) == [0, 0, 0, 0])
        #expect(try IntegerEncoding.words.decode([0, 0, 0, 0], count: 2) == [0, 0])
    }

    @Test func oneNumberHasOneForm() {
        for encoded in [
            [], [0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1, 1, 2, 3], [0, 0, 0, 2, 1, 2, 3, 4], [0, 0, 0, 1, 0, 0, 0, 0],
            [0, 0, 0, 1, 1, 2, 3, 4, 5], [255, 255, 255, 255, 1, 2, 3, 4], [0, 0, 0, 2, 0, 0, 0, 0, 1, 2, 3, 4],
        ] as [[UInt8]] {
            #expect(throws: FunctionFailure.self, "\(encoded)") { try IntegerEncoding.words.decode(encoded) }
        }
        #expect(throws: FunctionFailure.self) { try IntegerEncoding.words.decode([0, 0, 0, 1, 1, 2, 3, 4], count: 3) }
    }

    @Test func octetsStayAsTheyAre() throws {
        #expect(IntegerEncoding.octets.encode([0, 1]) == [0, 1])
        #expect(try IntegerEncoding.octets.decode([0, 1], count: 9) == [0, 1])
    }
}
