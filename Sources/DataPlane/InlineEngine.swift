package import IPsec
package import Primitives

/// The data plane without threads, sockets or devices: packets go in and come out as arrays. For the simulation, the
/// loopback demonstration and tests; the octets are those that the threaded engine makes.
package final class InlineEngine: IPsecEngine {
    /// What came of an inner packet.
    package enum SealResult: Hashable, Sendable {
        /// ESP octets, without UDP or IP headers, with the SA's endpoints.
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
    private let outbound: OutboundPlane
    private let inbound: InboundPlane
    private var installed: [ChildID: [Installed]] = [:]

    package init() {
        let events = events
        outbound = OutboundPlane(drops: dropCounters) { events.pending.append($0) }
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

    /// As ``install(_:)``, with an outbound counter that stands at `sequence`; for tests of the counter's end.
    package func install(_ association: SecurityAssociation, sequence: UInt64) {
        let counters = AssociationCounters()
        switch association.direction {
        case .outbound:
            outbound.insert(OutboundAssociation(association, counters: counters, sequence: sequence))
        case .inbound: inbound.insert(InboundAssociation(association, counters: counters))
        }
        installed[association.child, default: []].removeAll {
            $0.spi == association.spi && $0.direction == association.direction
        }
        installed[association.child, default: []].append(
            Installed(spi: association.spi, direction: association.direction, counters: counters))
    }

    package func remove(_ spi: SPI, _ direction: SecurityAssociation.Direction, of child: ChildID) {
        switch direction {
        case .outbound: outbound.remove(spi, of: child)
        case .inbound: inbound.remove(spi, of: child)
        }
        installed[child]?.removeAll { $0.spi == spi && $0.direction == direction }
        if installed[child]?.isEmpty == true { installed[child] = nil }
    }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        outbound.move(child, local: local, remote: remote)
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

    /// Looks the packet's policy up and wraps it (RFC 4301 §5.1).
    package func seal(_ packet: [UInt8], now: Instant) -> SealResult {
        guard
            let view = packet.withUnsafeBytes({ octets in
                octets.baseAddress.flatMap { PacketView($0, count: octets.count) }
            })
        else { return drop(.malformed) }
        guard let association = outbound.association(for: view.flow) else { return .dropped(.noPolicy) }
        guard let innerOffset = association.innerOffset else { return drop(.unsupported) }
        var buffer = [UInt8](repeating: 0, count: innerOffset)
        buffer += packet[..<view.octets]
        buffer += [UInt8](repeating: 0, count: ESP.tailroom)
        let outcome = buffer.withUnsafeMutableBytes { octets in
            // SAFETY: the buffer holds what this SA writes before the packet, the packet, and the longest trailer.
            octets.baseAddress.map {
                outbound.seal(
                    $0 + innerOffset, count: view.octets, isV6: view.flow.family == .v6, with: association, now: now)
            }
        }
        guard let outcome else { return drop(.malformed) }
        if let reason = outcome.dropped { return .dropped(reason) }
        buffer.removeLast(buffer.count - outcome.octets)
        return .sealed(
            octets: buffer, child: association.child, spi: association.spi, local: association.local,
            remote: association.remote)
    }

    /// Opens an ESP packet (RFC 4301 §5.2), the payload of a UDP datagram or of IP protocol 50.
    package func open(_ esp: [UInt8], from: Endpoint, to: Endpoint, now: Instant) -> OpenResult {
        if esp == [0xFF] { return .keepalive }
        var buffer = esp
        let outcome = buffer.withUnsafeMutableBytes { octets in
            octets.baseAddress.map { inbound.open($0, count: octets.count, from: from, now: now) }
        }
        switch outcome {
        case .opened(let opened):
            let packet = buffer[opened.offset..<(opened.offset + opened.view.octets)]
            return .opened(packet: Array(packet), child: opened.child, spi: opened.spi)
        case .dropped(let reason): return .dropped(reason)
        case nil: return drop(.malformed)
        }
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
