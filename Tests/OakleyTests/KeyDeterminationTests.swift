import Cryptography
import Oakley
import Primitives
import Testing
import VectorSupport

@Suite struct KeyDeterminationTests {
    static let groups: [KeyExchangeID] = [
        .modp768, .modp1024, .modp1536, .modp2048, .modp3072, .modp4096, .modp6144, .modp8192, .modp1024s160,
        .modp2048s224, .modp2048s256, .ec2n155, .ec2n185, .ecp192, .ecp224, .ecp256, .ecp384, .ecp521, .brainpool224,
        .brainpool256, .brainpool384, .brainpool512, .curve25519, .curve448,
    ]

    @Test(arguments: groups) func bothSidesAgree(_ group: KeyExchangeID) throws {
        var randomness = Randomness.seeded(UInt64(group.rawValue))
        let count = try #require(KeyDetermination.publicValueOctets(group))
        #expect(KeyDetermination.supports(group))
        let initiator = try KeyDetermination.generate(group, &randomness)
        let responder = try KeyDetermination.generate(group, &randomness)
        #expect(initiator.publicValue.count == count && responder.publicValue.count == count)
        #expect(initiator.publicValue != responder.publicValue)
        let one = try KeyDetermination.sharedSecret(initiator, peer: responder.publicValue)
        let other = try KeyDetermination.sharedSecret(responder, peer: initiator.publicValue)
        #expect(one == other)
        let third = try KeyDetermination.generate(group, &randomness)
        #expect(try KeyDetermination.sharedSecret(third, peer: responder.publicValue) != one)
    }

    @Test(arguments: groups) func aSeedReplaysItsKeys(_ group: KeyExchangeID) throws {
        var first = Randomness.seeded(42)
        var second = Randomness.seeded(42)
        var third = Randomness.seeded(43)
        let value = try KeyDetermination.generate(group, &first).publicValue
        #expect(try KeyDetermination.generate(group, &second).publicValue == value)
        #expect(try KeyDetermination.generate(group, &third).publicValue != value)
        #expect(first.uint64() == second.uint64())
    }

    @Test(arguments: groups) func valuesOfTheWrongLengthAreRefused(_ group: KeyExchangeID) throws {
        var randomness = Randomness.seeded(1)
        let pair = try KeyDetermination.generate(group, &randomness)
        let peer = try KeyDetermination.generate(group, &randomness).publicValue
        let wrongs: [[UInt8]] = [[], Array(peer.dropLast()), Array(peer.dropFirst()), peer + [0], [0] + peer]
        for wrong in wrongs {
            #expect(throws: OakleyError.invalidPublicValue(group)) {
                try KeyDetermination.sharedSecret(pair, peer: wrong)
            }
        }
        #expect(throws: OakleyError.invalidPublicValue(group)) {
            try KeyDetermination.sharedSecret(pair, peer: [UInt8](repeating: 0, count: peer.count))
        }
    }

    @Test(arguments: [
        KeyExchangeID.none, KeyExchangeID(rawValue: 6), KeyExchangeID(rawValue: 13), KeyExchangeID(rawValue: 65000),
    ])
    func unknownGroupsAreRefused(_ group: KeyExchangeID) {
        var randomness = Randomness.seeded(1)
        #expect(!KeyDetermination.supports(group))
        #expect(KeyDetermination.publicValueOctets(group) == nil)
        #expect(throws: OakleyError.unsupportedGroup(group)) { try KeyDetermination.generate(group, &randomness) }
    }

    @Test func degenerateNumbersAreRefused() throws {
        var randomness = Randomness.seeded(5)
        for record in VectorFile("modp").records {
            let group = KeyExchangeID(rawValue: try #require(UInt16(record[text: "group"])))
            let pair = try KeyDetermination.generate(group, &randomness)
            let prime = record["prime"]
            func offset(_ difference: Int) -> [UInt8] {  // p + difference; p ends in ff…ff
                var value = prime
                if difference <= 0 { value[value.count - 1] -= UInt8(-difference) }
                return value
            }
            let zero = [UInt8](repeating: 0, count: prime.count)
            let one = Array(zero.dropLast() + [1])
            let highest = [UInt8](repeating: 0xff, count: prime.count)  // above p
            let degenerate: [[UInt8]] = [zero, one, offset(-1), offset(0), highest]
            for value in degenerate {
                #expect(throws: OakleyError.invalidPublicValue(group)) {
                    try KeyDetermination.sharedSecret(pair, peer: value)
                }
            }
            // The bounds themselves are legal: 2 and p-2.
            let two = Array(zero.dropLast() + [2])
            #expect(try KeyDetermination.sharedSecret(pair, peer: two) == Secret(pair.publicValue))
            #expect(try KeyDetermination.sharedSecret(pair, peer: offset(-2)).count == prime.count)
        }
    }

    @Test func pointsOffTheCurveAreRefused() throws {
        var randomness = Randomness.seeded(5)
        let curves: [KeyExchangeID] = [
            .ecp192, .ecp224, .ecp256, .ecp384, .ecp521, .brainpool224, .brainpool256, .brainpool384, .brainpool512,
        ]
        for group in curves {
            let pair = try KeyDetermination.generate(group, &randomness)
            var peer = try KeyDetermination.generate(group, &randomness).publicValue
            peer[peer.count - 1] ^= 1
            #expect(throws: OakleyError.invalidPublicValue(group)) {
                try KeyDetermination.sharedSecret(pair, peer: peer)
            }
        }
    }

    /// The groups' tables are shared by all threads.
    @Test func threadsShareTheGroups() async throws {
        let agreed = await withTaskGroup(of: Bool.self) { tasks in
            for seed in 0..<32 {
                tasks.addTask {
                    let group = [KeyExchangeID.modp2048, .ecp256, .ecp384, .curve25519][seed % 4]
                    var randomness = Randomness.seeded(UInt64(seed))
                    guard let one = try? KeyDetermination.generate(group, &randomness),
                        let other = try? KeyDetermination.generate(group, &randomness)
                    else { return false }
                    return (try? KeyDetermination.sharedSecret(one, peer: other.publicValue))
                        == (try? KeyDetermination.sharedSecret(other, peer: one.publicValue))
                }
            }
            return await tasks.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(agreed == 32)
    }
}
