/// Which worker seals the packets of each policy: the one that has the fewest, when the first SA of it comes, and the same
/// for as long as the policy has SAs, so that a rekeying moves no flow.
struct WorkerShares {
    private var policies: [Int]
    private var owners: [UInt32: (worker: Int, associations: Int)] = [:]

    /// `workers` is at least 1.
    init(workers: Int) { policies = Array(repeating: 0, count: workers) }

    /// The worker for another SA of the policy with this number.
    mutating func take(_ requestID: UInt32) -> Int {
        if let owner = owners[requestID] {
            owners[requestID]?.associations += 1
            return owner.worker
        }
        let least = policies.indices.min { policies[$0] < policies[$1] } ?? 0
        policies[least] += 1
        owners[requestID] = (least, 1)
        return least
    }

    /// An SA of the policy is gone.
    mutating func release(_ requestID: UInt32) {
        guard let owner = owners[requestID] else { return }
        if owner.associations > 1 {
            owners[requestID]?.associations -= 1
        } else {
            owners[requestID] = nil
            policies[owner.worker] -= 1
        }
    }
}
