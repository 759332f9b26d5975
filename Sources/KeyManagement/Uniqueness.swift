import IPsec
import Primitives

extension KeyManager {
    /// The other established sessions of a connection between the same two identities.
    func twins(of id: SessionID, _ connection: String) -> [(id: SessionID, entry: Entry)] {
        // Those who are anonymous look alike (RFC 7619 §2.3), and none may end what another has.
        guard let own = sessions[id]?.session.snapshot, own.remoteIdentity?.kind != .null else { return [] }
        return entries(of: connection).filter { other, entry in
            guard other != id, entry.isEstablished else { return false }
            let snapshot = entry.session.snapshot
            // Users that share a group's identity are told apart by who they are themselves.
            return snapshot.localIdentity == own.localIdentity && snapshot.remoteIdentity == own.remoteIdentity
                && snapshot.localUser == own.localUser && snapshot.remoteUser == own.remoteUser
        }
        .sorted { $0.id.value < $1.id.value }
    }

    /// Honours `unique` when a session has been established. Twins that it succeeds, and clones, are not its rivals.
    mutating func keepUnique(_ id: SessionID, _ connection: String, _ effects: inout [Effect]) {
        guard let own = sessions[id] else { return }
        let twins = twins(of: id, connection)
        if own.version == 2 { relate(id, to: twins.map(\.id)) }
        let rivals = twins.filter {
            !isSuccession($0.entry, own) && own.predecessor != $0.id
                && ($0.entry.origin ?? $0.id) != own.origin ?? id
        }
        switch policies.connection(connection)?.unique {
        case .replace:
            for twin in rivals {
                digest(.noticed(.olderReplaced(twin.id)), of: id, &effects)
                feed(.command(.delete), to: twin.id, &effects)
            }
        case .keep where !rivals.isEmpty:
            digest(.noticed(.olderKept), of: id, &effects)
            feed(.command(.delete), to: id, &effects)
        case .keep, .no, .never, nil: break
        }
    }

    /// The peer began anew: what it had before is dropped without a word, since nobody would understand it. A session
    /// that was established only after this one began is no leftover; the peer decided to say INITIAL_CONTACT when it
    /// knew of none, so it cannot have been established before.
    mutating func dropLost(by id: SessionID, _ connection: String, _ effects: inout [Effect]) {
        guard policies.connection(connection)?.unique != .never, let begun = sessions[id]?.begun else { return }
        for twin in twins(of: id, connection) {
            if let established = twin.entry.established, established < begun {
                feed(.command(.abandon), to: twin.id, &effects)
            }
        }
    }
}
