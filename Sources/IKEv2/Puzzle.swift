import Cryptography
import ISAKMP
import Primitives

/// Work that an initiator shows before anything is kept for it (RFC 8019 §3): four keys of one length, all different, with
///
///     PRF(K, cookie) ending in as many zero bits as the difficulty says
struct Puzzle: Hashable, Sendable {
    static let keyCount = 4
    /// Octets of each key of ours; the PRFs whose keys have a fixed length take as many.
    static let keyOctets = 16
    /// The longest key of a peer's.
    static let maximumKeyOctets = 64
    /// What we work at the most: a million tries are to be expected for one key.
    static let maximumDifficulty: UInt8 = 20
    /// What we take on where the responder leaves it to us (RFC 8019 §7.1.1.1).
    static let ownDifficulty: UInt8 = 12
    /// PRFs that a puzzle may be posed with, the cheapest to check first.
    private static let usable: [PRFID] = [.hmacSHA256, .hmacSHA384, .hmacSHA512, .hmacSHA1, .aesCMAC, .aesXCBC]

    var prf: PRFID
    var difficulty: UInt8

    /// The data of N(PUZZLE), and what a cookie says of it: PRF and difficulty.
    var data: [UInt8] { [UInt8(prf.rawValue >> 8), UInt8(truncatingIfNeeded: prf.rawValue), difficulty] }

    init(prf: PRFID, difficulty: UInt8) {
        self.prf = prf
        self.difficulty = difficulty
    }

    /// `nil` where the data poses no puzzle that can be worked at.
    init?(_ data: [UInt8]) {
        guard data.count == 3 else { return nil }
        prf = PRFID(rawValue: UInt16(data[0]) << 8 | UInt16(data[1]))
        guard Puzzle.usable.contains(prf) else { return nil }
        difficulty = data[2]
    }

    /// A puzzle for a request, with a PRF that its sender knows; `nil` where there is none.
    init?(for payloads: [Payload], difficulty: UInt8) {
        guard let offer = payloads.first(where: { $0.type == .securityAssociationV2 }),
            let proposals = try? ProposalPayload.parse(offer),
            let prf = Puzzle.usable.first(where: { prf in proposals.contains { $0.proposal.prf.contains(prf) } })
        else { return nil }
        self.init(prf: prf, difficulty: difficulty)
    }

    /// Whether a key is one of those that are looked for.
    func takes(_ key: [UInt8], cookie: [UInt8]) -> Bool {
        guard let output = try? PseudorandomFunction.compute(prf, key: Secret(key), [.open(cookie)]) else {
            return false
        }
        return Puzzle.trailingZeroBits(output) >= Int(difficulty)
    }

    /// Whether the data of a Puzzle Solution payload solves it.
    func isSolved(by solution: [UInt8], cookie: [UInt8]) -> Bool {
        let octets = solution.count / Puzzle.keyCount
        guard solution.count == octets * Puzzle.keyCount, (1...Puzzle.maximumKeyOctets).contains(octets),
            prf.fixedKeyOctets.map({ $0 == octets }) ?? true
        else { return false }
        let keys = (0..<Puzzle.keyCount).map { Array(solution[($0 * octets)..<(($0 + 1) * octets)]) }
        return Set(keys).count == keys.count && keys.allSatisfy { takes($0, cookie: cookie) }
    }

    static func trailingZeroBits(_ octets: [UInt8]) -> Int {
        var count = 0
        for octet in octets.reversed() {
            count += octet.trailingZeroBitCount
            if octet != 0 { break }
        }
        return count
    }
}

/// The search for a solution, in steps that keep nobody waiting.
struct PuzzleSearch: Hashable, Sendable {
    /// Keys that one step tries: a few milliseconds.
    static let triesPerStep = 2000
    /// The pause between two steps, for everything else that is to be done.
    static let pause = Duration.milliseconds(1)

    let puzzle: Puzzle
    let cookie: [UInt8]
    private var next: UInt64
    private var found: [UInt8] = []
    private var triesLeft: UInt64

    /// - Parameter start: where the search begins, so that no two need look at the same keys.
    init(_ puzzle: Puzzle, cookie: [UInt8], start: UInt64) {
        self.puzzle = puzzle
        self.cookie = cookie
        next = start
        // Eight times what is to be expected: one search in a million of easy ones ends without a solution.
        triesLeft = 8 * UInt64(Puzzle.keyCount) << UInt64(min(puzzle.difficulty, Puzzle.maximumDifficulty))
        if puzzle.difficulty > Puzzle.maximumDifficulty { triesLeft = 0 }
    }

    /// It will not be solved.
    var isHopeless: Bool { triesLeft == 0 }

    /// Tries some more keys; the solution, once it is whole.
    mutating func step() -> [UInt8]? {
        for _ in 0..<min(UInt64(PuzzleSearch.triesPerStep), triesLeft) {
            var key = [UInt8](repeating: 0, count: Puzzle.keyOctets - 8)
            key.append(bigEndian: next)
            next &+= 1
            triesLeft -= 1
            guard puzzle.takes(key, cookie: cookie) else { continue }
            found += key
            if found.count == Puzzle.keyCount * Puzzle.keyOctets { return found }
        }
        return nil
    }
}

extension IKESession {
    /// The responder poses a puzzle beside its cookie (RFC 8019 §7.1.2). One that is too hard or that nobody can read is
    /// left alone: the responder may take the cookie for itself.
    mutating func work(
        on notification: NotifyPayload, cookie: NotifyPayload, _ state: InitialRequest, _ context: inout Context
    ) throws(Fault) {
        guard var puzzle = Puzzle(notification.data), puzzle.difficulty <= Puzzle.maximumDifficulty,
            connection?.proposals.contains(where: { $0.prf.contains(puzzle.prf) }) == true
        else {
            context.note("the responder's puzzle is not one to work at: it gets its cookie alone")
            return try echo(cookie, state, &context)
        }
        if puzzle.difficulty == 0 { puzzle.difficulty = Puzzle.ownDifficulty }
        try check(cookie, seen: state.cookiesSeen)
        var state = state
        state.search = PuzzleSearch(puzzle, cookie: cookie.data, start: context.environment.randomness.uint64())
        context.cancel(.retransmit(spi: state.spi, messageID: 0))
        context.note("the responder wants work of \(puzzle.difficulty) bits to be shown (RFC 8019)")
        phase = .awaitingInitialResponse(state)
        context.set(.puzzle, after: PuzzleSearch.pause)
    }

    mutating func workOn(_ context: inout Context) throws(Fault) {
        guard case .awaitingInitialResponse(var state) = phase, var search = state.search else { return }
        let solution = search.step()
        guard solution != nil || search.isHopeless else {
            state.search = search
            phase = .awaitingInitialResponse(state)
            context.set(.puzzle, after: PuzzleSearch.pause)
            return
        }
        state.search = nil
        state.solution = solution ?? []
        try echo(NotifyPayload(.cookie, data: search.cookie), state, &context)
    }
}
