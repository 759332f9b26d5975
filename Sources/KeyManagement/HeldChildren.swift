import IPsec
import Primitives

/// An outbound SA that waits until the peer is known to take its packets.
struct HeldSA: Sendable {
    var session: SessionID
    var association: SecurityAssociation
}

/// Children beside others that serve the same traffic: on one IKE SA, on clones of it (RFC 7791), or on the session that
/// succeeds another.
///
/// Who answers a request for a child may send before the answer has arrived, and the peer drops what it knows no SA for. Where
/// nothing else would carry the packets, this is the network's pace; where an older child does, they go on there until the
/// peer is seen to use the new one, as RFC 7296 §2.8 has it for rekeying.
extension KeyManager {
    private static let maximumSiblings = 64

    /// The sessions between the same two peers that may have children with the same selectors.
    private func relatives(of id: SessionID) -> [SessionID] {
        [id] + (sessions[id]?.siblings ?? []).filter { sessions[$0] != nil }
    }

    /// Notes that sessions are between the same two peers; of very many that look alike, the newest.
    mutating func relate(_ id: SessionID, to others: [SessionID]) {
        for other in others.suffix(KeyManager.maximumSiblings) where other != id && sessions[other] != nil {
            if sessions[id]?.siblings.contains(other) == false { sessions[id]?.siblings.append(other) }
            let living = (sessions[other]?.siblings ?? []).filter { $0 != id && sessions[$0] != nil }
            sessions[other]?.siblings = living.suffix(KeyManager.maximumSiblings - 1) + [id]
        }
    }

    /// Another child whose outbound SA is in use and covers all that this one does; its session.
    private func server(of association: SecurityAssociation, on id: SessionID) -> SessionID? {
        relatives(of: id).first { relative in
            guard let entry = sessions[relative], relative != id || entry.children.count > 1 else { return false }
            let inUse = Set(
                entry.children.filter {
                    $0.id != association.child && $0.outbound != nil && !$0.isLingering && held[$0.id] == nil
                }.map(\.id))
            guard !inUse.isEmpty else { return false }
            return entry.session.snapshot.children.contains { child in
                inUse.contains(child.id) && child.mode == association.mode
                    && child.localSelectors.covers(association.localSelectors)
                    && child.remoteSelectors.covers(association.remoteSelectors)
            }
        }
    }

    /// Keeps an outbound SA back where the peer may not know it yet and another one serves. Returns whether it did.
    mutating func holdBack(_ association: SecurityAssociation, of id: SessionID) -> Bool {
        // One of several for as many processors is worth nothing before it is in use.
        guard association.direction == .outbound, association.mayBeUnknown, association.resource == 0,
            let server = server(of: association, on: id)
        else { return false }
        held[association.child] = HeldSA(session: id, association: association)
        let isOfOneAuthentication =
            server == id || (sessions[id]?.origin ?? id) == (sessions[server]?.origin ?? server)
        // A peer that began anew may have forgotten what serves here, and may be silent.
        let wait =
            isOfOneAuthentication
            ? environment.settings.retransmissionSchedule : environment.settings.retransmitDelay(attempt: 0)
        let deadline = environment.now + wait
        sessions[id]?.timers[.releaseChild(association.child)] = deadline
        timers.insert(
            TimerQueue.Entry(deadline: deadline, session: id, timer: .releaseChild(association.child)))
        return true
    }

    /// The peer uses a child, or need no longer be waited for.
    mutating func releaseHeld(_ child: ChildID, _ effects: inout [Effect]) {
        guard let released = held.removeValue(forKey: child) else { return }
        sessions[released.session]?.timers[.releaseChild(child)] = nil
        effects.append(.install(released.association))
    }

    /// An outbound SA goes. Returns whether the data plane has it; those that it stood in for take over before it does.
    mutating func letGo(_ spi: SPI, of child: ChildID, _ effects: inout [Effect]) -> Bool {
        if let own = held[child], own.association.spi == spi {
            held[child] = nil
            sessions[own.session]?.timers[.releaseChild(child)] = nil
            return false
        }
        for (waiting, entry) in held.sorted(by: { $0.key.value < $1.key.value })
        where server(of: entry.association, on: entry.session) == nil {
            releaseHeld(waiting, &effects)
        }
        return true
    }

    mutating func moveHeld(_ child: ChildID, _ local: Endpoint, _ remote: Endpoint) {
        held[child]?.association.local = local
        held[child]?.association.remote = remote
    }
}

extension [TrafficSelector] {
    /// Whether each of `others` lies within one of these.
    fileprivate func covers(_ others: [TrafficSelector]) -> Bool {
        others.allSatisfy { other in contains { $0.contains(other) } }
    }
}
