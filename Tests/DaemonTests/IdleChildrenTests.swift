import IPsec
import Primitives
import Testing

@testable import Daemon

/// `inactivity`.
@Suite struct IdleChildrenTests {
    private func remaining(installed: Int64, inbound: Int64?, outbound: Int64?, now: Int64) -> Duration? {
        func at(_ seconds: Int64) -> Instant { Instant(nanoseconds: seconds * 1_000_000_000) }
        func counters(_ use: Int64?) -> TrafficCounters { TrafficCounters(lastUse: use.map(at)) }
        return IdleChildren.remaining(
            .seconds(10), since: at(installed), (counters(inbound), counters(outbound)), now: at(now))
    }

    @Test func quietTimeIsCountedFromTheLastPacketInEitherDirection() {
        #expect(remaining(installed: 100, inbound: nil, outbound: nil, now: 104) == .seconds(6))
        #expect(remaining(installed: 100, inbound: nil, outbound: nil, now: 110) == nil)
        #expect(remaining(installed: 100, inbound: 105, outbound: nil, now: 110) == .seconds(5))
        #expect(remaining(installed: 100, inbound: 105, outbound: 108, now: 110) == .seconds(8))
        #expect(remaining(installed: 100, inbound: 109, outbound: 101, now: 119) == nil)
    }
}
