import IPsec
import KeyManagement
import Platform
import Primitives

/// The name servers that gateways gave our sessions, where the machine looks for them as long as the sessions last: in its
/// `resolv.conf`, or with systemd-resolved where that file is resolved's.
struct NameServers {
    private enum Place {
        case file(NameServerFile)
        case resolved(ResolvedService)
    }

    private let place: Place
    private var bySession: [SessionID: NameService] = [:]

    /// - Parameters:
    ///   - path: the machine's `resolv.conf`.
    ///   - device: through which the servers are reached; `nil`: there is none.
    init(_ path: String, device: String?, complain: @escaping @Sendable (String) -> Void) {
        if let device, ResolvedService.keeps(path) {
            place = .resolved(ResolvedService(device: device) { complain("name servers: \($0)") })
        } else {
            place = .file(NameServerFile(path))
        }
    }

    /// Takes note of a session that got servers, or has ended; what the change came to where it failed.
    mutating func record(_ event: Event) -> String? {
        guard let session = event.session else { return nil }
        switch event.kind {
        case .session(.configured(_, _, let names)) where !names.servers.isEmpty: bySession[session] = names
        case .closed where bySession[session] != nil: bySession[session] = nil
        case .session, .closed, .dropped, .noticed: return nil
        }
        return write()
    }

    /// What all sessions have together, the newest one's first. Where one's servers are for all names, they all are.
    static func merge(_ services: [NameService]) -> NameService {
        func all<Value: Hashable>(_ path: KeyPath<NameService, [Value]>) -> [Value] {
            var seen: Set<Value> = []
            return services.flatMap { $0[keyPath: path] }.filter { seen.insert($0).inserted }
        }
        let isForAll = services.contains(where: \.domains.isEmpty)
        return NameService(
            servers: all(\.servers), domains: isForAll ? [] : all(\.domains), searchDomains: all(\.searchDomains))
    }

    func write() -> String? {
        let names = Self.merge(bySession.sorted { $0.key.value > $1.key.value }.map(\.value))
        switch place {
        case .file(let file):
            do throws(PlatformError) { try file.put(names.servers) } catch { return "name servers: \(error)" }
        case .resolved(let service):
            service.put(
                ResolvedService.Servers(
                    names.servers, domains: names.domains, searchDomains: names.searchDomains))
        }
        return nil
    }

    /// Takes all of them back, and waits until that is done.
    mutating func removeAll() -> String? {
        bySession = [:]
        let problem = write()
        if case .resolved(let service) = place { service.finish() }
        return problem
    }
}
