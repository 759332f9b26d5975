/// How many clones IKE SAs have (RFC 7791). Key management keeps it; sessions ask before they agree to another.
package struct CloneBook: Sendable {
    private var counts: [SessionID: Int] = [:]
    /// The node takes no more IKE SAs at all.
    package var isFull = false

    package init() {}

    /// Clones of an IKE SA and of its clones; `origin` names the first of them.
    package func count(of origin: SessionID) -> Int { counts[origin] ?? 0 }

    package mutating func add(to origin: SessionID) { counts[origin, default: 0] += 1 }

    package mutating func remove(from origin: SessionID) {
        counts[origin] = counts[origin].flatMap { $0 > 1 ? $0 - 1 : nil }
    }
}
