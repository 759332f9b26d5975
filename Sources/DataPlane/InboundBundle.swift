package import IPsec
package import Primitives

/// What one genuine ESP packet with an AGGFRAG payload holds, before its inner packets are looked at.
package struct InboundBundle {
    /// Kept by the plane until it is opened.
    unowned(unsafe) let association: InboundAssociation
    let payload: UnsafeMutableRawPointer
    let count: Int
    let sequence: UInt64
    let trafficClass: UInt8
    let now: Instant
    /// It holds nothing and only has its number (RFC 4303 §2.6).
    var isDummy = false
}

extension InboundBundle {
    fileprivate init(_ payload: PayloadOrder.Payload, _ association: InboundAssociation, _ now: Instant) {
        self.init(
            association: association, payload: payload.octets, count: payload.count, sequence: payload.sequence,
            trafficClass: payload.trafficClass, now: now)
    }
}

extension InboundPlane {
    /// Tells of each inner packet of a bundle, and of those that it completes, or, where the SA keeps the order of payloads, of
    /// those whose turn it is by it. Drops are counted. `settle` is called where memory of packets that `body` has heard of is
    /// needed again: what is left of them must be used up, and forgotten with ``forgetPackets()``.
    ///
    /// SAFETY: the ESP packet is where it was, and no SA was taken away since.
    package func unpack(_ bundle: InboundBundle, settle: () -> Void, _ body: (Outcome) -> Void) {
        let association = bundle.association
        if !bundle.isDummy {
            association.meter?.note(
                sequence: bundle.sequence, information: CongestionInformation(bundle.payload, bundle.count),
                isMarked: bundle.trafficClass & 3 == 3, now: bundle.now)
        }
        guard let order = association.order else { return open(bundle, settle, body) }
        if bundle.isDummy { body(drop(.dummy)) }
        order.take(
            PayloadOrder.Payload(
                octets: bundle.payload, count: bundle.isDummy ? 0 : bundle.count, sequence: bundle.sequence,
                trafficClass: bundle.trafficClass),
            now: bundle.now, settle: settle, open: { open(InboundBundle($0, association, bundle.now), settle, body) })
        if order.held > 0, !holding.contains(where: { $0 === association }) { holding.append(association) }
    }

    /// When ``release(at:settle:_:)`` has something to do; `nil` while no payload waits.
    package var nextRelease: Instant? {
        holding.isEmpty ? nil : holding.lazy.compactMap { $0.order?.deadline }.min()
    }

    /// Tells of the packets in payloads that have waited long enough for those before them; as ``unpack(_:settle:_:)``.
    package func release(at now: Instant, settle: () -> Void, _ body: (Outcome) -> Void) {
        guard !holding.isEmpty else { return }
        for association in holding {
            association.order?.release(at: now, settle: settle) {
                open(InboundBundle($0, association, now), settle, body)
            }
        }
        holding.removeAll { $0.order?.held == 0 }
    }

    /// The same for all that waits in an SA, which is about to go.
    package func releaseAll(
        _ spi: SPI, of child: ChildID, now: Instant, settle: () -> Void, _ body: (Outcome) -> Void
    ) {
        for association in holding where association.spi == spi && association.child == child {
            association.order?.releaseAll(settle: settle) { open(InboundBundle($0, association, now), settle, body) }
        }
        holding.removeAll { $0.order?.held == 0 }
    }

    /// Looks into a payload. At most two packets are put together.
    private func open(_ bundle: InboundBundle, _ settle: () -> Void, _ body: (Outcome) -> Void) {
        let association = bundle.association
        guard let disaggregator = association.disaggregator else { return }
        if !hasRoom { settle() }
        let isValid = disaggregator.take(
            bundle.payload, bundle.count, sequence: bundle.sequence, room: { arena.next },
            deliver: { packet, count, isMoved in
                var (view, outcome) = (PacketView(), InboundAssociation.Outcome())
                association.deliver(packet, count, bundle, isMoved: isMoved, arena, &view, &outcome)
                body(finish(outcome, view, association, bundle.association.remote, bundle.now))
            })
        if !isValid { body(drop(.malformed)) }
    }
}
