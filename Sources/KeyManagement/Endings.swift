import IPsec
import Primitives

/// What is left to do when a child or a session ends: indices, waiting requests, and wishes that live on.
extension KeyManager {
    /// The name of a child of a session, or of one that was removed in this very step.
    func name(of child: ChildID, in id: SessionID) -> String? {
        guard let entry = sessions[id] else { return nil }
        return (entry.children + entry.removed).first { $0.id == child }?.name
    }

    mutating func childClosed(_ child: ChildID, _ name: String?, of id: SessionID, _ connection: String) {
        pending.childIsGone(child)
        guard let name else { return }
        let key = ChildKey(connection: connection, child: name)
        if isUp(key, except: child) { return }
        if policies.connection(connection)?.child(name)?.closeAction == .start {
            connections.want(key, firstTry: environment.now + .seconds(1))
        }
        // A wish from earlier, fulfilled until now, is due again.
        connections.failed(key, now: environment.now, &environment.randomness)
    }

    /// Whether another SA of the child than `gone` carries traffic.
    private func isUp(_ key: ChildKey, except gone: ChildID) -> Bool {
        entries(of: key.connection).contains { _, entry in
            entry.children.contains { $0.name == key.child && $0.id != gone && $0.outbound != nil }
        }
    }

    /// The sessions that belong to a connection.
    func entries(of connection: String) -> [(id: SessionID, entry: Entry)] {
        (byConnection[connection] ?? []).compactMap { id in sessions[id].map { (id, $0) } }
    }

    mutating func close(_ id: SessionID, _ reason: ClosureReason, _ effects: inout [Effect]) {
        settleAdmission(of: id)
        let event = report(id, connection: sessions[id]?.connection ?? "", .closed(reason), withSnapshot: true)
        guard let entry = sessions.removeValue(forKey: id) else { return }
        if entry.isEstablished, let count = environment.establishedConnections[entry.connection] {
            environment.establishedConnections[entry.connection] = count > 1 ? count - 1 : nil
        }
        effects.append(event)
        for spi in entry.spis where bySPI[spi] == id { bySPI[spi] = nil }
        if let key = entry.initialKey, byInitial[key] == id { byInitial[key] = nil }
        if byConnection[entry.connection]?.remove(id) != nil, byConnection[entry.connection]?.isEmpty == true {
            byConnection[entry.connection] = nil
        }
        environment.leases.release(id)
        // Whatever the session left behind goes with it.
        for child in entry.children {
            if let spi = child.inbound {
                environment.spisInUse.remove(spi)
                effects.append(.remove(spi, .inbound, child.id))
            }
            if let spi = child.outbound { effects.append(.remove(spi, .outbound, child.id)) }
            byChild[child.id] = nil
            pending.childIsGone(child.id)
        }
        if questions.values.contains(id) { questions = questions.filter { $0.value != id } }
        if tryAgain(entry, id, reason, &effects) { return }
        pending.sessionClosed(id, reason)
        for name in Set(entry.requested + (entry.children + entry.removed).map(\.name)).sorted() {
            wishAfterClosure(ChildKey(connection: entry.connection, child: name), reason)
        }
    }

    /// A first exchange that met silence is tried again, as often as `keyingtries` says.
    private mutating func tryAgain(
        _ entry: Entry, _ id: SessionID, _ reason: ClosureReason, _ effects: inout [Effect]
    ) -> Bool {
        guard reason == .peerUnresponsive, !entry.isEstablished, !entry.requested.isEmpty,
            let connection = policies.connection(entry.connection),
            connection.keyingTries == 0 || entry.attempt < connection.keyingTries,
            let successor = open(connection, attempt: entry.attempt + 1)
        else { return false }
        pending.hand(id, to: successor)
        for name in entry.requested { requestChild(name, of: successor, &effects) }
        return true
    }

    private mutating func wishAfterClosure(_ key: ChildKey, _ reason: ClosureReason) {
        let policy = policies.connection(key.connection)?.child(key.child)
        let restarts =
            switch reason {
            case .peerUnresponsive: policy?.deadPeerAction == .start
            case .deletedByPeer: policy?.closeAction == .start
            case .expired: true
            case .deletedByUs, .refused, .replaced: false
            }
        if restarts { connections.want(key, firstTry: environment.now + .seconds(1)) }
        connections.failed(key, now: environment.now, &environment.randomness)
    }
}
