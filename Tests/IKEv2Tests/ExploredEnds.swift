import IPsec
import ISAKMP
import Primitives

@testable import IKEv2

/// The states that either end was ever in, each once and by number, and what an input makes of each: an input is only
/// carried out the first time.
///
/// An end goes by a clock of its own. Time matters by how far its timers are from running out, so that two paths that took
/// different time meet where nothing else tells them apart.
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

    private(set) var entries: [Entry] = []
    private(set) var messages: [Message] = []
    private var entryNumbers: [Int: Int] = [:]
    private var messageNumbers: [Datagram: Int] = [:]
    private var outcomes: [Key: Outcome] = [:]
    private var template: Pair

    init(_ pair: Pair) { template = pair }

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
                instants: form.instants + timers.map(\.value), timers: timers.map(\.key), isQuiet: end.isQuiet,
                outbound: outbound))
    }

    private mutating func add(_ entry: Entry) -> Int {
        var hasher = Hasher()
        hasher.combine(entry.shape)
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
        pair.give(given, to: entry.side)
        let lost = pair[entry.side].events.contains { if case .childClosed = $0 { true } else { false } }
        let sent = pair.wire.map { self.number(of: Message(to: $0.to, datagram: $0.datagram)) }
        return Outcome(end: add(pair[entry.side], entry.side, now: entry.now), sent: sent, lostChild: lost)
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
