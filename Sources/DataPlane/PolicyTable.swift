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
    private struct CacheSlot {
        var flow: Flow
        unowned(unsafe) var association: OutboundAssociation
    }

    private static let cacheSlots = 256

    private var requests: [UInt32: PolicyEntry] = [:]
    private var plain: [SecurityPolicy: PolicyEntry] = [:]
    private var tables: [SelectorTable] = []
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
        var verdict = PolicyVerdict.none
        var rank = PolicyEntry.Rank.last
        for table in tables where table.shape.family == flow.family {
            guard let found = table.slot(for: flow), found.pointee.rank < rank else { continue }
            if let answer = found.pointee.answer {
                rank = found.pointee.rank
                verdict = .protect(answer)
                continue
            }
            for entry in table.entries(of: found) {
                guard entry.rank < rank else { break }
                guard let said = entry.verdict(flow, for: worker) else { continue }
                rank = entry.rank
                verdict = said
                break
            }
        }
        if case .protect(let association) = verdict {
            cache[slot] = CacheSlot(flow: flow, association: association)
        }
        return verdict
    }

    /// The SA that carries the flow; `nil` where there is none.
    package mutating func association(for flow: Flow) -> OutboundAssociation? {
        guard case .protect(let association) = verdict(for: flow) else { return nil }
        return association
    }

    /// Puts the SA before those of the same request; it carries their traffic from now on.
    package mutating func insert(_ association: OutboundAssociation) {
        let entry: PolicyEntry
        if let known = requests[association.requestID] {
            entry = known
            take(entry)
            entry.associations.removeAll { $0.spi == association.spi }
        } else {
            entry = PolicyEntry()
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
        let entry = PolicyEntry(policy: policy)
        plain[policy] = entry
        place(entry)
    }

    package mutating func remove(_ policy: SecurityPolicy) {
        guard let entry = plain.removeValue(forKey: policy) else { return }
        take(entry)
    }

    /// Orders the entry anew and puts it into the tables.
    private mutating func place(_ entry: PolicyEntry) {
        changes += 1
        let first = entry.associations.first
        let priority = first?.priority ?? entry.policy?.priority ?? 0
        entry.rank = PolicyEntry.Rank(
            priority: priority == 0 ? .max : priority,
            narrowness: PolicyTable.narrowness(
                first?.localSelectors ?? entry.policy?.localSelectors ?? [],
                first?.remoteSelectors ?? entry.policy?.remoteSelectors ?? []),
            hasNoSA: entry.policy != nil, change: changes)
        for (shape, pairs) in PolicyTable.places(entry) {
            let table: SelectorTable
            if let known = tables.first(where: { $0.shape == shape }) {
                table = known
            } else {
                table = SelectorTable(shape)
                tables.append(table)
            }
            for key in Set(pairs.map(table.key)) { table.insert(entry, under: key, for: worker) }
        }
        clearCache()
    }

    private mutating func take(_ entry: PolicyEntry) {
        for (shape, pairs) in PolicyTable.places(entry) {
            guard let index = tables.firstIndex(where: { $0.shape == shape }) else { continue }
            for key in Set(pairs.map(tables[index].key)) { tables[index].remove(entry, under: key, for: worker) }
            if tables[index].isEmpty { tables.remove(at: index) }
        }
        clearCache()
    }

    private mutating func clearCache() {
        for index in cache.indices { cache[index] = nil }
    }

    /// The shapes of an entry's selectors, with the pairs of each.
    private static func places(
        _ entry: PolicyEntry
    ) -> [SelectorTable.Shape: [(TrafficSelector, TrafficSelector)]] {
        Dictionary(grouping: entry.selectorPairs) { SelectorTable.Shape($0, $1) }
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
