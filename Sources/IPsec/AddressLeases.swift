package import Primitives

/// Which address of which pool belongs to whom. A value: key management holds one for the node, and sessions take from it.
///
/// A lease is held by the sessions that asked for it. When the last of them has ended, the address is remembered for its
/// identity, which gets it back the next time, until the pool has no other address left for somebody else.
package struct AddressLeases: Sendable {
    /// One address given out or remembered.
    package struct Lease: Hashable, Sendable {
        package let pool: String
        package let identity: Identity
        package fileprivate(set) var holders: Set<SessionID>
        /// Orders the remembered ones by when they were given back.
        fileprivate var order: UInt64

        package var isOnline: Bool { !holders.isEmpty }
    }

    /// Remembered leases in all; the oldest are forgotten.
    package static let maximumRemembered = 65_536

    private var leases: [IPAddress: Lease] = [:]
    private var byIdentity: [Identity: Set<IPAddress>] = [:]
    private var byHolder: [SessionID: Set<IPAddress>] = [:]
    /// Addresses in the order in which they were given back; entries whose lease has changed since are skipped.
    private var remembered: [(address: IPAddress, order: UInt64)] = []
    private var rememberedHead = 0
    private var rememberedCount = 0
    private var lastOrder: UInt64 = 0
    /// Where the search for a fresh address of a pool goes on.
    private var cursors: [String: IPAddress] = [:]
    private var used: [String: UInt64] = [:]

    /// What has changed about who has which address, in order, for a memory that outlives this one.
    package enum Change: Hashable, Sendable {
        case given(IPAddress, pool: String, Identity)
        case forgotten(IPAddress)
    }
    /// Whether ``takeChanges()`` will be asked.
    package var recordsChanges = false
    private var changes: [Change] = []

    package init() {}

    /// The changes since the last call.
    package mutating func takeChanges() -> [Change] {
        defer { changes = [] }
        return changes
    }

    /// Remembers a lease of an earlier run, unless the address is somebody's already.
    package mutating func restore(_ address: IPAddress, pool: String, _ identity: Identity) {
        guard leases[address] == nil, rememberedCount < AddressLeases.maximumRemembered else { return }
        lastOrder += 1
        leases[address] = Lease(pool: pool, identity: identity, holders: [], order: lastOrder)
        byIdentity[identity, default: []].insert(address)
        used[pool, default: 0] += 1
        remembered.append((address, lastOrder))
        rememberedCount += 1
    }

    package var isEmpty: Bool { byHolder.isEmpty }

    /// Takes an address for a session.
    ///
    /// An address that the identity had before comes first; then, where `requested` names one that the identity holds in
    /// another session, that one is shared, since a peer that replaces its SA keeps its address; then one that nobody has had,
    /// the requested one if possible; then the one that was given back the longest ago by somebody else.
    ///
    /// - Returns: `nil` where every address is in use.
    package mutating func take(
        from pool: AddressPool, requested: IPAddress?, for identity: Identity, holder: SessionID
    ) -> IPAddress? {
        let own = (byIdentity[identity] ?? []).filter { pool.contains($0) && leases[$0]?.pool == pool.name }
        if let requested, own.contains(requested) { return hold(requested, holder) }
        if let address = own.filter({ leases[$0]?.isOnline == false }).min() { return hold(address, holder) }
        if let requested, pool.contains(requested), leases[requested] == nil {
            return make(requested, pool, identity, holder)
        }
        if let address = fresh(in: pool) { return make(address, pool, identity, holder) }
        guard let address = oldest(in: pool) else { return nil }
        forget(address)
        return make(address, pool, identity, holder)
    }

    /// The sessions that hold `sibling`'s addresses are joined by another, which took its SAs over.
    package mutating func share(from sibling: SessionID, with holder: SessionID) {
        for address in byHolder[sibling] ?? [] { _ = hold(address, holder) }
    }

    /// The session has ended.
    package mutating func release(_ holder: SessionID) {
        for address in (byHolder[holder] ?? []).sorted() { release(address, holder) }
    }

    /// The session does not use the address.
    package mutating func release(_ address: IPAddress, _ holder: SessionID) {
        guard leases[address]?.holders.remove(holder) != nil else { return }
        byHolder[holder]?.remove(address)
        if byHolder[holder]?.isEmpty == true { byHolder[holder] = nil }
        guard leases[address]?.isOnline == false else { return }
        lastOrder += 1
        leases[address]?.order = lastOrder
        remembered.append((address, lastOrder))
        rememberedCount += 1
        if rememberedCount > AddressLeases.maximumRemembered, let oldest = oldest(in: nil) { forget(oldest) }
        if remembered.count - rememberedHead > 2 * rememberedCount + 64 || rememberedHead > 4096 { compact() }
    }

    /// Every lease of a pool, by address.
    package func leases(of pool: String) -> [(address: IPAddress, lease: Lease)] {
        leases.filter { $0.value.pool == pool }.map { ($0.key, $0.value) }.sorted { $0.address < $1.address }
    }

    /// How many addresses of a pool are in use, and how many are remembered.
    package func counts(of pool: String) -> (online: Int, offline: Int) {
        leases.values.reduce(into: (0, 0)) { counts, lease in
            guard lease.pool == pool else { return }
            if lease.isOnline { counts.0 += 1 } else { counts.1 += 1 }
        }
    }

    /// Addresses that a session holds.
    package func addresses(of holder: SessionID) -> [IPAddress] { (byHolder[holder] ?? []).sorted() }

    /// Forgets remembered leases that no pool has any more. Those in use stay until they are given back.
    package mutating func keep(_ pools: [AddressPool]) {
        for (address, lease) in leases where !lease.isOnline {
            if !pools.contains(where: { $0.name == lease.pool && $0.contains(address) }) { forget(address) }
        }
    }

    // MARK: Details

    private mutating func hold(_ address: IPAddress, _ holder: SessionID) -> IPAddress {
        if leases[address]?.isOnline == false { rememberedCount -= 1 }
        leases[address]?.holders.insert(holder)
        byHolder[holder, default: []].insert(address)
        return address
    }

    private mutating func make(
        _ address: IPAddress, _ pool: AddressPool, _ identity: Identity, _ holder: SessionID
    ) -> IPAddress {
        leases[address] = Lease(pool: pool.name, identity: identity, holders: [holder], order: 0)
        byIdentity[identity, default: []].insert(address)
        byHolder[holder, default: []].insert(address)
        used[pool.name, default: 0] += 1
        if recordsChanges { changes.append(.given(address, pool: pool.name, identity)) }
        return address
    }

    private mutating func forget(_ address: IPAddress) {
        guard let lease = leases.removeValue(forKey: address) else { return }
        if recordsChanges { changes.append(.forgotten(address)) }
        rememberedCount -= 1
        byIdentity[lease.identity]?.remove(address)
        if byIdentity[lease.identity]?.isEmpty == true { byIdentity[lease.identity] = nil }
        used[lease.pool] = used[lease.pool].flatMap { $0 > 1 ? $0 - 1 : nil }
    }

    /// An address that nobody has. The search goes on where the last one ended, so that what was given back is not
    /// given out again soon.
    private mutating func fresh(in pool: AddressPool) -> IPAddress? {
        guard used[pool.name] ?? 0 < pool.size else { return nil }
        var address = cursors[pool.name].flatMap { pool.contains($0) ? $0 : nil } ?? pool.first
        // Overlapping pools, or a pool whose range has changed, may hold what counts elsewhere: one round at most.
        for _ in 0...min(pool.size, UInt64(leases.count) + 1) {
            let next = address == pool.last ? pool.first : address.successor ?? pool.first
            if leases[address] == nil {
                cursors[pool.name] = next
                return address
            }
            address = next
        }
        return nil
    }

    /// The address that was given back first, of a pool or of any.
    private mutating func oldest(in pool: AddressPool?) -> IPAddress? {
        var index = rememberedHead
        while index < remembered.count {
            let entry = remembered[index]
            let lease = leases[entry.address]
            let isCurrent = lease?.isOnline == false && lease?.order == entry.order
            if isCurrent, pool.map({ $0.contains(entry.address) }) ?? true { return entry.address }
            if !isCurrent, index == rememberedHead { rememberedHead += 1 }
            index += 1
        }
        return nil
    }

    private mutating func compact() {
        remembered = remembered[rememberedHead...].filter { entry in
            leases[entry.address].map { !$0.isOnline && $0.order == entry.order } ?? false
        }
        rememberedHead = 0
    }
}
