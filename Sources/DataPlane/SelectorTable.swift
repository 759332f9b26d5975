import IPsec
import Primitives

/// The entries whose selectors have one pair of prefix lengths, under their two prefixes. A hash with open addressing; a
/// lookup looks at one octet of each hash first, and touches a slot only where that agrees.
final class SelectorTable {
    /// Two prefix lengths of one family.
    struct Shape: Hashable {
        var family: IPAddress.Family
        var localBits: Int
        var remoteBits: Int

        /// Of two selectors: the longest prefixes that cover them, which are of one family.
        init(_ local: TrafficSelector, _ remote: TrafficSelector) {
            family = local.family
            localBits = Shape.commonBits(local)
            remoteBits = Shape.commonBits(remote)
        }

        private static func commonBits(_ selector: TrafficSelector) -> Int {
            let difference = selector.first.value ^ selector.last.value
            return difference.leadingZeroBitCount - (128 - selector.family.bitCount)
        }
    }

    /// Two prefixes.
    struct Key: Hashable {
        var local: UInt128
        var remote: UInt128
    }

    /// What lies under one key: one line of the processor's cache.
    struct Slot {
        fileprivate var key: Key
        /// That of the first entry.
        fileprivate(set) var rank: PolicyEntry.Rank
        /// The first entry's answer to every flow between the prefixes; `nil` where the entries must be asked.
        ///
        /// SAFETY of `unowned(unsafe)`: the entry, which the table keeps under the same key, holds it; with each change of an
        /// entry this is found anew (``insert(_:under:for:)``).
        unowned(unsafe) fileprivate(set) var answer: OutboundAssociation?
    }

    /// SAFETY: both have room for `mask` + 1; made by `init(slots:)`, freed in the table's `deinit` or when it grows.
    private struct Memory {
        var mask: Int
        /// 0: free.
        var tags: UnsafeMutablePointer<UInt8>
        var slots: UnsafeMutablePointer<Slot>

        init(slots count: Int) {
            mask = count - 1
            tags = .allocate(capacity: count)
            tags.initialize(repeating: 0, count: count)
            slots = .allocate(capacity: count)
            slots.initialize(
                repeating: Slot(key: Key(local: 0, remote: 0), rank: .last, answer: nil), count: count)
        }

        func free() {
            tags.deallocate()
            slots.deallocate()
        }
    }

    let shape: Shape
    private let localMask: UInt128
    private let remoteMask: UInt128
    private var memory = Memory(slots: 8)
    /// The first in order first; one list for each slot, empty where it is free.
    private var entries: [[PolicyEntry]] = Array(repeating: [], count: 8)
    private var count = 0
    // Whoever knows it could choose selectors that collide.
    private let seed = UInt64(truncatingIfNeeded: "selectors".hashValue)

    init(_ shape: Shape) {
        self.shape = shape
        localMask = SelectorTable.mask(shape.localBits, shape.family)
        remoteMask = SelectorTable.mask(shape.remoteBits, shape.family)
    }

    deinit { memory.free() }

    var isEmpty: Bool { count == 0 }

    private static func mask(_ bits: Int, _ family: IPAddress.Family) -> UInt128 {
        bits == 0 ? 0 : ~UInt128(0) << UInt128(family.bitCount - bits)
    }

    /// Where two selectors of this shape lie.
    func key(_ local: TrafficSelector, _ remote: TrafficSelector) -> Key {
        Key(local: local.first.value & localMask, remote: remote.first.value & remoteMask)
    }

    /// What lies where a flow belongs, which is of the shape's family.
    ///
    /// SAFETY: the slot is there until the next change.
    @inline(__always)
    func slot(for flow: Flow) -> UnsafePointer<Slot>? {
        let memory = memory
        guard
            let index = find(Key(local: flow.source & localMask, remote: flow.destination & remoteMask), memory).index
        else { return nil }
        return UnsafePointer(memory.slots + index)
    }

    /// The entries of a slot, the first in order first.
    func entries(of slot: UnsafePointer<Slot>) -> [PolicyEntry] { entries[slot - UnsafePointer(memory.slots)] }

    /// Puts an entry where it belongs by its rank, for the worker that will ask.
    func insert(_ entry: PolicyEntry, under key: Key, for worker: Int) {
        if find(key, memory).index == nil {
            if (count + 1) * 2 > memory.mask + 1 { grow() }
            let (_, free, tag) = find(key, memory)
            memory.tags[free] = tag
            memory.slots[free].key = key
            count += 1
        }
        guard let index = find(key, memory).index else { return }
        entries[index].insert(entry, at: entries[index].firstIndex { $0.rank >= entry.rank } ?? entries[index].endIndex)
        answer(index, for: worker)
    }

    func remove(_ entry: PolicyEntry, under key: Key, for worker: Int) {
        guard let index = find(key, memory).index else { return }
        entries[index].removeAll { $0 === entry }
        if entries[index].isEmpty { free(index) } else { answer(index, for: worker) }
    }

    private func answer(_ index: Int, for worker: Int) {
        guard let first = entries[index].first else { return }
        let key = memory.slots[index].key
        func range(_ prefix: UInt128, _ mask: UInt128) -> PolicyEntry.AddressRange {
            let all = SelectorTable.mask(shape.family.bitCount, shape.family)
            return PolicyEntry.AddressRange(family: shape.family, first: prefix, last: prefix | (all & ~mask))
        }
        memory.slots[index].rank = first.rank
        memory.slots[index].answer = first.everyFlow(
            between: range(key.local, localMask), range(key.remote, remoteMask), for: worker)
    }

    /// The slot of a key, or else a free one for it, and the octet of its hash.
    @inline(__always)
    private func find(_ key: Key, _ memory: Memory) -> (index: Int?, free: Int, tag: UInt8) {
        let hash = spread(key)
        let tag = UInt8(truncatingIfNeeded: hash >> 56) | 1
        var index = Int(truncatingIfNeeded: hash) & memory.mask
        while memory.tags[index] != 0 {
            if memory.tags[index] == tag, memory.slots[index].key == key { return (index, index, tag) }
            index = (index + 1) & memory.mask
        }
        return (nil, index, tag)
    }

    @inline(__always)
    private func spread(_ key: Key) -> UInt64 {
        func mix(_ word: UInt64, _ other: UInt128) -> UInt64 {
            var word = word ^ UInt64(truncatingIfNeeded: other)
            word = (word ^ (word >> 32)) &* 0x9E37_79B9_7F4A_7C15
            word ^= UInt64(truncatingIfNeeded: other >> 64)
            return (word ^ (word >> 29)) &* 0xBF58_476D_1CE4_E5B9
        }
        let word = mix(mix(seed, key.local), key.remote)
        return word ^ (word >> 32)
    }

    /// Frees a slot; later ones of its run move up, so that no gap hides them.
    private func free(_ index: Int) {
        var (gap, next) = (index, (index + 1) & memory.mask)
        while memory.tags[next] != 0 {
            let wanted = Int(truncatingIfNeeded: spread(memory.slots[next].key)) & memory.mask
            // Whether the gap lies between the slot's home and its place.
            if (next - wanted) & memory.mask >= (next - gap) & memory.mask {
                memory.tags[gap] = memory.tags[next]
                memory.slots[gap] = memory.slots[next]
                entries.swapAt(gap, next)
                gap = next
            }
            next = (next + 1) & memory.mask
        }
        memory.tags[gap] = 0
        memory.slots[gap].answer = nil
        count -= 1
    }

    private func grow() {
        let (old, oldEntries) = (memory, entries)
        defer { old.free() }
        memory = Memory(slots: (old.mask + 1) * 2)
        entries = Array(repeating: [], count: (old.mask + 1) * 2)
        for index in 0...old.mask where old.tags[index] != 0 {
            let (_, free, tag) = find(old.slots[index].key, memory)
            memory.tags[free] = tag
            memory.slots[free] = old.slots[index]
            entries[free] = oldEntries[index]
        }
    }
}
