import IPsec
import ISAKMP
import Primitives

@testable import IKEv2

/// Every interleaving of what two ends do at the same time: their commands at any moment, their messages in any order,
/// each of them lost at most once and repeated at most once. Sessions are values, so that exploring is copying.
///
/// An end's state follows from what it was given, in order. Two paths that gave both ends the same and left the same
/// in flight have therefore met, and are followed once.
struct Exploration {
    /// A message that was sent; its octets are its identity, so that a retransmission is the same message again.
    struct Message {
        let to: Pair.Side
        let datagram: Datagram
        let identity: Int
        var isInFlight = true
        var wasLost = false
        /// A copy is kept back, to arrive later.
        var wasRepeated = false
        /// What is in flight has arrived before: it may stay under way for as long as it likes.
        var isLateCopy = false
    }

    enum Command: Hashable {
        case rekeyChild
        case rekeyIKE
        case deleteChild
        case deleteIKE
    }

    struct State {
        var pair: Pair
        var messages: [Message] = []
        var commands: [(side: Pair.Side, command: Command)]
        var history = [0, 0]
        /// When each end last sent a packet on which outbound SA: such a packet can still be on its way.
        var used: [[SPI: Instant]] = [[:], [:]]
        var faults = 0
        var trail: [String] = []

        var key: Int {
            var hasher = Hasher()
            hasher.combine(history)
            hasher.combine(pair.now)
            hasher.combine(faults)
            hasher.combine(commands.map { "\($0.side) \($0.command)" })
            for message in messages.sorted(by: { $0.identity < $1.identity }) {
                hasher.combine(message.identity)
                hasher.combine(message.isInFlight)
                hasher.combine(message.wasLost)
                hasher.combine(message.wasRepeated)
                hasher.combine(message.isLateCopy)
            }
            return hasher.finalize()
        }
    }

    /// Losses and repetitions on one path, all messages together.
    var faultMaximum: Int
    /// Whether the tunnel must carry packets all the time: nobody means to take it down.
    var carriesTraffic: Bool
    /// How long a packet may be under way.
    static let packetDelay = Duration.seconds(1)
    private(set) var statesSeen = 0
    private(set) var endings = 0
    private(set) var problems: [String] = []
    private var seen: Set<Int> = []

    init(faultMaximum: Int, carriesTraffic: Bool) {
        self.faultMaximum = faultMaximum
        self.carriesTraffic = carriesTraffic
    }

    /// Explores from an established pair with nothing in flight.
    mutating func explore(_ pair: Pair, _ commands: [(side: Pair.Side, command: Command)]) {
        var stack = [State(pair: pair, commands: commands)]
        while let state = stack.popLast(), problems.count < 5 {
            guard seen.insert(state.key).inserted else { continue }
            statesSeen += 1
            stack += successors(of: state)
        }
    }

    private mutating func successors(of state: State) -> [State] {
        var next: [State] = []
        for index in state.commands.indices {
            var copy = state
            let (side, command) = copy.commands.remove(at: index)
            guard let input = Exploration.input(command, copy.pair[side]) else {
                next.append(copy)
                continue
            }
            advance(&copy, "\(side) \(command)", input, side, &next)
        }
        var isStill = true
        for index in state.messages.indices where state.messages[index].isInFlight {
            let message = state.messages[index]
            if !message.isLateCopy { isStill = false }
            let input = SessionInput.datagram(message.datagram.mirrored)
            var arrived = state
            arrived.messages[index].isInFlight = false
            arrived.messages[index].isLateCopy = false
            advance(&arrived, "\(message.to) receives \(message.label)", input, message.to, &next)
            if state.faults < faultMaximum, !message.isLateCopy, !message.wasRepeated {
                var repeated = state
                repeated.messages[index].wasRepeated = true
                repeated.messages[index].isLateCopy = true
                repeated.faults += 1
                advance(&repeated, "\(message.to) receives and will again \(message.label)", input, message.to, &next)
            }
        }
        guard isStill, state.commands.isEmpty else { return next }
        if state.pair.ends.allSatisfy(\.isQuiet) {
            finish(state)
        } else {
            fireTimer(state, &next)
        }
        return next
    }

    /// Nothing is in flight: time passes until the next timer.
    private mutating func fireTimer(_ state: State, _ next: inout [State]) {
        let due = Pair.Side.allCases.compactMap { side in
            state.pair[side].nextTimer.map { (side: side, at: $0.at, timer: $0.timer) }
        }
        guard let first = due.min(by: { $0.at < $1.at }) else {
            problems.append("stuck: \(state.trail)")
            return
        }
        var copy = state
        copy.pair.now = max(copy.pair.now, first.at)
        copy.pair.ends[first.side.rawValue].timers[first.timer] = nil
        advance(&copy, "\(first.side) \(first.timer)", .timer(first.timer), first.side, &next)
    }

    private mutating func advance(
        _ state: inout State, _ step: String, _ input: SessionInput, _ side: Pair.Side, _ next: inout [State]
    ) {
        state.trail.append(step)
        var hasher = Hasher()
        hasher.combine(state.history[side.rawValue])
        hasher.combine(state.pair.now)
        if case .datagram(let datagram) = input { hasher.combine(datagram) } else { hasher.combine("\(input)") }
        state.history[side.rawValue] = hasher.finalize()
        if state.pair[side].closed == nil { state.pair.give(input, to: side) }
        let sent = state.pair.wire
        state.pair.wire = []
        if carriesTraffic, let loss = carry(&state) {
            problems.append("\(loss): \(state.trail)")
            return
        }
        next += Exploration.emit(sent[...], state, faultMaximum)
    }

    /// What is sent is in flight, or lost from the start: when a message that never arrives was lost makes no difference.
    private static func emit(
        _ sent: ArraySlice<(to: Pair.Side, datagram: Datagram)>, _ state: State, _ faultMaximum: Int
    ) -> [State] {
        guard let (to, datagram) = sent.first else { return [state] }
        let identity = datagram.hashValue
        var arriving = state
        let index: Int
        if let found = state.messages.firstIndex(where: { $0.identity == identity && $0.to == to }) {
            index = found
            arriving.messages[index].isInFlight = true
            arriving.messages[index].isLateCopy = false
        } else {
            index = arriving.messages.count
            arriving.messages.append(Message(to: to, datagram: datagram, identity: identity))
        }
        var next = emit(sent.dropFirst(), arriving, faultMaximum)
        if state.faults < faultMaximum, !arriving.messages[index].wasLost {
            var lost = arriving
            lost.messages[index].isInFlight = false
            lost.messages[index].wasLost = true
            lost.faults += 1
            lost.trail.append("lost: \(lost.messages[index].label)")
            next += emit(sent.dropFirst(), lost, faultMaximum)
        }
        return next
    }

    /// Both ends send a packet on the SA that would take it; each that may still be on its way must be taken.
    private func carry(_ state: inout State) -> String? {
        for side in Pair.Side.allCases {
            let end = state.pair[side]
            if let reason = end.closed { return "\(side) closed: \(reason)" }
            guard
                let outbound = end.installed.last(where: {
                    $0.direction == .outbound && end.outbound[$0.spi] != nil
                })
            else { return "\(side) has nothing to send on" }
            state.used[side.rawValue][outbound.spi] = state.pair.now
        }
        for side in Pair.Side.allCases {
            for (spi, instant) in state.used[side.rawValue] {
                if state.pair.now - instant > Exploration.packetDelay {
                    state.used[side.rawValue][spi] = nil
                } else if state.pair[side.other].inbound[spi] == nil {
                    return "a packet of \(side) on \(spi) is lost"
                }
            }
        }
        return nil
    }

    /// Both ends are done; a while later they must agree, with nothing left over.
    private mutating func finish(_ state: State) {
        endings += 1
        var pair = state.pair
        pair.run(for: .seconds(300))
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
        if !wrong.isEmpty { problems.append("\(wrong): \(state.trail)") }
    }

    private static func input(_ command: Command, _ end: Pair.End) -> SessionInput? {
        guard end.closed == nil else { return nil }
        let child = end.children.last { $0.state == .installed || $0.state == .rekeying }
        switch command {
        case .rekeyIKE: return .command(.rekeyIKE)
        case .deleteIKE: return .command(.delete)
        case .rekeyChild: return end.usable.last.map { .command(.rekeyChild($0.id)) }
        case .deleteChild: return child.map { .command(.deleteChild($0.id)) }
        }
    }
}

extension Exploration.Message {
    /// Exchange type, whether it is a response, and message ID.
    var label: String {
        let octets = datagram.octets
        guard octets.count >= 28 else { return "?" }
        let spi = octets[0..<2].map { String($0, radix: 16) }.joined()
        return "\(octets[18])\(octets[19] & 0x20 == 0 ? "" : "R")#\(octets[23]) on \(spi)"
    }
}
