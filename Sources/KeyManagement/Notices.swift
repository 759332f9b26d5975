import IPsec
import Primitives

/// When strangers' messages were last told of. Anybody can send them: of each kind one a second is told, with the number
/// that came meanwhile.
struct StrangerNotices: Sendable {
    static let interval = Duration.seconds(1)

    struct Kind: Sendable {
        private var last: Instant?
        private var untold: UInt64 = 0

        /// Counts one more: how many there are to tell of, or `nil` where it is too early.
        mutating func count(at now: Instant) -> UInt64? {
            untold += 1
            if let last, now - last < StrangerNotices.interval { return nil }
            last = now
            defer { untold = 0 }
            return untold
        }
    }

    var malformed = Kind()
    var unknown = Kind()
}

extension KeyManager {
    mutating func countMalformed(_ datagram: Datagram, _ effects: inout [Effect]) {
        counters.malformed += 1
        guard let count = strangers.malformed.count(at: environment.now) else { return }
        effects.append(
            report(nil, connection: "", .noticed(.malformedHeader(remote: datagram.remote, count: count))))
    }

    mutating func countUnknown(_ datagram: Datagram, _ effects: inout [Effect]) {
        counters.unknownSPI += 1
        guard let count = strangers.unknown.count(at: environment.now) else { return }
        effects.append(report(nil, connection: "", .noticed(.unknownSPI(remote: datagram.remote, count: count))))
    }

    /// Whoever recorded a request can play it again as often as it likes: one repetition of a session's is told in a second.
    mutating func isWorthTelling(_ event: SessionEvent, of id: SessionID) -> Bool {
        guard case .noticed(.repeatedRequest) = event else { return true }
        if let last = sessions[id]?.toldRepetition, environment.now - last < StrangerNotices.interval { return false }
        sessions[id]?.toldRepetition = environment.now
        return true
    }
}
