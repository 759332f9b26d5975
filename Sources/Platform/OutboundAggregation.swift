import DataPlane
import IPsec
import Primitives

/// Packets that share payloads (RFC 9347).
extension OutboundWorker {
    /// Lets `write` make an inner packet, and puts it into a payload; those that are full by it go into the batch.
    func aggregate(
        _ octets: Int, _ association: OutboundAssociation, _ now: Instant, write: (UnsafeMutableRawPointer) -> Void
    ) {
        guard let aggregator = association.aggregator, plane.admit(octets, to: association, now: now) else { return }
        write(scratch)
        aggregator.add(scratch, octets, now: now) { put(payload: $0, $1, association) }
        guard aggregator.isOpen, aggregator.packetRate == 0 else { return }
        if !begun.contains(where: { $0 === association }) { begun.append(association) }
    }

    /// Sends payloads as far as they are filled: no more packets are there for now. Those that may wait for some do so.
    func finishBegun() {
        guard !begun.isEmpty else { return }
        let now = Clock.now()
        for association in begun {
            association.aggregator?.finish(at: now) { put(payload: $0, $1, association) }
        }
        begun.removeAll { $0.aggregator?.isOpen != true }
    }

    /// Sends all payloads that are begun: SAs may go or change.
    func finishAll() {
        for association in begun { association.aggregator?.finish { put(payload: $0, $1, association) } }
        begun.removeAll(keepingCapacity: true)
    }

    /// For how long no payload that is begun is due; `nil` where none is.
    var untilFinished: Duration? {
        guard let next = begun.lazy.compactMap({ $0.aggregator?.deadline }).min() else { return nil }
        return next - Clock.now()
    }

    /// Sends what is due of SAs that have a constant rate.
    func keepPace() {
        let now = Clock.now()
        for index in paced.indices {
            let association = paced[index].association
            if let rate = association.meter?.packetRate(now: now) { paced[index].pace.rate = rate }
            for _ in 0..<paced[index].pace.due(at: now.nanoseconds) {
                association.aggregator?.next { put(payload: $0, $1, association) }
            }
            // Late ones are not later for each other.
            flush()
        }
    }

    /// A peer that wants to know what the path does is told twenty times a second at the least, as long as it sends.
    private static let reportPause = Duration.milliseconds(50)

    /// Tells peers that nothing was sent to of late.
    func report() {
        let now = Clock.now()
        for association in reporting
        where association.meter?.owesReport(after: Self.reportPause, now: now) == true {
            association.aggregator?.report { put(payload: $0, $1, association) }
            flush()
        }
    }

    /// Sends at once what waits for its turn in SAs that are to go or to change: a short burst tells less than a loss.
    func drain(_ child: ChildID, _ spi: SPI? = nil) {
        for (association, _) in paced
        where association.child == child && (spi == nil || association.spi == spi) {
            association.aggregator?.drain { put(payload: $0, $1, association) }
            flush()
        }
    }

    private func put(payload: UnsafeRawPointer, _ count: Int, _ association: OutboundAssociation) {
        guard let placement = association.payloadPlacement(count: count), placement.sealedOctets <= Self.maximumOctets
        else { return drops.count(.unsupported) }
        // Nothing of the packets inside shows outside (RFC 9347 §2.2.6); a payload is made for the path, and goes whole or in
        // pieces as the path has it.
        let start = place(placement.sealedOctets, association, 0, forbidsFragments: false)
        (start + placement.offset).copyMemory(from: payload, byteCount: count)
        if association.meter != nil {
            let rate = paced.first { $0.association === association }?.pace.rate ?? 0
            association.tell(in: start + placement.offset, rate: rate, now: Clock.now())
        }
        let outcome = plane.sealPayload(start, placement, with: association, deferring: true)
        guard outcome.dropped == nil else { return }
        if packets == 0 { head = nil }
        self.count(placement.sealedOctets, association, 0, forbidsFragments: false)
    }
}
