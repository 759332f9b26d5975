import IPsec
import ISAKMP
import Primitives

@testable import IKEv2

/// The states that either end was ever in, each once and by number, and what an input makes of each: an input is only
/// carried out the first time.
///
/// Time is cut to what the sentence "each message is lost at most once and repeated at most once" can tell apart, so that
/// states meet that differ by when something falls due alone:
///
/// - All that comes back within seconds does so in one and the same step: retransmissions, a request that the peer
///   refused for the moment, the end of a replaced child. Nothing is in flight before a step, so that a message that was
///   lost is one that comes later, with all that the receiver may do before; what else falls due in the same step may
///   come before, between and behind the messages that are sent again. A step is longer than packets are under way.
/// - An IKE SA that was replaced or deleted answers for half a minute at least, and an outbound SA is held for as long
///   as the peer would ask again. Losing a request and its response takes two steps, 11 seconds of them in the field, so
///   that these times do not run while anything shorter does.
/// - Nonces, SPIs and initialisation vectors follow from the input that they are drawn for, not from all that came before
///   it, and a retransmission is the same message again.
struct ExploredEnds {
    /// A message by what it says and to whom; a retransmission is the same message again.
    struct Message {
        let to: Pair.Side
        let datagram: Datagram

        var isResponse: Bool { datagram.octets[19] & 0x20 != 0 }
        /// Exchange type, whether it is a response, and message ID.
        var label: String {
            let octets = datagram.octets
            let spi = octets[0..<2].map { String($0, radix: 16) }.joined()
            return "\(octets[18])\(isResponse ? "R" : "")#\(octets[23]) on \(spi)"
        }
    }

    enum Input: Hashable {
        case message(Int)
        case timer(SessionTimer)
        /// A request was sent again as often as may be.
        case giveUp(SessionTimer)
        case command(Exploration.Command)
        /// A packet of the peer's on this child.
        case traffic(ChildID)
    }

    /// What an input led to: the end's next state, and the messages that it sent.
    struct Outcome {
        var end: Int
        var sent: [Int]
        var lostChild = false
    }

    struct Entry {
        var end: Pair.End
        var now: Instant
        let side: Pair.Side
        /// Without times; and the times inside the session that count.
        let shape: Int
        let instants: [Instant]
        let timers: [SessionTimer]
        let isQuiet: Bool
        /// The SA that a packet would leave on.
        let outbound: SPI?
    }

    private struct Key: Hashable {
        var end: Int
        var input: Input
    }

    /// What a step of time takes.
    static let step = Duration.seconds(4)

    /// Every request is sent again at every step, and is never given up.
    static var settings: EngineSettings {
        var settings = EngineSettings()
        settings.retransmitTimeout = step
        settings.retransmitBase = 1
        settings.retransmitTries = 100
        return settings
    }

    private(set) var entries: [Entry] = []
    private(set) var messages: [Message] = []
    private var entryNumbers: [Int: Int] = [:]
    private var messageNumbers: [Datagram: Int] = [:]
    private var outcomes: [Key: Outcome] = [:]
    private var template: Pair

    /// Whose nonces won where two rekeyings met.
    private(set) var winners: Set<Pair.Side> = []
    /// Decides whose do.
    private let seed: UInt64

    init(_ pair: Pair, seed: UInt64) {
        template = pair
        self.seed = seed
    }

    subscript(end: Int) -> Entry { entries[end] }

    mutating func add(_ end: Pair.End, _ side: Pair.Side, now: Instant) -> Int {
        var form = CanonicalForm()
        form.walk(end.session)
        form.walk(end.environment)
        form.combine(side)
        form.combine(end.claimed)
        form.combine(Set(end.inbound.keys))
        form.combine(Set(end.outbound.keys))
        form.combine(end.addresses)
        form.combine(end.closed)
        let outbound = end.installed.last { $0.direction == .outbound && end.outbound[$0.spi] != nil }?.spi
        form.combine(outbound)
        let timers = end.timers.sorted { ($0.value, "\($0.key)") < ($1.value, "\($1.key)") }
        form.combine(timers.map(\.key))
        var kept = end
        kept.installed = end.installed.filter { $0.spi == outbound && $0.direction == .outbound }
        (kept.events, kept.sent, kept.disclosed) = ([], [], [])
        return add(
            Entry(
                end: kept, now: now, side: side, shape: form.hasher.finalize(),
                instants: form.instants, timers: timers.map(\.key), isQuiet: end.isQuiet,
                outbound: outbound))
    }

    private mutating func add(_ entry: Entry) -> Int {
        var hasher = Hasher()
        hasher.combine(entry.shape)
        for instant in entry.instants { hasher.combine(instant.nanoseconds - entry.now.nanoseconds) }
        for timer in entry.timers {
            guard let instant = entry.end.timers[timer] else { continue }
            hasher.combine(timer)
            hasher.combine(instant.nanoseconds - entry.now.nanoseconds)
        }
        let key = hasher.finalize()
        if let found = entryNumbers[key] { return found }
        entries.append(entry)
        entryNumbers[key] = entries.count - 1
        return entries.count - 1
    }

    /// Timers that run out with the next step, or have run out and were not seen to yet: retransmissions, and others.
    func dueTimers(_ end: Int) -> (retransmissions: [SessionTimer], others: [SessionTimer]) {
        let timers = entries[end].timers.filter { !$0.isLong }
        return (timers.filter(\.isRetransmission), timers.filter { !$0.isRetransmission })
    }

    /// Those of the others that ran out with the step before.
    func overdueTimers(_ end: Int) -> [SessionTimer] {
        let entry = entries[end]
        return entry.timers.filter {
            !$0.isLong && !$0.isRetransmission && entry.end.timers[$0].map { $0 <= entry.now } ?? false
        }
    }

    /// How long until the end's next timer of whatever kind runs out, and that timer.
    func nextTimer(_ end: Int) -> (after: Duration, timer: SessionTimer)? {
        let entry = entries[end]
        return entry.end.nextTimer.map { (max($0.at - entry.now, .zero), $0.timer) }
    }

    /// The end a step later, in which nothing happened to it. What is long stands still.
    mutating func stepped(_ end: Int) -> Int {
        var entry = entries[end]
        entry.now = entry.now + ExploredEnds.step
        for timer in entry.timers where timer.isLong {
            entry.end.timers[timer] = entry.end.timers[timer].map { $0 + ExploredEnds.step }
        }
        return add(entry)
    }

    /// The end after some time, long timers included.
    mutating func waited(_ end: Int, _ duration: Duration) -> Int {
        guard duration > .zero else { return end }
        var entry = entries[end]
        entry.now = entry.now + duration
        return add(entry)
    }

    /// Whether a message names an IKE SA that the end will never know any more, or a request that it no longer answers.
    func isForgotten(_ message: Int, by end: Int) -> Bool {
        let octets = messages[message].datagram.octets
        let fromInitiator = octets[19] & 0x08 != 0
        let spi = UInt64(network: Array(octets[fromInitiator ? 8..<16 : 0..<8]))
        let session = entries[end].end.session
        guard let sa = session.associations.first(where: { $0.ownSPI == spi }) else {
            return !session.associations.contains { sa in
                sa.pending.contains {
                    if case .rekeyIKE(let attempt) = $0.exchange { attempt.spi == spi } else { false }
                }
            }
        }
        let messageID = octets[20..<24].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        return !messages[message].isResponse && messageID < sa.expectedRequestID
            && !sa.answered.contains { $0.messageID == messageID }
    }

    mutating func give(_ input: Input, to end: Int) -> Outcome {
        let key = Key(end: end, input: input)
        if let known = outcomes[key] { return known }
        let outcome = carryOut(input, end)
        outcomes[key] = outcome
        return outcome
    }

    private mutating func carryOut(_ input: Input, _ number: Int) -> Outcome {
        let entry = entries[number]
        guard entry.end.closed == nil, let given = session(input, entry) else { return Outcome(end: number, sent: []) }
        var pair = template
        pair.now = entry.now
        pair.wire = []
        pair[entry.side] = entry.end
        if case .timer(let timer) = input { pair.ends[entry.side.rawValue].timers[timer] = nil }
        if case .giveUp(let timer) = input {
            pair.ends[entry.side.rawValue].timers[timer] = nil
            let associations = pair.ends[entry.side.rawValue].session.associations
            for (index, sa) in associations.enumerated() {
                for place in sa.pending.indices {
                    pair.ends[entry.side.rawValue].session.associations[index].pending[place].attempt =
                        ExploredEnds.settings.retransmitTries
                }
            }
        }
        let before = pair[entry.side].timers
        pair.ends[entry.side.rawValue].environment.randomness = .seeded(chance(of: input, entry))
        pair.give(given, to: entry.side)
        for case .note(let note) in pair[entry.side].events {
            if note.hasPrefix("two rekeyings"), note.hasSuffix("ours stays") { winners.insert(entry.side) }
        }
        for (timer, instant) in pair[entry.side].timers where instant != before[timer] && !timer.isLong {
            pair.ends[entry.side.rawValue].timers[timer] = entry.now + ExploredEnds.step
        }
        let lost = pair[entry.side].events.contains { if case .childClosed = $0 { true } else { false } }
        let sent = pair.wire.map { self.number(of: Message(to: $0.to, datagram: $0.datagram)) }
        return Outcome(end: add(pair[entry.side], entry.side, now: entry.now), sent: sent, lostChild: lost)
    }

    /// A number that follows from an input, and from what is new about it where it is not a message.
    private func chance(of input: Input, _ entry: Entry) -> UInt64 {
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ octets: some Sequence<UInt8>) {
            for octet in octets { sum = (sum ^ UInt64(octet)) &* 0x100_0000_01B3 }
        }
        add("\(seed) \(entry.side)".utf8)
        switch input {
        case .message(let message): add(messages[message].datagram.octets)
        case .timer(let timer), .giveUp(let timer):
            let sa = entry.end.session.current
            add("\(timer) \(sa?.ownSPI ?? 0) \(sa?.nextRequestID ?? 0)".utf8)
        case .traffic(let child): add("\(child)".utf8)
        case .command(let command): add("\(command)".utf8)
        }
        return sum
    }

    private mutating func number(of message: Message) -> Int {
        if let found = messageNumbers[message.datagram] { return found }
        messages.append(message)
        messageNumbers[message.datagram] = messages.count - 1
        return messages.count - 1
    }

    private func session(_ input: Input, _ entry: Entry) -> SessionInput? {
        switch input {
        case .message(let number): return .datagram(messages[number].datagram.mirrored)
        case .timer(let timer), .giveUp(let timer): return .timer(timer)
        case .traffic(let child): return .inboundTraffic(child, at: entry.now)
        case .command(let command):
            let child = entry.end.children.last { $0.state == .installed || $0.state == .rekeying }
            switch command {
            case .rekeyIKE: return .command(.rekeyIKE)
            case .deleteIKE: return .command(.delete)
            case .rekeyChild: return entry.end.usable.last.map { .command(.rekeyChild($0.id)) }
            case .deleteChild: return child.map { .command(.deleteChild($0.id)) }
            }
        }
    }
}

extension SessionTimer {
    fileprivate var isRetransmission: Bool {
        if case .retransmit = self { true } else { false }
    }

    /// What runs for longer than a lost message can take. Nobody asks for a child's rekeying by time here, so that its timer
    /// is that of a held outbound SA.
    fileprivate var isLong: Bool {
        switch self {
        case .linger, .rekeyChild: true
        default: false
        }
    }
}
