import IPsec
import Primitives
import Testing

@testable import DataPlane

/// Payloads that wait: for those before them (`drop_time`), and for more packets (`init_delay`).
@Suite struct PayloadOrderTests {
    private static let patience = Duration.milliseconds(10)

    /// What comes out of an order, and how often its memory was asked for.
    private final class Taker {
        let order: PayloadOrder
        var opened: [UInt64] = []
        var settled = 0
        /// Payloads that were opened since memory was last asked for, as they lie there.
        private var pending: [(UnsafeMutableRawPointer, [UInt8])] = []

        init(window: Int = 3) { order = PayloadOrder(window: window, patience: patience) }

        static func content(_ sequence: UInt64, _ count: Int) -> [UInt8] {
            Array(repeating: UInt8(truncatingIfNeeded: sequence &* 37 &+ 1), count: count)
        }

        func take(_ sequence: UInt64, count: Int = 8, at now: Instant = start) {
            var octets = Taker.content(sequence, count)
            octets.withUnsafeMutableBytes { buffer in
                let payload = PayloadOrder.Payload(
                    octets: buffer.baseAddress!, count: count, sequence: sequence, trafficClass: 0)
                order.take(payload, now: now, settle: settle, open: open)
                settle()
            }
        }

        func release(at now: Instant) { order.release(at: now, settle: settle, open: open) }

        func releaseAll() { order.releaseAll(settle: settle, open: open) }

        private func open(_ payload: PayloadOrder.Payload) {
            opened.append(payload.sequence)
            let octets = Array(UnsafeRawBufferPointer(start: payload.octets, count: payload.count))
            #expect(octets == Taker.content(payload.sequence, payload.count))
            pending.append((payload.octets, octets))
        }

        /// All that was opened is still where it was.
        private func settle() {
            settled += 1
            for (start, octets) in pending {
                #expect(Array(UnsafeRawBufferPointer(start: start, count: octets.count)) == octets)
            }
            pending = []
        }
    }

    @Test func whatOvertookWaitsForItsTurn() {
        let taker = Taker()
        taker.take(1)
        taker.take(3)
        taker.take(4)
        #expect(taker.opened == [1] && taker.order.held == 2)
        #expect(taker.order.deadline == start + Self.patience)
        taker.take(2)
        #expect(taker.opened == [1, 2, 3, 4] && taker.order.held == 0 && taker.order.deadline == nil)
        taker.take(5)
        #expect(taker.opened == [1, 2, 3, 4, 5])
    }

    /// Each payload waits from when it came, not a moment less.
    @Test func whatIsLostIsGivenUpInTime() {
        let taker = Taker()
        taker.take(1)
        taker.take(3)
        taker.take(5, at: start + .milliseconds(4))
        taker.release(at: start + Self.patience - .nanoseconds(1))
        #expect(taker.opened == [1])
        taker.release(at: start + Self.patience)
        #expect(taker.opened == [1, 3], "4 is waited for since 5 came")
        #expect(taker.order.deadline == start + Self.patience + .milliseconds(4))
        taker.release(at: start + .seconds(1))
        #expect(taker.opened == [1, 3, 5] && taker.order.deadline == nil)
        // Late ones are opened at once, and nothing waits for them any more.
        taker.take(2, at: start + .seconds(1))
        taker.take(6, at: start + .seconds(1))
        #expect(taker.opened == [1, 3, 5, 2, 6])
    }

    /// A payload further ahead than the window ends the wait for those behind it.
    @Test func theWindowBoundsWhatWaits() {
        let taker = Taker()
        for sequence in [1, 3, 4, 5] as [UInt64] { taker.take(sequence) }
        #expect(taker.opened == [1] && taker.order.held == 3)
        taker.take(6)
        #expect(taker.opened == [1, 3, 4, 5, 6] && taker.order.held == 0)
        taker.take(8)
        taker.take(20)
        #expect(taker.opened == [1, 3, 4, 5, 6, 8] && taker.order.held == 1)
        taker.take(1 << 40)
        #expect(taker.opened.suffix(2) == [8, 20] && taker.order.held == 1)
        taker.releaseAll()
        #expect(taker.opened.last == 1 << 40 && taker.order.held == 0 && taker.order.heldOctets == 0)
    }

    /// The first payload may be any: nobody waits for what an earlier end took.
    @Test func aLateStartWaitsForNothing() {
        let taker = Taker()
        taker.take(1000)
        #expect(taker.opened == [1000])
        let early = Taker()
        early.take(2)
        early.take(1)
        #expect(early.opened == [1, 2])
    }

    @Test func memoryIsBounded() {
        let taker = Taker(window: 255)
        for sequence in 2...200 as ClosedRange<UInt64> {
            taker.take(sequence, count: 60_000)
            #expect(taker.order.heldOctets <= PayloadOrder.mostOctets)
            #expect(taker.order.heldOctets == taker.order.held * 60_000)
        }
        #expect(taker.opened == Array(2...UInt64(taker.opened.count + 1)) && taker.opened.count > 100)
    }

    /// A number twice, at the end of all numbers, and those of payloads that hold nothing.
    @Test func strangeNumbersDoNoHarm() {
        let taker = Taker()
        taker.take(1)
        taker.take(3)
        taker.take(3)
        #expect(taker.order.held == 1)
        taker.take(2, count: 0)
        #expect(taker.opened == [1, 3])
        taker.take(.max)
        taker.take(.max - 1)
        taker.releaseAll()
        #expect(taker.order.held == 0)
    }

    /// Everything comes out once, in order but for what came too late, whatever the network does.
    @Test func nothingIsLostOrDoubled() {
        for seed in 0..<50 as Range<UInt64> {
            var random = Randomness.seeded(seed)
            let taker = Taker(window: 1 + Int(random.below(8)))
            var sequences = (1...200 as ClosedRange<UInt64>).filter { _ in random.below(10) != 0 }
            for index in stride(from: 0, to: sequences.count - 5, by: 2) {
                sequences.swapAt(index, index + Int(random.below(5)))
            }
            var now = start
            for sequence in sequences {
                now = now + .microseconds(Int64(random.below(3000)))
                taker.release(at: now)
                taker.take(sequence, count: 1 + Int(random.below(4000)), at: now)
                if let deadline = taker.order.deadline { #expect(now < deadline) }
            }
            taker.release(at: now + Self.patience)
            #expect(taker.order.held == 0 && taker.opened.sorted() == sequences.sorted(), "seed \(seed)")
        }
    }
}

// MARK: Through ESP

extension PayloadOrderTests {
    private func pair(_ change: (inout Aggregation) -> Void) -> AssociationPair {
        var aggregation = Aggregation()
        aggregation.packetOctets = 500
        change(&aggregation)
        return AssociationPair(window: 4096).changed { $0.aggregation = aggregation }
    }

    private func numbered(_ count: Int, payload: Int) -> [[UInt8]] {
        (0..<count).map { packet(sourcePort: UInt16($0), payload: payload) }
    }

    @Test func packetsComeOutInOrder() throws {
        let ends = engines(pair { $0.dropTime = Self.patience })
        let sent = numbered(40, payload: 300)
        var sealed = try ends.west.sealTogether(sent, now: start).map { try octets($0) }
        #expect(sealed.count > 20)
        for index in stride(from: 1, to: sealed.count - 4, by: 4) { sealed.swapAt(index, index + 2) }
        let received = sealed.flatMap { ends.east.openAll($0, from: westEndpoint, now: start) }.compactMap(\.packet)
        #expect(received == sent && ends.east.nextRelease == nil)
        #expect(ends.east.dropCounters.nonzero == [:])
    }

    /// Packets behind a lost payload wait until the time has passed, and then all come that it did not hold a part of.
    @Test func aLossDelaysWhatFollows() throws {
        let ends = engines(pair { ($0.dropTime, $0.reorderWindow) = (Self.patience, 100) })
        let sent = numbered(12, payload: 300)
        let sealed = try ends.west.sealTogether(sent, now: start).map { try octets($0) }
        var received: [[UInt8]] = []
        for (index, octets) in sealed.enumerated() where index != 2 {
            received += ends.east.openAll(octets, from: westEndpoint, now: start).compactMap(\.packet)
        }
        let before = received.count
        #expect(before > 0 && before < 4)
        #expect(ends.east.nextRelease == start + Self.patience)
        #expect(ends.east.openHeld(now: start + Self.patience - .nanoseconds(1)) == [])
        received += ends.east.openHeld(now: start + Self.patience).compactMap(\.packet)
        #expect(received == sent.filter { received.contains($0) } && received.count >= sent.count - 3)
        #expect(ends.east.nextRelease == nil)
        // The one that was late still gives what it holds whole, or completes.
        let late = ends.east.openAll(sealed[2], from: westEndpoint, now: start + .seconds(1)).compactMap(\.packet)
        #expect(late.allSatisfy { !received.contains($0) })
        #expect(Set(received + late) == Set(sent))
    }

    /// A dummy packet takes a number, for which nobody waits in vain.
    @Test func dummiesHaveTheirTurn() throws {
        let ends = engines(pair { $0.dropTime = Self.patience })
        let (first, second) = (packet(payload: 10), packet(payload: 20))
        let before = try octets(try #require(ends.west.sealTogether([first], now: start).first))
        let dummy = try octets(ends.west.sealDummy(for: first, count: 100))
        let after = try octets(try #require(ends.west.sealTogether([second], now: start).first))
        #expect(ends.east.openAll(before, from: westEndpoint, now: start).compactMap(\.packet) == [first])
        #expect(ends.east.openAll(after, from: westEndpoint, now: start) == [])
        let opened = ends.east.openAll(dummy, from: westEndpoint, now: start)
        #expect(opened.first == .dropped(.dummy) && opened.compactMap(\.packet) == [second])
    }

    @Test func anSAThatGoesTakesItsDeadlineAlong() throws {
        let pair = pair { $0.dropTime = Self.patience }
        let ends = engines(pair)
        let sealed = try ends.west.sealTogether(numbered(3, payload: 300), now: start).map { try octets($0) }
        _ = ends.east.openAll(try #require(sealed.last), from: westEndpoint, now: start)
        #expect(ends.east.nextRelease != nil)
        ends.east.remove(pair.east.spi, .inbound, of: ChildID(1))
        #expect(ends.east.nextRelease == nil && ends.east.openHeld(now: start + .seconds(9)) == [])
    }
}

// MARK: Senders

extension PayloadOrderTests {
    /// Few packets wait for more, and go together.
    @Test func aPayloadWaitsForMorePackets() throws {
        let ends = engines(pair { $0.initialDelay = .microseconds(500) })
        let sent = numbered(3, payload: 20)
        #expect(ends.west.sealTogether([sent[0]], now: start) == [])
        #expect(ends.west.sealTogether([sent[1]], now: start + .microseconds(499)) == [])
        let sealed = ends.west.sealTogether([sent[2]], now: start + .microseconds(500)).compactMap(\.octets)
        #expect(sealed.count == 1, "counted from the first packet")
        let opened = ends.east.openAll(try #require(sealed.first), from: westEndpoint, now: start).compactMap(\.packet)
        #expect(opened == sent)
    }

    @Test func fullPayloadsWaitForNothing() throws {
        var aggregation = Aggregation()
        aggregation.initialDelay = .milliseconds(3)
        let aggregator = Aggregator(aggregation, capacity: 100)
        var made: [Int] = []
        func add(_ octets: [UInt8], at now: Instant) {
            octets.withUnsafeBytes { aggregator.add($0.baseAddress!, $0.count, now: now) { made.append($1) } }
        }
        add(packet(payload: 12), at: start)
        #expect(made == [] && aggregator.deadline == start + .milliseconds(3))
        // 40 octets and 60 fill the first two payloads; the rest begins a third, with a time of its own.
        add(packet(payload: 142), at: start + .milliseconds(2))
        #expect(made == [100, 100] && aggregator.deadline == start + .milliseconds(5))
        aggregator.finish(at: start + .milliseconds(5) - .nanoseconds(1)) { made.append($1) }
        #expect(made == [100, 100] && aggregator.isOpen)
        aggregator.finish(at: start + .milliseconds(5)) { made.append($1) }
        #expect(made == [100, 100, 22] && !aggregator.isOpen && aggregator.deadline == nil)
        // Who must not wait does not.
        add(packet(payload: 12), at: start)
        aggregator.finish { made.append($1) }
        #expect(made == [100, 100, 22, 44] && aggregator.deadline == nil)
        // With a rate each has its turn, and there is nothing to wait for.
        aggregation.packetRate = 10
        let paced = Aggregator(aggregation, capacity: 100)
        packet(payload: 12).withUnsafeBytes { paced.add($0.baseAddress!, $0.count, now: start) { _, _ in } }
        #expect(paced.deadline == nil)
    }
}
