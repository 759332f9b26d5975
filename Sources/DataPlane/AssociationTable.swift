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
    package mutating func insert(_ association: InboundAssociation, under spi: SPI) {
        if (count + 1) * 2 > slots.count { grow() }
        var index = home(spi.value)
        while slots[index] != nil {
            if keys[index] == spi.value {
                slots[index] = association
                return
            }
            index = (index + 1) & (slots.count - 1)
        }
        slots[index] = association
        keys[index] = spi.value
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
            let wanted = home(keys[index])
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
        let (old, oldKeys) = (slots, keys)
        slots = Array(repeating: nil, count: old.count * 2)
        keys = Array(repeating: 0, count: old.count * 2)
        count = 0
        for (index, slot) in old.enumerated() {
            if let association = slot { insert(association, under: SPI(oldKeys[index])) }
        }
    }
}
