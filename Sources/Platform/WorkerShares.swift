/// Which worker seals the packets of each policy: the one that has the fewest, when the first SA of it comes, and the same
/// for as long as the policy has SAs, so that a rekeying moves no flow.
struct WorkerShares {
    private var policies: [Int]
    private struct Share {
        var worker: Int
        var associations = 0
        var outbound = 0
    }
    private var owners: [UInt32: Share] = [:]

    /// `workers` is at least 1.
    init(workers: Int) { policies = Array(repeating: 0, count: workers) }

    /// The worker for another SA of the policy with this number, and whether an outbound one was there before.
    mutating func take(_ requestID: UInt32, isOutbound: Bool) -> (worker: Int, isShared: Bool) {
        var share: Share
        if let known = owners[requestID] {
            share = known
        } else {
            share = Share(worker: policies.indices.min { policies[$0] < policies[$1] } ?? 0)
            policies[share.worker] += 1
        }
        defer { owners[requestID] = share }
        share.associations += 1
        share.outbound += isOutbound ? 1 : 0
        return (share.worker, share.outbound > 1)
    }

    /// An SA of the policy is gone. Whether an outbound one is left.
    @discardableResult
    mutating func release(_ requestID: UInt32, isOutbound: Bool) -> Bool {
        guard var share = owners[requestID] else { return false }
        share.associations -= 1
        share.outbound -= isOutbound ? 1 : 0
        if share.associations > 0 {
            owners[requestID] = share
        } else {
            owners[requestID] = nil
            policies[share.worker] -= 1
        }
        return share.outbound > 0
    }
}
