package import IPsec
import Primitives

/// What the policy says of a flow (RFC 4301 §5.1).
package enum PolicyVerdict {
    case protect(OutboundAssociation)
    /// An entry without an SA.
    case other(SecurityPolicy)
    case none
}

/// The security policy database as one outbound worker sees it (RFC 4301 §4.4.1): SAs by what their selectors cover, and
/// entries without an SA.
///
/// Entries are ordered: by their priority where they have one, then from the narrowest selectors to the widest; among
/// equals an SA stands before an entry without, and a newer one before an older one. SAs of one request form an entry, the
/// newest first.
///
/// The order is not searched through. Each pair of selectors lies in a table for its pair of prefix lengths, under the two
/// prefixes; a lookup asks each table once, so its cost grows with the number of different shapes, not of SAs. A cache
/// remembers what the last flows took.
package struct PolicyTable: ~Copyable {
    /// Where an entry stands in the order; smaller is earlier.
    private struct Rank: Comparable {
        var priority: UInt32
        var breadth: Int
        var hasNoSA: Bool
        var age: Int

        static func < (left: Rank, right: Rank) -> Bool {
            (left.priority, left.breadth, left.hasNoSA ? 1 : 0, left.age)
                < (right.priority, right.breadth, right.hasNoSA ? 1 : 0, right.age)
        }
    }

    private final class Entry {
        var rank: Rank
        /// The newest first; never empty, unless `policy` is there.
        var associations: [OutboundAssociation] = []
        let policy: SecurityPolicy?

        init(rank: Rank, policy: SecurityPolicy? = nil) {
            self.rank = rank
            self.policy = policy
        }

        func precedes(_ other: Entry) -> Bool { rank < other.rank }

        var selectorPairs: [(TrafficSelector, TrafficSelector)] {
            let sides =
                policy.map { [($0.localSelectors, $0.remoteSelectors)] }
                ?? associations.map { ($0.localSelectors, $0.remoteSelectors) }
            return sides.flatMap { locals, remotes in
                locals.flatMap { local in
                    remotes.compactMap { local.family == $0.family ? (local, $0) : nil }
                }
            }
        }

        func verdict(_ flow: Flow, for worker: Int) -> PolicyVerdict? {
            if let policy {
                return flow.isCovered(local: policy.localSelectors, remote: policy.remoteSelectors)
                    ? .other(policy) : nil
            }
            // Of several that are in use together (RFC 9611), that of the worker itself.
            var other: OutboundAssociation?
            for association in associations where association.matches(flow) {
                if association.owner == worker { return .protect(association) }
                if other == nil { other = association }
            }
            return other.map { .protect($0) }
        }
    }

    /// Two prefix lengths of one family.
    private struct Shape: Hashable {
        var family: IPAddress.Family
        var localBits: Int
        var remoteBits: Int
    }

    private struct Key: Hashable {
        var local: UInt128
        var remote: UInt128
    }

    /// The entries of one shape.
    private struct Shelf {
        let shape: Shape
        let localMask: UInt128
        let remoteMask: UInt128
        var entries: [Key: [Entry]] = [:]

        init(_ shape: Shape) {
            self.shape = shape
            localMask = Shelf.mask(shape.localBits, shape.family)
            remoteMask = Shelf.mask(shape.remoteBits, shape.family)
        }

        static func mask(_ bits: Int, _ family: IPAddress.Family) -> UInt128 {
            bits == 0 ? 0 : ~UInt128(0) << UInt128(family.bitCount - bits)
        }
    }

    private struct CacheSlot {
        var flow: Flow
        unowned(unsafe) var association: OutboundAssociation
    }

    private static let cacheSlots = 256

    private var requests: [UInt32: Entry] = [:]
    private var plain: [SecurityPolicy: Entry] = [:]
    private var shelves: [Shelf] = []
    private var changes = 0
    // SAFETY of `unowned(unsafe)`: every change of the entries empties the cache, so a slot never outlives its entry.
    private var cache: [CacheSlot?] = Array(repeating: nil, count: cacheSlots)

    private let worker: Int

    /// The table of one worker, which takes its own SAs first.
    package init(worker: Int = 0) { self.worker = worker }

    package var isEmpty: Bool { requests.isEmpty && plain.isEmpty }

    /// What the first entry says that covers the flow.
    package mutating func verdict(for flow: Flow) -> PolicyVerdict {
        let slot = Int(truncatingIfNeeded: flow.slotHash) & (PolicyTable.cacheSlots - 1)
        if let cached = cache[slot], cached.flow == flow { return .protect(cached.association) }
        var best: (entry: Entry, verdict: PolicyVerdict)?
        for shelf in shelves where shelf.shape.family == flow.family {
            let key = Key(local: flow.source & shelf.localMask, remote: flow.destination & shelf.remoteMask)
            guard let entries = shelf.entries[key] else { continue }
            for entry in entries {
                if let best, !entry.precedes(best.entry) { break }
                guard let verdict = entry.verdict(flow, for: worker) else { continue }
                best = (entry, verdict)
                break
            }
        }
        guard let best else { return .none }
        if case .protect(let association) = best.verdict {
            cache[slot] = CacheSlot(flow: flow, association: association)
        }
        return best.verdict
    }

    /// The SA that carries the flow; `nil` where there is none.
    package mutating func association(for flow: Flow) -> OutboundAssociation? {
        guard case .protect(let association) = verdict(for: flow) else { return nil }
        return association
    }

    /// Puts the SA before those of the same request; it carries their traffic from now on.
    package mutating func insert(_ association: OutboundAssociation) {
        let entry: Entry
        if let known = requests[association.requestID] {
            entry = known
            take(entry)
            entry.associations.removeAll { $0.spi == association.spi }
        } else {
            entry = Entry(rank: Rank(priority: 0, breadth: 0, hasNoSA: false, age: 0))
            requests[association.requestID] = entry
        }
        entry.associations.insert(association, at: 0)
        place(entry)
    }

    /// Takes the SA out; an older one of the request gets the traffic back.
    package mutating func remove(_ association: OutboundAssociation) {
        guard let entry = requests[association.requestID],
            entry.associations.contains(where: { $0 === association })
        else { return }
        take(entry)
        entry.associations.removeAll { $0 === association }
        if entry.associations.isEmpty {
            requests[association.requestID] = nil
        } else {
            place(entry)
        }
    }

    package mutating func insert(_ policy: SecurityPolicy) {
        remove(policy)
        let entry = Entry(rank: Rank(priority: 0, breadth: 0, hasNoSA: true, age: 0), policy: policy)
        plain[policy] = entry
        place(entry)
    }

    package mutating func remove(_ policy: SecurityPolicy) {
        guard let entry = plain.removeValue(forKey: policy) else { return }
        take(entry)
    }

    /// Orders the entry anew and puts it into the tables.
    private mutating func place(_ entry: Entry) {
        changes += 1
        let first = entry.associations.first
        let priority = first?.priority ?? entry.policy?.priority ?? 0
        entry.rank = Rank(
            priority: priority == 0 ? .max : priority,
            breadth: -PolicyTable.narrowness(
                first?.localSelectors ?? entry.policy?.localSelectors ?? [],
                first?.remoteSelectors ?? entry.policy?.remoteSelectors ?? []),
            hasNoSA: entry.policy != nil, age: -changes)
        for (shape, key) in PolicyTable.places(entry) {
            let index: Int
            if let known = shelves.firstIndex(where: { $0.shape == shape }) {
                index = known
            } else {
                index = shelves.count
                shelves.append(Shelf(shape))
            }
            var entries = shelves[index].entries.removeValue(forKey: key) ?? []
            entries.insert(entry, at: entries.firstIndex { !$0.precedes(entry) } ?? entries.endIndex)
            shelves[index].entries[key] = entries
        }
        clearCache()
    }

    private mutating func take(_ entry: Entry) {
        for (shape, key) in PolicyTable.places(entry) {
            guard let index = shelves.firstIndex(where: { $0.shape == shape }) else { continue }
            var entries = shelves[index].entries.removeValue(forKey: key) ?? []
            entries.removeAll { $0 === entry }
            if !entries.isEmpty { shelves[index].entries[key] = entries }
            if shelves[index].entries.isEmpty { shelves.remove(at: index) }
        }
        clearCache()
    }

    private mutating func clearCache() {
        for index in cache.indices { cache[index] = nil }
    }

    /// The tables and keys under which an entry lies, each once.
    private static func places(_ entry: Entry) -> [(Shape, Key)] {
        var seen: Set<Key> = []
        var shapes: [(Shape, Key)] = []
        for (local, remote) in entry.selectorPairs {
            let shape = Shape(
                family: local.family, localBits: commonBits(local), remoteBits: commonBits(remote))
            let key = Key(
                local: local.first.value & Shelf.mask(shape.localBits, shape.family),
                remote: remote.first.value & Shelf.mask(shape.remoteBits, shape.family))
            let isKnown = !seen.insert(key).inserted && shapes.contains { $0.0 == shape && $0.1 == key }
            if !isKnown { shapes.append((shape, key)) }
        }
        return shapes
    }

    /// Bits of the longest prefix that covers the selector's range.
    private static func commonBits(_ selector: TrafficSelector) -> Int {
        let difference = selector.first.value ^ selector.last.value
        return difference.leadingZeroBitCount - (128 - selector.family.bitCount)
    }

    /// How narrow the widest selectors are: prefix bits of both ends, then protocol, then ports.
    private static func narrowness(_ locals: [TrafficSelector], _ remotes: [TrafficSelector]) -> Int {
        func of(_ selectors: [TrafficSelector]) -> Int {
            selectors.map { selector in
                let span = selector.last.value - selector.first.value
                // Count family-independently: bits that are fixed, of 128.
                let fixed = span.leadingZeroBitCount - (128 - selector.family.bitCount)
                return fixed * 4 + (selector.ipProtocol == 0 ? 0 : 1) + (selector.coversAllPorts ? 0 : 2)
            }.min() ?? 0
        }
        return of(locals) + of(remotes)
    }
}

extension Flow {
    /// Whether an outbound packet's two ends are covered.
    func isCovered(local: [TrafficSelector], remote: [TrafficSelector]) -> Bool {
        let source = sourceAddress
        let destination = destinationAddress
        return local.contains { $0.matches(source, ipProtocol: ipProtocol, port: hasPorts ? sourcePort : nil) }
            && remote.contains {
                $0.matches(destination, ipProtocol: ipProtocol, port: hasPorts ? destinationPort : nil)
            }
    }
}
