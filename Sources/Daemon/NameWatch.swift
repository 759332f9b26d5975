import IPsec
import Platform
import Primitives
import Synchronization

/// Looks the peers' names up on a thread of its own, again and again, and posts what it finds.
final class NameWatch: Sendable {
    private let names = Mutex<Set<String>>([])
    private let wakeup = Wakeup()
    private let inbox: Inbox

    /// Seconds between two rounds.
    private static let intervalMilliseconds: Int32 = 60_000

    init(inbox: Inbox) {
        self.inbox = inbox
        Threads.start { [self] in
            while true {
                let wanted = names.withLock { $0 }
                if !wanted.isEmpty { inbox.post(.resolved(NameWatch.resolve(wanted))) }
                _ = Poller.wait(
                    [Poller.Interest(wakeup.descriptor)],
                    milliseconds: wanted.isEmpty ? -1 : NameWatch.intervalMilliseconds)
                wakeup.clear()
            }
        }
    }

    /// Watches exactly these names from now on.
    func watch(_ wanted: Set<String>) {
        names.withLock { $0 = wanted }
        wakeup.signal()
    }

    private static func resolve(_ names: Set<String>) -> [String: [IPAddress]] {
        var found: [String: [IPAddress]] = [:]
        for name in names { found[name] = Resolver.addresses(of: name) }
        return found
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
            guard case .name(let name, _) = pattern, let found = answers[name], !found.isEmpty else { return pattern }
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

extension Connection {
    /// The names that it uses instead of addresses.
    var names: [String] {
        (localAddresses + remoteAddresses).compactMap { pattern in
            if case .name(let name, _) = pattern { name } else { nil }
        }
    }
}
