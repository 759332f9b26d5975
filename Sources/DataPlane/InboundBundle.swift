import IPsec
import Primitives

/// What one genuine ESP packet with an AGGFRAG payload holds, before its inner packets are looked at.
package struct InboundBundle {
    /// Kept by the plane until it is opened.
    unowned(unsafe) let association: InboundAssociation
    let payload: UnsafeMutableRawPointer
    let count: Int
    let sequence: UInt64
    let trafficClass: UInt8
    let now: Instant
}

extension InboundPlane {
    /// Tells of each inner packet of a bundle, and of those that it completes. Drops are counted.
    ///
    /// SAFETY: the ESP packet is where it was, no SA was taken away since, and there is ``hasRoom``: at most two packets are put
    /// together.
    package func unpack(_ bundle: InboundBundle, _ body: (Outcome) -> Void) {
        let association = bundle.association
        guard let disaggregator = association.disaggregator else { return }
        association.meter?.note(
            sequence: bundle.sequence, information: CongestionInformation(bundle.payload, bundle.count),
            isMarked: bundle.trafficClass & 3 == 3, now: bundle.now)
        let isValid = disaggregator.take(
            bundle.payload, bundle.count, sequence: bundle.sequence, room: { arena.next },
            deliver: { packet, count, isMoved in
                var outcome = InboundAssociation.Outcome()
                association.deliver(packet, count, bundle, isMoved: isMoved, arena, &outcome)
                body(finish(outcome, association, bundle.association.remote, bundle.now))
            })
        if !isValid { body(drop(.malformed)) }
    }
}
