import Primitives

/// Brings the AGGFRAG payloads of one SA into the order in which they were sent (RFC 9347 §2.5): those that overtook another wait
/// for it, but not for long, and not many of them. Belongs to the SA's worker.
///
/// What comes after its turn is opened at once: it is genuine, and what it holds is of use all the same.
final class PayloadOrder {
    /// Of payloads that wait, in octets, however wide the window is.
    static let mostOctets = 1 << 20
    /// What a place keeps of its memory for the next payload.
    private static let keptOctets = 2048

    private struct Place {
        var sequence: UInt64 = 0
        var isTaken = false
        var count = 0
        var trafficClass: UInt8 = 0
        /// When it need not wait any longer.
        var until = Instant(nanoseconds: 0)
        // SAFETY: freed by the owner's deinit; `capacity` octets, of which `count` are the payload's.
        var octets: UnsafeMutableRawPointer?
        var capacity = 0
    }

    /// A payload in its turn. Its octets stay where they are until the call of `settle` that follows.
    struct Payload {
        var octets: UnsafeMutableRawPointer
        var count: Int
        var sequence: UInt64
        var trafficClass: UInt8
    }

    private let patience: Duration
    /// Those between `wanted` and the payload that is furthest ahead of it, each at its number's remainder.
    private var places: [Place]
    /// The number whose turn it is. Senders begin with 1 (RFC 4303 §2.2).
    private var wanted: UInt64 = 1
    private var hasBegun = false
    /// How many payloads wait, and their octets.
    private(set) var held = 0
    private(set) var heldOctets = 0
    private var hasReleased = false

    /// `window`: how many payloads may wait for one, at least 1.
    init(window: Int, patience: Duration) {
        self.patience = patience
        places = Array(repeating: Place(), count: min(max(window, 1), 255))
    }

    deinit { for place in places { place.octets?.deallocate() } }

    private var window: UInt64 { UInt64(places.count) }

    /// When ``release(at:settle:open:)`` has something to do; `nil` while nothing waits.
    var deadline: Instant? {
        guard held > 0 else { return nil }
        return places.lazy.filter(\.isTaken).map(\.until).min()
    }

    /// Takes a genuine payload; `open` gets those whose turn it is, perhaps this one, in order. `settle` is called before octets
    /// that `open` got are overwritten: nothing may refer to them afterwards.
    ///
    /// SAFETY: the caller vouches for the payload's octets. With a count of 0 it holds nothing, and only takes its turn.
    func take(_ payload: Payload, now: Instant, settle: () -> Void, open: (Payload) -> Void) {
        let sequence = payload.sequence
        guard !isHeld(sequence) else { return }
        // 1. It is further ahead than may be: those before it are not waited for any longer.
        if !hasBegun, sequence > window + 1 { wanted = sequence }
        hasBegun = true
        if sequence > wanted, sequence - wanted > window { advance(to: sequence - window, open) }
        while sequence > wanted, held > 0, heldOctets + payload.count > Self.mostOctets {
            advance(to: min(sequence, (firstHeld ?? wanted) &+ 1), open)
        }
        // 2. It waits, or it is its turn and that of those which waited for it.
        if sequence > wanted {
            finish(settle)
            hold(payload, now)
        } else {
            if payload.count > 0 { open(payload) }
            if sequence == wanted { advance(to: sequence &+ 1, open) }
            finish(settle)
        }
    }

    /// Gives up what was waited for long enough.
    func release(at now: Instant, settle: () -> Void, open: (Payload) -> Void) {
        guard held > 0 else { return }
        let last = places.lazy.filter { $0.isTaken && $0.until <= now }.map(\.sequence).max()
        guard let last else { return }
        advance(to: last &+ 1, open)
        finish(settle)
    }

    /// Gives up what is waited for.
    func releaseAll(settle: () -> Void, open: (Payload) -> Void) {
        guard held > 0 else { return }
        advance(to: wanted &+ window &+ 1, open)
        finish(settle)
    }

    private func index(_ sequence: UInt64) -> Int { Int(sequence % window) }

    private func isHeld(_ sequence: UInt64) -> Bool {
        let place = places[index(sequence)]
        return place.isTaken && place.sequence == sequence
    }

    private var firstHeld: UInt64? { places.lazy.filter(\.isTaken).map(\.sequence).min() }

    /// Opens those that wait below a number, and those that follow it without a gap.
    private func advance(to next: UInt64, _ open: (Payload) -> Void) {
        var sequence = wanted
        while held > 0, sequence != next {
            if isHeld(sequence) { release(sequence, open) }
            sequence &+= 1
        }
        wanted = next
        while held > 0, isHeld(wanted) {
            release(wanted, open)
            wanted &+= 1
        }
    }

    private func hold(_ payload: Payload, _ now: Instant) {
        let place = index(payload.sequence)
        if payload.count > places[place].capacity {
            places[place].octets?.deallocate()
            places[place].capacity = max(Self.keptOctets, payload.count)
            places[place].octets = .allocate(byteCount: places[place].capacity, alignment: 16)
        }
        if payload.count > 0 { places[place].octets?.copyMemory(from: payload.octets, byteCount: payload.count) }
        places[place].sequence = payload.sequence
        places[place].isTaken = true
        places[place].count = payload.count
        places[place].trafficClass = payload.trafficClass
        places[place].until = now + patience
        held += 1
        heldOctets += payload.count
    }

    private func release(_ sequence: UInt64, _ open: (Payload) -> Void) {
        let place = places[index(sequence)]
        places[index(sequence)].isTaken = false
        held -= 1
        heldOctets -= place.count
        hasReleased = true
        guard let octets = place.octets, place.count > 0 else { return }
        open(
            Payload(octets: octets, count: place.count, sequence: sequence, trafficClass: place.trafficClass))
    }

    /// Everything that was opened is used up: places may be taken anew.
    private func finish(_ settle: () -> Void) {
        guard hasReleased else { return }
        hasReleased = false
        settle()
        for index in places.indices where !places[index].isTaken && places[index].capacity > Self.keptOctets {
            places[index].octets?.deallocate()
            places[index].octets = nil
            places[index].capacity = 0
        }
    }
}
