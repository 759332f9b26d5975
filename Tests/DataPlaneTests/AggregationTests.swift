import AllocationCounter
import IPsec
import Primitives
import Testing

@testable import DataPlane

/// Payloads that inner packets share (RFC 9347).
@Suite struct AggregationTests {
    private func pair(
        packetOctets: Int = 1500, window: Int = 3, _ change: (inout Aggregation) -> Void = { _ in }
    ) -> AssociationPair {
        var aggregation = Aggregation()
        aggregation.packetOctets = packetOctets
        aggregation.reorderWindow = window
        change(&aggregation)
        return AssociationPair(window: 4096).changed { $0.aggregation = aggregation }
    }

    private func ends(_ pair: AssociationPair) -> (west: InlineEngine, east: InlineEngine) {
        let (west, east) = (InlineEngine(), InlineEngine())
        west.install(pair.west)
        east.install(pair.east)
        return (west, east)
    }

    private func opened(_ results: [InlineEngine.OpenResult]) -> [[UInt8]] {
        results.compactMap { if case .opened(let packet, _, _) = $0 { packet } else { nil } }
    }

    /// Packets of both families and many sizes, each another's.
    private func packets(_ count: Int, sizes: [Int]) -> [[UInt8]] {
        (0..<count).map { number in
            let isV6 = number % 3 == 2
            return packet(
                from: isV6 ? "fd01::1" : "10.1.0.1", to: isV6 ? "fd02::1" : "10.2.0.1",
                sourcePort: UInt16(truncatingIfNeeded: number), payload: sizes[number % sizes.count])
        }
    }

    @Test func smallPacketsShareAPayload() {
        let (west, east) = ends(pair())
        let sent = packets(10, sizes: [20, 72, 0])
        let sealed = west.sealTogether(sent, now: start).compactMap(\.octets)
        #expect(sealed.count == 1)
        #expect(sealed.flatMap { opened(east.openAll($0, from: westEndpoint, now: start)) } == sent)
        #expect(west.counters(of: ChildID(1))?.outbound.packets == 10)
        #expect(east.counters(of: ChildID(1))?.inbound.packets == 10)
        #expect(
            east.counters(of: ChildID(1))?.inbound.octets == UInt64(sent.map(\.count).reduce(0, +)),
            "inner packets are what counts")
    }

    @Test(arguments: [200, 576, 1280, 1500, 9000]) func packetsAreCutAndComeTogetherAgain(packetOctets: Int) {
        let (west, east) = ends(pair(packetOctets: packetOctets))
        let sent = packets(40, sizes: [1372, 20, 700, 5000, 1])
        let sealed = west.sealTogether(sent, now: start).compactMap(\.octets)
        let overhead = 28
        #expect(
            sealed.dropLast().allSatisfy {
                $0.count <= packetOctets - overhead && $0.count > packetOctets - overhead - 24
            })
        #expect(sealed.flatMap { opened(east.openAll($0, from: westEndpoint, now: start)) } == sent)
        #expect(east.dropCounters.nonzero == [:])
    }

    /// The path became narrower or wider: the SA goes on, and packets are cut to fit.
    @Test func payloadsFollowThePath() throws {
        let ends = pair(packetOctets: 1500)
        let association = OutboundAssociation(ends.west, counters: AssociationCounters())
        let before = try #require(association.aggregator)
        association.resizePayloads(forPackets: 1500)
        #expect(association.aggregator === before, "nothing changed")
        association.resizePayloads(forPackets: 1320)
        #expect(association.aggregator?.capacity == before.capacity - 180)
        let foreign = OutboundAssociation(ends.west, counters: AssociationCounters(), isForeign: true)
        foreign.resizePayloads(forPackets: 1320)
        #expect(foreign.aggregator == nil)
    }

    /// What waits for its turn when an SA goes is not lost with it.
    @Test func whatWaitsComesOutAtOnce() {
        var aggregation = Aggregation()
        aggregation.packetRate = 100
        let aggregator = Aggregator(aggregation, capacity: 500)
        let sent = packets(9, sizes: [100, 300, 700])
        for packet in sent {
            packet.withUnsafeBytes { octets in
                guard let base = octets.baseAddress else { return }
                aggregator.add(base, octets.count, now: start) { _, _ in }
            }
        }
        var payloads: [[UInt8]] = []
        aggregator.drain { payloads.append(Array(UnsafeRawBufferPointer(start: $0, count: $1))) }
        #expect(payloads.allSatisfy { $0.count == 500 } && !aggregator.isOpen)
        let carried = payloads.flatMap { $0.dropFirst(AggregatedPayload.headerOctets) }
        #expect(Array(carried.prefix(sent.joined().count)) == Array(sent.joined()))
        var isEmpty = true
        aggregator.drain { _, _ in isEmpty = false }
        #expect(isEmpty)
    }

    /// Whatever the order, all come, if none is further behind than the window.
    @Test func payloadsMayOvertakeEachOther() {
        for seed in 0..<20 as Range<UInt64> {
            var random = Randomness.seeded(seed)
            let (west, east) = ends(pair(packetOctets: 500))
            let sent = packets(60, sizes: [1372, 20, 333, 2500])
            var sealed = west.sealTogether(sent, now: start).compactMap(\.octets)
            for index in stride(from: 0, to: sealed.count - 3, by: 3) {
                sealed.swapAt(index, index + Int(random.below(4)))
            }
            let received = sealed.flatMap { opened(east.openAll($0, from: westEndpoint, now: start)) }
            #expect(Set(received) == Set(sent) && received.count == sent.count, "seed \(seed)")
        }
    }

    /// A payload that is lost takes the packets with it of which it had a part, and no others.
    @Test func aLossCostsWhatItHeld() {
        let sent = packets(60, sizes: [1372, 20, 333, 100])
        let (count, _) = (ends(pair(packetOctets: 500)).west.sealTogether(sent, now: start).count, 0)
        for lost in 0..<count {
            let (west, east) = ends(pair(packetOctets: 500))
            var sealed = west.sealTogether(sent, now: start).compactMap(\.octets)
            let gone = sealed.remove(at: lost)
            let received = sealed.flatMap { opened(east.openAll($0, from: westEndpoint, now: start)) }
            let missing = sent.filter { !received.contains($0) }
            #expect(received.count + missing.count == sent.count)
            #expect(received == sent.filter { received.contains($0) }, "the order stays")
            #expect((1...26).contains(missing.count))
            // It comes late, but not too late: then nothing is missing where the window is wide enough.
            let late = opened(east.openAll(gone, from: westEndpoint, now: start))
            #expect(late.allSatisfy { missing.contains($0) })
            #expect(east.dropCounters.nonzero == [:])
        }
    }

    @Test func aPeerThatTakesNoFragmentsGetsNone() throws {
        let (west, east) = ends(pair(packetOctets: 1000) { $0.keepsWhole = true })
        let sent = packets(12, sizes: [400, 300, 800])
        let sealed = west.sealTogether(sent, now: start).compactMap(\.octets)
        #expect(sealed.count >= 6)
        // Each payload opens by itself: another end gets them without what came before.
        var alone: [[UInt8]] = []
        for octets in sealed {
            let fresh = InlineEngine()
            fresh.install(pair(packetOctets: 1000).east)
            alone += opened(fresh.openAll(octets, from: westEndpoint, now: start))
        }
        #expect(alone == sent)
        #expect(sealed.flatMap { opened(east.openAll($0, from: westEndpoint, now: start)) } == sent)
        #expect(west.sealTogether([packet(payload: 1200)], now: start) == [.dropped(.tooBig)])
    }

    /// The octets of RFC 9347 §6.1: sub-type 0, the block offset, then blocks.
    @Test func payloadsHaveTheRightOctets() {
        var aggregation = Aggregation()
        let aggregator = Aggregator(aggregation, capacity: 100)
        var made: [[UInt8]] = []
        func add(_ octets: [UInt8]) {
            octets.withUnsafeBytes {
                aggregator.add($0.baseAddress!, $0.count, now: start) {
                    made.append(Array(UnsafeRawBufferPointer(start: $0, count: $1)))
                }
            }
        }
        let first = packet(payload: 2)
        let second = packet(payload: 172)
        add(first)
        #expect(made == [] && aggregator.isOpen)
        add(second)
        #expect(made.count == 2)
        #expect(made[0] == [0, 0, 0, 0] + first + second[..<66])
        #expect(made[1] == [0, 0, 0, 134] + second[66..<162], "the rest goes on past this payload")
        aggregator.finish { made.append(Array(UnsafeRawBufferPointer(start: $0, count: $1))) }
        #expect(made[2] == [0, 0, 0, 38] + second[162...])
        #expect(!aggregator.isOpen)
        // At a constant rate the rest is a pad block.
        aggregation.packetRate = 10
        let paced = Aggregator(aggregation, capacity: 100)
        first.withUnsafeBytes { paced.add($0.baseAddress!, $0.count, now: start) { _, _ in Issue.record("they wait") } }
        made = []
        for _ in 0..<2 { paced.next { made.append(Array(UnsafeRawBufferPointer(start: $0, count: $1))) } }
        #expect(made == [[0, 0, 0, 0] + first + [UInt8](repeating: 0, count: 66), [UInt8](repeating: 0, count: 100)])
    }

    /// The packets that a payload gives or completes; `nil` where it is none.
    private func take(_ disaggregator: Disaggregator, _ payload: [UInt8], _ sequence: UInt64) -> [[UInt8]]? {
        let (found, isValid) = takeAll(disaggregator, payload, sequence)
        return isValid ? found : nil
    }

    private func takeAll(
        _ disaggregator: Disaggregator, _ payload: [UInt8], _ sequence: UInt64
    ) -> ([[UInt8]], isValid: Bool) {
        var buffer = payload
        var found: [[UInt8]] = []
        let room = UnsafeMutableRawPointer.allocate(byteCount: 65_600, alignment: 16)
        defer { room.deallocate() }
        let isValid = buffer.withUnsafeMutableBytes { octets in
            disaggregator.take(
                octets.baseAddress!, payload.count, sequence: sequence, room: { room },
                deliver: { start, count, _ in found.append(Array(UnsafeRawBufferPointer(start: start, count: count))) })
        }
        return (found, isValid)
    }

    @Test func paddingMayStandBetweenTheParts() {
        let inner = packet(payload: 172)
        let parts: [[UInt8]] = [
            [0, 0, 0, 0] + inner[..<90], [0, 0, 0, 0] + [UInt8](repeating: 0, count: 96),
            [0, 0, 0, 110] + inner[90..<150],
            [0, 0, 0, 0], [0, 0, 0, 50] + inner[150...] + [0, 0],
        ]
        for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]] {
            let disaggregator = Disaggregator(window: 3)
            let found = order.flatMap { take(disaggregator, parts[$0], UInt64($0) + 7) ?? [] }
            #expect(found == [inner], "\(order)")
        }
    }

    /// A peer that has congestion control puts twenty octets more in front (RFC 9347 §6.1.2).
    @Test func informationOnCongestionIsPassedOver() {
        let inner = packet(payload: 9)
        let disaggregator = Disaggregator(window: 3)
        #expect(take(disaggregator, [1, 0, 0, 0] + [UInt8](repeating: 0xAB, count: 20) + inner, 1) == [inner])
        #expect(take(disaggregator, [1, 0, 0, 0, 1, 2, 3], 2) == nil)
        #expect(take(disaggregator, [2, 0, 0, 0] + inner, 3) == nil)
        #expect(take(disaggregator, [0, 0, 0], 4) == nil)
    }

    /// The length of a packet may itself be cut.
    @Test func thePartsMayBeOneOctetEach() {
        for inner in [packet(payload: 3), packet(from: "fd01::1", to: "fd02::1", payload: 5)] {
            let disaggregator = Disaggregator(window: 3)
            var found: [[UInt8]] = []
            for (index, octet) in inner.enumerated() {
                let rest = UInt8(index == 0 ? 0 : inner.count - index)
                found += take(disaggregator, [0, 0, 0, rest, octet], UInt64(index) + 1) ?? []
            }
            #expect(found == [inner])
        }
    }

    /// Lengths that lie, offsets that point anywhere, parts that do not belong together: nothing but whole packets come out.
    @Test func hostilePayloadsDoNoHarm() {
        var random = Randomness.seeded(77)
        let disaggregator = Disaggregator(window: 3)
        var sequence: UInt64 = 100
        var delivered = 0
        for _ in 0..<20_000 {
            var payload = random.octets(Int(random.below(120)))
            if payload.count >= 8, random.below(4) != 0 {
                payload[0] = UInt8(random.below(2))
                payload[2] = UInt8(random.below(2))
                payload[4] = [0x45, 0x60, 0x00, 0x45][Int(random.below(4))]
                payload[6] = UInt8(random.below(2))
                // A packet begins at once, so that some are whole.
                if random.below(2) == 0 { (payload[2], payload[3], payload[6]) = (0, 0, 0) }
            }
            sequence = max(3, sequence + random.below(6)) - 2
            for found in takeAll(disaggregator, payload, sequence).0 {
                delivered += 1
                let length = found.withUnsafeBytes { AggregatedPayload.packetOctets($0.baseAddress!, $0.count) }
                #expect(length == found.count)
            }
        }
        #expect(delivered > 100)
    }

    @Test func aRateIsKept() {
        var pace = Pace(rate: 300)
        let second = 1_000_000_000 as Int64
        var sent = 0
        for step in 0...2000 as ClosedRange<Int64> { sent += pace.due(at: 5 * second + step * second / 1000) }
        #expect(sent == 601)
        #expect(pace.due(at: 7 * second) == 0)
        #expect(pace.due(at: 100 * second) == 64, "no flood after a long sleep")
        #expect(pace.due(at: 100 * second) == 0)
    }

    /// A full queue takes nothing more, and what it has comes out in order.
    @Test func aQueueIsBounded() {
        var aggregation = Aggregation()
        aggregation.packetRate = 10
        aggregation.queueOctets = 1000
        let aggregator = Aggregator(aggregation, capacity: 200)
        let inner = packet(payload: 100)
        var taken = 0
        while aggregator.takes(inner.count) {
            inner.withUnsafeBytes { aggregator.add($0.baseAddress!, $0.count, now: start) { _, _ in } }
            taken += 1
        }
        #expect((4...8).contains(taken))
        let disaggregator = Disaggregator(window: 3)
        var found: [[UInt8]] = []
        for sequence in 1...8 as ClosedRange<UInt64> {
            var payload: [UInt8] = []
            aggregator.next { payload = Array(UnsafeRawBufferPointer(start: $0, count: $1)) }
            #expect(payload.count == 200)
            found += take(disaggregator, payload, sequence) ?? []
        }
        #expect(found == Array(repeating: inner, count: taken))
        #expect(aggregator.takes(inner.count))
    }

    @Test func sharedPayloadsAllocateNothing() {
        guard parley_allocations_are_counted() != 0 else { return }
        let pair = pair(packetOctets: 900)
        let outbound = OutboundAssociation(pair.west, counters: AssociationCounters())
        let inbound = InboundPlane(drops: DropCounters()) { _ in }
        inbound.insert(InboundAssociation(pair.east, counters: AssociationCounters()))
        let inner = packet(payload: 1372)
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: 2048, alignment: 64)
        defer { buffer.deallocate() }
        var opened = 0
        func carry(_ count: Int) {
            for _ in 0..<count {
                guard outbound.admit(inner.count, now: start).dropped == nil else { return }
                inner.withUnsafeBytes { octets in
                    outbound.aggregator?.add(octets.baseAddress!, octets.count, now: start) { payload, count in
                        guard let placement = outbound.payloadPlacement(count: count) else { return }
                        (buffer + placement.offset).copyMemory(from: payload, byteCount: count)
                        let sealed = outbound.sealPayload(buffer, placement)
                        let outcome = inbound.open(buffer, count: sealed.octets, from: westEndpoint, now: start)
                        guard case .bundle(let bundle) = outcome else { return }
                        inbound.unpack(bundle, settle: inbound.forgetPackets) { if case .opened = $0 { opened += 1 } }
                        inbound.forgetPackets()
                    }
                }
            }
        }
        carry(200)
        let (before, openedBefore) = (parley_allocation_count(), opened)
        carry(1000)
        #expect(parley_allocation_count() == before)
        #expect(opened - openedBefore >= 999)
    }
}
