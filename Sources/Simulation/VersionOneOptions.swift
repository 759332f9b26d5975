import Cryptography
import IPsec
import Primitives

/// What version 1 can do besides, drawn for a scenario: groups of the two ends' own, fragments, several SAs in one Quick
/// Mode, the Commit bit, lifetimes that count octets.
struct VersionOneOptions {
    private let hasGroup: Bool
    private let isGroupLearned: Bool
    private let isPhaseOneGroup: Bool
    private let isFragmented: Bool
    private let parallelPairs: Int
    private let asksCommit: Bool
    private let isBundle: Bool

    /// - Parameter seed: of a generator of its own, so that what other parts of a scenario draw stays as it is.
    init(seed: UInt64, hasNAT: Bool) {
        var chance = Randomness.seeded(seed ^ 0x0ACE_0F1E)
        hasGroup = chance.below(4) == 0
        isGroupLearned = chance.below(4) == 0
        isPhaseOneGroup = chance.below(3) == 0
        isFragmented = chance.below(4) == 0
        parallelPairs = chance.below(4) == 0 ? 2 + Int(chance.below(3)) : 1
        asksCommit = chance.below(3) == 0
        isBundle = chance.below(4) == 0 && !hasNAT
    }

    private static let number = KeyExchangeID(rawValue: 40_000)

    /// A safe prime of 1024 bits that no standard numbers, generated once.
    private static let group: PrivateGroup? = {
        let prime = [UInt8](
            hex: "be0b1d3f0a1c003652159ab99da5c2e46623db7dea06c9740247f8e0957c0f8fe94c11cabf3e1cc76e1be77e3564e47d"
                + "c9333639408e3fe16d5c0d561c48b8407d05d62b51a4cd0a55d0b8d1935c3fd06711f34e98dda5c88fd609daf48457c6"
                + "aa46e3ca67842a02c477308b24d155c528b7d0f8ce7b0d5077f02f41bc116157")
        var randomness = Randomness.seeded(1)
        return prime.flatMap { prime in
            try? PrivateGroup(
                number, checking: PrimeGroup.Parameters(prime: prime, generator: [2]), .authenticated, &randomness)
        }
    }()

    /// Changes one end's connection accordingly.
    func apply(to connection: inout Connection, isLeft: Bool) {
        guard connection.version == .v1 else { return }
        connection.asksCommit = asksCommit
        for index in connection.children.indices { connection.children[index].parallelPairs = parallelPairs }
        if isBundle {
            for index in connection.children.indices {
                connection.children[index].isBundle = true
                connection.children[index].proposals += connection.children[index].proposals.map { esp in
                    Proposal(
                        .ah, encryption: [], integrity: [.hmacSHA256_128], keyExchange: esp.keyExchange,
                        extendedSequenceNumbers: [false])
                }
            }
        }
        if hasGroup, let group = VersionOneOptions.group {
            let isLearned = isGroupLearned && !isPhaseOneGroup && !isLeft
            connection.privateGroups = isLearned ? [] : [group]
            connection.acceptsNewGroups = isLearned
            for child in connection.children.indices {
                for index in connection.children[child].proposals.indices
                where !connection.children[child].proposals[index].keyExchange.isEmpty {
                    connection.children[child].proposals[index].keyExchange = [VersionOneOptions.number]
                }
            }
            if isPhaseOneGroup {
                for index in connection.proposals.indices {
                    connection.proposals[index].keyExchange = [VersionOneOptions.number]
                }
            }
        }
        if isFragmented {
            connection.fragmentation = .force
            // More than a packet of proposals, of which the other end takes the last.
            guard isLeft, !connection.isAggressive, let last = connection.proposals.last else { return }
            connection.proposals =
                (0..<40).map { index in
                    var proposal = last
                    proposal.encryption = [
                        Encryption(index % 2 == 0 ? .camelliaCBC : .tripleDES, keyBits: index % 2 == 0 ? 256 : 0)
                    ]
                    return proposal
                } + [last]
        }
    }
}
