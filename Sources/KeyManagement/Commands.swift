import IPsec
import Primitives

extension KeyManager {
    mutating func perform(_ command: Command, _ request: RequestID, _ effects: inout [Effect]) {
        switch command {
        case .initiate(let connection, let child): initiate(connection, child, request, &effects)
        case .terminate(let target): terminate(target, request, &effects)
        case .rekey(let target): rekey(target, request, &effects)
        case .abandon(let target): abandon(target, request, &effects)
        case .reauthenticate(let target): reauthenticate(target, request, &effects)
        case .redirect(let sessions, let gateway): redirect(sessions, to: gateway, request, &effects)
        case .clone(let target, let local, let child): clone(target, local, child, request, &effects)
        case .load(let policies):
            load(policies, &effects)
            effects.append(.reply(request, .done(matches: policies.connections.count)))
        case .put(let connection): put(connection, request, &effects)
        case .drop(let connection): drop(connection, request, &effects)
        case .install(let connection, let child): install(connection, child, request, &effects)
        case .uninstall(let connection, let child): uninstall(connection, child, request, &effects)
        case .shutDown: shutDown(request, &effects)
        }
    }

    // MARK: Up

    private mutating func initiate(
        _ connectionName: String?, _ childName: String?, _ request: RequestID, _ effects: inout [Effect]
    ) {
        func fail(_ failure: Response.Failure) { effects.append(.reply(request, .failed(failure, matches: 0))) }

        let homes = policies.connections.filter { connection in
            (connectionName == nil || connection.name == connectionName)
                && (childName == nil || connection.child(childName ?? "") != nil)
        }
        guard connectionName != nil || childName != nil, let home = homes.first,
            childName.flatMap(home.child)?.action == nil
        else {
            return fail(.noSuchConfiguration(childName ?? connectionName ?? ""))
        }
        guard homes.count == 1 else {
            return fail(.ambiguousChild(childName ?? "", connections: homes.map(\.name)))
        }
        let names = childName.map { [$0] } ?? home.children.filter { $0.action == nil }.map(\.name)
        pending.add(PendingRequest(id: request, matches: names.count))
        for name in names {
            let key = ChildKey(connection: home.name, child: name)
            if hasInstalled(key) { continue }
            guard let session = session(for: key) else {
                pending.fail(request, .noRemoteAddress(connection: home.name))
                effects.append(report(nil, connection: home.name, .noticed(.noRemoteAddress), child: name))
                continue
            }
            // Before the session hears of it: it may fail within the call.
            pending.expect(key, of: session, request)
            ask(session, for: name, &effects)
        }
    }

    /// Whether the child has a working pair that nobody is about to take away.
    private func hasInstalled(_ key: ChildKey) -> Bool {
        entries(of: key.connection).contains { _, entry in
            entry.isEstablished && !entry.isEnding
                && entry.children.contains { $0.name == key.child && $0.outbound != nil && !$0.isEnding }
        }
    }

    /// Sets a child up on the connection's session, or on a new one; `nil` where there is no address to go to.
    mutating func initiate(_ key: ChildKey, _ effects: inout [Effect]) -> SessionID? {
        guard let connection = policies.connection(key.connection), connection.child(key.child) != nil else {
            return nil
        }
        if hasInstalled(key) {
            connections.isUp(key)
            return entries(of: key.connection).first?.id
        }
        guard let session = session(for: key) else {
            effects.append(report(nil, connection: key.connection, .noticed(.noRemoteAddress), child: key.child))
            return nil
        }
        ask(session, for: key.child, &effects)
        return session
    }

    /// The connection's session that can set the child up, else a new one; `nil` where there is no address to go to.
    private mutating func session(for key: ChildKey) -> SessionID? {
        guard let connection = policies.connection(key.connection), connection.child(key.child) != nil else {
            return nil
        }
        let usable = entries(of: key.connection).filter { _, entry in
            (entry.isEstablished || !entry.requested.isEmpty) && !entry.isEnding
                && entry.session.snapshot.state != .deleting
        }
        // A clone is there for what was set up on it by name.
        func rank(_ candidate: (id: SessionID, entry: Entry)) -> (Int, UInt32) {
            (candidate.entry.isClone ? 0 : 1, candidate.id.value)
        }
        return usable.max { rank($0) < rank($1) }?.id ?? open(connection)
    }

    /// Asks the session for the child, unless that was asked already.
    private mutating func ask(_ session: SessionID, for child: String, _ effects: inout [Effect]) {
        if sessions[session]?.requested.contains(child) != true { requestChild(child, of: session, &effects) }
    }

    mutating func requestChild(_ name: String, of session: SessionID, _ effects: inout [Effect]) {
        sessions[session]?.requested.append(name)
        feed(.command(.createChild(name: name)), to: session, &effects)
    }

    // MARK: Down and rekey

    func children(of target: Target) -> [(session: SessionID, child: Entry.Child)] {
        sessions(of: target).flatMap { id in (sessions[id]?.children ?? []).map { (session: id, child: $0) } }
            .filter { match in
                !match.child.isLingering && (target.child == nil || target.child == match.child.name)
                    && (target.childID == nil || target.childID == match.child.id)
            }
            .sorted { $0.child.id.value < $1.child.id.value }
    }

    func sessions(of target: Target) -> [SessionID] {
        guard !target.isEmpty else { return [] }
        return sessions.filter { id, entry in
            (target.session == nil || target.session == id)
                && (target.connection == nil || target.connection == entry.connection)
        }
        .keys.sorted { $0.value < $1.value }
    }

    private mutating func terminate(_ target: Target, _ request: RequestID, _ effects: inout [Effect]) {
        forgetWishes(target)
        var waiting = PendingRequest(id: request, matches: 0)
        var commands: [(SessionID, SessionCommand)] = []
        if target.meansChildren {
            for match in children(of: target) {
                waiting.falling.insert(match.child.id)
                commands.append((match.session, .deleteChild(match.child.id)))
            }
        } else {
            for session in sessions(of: target) {
                waiting.closing.insert(session)
                commands.append((session, .delete))
            }
        }
        waiting.matches = commands.count
        guard !commands.isEmpty else {
            effects.append(.reply(request, .failed(.nothingMatches, matches: 0)))
            return
        }
        pending.add(waiting)
        for (session, command) in commands { feed(.command(command), to: session, &effects) }
    }

    private mutating func rekey(_ target: Target, _ request: RequestID, _ effects: inout [Effect]) {
        let commands: [(SessionID, SessionCommand)] =
            target.meansChildren
            ? children(of: target).map { ($0.session, .rekeyChild($0.child.id)) }
            : sessions(of: target).map { ($0, .rekeyIKE) }
        for (session, command) in commands { feed(.command(command), to: session, &effects) }
        effects.append(
            .reply(
                request,
                commands.isEmpty ? .failed(.nothingMatches, matches: 0) : .done(matches: commands.count)))
    }

    mutating func forgetWishes(_ target: Target) {
        let names = Set(sessions(of: target).compactMap { sessions[$0]?.connection })
        connections.forget { key in
            (target.connection.map { $0 == key.connection } ?? names.contains(key.connection) || target.child != nil)
                && (target.child == nil || target.child == key.child)
        }
    }

    private mutating func shutDown(_ request: RequestID, _ effects: inout [Effect]) {
        connections.forget { _ in true }
        var waiting = PendingRequest(id: request, matches: sessions.count)
        waiting.closing = Set(sessions.keys)
        pending.add(waiting)
        for session in sessions.keys.sorted(by: { $0.value < $1.value }) {
            feed(.command(.delete), to: session, &effects)
        }
    }

    // MARK: Configuration

    private mutating func load(_ policies: PolicyDatabase, _ effects: inout [Effect]) {
        let before = environment.policies
        environment.policies = policies
        environment.leases.keep(policies.pools)
        for old in before.connections {
            for child in old.children
            where child.standingAction != nil && policies.connection(old.name)?.child(child.name) != child {
                setTrap(old.name, child, isSet: false, &effects)
            }
        }
        connections.forget { key in policies.connection(key.connection)?.child(key.child) == nil }
        addressTurns = addressTurns.filter { turn in
            before.connection(turn.key)?.remoteAddresses == policies.connection(turn.key)?.remoteAddresses
        }
        for connection in policies.connections where before.connection(connection.name) != connection {
            wishFor(connection, at: environment.now)
            for child in connection.children where child.standingAction != nil {
                setTrap(connection.name, child, isSet: true, &effects)
            }
        }
        // Children that their connection has no more go alone; the rest of it goes on.
        for old in before.connections {
            guard let new = policies.connection(old.name) else { continue }
            for child in old.children where new.child(child.name) == nil {
                end(child: child.name, of: old.name, &effects)
            }
        }
        // SAs whose connection is gone have nobody who wants them.
        let orphans = sessions.filter {
            !$0.value.connection.isEmpty && policies.connection($0.value.connection) == nil
        }
        for session in orphans.keys.sorted(by: { $0.value < $1.value }) {
            feed(.command(.delete), to: session, &effects)
        }
        followNames(&effects)
    }

    /// Notes the children of a connection that `start_action` wants up.
    mutating func wishFor(_ connection: Connection, at instant: Instant) {
        for child in connection.children where child.startAction == .start && child.action == nil {
            connections.want(ChildKey(connection: connection.name, child: child.name), firstTry: instant)
        }
    }

    // MARK: Traffic

    mutating func observe(_ notice: TrafficNotice, _ effects: inout [Effect]) {
        switch notice {
        case .inbound(let child):
            releaseHeld(child, &effects)
            if let session = byChild[child] {
                feed(.inboundTraffic(child, at: environment.now), to: session, &effects)
            }
        case .exhausted(let child):
            if let session = byChild[child] { feed(.childExhausted(child), to: session, &effects) }
        case .expired(let child):
            if let session = byChild[child] { feed(.childExpired(child), to: session, &effects) }
        case .acquire(let connection, let child):
            _ = initiate(ChildKey(connection: connection, child: child), &effects)
        }
    }
}
