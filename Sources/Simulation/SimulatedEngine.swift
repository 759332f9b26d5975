import DataPlane
package import IPsec
import Primitives

/// A node's data plane: the real one without threads and sockets, with a record of what is installed for the checkers.
package final class SimulatedEngine {
    private let plane: InlineEngine
    /// Processors that seal, each with an SA of its own where there are several.
    package let workers: Int
    package private(set) var inbound: [SPI: SecurityAssociation] = [:]
    private var outbound: [OutboundKey: SecurityAssociation] = [:]

    private struct OutboundKey: Hashable {
        var spi: SPI
        var child: ChildID
    }

    package init(workers: Int = 1) {
        self.workers = max(1, workers)
        plane = InlineEngine(workers: workers)
    }

    func expect(_ spi: SPI) { plane.expect(spi) }

    /// Installs an SA, and opens what came before it.
    func install(_ association: SecurityAssociation, now: Instant) -> [Opened] {
        switch association.direction {
        case .inbound: inbound[association.spi] = association
        case .outbound: outbound[OutboundKey(spi: association.spi, child: association.child)] = association
        }
        plane.install(association)
        guard association.direction == .inbound else { return [] }
        return plane.openEarly(association, now: now).compactMap(opened)
    }

    func remove(_ spi: SPI, _ direction: SecurityAssociation.Direction, of child: ChildID) {
        switch direction {
        case .inbound: inbound[spi] = nil
        case .outbound: outbound[OutboundKey(spi: spi, child: child)] = nil
        }
        plane.remove(spi, direction, of: child)
    }

    func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        for spi in inbound.keys where inbound[spi]?.child == child {
            inbound[spi]?.local = local
            inbound[spi]?.remote = remote
        }
        for key in outbound.keys where key.child == child {
            outbound[key]?.local = local
            outbound[key]?.remote = remote
        }
        plane.move(child, local: local, remote: remote)
    }

    /// Protects a packet that a processor has; `nil` where no SA covers it.
    func seal(_ packet: InternetPacket, worker: Int, now: Instant) -> Datagram? {
        guard
            case .sealed(let octets, _, _, let local, let remote) = plane.seal(
                packet.octets, worker: worker, now: now)
        else { return nil }
        return Datagram(local: local, remote: remote, octets: octets)
    }

    /// A packet that came out of an SA.
    struct Opened {
        var packet: InternetPacket
        var association: SecurityAssociation
    }

    /// Opens what came from the network; `nil` where it is dropped, or waits for its SA.
    func open(_ datagram: Datagram, now: Instant) -> Opened? {
        let outcome =
            SimulatedEngine.hasHeader(datagram.octets)
            ? plane.openHeader(datagram.octets, from: datagram.remote, now: now)
            : plane.open(datagram.octets, from: datagram.remote, to: datagram.local, now: now)
        return opened(outcome)
    }

    private func opened(_ outcome: InlineEngine.OpenResult) -> Opened? {
        guard case .opened(let octets, _, let spi) = outcome,
            let packet = InternetPacket(octets), let association = inbound[spi]
        else { return nil }
        return Opened(packet: packet, association: association)
    }

    /// Whether a datagram is a whole IPv4 packet with AH, which authenticates the IP header (RFC 4302 §3.3.3).
    private static func hasHeader(_ octets: [UInt8]) -> Bool {
        octets.count > 20 && octets[0] == 0x45 && octets[9] == 51
            && Int(octets[2]) << 8 | Int(octets[3]) == octets.count
    }

    /// The outbound SA with an SPI that the host at `address` chose.
    func outboundAssociation(_ spi: SPI, to address: IPAddress) -> SecurityAssociation? {
        outbound.first { $0.key.spi == spi && $0.value.remote.address == address }?.value
    }

    /// What is still installed, in words.
    var residue: [String] {
        inbound.keys.map { "inbound SA \($0)" }.sorted() + outbound.keys.map { "outbound SA \($0.spi)" }.sorted()
    }
}
