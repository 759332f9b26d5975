import IPsec
import Primitives

/// An entry of the security policy database (RFC 4301 §4.4.1): the SAs of one request, or a policy without an SA.
final class PolicyEntry {
    /// Where an entry stands in the order; smaller is earlier.
    struct Rank: Comparable {
        private var priorityAndBreadth: UInt64
        private var age: UInt64

        /// `narrowness` is that of the widest selectors; `change` counts up, so that of equals the newest is first.
        init(priority: UInt32, narrowness: Int, hasNoSA: Bool, change: Int) {
            let breadth = UInt32(clamping: Int(UInt32.max) - narrowness)
            priorityAndBreadth = UInt64(priority) << 32 | UInt64(breadth)
            age = (hasNoSA ? 1 << 63 : 0) | UInt64(Int.max - change)
        }

        /// Behind all others.
        static var last: Rank {
            var rank = Rank(priority: .max, narrowness: 0, hasNoSA: true, change: 0)
            rank.age = .max
            return rank
        }

        static func < (left: Rank, right: Rank) -> Bool {
            left.priorityAndBreadth != right.priorityAndBreadth
                ? left.priorityAndBreadth < right.priorityAndBreadth : left.age < right.age
        }
    }

    var rank: Rank
    /// The newest first; never empty, unless `policy` is there.
    var associations: [OutboundAssociation] = []
    let policy: SecurityPolicy?

    init(policy: SecurityPolicy? = nil) {
        rank = .last
        self.policy = policy
    }

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

    /// The SA that ``verdict(_:for:)`` gives for every flow between two prefixes, whatever its protocol and ports; `nil` where
    /// that depends.
    func everyFlow(between local: AddressRange, _ remote: AddressRange, for worker: Int) -> OutboundAssociation? {
        func covers(_ selectors: [TrafficSelector], _ range: AddressRange) -> Bool {
            selectors.contains {
                $0.family == range.family && $0.first.value <= range.first && $0.last.value >= range.last
                    && $0.ipProtocol == 0 && $0.coversAllPorts
            }
        }
        guard policy == nil, let chosen = associations.first(where: { $0.owner == worker }) ?? associations.first,
            covers(chosen.localSelectors, local), covers(chosen.remoteSelectors, remote)
        else { return nil }
        return chosen
    }

    /// The addresses of a prefix.
    struct AddressRange {
        var family: IPAddress.Family
        var first: UInt128
        var last: UInt128
    }
}
