import IPsec
import Platform
import Primitives
import Synchronization

/// Leases of virtual addresses over a restart: what an earlier run gave comes back with its pool, and what this one gives is written
/// by a thread of its own, so that nobody waits for the disk.
final class LeaseArchive {
    /// Of an earlier run, by pool, until the pool is there.
    private var rows: [String: [LeaseDatabase.Row]]
    private let writer: Writer

    /// Reads the file `leases` of a directory, and makes both where they are missing.
    init(directory: String, complain: @escaping @Sendable (String) -> Void) throws(LeaseDatabase.Failure) {
        if !NewFile.exists(directory) {
            do throws(PlatformError) { try NewFile.makeDirectory(directory, isPrivate: true) } catch {
                throw LeaseDatabase.Failure(description: "\(error)")
            }
        }
        let path = "\(directory)/leases.sqlite"
        rows = Dictionary(grouping: try LeaseDatabase(path).rows(), by: \.pool)
        writer = Writer(path, complain)
    }

    /// What an earlier run gave from these pools and what still fits them; each is handed out once.
    func take(_ pools: [AddressPool]) -> [(address: IPAddress, pool: String, identity: Identity)] {
        pools.flatMap { pool in
            (rows.removeValue(forKey: pool.name) ?? []).filter { pool.contains($0.address) }
                .map { ($0.address, $0.pool, $0.identity) }
        }
    }

    /// Writes what has changed. Those who are anonymous never come back.
    func record(_ changes: [AddressLeases.Change]) {
        let lasting = changes.filter { change in
            if case .given(_, _, let identity) = change { identity.kind != .null } else { true }
        }
        if !lasting.isEmpty { writer.write(lasting) }
    }

    /// Waits until all is written, a moment at most.
    func finish() { writer.finish() }

    private final class Writer: Sendable {
        private struct State {
            var changes: [AddressLeases.Change] = []
            var isBusy = false
        }

        private let state = Mutex(State())
        private let wakeup = Wakeup()
        private let idle = Wakeup()

        init(_ path: String, _ complain: @escaping @Sendable (String) -> Void) {
            Threads.start { [self] in work(path, complain) }
        }

        func write(_ changes: [AddressLeases.Change]) {
            state.withLock { state in
                state.changes += changes
                state.isBusy = true
            }
            wakeup.signal()
        }

        func finish() {
            for _ in 0..<20 where state.withLock(\.isBusy) {
                _ = Poller.wait([Poller.Interest(idle.descriptor)], milliseconds: 100)
                idle.clear()
            }
        }

        private func work(_ path: String, _ complain: (String) -> Void) {
            var database: LeaseDatabase?
            while true {
                _ = Poller.wait([Poller.Interest(wakeup.descriptor)], milliseconds: -1)
                wakeup.clear()
                while let changes = next() {
                    do throws(LeaseDatabase.Failure) {
                        if database == nil { database = try LeaseDatabase(path) }
                        try database?.record(changes)
                    } catch {
                        complain("leases cannot be written to \(path): \(error)")
                    }
                }
                idle.signal()
            }
        }

        /// What is to be written; `nil`, and no longer busy, where that is nothing.
        private func next() -> [AddressLeases.Change]? {
            state.withLock { state in
                defer { state.changes = [] }
                state.isBusy = !state.changes.isEmpty
                return state.isBusy ? state.changes : nil
            }
        }
    }
}
