import IPsec
import KeyManagement
import Platform
import Primitives
import Synchronization

/// Looks the peers' names up on a thread of its own, when ``NameSchedule`` says so, and posts what it finds.
final class NameWatch: Sendable {
    private let schedule = Mutex(NameSchedule())
    private let wakeup = Wakeup()
    private let inbox: Inbox

    init(inbox: Inbox, resolve: @escaping @Sendable (String) -> Resolver.Resolution = { Resolver.resolve($0) }) {
        self.inbox = inbox
        Threads.start { [self] in
            while true {
                let due = schedule.withLock { $0.due(at: Clock.now()) }
                var found: [String: [IPAddress]] = [:]
                for name in due {
                    let resolution = resolve(name)
                    found[name] = resolution.addresses
                    schedule.withLock {
                        $0.note(
                            name, isFound: !resolution.addresses.isEmpty, lifetime: resolution.lifetime,
                            now: Clock.now())
                    }
                }
                if !found.isEmpty { inbox.post(.resolved(found)) }
                _ = Poller.wait([Poller.Interest(wakeup.descriptor)], milliseconds: pause)
                wakeup.clear()
            }
        }
    }

    /// Milliseconds until a name is due; for ever where none is watched.
    private var pause: Int32 {
        guard let next = schedule.withLock({ $0.next }) else { return -1 }
        return Int32(clamping: max(0, ((next - Clock.now()).wholeNanoseconds + 999_999) / 1_000_000))
    }

    /// Watches exactly these names from now on.
    func watch(_ wanted: Set<String>) {
        schedule.withLock { $0.watch(wanted, now: Clock.now()) }
        wakeup.signal()
    }

    /// Peers by these names do not answer.
    func doubt(_ names: [String]) {
        guard !names.isEmpty else { return }
        schedule.withLock { for name in names { $0.doubt(name, now: Clock.now()) } }
        wakeup.signal()
    }
}

extension PolicyDatabase {
    /// The names that connections use instead of addresses.
    var names: Set<String> {
        Set(connections.flatMap(\.names))
    }

    /// The database with the addresses of its names filled in; a name without an answer keeps what it had.
    func resolved(_ answers: [String: [IPAddress]]) -> PolicyDatabase {
        func fill(_ pattern: AddressPattern) -> AddressPattern {
            guard case .name(let name, let known) = pattern, let found = answers[name], !found.isEmpty,
                // Servers turn the order round at every answer; that alone is no news.
                Set(found) != Set(known)
            else { return pattern }
            return .name(name, found)
        }
        return PolicyDatabase(
            connections: connections.map { connection in
                var connection = connection
                connection.localAddresses = connection.localAddresses.map(fill)
                connection.remoteAddresses = connection.remoteAddresses.map(fill)
                return connection
            }, pools: pools)
    }
}

extension PolicyDatabase {
    /// Names that stand for other addresses than before.
    func changedNames(since before: PolicyDatabase) -> [(name: String, addresses: [IPAddress])] {
        func patterns(_ database: PolicyDatabase) -> [String: [IPAddress]] {
            var found: [String: [IPAddress]] = [:]
            for pattern in database.connections.flatMap({ $0.localAddresses + $0.remoteAddresses }) {
                if case .name(let name, let addresses) = pattern { found[name] = addresses }
            }
            return found
        }
        let old = patterns(before)
        return patterns(self).filter { old[$0.key] != $0.value }.sorted { $0.key < $1.key }
            .map { ($0.key, $0.value) }
    }
}

extension Event {
    /// Whether it tells of a peer that does not answer.
    var doubtsPeer: Bool {
        switch kind {
        case .session(.retransmitting(_, let attempt)): attempt >= 2
        case .closed(.peerUnresponsive): true
        case .session, .closed, .dropped, .noticed: false
        }
    }
}

extension Connection {
    /// The names that it uses instead of addresses.
    var names: [String] {
        (localAddresses + remoteAddresses).compactMap { pattern in
            if case .name(let name, _) = pattern { name } else { nil }
        }
    }
}
