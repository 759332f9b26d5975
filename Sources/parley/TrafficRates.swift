import Control
import Primitives

/// The status table over time: what SAs carried between two looks.
struct TrafficRates {
    private struct Count {
        var inbound: UInt64
        var outbound: UInt64
    }

    private var before: [String: Count] = [:]
    private var then: Instant?

    /// The lines of the table, and behind them the rates of each child since the last call.
    mutating func lines(_ sessions: [ViciMessage], at now: Instant) -> [String] {
        var counts: [String: Count] = [:]
        var order: [String] = []
        for session in sessions {
            for (_, section) in session.sections {
                for (name, child) in section.section("child-sas")?.sections ?? [] {
                    func octets(_ key: String) -> UInt64 { child.text(key).flatMap { UInt64($0) } ?? 0 }
                    counts[name] = Count(inbound: octets("bytes-in"), outbound: octets("bytes-out"))
                    order.append(name)
                }
            }
        }
        var lines = sessions.isEmpty ? ["no SAs"] : StatusTable.lines(sessions)
        if let then {
            let seconds = max(Double((now - then).wholeNanoseconds) / 1e9, 0.001)
            func rate(_ old: UInt64, _ new: UInt64) -> String {
                let octets = new >= old ? Double(new - old) / seconds : 0
                return StatusTable.amount(String(UInt64(min(octets, 1e18)))) + "/s"
            }
            let known = order.filter { before[$0] != nil }
            if !known.isEmpty { lines += ["", "rates"] }
            for name in known {
                guard let old = before[name], let new = counts[name] else { continue }
                lines.append("  \(name)  in \(rate(old.inbound, new.inbound))  out \(rate(old.outbound, new.outbound))")
            }
        }
        before = counts
        then = now
        return lines
    }
}
