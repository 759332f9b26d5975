import IPsec
import Primitives
import Testing

@testable import DataPlane

/// What the ends of a tunnel with shared payloads tell each other of the path (RFC 9347 §6.1.2, RFC 5348).
@Suite struct CongestionControlTests {
    @Test func theHeaderIsTheRFCs() throws {
        var said = CongestionInformation()
        said.countsMarks = true
        said.packetsPerLoss = 0x0102_0304
        said.roundTrip = 1
        said.echoDelay = 3
        said.transmitDelay = 5
        said.value = 0xA1A2_A3A4
        said.echo = 0xB1B2_B3B4
        func octets(_ said: CongestionInformation) -> [UInt8] {
            var octets: [UInt8] = [1, 0xFF, 0x12, 0x34] + Array(repeating: 0, count: 20)
            octets.withUnsafeMutableBytes { if let base = $0.baseAddress { said.write(to: base) } }
            return octets
        }
        // 22 bits of 1, 21 of 3 and 21 of 5; the block offset is another's.
        #expect(
            octets(said) == [
                1, 1, 0x12, 0x34, 1, 2, 3, 4, 0, 0, 0x04, 0, 0, 0x60, 0, 5, 0xA1, 0xA2, 0xA3, 0xA4, 0xB1, 0xB2, 0xB3,
                0xB4,
            ])
        func read(_ octets: [UInt8]) -> CongestionInformation? {
            octets.withUnsafeBytes { buffer in buffer.baseAddress.flatMap { CongestionInformation($0, buffer.count) } }
        }
        #expect(read(octets(said)) == said)
        // What is larger than its field is as large as that.
        said.roundTrip = 1 << 40
        said.echoDelay = 1 << 40
        said.transmitDelay = 1 << 40
        said.isProbing = true
        let most = try #require(read(octets(said)))
        #expect(most.roundTrip == 0x3F_FFFF && most.echoDelay == 0x1F_FFFF && most.transmitDelay == 0x1F_FFFF)
        #expect(most.isProbing && most.value == said.value)
        #expect(read(Array(octets(said).dropLast())) == nil && read([0] + octets(said).dropFirst()) == nil)
    }

    /// Packets of these numbers arrive, a millisecond apart.
    private func history(_ numbers: [UInt64], roundTrip: Duration = .milliseconds(1), marked: UInt64? = nil) -> UInt32 {
        var history = LossHistory()
        for (index, number) in numbers.enumerated() {
            history.note(
                number, isMarked: number == marked, roundTrip: roundTrip, now: start + .milliseconds(index))
        }
        return history.packetsPerLoss
    }

    @Test func lossesAreCountedByEvents() {
        #expect(history(Array(1...500)) == 0)
        // One in a hundred.
        let some = history((1...1000 as ClosedRange<UInt64>).filter { !$0.isMultiple(of: 100) })
        #expect((95...105).contains(some), "\(some)")
        // Ten in a row are one event; with a round trip longer than the pauses, so are all that are near.
        #expect(history((1...1000).filter { !(500..<510).contains($0) }) >= 490)
        let near = history((1...1000).filter { $0 % 5 != 0 || $0 > 400 }, roundTrip: .seconds(10))
        #expect(near >= 490, "\(near)")
        // Two may overtake a packet, and three say that it is lost (RFC 5348 §5.1).
        #expect(history([1, 2, 4, 5, 3, 6, 7, 8, 9]) == 0)
        #expect(history([1, 2, 4, 5, 6, 3, 7, 8, 9]) > 0)
        // A mark is a loss.
        #expect(history(Array(1...100), marked: 50) > 0)
        // The same packet again, or nothing but one, is no news.
        #expect(history([7]) == 0 && history([7, 7, 7]) == 0)
    }

    @Test func theRateIsFair() {
        var rate = PacketRate(limit: 10_000)
        #expect(rate.packets == 8)
        var now = start
        // No loss: twice as many each round trip, up to the limit.
        for _ in 0..<5 {
            now = now + .milliseconds(100)
            rate.hear(packetsPerLoss: 0, roundTrip: .milliseconds(100), now: now)
        }
        #expect(rate.packets == 256)
        rate.hear(packetsPerLoss: 0, roundTrip: .milliseconds(100), now: now)
        #expect(rate.packets == 256, "not twice in a round trip")
        for _ in 0..<20 {
            now = now + .milliseconds(100)
            rate.hear(packetsPerLoss: 0, roundTrip: .milliseconds(100), now: now)
        }
        #expect(rate.packets == 10_000)
        // One loss in a hundred, a tenth of a second: RFC 5348 §3.1 gives 112 packets.
        rate.hear(packetsPerLoss: 100, roundTrip: .milliseconds(100), now: now)
        #expect(rate.packets == 112)
        rate.hear(packetsPerLoss: 1, roundTrip: .seconds(4), now: now)
        #expect(rate.packets == 1)
        // Silence halves it, again and again.
        rate.hear(packetsPerLoss: 100, roundTrip: .milliseconds(100), now: now)
        rate.expire(now + .seconds(1))
        #expect(rate.packets == 112)
        rate.expire(now + .seconds(2))
        #expect(rate.packets == 56)
        rate.expire(now + .seconds(4))
        #expect(rate.packets == 28)
    }

    /// Two ends, 30 ms apart, of which one asks: it learns the round trip, and what the other sees.
    @Test func theRoundTripIsMeasured() {
        var asking = Aggregation()
        asking.controlsCongestion = true
        asking.packetRate = 1000
        var asked = Aggregation()
        asked.reportsCongestion = true
        let (left, right) = (CongestionMeter(asking), CongestionMeter(asked))
        #expect(right.packetRate(now: start) == nil)
        #expect(left.packetRate(now: start) == 8)
        var now = start + .seconds(5000)
        for number in 1...200 as ClosedRange<UInt64> {
            let there = left.information(transmitDelay: .milliseconds(1), now: now)
            right.note(sequence: number, information: there, isMarked: false, now: now + .milliseconds(30))
            #expect(right.owesReport(after: .milliseconds(50), now: now + .milliseconds(80)))
            // It answers 7 ms later, and says so.
            let back = right.information(transmitDelay: .zero, now: now + .milliseconds(37))
            #expect(back.echo == there.value && back.echoDelay == 7000 && back.packetsPerLoss == 0)
            #expect(!right.owesReport(after: .zero, now: now + .milliseconds(80)))
            left.note(sequence: number, information: back, isMarked: false, now: now + .milliseconds(67))
            now = now + .milliseconds(100)
        }
        let said = left.information(transmitDelay: .zero, now: now)
        #expect(said.roundTrip == 60_000)
        #expect(left.packetRate(now: now) == 1000)
        // A peer that invents echoes changes nothing: its delays are longer than the time that passed.
        var lie = right.information(transmitDelay: .zero, now: now)
        (lie.echo, lie.echoDelay, lie.value) = (said.value, 0x1F_FFFF, 77)
        left.note(sequence: 201, information: lie, isMarked: false, now: now + .milliseconds(1))
        #expect(left.information(transmitDelay: .zero, now: now).roundTrip == 60_000)
    }

    @Test func payloadsCarryIt() throws {
        var aggregation = Aggregation()
        aggregation.packetOctets = 600
        aggregation.reportsCongestion = true
        let pair = AssociationPair(window: 4096).changed { $0.aggregation = aggregation }
        let (west, east) = (InlineEngine(), InlineEngine())
        west.install(pair.west)
        east.install(pair.east)
        let sent = (0..<30).map { packet(sourcePort: UInt16($0), payload: 20 + $0 * 40) }
        let sealed = west.sealTogether(sent, now: start).compactMap(\.octets)
        #expect(sealed.dropLast().allSatisfy { $0.count <= 600 - 28 && $0.count > 600 - 28 - 24 })
        let opened = sealed.flatMap { east.openAll($0, from: westEndpoint, now: start) }
        #expect(opened.compactMap { if case .opened(let packet, _, _) = $0 { packet } else { nil } } == sent)
        #expect(east.dropCounters.nonzero == [:])
        // Its packets are smaller for the header's sake.
        var plain = aggregation
        plain.reportsCongestion = false
        let without = Overhead(pair.changed { $0.aggregation = plain }.west)
        #expect(without.innerLimit(pathMTU: 600) - Overhead(pair.west).innerLimit(pathMTU: 600) == 20)
    }

    /// Without traffic of our own the peer is told in a payload of padding.
    @Test func aReportIsAPayloadOfItsOwn() {
        var aggregation = Aggregation()
        aggregation.reportsCongestion = true
        let aggregator = Aggregator(aggregation, capacity: 500)
        var payloads: [[UInt8]] = []
        aggregator.report { payloads.append(Array(UnsafeRawBufferPointer(start: $0, count: $1))) }
        #expect(payloads == [[1] + Array(repeating: 0, count: 27)])
        #expect(!aggregator.isOpen)
    }
}
