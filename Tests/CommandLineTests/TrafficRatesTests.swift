import Control
import Primitives
import Testing

@testable import parley

@Suite struct TrafficRatesTests {
    private func session(_ octets: Int) -> ViciMessage {
        var child: ViciMessage = [
            "name": "net", "uniqueid": "2", "bytes-in": "\(octets)", "bytes-out": "\(octets * 2)",
        ]
        child.add("reqid", 1)
        var children = ViciMessage()
        children.add("net-2", section: child)
        var body: ViciMessage = ["uniqueid": "1", "version": "2", "state": "ESTABLISHED"]
        body.add("child-sas", section: children)
        var message = ViciMessage()
        message.add("home", section: body)
        return message
    }

    @Test func ratesComeWithTheSecondLook() {
        var rates = TrafficRates()
        let first = rates.lines([session(1000)], at: Instant(nanoseconds: 0))
        #expect(!first.contains { $0.contains("/s") })
        let second = rates.lines([session(21_480)], at: Instant(nanoseconds: 2_000_000_000))
        #expect(second.last == "  net-2  in 10.0 KiB/s  out 20.0 KiB/s")
        // Counters of another SA, or of none, are no negative rates.
        let third = rates.lines([session(0)], at: Instant(nanoseconds: 3_000_000_000))
        #expect(third.last == "  net-2  in 0 B/s  out 0 B/s")
        #expect(rates.lines([], at: Instant(nanoseconds: 4_000_000_000)) == ["no SAs"])
    }
}
