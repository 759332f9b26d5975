package import IPsec
package import Primitives

/// The data plane without threads, sockets or devices: packets go in and come out as arrays. For the simulation, the
/// loopback demonstration and tests; the octets are those that the threaded engine makes.
package final class InlineEngine: IPsecEngine {
    /// What came of an inner packet.
    package enum SealResult: Hashable, Sendable {
        /// ESP octets, without UDP or IP headers, with the SA's endpoints; with AH the whole IP packet.
        case sealed(octets: [UInt8], child: ChildID, spi: SPI, local: Endpoint, remote: Endpoint)
        case dropped(DropReason)
    }

    /// What came of an ESP packet.
    package enum OpenResult: Hashable, Sendable {
        case opened(packet: [UInt8], child: ChildID, spi: SPI)
        case dropped(DropReason)
        /// A NAT keepalive (RFC 3948 §2.3).
        case keepalive
    }

    /// Octets of inner packet that `tfc_padding = mtu` pads to here.
    private static let mtu = 1400

    private final class Events {
        var pending: [PlaneEvent] = []
    }

    private struct Installed {
        var spi: SPI
        var direction: SecurityAssociation.Direction
        var counters: AssociationCounters
    }

    /// Dropped packets by reason.
    package let dropCounters = DropCounters()
    private let events = Events()
    /// One for each processor.
    private let outbounds: [OutboundPlane]
    private let inbound: InboundPlane
    private var installed: [ChildID: [Installed]] = [:]
    private var meters: [ChildID: CongestionMeter] = [:]

    /// `workers`: processors that seal, at least 1. Each uses the SA of its own where there are several for one policy, and
    /// hands packets over to that of the SA otherwise.
    package init(workers: Int = 1) {
        let (events, drops) = (events, dropCounters)
        outbounds = (0..<max(1, workers)).map { worker in
            OutboundPlane(drops: drops, worker: worker) { events.pending.append($0) }
        }
        inbound = InboundPlane(drops: dropCounters) { events.pending.append($0) }
    }

    /// Whether no SA is installed.
    package var isEmpty: Bool { installed.isEmpty }

    /// The events since the last call, oldest first.
    package func takeEvents() -> [PlaneEvent] {
        defer { events.pending = [] }
        return events.pending
    }

    package func install(_ association: SecurityAssociation) {
        install(association, sequence: 0)
    }

    /// Packets with this SPI may come before its SA: ``openEarly(_:now:)``.
    package func expect(_ spi: SPI) { inbound.expect(spi) }

    /// Opens packets of ESP that came before an SA, which is installed now.
    package func openEarly(_ association: SecurityAssociation, now: Instant) -> [OpenResult] {
        inbound.takeEarly(association, now: now).packets.map { packet in
            open(packet.octets) {
                inbound.open($0, count: $1, from: packet.from, trafficClass: packet.trafficClass, now: now)
            }
        }
    }

    /// As ``install(_:)``, with an outbound counter that stands at `sequence`; for tests of the counter's end.
    package func install(_ association: SecurityAssociation, sequence: UInt64) {
        let counters = AssociationCounters()
        let association = association.padded(toMTU: InlineEngine.mtu)
        if association.aggregation?.tellsOfCongestion == true, meters[association.child] == nil {
            meters[association.child] = CongestionMeter(association.aggregation)
        }
        let meter = meters[association.child]
        switch association.direction {
        case .outbound:
            let owner = association.resource % outbounds.count
            for (worker, outbound) in outbounds.enumerated() {
                outbound.insert(
                    OutboundAssociation(
                        association, counters: counters, sequence: sequence, owner: owner, isForeign: owner != worker,
                        meter: meter))
            }
        case .inbound: inbound.insert(InboundAssociation(association, counters: counters, meter: meter))
        }
        installed[association.child, default: []].removeAll {
            $0.spi == association.spi && $0.direction == association.direction
        }
        installed[association.child, default: []].append(
            Installed(spi: association.spi, direction: association.direction, counters: counters))
    }

    package func remove(_ spi: SPI, _ direction: SecurityAssociation.Direction, of child: ChildID) {
        switch direction {
        case .outbound: for outbound in outbounds { outbound.remove(spi, of: child) }
        case .inbound: inbound.remove(spi, of: child)
        }
        installed[child]?.removeAll { $0.spi == spi && $0.direction == direction }
        if installed[child]?.isEmpty == true {
            installed[child] = nil
            meters[child] = nil
        }
    }

    /// An SPD entry without an SA.
    package func install(_ policy: SecurityPolicy) { for outbound in outbounds { outbound.insert(policy) } }

    package func remove(_ policy: SecurityPolicy) { for outbound in outbounds { outbound.remove(policy) } }

    /// The packets that waited for an SA which is there now, sealed.
    package func sealWaiting(now: Instant) -> [SealResult] {
        outbounds.flatMap { $0.takeReady(now: now) }.map { seal($0, now: now) }
    }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        for outbound in outbounds { outbound.move(child, local: local, remote: remote) }
        inbound.move(child, local: local, remote: remote)
    }

    package func counters(of child: ChildID) -> (inbound: TrafficCounters, outbound: TrafficCounters)? {
        guard let installed = installed[child] else { return nil }
        return installed.reduce(into: (inbound: TrafficCounters(), outbound: TrafficCounters())) { sum, entry in
            switch entry.direction {
            case .inbound: sum.inbound = sum.inbound + entry.counters.snapshot
            case .outbound: sum.outbound = sum.outbound + entry.counters.snapshot
            }
        }
    }

    /// Looks the packet's policy up and wraps it (RFC 4301 §5.1). `worker`: the processor that has the packet.
    package func seal(_ packet: [UInt8], worker: Int = 0, now: Instant) -> SealResult {
        guard
            let view = packet.withUnsafeBytes({ octets in
                octets.baseAddress.flatMap { PacketView($0, count: octets.count) }
            })
        else { return drop(.malformed) }
        var outbound = outbounds[worker % outbounds.count]
        func find() -> OutboundAssociation? {
            packet.withUnsafeBytes { octets in
                // SAFETY: the view was made of these octets.
                octets.baseAddress.flatMap { outbound.association(for: view, of: $0, now: now) }
            }
        }
        var found = find()
        if let owner = found?.owner, owner != worker % outbounds.count {
            outbound = outbounds[owner]
            found = find()
        }
        guard let association = found else { return .dropped(.noPolicy) }
        var buffer: [UInt8]
        let outcome: OutboundAssociation.Outcome?
        if association.aggregator != nil { return sealAlone(packet, view, association, now: now) }
        if association.isPlain {
            guard let placement = association.placement(view, count: view.octets) else { return drop(.unsupported) }
            buffer = [UInt8](repeating: 0, count: placement.sealedOctets)
            buffer.replaceSubrange(
                placement.offset..<(placement.offset + placement.innerOctets),
                with: packet[placement.skippedOctets..<view.octets])
            outcome = buffer.withUnsafeMutableBytes { octets in
                // SAFETY: the buffer has the placement's size, and the inner octets in their place.
                octets.baseAddress.map { outbound.seal($0, placement, with: association, now: now) }
            }
        } else {
            buffer = [UInt8](repeating: 0, count: OutboundAssociation.wrapOctets(view.octets))
            outcome = buffer.withUnsafeMutableBytes { octets in
                packet.withUnsafeBytes { inner in
                    // SAFETY: the buffer has the room asked for, and the packet was looked at above.
                    guard let room = octets.baseAddress, let inner = inner.baseAddress else { return nil }
                    return outbound.wrap(inner, view: view, with: association, into: room, now: now)
                }
            }
        }
        guard let outcome else { return drop(.malformed) }
        if let reason = outcome.dropped { return .dropped(reason) }
        buffer = Array(buffer[outcome.start..<(outcome.start + outcome.octets)])
        return .sealed(
            octets: buffer, child: association.child, spi: association.spi, local: association.local,
            remote: association.remote)
    }

    /// Opens an ESP packet (RFC 4301 §5.2), the payload of a UDP datagram or of IP protocol 50. `trafficClass` is what
    /// the outer IP header said.
    package func open(
        _ esp: [UInt8], from: Endpoint, to: Endpoint, trafficClass: UInt8 = 0, now: Instant
    ) -> OpenResult {
        if esp == [0xFF] { return .keepalive }
        return open(esp) { inbound.open($0, count: $1, from: from, trafficClass: trafficClass, now: now) }
    }

    /// Opens an IP packet that has AH (RFC 4302).
    package func openHeader(_ packet: [UInt8], from: Endpoint, now: Instant) -> OpenResult {
        open(packet) { inbound.openHeader($0, count: $1, from: from, now: now) }
    }

    private func open(
        _ octets: [UInt8], _ body: (UnsafeMutableRawPointer, Int) -> InboundPlane.Outcome
    ) -> OpenResult {
        var buffer = octets
        defer { inbound.forgetPackets() }
        return buffer.withUnsafeMutableBytes { octets in
            guard let base = octets.baseAddress else { return drop(.malformed) }
            switch body(base, octets.count) {
            case .opened(let opened):
                // SAFETY: the plane vouches for the packet, which lies in the buffer or in its own memory.
                let packet = UnsafeRawBufferPointer(start: opened.packet, count: opened.view.octets)
                return .opened(packet: Array(packet), child: opened.child, spi: opened.spi)
            case .dropped(let reason): return .dropped(reason)
            case .bundle(let bundle):
                // Who has several packets in one asks for them (``openAll(_:from:now:)``).
                var first: OpenResult?
                inbound.unpack(bundle, settle: inbound.forgetPackets) { if first == nil { first = result($0) } }
                return first ?? drop(.dummy)
            case .deferred, .early: return drop(.unsupported)
            }
        }
    }

    private func result(_ outcome: InboundPlane.Outcome) -> OpenResult {
        switch outcome {
        case .opened(let opened):
            // SAFETY: as in `open`.
            let packet = UnsafeRawBufferPointer(start: opened.packet, count: opened.view.octets)
            return .opened(packet: Array(packet), child: opened.child, spi: opened.spi)
        case .dropped(let reason): return .dropped(reason)
        case .bundle, .deferred, .early: return .dropped(.unsupported)
        }
    }

    /// As ``open(_:from:to:trafficClass:now:)``, with all inner packets that it holds or completes.
    package func openAll(_ esp: [UInt8], from: Endpoint, now: Instant) -> [OpenResult] {
        var buffer = esp
        defer { inbound.forgetPackets() }
        return buffer.withUnsafeMutableBytes { octets in
            guard let base = octets.baseAddress else { return [] }
            let outcome = inbound.open(base, count: octets.count, from: from, now: now)
            guard case .bundle(let bundle) = outcome else { return [result(outcome)] }
            var results: [OpenResult] = []
            inbound.unpack(bundle, settle: inbound.forgetPackets) { results.append(result($0)) }
            return results
        }
    }

    /// When ``openHeld(now:)`` has something; `nil` while no payload waits for those before it.
    package var nextRelease: Instant? { inbound.nextRelease }

    /// The inner packets of payloads that have waited long enough for those before them.
    package func openHeld(now: Instant) -> [OpenResult] {
        var results: [OpenResult] = []
        inbound.release(at: now, settle: inbound.forgetPackets) { results.append(result($0)) }
        inbound.forgetPackets()
        return results
    }

    /// The payloads of inner packets that share them (RFC 9347), sealed; all are of one SA. Where that lets a payload wait for
    /// more packets, the last one is kept back until its time has come, unless it should all go now (`isWhole`).
    package func sealTogether(_ packets: [[UInt8]], now: Instant, isWhole: Bool = false) -> [SealResult] {
        var results: [SealResult] = []
        var last: OutboundAssociation?
        for packet in packets {
            packet.withUnsafeBytes { octets in
                guard let base = octets.baseAddress, let view = PacketView(base, count: octets.count),
                    let association = outbounds[0].association(for: view, of: base, now: now),
                    let aggregator = association.aggregator
                else { return results.append(drop(.noPolicy)) }
                last = association
                let reason = association.admit(view.octets, now: now).dropped
                guard reason == nil else { return results.append(drop(reason ?? .unsupported)) }
                aggregator.add(base, view.octets, now: now) { results.append(sealPayload($0, $1, association, now)) }
            }
        }
        guard let last, let aggregator = last.aggregator else { return results }
        if isWhole {
            aggregator.finish { results.append(sealPayload($0, $1, last, now)) }
        } else {
            aggregator.finish(at: now) { results.append(sealPayload($0, $1, last, now)) }
        }
        return results
    }

    private func sealPayload(
        _ payload: UnsafeRawPointer, _ count: Int, _ association: OutboundAssociation, _ now: Instant
    ) -> SealResult {
        guard let placement = association.payloadPlacement(count: count) else { return drop(.unsupported) }
        var buffer = [UInt8](repeating: 0, count: placement.sealedOctets)
        let outcome = buffer.withUnsafeMutableBytes { octets -> OutboundAssociation.Outcome? in
            // SAFETY: the buffer has the placement's size.
            guard let base = octets.baseAddress else { return nil }
            (base + placement.offset).copyMemory(from: payload, byteCount: count)
            association.tell(in: base + placement.offset, rate: 0, now: now)
            return outbounds[0].sealPayload(base, placement, with: association)
        }
        guard let outcome, outcome.dropped == nil else { return .dropped(outcome?.dropped ?? .malformed) }
        return .sealed(
            octets: buffer, child: association.child, spi: association.spi, local: association.local,
            remote: association.remote)
    }

    /// A packet in a payload of its own, where it fits into one.
    private func sealAlone(
        _ packet: [UInt8], _ view: PacketView, _ association: OutboundAssociation, now: Instant
    ) -> SealResult {
        guard let aggregator = association.aggregator,
            view.octets <= aggregator.capacity - aggregator.headerOctets
        else { return drop(.tooBig) }
        return sealTogether([packet], now: now, isWhole: true).last ?? drop(.unsupported)
    }

    /// A dummy packet (RFC 4303 §2.6) of the SA that would carry `packet`, with `count` octets inside.
    package func sealDummy(for packet: [UInt8], count: Int) -> SealResult {
        guard
            let view = packet.withUnsafeBytes({ octets in
                octets.baseAddress.flatMap { PacketView($0, count: octets.count) }
            })
        else { return drop(.malformed) }
        guard let association = outbounds[0].association(for: view.flow) else { return .dropped(.noPolicy) }
        var buffer = [UInt8](repeating: 0, count: ESP.headroom + count + ESP.tailroom)
        let outcome = buffer.withUnsafeMutableBytes { octets in
            // SAFETY: the buffer has the room asked for.
            octets.baseAddress.map { association.sealDummy($0, count: count) }
        }
        guard let outcome, outcome.dropped == nil else { return drop(outcome?.dropped ?? .malformed) }
        return .sealed(
            octets: Array(buffer[..<outcome.octets]), child: association.child, spi: association.spi,
            local: association.local, remote: association.remote)
    }

    private func drop<Result: DropResult>(_ reason: DropReason) -> Result {
        dropCounters.count(reason)
        return Result.dropped(reason)
    }
}

/// The two results that can be a drop.
private protocol DropResult {
    static func dropped(_ reason: DropReason) -> Self
}

extension InlineEngine.SealResult: DropResult {}
extension InlineEngine.OpenResult: DropResult {}
