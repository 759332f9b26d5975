import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

/// Packets whose cipher works on several at once.
@Suite struct BatchTests {
    private static let stride = 2048

    /// Seals packets back to back in one memory, as a worker does, deferred where that applies.
    private func seal(
        _ inner: [[UInt8]], _ pair: AssociationPair, into memory: UnsafeMutableRawBufferPointer, deferring: Bool
    ) -> [Int] {
        let plane = OutboundPlane(drops: DropCounters()) { _ in }
        plane.insert(OutboundAssociation(pair.west, counters: AssociationCounters()))
        var counts: [Int] = []
        var last: OutboundAssociation?
        for (index, packet) in inner.enumerated() {
            packet.withUnsafeBytes { octets in
                let view = PacketView(octets.baseAddress!, count: octets.count)!
                guard let association = plane.association(for: view.flow),
                    let placement = association.placement(view, count: view.octets)
                else { return }
                let start = memory.baseAddress! + index * Self.stride
                (start + placement.offset).copyMemory(from: octets.baseAddress!, byteCount: octets.count)
                let outcome = plane.seal(
                    start, placement, with: association, deferring: deferring, now: DataPlaneTests.start)
                counts.append(outcome.octets)
                last = association
            }
        }
        #expect(last?.sealDeferred() == true)
        return counts
    }

    private func memory(_ count: Int) -> UnsafeMutableRawBufferPointer {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count * Self.stride, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0)
        return memory
    }

    @Test(arguments: suites, [false, true])
    func deferredPacketsAreTheSame(suite: Suite, esn: Bool) {
        let pair = AssociationPair(esn ? extended(suite) : suite, window: 1024)
        let inner = (0..<150).map { packet(payload: $0 * 9 % 1300) }
        let (early, late) = (memory(150), memory(150))
        defer {
            early.deallocate()
            late.deallocate()
        }
        let counts = seal(inner, pair, into: early, deferring: false)
        #expect(seal(inner, pair, into: late, deferring: true) == counts)
        for (index, count) in counts.enumerated() {
            let range = (index * Self.stride)..<(index * Self.stride + count)
            #expect(Array(early[range]) == Array(late[range]))
        }
        // And they open together.
        let plane = InboundPlane(drops: DropCounters()) { _ in }
        plane.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        var opened: [[UInt8]] = []
        func take(_ outcome: InboundPlane.Outcome) {
            guard case .opened(let found) = outcome else { return }
            opened.append(Array(UnsafeRawBufferPointer(start: found.packet, count: found.view.octets)))
        }
        for (index, count) in counts.enumerated() {
            let outcome = plane.open(
                late.baseAddress! + index * Self.stride, count: count, from: westEndpoint, deferring: true,
                now: DataPlaneTests.start)
            take(outcome)
            if plane.isDeferralFull { plane.openDeferred(now: DataPlaneTests.start, take) }
        }
        plane.openDeferred(now: DataPlaneTests.start, take)
        #expect(!plane.hasDeferred)
        #expect(opened == inner)
    }

    /// Two copies of a packet in one batch pass the first look at the window both; only one may be delivered.
    @Test func aBatchHoldsNoPacketTwice() throws {
        let suite = Suite(encryption: Encryption(.aesCBC, keyBits: 128), integrity: .hmacSHA256_128)
        let pair = AssociationPair(suite)
        let storage = memory(4)
        defer { storage.deallocate() }
        let counts = seal([packet(payload: 1), packet(payload: 2)], pair, into: storage, deferring: true)
        // A copy of the first, and a forgery of the second in front of it.
        storage.baseAddress!.advanced(by: 2 * Self.stride).copyMemory(from: storage.baseAddress!, byteCount: counts[0])
        let second = storage.baseAddress! + Self.stride
        storage.baseAddress!.advanced(by: 3 * Self.stride).copyMemory(from: second, byteCount: counts[1])
        storage[3 * Self.stride + counts[1] - 1] ^= 1
        let drops = DropCounters()
        let plane = InboundPlane(drops: drops) { _ in }
        plane.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        for (place, count) in [(0, counts[0]), (2, counts[0]), (3, counts[1]), (1, counts[1])] {
            let outcome = plane.open(
                storage.baseAddress! + place * Self.stride, count: count, from: westEndpoint, deferring: true,
                now: start)
            if case .opened = outcome {
                // Without the library there are no batches, and the first packets come at once.
                continue
            }
        }
        plane.openDeferred(now: start) { _ in }
        #expect(drops.nonzero == [.replayed: 1, .authenticationFailed: 1])
    }
}
