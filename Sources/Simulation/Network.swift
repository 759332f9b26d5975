import IPsec
package import Primitives

/// How badly a network treats datagrams. Chances are per datagram, 0 to 1.
package struct NetworkFaults: Hashable, Sendable {
    package var loss: Double = 0
    package var duplication: Double = 0
    package var corruption: Double = 0
    /// The least and the most time a datagram takes; a wide span reorders.
    package var delay: ClosedRange<Duration> = .milliseconds(5)...(.milliseconds(5))

    package init() {}

    /// A network that only takes its time.
    package static let calm = NetworkFaults()

    /// Messages get lost, come twice and overtake one another, but never so often that an end gives the other up.
    package static var uneasy: NetworkFaults {
        var faults = NetworkFaults()
        faults.loss = 0.03
        faults.duplication = 0.2
        faults.delay = .milliseconds(1)...(.milliseconds(400))
        return faults
    }

    /// Everything arrives once, after up to 200 ms.
    package static var lossless: NetworkFaults {
        var faults = NetworkFaults()
        faults.delay = .milliseconds(1)...(.milliseconds(200))
        return faults
    }

    /// Faults drawn from a seed: from mild to severe.
    package static func drawn(from randomness: inout Randomness) -> NetworkFaults {
        var faults = NetworkFaults()
        faults.loss = randomness.fraction() * 0.4
        faults.duplication = randomness.fraction() * 0.3
        faults.corruption = randomness.fraction() * 0.1
        faults.delay = .milliseconds(1)...(.milliseconds(1) + .milliseconds(Int(randomness.below(1500))))
        return faults
    }
}

/// What travels between two nodes.
enum Parcel: Sendable {
    /// An IKE message.
    case message(Datagram)
    /// A protected packet, as the sender's data plane made it.
    case packet(Datagram)
}

/// The datagrams under way, earliest first.
struct Network: Sendable {
    var faults = NetworkFaults()
    /// What protected packets meet, where that is another fate than that of messages.
    var packetFaults: NetworkFaults?
    /// Nothing passes until then.
    var partitionedUntil: Instant?
    private var underWay: [(arrival: Instant, order: UInt64, parcel: Parcel)] = []
    private var order: UInt64 = 0

    var nextArrival: Instant? { underWay.first?.arrival }
    var isEmpty: Bool { underWay.isEmpty }

    /// Takes a parcel in; it arrives later, once, twice, damaged, or never.
    mutating func send(_ parcel: Parcel, now: Instant, _ randomness: inout Randomness) {
        if let partitionedUntil, now < partitionedUntil { return }
        var faults = self.faults
        if case .packet = parcel, let packetFaults { faults = packetFaults }
        if randomness.fraction() < faults.loss { return }
        let copies = randomness.fraction() < faults.duplication ? 2 : 1
        for _ in 0..<copies {
            let span = faults.delay.upperBound - faults.delay.lowerBound
            let arrival = now + faults.delay.lowerBound + span * randomness.fraction()
            let isDamaged = randomness.fraction() < faults.corruption
            enqueue(isDamaged ? Network.damaged(parcel, &randomness) : parcel, at: arrival)
        }
    }

    private mutating func enqueue(_ parcel: Parcel, at arrival: Instant) {
        order += 1
        var low = 0
        var high = underWay.count
        while low < high {
            let middle = (low + high) / 2
            if underWay[middle].arrival <= arrival { low = middle + 1 } else { high = middle }
        }
        underWay.insert((arrival, order, parcel), at: low)
    }

    mutating func popArrived(at now: Instant) -> Parcel? {
        guard let first = underWay.first, first.arrival <= now else { return nil }
        return underWay.removeFirst().parcel
    }

    private static func damaged(_ parcel: Parcel, _ randomness: inout Randomness) -> Parcel {
        func damage(_ datagram: Datagram) -> Datagram {
            var datagram = datagram
            guard !datagram.octets.isEmpty else { return datagram }
            if randomness.fraction() < 0.2 {
                datagram.octets.removeLast(Int(randomness.below(UInt64(datagram.octets.count))))
            } else {
                for _ in 0...randomness.below(4) {
                    let index = Int(randomness.below(UInt64(datagram.octets.count)))
                    datagram.octets[index] ^= 1 << UInt8(randomness.below(8))
                }
            }
            return datagram
        }
        switch parcel {
        case .message(let datagram): return .message(damage(datagram))
        case .packet(let datagram): return .packet(damage(datagram))
        }
    }
}
