package import IPsec
package import Primitives

/// Virtual addresses: those that peers gave this node, which several sessions may share while one succeeds another, and those
/// that it gave peers from its pools.
extension KeyManager {
    mutating func addAddress(_ address: IPAddress, to id: SessionID, _ effects: inout [Effect]) {
        if addressHolders[address] == nil { effects.append(.addAddress(address)) }
        addressHolders[address, default: []].insert(id)
    }

    mutating func removeAddress(_ address: IPAddress, from id: SessionID, _ effects: inout [Effect]) {
        guard addressHolders[address]?.remove(id) != nil, addressHolders[address]?.isEmpty == true else { return }
        addressHolders[address] = nil
        effects.append(.removeAddress(address))
    }

    /// Remembers leases of an earlier run.
    package mutating func restore(_ leases: [(address: IPAddress, pool: String, identity: Identity)]) {
        for lease in leases { environment.leases.restore(lease.address, pool: lease.pool, lease.identity) }
    }

    /// Has ``takeLeaseChanges()`` tell of everything from now on.
    package mutating func recordLeaseChanges() { environment.leases.recordsChanges = true }

    /// Who was given which address, and which was forgotten, since the last call.
    package mutating func takeLeaseChanges() -> [AddressLeases.Change] { environment.leases.takeChanges() }

    /// The leases of the pools in force, and of those whose addresses are still in use.
    package var leases: AddressLeases { environment.leases }
}
