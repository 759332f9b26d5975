import IPsec
import Primitives

/// Single changes of what is in force, as vici's `load-conn`, `unload-conn`, `install` and `uninstall` make them.
extension KeyManager {
    mutating func put(_ connection: Connection, _ request: RequestID, _ effects: inout [Effect]) {
        let before = policies.connection(connection.name)
        if before != connection {
            environment.policies.put(connection)
            if let before {
                for child in before.children where connection.child(child.name) != child {
                    if child.standingAction != nil { setTrap(before.name, child, isSet: false, &effects) }
                    if connection.child(child.name) == nil, child.startAction == .start {
                        end(child: child.name, of: before.name, &effects)
                    }
                }
                connections.forget { $0.connection == connection.name && connection.child($0.child) == nil }
            }
            wishFor(connection, at: environment.now)
            for child in connection.children where child.standingAction != nil && before?.child(child.name) != child {
                setTrap(connection.name, child, isSet: true, &effects)
            }
        }
        effects.append(.reply(request, .done(matches: 1)))
    }

    mutating func drop(_ name: String, _ request: RequestID, _ effects: inout [Effect]) {
        guard let connection = policies.connection(name) else {
            effects.append(.reply(request, .failed(.noSuchConfiguration(name), matches: 0)))
            return
        }
        environment.policies.remove(name)
        connections.forget { $0.connection == name }
        for key in traps.filter({ $0.connection == name }) {
            if let child = connection.child(key.child) { setTrap(name, child, isSet: false, &effects) }
        }
        for child in connection.children where child.startAction == .start {
            end(child: child.name, of: name, &effects)
        }
        effects.append(.reply(request, .done(matches: 1)))
    }

    /// Deletes the SAs of a child, and with its last child the IKE SA.
    mutating func end(child: String, of connection: String, _ effects: inout [Effect]) {
        connections.forget(ChildKey(connection: connection, child: child))
        for match in children(of: Target(connection: connection, child: child)) {
            let others = sessions[match.session]?.children.filter { !$0.isLingering && $0.name != child } ?? []
            let command: SessionCommand = others.isEmpty ? .delete : .deleteChild(match.child.id)
            feed(.command(command), to: match.session, &effects)
        }
    }

    // MARK: Ends that do not wait

    /// Sends a Delete, and forgets the IKE SA whether it is answered or not.
    mutating func abandon(_ target: Target, _ request: RequestID, _ effects: inout [Effect]) {
        let meant = sessions(of: target)
        forgetWishes(target)
        for session in meant {
            feed(.command(.delete), to: session, &effects)
            feed(.command(.abandon), to: session, &effects)
        }
        effects.append(
            .reply(
                request, meant.isEmpty ? .failed(.nothingMatches, matches: 0) : .done(matches: meant.count)))
    }

    /// Lets the reauthentication timers of IKE SAs fire now.
    mutating func reauthenticate(_ target: Target, _ request: RequestID, _ effects: inout [Effect]) {
        let meant = sessions(of: target).filter { sessions[$0]?.isEstablished == true }
        for session in meant {
            guard let entry = sessions[session] else { continue }
            if entry.version == 1 {
                renew(session, &effects)
            } else {
                // The children are wanted again on the SA that follows.
                for child in entry.children where !child.isLingering {
                    connections.want(
                        ChildKey(connection: entry.connection, child: child.name), firstTry: environment.now)
                }
                feed(.timer(.reauthenticate), to: session, &effects)
            }
        }
        effects.append(
            .reply(
                request, meant.isEmpty ? .failed(.nothingMatches, matches: 0) : .done(matches: meant.count)))
    }

    // MARK: Traps

    /// The one connection that is meant, with its child; `nil` where there is none or more than one.
    private func home(_ connection: String?, _ child: String) -> (name: String, policy: ChildPolicy)? {
        let homes = policies.connections.filter {
            (connection == nil || $0.name == connection) && $0.child(child) != nil
        }
        guard homes.count == 1, let home = homes.first, let policy = home.child(child) else { return nil }
        return (home.name, policy)
    }

    mutating func setTrap(_ connection: String, _ child: ChildPolicy, isSet: Bool, _ effects: inout [Effect]) {
        let key = ChildKey(connection: connection, child: child.name)
        if isSet { traps.insert(key) } else { traps.remove(key) }
        // Asked for, a trap counts as if the configuration had it.
        var child = child
        if isSet, child.standingAction == nil { child.startAction = .trap }
        effects.append(.trap(connection: connection, child, isSet: isSet))
    }

    mutating func install(
        _ connection: String?, _ child: String, _ request: RequestID, _ effects: inout [Effect]
    ) {
        guard let home = home(connection, child) else {
            effects.append(.reply(request, .failed(.noSuchConfiguration(child), matches: 0)))
            return
        }
        setTrap(home.name, home.policy, isSet: true, &effects)
        effects.append(.reply(request, .done(matches: 1)))
    }

    mutating func uninstall(
        _ connection: String?, _ child: String, _ request: RequestID, _ effects: inout [Effect]
    ) {
        let found = traps.filter { $0.child == child && (connection == nil || $0.connection == connection) }
        guard let key = found.min(by: { $0.connection < $1.connection }),
            let policy = policies.connection(key.connection)?.child(child)
        else {
            effects.append(.reply(request, .failed(.notInstalled(child: child), matches: 0)))
            return
        }
        setTrap(key.connection, policy, isSet: false, &effects)
        effects.append(.reply(request, .done(matches: 1)))
    }
}
