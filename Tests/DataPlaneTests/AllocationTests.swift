import AllocationCounter
import DataPlane
import IPsec
import Primitives
import Testing

@Suite struct AllocationTests {
    /// The packet path on one thread: policy, sealing, SA lookup, replay, opening, selectors.
    @Test(arguments: suites, [false, true])
    func packetsAllocateNothing(suite: Suite, esn: Bool) {
        guard parley_allocations_are_counted() != 0 else { return }
        let pair = AssociationPair(esn ? extended(suite) : suite, window: 4096)
        let drops = DropCounters()
        let outbound = OutboundPlane(drops: drops) { _ in }
        let inbound = InboundPlane(drops: drops) { _ in }
        outbound.insert(OutboundAssociation(pair.west, counters: AssociationCounters()))
        inbound.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        let inner = packet(payload: 1372)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2048, alignment: 64)
        defer { buffer.deallocate() }
        let start = buffer.baseAddress!
        var opened = 0

        func carry(_ count: Int) {
            for _ in 0..<count {
                let view = inner.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count)! }
                guard let association = outbound.association(for: view.flow),
                    let placement = association.placement(view, count: view.octets)
                else { return }
                inner.withUnsafeBytes {
                    (start + placement.offset).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
                }
                let sealed = outbound.seal(start, placement, with: association, now: DataPlaneTests.start)
                let outcome = inbound.open(
                    start, count: sealed.octets, from: westEndpoint, now: DataPlaneTests.start)
                if case .opened = outcome { opened += 1 }
            }
        }
        carry(10)
        let before = parley_allocation_count()
        carry(1000)
        let allocations = parley_allocation_count() - before
        #expect(opened == 1010)
        #expect(allocations == 0)
    }

    /// Packets that come together.
    @Test(arguments: suites, [false, true])
    func runsAllocateNothing(suite: Suite, esn: Bool) {
        guard parley_allocations_are_counted() != 0 else { return }
        let pair = AssociationPair(esn ? extended(suite) : suite, window: 4096)
        let (outbound, inbound) = (
            OutboundPlane(drops: DropCounters()) { _ in }, InboundPlane(drops: DropCounters()) { _ in }
        )
        outbound.insert(OutboundAssociation(pair.west, counters: AssociationCounters()))
        inbound.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        let inner = packet(payload: 1372)
        let number = 40
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: (number + 1) * 2048, alignment: 64)
        defer { buffer.deallocate() }
        let base = buffer.baseAddress!
        let view = inner.withUnsafeBytes { PacketView($0.baseAddress!, count: $0.count)! }
        guard let association = outbound.association(for: view.flow),
            let placement = association.placement(view, count: view.octets)
        else { return #expect(Bool(false), "no SA") }
        let size = placement.sealedOctets
        var opened = 0

        func carry(_ count: Int) -> Int {
            var taken = 0
            for _ in 0..<count {
                for index in 0..<number {
                    let start = base + index * size
                    inner.withUnsafeBytes {
                        (start + placement.offset).copyMemory(from: $0.baseAddress!, byteCount: $0.count)
                    }
                    _ = outbound.seal(start, placement, with: association, now: DataPlaneTests.start)
                }
                taken += inbound.openRun(
                    base, count: number * size, size: size, from: westEndpoint, trafficClass: 0,
                    now: DataPlaneTests.start
                ) { _, _, _ in opened += 1 }
            }
            return taken
        }
        // What gains from batches is left to them, and looked at above.
        guard carry(2) > 0 else { return }
        let before = parley_allocation_count()
        let taken = carry(20)
        let allocations = parley_allocation_count() - before
        #expect(taken == 20 * number * size)
        #expect(opened == 22 * number)
        #expect(allocations == 0)
    }

    /// The path of what is more than ESP: compression, ESP and AH, unwrapped into the worker's own memory.
    @Test func wrappedPacketsAllocateNothing() {
        guard parley_allocations_are_counted() != 0 else { return }
        let pair = AssociationPair(suites[0]).withHeader().compressed()
        let drops = DropCounters()
        let outbound = OutboundPlane(drops: drops) { _ in }
        let inbound = InboundPlane(drops: drops) { _ in }
        outbound.insert(OutboundAssociation(pair.west, counters: AssociationCounters()))
        inbound.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        let inner = packet(payload: 1372)
        let room = OutboundAssociation.wrapOctets(inner.count)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: room, alignment: 64)
        defer { buffer.deallocate() }
        let start = buffer.baseAddress!
        var opened = 0

        func carry(_ count: Int) {
            for _ in 0..<count {
                inner.withUnsafeBytes { octets in
                    let view = PacketView(octets.baseAddress!, count: octets.count)!
                    guard let association = outbound.association(for: view.flow) else { return }
                    let sealed = outbound.wrap(
                        octets.baseAddress!, view: view, with: association, into: start, now: DataPlaneTests.start)
                    let outcome = inbound.openHeader(
                        start + sealed.start, count: sealed.octets, from: westEndpoint, now: DataPlaneTests.start)
                    if case .opened = outcome { opened += 1 }
                    inbound.forgetPackets()
                }
            }
        }
        carry(10)
        let before = parley_allocation_count()
        carry(500)
        let allocations = parley_allocation_count() - before
        #expect(opened == 510)
        #expect(allocations == 0)
    }
}
