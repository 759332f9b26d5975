import Primitives

/// When each name is to be looked up: again when what is known of it runs out, sooner where a peer cannot be reached. A value;
/// ``NameWatch`` has the thread and the resolver.
struct NameSchedule: Sendable {
    /// However short its TTL is, a name is not looked up more often; nor when peers by that name fail one after another.
    static let shortest = Duration.seconds(5)
    /// However long its TTL is, a name is looked up again.
    static let longest = Duration.seconds(3600)
    /// Where nobody says for how long an answer is good, or there is none.
    static let unknown = Duration.seconds(60)
    static let afterFailure = Duration.seconds(15)

    private struct Entry: Sendable {
        var due: Instant
        var lastLookup: Instant?
    }

    private var entries: [String: Entry] = [:]

    /// When something is due; `nil` where nothing is watched.
    var next: Instant? { entries.values.map(\.due).min() }

    /// Watches exactly these names from now on; those that are new are due at once.
    mutating func watch(_ names: Set<String>, now: Instant) {
        entries = entries.filter { names.contains($0.key) }
        for name in names where entries[name] == nil { entries[name] = Entry(due: now) }
    }

    /// The names to look up now.
    func due(at now: Instant) -> [String] { entries.filter { $0.value.due <= now }.keys.sorted() }

    /// A name was looked up.
    ///
    /// - Parameter lifetime: how long the answer is good, `nil` where that is not known.
    mutating func note(_ name: String, isFound: Bool, lifetime: Duration?, now: Instant) {
        guard entries[name] != nil else { return }
        let pause = isFound ? lifetime ?? NameSchedule.unknown : NameSchedule.afterFailure
        let due = now + min(max(pause, NameSchedule.shortest), NameSchedule.longest)
        entries[name] = Entry(due: due, lastLookup: now)
    }

    /// A peer by this name does not answer: what we know of it may be old.
    mutating func doubt(_ name: String, now: Instant) {
        guard var entry = entries[name] else { return }
        entry.due = min(entry.due, entry.lastLookup.map { max(now, $0 + NameSchedule.shortest) } ?? now)
        entries[name] = entry
    }
}
