import CPlatform
import DataPlane
import IPsec
import Primitives
import Testing

@testable import Platform

/// Payloads that wait until a worker's timer goes off (RFC 9347).
@Suite(.timeLimit(.minutes(1))) struct PayloadDelayTests {
    private let west: LoopbackEngine
    private let east: LoopbackEngine

    init() throws {
        west = try LoopbackEngine()
        east = try LoopbackEngine()
    }

    private func pair(_ change: (inout Aggregation) -> Void) -> ChildPair {
        var aggregation = Aggregation()
        change(&aggregation)
        return ChildPair(
            westEnd: west.natEnd, eastEnd: east.natEnd, westNet: [selector("10.1.0.0/16")],
            eastNet: [selector("10.2.0.0/16")], aggregation: aggregation)
    }

    private func packets(_ count: Int) -> [[UInt8]] {
        (0..<count).map { packet(from: "10.1.0.1", to: "10.2.0.1", payload: 10 + $0) }
    }

    @Test func aBegunPayloadGoesOutInTime() async throws {
        let delay = Duration.milliseconds(30)
        let pair = pair { $0.initialDelay = delay }
        pair.east.forEach(east.engine.install)
        pair.west.forEach(west.engine.install)
        let began = Clock.now()
        let sent = packets(3)
        for packet in sent { #expect(west.engine.sendPacket(packet)) }
        for packet in sent { #expect(await east.packets.next() == packet) }
        #expect(Clock.now() - began >= delay, "not before its time")
        #expect(west.engine.dropCounters.nonzero == [:] && east.engine.dropCounters.nonzero == [:])
    }

    /// The first payload never comes; the others are passed on when it has been waited for.
    @Test func aLossIsGivenUpInTime() async throws {
        let patience = Duration.milliseconds(30)
        let pair = pair { $0.dropTime = patience }
        pair.east.forEach(east.engine.install)
        let sealer = InlineEngine()
        for association in pair.west where association.direction == .outbound { sealer.install(association) }
        let sent = packets(3)
        let sealed = sent.map { sealer.seal($0, now: Clock.now()) }
        let socket = try DatagramSocket(.exchange, loopback, port: 0, mark: 0)
        let began = Clock.now()
        for result in sealed.dropFirst() {
            guard case .sealed(let octets, _, _, _, _) = result else {
                Issue.record("\(result)")
                return
            }
            var to = parley_address(east.natEnd)
            #expect(parley_send(socket.descriptor, nil, &to, octets, octets.count, 0, 0, 0) == 0)
        }
        for packet in sent.dropFirst() { #expect(await east.packets.next() == packet) }
        #expect(Clock.now() - began >= patience, "not before its time")
    }

    /// An SA that goes leaves what waits in it.
    @Test func anSAThatGoesGivesWhatWaits() async throws {
        let pair = pair { $0.dropTime = .seconds(50) }
        pair.east.forEach(east.engine.install)
        let sealer = InlineEngine()
        for association in pair.west where association.direction == .outbound { sealer.install(association) }
        let sent = packets(2)
        let results = sent.map { sealer.seal($0, now: Clock.now()) }
        guard case .sealed(let octets, _, let spi, _, _)? = results.last else {
            Issue.record("\(results)")
            return
        }
        let socket = try DatagramSocket(.exchange, loopback, port: 0, mark: 0)
        var to = parley_address(east.natEnd)
        #expect(parley_send(socket.descriptor, nil, &to, octets, octets.count, 0, 0, 0) == 0)
        // Traffic is told of when the packet has been opened, and before it waits.
        _ = await east.events.next()
        while east.engine.counters(of: ChildID(1)) == nil { await Task.yield() }
        east.engine.remove(spi, .inbound, of: ChildID(1))
        #expect(await east.packets.next() == sent[1])
    }
}
