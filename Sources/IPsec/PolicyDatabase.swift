package import Primitives

/// All connections, in the order of the configuration, with the question that a responder asks them: which of them can be
/// meant by a message between two addresses. Its answer takes no longer for the connections of other peers.
package struct PolicyDatabase: Sendable {
    package private(set) var connections: [Connection]
    package var pools: [AddressPool]
    /// Where in `connections` a name stands; of equal names, the first.
    private var positions: [String: Int] = [:]
    /// Where those stand whose peer is at this address, of those whose peers' addresses can be listed.
    private var byRemote: [IPAddress: [Int]] = [:]
    /// Where the others stand.
    private var anywhere: [Int] = []
    private var byIdentities: [Identities: Set<String>] = [:]

    private struct Identities: Hashable {
        var local: Identity?
        var remote: IdentityPattern

        init(_ connection: Connection) {
            local = connection.localIdentity
            remote = connection.remoteIdentity
        }
    }

    package init(connections: [Connection] = [], pools: [AddressPool] = []) {
        self.connections = connections
        self.pools = pools
        for (position, connection) in connections.enumerated() {
            if positions[connection.name] == nil { positions[connection.name] = position }
            enter(connection, position)
        }
    }

    package func pool(_ name: String) -> AddressPool? { pools.first { $0.name == name } }

    package func connection(_ name: String) -> Connection? { positions[name].map { connections[$0] } }

    /// Puts a connection in the place of the one of its name, or behind all others.
    package mutating func put(_ connection: Connection) {
        if let position = positions[connection.name] {
            withdraw(connections[position], position)
            connections[position] = connection
            enter(connection, position)
        } else {
            positions[connection.name] = connections.count
            enter(connection, connections.count)
            connections.append(connection)
        }
    }

    /// Takes the connection of that name out; nothing happens where there is none.
    package mutating func remove(_ name: String) {
        guard let position = positions[name] else { return }
        connections.remove(at: position)
        self = PolicyDatabase(connections: connections, pools: pools)
    }

    /// The connections that could be meant by a message between two addresses in a version of IKE (1 or 2), the closest
    /// first; equals keep their order.
    package func candidates(local: IPAddress, remote: IPAddress, version: IKEVersion) -> [Connection] {
        var scored: [(score: Int, position: Int)] = []
        for positions in [byRemote[remote] ?? [], anywhere] {
            for position in positions {
                guard connections[position].version == .any || connections[position].version == version else {
                    continue
                }
                let score = connections[position].specificity(local: local, remote: remote)
                if score > 0 { scored.append((score, position)) }
            }
        }
        scored.sort { ($0.score, -$0.position) > ($1.score, -$1.position) }
        return scored.map { connections[$0.position] }
    }

    /// The names of the connections in force between the same two identities as `connection`.
    package func names(betweenIdentitiesOf connection: Connection) -> Set<String> {
        byIdentities[Identities(connection)] ?? []
    }

    // MARK: The index

    /// The peer's addresses, where they can be listed.
    private static func listed(_ patterns: [AddressPattern]) -> Set<IPAddress>? {
        var addresses: Set<IPAddress> = []
        for pattern in patterns {
            switch pattern {
            case .any: return nil
            case .range(let first, let last):
                guard first == last else { return nil }
                addresses.insert(first)
            case .name(_, let resolved): addresses.formUnion(resolved)
            }
        }
        return addresses
    }

    private mutating func enter(_ connection: Connection, _ position: Int) {
        byIdentities[Identities(connection), default: []].insert(connection.name)
        guard let addresses = PolicyDatabase.listed(connection.remoteAddresses) else {
            anywhere.append(position)
            return
        }
        for address in addresses { byRemote[address, default: []].append(position) }
    }

    private mutating func withdraw(_ connection: Connection, _ position: Int) {
        let identities = Identities(connection)
        byIdentities[identities]?.remove(connection.name)
        if byIdentities[identities]?.isEmpty == true { byIdentities[identities] = nil }
        guard let addresses = PolicyDatabase.listed(connection.remoteAddresses) else {
            anywhere.removeAll { $0 == position }
            return
        }
        for address in addresses {
            byRemote[address]?.removeAll { $0 == position }
            if byRemote[address]?.isEmpty == true { byRemote[address] = nil }
        }
    }
}
