import Control
import KeyManagement
import Platform
import Primitives

/// The daemon's state in numbers, as vici's `stats` answers: every key that `swanctl --stats` prints, and Parley's own
/// counters behind them.
enum StatisticsMessage {
    static func message(_ loop: ControlLoop) -> ViciMessage {
        var answer = ViciMessage()
        var uptime = ViciMessage()
        uptime.add("running", duration((Clock.now() - loop.started).wholeSeconds))
        uptime.add("since", loop.startDate)
        answer.add("uptime", section: uptime)
        answer.add("workers", section: workers(loop.plane.workerCount))
        answer.add("queues", section: priorities(high: loop.inboxDepth))
        answer.add("scheduled", loop.scheduledCount)
        let counts = loop.manager.sessionCounts
        var associations = ViciMessage()
        associations.add("total", counts.all)
        associations.add("half-open", counts.halfOpen)
        answer.add("ikesas", section: associations)
        answer.add("plugins", list: parts)
        let memory = Machine.memory
        var allocator = ViciMessage()
        allocator.add("sbrk", memory.grown)
        allocator.add("mmap", memory.mapped)
        allocator.add("used", memory.used)
        allocator.add("free", memory.free)
        answer.add("mallinfo", section: allocator)
        let counters = loop.manager.counters
        var messages = ViciMessage()
        messages.add("malformed", counters.malformed)
        messages.add("unknown-spi", counters.unknownSPI)
        messages.add("not-admitted", counters.notAdmitted)
        messages.add("challenged", counters.challenged)
        answer.add("messages", section: messages)
        var drops = ViciMessage()
        for (reason, count) in loop.plane.dropCounters.nonzero.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            drops.add("\(reason)", count)
        }
        answer.add("drops", section: drops)
        return answer
    }

    /// What is built in; there is nothing to load.
    private static let parts = ["isakmp", "oakley", "skeme", "ipsec-doi", "ikev1", "ikev2", "userspace-esp", "vici"]

    /// The threads: those that carry packets, which wait for them, and the one that answers just now.
    private static func workers(_ carriers: Int) -> ViciMessage {
        var section = ViciMessage()
        section.add("total", carriers + 1)
        section.add("idle", carriers)
        section.add("active", section: priorities(high: 1))
        return section
    }

    /// charon's four classes of urgency; the control loop has one queue, and one thread that empties it.
    private static func priorities(high: Int) -> ViciMessage {
        var section = ViciMessage()
        section.add("critical", 0)
        section.add("high", high)
        section.add("medium", 0)
        section.add("low", 0)
        return section
    }

    /// `2 days`, in the largest unit of which there are two or more, as charon says it.
    static func duration(_ seconds: Int64) -> String {
        for (unit, name) in [(Int64(86_400), "days"), (3600, "hours"), (60, "minutes")] where seconds >= 2 * unit {
            return "\(seconds / unit) \(name)"
        }
        return seconds == 1 ? "1 second" : "\(seconds) seconds"
    }
}
