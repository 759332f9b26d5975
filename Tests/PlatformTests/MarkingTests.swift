import CPlatform
import Glibc
import IPsec
import Primitives
import Testing

@testable import Platform

/// What the IP headers of IKE's own packets carry, as a socket of the kernel's sees it.
@Suite(.timeLimit(.minutes(1))) struct MarkingTests {
    @Test(arguments: ["127.0.0.1", "::1"]) func aDatagramHasItsOwnMark(address: String) throws {
        let address = try #require(IPAddress(address))
        var configuration = UserspaceConfiguration()
        (configuration.port, configuration.natPort) = (0, 0)
        configuration.bindAddress = address
        configuration.tunnelName = nil
        let engine = try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
        defer { engine.close() }
        let socket = try DatagramSocket(.exchange, address, port: 0, mark: 0)
        let receiver = try #require(parley_receiver_create(8, 2048))
        defer { parley_receiver_destroy(receiver) }
        var local = parley_address(address, port: socket.port)
        var seen: [[UInt8]] = []
        let sent: [(port: UInt16, trafficClass: UInt8)] = [
            (engine.boundPort, 0xB8), (engine.boundPort, 0), (engine.boundNATPort, 0x04), (engine.boundNATPort, 0xFC),
        ]
        for (port, trafficClass) in sent {
            var datagram = Datagram(
                local: Endpoint(address, port: port), remote: Endpoint(address, port: socket.port), octets: [1])
            datagram.trafficClass = trafficClass
            #expect(engine.sendIKE(datagram))
            // Loopback delivers within the call.
            var incoming = [parley_incoming](repeating: parley_incoming(), count: 8)
            let count = Int(parley_receive(socket.descriptor, receiver, 0, &local, &incoming))
            seen += incoming.prefix(max(0, count)).map { [UInt8(truncatingIfNeeded: $0.count), $0.traffic_class] }
        }
        #expect(seen == [[1, 0xB8], [1, 0], [5, 0x04], [5, 0xFC]])
    }
}
