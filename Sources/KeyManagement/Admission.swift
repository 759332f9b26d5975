package import IKEv2
import IPsec
package import Primitives

/// How many unfinished negotiations are borne, and from when on a peer must show that it can be reached.
package struct AdmissionLimits: Hashable, Sendable {
    /// Half-open SAs from which on an IKEv2 initiator must return a cookie (RFC 7296 §2.6), and Main Mode's first
    /// message makes no state (RFC 2408 §2.5.3).
    package var cookieThreshold = 30
    /// The same for one source address.
    package var cookieThresholdPerSource = 3
    /// Half-open SAs from which on a cookie is not enough, and work must be shown (RFC 8019).
    package var puzzleThreshold = 1000
    /// Half-open SAs of one source address beyond which its first messages are dropped.
    package var blockThresholdPerSource = 5
    /// Half-open SAs beyond which first messages are dropped whose exchange cannot prove an address without state.
    package var unprovenMaximum = 256
    /// Half-open SAs beyond which every first message is dropped.
    package var halfOpenMaximum = 4096
    /// SAs in all.
    package var sessionMaximum = 1_000_000
    /// No first message is taken.
    package var refusesAll = false

    package init() {}

    /// What the configuration says of them.
    init(_ settings: EngineSettings) {
        // As charon has it, 0 turns a threshold off.
        func threshold(_ count: Int) -> Int { count == 0 ? .max : count }
        cookieThreshold = threshold(settings.cookieThreshold)
        cookieThresholdPerSource = threshold(settings.cookieThresholdPerSource)
        blockThresholdPerSource = threshold(settings.blockThreshold)
        puzzleThreshold = threshold(settings.puzzleThreshold)
        halfOpenMaximum = min(halfOpenMaximum, threshold(settings.halfOpenLimit))
        sessionMaximum = min(sessionMaximum, threshold(settings.sessionLimit))
        refusesAll = settings.initiatesOnly
    }
}

/// Counts half-open SAs and judges first messages by them.
package struct Admission: Sendable {
    package enum Verdict: Equatable {
        case admit
        case challenge
        /// The same, with work to be shown.
        case puzzle
        case drop(String)
    }

    /// One in so many of those that return a cookie without the work that was wanted is admitted.
    static let legacyShare: UInt64 = 8

    package var limits = AdmissionLimits()

    private var total = 0
    private var perSource: [IPAddress: Int] = [:]

    package init() {}

    package var halfOpen: Int { total }
    package func halfOpen(of source: IPAddress) -> Int { perSource[source] ?? 0 }

    package mutating func opened(from source: IPAddress) {
        total += 1
        perSource[source, default: 0] += 1
    }

    package mutating func settled(from source: IPAddress) {
        total -= 1
        guard let count = perSource[source] else { return }
        perSource[source] = count > 1 ? count - 1 : nil
    }

    /// What to do with a first message from `source`. `shown`: what it shows by a cookie of ours; `canProve`: the
    /// version of IKE has cookies that need no state; `isLucky`: a cookie alone is enough even where work is wanted, as
    /// for some of those that know no puzzles (RFC 8019 §7.1.4).
    package func judge(
        source: IPAddress, sessions: Int, shown: StatelessCookie.Shown, canProve: Bool, isLucky: Bool = false
    ) -> Verdict {
        if limits.refusesAll { return .drop("this end alone begins (initiator_only)") }
        if sessions >= limits.sessionMaximum { return .drop("the limit of SAs is reached") }
        if total >= limits.halfOpenMaximum { return .drop("the limit of half-open SAs is reached") }
        let own = perSource[source] ?? 0
        if canProve {
            if shown == .work { return .admit }
            // Main Mode's first messages show nothing, and are answered without state.
            if shown == .address, total < limits.puzzleThreshold || isLucky { return .admit }
            if total >= limits.puzzleThreshold { return .puzzle }
            let pressed = total >= limits.cookieThreshold || own >= limits.cookieThresholdPerSource
            return pressed ? .challenge : .admit
        }
        // What needs state and work for every first message (Aggressive Mode, Base) must leave room for what does not.
        if total >= limits.unprovenMaximum { return .drop("too many half-open SAs for exchanges without cookies") }
        // Without cookies, an address that many half-open SAs come from gets no more of them.
        return own >= limits.blockThresholdPerSource
            ? .drop("too many half-open SAs from this address") : .admit
    }
}
