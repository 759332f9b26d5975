import IPsec
import Primitives
import Testing

/// Pools of virtual addresses, and who has which.
@Suite struct AddressLeaseTests {
    private let pool = AddressPool(name: "pool", IPAddress("10.3.0.0")!, length: 29)!
    private func address(_ text: String) -> IPAddress { IPAddress(text)! }
    private func user(_ number: Int) -> Identity { Identity("user\(number)")! }

    @Test func whatAPoolHolds() {
        #expect(pool.size == 6 && pool.first == address("10.3.0.1") && pool.last == address("10.3.0.6"))
        let later = AddressPool(name: "later", address("10.3.0.3"), length: 29)
        #expect(later?.size == 4 && later?.first == address("10.3.0.3") && later?.base == address("10.3.0.3"))
        #expect(AddressPool(name: "two", address("10.3.0.0"), length: 31)?.size == 2)
        #expect(AddressPool(name: "one", address("10.3.0.9"), length: 32)?.first == address("10.3.0.9"))
        #expect(AddressPool(name: "none", address("10.3.0.7"), length: 29) == nil)
        #expect(AddressPool(name: "wrong", address("10.3.0.7"), length: 33) == nil)
        #expect(AddressPool(name: "all", address("::"), length: 0)?.size == .max)
        #expect(AddressPool(name: "back", first: address("10.0.0.2"), last: address("10.0.0.1")) == nil)
        #expect(AddressPool(name: "mixed", first: address("10.0.0.2"), last: address("fd00::1")) == nil)
    }

    /// A memory that outlives the process hears of what is given and forgotten, and what it gives back sticks to its identity.
    @Test func leasesOutliveTheirMemory() {
        var leases = AddressLeases()
        leases.recordsChanges = true
        #expect(
            leases.take(from: pool, requested: nil, for: user(1), holder: SessionID(1)) == address("10.3.0.1"))
        #expect(
            leases.take(from: pool, requested: nil, for: user(2), holder: SessionID(2)) == address("10.3.0.2"))
        #expect(
            leases.takeChanges() == [
                .given(address("10.3.0.1"), pool: "pool", user(1)), .given(address("10.3.0.2"), pool: "pool", user(2)),
            ])
        #expect(leases.takeChanges().isEmpty)
        leases.release(SessionID(1))
        leases.keep([])
        #expect(leases.takeChanges() == [.forgotten(address("10.3.0.1"))])

        var later = AddressLeases()
        later.restore(address("10.3.0.2"), pool: "pool", user(2))
        later.restore(address("10.3.0.1"), pool: "pool", user(1))
        #expect(later.counts(of: "pool") == (0, 2))
        // Not to somebody else while there are others, and to its own whatever the order.
        #expect(later.take(from: pool, requested: nil, for: user(3), holder: SessionID(3)) == address("10.3.0.3"))
        #expect(later.take(from: pool, requested: nil, for: user(1), holder: SessionID(4)) == address("10.3.0.1"))
        // What somebody has is not taken from him by an older memory.
        later.restore(address("10.3.0.1"), pool: "pool", user(9))
        #expect(later.take(from: pool, requested: nil, for: user(2), holder: SessionID(5)) == address("10.3.0.2"))
        #expect(later.takeChanges().isEmpty)
    }

    @Test func everybodyHasHisOwnUntilNoneIsLeft() {
        var leases = AddressLeases()
        var seen: Set<IPAddress> = []
        for number in 0..<6 {
            let given = leases.take(from: pool, requested: nil, for: user(number), holder: SessionID(UInt32(number)))
            #expect(given.map { seen.insert($0).inserted } == true)
        }
        #expect(leases.take(from: pool, requested: nil, for: user(9), holder: SessionID(9)) == nil)
        #expect(leases.counts(of: "pool") == (6, 0))
        leases.release(SessionID(3))
        #expect(leases.counts(of: "pool") == (5, 1))
        #expect(leases.take(from: pool, requested: nil, for: user(9), holder: SessionID(9)) == address("10.3.0.4"))
        #expect(leases.take(from: pool, requested: nil, for: user(3), holder: SessionID(13)) == nil)
        for number in 0..<20 { leases.release(SessionID(UInt32(number))) }
        #expect(leases.isEmpty && leases.counts(of: "pool") == (0, 6))
    }

    @Test func anAddressIsRememberedForItsUser() {
        var leases = AddressLeases()
        _ = leases.take(from: pool, requested: nil, for: user(1), holder: SessionID(1))
        let second = leases.take(from: pool, requested: nil, for: user(2), holder: SessionID(2))
        leases.release(SessionID(1))
        leases.release(SessionID(2))
        #expect(leases.take(from: pool, requested: nil, for: user(2), holder: SessionID(3)) == second)
        // A newcomer gets what nobody has had, not what somebody may come back for.
        #expect(leases.take(from: pool, requested: nil, for: user(3), holder: SessionID(4)) == address("10.3.0.3"))
        // When all have been given out, the one that was given back first is the next.
        for number in 4..<7 {
            #expect(
                leases.take(from: pool, requested: nil, for: user(number), holder: SessionID(UInt32(number + 1))) != nil
            )
        }
        #expect(leases.take(from: pool, requested: nil, for: user(8), holder: SessionID(20)) == address("10.3.0.1"))
    }

    @Test func twoSessionsOfOneUserShareOnlyWhatTheyAskFor() {
        var leases = AddressLeases()
        let first = leases.take(from: pool, requested: nil, for: user(1), holder: SessionID(1))
        #expect(leases.take(from: pool, requested: nil, for: user(1), holder: SessionID(2)) != first)
        #expect(leases.take(from: pool, requested: first, for: user(1), holder: SessionID(3)) == first)
        #expect(leases.take(from: pool, requested: first, for: user(2), holder: SessionID(4)) != first)
        leases.release(SessionID(1))
        #expect(leases.counts(of: "pool").online == 3)
        leases.release(SessionID(3))
        #expect(leases.counts(of: "pool").online == 2)
    }

    @Test func aSuccessorKeepsWhatItsPredecessorHad() {
        var leases = AddressLeases()
        let first = leases.take(from: pool, requested: nil, for: user(1), holder: SessionID(1))
        leases.share(from: SessionID(1), with: SessionID(2))
        leases.release(SessionID(1))
        #expect(leases.counts(of: "pool") == (1, 0))
        #expect(leases.addresses(of: SessionID(2)) == [first])
        leases.release(SessionID(2))
        #expect(leases.isEmpty)
    }

    @Test func overlappingPoolsNeverGiveOneAddressTwice() {
        let other = AddressPool(name: "other", IPAddress("10.3.0.4")!, length: 30)!
        var leases = AddressLeases()
        var seen: Set<IPAddress> = []
        for number in 0..<20 {
            let given = leases.take(
                from: number % 2 == 0 ? pool : other, requested: address("10.3.0.5"), for: user(number),
                holder: SessionID(UInt32(number)))
            if let given { #expect(seen.insert(given).inserted, "\(given)") }
        }
        #expect(seen.count == 6)
    }

    @Test func poolsThatAreGoneAreForgotten() {
        var leases = AddressLeases()
        _ = leases.take(from: pool, requested: nil, for: user(1), holder: SessionID(1))
        _ = leases.take(from: pool, requested: nil, for: user(2), holder: SessionID(2))
        leases.release(SessionID(1))
        leases.keep([])
        #expect(leases.counts(of: "pool") == (1, 0))
        leases.release(SessionID(2))
        leases.keep([pool])
        #expect(leases.counts(of: "pool") == (0, 1))
    }

    /// A year of coming and going takes no more memory than there are addresses.
    @Test func churnIsBoundedAndFair() {
        var leases = AddressLeases()
        var chance = Randomness.seeded(7)
        var online: [UInt32: IPAddress] = [:]
        for step in 0..<20_000 as Range<UInt32> {
            let number = Int(chance.below(40))
            if let given = leases.take(from: pool, requested: nil, for: user(number), holder: SessionID(step)) {
                #expect(!online.values.contains(given))
                online[step] = given
            }
            if online.count > 4, let oldest = online.keys.min() {
                leases.release(SessionID(oldest))
                online[oldest] = nil
            }
        }
        #expect(leases.leases(of: "pool").count <= 6)
    }
}
