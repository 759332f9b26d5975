import IPsec
import Primitives

/// The first packets of flows whose SA is being negotiated (RFC 4301 §5.1 leaves it to us whether they are kept): a few for
/// each policy, for as long as a negotiation may take.
final class WaitingPackets {
    private static let maximumPackets = 16
    private static let maximumOctets = 64 * 1024
    /// For all policies together.
    private static let maximumPolicies = 256
    private static let patience = Duration.seconds(30)
    /// Between two requests for one SA.
    private static let askingPause = Duration.seconds(1)

    private struct Queue {
        var packets: [(octets: [UInt8], since: Instant)] = []
        var octets = 0
        var asked: Instant?
    }

    private var queues: [SecurityPolicy: Queue] = [:]

    var isEmpty: Bool { queues.isEmpty }

    /// Keeps a copy; false where there is no room.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    func keep(_ packet: UnsafeRawPointer, _ count: Int, for policy: SecurityPolicy, now: Instant) -> Bool {
        guard queues[policy] != nil || queues.count < Self.maximumPolicies else { return false }
        var queue = queues[policy] ?? Queue()
        defer { queues[policy] = queue }
        queue.packets.removeAll { packet in
            guard now - packet.since > Self.patience else { return false }
            queue.octets -= packet.octets.count
            return true
        }
        guard queue.packets.count < Self.maximumPackets, queue.octets + count <= Self.maximumOctets else {
            return false
        }
        queue.packets.append((Array(UnsafeRawBufferPointer(start: packet, count: count)), now))
        queue.octets += count
        return true
    }

    /// Whether an SA should be asked for now.
    func shouldAsk(for policy: SecurityPolicy, now: Instant) -> Bool {
        if queues[policy] == nil, queues.count < Self.maximumPolicies { queues[policy] = Queue() }
        guard queues[policy]?.asked.map({ now - $0 >= Self.askingPause }) ?? true else { return false }
        queues[policy]?.asked = now
        return true
    }

    /// Takes those out that `isReady`, and counts those whose time is over.
    func take(now: Instant, where isReady: ([UInt8]) -> Bool) -> (ready: [[UInt8]], expired: Int) {
        var ready: [[UInt8]] = []
        var expired = 0
        for (policy, queue) in queues {
            var rest = Queue()
            rest.asked = queue.asked
            for packet in queue.packets {
                if now - packet.since > Self.patience {
                    expired += 1
                } else if isReady(packet.octets) {
                    ready.append(packet.octets)
                } else {
                    rest.packets.append(packet)
                    rest.octets += packet.octets.count
                }
            }
            queues[policy] = rest.packets.isEmpty ? nil : rest
        }
        return (ready, expired)
    }

    /// Forgets all for a policy; how many that were.
    func forget(_ policy: SecurityPolicy) -> Int { queues.removeValue(forKey: policy)?.packets.count ?? 0 }
}
