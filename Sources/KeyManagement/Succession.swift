import IPsec
import Primitives

/// IKEv1's IPsec SAs outlive the ISAKMP SA that made them: a new session between the same two identities takes them over
/// from an older one, whichever end began it.
extension KeyManager {
    /// Opens a successor of an ageing session, between the same endpoints; once at a time.
    mutating func renew(_ id: SessionID, _ effects: inout [Effect]) {
        if sessions[id]?.version == 2 { return reauthenticate(id, &effects) }
        guard let entry = sessions[id], var connection = policies.connection(entry.connection),
            !entries(of: entry.connection).contains(where: { $0.entry.predecessor == id && !$0.entry.isEstablished })
        else { return }
        let snapshot = entry.session.snapshot
        // The address that we have is the one to ask for, or the children would lose it.
        if !snapshot.localVirtualAddresses.isEmpty { connection.virtualAddresses = snapshot.localVirtualAddresses }
        let successor = open(
            connection, local: snapshot.local, remote: snapshot.remote, isVersion1: entry.version == 1)
        sessions[successor]?.predecessor = id
        feed(.command(.establish), to: successor, &effects)
    }

    /// A session that was just established takes the children of its older siblings.
    mutating func adoptChildren(into id: SessionID, _ effects: inout [Effect]) {
        sessions[id]?.mayAdopt = false
        guard let own = sessions[id] else { return }
        for sibling in twins(of: id, own.connection)
        where sibling.entry.version == 1 && sibling.id.value < id.value && mayFollow(sibling, id, &effects) {
            let snapshots = sibling.entry.session.snapshot.children
            // A child whose negotiation is not over has no pair yet: it follows when it has.
            let whole = Set(snapshots.map(\.id))
            let children = sibling.entry.children.filter { whole.contains($0.id) }
            if !children.isEmpty {
                sessions[sibling.id]?.children.removeAll { whole.contains($0.id) }
                sessions[id]?.children += children
                for child in children { byChild[child.id] = id }
                environment.leases.share(from: sibling.id, with: id)
            }
            // It stays for a while: the peer may still be about to take its children over, and some implementations end
            // those that an ISAKMP SA has when it is deleted.
            if !children.isEmpty || own.predecessor == sibling.id || isSuccession(sibling.entry, own) {
                feed(.disown, to: sibling.id, &effects)
            }
            if !children.isEmpty { feed(.adopt(snapshots), to: id, &effects) }
        }
    }

    /// Whether a session may take over what an older one has: only where both have the same virtual addresses, since these
    /// tell two hosts of one user apart, and the children's selectors name them.
    private mutating func mayFollow(
        _ sibling: (id: SessionID, entry: Entry), _ id: SessionID, _ effects: inout [Effect]
    ) -> Bool {
        guard let own = sessions[id] else { return false }
        let (old, new) = (sibling.entry.session.snapshot, own.session.snapshot)
        if old.localVirtualAddresses == new.localVirtualAddresses,
            old.remoteVirtualAddresses == new.remoteVirtualAddresses
        {
            return true
        }
        // A successor of ours that was given another address begins anew.
        if own.predecessor == sibling.id, !new.localVirtualAddresses.isEmpty {
            for name in Set(old.children.map(\.name)).sorted() where !own.requested.contains(name) {
                requestChild(name, of: id, &effects)
            }
            feed(.command(.delete), to: sibling.id, &effects)
        }
        return false
    }

    /// Whether an IKEv1 session that must be the only one takes the place of a twin, rather than compete with it: between
    /// the same hosts, a new ISAKMP SA is how the old one is rekeyed.
    func isSuccession(_ old: Entry, _ new: Entry) -> Bool {
        guard old.version == 1, new.version == 1 else { return false }
        switch policies.connection(new.connection)?.unique {
        case .replace, .keep:
            return old.session.snapshot.remote.address == new.session.snapshot.remote.address
        case .no, .never, nil: return false
        }
    }

    /// A child came up on a session that a newer one has succeeded: it follows the others.
    mutating func handOver(from id: SessionID, _ effects: inout [Effect]) {
        sessions[id]?.hasNewChild = false
        guard let connection = sessions[id]?.connection else { return }
        let newer = twins(of: id, connection).filter { $0.entry.version == 1 && $0.id.value > id.value }
        if let newest = newer.map(\.id).max(by: { $0.value < $1.value }) { adoptChildren(into: newest, &effects) }
    }

    /// The peer deleted an SA on a session that does not have it: a sibling that has it removes it.
    mutating func passOn(deleted spi: SPI, from id: SessionID, _ effects: inout [Effect]) {
        guard let connection = sessions[id]?.connection else { return }
        for sibling in twins(of: id, connection) where sibling.entry.version == 1 {
            feed(.peerDeleted(spi), to: sibling.id, &effects)
        }
    }
}
