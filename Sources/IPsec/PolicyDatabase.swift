package import Primitives

/// All connections, in the order of the configuration, with the question that a responder asks them: which of them can be
/// meant by a message between two addresses. Its answer takes no longer for the connections of other peers.
package struct PolicyDatabase: Sendable {
    package private(set) var connections: [Connection]
    package var pools: [AddressPool]
    /// A number for each connection, in their order and ascending: it stays when others go.
    private var numbers: [Int] = []
    private var nextNumber = 0
    /// The connection of a name; of equal names, the first.
    private var byName: [String: Int] = [:]
    /// Connections that mark IKE's packets.
    private var markingCount = 0
    private var hasEqualNames = false
    /// Those whose peer is at this address, of those whose peers' addresses can be listed.
    private var byRemote: [IPAddress: [Int]] = [:]
    /// The others, ascending.
    private var anywhere: [Int] = []
    /// Of these, those for one identity alone, and those for more or for a distinguished name, which is written in many ways.
    private var anywhereByIdentity: [Identity: [Int]] = [:]
    private var anywhereForMany: [Int] = []
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
        for connection in connections {
            let number = takeNumber()
            if byName[connection.name] == nil { byName[connection.name] = number } else { hasEqualNames = true }
            enter(connection, number)
        }
    }

    private mutating func takeNumber() -> Int {
        defer { nextNumber += 1 }
        numbers.append(nextNumber)
        return nextNumber
    }

    /// Where in `connections` a number stands.
    private func position(_ number: Int) -> Int {
        if number < numbers.count, numbers[number] == number { return number }
        return numbers.position(ascending: number)
    }

    package func pool(_ name: String) -> AddressPool? { pools.first { $0.name == name } }

    /// Whether any connection marks IKE's packets (`dscp`).
    package var marksPackets: Bool { markingCount > 0 }

    package func connection(_ name: String) -> Connection? { byName[name].map { connections[position($0)] } }

    /// Puts a connection in the place of the one of its name, or behind all others.
    package mutating func put(_ connection: Connection) {
        if let number = byName[connection.name] {
            let position = position(number)
            withdraw(connections[position], number)
            connections[position] = connection
            enter(connection, number)
        } else {
            let number = takeNumber()
            byName[connection.name] = number
            connections.append(connection)
            enter(connection, number)
        }
    }

    /// Takes the connection of that name out; nothing happens where there is none.
    package mutating func remove(_ name: String) {
        guard let number = byName.removeValue(forKey: name) else { return }
        let position = position(number)
        withdraw(connections[position], number)
        connections.remove(at: position)
        numbers.remove(at: position)
        // Another of that name comes to light.
        if hasEqualNames { self = PolicyDatabase(connections: connections, pools: pools) }
    }

    /// The connections that could be meant by a message between two addresses in a version of IKE (1 or 2), the closest
    /// first; equals keep their order.
    package func candidates(local: IPAddress, remote: IPAddress, version: IKEVersion) -> [Connection] {
        candidates([byRemote[remote] ?? [], anywhere], local, remote, version)
    }

    /// Of those, the ones whose peer may have that identity: no connection is left out whose pattern matches it.
    package func candidates(
        local: IPAddress, remote: IPAddress, version: IKEVersion, identity: Identity
    ) -> [Connection] {
        let named = anywhereByIdentity[PolicyDatabase.folded(identity)] ?? []
        return candidates([byRemote[remote] ?? [], named, anywhereForMany], local, remote, version)
    }

    private func candidates(
        _ lists: [[Int]], _ local: IPAddress, _ remote: IPAddress, _ version: IKEVersion
    ) -> [Connection] {
        var scored: [(score: Int, position: Int)] = []
        for list in lists {
            for number in list {
                let position = position(number)
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

    /// The one identity that a pattern means, in the form that all identities have that it matches; `nil` where there is none.
    private static func key(_ pattern: IdentityPattern) -> Identity? {
        guard case .exactly(let identity) = pattern, identity.kind != .distinguishedName else { return nil }
        return folded(identity)
    }

    /// The same for all names that differ in case alone, where ``IdentityPattern/matches(_:)`` does not look at it.
    private static func folded(_ identity: Identity) -> Identity {
        guard identity.kind == .fqdn || identity.kind == .emailAddress else { return identity }
        return Identity(identity.kind, octets: Array(identity.description.lowercased().utf8))
    }

    private mutating func enter(_ connection: Connection, _ number: Int) {
        if connection.differentiatedServices != 0 { markingCount += 1 }
        byIdentities[Identities(connection), default: []].insert(connection.name)
        if let addresses = PolicyDatabase.listed(connection.remoteAddresses) {
            for address in addresses { byRemote[address, default: []].append(number) }
            return
        }
        anywhere.insert(ascending: number)
        if let identity = PolicyDatabase.key(connection.remoteIdentity) {
            anywhereByIdentity[identity, default: []].append(number)
        } else {
            anywhereForMany.insert(ascending: number)
        }
    }

    private mutating func withdraw(_ connection: Connection, _ number: Int) {
        if connection.differentiatedServices != 0 { markingCount -= 1 }
        PolicyDatabase.take(connection.name, from: &byIdentities, Identities(connection))
        if let addresses = PolicyDatabase.listed(connection.remoteAddresses) {
            for address in addresses { PolicyDatabase.take(number, from: &byRemote, address) }
            return
        }
        anywhere.remove(ascending: number)
        if let identity = PolicyDatabase.key(connection.remoteIdentity) {
            PolicyDatabase.take(number, from: &anywhereByIdentity, identity)
        } else {
            anywhereForMany.remove(ascending: number)
        }
    }

    private static func take<Key>(_ number: Int, from lists: inout [Key: [Int]], _ key: Key) {
        lists[key]?.removeAll { $0 == number }
        if lists[key]?.isEmpty == true { lists[key] = nil }
    }

    private static func take<Key>(_ name: String, from sets: inout [Key: Set<String>], _ key: Key) {
        sets[key]?.remove(name)
        if sets[key]?.isEmpty == true { sets[key] = nil }
    }
}

extension [Int] {
    /// Where a number stands or would stand, of numbers that ascend.
    fileprivate func position(ascending number: Int) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low
    }

    fileprivate mutating func insert(ascending number: Int) { insert(number, at: position(ascending: number)) }

    fileprivate mutating func remove(ascending number: Int) {
        let place = position(ascending: number)
        if place < count, self[place] == number { remove(at: place) }
    }
}
