package import Primitives

/// What inquiries brought, held as long as it is good for something, and what they did not bring, so that nobody asks again
/// at once. A value, bounded.
package struct RevocationCache: Sendable {
    private struct Entry: Sendable {
        var finding: RevocationFinding
        var storedAt: WallTime
    }

    private var entries: [RevocationInquiry: Entry] = [:]
    private var failures: [RevocationInquiry: WallTime] = [:]
    private var octets = 0

    /// Findings, and the octets of all of them.
    private static let maximumEntries = 1024
    private static let maximumOctets = 64 * 1024 * 1024
    private static let maximumFailures = 1024
    /// How long after a failure nobody asks again, in seconds.
    private static let pause = Duration.seconds(60)

    package init() {}

    package var count: Int { entries.count }

    /// All findings.
    package var store: RevocationStore {
        var store = RevocationStore()
        for (inquiry, entry) in entries {
            switch entry.finding {
            case .list(let list): store.lists.append(list)
            case .response(let response): store.responses.append(response)
            case .certificates(let certificates):
                if case .certificate(let hash, _) = inquiry.subject { store.located[hash] = certificates }
            }
        }
        return store
    }

    /// Takes a finding in, in place of what the same inquiry brought before.
    ///
    /// - Returns: the inquiries whose findings had to go for it.
    package mutating func put(
        _ finding: RevocationFinding, for inquiry: RevocationInquiry, now: WallTime
    ) -> [RevocationInquiry] {
        failures[inquiry] = nil
        remove(inquiry)
        var removed: [RevocationInquiry] = []
        while entries.count >= RevocationCache.maximumEntries
            || octets + finding.octets.count > RevocationCache.maximumOctets,
            let oldest = entries.min(by: { RevocationCache.goes($0.value, before: $1.value) })?.key
        {
            remove(oldest)
            removed.append(oldest)
        }
        entries[inquiry] = Entry(finding: finding, storedAt: now)
        octets += finding.octets.count
        return removed
    }

    private mutating func remove(_ inquiry: RevocationInquiry) {
        if let old = entries.removeValue(forKey: inquiry) { octets -= old.finding.octets.count }
    }

    /// What ends first is needed least.
    private static func goes(_ left: Entry, before right: Entry) -> Bool {
        let ends = (left.finding.nextUpdate ?? left.storedAt, right.finding.nextUpdate ?? right.storedAt)
        return ends.0 == ends.1 ? left.storedAt < right.storedAt : ends.0 < ends.1
    }

    /// Notes that an inquiry brought nothing.
    package mutating func noteFailure(_ inquiry: RevocationInquiry, now: WallTime) {
        if failures.count >= RevocationCache.maximumFailures {
            failures = failures.filter { now < $0.value + RevocationCache.pause }
            if failures.count >= RevocationCache.maximumFailures { failures = [:] }
        }
        failures[inquiry] = now
    }

    /// Whether an inquiry failed so lately that it is not worth another one.
    package func hasFailed(_ inquiry: RevocationInquiry, now: WallTime) -> Bool {
        failures[inquiry].map { $0 <= now && now < $0 + RevocationCache.pause } ?? false
    }

    /// Forgets everything.
    package mutating func removeAll() { self = RevocationCache() }
}
