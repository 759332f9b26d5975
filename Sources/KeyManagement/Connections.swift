import IPsec
import Primitives

/// A child of a connection, by name.
package struct ChildKey: Hashable, Sendable {
    package var connection: String
    package var child: String

    package init(connection: String, child: String) {
        self.connection = connection
        self.child = child
    }
}

/// What should be up, and when to try next: the intent behind `start_action`, `close_action` and `dpd_action`.
struct Connections: Sendable {
    private struct Wish: Sendable {
        /// Failed tries since the child was last up.
        var failures = 0
        /// `nil` while a try runs or the child is up.
        var nextTry: Instant?
    }

    private var wishes: [ChildKey: Wish] = [:]
    private(set) var nextTry: Instant?

    /// The longest pause between two tries.
    static let longestPause = Duration.seconds(60)

    /// The pause before the try that follows `failures` failed ones: 1 s, 2 s, 4 s … with up to a quarter added, so
    /// that two ends that failed together do not meet again for ever.
    static func pause(failures: Int, _ randomness: inout Randomness) -> Duration {
        let base = min(Duration.seconds(1 << min(failures, 6)), longestPause)
        return base + base * (randomness.fraction() / 4)
    }

    func wants(_ key: ChildKey) -> Bool { wishes[key] != nil }

    /// The child should be up, from now on; a first try is due at `instant`.
    mutating func want(_ key: ChildKey, firstTry instant: Instant) {
        guard wishes[key] == nil else { return }
        wishes[key] = Wish(nextTry: instant)
        refresh()
    }

    mutating func forget(_ key: ChildKey) {
        if wishes.removeValue(forKey: key) != nil { refresh() }
    }

    mutating func forget(where isGone: (ChildKey) -> Bool) {
        wishes = wishes.filter { !isGone($0.key) }
        refresh()
    }

    /// The child is up.
    mutating func isUp(_ key: ChildKey) {
        guard wishes[key] != nil else { return }
        wishes[key] = Wish()
        refresh()
    }

    /// A try came to nothing, or what was up went away.
    mutating func failed(_ key: ChildKey, now: Instant, _ randomness: inout Randomness) {
        guard var wish = wishes[key], wish.nextTry == nil else { return }
        wish.nextTry = now + Connections.pause(failures: wish.failures, &randomness)
        wish.failures += 1
        wishes[key] = wish
        refresh()
    }

    /// The children to try now. Each counts as being tried until ``isUp(_:)`` or ``failed(_:now:_:)``.
    mutating func takeDue(at now: Instant) -> [ChildKey] {
        guard let nextTry, nextTry <= now else { return [] }
        let due = wishes.filter { wish in wish.value.nextTry.map { $0 <= now } ?? false }.map(\.key)
            .sorted { ($0.connection, $0.child) < ($1.connection, $1.child) }
        for key in due { wishes[key]?.nextTry = nil }
        refresh()
        return due
    }

    private mutating func refresh() { nextTry = wishes.values.compactMap(\.nextTry).min() }
}
