package import IPsec
package import Primitives
import Synchronization

/// What the two directions of a child with congestion control know of each other (RFC 9347 §2.4.2, §3): one hears what the
/// path does, and the other says it to the peer and keeps to it. Shared by two workers; the lock is taken once a packet.
package final class CongestionMeter: Sendable {
    private struct State {
        var history = LossHistory()
        var hasSeenMarks = false
        /// What the peer said last, and when it came.
        var heard: (information: CongestionInformation, time: Instant)?
        /// Of ours, smoothed (RFC 5348 §4.3).
        var roundTrip: Duration?
        var rate: PacketRate?
        /// Packets that came since something was said.
        var isUnanswered = false
        var lastSaid: Instant?
    }
    private let state: Mutex<State>

    /// Where we asked for what the path does, it decides how many packets a second are sent, up to the configured rate.
    package init(_ aggregation: Aggregation?) {
        var state = State()
        if let aggregation, aggregation.controlsCongestion, aggregation.packetRate > 0 {
            state.rate = PacketRate(limit: aggregation.packetRate)
        }
        self.state = Mutex(state)
    }

    /// A genuine payload came. `information` is its header's, where it has one.
    package func note(sequence: UInt64, information: CongestionInformation?, isMarked: Bool, now: Instant) {
        state.withLock { state in
            let theirs = Duration.microseconds(Int64(information?.roundTrip ?? state.heard?.information.roundTrip ?? 0))
            if information?.isProbing != true {
                state.history.note(sequence, isMarked: isMarked, roundTrip: theirs, now: now)
            }
            if isMarked { state.hasSeenMarks = true }
            state.isUnanswered = true
            guard let information else { return }
            let isNew = state.heard?.information.value != information.value
            if isNew { state.heard = (information, now) }
            // The peer echoes the time that we said, and how long it had it.
            if isNew, information.echo != 0 {
                let passed = Self.microseconds(now) &- information.echo
                let delay = UInt32(truncatingIfNeeded: information.echoDelay)
                // More than half of the clock's turn is nonsense, or a lie.
                if passed >= delay, passed &- delay < 1 << 31 {
                    let sample = Duration.microseconds(Int64(passed &- delay))
                    state.roundTrip = state.roundTrip.map { ($0 * 9 + sample) / 10 } ?? sample
                }
            }
            state.rate?.hear(
                packetsPerLoss: information.packetsPerLoss, roundTrip: state.roundTrip, now: now)
        }
    }

    /// What to say in a payload that goes out now. `transmitDelay`: between two packets.
    package func information(transmitDelay: Duration, now: Instant) -> CongestionInformation {
        state.withLock { state in
            var said = CongestionInformation()
            said.countsMarks = state.hasSeenMarks
            said.packetsPerLoss = state.history.packetsPerLoss
            said.roundTrip = UInt64(max(0, (state.roundTrip ?? .zero).wholeNanoseconds / 1000))
            said.transmitDelay = UInt64(max(0, transmitDelay.wholeNanoseconds / 1000))
            // 0 would say that nothing is echoed.
            said.value = max(1, Self.microseconds(now))
            if let heard = state.heard {
                said.echo = heard.information.value
                said.echoDelay = UInt64(max(0, (now - heard.time).wholeNanoseconds / 1000))
            }
            state.isUnanswered = false
            state.lastSaid = now
            return said
        }
    }

    /// Whether the peer sent something and has not been told for as long.
    package func owesReport(after pause: Duration, now: Instant) -> Bool {
        state.withLock { state in state.isUnanswered && state.lastSaid.map { now - $0 >= pause } ?? true }
    }

    /// Packets a second that the path takes now; `nil` where it is not asked.
    package func packetRate(now: Instant) -> Int? {
        state.withLock { state in
            state.rate?.expire(now)
            return state.rate?.packets
        }
    }

    /// A clock of 32 bits, which turns over after 71 minutes.
    private static func microseconds(_ now: Instant) -> UInt32 { UInt32(truncatingIfNeeded: now.nanoseconds / 1000) }
}

/// How many packets a second are fair to others on the path (RFC 5348 §4).
struct PacketRate: Sendable {
    /// Before anything is known. RFC 5348 §4.2 has one packet; a few small ones find the round trip sooner.
    private static let first = 8.0
    private static let least = 1.0
    /// Without a word of the peer's the rate is halved (RFC 5348 §4.4).
    private static let silence = Duration.seconds(2)

    private let limit: Double
    private var allowed: Double
    private var lastChange: Instant?
    private var lastHeard: Instant?

    init(limit: Int) {
        self.limit = Double(max(1, limit))
        allowed = min(Self.first, self.limit)
    }

    var packets: Int { max(1, Int(allowed)) }

    /// The peer sees a loss event in so many packets, 0 for none.
    mutating func hear(packetsPerLoss: UInt32, roundTrip: Duration?, now: Instant) {
        lastHeard = now
        guard let roundTrip else { return }
        let seconds = max(Double(roundTrip.wholeNanoseconds) / 1e9, 0.0001)
        if packetsPerLoss == 0 {
            // Slow start: twice as many each round trip (RFC 5348 §4.3).
            guard lastChange.map({ now - $0 >= roundTrip }) ?? true else { return }
            allowed = min(limit, allowed * 2)
        } else {
            allowed = min(limit, max(Self.least, Self.throughput(packetsPerLoss, seconds)))
        }
        lastChange = now
    }

    /// RFC 5348 §3.1 with b = 1 and t_RTO = 4 R, divided by the packets' size.
    private static func throughput(_ packetsPerLoss: UInt32, _ roundTrip: Double) -> Double {
        let rate = 1 / Double(packetsPerLoss)
        let term = (2 * rate / 3).squareRoot() + 12 * (3 * rate / 8).squareRoot() * rate * (1 + 32 * rate * rate)
        return 1 / (roundTrip * term)
    }

    mutating func expire(_ now: Instant) {
        guard let heard = lastHeard ?? lastChange else {
            lastHeard = now
            return
        }
        guard now - heard >= Self.silence else { return }
        allowed = max(Self.least, allowed / 2)
        lastHeard = now
    }
}
