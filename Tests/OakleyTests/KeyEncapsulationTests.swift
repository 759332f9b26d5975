import Cryptography
import Primitives
import Testing
import VectorSupport

@testable import Oakley

/// ML-KEM against published values, and as the key exchange that it is here.
@Suite struct KeyEncapsulationTests {
    static let lattices: [(KeyExchangeID, ModuleLattice, String)] = [
        (.mlkem768, .mlkem768, "mlkem-768"), (.mlkem1024, .mlkem1024, "mlkem-1024"),
    ]

    @Test(arguments: lattices.indices) func publishedValues(_ index: Int) throws {
        let (_, lattice, name) = Self.lattices[index]
        var counts = ["valid": 0, "invalid": 0]
        for record in VectorFile(name).records {
            let seed = Secret(record["seed"])
            if record[text: "result"] == "valid" {
                #expect(try lattice.publicKey(seed: seed) == record["ek"], "\(record)")
                #expect(try lattice.decapsulate(record["c"], seed: seed) == Secret(record["K"]), "\(record)")
            } else {
                #expect(throws: CryptographyError.self, "\(record)") {
                    try lattice.decapsulate(record["c"], seed: seed)
                }
            }
            counts[record[text: "result"], default: 0] += 1
        }
        #expect(counts == ["valid": 20, "invalid": 40])
    }

    @Test(arguments: lattices.indices) func bothEndsComeToOneSecret(_ index: Int) throws {
        let (group, lattice, _) = Self.lattices[index]
        var randomness = Randomness.seeded(4)
        let pair = try KeyDetermination.generate(group, &randomness)
        #expect(pair.publicValue.count == lattice.publicOctets)
        #expect(KeyDetermination.publicValueOctets(group) == lattice.publicOctets)
        let (ciphertext, secret) = try KeyDetermination.respond(group, to: pair.publicValue, &randomness)
        #expect(ciphertext.count == lattice.ciphertextOctets && secret.count == 32)
        #expect(try KeyDetermination.sharedSecret(pair, peer: ciphertext) == secret)
        // The same seed gives the same key pair; another encapsulation another secret.
        var again = Randomness.seeded(4)
        #expect(try KeyDetermination.generate(group, &again).publicValue == pair.publicValue)
        #expect(try KeyDetermination.respond(group, to: pair.publicValue, &randomness).sharedSecret != secret)
    }

    @Test(arguments: lattices.indices) func whatIsNoKeyOrCiphertextIsRefused(_ index: Int) throws {
        let (group, _, _) = Self.lattices[index]
        var randomness = Randomness.seeded(5)
        let pair = try KeyDetermination.generate(group, &randomness)
        let (ciphertext, secret) = try KeyDetermination.respond(group, to: pair.publicValue, &randomness)
        for wrong in [[], Array(pair.publicValue.dropLast()), pair.publicValue + [0]] {
            #expect(throws: OakleyError.invalidPublicValue(group)) {
                try KeyDetermination.respond(group, to: wrong, &randomness)
            }
        }
        // Coefficients that are not reduced modulo q (FIPS 203 §7.2).
        var unreduced = pair.publicValue
        unreduced[0] = 0xFF
        unreduced[1] = 0xFF
        #expect(throws: OakleyError.invalidPublicValue(group)) {
            try KeyDetermination.respond(group, to: unreduced, &randomness)
        }
        for wrong in [[], Array(ciphertext.dropLast()), ciphertext + [0]] {
            #expect(throws: OakleyError.invalidPublicValue(group)) {
                try KeyDetermination.sharedSecret(pair, peer: wrong)
            }
        }
        // A ciphertext that was tampered with yields a secret that nobody shares (FIPS 203 §7.3).
        var flipped = ciphertext
        flipped[7] ^= 1
        #expect(try KeyDetermination.sharedSecret(pair, peer: flipped) != secret)
    }

    @Test func theSmallestIsInNoLibrary() {
        var randomness = Randomness.seeded(6)
        #expect(!KeyDetermination.supports(.mlkem512))
        #expect(throws: OakleyError.unsupportedGroup(.mlkem512)) {
            try KeyDetermination.generate(.mlkem512, &randomness)
        }
        #expect(throws: OakleyError.unsupportedGroup(.mlkem512)) {
            try KeyDetermination.respond(.mlkem512, to: [], &randomness)
        }
    }

    @Test func groupsAnswerTheSameWay() throws {
        var randomness = Randomness.seeded(7)
        for group in [KeyExchangeID.curve25519, .ecp256, .modp2048] {
            let pair = try KeyDetermination.generate(group, &randomness)
            let (value, secret) = try KeyDetermination.respond(group, to: pair.publicValue, &randomness)
            #expect(try KeyDetermination.sharedSecret(pair, peer: value) == secret)
        }
    }
}
