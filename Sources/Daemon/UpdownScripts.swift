import IPsec
import KeyManagement
import Platform
import Primitives

/// Runs the commands of children that have ``ChildPolicy/updown``, with the variables that strongSwan's have: once for each pair
/// of selectors when a child comes up, and once when it is gone; a rekeyed child is still the same to them.
final class UpdownScripts {
    private let runner: ScriptRunner
    /// What to run when a child is gone.
    private var standing: [ChildID: [Script]] = [:]
    private var nameServers: [SessionID: [IPAddress]] = [:]
    /// How long the end of the daemon waits for them.
    private static let farewell: Int32 = 5000

    /// - Parameter report: told, by another thread, what they say.
    init(report: @escaping @Sendable (String) -> Void) { runner = ScriptRunner(report: report) }

    func record(_ event: Event, loop: ControlLoop) {
        switch event.kind {
        case .session(.configured(_, _, let servers)):
            if let session = event.session { nameServers[session] = servers.servers }
        case .session(.childEstablished(let id)): rise(id, event, loop)
        case .session(.childRekeyed(let old, let new)): standing[new] = standing.removeValue(forKey: old)
        case .closed:
            if let session = event.session { nameServers[session] = nil }
        case .session, .dropped, .noticed: break
        }
    }

    /// Waits a while for those that run or are still to run.
    func finish() { runner.finish(milliseconds: Self.farewell) }

    private func rise(_ id: ChildID, _ event: Event, _ loop: ControlLoop) {
        guard let session = event.snapshot, let child = session.children.first(where: { $0.id == id }),
            let policy = loop.manager.policies.connection(event.connection)?.child(child.name),
            let command = policy.updown
        else { return }
        let variables = UpdownVariables(
            session: session, child: child, opensHost: policy.opensHost, isCompressed: policy.compresses,
            nameServers: nameServers[session.id] ?? [], interface: Machine.interface(of: session.local.address),
            path: Machine.searchPath)
        for script in variables.scripts(command, isUp: true) { start(script, loop) }
        standing[id] = variables.scripts(command, isUp: false)
    }

    /// The data plane opens a child's packets no more, whatever ended it.
    func fall(_ id: ChildID, loop: ControlLoop) {
        for script in standing.removeValue(forKey: id) ?? [] { start(script, loop) }
    }

    private func start(_ script: Script, _ loop: ControlLoop) {
        if !runner.run(script) {
            loop.note(.child, "updown: too many wait already, '\(script.command.prefix(80))' is left out")
        }
    }
}

/// The environment of strongSwan's updown scripts: `PLUTO_…`.
struct UpdownVariables {
    var session: SessionSnapshot
    var child: ChildSnapshot
    var opensHost: Bool
    var isCompressed: Bool
    var nameServers: [IPAddress]
    /// That of our own outer address, where it has one.
    var interface: String?
    var path: String

    /// One for each pair of selectors that can carry packets.
    func scripts(_ command: String, isUp: Bool) -> [Script] {
        child.localSelectors.flatMap { local in
            child.remoteSelectors.filter { $0.first.family == local.first.family }.map { remote in
                Script(command: command, environment: variables(local, remote, isUp: isUp))
            }
        }
    }

    private func variables(
        _ local: TrafficSelector, _ remote: TrafficSelector, isUp: Bool
    ) -> [(name: String, value: String)] {
        let isHost = local.first == local.last && local.first == session.local.address
        let verb = "\(isUp ? "up" : "down")-\(isHost ? "host" : "client")\(local.first.family == .v6 ? "-v6" : "")"
        var variables: [(name: String, value: String)] = [
            ("PATH", path), ("PLUTO_VERSION", "1.1"), ("PLUTO_VERB", verb), ("PLUTO_CONNECTION", child.name),
            ("PLUTO_INTERFACE", interface ?? "unknown"), ("PLUTO_REQID", "\(child.requestID)"),
            ("PLUTO_PROTO", child.securityProtocol == .ah ? "ah" : "esp"), ("PLUTO_UNIQUEID", "\(session.id)"),
            ("PLUTO_ME", "\(session.local.address)"),
            ("PLUTO_MY_ID", session.localIdentity.map { "\($0)" } ?? ""),
            ("PLUTO_MY_CLIENT", Self.network(local)), ("PLUTO_MY_PORT", "\(local.firstPort)"),
            ("PLUTO_MY_PROTOCOL", "\(local.ipProtocol)"), ("PLUTO_PEER", "\(session.remote.address)"),
            ("PLUTO_PEER_ID", session.remoteIdentity.map { "\($0)" } ?? ""),
            ("PLUTO_PEER_CLIENT", Self.network(remote)), ("PLUTO_PEER_PORT", "\(remote.firstPort)"),
            ("PLUTO_PEER_PROTOCOL", "\(remote.ipProtocol)"),
        ]
        if let user = session.remoteUser { variables.append(("PLUTO_XAUTH_ID", "\(user)")) }
        addresses(session.localVirtualAddresses, "PLUTO_MY_SOURCEIP", to: &variables)
        addresses(session.remoteVirtualAddresses, "PLUTO_PEER_SOURCEIP", to: &variables)
        numbered(nameServers, "PLUTO_DNS", to: &variables)
        if child.udpEncapsulation { variables.append(("PLUTO_UDP_ENC", "\(session.remote.port)")) }
        if isCompressed { variables.append(("PLUTO_IPCOMP", "1")) }
        if opensHost { variables.append(("PLUTO_HOST_ACCESS", "1")) }
        return variables
    }

    /// `PLUTO_MY_SOURCEIP` for the first, and all of them by family and number.
    private func addresses(
        _ addresses: [IPAddress], _ name: String, to variables: inout [(name: String, value: String)]
    ) {
        guard let first = addresses.first else { return }
        variables.append((name, "\(first)"))
        numbered(addresses, name, to: &variables)
    }

    private func numbered(
        _ addresses: [IPAddress], _ name: String, to variables: inout [(name: String, value: String)]
    ) {
        for (family, digit) in [(IPAddress.Family.v4, 4), (.v6, 6)] {
            for (index, address) in addresses.filter({ $0.family == family }).enumerated() {
                variables.append(("\(name)\(digit)_\(index + 1)", "\(address)"))
            }
        }
    }

    /// A block, or for another range the smallest one around it.
    private static func network(_ selector: TrafficSelector) -> String {
        if let prefix = selector.prefix { return "\(prefix)" }
        var length = selector.first.family.bitCount - 1
        while length > 0, Prefix(selector.first, length: length)?.contains(selector.last) != true { length -= 1 }
        return Prefix(selector.first, length: length).map { "\($0)" } ?? "\(selector.first)"
    }
}
