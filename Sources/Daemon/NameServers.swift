import IPsec
import KeyManagement
import Platform
import Primitives

/// The name servers that gateways gave our sessions, in the machine's `resolv.conf` as long as the sessions last.
struct NameServers {
    private let file: NameServerFile
    private var bySession: [SessionID: [IPAddress]] = [:]

    init(_ path: String) { file = NameServerFile(path) }

    /// Takes note of a session that got servers, or has ended; what the file's change came to where it failed.
    mutating func record(_ event: Event) -> String? {
        guard let session = event.session else { return nil }
        switch event.kind {
        case .session(.configured(_, _, let servers)) where !servers.isEmpty: bySession[session] = servers
        case .closed where bySession[session] != nil: bySession[session] = nil
        case .session, .closed, .dropped: return nil
        }
        return write()
    }

    /// Puts the servers of the newest session first.
    func write() -> String? {
        var seen: Set<IPAddress> = []
        let servers = bySession.sorted { $0.key.value > $1.key.value }.flatMap(\.value).filter {
            seen.insert($0).inserted
        }
        do throws(PlatformError) { try file.put(servers) } catch { return "name servers: \(error)" }
        return nil
    }

    /// Takes all of them back.
    mutating func removeAll() -> String? {
        bySession = [:]
        return write()
    }
}
