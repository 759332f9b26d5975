import Cryptography
import IPsec
import Primitives

/// What version 2 can do besides, drawn for a scenario: fragments, windows, mobility, childless set-up, a post-quantum
/// pre-shared key, a second key exchange, short rekeyings, tickets, clones and SAs for processors. Each is drawn for each end apart, so that it also
/// meets a peer that does not know it. Beside these, whether a child is in transport mode, and whether a host moves.
struct VersionTwoOptions {
    /// What one end does.
    struct End: Hashable {
        /// Octets of the IP packets that messages are cut to fit (RFC 7383); `nil` for an end that knows no fragments.
        var fragmentOctets: Int?
        /// Requests taken at once (RFC 7296 §2.3).
        var window: UInt32
        /// RFC 4555.
        var isMobile: Bool
        /// RFC 6023.
        var childless: Connection.ChildlessUse
        /// RFC 8784.
        var hasPostquantumKey: Bool
        /// RFC 9370, with ML-KEM-768 in the first additional exchange.
        var hasModuleLattice: Bool
        /// draft-ietf-ipsecme-ikev2-sa-ts-payloads-opt.
        var optimizesRekeying = false
        /// RFC 9867: the key above gets in before IKE_AUTH.
        var mixesKeyEarly = false
        /// RFC 5723.
        var resumes = false
        /// RFC 7791.
        var clones = 0
        /// RFC 9611: whether children have an SA for each processor, how many of these there are, and how many children with the
        /// same selectors are taken.
        var usesResources = false
        var processors = 1
        var mostQueues = 32
    }

    private var ends: [End]
    /// Whether both ends insist on ML-KEM-768; one that does not insist also takes none.
    private let insists: Bool
    /// The first child protects what the two hosts say to each other, in transport mode.
    let hasTransport: Bool
    /// The left host changes its address now and then. Transport mode stays where it is (RFC 4555 §1.2).
    let moves: Bool

    /// Whether somebody may ask for clones, and whether the SAs follow a host that moves.
    var clones: Bool { ends.contains { $0.clones > 0 } }
    var isMobile: Bool { ends.allSatisfy(\.isMobile) }
    /// Whether children have SAs for processors (RFC 9611), and how many there may be of each at an end, 0 the left one.
    var hasResources: Bool { ends.allSatisfy(\.usesResources) }
    func mostQueues(at end: Int) -> Int { hasResources ? ends[end].mostQueues : 1 }

    /// - Parameters:
    ///   - seed: of a generator of its own, so that what other parts of a scenario draw stays as it is.
    ///   - hasProcessors: whether ends may have SAs for processors.
    init(seed: UInt64, hasProcessors: Bool) {
        var chance = Randomness.seeded(seed ^ 0x0B07_0F1E)
        ends = (0..<2).map { _ in
            End(
                fragmentOctets: [nil, 576, 1280][Int(chance.below(3))],
                window: chance.below(2) == 0 ? 1 : 2 + UInt32(chance.below(4)),
                isMobile: chance.below(2) == 0,
                childless: [.allow, .prefer, .never][Int(chance.below(3))],
                hasPostquantumKey: chance.below(3) == 0,
                hasModuleLattice: chance.below(2) == 0)
        }
        // Later options have generators of their own, so that seeds keep their stories.
        var later = Randomness.seeded(seed ^ 0x0971_317E)
        for index in ends.indices { ends[index].optimizesRekeying = later.below(3) > 0 }
        for index in ends.indices {
            ends[index].mixesKeyEarly = later.below(3) > 0
            ends[index].resumes = later.below(3) > 0
        }
        var latest = Randomness.seeded(seed ^ 0x7791_4555)
        for index in ends.indices { ends[index].clones = latest.below(2) == 0 ? 0 : 1 + Int(latest.below(2)) }
        let kind = latest.below(3)
        (hasTransport, moves) = (kind == 0, kind == 1)
        var processors = Randomness.seeded(seed ^ 0x9611_0C03)
        // In half of the seeds, one end alone in a few of these.
        let uses = processors.below(2) == 0 && hasProcessors
        for index in ends.indices {
            ends[index].usesResources = uses && processors.below(8) > 0
            let count = 1 + Int(processors.below(4))
            let most = 1 + Int(processors.below(3))
            let isFew = processors.below(3) == 0
            if uses { (ends[index].processors, ends[index].mostQueues) = (count, isFew ? most : 32) }
        }
        insists = chance.below(2) == 0 && ends.allSatisfy(\.hasModuleLattice)
    }

    /// Changes one end's connection and settings accordingly.
    func apply(to connection: inout Connection, _ settings: inout EngineSettings, isLeft: Bool) {
        guard connection.version == .v2 else { return }
        let end = ends[isLeft ? 0 : 1]
        connection.fragmentation = end.fragmentOctets == nil ? .no : .yes
        settings.fragmentOctetsV4 = end.fragmentOctets ?? settings.fragmentOctetsV4
        settings.window = end.window
        connection.isMobile = end.isMobile
        connection.childless = end.childless
        connection.optimizesRekeying = end.optimizesRekeying
        connection.mixesKeyEarly = end.mixesKeyEarly
        connection.resumes = end.resumes
        connection.maximumClones = end.clones
        for child in connection.children.indices { connection.children[child].usesResources = end.usesResources }
        settings.packetWorkers = end.processors
        settings.mostQueues = end.mostQueues
        if end.hasPostquantumKey {
            connection.postquantumKey = Identity(.keyID, octets: Array("a key for later".utf8))
        }
        guard end.hasModuleLattice else { return }
        let further: [[KeyExchangeID]] = [insists ? [.mlkem768] : [.mlkem768, .none]]
        for index in connection.proposals.indices { connection.proposals[index].additionalKeyExchanges = further }
        for child in connection.children.indices {
            for index in connection.children[child].proposals.indices
            where !connection.children[child].proposals[index].keyExchange.isEmpty {
                connection.children[child].proposals[index].additionalKeyExchanges = further
            }
        }
    }
}
