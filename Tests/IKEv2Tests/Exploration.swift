import IPsec
import ISAKMP
import Primitives

@testable import IKEv2

/// Every interleaving of what two ends do at the same time: their commands at any moment, their messages in any order,
/// each of them lost at most once and repeated at most once, however much later. Sessions are values, so that exploring
/// is copying.
///
/// States are followed in the order of how much went wrong on the way, and one is left alone where another was followed
/// that has the same ends and the same messages in flight, and that may still go wrong in all the ways that this one
/// may: what can come of this one comes of that one too.
struct Exploration {
    enum Command: Hashable {
        case rekeyChild
        case rekeyIKE
        case deleteChild
        case deleteIKE
    }

    /// What two states must have in common, to be told apart by what may still go wrong alone.
    struct Situation: Hashable {
        /// By number.
        var ends: [Int]
        /// Message numbers, ascending.
        var inFlight: [Int] = []
        /// Commands that are still to be given, and to whom.
        var commands: [Order]
        /// SAs that an end sent a packet on not long ago, and how long ago: such a packet can still be on its way.
        var used: [Used] = []
    }

    struct Order: Hashable {
        var side: Pair.Side
        var command: Command
    }

    struct Used: Hashable {
        var side: Pair.Side
        var spi: SPI
        var age: Duration
    }

    /// Message numbers, each ascending.
    struct Chances {
        var lost: [Int] = []
        var repeated: [Int] = []
        /// Arrived once, and may do so again.
        var repeatable: [Int] = []

        /// Whether all that may go wrong with `other` may go wrong here.
        func include(_ other: Chances) -> Bool {
            Exploration.isSubset(lost, other.lost) && Exploration.isSubset(repeated, other.repeated)
                && Exploration.isSubset(other.repeatable, repeatable)
        }
    }

    struct State {
        var situation: Situation
        var chances = Chances()
        /// Where it is in ``steps``.
        var step = -1
    }

    /// How a state came about, for the report of a problem.
    private struct Step {
        var parent: Int
        var side: Pair.Side
        var input: ExploredEnds.Input?
        var lost: Int?
        var isRepetition = false
    }

    /// Whether the tunnel must carry packets all the time: nobody means to take it down.
    let carriesTraffic: Bool
    /// How long a packet may be under way.
    static let packetDelay = Duration.seconds(1)
    private(set) var statesSeen = 0
    private(set) var endings = 0
    private(set) var problems: [String] = []
    /// The most that went wrong on one path.
    private(set) var mostFaults = 0
    private var ends: ExploredEnds
    /// Whose nonces won where two rekeyings met.
    var winners: Set<Pair.Side> { ends.winners }
    private var steps: [Step] = []
    private var seen: [Int: [Chances]] = [:]
    private var finished: Set<[Int]> = []

    var summary: String {
        "\(statesSeen) states, \(ends.entries.count) of ends, \(endings) endings, at most \(mostFaults) faults"
    }

    init(_ pair: Pair, seed: UInt64, carriesTraffic: Bool) {
        self.carriesTraffic = carriesTraffic
        ends = ExploredEnds(pair, seed: seed)
    }

    /// Explores from an established pair with nothing in flight.
    mutating func explore(_ pair: Pair, _ commands: [(side: Pair.Side, command: Command)]) {
        let first = Pair.Side.allCases.map { ends.add(pair[$0], $0, now: pair.now) }
        let orders = commands.map { Order(side: $0.side, command: $0.command) }
        var byFaults = [[State(situation: Situation(ends: first, commands: orders))]]
        var faults = 0
        while faults < byFaults.count, problems.count < 5 {
            while let state = byFaults[faults].popLast(), problems.count < 5 {
                guard isNew(state) else { continue }
                statesSeen += 1
                mostFaults = faults
                for (next, more) in successors(of: state) {
                    while byFaults.count <= faults + more { byFaults.append([]) }
                    byFaults[faults + more].append(next)
                }
            }
            byFaults[faults] = []
            faults += 1
        }
    }

    private mutating func isNew(_ state: State) -> Bool {
        let key = state.situation.hashValue
        var known = seen[key] ?? []
        if known.contains(where: { $0.include(state.chances) }) { return false }
        known.append(state.chances)
        seen[key] = known
        return true
    }

    // MARK: Steps

    private typealias Next = (state: State, faults: Int)

    private mutating func successors(of state: State) -> [(State, Int)] {
        var next: [Next] = []
        for index in state.situation.commands.indices {
            var copy = state
            let order = copy.situation.commands.remove(at: index)
            advance(copy, .command(order.command), order.side, 0, &next)
        }
        for message in state.situation.inFlight {
            var copy = state
            copy.situation.inFlight.removeAll { $0 == message }
            if ends.messages[message].mayFail, !copy.chances.repeated.contains(message) {
                Exploration.insert(message, &copy.chances.repeatable)
            }
            advance(copy, .message(message), ends.messages[message].to, 0, &next)
        }
        for message in state.chances.repeatable {
            var copy = state
            copy.chances.repeatable.removeAll { $0 == message }
            Exploration.insert(message, &copy.chances.repeated)
            advance(copy, .message(message), ends.messages[message].to, 1, &next)
        }
        receiveTraffic(state, &next)
        guard state.situation.inFlight.isEmpty, state.situation.commands.isEmpty else { return next }
        if state.situation.ends.allSatisfy({ ends[$0].isQuiet }) {
            finish(state)
        } else {
            fireTimers(state, &next)
        }
        return next
    }

    /// A packet on a child whose outbound SA an end holds back arrives there.
    private mutating func receiveTraffic(_ state: State, _ next: inout [Next]) {
        for used in state.situation.used {
            let side = used.side.other
            let session = ends[state.situation.ends[side.rawValue]].end.session
            for child in session.children where child.inboundSPI == used.spi && child.heldOutbound != nil {
                advance(state, .traffic(child.id), side, 0, &next)
            }
        }
    }

    /// Nothing is in flight: time passes until the next timer. Of timers that run out at the same time any may be first.
    private mutating func fireTimers(_ state: State, _ next: inout [Next]) {
        let due = Pair.Side.allCases.compactMap { side in
            ends.nextTimers(state.situation.ends[side.rawValue]).map {
                (side: side, after: $0.after, timers: $0.timers)
            }
        }
        guard let wait = due.map(\.after).min() else {
            report(state, "stuck")
            return
        }
        var later = state
        later.situation.ends = later.situation.ends.map { ends.waited($0, wait) }
        later.situation.used = later.situation.used.compactMap {
            let age = $0.age + wait
            return age > Exploration.packetDelay ? nil : Used(side: $0.side, spi: $0.spi, age: age)
        }
        for (side, after, timers) in due where after == wait {
            for timer in timers { advance(later, .timer(timer), side, 0, &next) }
        }
    }

    private mutating func advance(
        _ state: State, _ input: ExploredEnds.Input, _ side: Pair.Side, _ faults: Int,
        _ next: inout [Next]
    ) {
        let outcome = ends.give(input, to: state.situation.ends[side.rawValue])
        steps.append(Step(parent: state.step, side: side, input: input, isRepetition: faults > 0))
        var after = state
        after.step = steps.count - 1
        after.situation.ends[side.rawValue] = outcome.end
        if carriesTraffic {
            if outcome.lostChild { return report(after, "\(side) lost a child") }
            if let loss = carry(&after.situation) { return report(after, loss) }
        }
        emit(outcome.sent[...], after, faults, &next)
    }

    /// What is sent is in flight, or lost from the start: when a message that never arrives was lost makes no difference.
    private mutating func emit(
        _ sent: ArraySlice<Int>, _ state: State, _ faults: Int, _ next: inout [Next]
    ) {
        guard let message = sent.first else {
            next.append((settled(state), faults))
            return
        }
        guard !state.situation.inFlight.contains(message) else {
            return emit(sent.dropFirst(), state, faults, &next)
        }
        var arriving = state
        Exploration.insert(message, &arriving.situation.inFlight)
        emit(sent.dropFirst(), arriving, faults, &next)
        if ends.messages[message].mayFail, !state.chances.lost.contains(message) {
            var lost = state
            Exploration.insert(message, &lost.chances.lost)
            steps.append(Step(parent: state.step, side: ends.messages[message].to, lost: message))
            lost.step = steps.count - 1
            emit(sent.dropFirst(), lost, faults + 1, &next)
        }
    }

    /// Without messages that nothing can come of any more: a response that nobody awaits, and a request that is answered
    /// with such a one. Message IDs only go up, so that neither ever changes; and whether such a message was lost or
    /// repeated before, and so may not be once more, matters as little.
    private mutating func settled(_ state: State) -> State {
        var living = state
        living.situation.inFlight.removeAll { isDead($0, state.situation) }
        living.chances.repeatable.removeAll { isDead($0, state.situation) }
        living.chances.lost.removeAll { isDead($0, state.situation) }
        living.chances.repeated.removeAll { isDead($0, state.situation) }
        return living
    }

    private mutating func isDead(_ message: Int, _ situation: Situation) -> Bool {
        let end = situation.ends[ends.messages[message].to.rawValue]
        let outcome = ends.give(.message(message), to: end)
        guard outcome.end == end else { return false }
        if ends.messages[message].isResponse { return outcome.sent.isEmpty }
        return !outcome.sent.isEmpty
            && outcome.sent.allSatisfy { ends.messages[$0].isResponse && isDead($0, situation) }
    }

    // MARK: Promises

    /// Both ends send a packet on the SA that would take it; each that may still be on its way must be taken.
    private func carry(_ situation: inout Situation) -> String? {
        for side in Pair.Side.allCases {
            let entry = ends[situation.ends[side.rawValue]]
            if let reason = entry.end.closed { return "\(side) closed: \(reason)" }
            guard let outbound = entry.outbound else { return "\(side) has nothing to send on" }
            situation.used.removeAll { $0.side == side && $0.spi == outbound }
            situation.used.append(Used(side: side, spi: outbound, age: .zero))
        }
        situation.used.sort { ($0.side.rawValue, $0.spi.value) < ($1.side.rawValue, $1.spi.value) }
        for used in situation.used
        where ends[situation.ends[used.side.other.rawValue]].end.inbound[used.spi] == nil {
            return "a packet of \(used.side) on \(used.spi) is lost"
        }
        return nil
    }

    /// Both ends are done; a while later they must agree, with nothing left over.
    private mutating func finish(_ state: State) {
        endings += 1
        guard finished.insert(state.situation.ends).inserted else { return }
        var numbers = state.situation.ends
        var left = Duration.seconds(300)
        var sentLast = 0
        while left > .zero, sentLast < 1000 {
            let due = Pair.Side.allCases.compactMap { side in
                ends.nextTimers(numbers[side.rawValue]).map { (side: side, after: $0.after, timer: $0.timers[0]) }
            }
            guard let first = due.min(by: { $0.after < $1.after }), first.after <= left else { break }
            numbers = numbers.map { ends.waited($0, first.after) }
            left -= first.after
            var inputs = [(first.side, ExploredEnds.Input.timer(first.timer))]
            while !inputs.isEmpty, sentLast < 1000 {
                let (side, input) = inputs.removeFirst()
                let outcome = ends.give(input, to: numbers[side.rawValue])
                numbers[side.rawValue] = outcome.end
                inputs += outcome.sent.map { (ends.messages[$0].to, .message($0)) }
                sentLast += 1
            }
        }
        if sentLast >= 1000 { report(state, "it never ends") }
        var pair = Pair()
        pair.ends = numbers.map { ends[$0].end }
        let wrong = complaints(pair)
        if !wrong.isEmpty { report(state, "\(wrong)") }
    }

    private func complaints(_ pair: Pair) -> [String] {
        var wrong = pair.disagreements
        let (left, right) = (pair.initiator, pair.responder)
        if (left.closed == nil) != (right.closed == nil) { wrong.append("only one end is closed") }
        if left.children.count != right.children.count { wrong.append("numbers of children differ") }
        for end in pair.ends {
            let count = end.children.count
            if end.inbound.count != count || end.outbound.count != count { wrong.append("SAs without a child") }
            if end.environment.spisInUse != Set(end.inbound.keys) { wrong.append("SPIs are left over") }
            if end.claimed.count != (end.closed == nil ? 1 : 0) { wrong.append("IKE SPIs: \(end.claimed.count)") }
            if carriesTraffic, count != 1 { wrong.append("\(count) children instead of one") }
            if !end.isQuiet { wrong.append("not quiet") }
        }
        let spis = pair.ends.map { $0.session.current?.initiatorSPI }
        if spis[0] != spis[1] { wrong.append("different IKE SAs") }
        return wrong
    }

    // MARK: Reports

    private mutating func report(_ state: State, _ problem: String) {
        var trail: [String] = []
        var index = state.step
        while index >= 0 {
            let step = steps[index]
            trail.append(label(step))
            index = step.parent
        }
        problems.append("\(problem): \(trail.reversed())")
    }

    private func label(_ step: Step) -> String {
        if let lost = step.lost { return "lost: \(ends.messages[lost].label)" }
        switch step.input {
        case .message(let message):
            return "\(step.side) receives\(step.isRepetition ? " again" : "") \(ends.messages[message].label)"
        case .timer(let timer): return "\(step.side) \(timer)"
        case .command(let command): return "\(step.side) \(command)"
        case .traffic(let child): return "\(step.side) receives a packet of \(child)"
        case nil: return "?"
        }
    }

    // MARK: Ascending lists

    private static func insert(_ number: Int, _ list: inout [Int]) {
        let index = list.firstIndex { $0 >= number } ?? list.count
        if index == list.count || list[index] != number { list.insert(number, at: index) }
    }

    fileprivate static func isSubset(_ small: [Int], _ large: [Int]) -> Bool {
        guard small.count <= large.count else { return false }
        var index = 0
        for number in small {
            while index < large.count, large[index] < number { index += 1 }
            guard index < large.count, large[index] == number else { return false }
        }
        return true
    }
}
