import AllocationCounter
import Primitives
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(2))) struct HandOverTests {
    private func desks(_ count: Int) -> (mailboxes: [Mailbox], desks: [HandOver.Desk]) {
        let mailboxes = (0..<count).map { _ in Mailbox() }
        let all = HandOver(mailboxes)
        return (mailboxes, (0..<count).map { all.desk(of: $0) })
    }

    private func octets(_ number: Int, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ number) }
    }

    private func give(_ desk: HandOver.Desk, _ packet: [UInt8], to receiver: Int, from: Endpoint) -> Bool {
        packet.withUnsafeBytes {
            desk.give($0.baseAddress!, count: $0.count, to: receiver, from: from, trafficClass: UInt8($0.count & 0xFF))
        }
    }

    /// Packets of many sizes, several times the ring's memory, come out as they went in.
    @Test func packetsComeInOrderAndWhole() {
        let (_, desks) = desks(3)
        let from = Endpoint(IPAddress("fd00::7")!, port: 4500)
        var number = 0
        for round in 0..<200 {
            var expected: [[UInt8]] = []
            for _ in 0..<(round % 5 + 1) {
                number += 1
                let packet = octets(number, (number * 7919) % 65_000 + 1)
                #expect(give(desks[2], packet, to: 0, from: from))
                expected.append(packet)
            }
            var received: [[UInt8]] = []
            let mayHaveMore = desks[0].receive(most: 100) { packet in
                received.append(Array(UnsafeRawBufferPointer(start: packet.octets, count: packet.count)))
                #expect(packet.from == from)
                #expect(packet.trafficClass == UInt8(packet.count & 0xFF))
                return true
            }
            #expect(!mayHaveMore)
            #expect(received == expected)
            desks[0].release()
        }
    }

    @Test func aFullRingTakesNothingUntilItsMemoryIsGivenBack() {
        let (_, desks) = desks(2)
        let from = Endpoint(loopback, port: 1)
        let packet = octets(1, 60_000)
        var taken = 0
        while give(desks[0], packet, to: 1, from: from) { taken += 1 }
        #expect((10...17).contains(taken))
        #expect(give(desks[1], packet, to: 0, from: from), "the other way is another ring")
        var received = 0
        #expect(
            desks[1].receive(most: 4) { _ in
                received += 1; return true
            })
        #expect(received == 4)
        #expect(!give(desks[0], packet, to: 1, from: from), "they are in use")
        desks[1].release()
        #expect(give(desks[0], packet, to: 1, from: from))
        received = 0
        #expect(
            !desks[1].receive(most: 100) { _ in
                received += 1; return true
            })
        #expect(received == taken - 3)
    }

    /// Two threads, one of which sleeps whenever there is nothing: no packet is lost, and no wake-up.
    @Test func threadsLoseNoPacketAndNoWakeUp() {
        let mailboxes = [Mailbox(), Mailbox()]
        let all = HandOver(mailboxes)
        let count = 200_000
        // SAFETY: written by one thread, read by another after it has joined the first.
        nonisolated(unsafe) var wrong = 0
        let reader = Worker { [mailboxes] in
            let desk = all.desk(of: 1)
            var next = 0
            while next < count {
                _ = Poller.wait([.init(mailboxes[1].wakeup.descriptor)], milliseconds: -1)
                mailboxes[1].wakeup.clear()
                var mayHaveMore = true
                while mayHaveMore {
                    mailboxes[1].answer()
                    mayHaveMore = desk.receive(most: 16) { packet in
                        let number = packet.octets.load(as: Int.self)
                        if number != next || packet.count != 8 + number % 1500 { wrong += 1 }
                        next += 1
                        return true
                    }
                    desk.release()
                }
            }
        }
        let desk = all.desk(of: 0)
        var buffer = [UInt8](repeating: 0, count: 1600)
        for number in 0..<count {
            buffer.withUnsafeMutableBytes { octets in
                octets.storeBytes(of: number, as: Int.self)
                while !desk.give(octets.baseAddress!, count: 8 + number % 1500, to: 1) { desk.knock() }
            }
            if number % 16 == 15 { desk.knock() }
        }
        desk.knock()
        reader.join()
        #expect(wrong == 0)
    }

    @Test func handingOverAllocatesNothing() {
        guard parley_allocations_are_counted() != 0 else { return }
        let (_, desks) = desks(2)
        let packet = octets(1, 1400)
        var octetsSeen = 0
        func carry(_ rounds: Int) {
            for _ in 0..<rounds {
                packet.withUnsafeBytes { packet in
                    for _ in 0..<32 { _ = desks[0].give(packet.baseAddress!, count: packet.count, to: 1) }
                }
                desks[0].knock()
                _ = desks[1].receive(most: 64) { packet in
                    octetsSeen += packet.count
                    return true
                }
                desks[1].release()
            }
        }
        carry(2)
        let before = parley_allocation_count()
        carry(100)
        #expect(parley_allocation_count() == before)
        #expect(octetsSeen == 102 * 32 * 1400)
    }

    @Test func policiesAreSharedOutAndStayWhereTheyAre() {
        var shares = WorkerShares(workers: 2)
        func take(_ request: UInt32) -> Int { shares.take(request, isOutbound: false).worker }
        #expect([7, 8, 9, 10].map(take) == [0, 1, 0, 1])
        // A rekeying: the new SA comes before the old one goes.
        #expect(take(7) == 0)
        shares.release(7, isOutbound: false)
        #expect(take(7) == 0)
        for request in [UInt32(8), 10] { shares.release(request, isOutbound: false) }
        #expect(take(11) == 1)
        #expect(take(12) == 1)
        shares.release(99, isOutbound: false)
        #expect(take(13) == 0)
    }

    @Test func successorsOfOutboundSAsAreKnown() {
        var shares = WorkerShares(workers: 2)
        func take(_ request: UInt32, _ isOutbound: Bool) -> Bool {
            shares.take(request, isOutbound: isOutbound).isShared
        }
        func release(_ isOutbound: Bool) -> Bool { shares.release(7, isOutbound: isOutbound) }
        #expect([false, true, false, true].map { take(7, $0) } == [false, false, false, true])
        #expect(!take(8, true))
        // The older pair goes; then the newer one, behind which nobody stands.
        #expect([false, true, true, false].map(release) == [true, true, false, false])
    }
}
