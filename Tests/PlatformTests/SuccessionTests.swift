import CPlatform
import Cryptography
import DataPlane
import Glibc
import IPsec
import Primitives
import Synchronization
import Testing

@testable import Platform

/// What a peer's kernel sees of a rekeying under load: a Delete that came before the SA's last packet would cost the packet
/// (RFC 7296 §2.8).
@Suite(.timeLimit(.minutes(1))) struct SuccessionTests {
    private final class Traffic: Sendable { let goesOn = Atomic<Bool>(true) }

    @Test func theEndOfAnSAComesBehindItsPackets() throws {
        var configuration = UserspaceConfiguration()
        (configuration.port, configuration.natPort) = (0, 0)
        configuration.bindAddress = loopback
        configuration.tunnelName = nil
        let engine = try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
        let peer = try DatagramSocket(.exchange, loopback, port: 0, mark: 0)
        let receiver = try #require(parley_receiver_create(64, 65_536))
        defer { parley_receiver_destroy(receiver) }
        let (end, peerEnd) = (
            Endpoint(loopback, port: engine.boundNATPort), Endpoint(loopback, port: peer.port)
        )
        func outbound(_ child: UInt32) -> SecurityAssociation {
            ChildPair(
                child: child, westEnd: end, eastEnd: peerEnd, westNet: [selector("10.1.0.0/16")],
                eastNet: [selector("10.2.0.0/16")]
            ).west[0]
        }
        let traffic = Traffic()
        let inner = packet(from: "10.1.0.1", to: "10.2.0.1", payload: 1000)
        let pump = Worker {
            while traffic.goesOn.load(ordering: .relaxed) {
                if !engine.sendPacket(inner) { usleep(20) }
            }
        }
        var (packets, late, ended) = (0, 0, Set<UInt32>())
        var local = parley_address(peerEnd)
        func receive() {
            var incoming = [parley_incoming](repeating: parley_incoming(), count: 64)
            while true {
                let count = Int(parley_receive(peer.descriptor, receiver, 0, &local, &incoming))
                guard count > 0 else { return }
                for index in 0..<count {
                    guard let octets = parley_receiver_buffer(receiver, UInt32(index)) else { continue }
                    func word(_ offset: Int) -> UInt32 {
                        UnsafeRawPointer(octets).loadUnaligned(fromByteOffset: offset, as: UInt32.self).bigEndian
                    }
                    let spi = word(0)
                    if spi == 0 {
                        // Behind the marker: the SPI whose end the message tells.
                        ended.insert(word(4))
                    } else {
                        packets += 1
                        late += ended.contains(spi) ? 1 : 0
                    }
                }
            }
        }
        engine.install(outbound(1))
        for child in UInt32(2)...300 {
            let (old, new) = (outbound(child - 1), outbound(child))
            engine.install(new)
            var message: [UInt8] = []
            message.append(bigEndian: old.spi.value)
            #expect(engine.sendIKE(Datagram(local: end, remote: peerEnd, octets: message)))
            engine.remove(old.spi, .outbound, of: old.child)
            // On a busy machine the pump's turn may be far between.
            let before = packets
            var turns = 0
            while turns < 5 || packets < before + 4 && turns < 500 {
                receive()
                usleep(100)
                turns += 1
            }
        }
        traffic.goesOn.store(false, ordering: .relaxed)
        pump.join()
        engine.close()
        receive()
        #expect(late == 0)
        #expect(ended.count > 200 && packets > 1000, "\(ended.count) ends, \(packets) packets")
    }
}
