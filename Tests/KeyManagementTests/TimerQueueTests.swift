import IPsec
import Primitives
import Testing

@testable import KeyManagement

@Suite struct TimerQueueTests {
    @Test func entriesComeOutByDeadline() {
        var randomness = Randomness.seeded(9)
        var queue = TimerQueue()
        var deadlines: [Int64] = []
        for _ in 0..<500 {
            let nanoseconds = Int64(randomness.below(1000))
            deadlines.append(nanoseconds)
            queue.insert(
                TimerQueue.Entry(
                    deadline: Instant(nanoseconds: nanoseconds), session: SessionID(1), timer: .liveness))
        }
        var popped: [Int64] = []
        while let earliest = queue.earliest, let entry = queue.popDue(at: earliest) {
            popped.append(entry.deadline.nanoseconds)
        }
        #expect(popped == deadlines.sorted())
        #expect(queue.count == 0)
    }

    @Test func nothingIsDueBeforeItsTime() {
        var queue = TimerQueue()
        queue.insert(
            TimerQueue.Entry(deadline: Instant(nanoseconds: 10), session: SessionID(1), timer: .keepalive))
        #expect(queue.popDue(at: Instant(nanoseconds: 9)) == nil)
        #expect(queue.popDue(at: Instant(nanoseconds: 10)) != nil)
    }
}
