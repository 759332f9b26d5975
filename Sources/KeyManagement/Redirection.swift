import IPsec
import Primitives

/// Sessions that a gateway sends on to another (RFC 5685), and those that we send on.
extension KeyManager {
    /// Opens a session to another gateway, for what this one did or was to do. An established one goes on until that is
    /// done there.
    mutating func redirect(_ id: SessionID, to gateway: IPAddress, _ effects: inout [Effect]) {
        guard let entry = sessions[id], var connection = policies.connection(entry.connection),
            !entries(of: entry.connection).contains(where: { $0.entry.predecessor == id })
        else { return }
        let snapshot = entry.session.snapshot
        // The address that we have inside is the one to ask for there, as at every new beginning.
        if !snapshot.localVirtualAddresses.isEmpty { connection.virtualAddresses = snapshot.localVirtualAddresses }
        guard let local = origin(connection, towards: gateway, from: snapshot.local.address) else {
            effects.append(
                report(
                    id, connection: entry.connection,
                    .session(.note("no address of ours reaches \(gateway), to which we are redirected"))))
            return
        }
        let port = connection.remotePort == 500 ? environment.settings.port : environment.settings.natPort
        let successor = open(
            connection, local: Endpoint(local, port: port), remote: Endpoint(gateway, port: connection.remotePort),
            isVersion1: false, attempt: entry.attempt)
        feed(.command(.cameFrom(snapshot.remote.address)), to: successor, &effects)
        if entry.isEstablished {
            succeed(id, by: successor, &effects)
        } else {
            sessions[id]?.requested = []
            pending.hand(id, to: successor)
            for name in entry.requested { requestChild(name, of: successor, &effects) }
        }
    }

    private func origin(_ connection: Connection, towards gateway: IPAddress, from current: IPAddress) -> IPAddress? {
        let configured = connection.localAddresses.flatMap(\.concrete).first { $0.family == gateway.family }
        if let configured { return configured }
        return sourceAddress(gateway) ?? (current.family == gateway.family ? current : nil)
    }

    /// Tells the peers of these sessions to go to another gateway.
    mutating func redirect(
        _ ids: [SessionID], to gateway: RedirectGateway, _ request: RequestID, _ effects: inout [Effect]
    ) {
        let meant = ids.filter { sessions[$0]?.isEstablished == true }
        guard !meant.isEmpty else { return effects.append(.reply(request, .failed(.nothingMatches, matches: 0))) }
        let able = meant.filter { sessions[$0]?.session.snapshot.takesRedirects == true }
        for id in able { feed(.command(.redirect(gateway)), to: id, &effects) }
        effects.append(
            .reply(
                request,
                able.count == meant.count
                    ? .done(matches: meant.count) : .failed(.notRedirectable, matches: meant.count)))
    }
}
