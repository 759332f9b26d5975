import Cryptography
package import IPsec
package import Primitives

/// The outbound half of the data plane: policy, numbers and sealing. Owned by one worker.
package final class OutboundPlane {
    // SAFETY (unchecked): one thread uses this object, and a lookup in the table does not come back to it.
    @exclusivity(unchecked) private var policies: PolicyTable
    private var children: [ChildID: [OutboundAssociation]] = [:]
    private let waiting = WaitingPackets()
    /// Since the first SA that carries later fragments.
    private var fragments: FragmentTable?
    private let drops: DropCounters
    private let report: (PlaneEvent) -> Void

    /// `report` hears of SAs that are nearly used up, and of packets that want one.
    package init(drops: DropCounters, worker: Int = 0, report: @escaping (PlaneEvent) -> Void) {
        policies = PolicyTable(worker: worker)
        self.drops = drops
        self.report = report
    }

    package var isEmpty: Bool { policies.isEmpty }

    package func insert(_ association: OutboundAssociation) {
        policies.insert(association)
        if association.carriesFragments, fragments == nil { fragments = FragmentTable() }
        children[association.child, default: []].removeAll { $0.spi == association.spi }
        children[association.child, default: []].append(association)
    }

    package func remove(_ spi: SPI, of child: ChildID) {
        guard let index = children[child]?.firstIndex(where: { $0.spi == spi }),
            let association = children[child]?.remove(at: index)
        else { return }
        if children[child]?.isEmpty == true { children[child] = nil }
        policies.remove(association)
    }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        for association in children[child] ?? [] {
            association.local = local
            association.remote = remote
        }
    }

    /// Makes payloads that packets share for outer packets of `octets`.
    package func resizePayloads(of child: ChildID, forPackets octets: Int) {
        for association in children[child] ?? [] { association.resizePayloads(forPackets: octets) }
    }

    package func insert(_ policy: SecurityPolicy) { policies.insert(policy) }

    /// Takes an entry without an SA away, and what waits for it.
    package func remove(_ policy: SecurityPolicy) {
        policies.remove(policy)
        drops.count(.noPolicy, UInt64(waiting.forget(policy)))
    }

    /// The SA for an inner packet (RFC 4301 §5.1); `nil` where it goes no further: no policy covers it, or one that
    /// discards, which is counted, or one that waits for an SA.
    ///
    /// SAFETY: the caller vouches for the packet that `view` describes, whole. With `packets` more than 1 it stands for
    /// as many segments.
    package func association(
        for view: PacketView, of packet: UnsafeRawPointer, packets: UInt64 = 1, now: Instant
    ) -> OutboundAssociation? {
        switch verdict(view, now) {
        case .protect(let association): return association
        case .none:
            // No entry has an error message that concerns what one has (RFC 4301 §6.2).
            if let flow = view.enclosedFlow(packet), case .protect(let association) = policies.verdict(for: flow),
                association.mode == .tunnel
            {
                return association
            }
            drops.count(.noPolicy, packets)
        case .other(let policy):
            switch policy.action {
            // Routes keep such packets away from the tunnel; one that comes all the same has nowhere to go.
            case .bypass: drops.count(.bypassed, packets)
            case .discard: drops.count(.discarded, packets)
            case .trap: hold(view, packet, packets, policy, now)
            }
        }
        return nil
    }

    /// What the policy says of a packet. Later fragments go where their first one went, where the SA carries them; without
    /// that, where something covers packets without ports (RFC 4301 §7).
    @inline(__always)
    private func verdict(_ view: PacketView, _ now: Instant) -> PolicyVerdict {
        guard view.isFragment, fragments != nil else { return policies.verdict(for: view.flow) }
        if view.flow.hasPorts {
            fragments?.note(view, now)
        } else if let flow = fragments?.flow(of: view, now),
            case .protect(let association) = policies.verdict(for: flow), association.carriesFragments
        {
            return .protect(association)
        }
        return policies.verdict(for: view.flow)
    }

    /// The SA for a flow, without counting anything.
    package func association(for flow: Flow) -> OutboundAssociation? { policies.association(for: flow) }

    private func hold(
        _ view: PacketView, _ packet: UnsafeRawPointer, _ packets: UInt64, _ policy: SecurityPolicy, _ now: Instant
    ) {
        // Segments are not kept: their sender repeats them.
        if packets > 1 || !waiting.keep(packet, view.octets, for: policy, now: now) {
            drops.count(.awaitsAssociation, packets)
        }
        if waiting.shouldAsk(for: policy, now: now) {
            report(.acquire(connection: policy.connection, child: policy.child))
        }
    }

    /// The packets that waited and now have an SA, oldest first. Those whose time is over are dropped and counted.
    package func takeReady(now: Instant) -> [[UInt8]] {
        guard !waiting.isEmpty else { return [] }
        let (ready, expired) = waiting.take(now: now) { octets in
            octets.withUnsafeBytes { buffer in
                guard let base = buffer.baseAddress, let view = PacketView(base, count: buffer.count) else {
                    return false
                }
                return policies.association(for: view.flow) != nil
            }
        }
        if expired > 0 { drops.count(.awaitsAssociation, UInt64(expired)) }
        return ready
    }

    /// Seals an inner packet in place. Drops are counted.
    ///
    /// SAFETY: the room that ``OutboundAssociation/seal(_:_:now:)`` asks for.
    package func seal(
        _ start: UnsafeMutableRawPointer, _ placement: Placement, with association: OutboundAssociation,
        deferring: Bool = false, now: Instant
    ) -> OutboundAssociation.Outcome {
        note(association.seal(start, placement, deferring: deferring, now: now), association)
    }

    /// Wraps a whole inner packet by copying it, as SAs need that are more than ESP. Drops are counted.
    ///
    /// SAFETY: the room that ``OutboundAssociation/wrap(_:view:into:now:)`` asks for.
    package func wrap(
        _ packet: UnsafeRawPointer, view: PacketView, with association: OutboundAssociation,
        into room: UnsafeMutableRawPointer, now: Instant
    ) -> OutboundAssociation.Outcome {
        note(association.wrap(packet, view: view, into: room, now: now), association)
    }

    /// Counts an inner packet in that goes into a payload with others. Drops are counted.
    package func admit(_ count: Int, to association: OutboundAssociation, now: Instant) -> Bool {
        note(association.admit(count, now: now), association).dropped == nil
    }

    /// Seals a payload in place. Drops are counted.
    ///
    /// SAFETY: the room that ``OutboundAssociation/sealPayload(_:_:deferring:)`` asks for.
    package func sealPayload(
        _ start: UnsafeMutableRawPointer, _ placement: Placement, with association: OutboundAssociation,
        deferring: Bool = false
    ) -> OutboundAssociation.Outcome {
        note(association.sealPayload(start, placement, deferring: deferring), association)
    }

    @inline(__always)
    private func note(
        _ outcome: OutboundAssociation.Outcome, _ association: OutboundAssociation
    ) -> OutboundAssociation.Outcome {
        if outcome.exhausted { report(.exhausted(association.child)) }
        if outcome.expired { report(.expired(association.child)) }
        if let reason = outcome.dropped { drops.count(reason) }
        return outcome
    }
}

/// The inbound half of the data plane: SA lookup, opening and selectors. Owned by one worker.
package final class InboundPlane {
    // SAFETY (unchecked): one thread uses this object, and a lookup in the table does not come back to it.
    @exclusivity(unchecked) private var associations = AssociationTable()
    /// Those with AH, by the SPI of that.
    private var headers = AssociationTable()
    let arena = PacketArena()
    /// SAs in which payloads wait for others.
    var holding: [InboundAssociation] = []
    private let deferred = DeferredPackets()
    private var early = EarlyPackets()
    /// Those with AH: from their IP header on.
    private var earlyHeaders = EarlyPackets()
    private let drops: DropCounters
    private let report: (PlaneEvent) -> Void

    /// `report` hears of traffic and of new endpoints.
    package init(drops: DropCounters, report: @escaping (PlaneEvent) -> Void) {
        self.drops = drops
        self.report = report
    }

    package func insert(_ association: InboundAssociation) {
        if association.hasESP { associations.insert(association, under: association.spi) }
        if let header = association.header { headers.insert(association, under: header.spi) }
    }

    /// We have offered this SPI: packets with it may come before its SA does.
    package func expect(_ spi: SPI) { early.expect(spi) }

    /// The same for packets with AH.
    package func expectHeader(_ spi: SPI) { earlyHeaders.expect(spi) }

    /// Packets that came before the SA that was inserted just now, to be opened next: those of ESP, and those with AH.
    package func takeEarly(
        _ association: SecurityAssociation, now: Instant
    ) -> (packets: [EarlyPackets.Packet], headers: [EarlyPackets.Packet]) {
        let (packets, lapsed) = early.take(association.spi, now: now)
        let headerSPI = association.authenticationHeader?.spi ?? association.spi
        let (headers, lapsedHeaders) = earlyHeaders.take(headerSPI, now: now)
        for _ in 0..<lapsed + lapsedHeaders { drops.count(.unknownSPI) }
        return (packets, headers)
    }

    package func remove(_ spi: SPI, of child: ChildID) {
        let header = (associations[spi].flatMap { $0.child == child ? $0 : nil })?.header?.spi ?? spi
        associations.remove(spi, of: child)
        headers.remove(header, of: child)
        holding.removeAll { $0.spi == spi && $0.child == child }
    }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        func move(_ association: InboundAssociation) {
            guard association.child == child else { return }
            association.local = local
            association.remote = remote
        }
        associations.forEach(move)
        headers.forEach(move)
    }

    package func contains(_ spi: SPI) -> Bool { associations[spi] != nil }

    /// An opened packet: where it is now, its headers and its SA. It stays there until what came in is overwritten, or
    /// ``forgetPackets()``.
    package struct Opened {
        package var packet: UnsafeMutableRawPointer
        package var view: PacketView
        package var child: ChildID
        package var spi: SPI
        /// The device's queue for it.
        package var queue: Int
    }

    package enum Outcome {
        case opened(Opened)
        case dropped(DropReason)
        /// Several packets, which ``unpack(_:settle:_:)`` tells of: before the SA or the octets go.
        case bundle(InboundBundle)
        /// ``openDeferred(now:_:)`` will tell.
        case deferred
        /// It waits for its SA.
        case early
    }

    /// Whether memory for another packet is left. Where it is not, the packets opened so far must be used up and
    /// forgotten.
    package var hasRoom: Bool { arena.hasRoom }

    /// Takes the memory of all packets opened so far back.
    package func forgetPackets() { arena.reset() }

    /// Opens an ESP packet in place. Drops are counted. `trafficClass` is what its outer IP header said. With `deferring`
    /// it may wait for others of its SA: then ``openDeferred(now:_:)`` must come before its octets are overwritten.
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `packet`, and for ``hasRoom``.
    package func open(
        _ packet: UnsafeMutableRawPointer, count: Int, from: Endpoint, trafficClass: UInt8 = 0,
        deferring: Bool = false, now: Instant
    ) -> Outcome {
        guard count >= ESP.headerOctets else { return drop(.malformed) }
        guard let association = associations[SPI(UnsafeRawPointer(packet).bigEndian32(at: 0))] else {
            return keep(packet, count, nil, from, trafficClass, now)
        }
        if deferring, association.prefersBatches, deferred.takes(association) {
            switch association.check(packet, count: count) {
            case .failure(let wrong): return drop(wrong.reason)
            case .success(let sequence):
                deferred.add(
                    association, PacketCipher.Work(packet: packet, count: count, sequence: sequence), from,
                    trafficClass)
                return .deferred
            }
        }
        var view = PacketView()
        let outcome = association.open(
            packet, count: count, from: from, trafficClass: trafficClass, arena: arena, now: now, &view)
        return finish(outcome, view, association, from, now)
    }

    /// Opens packets that came together, each of `size` octets but the last one, as far as their SAs carry nothing but IP
    /// packets and gain nothing from batches. `body` hears of each that is good: where it is, its headers and its SA. Drops
    /// are counted. The octets of all that were taken; the next packet wants ``open(_:count:from:trafficClass:deferring:now:)``.
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `packets`.
    package func openRun(
        _ packets: UnsafeMutableRawPointer, count: Int, size: Int, from: Endpoint, trafficClass: UInt8, now: Instant,
        _ body: (UnsafeMutableRawPointer, PacketView, InboundAssociation) -> Void
    ) -> Int {
        var offset = 0
        var view = PacketView()
        while count - offset >= ESP.headerOctets, size >= ESP.headerOctets {
            let spi = UnsafeRawPointer(packets).bigEndian32(at: offset)
            guard let association = associations[SPI(spi)], association.isPlain else { break }
            let isExpected = from == association.remote
            repeat {
                let packet = packets + offset
                let octets = min(size, count - offset)
                var outcome = InboundAssociation.Outcome()
                association.openPlain(
                    packet, count: octets, isExpected: isExpected, from: from, trafficClass: trafficClass, now: now,
                    &view, &outcome)
                if outcome.hasNews { tell(outcome, association, from, now) }
                if let inner = outcome.packet {
                    body(inner, view, association)
                } else {
                    drops.count(outcome.dropped ?? .malformed)
                }
                offset += octets
            } while count - offset >= ESP.headerOctets && UnsafeRawPointer(packets).bigEndian32(at: offset) == spi
        }
        return offset
    }

    @inline(never)
    private func keep(
        _ packet: UnsafeMutableRawPointer, _ count: Int, _ header: SPI?, _ from: Endpoint, _ trafficClass: UInt8,
        _ now: Instant
    ) -> Outcome {
        let octets = UnsafeRawBufferPointer(start: packet, count: count)
        let lapsed =
            if let header {
                earlyHeaders.keep(octets, of: header, from: from, trafficClass: trafficClass, now: now)
            } else {
                early.keep(
                    octets, of: SPI(UnsafeRawPointer(packet).bigEndian32(at: 0)), from: from,
                    trafficClass: trafficClass, now: now)
            }
        guard let lapsed else { return drop(.unknownSPI) }
        for _ in 0..<lapsed { drops.count(.unknownSPI) }
        return .early
    }

    /// Whether no packet waits.
    package var hasDeferred: Bool { deferred.count > 0 }
    /// Whether a packet like the last must wait until those before it are opened.
    package var isDeferralFull: Bool { deferred.isFull }

    /// Opens the packets that wait, at once, and tells of each in the order in which they came.
    ///
    /// SAFETY: as for ``open(_:count:from:trafficClass:deferring:now:)``. `body` makes room where ``hasRoom`` has become
    /// false.
    package func openDeferred(now: Instant, _ body: (Outcome) -> Void) {
        guard let association = deferred.association, deferred.count > 0 else { return }
        association.open(deferred.work.batch)
        var view = PacketView()
        for index in 0..<deferred.count {
            let work = deferred.work.batch[index]
            guard work.isDone else {
                _ = drop(.authenticationFailed)
                continue
            }
            let (from, trafficClass) = deferred.origin(index)
            let outcome = association.finish(
                work.packet, count: work.count, sequence: work.sequence, from: from, trafficClass: trafficClass,
                arena: arena, now: now, &view)
            body(finish(outcome, view, association, from, now))
        }
        deferred.clear()
    }

    /// Opens an IP packet that has AH (RFC 4302 §3.4). Drops are counted.
    ///
    /// SAFETY: as for ``open(_:count:from:trafficClass:now:)``; the packet begins with its IP header.
    package func openHeader(
        _ packet: UnsafeMutableRawPointer, count: Int, from: Endpoint, trafficClass: UInt8 = 0, now: Instant
    ) -> Outcome {
        guard let (offset, family) = AH.find(packet, count) else { return drop(.malformed) }
        let spi = SPI(UnsafeRawPointer(packet).bigEndian32(at: offset + 4))
        guard let association = headers[spi] else { return keep(packet, count, spi, from, trafficClass, now) }
        var view = PacketView()
        let outcome = association.openHeader(
            packet, offset: offset, count: count, family, from: from, trafficClass: trafficClass, arena: arena,
            now: now, &view)
        return finish(outcome, view, association, from, now)
    }

    func finish(
        _ outcome: InboundAssociation.Outcome, _ view: PacketView, _ association: InboundAssociation, _ from: Endpoint,
        _ now: Instant
    ) -> Outcome {
        if outcome.hasNews { tell(outcome, association, from, now) }
        if let reason = outcome.dropped { return drop(reason) }
        if let bundle = outcome.bundle { return .bundle(bundle) }
        guard let packet = outcome.packet else { return drop(.malformed) }
        return .opened(
            Opened(packet: packet, view: view, child: association.child, spi: association.spi, queue: association.queue)
        )
    }

    @inline(never)
    private func tell(
        _ outcome: InboundAssociation.Outcome, _ association: InboundAssociation, _ from: Endpoint, _ now: Instant
    ) {
        if outcome.reportsEndpoint { report(.mappingChanged(association.child, from)) }
        if outcome.reportsTraffic { report(.inboundTraffic(association.child, now)) }
        if outcome.exhausted { report(.exhausted(association.child)) }
        if outcome.expired { report(.expired(association.child)) }
    }

    func drop(_ reason: DropReason) -> Outcome {
        drops.count(reason)
        return .dropped(reason)
    }
}
