import IPsec
import ISAKMP
import Primitives

@testable import IKEv2

/// The states that either end was ever in, each once and by number, and what an input makes of each: an input is only
/// carried out the first time.
///
/// An end goes by a clock of its own. Time matters by how far its timers are from running out, so that two paths that took
/// different time meet where nothing else tells them apart. That they do meet, timers run out at few moments:
/// retransmissions, and what lingers, at whole multiples of ``period``, where both ends' meet in any order; what was
/// refused for the moment is tried again at moments of its own for either end, as chance has it in the field, where two
/// ends that tried at the same moment for ever would never be done (RFC 7296 §2.25).
///
/// Nonces, SPIs and initialisation vectors follow from the input that they are drawn for, not from all that came before.
struct ExploredEnds {
    /// A message by what it says and to whom; a retransmission is the same message again.
    struct Message {
        let to: Pair.Side
        let datagram: Datagram

        var isResponse: Bool { datagram.octets[19] & 0x20 != 0 }
        /// Whether it may be lost or repeated. Whoever was refused for the moment tries again by a new message, so that losses
        /// without end would keep two ends meeting without end; they come to an end some attempts after the first.
        var mayFail: Bool {
            datagram.octets[20..<24].reduce(UInt32(0)) { $0 << 8 | UInt32($1) } < ExploredEnds.failingMessages
        }
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
        /// Without times; and the times that count, of timers last.
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

    /// Of either end's exchanges on an IKE SA, those that set it up among them, so many may meet losses and repetitions.
    static let failingMessages: UInt32 = 6
    /// Seconds between retransmissions, and how long after that an end tries again what was refused.
    static let period: Int64 = 4
    private static func retryPhase(_ side: Pair.Side) -> Int64 { side == .initiator ? 1 : 3 }

    /// Requests are sent again at every period, more often than messages are lost.
    static var settings: EngineSettings {
        var settings = EngineSettings()
        settings.retransmitTimeout = .seconds(period)
        settings.retransmitBase = 1
        settings.retransmitTries = 8
        return settings
    }

    private(set) var entries: [Entry] = []
    private(set) var messages: [Message] = []
    private var entryNumbers: [Int: Int] = [:]
    private var messageNumbers: [Datagram: Int] = [:]
    private var outcomes: [Key: Outcome] = [:]
    private var template: Pair
    private(set) var winners: Set<Pair.Side> = []
    /// Decides whose nonces win.
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
        (kept.events, kept.sent, kept.disclosed, kept.offered) = ([], [], [], [])
        return add(
            Entry(
                end: kept, now: now, side: side, shape: form.hasher.finalize(),
                instants: form.instants + timers.map(\.value), timers: timers.map(\.key), isQuiet: end.isQuiet,
                outbound: outbound))
    }

    private mutating func add(_ entry: Entry) -> Int {
        var hasher = Hasher()
        hasher.combine(entry.shape)
        hasher.combine(entry.now.nanoseconds / 1_000_000_000 % ExploredEnds.period)
        for instant in entry.instants { hasher.combine(instant.nanoseconds - entry.now.nanoseconds) }
        let key = hasher.finalize()
        if let found = entryNumbers[key] { return found }
        entries.append(entry)
        entryNumbers[key] = entries.count - 1
        return entries.count - 1
    }

    /// How long until the end's next timer runs out, and every timer that does so then.
    func nextTimers(_ end: Int) -> (after: Duration, timers: [SessionTimer])? {
        let entry = entries[end]
        let count = entry.timers.count
        guard count > 0 else { return nil }
        let instants = entry.instants.suffix(count)
        guard let first = instants.first else { return nil }
        let due = zip(entry.timers, instants).filter { $0.1 == first }.map(\.0)
        return (max(first - entry.now, .zero), due)
    }

    /// The end after some time in which nothing happened to it.
    mutating func waited(_ end: Int, _ duration: Duration) -> Int {
        guard duration > .zero else { return end }
        var entry = entries[end]
        entry.now = entry.now + duration
        return add(entry)
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
        let before = entry.end.timers
        pair.ends[entry.side.rawValue].environment.randomness = .seeded(chance(of: input, entry))
        pair.give(given, to: entry.side)
        for (timer, instant) in pair[entry.side].timers where instant != before[timer] {
            pair.ends[entry.side.rawValue].timers[timer] = moment(of: timer, instant, entry)
        }
        for case .note(let note) in pair[entry.side].events
        where note.hasPrefix("two rekeyings") && note.hasSuffix("ours stays") {
            winners.insert(entry.side)
        }
        let lost = pair[entry.side].events.contains { if case .childClosed = $0 { true } else { false } }
        let sent = pair.wire.map { self.number(of: Message(to: $0.to, datagram: $0.datagram)) }
        return Outcome(end: add(pair[entry.side], entry.side, now: entry.now), sent: sent, lostChild: lost)
    }

    /// When a timer runs out that was set to `instant`.
    private func moment(of timer: SessionTimer, _ instant: Instant, _ entry: Entry) -> Instant {
        let period = ExploredEnds.period
        let now = entry.now.nanoseconds / 1_000_000_000
        switch timer {
        case .retransmit: return Instant(nanoseconds: (now / period + 1) * period * 1_000_000_000)
        case .retry:
            var second = now + 2
            while second % period != ExploredEnds.retryPhase(entry.side) { second += 1 }
            return Instant(nanoseconds: second * 1_000_000_000)
        default:
            let second = (instant.nanoseconds + 999_999_999) / 1_000_000_000
            return Instant(nanoseconds: (second + period - 1) / period * period * 1_000_000_000)
        }
    }

    /// A number that follows from an input, and from what is new about it where it is no message.
    private func chance(of input: Input, _ entry: Entry) -> UInt64 {
        var sum: UInt64 = 0xCBF2_9CE4_8422_2325
        func add(_ octets: some Sequence<UInt8>) {
            for octet in octets { sum = (sum ^ UInt64(octet)) &* 0x100_0000_01B3 }
        }
        add("\(seed) \(entry.side)".utf8)
        switch input {
        case .message(let message): add(messages[message].datagram.octets)
        case .timer(let timer):
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
        case .timer(let timer): return .timer(timer)
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
