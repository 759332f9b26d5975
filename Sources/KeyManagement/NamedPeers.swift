import IPsec
import Primitives

/// Peers that are known by a DNS name. What has an address of it stays there while the name has that address, and begins
/// again at another one when it has lost it.
extension KeyManager {
    mutating func followNames(_ effects: inout [Effect]) {
        for id in sessionIDs {
            // One that has gone elsewhere meanwhile, by MOBIKE, is not the name's any more.
            guard let entry = sessions[id], let remote = entry.namedRemote, !entry.isEnding,
                remote == entry.session.snapshot.remote.address,
                let connection = policies.connection(entry.connection), connection.hasNames,
                !connection.remoteAddresses.contains(where: { $0.matches(remote) }),
                !entries(of: entry.connection).contains(where: { $0.entry.predecessor == id })
            else { continue }
            if entry.isEstablished {
                leaveAddress(id, entry, connection, &effects)
            } else {
                // Nobody answered there yet.
                guard let successor = open(connection, attempt: entry.attempt) else { continue }
                sessions[id]?.requested = []
                pending.hand(id, to: successor)
                feed(.command(.abandon), to: id, &effects)
                requestAgain(entry, of: successor, &effects)
            }
        }
    }

    /// A session that stands gives way to one at the new address. Where nobody answers there, it goes on as long as its peer
    /// does.
    private mutating func leaveAddress(
        _ id: SessionID, _ entry: Entry, _ connection: Connection, _ effects: inout [Effect]
    ) {
        if entry.version == 1 {
            // IPsec SAs that another ISAKMP SA took over would go on to the old address.
            for child in entry.children where !child.isLingering {
                connections.want(ChildKey(connection: connection.name, child: child.name), firstTry: environment.now)
            }
            return feed(.command(.delete), to: id, &effects)
        }
        var connection = connection
        let snapshot = entry.session.snapshot
        if !snapshot.localVirtualAddresses.isEmpty { connection.virtualAddresses = snapshot.localVirtualAddresses }
        if entry.children.isEmpty, entry.requested.isEmpty {
            return feed(.command(.delete), to: id, &effects)
        }
        guard let successor = open(connection) else { return }
        succeed(id, by: successor, &effects)
    }
}

extension KeyManager.Entry {
    /// Whether we began it.
    var isInitiator: Bool { initialKey == nil && !isClone }
}

extension Connection {
    /// Whether an address of the peer is one that a name stands for.
    func names(_ address: IPAddress) -> Bool {
        remoteAddresses.contains { pattern in
            if case .name(_, let addresses) = pattern { addresses.contains(address) } else { false }
        }
    }

    /// Whether the peer has a name that is known to stand for something.
    fileprivate var hasNames: Bool {
        remoteAddresses.contains { pattern in
            if case .name(_, let addresses) = pattern { !addresses.isEmpty } else { false }
        }
    }

    /// How many first exchanges may meet silence; of ``keyingTries`` other than 0.
    var firstExchanges: UInt32 {
        let addresses = UInt32(clamping: max(remoteAddresses.flatMap(\.concrete).count, 1))
        return keyingTries.multipliedReportingOverflow(by: addresses).overflow ? .max : keyingTries * addresses
    }
}
