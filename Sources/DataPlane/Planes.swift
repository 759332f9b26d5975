package import IPsec
package import Primitives

/// The outbound half of the data plane: policy, numbers and sealing. Owned by one worker.
package final class OutboundPlane {
    private var policies = PolicyTable()
    private let drops: DropCounters
    private let report: (PlaneEvent) -> Void

    /// `report` hears of SAs that are nearly used up.
    package init(drops: DropCounters, report: @escaping (PlaneEvent) -> Void) {
        self.drops = drops
        self.report = report
    }

    package var isEmpty: Bool { policies.isEmpty }

    package func insert(_ association: OutboundAssociation) { policies.insert(association) }

    package func remove(_ spi: SPI, of child: ChildID) { policies.remove(spi, of: child) }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        policies.forEach { association in
            guard association.child == child else { return }
            association.local = local
            association.remote = remote
        }
    }

    /// The SA for an inner packet (RFC 4301 §5.1); `nil`, counted, where no policy covers it.
    package func association(for flow: Flow, packets: UInt64 = 1) -> OutboundAssociation? {
        guard let association = policies.association(for: flow) else {
            drops.count(.noPolicy, packets)
            return nil
        }
        return association
    }

    /// Seals an inner packet in place. Drops are counted.
    ///
    /// SAFETY: the room that ``OutboundAssociation/seal(_:count:isV6:now:)`` asks for.
    package func seal(
        _ inner: UnsafeMutableRawPointer, count: Int, isV6: Bool, with association: OutboundAssociation, now: Instant
    ) -> OutboundAssociation.Outcome {
        let outcome = association.seal(inner, count: count, isV6: isV6, now: now)
        if outcome.exhausted { report(.exhausted(association.child)) }
        if let reason = outcome.dropped { drops.count(reason) }
        return outcome
    }
}

/// The inbound half of the data plane: SA lookup, opening and selectors. Owned by one worker.
package final class InboundPlane {
    private var associations = AssociationTable()
    private let drops: DropCounters
    private let report: (PlaneEvent) -> Void

    /// `report` hears of traffic and of new endpoints.
    package init(drops: DropCounters, report: @escaping (PlaneEvent) -> Void) {
        self.drops = drops
        self.report = report
    }

    package var count: Int { associations.count }

    package func insert(_ association: InboundAssociation) { associations.insert(association) }

    package func remove(_ spi: SPI, of child: ChildID) { associations.remove(spi, of: child) }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        associations.forEach { association in
            guard association.child == child else { return }
            association.local = local
            association.remote = remote
        }
    }

    package func contains(_ spi: SPI) -> Bool { associations[spi] != nil }

    /// An opened packet: its place, counted from the ESP header, its headers and its SA.
    package struct Opened {
        package var offset: Int
        package var view: PacketView
        package var child: ChildID
        package var spi: SPI
    }

    package enum Outcome {
        case opened(Opened)
        case dropped(DropReason)
    }

    /// Opens an ESP packet in place. Drops are counted. `trafficClass` is what its outer IP header said.
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `packet`.
    package func open(
        _ packet: UnsafeMutableRawPointer, count: Int, from: Endpoint, trafficClass: UInt8 = 0, now: Instant
    ) -> Outcome {
        guard count >= ESP.headerOctets else { return drop(.malformed) }
        guard let association = associations[SPI(UnsafeRawPointer(packet).bigEndian32(at: 0))] else {
            return drop(.unknownSPI)
        }
        let outcome = association.open(packet, count: count, from: from, now: now)
        if outcome.reportsEndpoint { report(.mappingChanged(association.child, from)) }
        if outcome.reportsTraffic { report(.inboundTraffic(association.child, now)) }
        if let reason = outcome.dropped { return drop(reason) }
        guard var view = outcome.view else { return drop(.malformed) }
        guard Congestion.combine(outer: trafficClass, packet + outcome.offset, &view) else { return drop(.congestion) }
        return .opened(
            Opened(offset: outcome.offset, view: view, child: association.child, spi: association.spi))
    }

    private func drop(_ reason: DropReason) -> Outcome {
        drops.count(reason)
        return .dropped(reason)
    }
}
