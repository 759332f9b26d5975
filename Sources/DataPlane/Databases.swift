package import IPsec

/// The security association database as one inbound worker sees it (RFC 4301 §4.4.2): a small open-addressing hash by
/// SPI.
package struct AssociationTable: ~Copyable {
    private var slots: [InboundAssociation?] = Array(repeating: nil, count: 16)
    private var keys: [UInt32] = Array(repeating: 0, count: 16)
    package private(set) var count = 0

    package init() {}

    private func home(_ spi: UInt32) -> Int {
        // SPIs are random, but ours may come from a test that counts; spread them.
        Int(truncatingIfNeeded: (UInt64(spi) &* 0x9E37_79B9_7F4A_7C15) >> 40) & (slots.count - 1)
    }

    /// The SA with this SPI.
    package subscript(_ spi: SPI) -> InboundAssociation? {
        var index = home(spi.value)
        while let association = slots[index] {
            if keys[index] == spi.value { return association }
            index = (index + 1) & (slots.count - 1)
        }
        return nil
    }

    /// Puts the SA in, in place of one with the same SPI.
    package mutating func insert(_ association: InboundAssociation) {
        if (count + 1) * 2 > slots.count { grow() }
        var index = home(association.spi.value)
        while slots[index] != nil {
            if keys[index] == association.spi.value {
                slots[index] = association
                return
            }
            index = (index + 1) & (slots.count - 1)
        }
        slots[index] = association
        keys[index] = association.spi.value
        count += 1
    }

    /// Takes the SA out where it belongs to `child`; later entries of its run move up, so that no gap hides them.
    package mutating func remove(_ spi: SPI, of child: ChildID) {
        let mask = slots.count - 1
        var gap = home(spi.value)
        while let association = slots[gap], keys[gap] != spi.value || association.child != child {
            if keys[gap] == spi.value { return }
            gap = (gap + 1) & mask
        }
        guard slots[gap] != nil else { return }
        slots[gap] = nil
        count -= 1
        var index = (gap + 1) & mask
        while let association = slots[index] {
            let wanted = home(association.spi.value)
            // Whether the gap lies between the entry's home and its place.
            if (index - wanted) & mask >= (index - gap) & mask {
                slots[gap] = association
                keys[gap] = keys[index]
                slots[index] = nil
                gap = index
            }
            index = (index + 1) & mask
        }
    }

    /// Calls `body` for each SA.
    package func forEach(_ body: (InboundAssociation) -> Void) {
        for case let association? in slots { body(association) }
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: nil, count: old.count * 2)
        keys = Array(repeating: 0, count: old.count * 2)
        count = 0
        for case let association? in old { insert(association) }
    }
}

/// The security policy database as one outbound worker sees it (RFC 4301 §4.4.1): what each SA's selectors cover.
///
/// SAs of one request form an entry, the newest first; entries are searched from the narrowest to the widest, among
/// equals from the newest to the oldest. A cache remembers which SA each of the last flows took.
package struct PolicyTable: ~Copyable {
    private struct Entry {
        var requestID: UInt32
        var specificity: Int
        /// The newest first; never empty.
        var associations: [OutboundAssociation]
    }

    private struct CacheSlot {
        var flow: Flow
        unowned(unsafe) var association: OutboundAssociation
    }

    private static let cacheSlots = 256

    private var entries: [Entry] = []
    // SAFETY of `unowned(unsafe)`: every change of `entries` empties the cache, so a slot never outlives its entry.
    private var cache: [CacheSlot?] = Array(repeating: nil, count: cacheSlots)

    package init() {}

    package var isEmpty: Bool { entries.isEmpty }

    /// The SA that carries the flow; `nil` where no selectors cover it.
    package mutating func association(for flow: Flow) -> OutboundAssociation? {
        let slot = Int(truncatingIfNeeded: flow.slotHash) & (PolicyTable.cacheSlots - 1)
        if let cached = cache[slot], cached.flow == flow { return cached.association }
        for entry in entries {
            for association in entry.associations where association.matches(flow) {
                cache[slot] = CacheSlot(flow: flow, association: association)
                return association
            }
        }
        return nil
    }

    /// Puts the SA before those of the same request; it carries their traffic from now on.
    package mutating func insert(_ association: OutboundAssociation) {
        var associations = [association]
        if let index = entries.firstIndex(where: { $0.requestID == association.requestID }) {
            associations += entries[index].associations.filter { $0.spi != association.spi }
            entries.remove(at: index)
        }
        place(
            Entry(
                requestID: association.requestID, specificity: PolicyTable.specificity(association),
                associations: associations))
    }

    /// Takes the SA out; an older one of the request gets the traffic back.
    package mutating func remove(_ spi: SPI, of child: ChildID) {
        guard
            let index = entries.firstIndex(where: {
                $0.associations.contains { $0.spi == spi && $0.child == child }
            })
        else { return }
        var entry = entries.remove(at: index)
        entry.associations.removeAll { $0.spi == spi && $0.child == child }
        clearCache()
        guard let newest = entry.associations.first else { return }
        entry.specificity = PolicyTable.specificity(newest)
        place(entry)
    }

    /// Calls `body` for each SA.
    package func forEach(_ body: (OutboundAssociation) -> Void) {
        for entry in entries { entry.associations.forEach(body) }
    }

    private mutating func place(_ entry: Entry) {
        let index = entries.firstIndex { $0.specificity <= entry.specificity } ?? entries.endIndex
        entries.insert(entry, at: index)
        clearCache()
    }

    private mutating func clearCache() {
        for index in cache.indices { cache[index] = nil }
    }

    /// How narrow the SA's widest selectors are: prefix bits of both ends, then protocol, then ports.
    private static func specificity(_ association: OutboundAssociation) -> Int {
        func of(_ selectors: [TrafficSelector]) -> Int {
            selectors.map { selector in
                let span = selector.last.value - selector.first.value
                // Count family-independently: bits that are fixed, of 128.
                let fixed = span.leadingZeroBitCount - (128 - selector.family.bitCount)
                return fixed * 4 + (selector.ipProtocol == 0 ? 0 : 1) + (selector.coversAllPorts ? 0 : 2)
            }.min() ?? 0
        }
        return of(association.localSelectors) + of(association.remoteSelectors)
    }
}
