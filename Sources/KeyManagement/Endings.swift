import IPsec
import Primitives

/// Which connection a session belongs to, and what is left to do when a child or a session ends: indices, waiting requests, and wishes
/// that live on.
extension KeyManager {
    /// The name of a child of a session, or of one that was removed in this very step.
    func name(of child: ChildID, in id: SessionID) -> String? {
        guard let entry = sessions[id] else { return nil }
        return (entry.children + entry.removed).first { $0.id == child }?.name
    }

    /// Marks what a command of ours ends, so that its end is not taken for the peer's doing.
    mutating func noteEnd(_ command: SessionCommand, of id: SessionID) {
        switch command {
        case .delete, .abandon, .retire:
            sessions[id]?.isEnding = true
            sessions[id]?.isDismissed = true
        case .deleteChild(let child):
            guard let index = sessions[id]?.children.firstIndex(where: { $0.id == child }) else { return }
            sessions[id]?.children[index].isEnding = true
        default: break
        }
    }

    mutating func childClosed(
        _ child: ChildID, _ name: String?, of id: SessionID, _ connection: String, _ effects: inout [Effect]
    ) {
        pending.childIsGone(child)
        guard let name else { return }
        let key = ChildKey(connection: connection, child: name)
        if isUp(key, except: child) { return }
        let entry = sessions[id]
        let isOurs = (entry.map { $0.children + $0.removed } ?? []).contains { $0.id == child && $0.isEnding }
        if !isOurs, entry?.isEnding != true, let policy = policies.connection(connection)?.child(name) {
            act(policy.closeAction, key, &effects)
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

    /// A responder's connection shows late, and in version 1 the first guess may not be the last: it stands when the peer has
    /// said who it is.
    mutating func learnConnection(of id: SessionID, at event: SessionEvent) {
        guard let entry = sessions[id] else { return }
        switch event {
        case .established, .refused: if entry.established != nil { return }
        default: guard entry.connection.isEmpty else { return }
        }
        let name = entry.session.snapshot.connection
        guard !name.isEmpty, name != entry.connection else { return }
        byConnection[entry.connection]?.remove(id)
        if byConnection[entry.connection]?.isEmpty == true { byConnection[entry.connection] = nil }
        sessions[id]?.connection = name
        byConnection[name, default: []].insert(id)
    }

    mutating func close(_ id: SessionID, _ reason: ClosureReason, _ effects: inout [Effect]) {
        settleAdmission(of: id)
        let event = report(id, connection: sessions[id]?.connection ?? "", .closed(reason), withSnapshot: true)
        guard let entry = sessions.removeValue(forKey: id) else { return }
        if entry.isEstablished, let count = environment.establishedConnections[entry.connection] {
            environment.establishedConnections[entry.connection] = count > 1 ? count - 1 : nil
        }
        effects.append(event)
        if entry.isClone, let origin = entry.origin { environment.clones.remove(from: origin) }
        for (tag, wish) in cloning.sorted(by: { $0.key < $1.key }) where wish.session == id {
            refuseClone(tag, .closed(reason), &effects)
        }
        for spi in entry.spis where bySPI[spi] == id { bySPI[spi] = nil }
        if let key = entry.initialKey, byInitial[key] == id { byInitial[key] = nil }
        if byConnection[entry.connection]?.remove(id) != nil, byConnection[entry.connection]?.isEmpty == true {
            byConnection[entry.connection] = nil
        }
        environment.leases.release(id)
        environment.virtualAddresses.forget(id)
        // Whatever the session left behind goes with it.
        for child in entry.children {
            if let spi = child.inbound {
                environment.spisInUse.remove(spi)
                effects.append(.remove(spi, .inbound, child.id))
            }
            if let spi = child.outbound, letGo(spi, of: child.id, &effects) {
                effects.append(.remove(spi, .outbound, child.id))
            }
            byChild[child.id] = nil
            pending.childIsGone(child.id)
        }
        if questions.values.contains(id) { questions = questions.filter { $0.value != id } }
        // The next one goes to the peer's next address.
        if reason == .peerUnresponsive, entry.isInitiator { addressTurns[entry.connection, default: 0] &+= 1 }
        if tryAgain(entry, id, reason, &effects) { return }
        pending.sessionClosed(id, reason)
        for name in Set(entry.requested + (entry.children + entry.removed).map(\.name)).sorted() {
            // A Delete of ours may wait for an answer that never comes.
            let ended = entry.isDismissed ? .deletedByUs : reason
            wishAfterClosure(ChildKey(connection: entry.connection, child: name), ended, &effects)
        }
    }

    /// A first exchange that met silence is tried again, as often as `keyingtries` says with each of the peer's addresses.
    private mutating func tryAgain(
        _ entry: Entry, _ id: SessionID, _ reason: ClosureReason, _ effects: inout [Effect]
    ) -> Bool {
        guard reason == .peerUnresponsive, !entry.isEstablished, !entry.requested.isEmpty,
            let connection = policies.connection(entry.connection),
            connection.keyingTries == 0 || entry.attempt < connection.firstExchanges,
            let successor = open(connection, attempt: entry.attempt + 1)
        else { return false }
        pending.hand(id, to: successor)
        requestAgain(entry, of: successor, &effects)
        return true
    }

    private mutating func wishAfterClosure(_ key: ChildKey, _ reason: ClosureReason, _ effects: inout [Effect]) {
        let policy = policies.connection(key.connection)?.child(key.child)
        let action: ChildAction =
            switch reason {
            case .peerUnresponsive: policy?.deadPeerAction ?? .none
            case .deletedByPeer: policy?.closeAction ?? .none
            case .expired: .start
            case .deletedByUs, .refused, .replaced: .none
            }
        act(action, key, &effects)
        connections.failed(key, now: environment.now, &environment.randomness)
    }

    /// What `close_action` and `dpd_action` want of a child that is gone: to be set up again soon, or by its next packet.
    private mutating func act(_ action: ChildAction, _ key: ChildKey, _ effects: inout [Effect]) {
        switch action {
        case .none: break
        case .start: connections.want(key, firstTry: environment.now + .seconds(1))
        case .trap:
            guard !traps.contains(key), let child = policies.connection(key.connection)?.child(key.child) else {
                return
            }
            setTrap(key.connection, child, isSet: true, &effects)
        }
    }
}
