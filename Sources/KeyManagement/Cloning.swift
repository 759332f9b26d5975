import IPsec
import Primitives

/// A clone that an operator asked for, and what is to be done with it.
struct CloneWish: Sendable {
    var request: RequestID
    /// The session whose IKE SA is cloned.
    var session: SessionID
    var local: IPAddress?
    var child: String?
}

/// Clones of IKE SAs (RFC 7791): sessions of the same connection, between the same peers, that were never authenticated by
/// themselves.
extension KeyManager {
    mutating func clone(
        _ target: Target, _ local: IPAddress?, _ child: String?, _ request: RequestID, _ effects: inout [Effect]
    ) {
        func fail(_ failure: Response.Failure) { effects.append(.reply(request, .failed(failure, matches: 0))) }
        // Of several the newest is meant that is no clone itself, unless one is named.
        let id = sessions(of: target).last { id in
            guard let entry = sessions[id] else { return false }
            return entry.version == 2 && entry.isEstablished && (!entry.isClone || target.session != nil)
        }
        guard let id, let entry = sessions[id] else { return fail(.nothingMatches) }
        if let child, policies.connection(entry.connection)?.child(child) == nil {
            return fail(.noSuchConfiguration(child))
        }
        let snapshot = entry.session.snapshot
        guard snapshot.takesClones else { return fail(.notClonable) }
        guard local == nil || snapshot.movesItself && local?.family == snapshot.remote.address.family else {
            return fail(.notMovable)
        }
        cloning[request.value] = CloneWish(request: request, session: id, local: local, child: child)
        feed(.command(.clone(tag: request.value)), to: id, &effects)
    }

    /// Takes a clone in, before anything of its own is looked at.
    mutating func begin(
        _ session: any KeyExchangeSession, _ clone: SessionID, of id: SessionID, _ tag: UInt64?,
        _ effects: inout [Effect]
    ) {
        guard let parent = sessions[id] else { return }
        var entry = Entry(session: session, version: 2, connection: parent.connection, begun: environment.now)
        entry.origin = parent.origin ?? id
        entry.isClone = true
        entry.isPinned = parent.isPinned
        entry.namedRemote = parent.namedRemote
        sessions[clone] = entry
        byConnection[parent.connection, default: []].insert(clone)
        environment.clones.add(to: parent.origin ?? id)
        relate(clone, to: [id] + parent.siblings)
        // It may outlive the one that was given the addresses.
        environment.leases.share(from: id, with: clone)
    }

    /// Does with a new clone what was asked for.
    mutating func settle(_ clone: SessionID, of id: SessionID, _ tag: UInt64?, _ effects: inout [Effect]) {
        guard let tag, let wish = cloning.removeValue(forKey: tag), let entry = sessions[clone] else { return }
        if let local = wish.local {
            sessions[clone]?.isPinned = true
            feed(.command(.move(local)), to: clone, &effects)
        }
        guard let child = wish.child else {
            effects.append(.reply(wish.request, .done(matches: 1)))
            return
        }
        pending.add(PendingRequest(id: wish.request, matches: 1))
        pending.expect(ChildKey(connection: entry.connection, child: child), of: clone, wish.request)
        requestChild(child, of: clone, &effects)
    }

    mutating func refuseClone(_ tag: UInt64, _ failure: Response.Failure, _ effects: inout [Effect]) {
        guard let wish = cloning.removeValue(forKey: tag) else { return }
        effects.append(.reply(wish.request, .failed(failure, matches: 1)))
    }
}
