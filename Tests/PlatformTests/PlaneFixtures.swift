import Cryptography
import DataPlane
import IPsec
import Primitives
import Synchronization

@testable import Platform

let loopback = IPAddress(v4: 0x7F00_0001)

func selector(_ text: String) -> TrafficSelector { TrafficSelector(Prefix(text)!) }

/// Both directions of a child between two engines, by hand.
struct ChildPair {
    var west: [SecurityAssociation] = []
    var east: [SecurityAssociation] = []

    init(
        _ suite: Suite = Suite(encryption: Encryption(.aesGCM16, keyBits: 256)), child: UInt32 = 1,
        westEnd: Endpoint, eastEnd: Endpoint, westNet: [TrafficSelector], eastNet: [TrafficSelector],
        encapsulated: Bool = true, window: Int = 1024, requestID: UInt32 = 1, firstSPI: UInt32? = nil,
        resource: Int = 0,
        aggregation: Aggregation? = nil
    ) {
        for (index, fromWest) in [true, false].enumerated() {
            var random = Randomness.seeded(UInt64(child) * 2 + UInt64(index))
            let keys = KeyMaterial(
                encryption: Secret(random.octets(suite.encryption.keyMaterialOctets)),
                integrity: suite.integrity.map { Secret(random.octets($0.keyOctets)) })
            let spi = SPI((firstSPI ?? 0x1000_0000 + child * 2) + UInt32(index))
            west.append(
                SecurityAssociation(
                    direction: fromWest ? .outbound : .inbound, child: ChildID(child), name: "net",
                    requestID: requestID,
                    spi: spi,
                    local: westEnd, remote: eastEnd, udpEncapsulation: encapsulated, suite: suite, keys: keys,
                    localSelectors: westNet, remoteSelectors: eastNet, replayWindowPackets: window))
            east.append(
                SecurityAssociation(
                    direction: fromWest ? .inbound : .outbound, child: ChildID(child), name: "net",
                    requestID: requestID,
                    spi: spi,
                    local: eastEnd, remote: westEnd, udpEncapsulation: encapsulated, suite: suite, keys: keys,
                    localSelectors: eastNet, remoteSelectors: westNet, replayWindowPackets: window))
            west[index].resource = resource
            east[index].resource = resource
            west[index].aggregation = aggregation
            east[index].aggregation = aggregation
        }
    }
}

/// Values that another thread produces, waited for in order.
final class Inbox<Element: Sendable>: Sendable {
    private let stream: AsyncStream<Element>
    private let continuation: AsyncStream<Element>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    func put(_ element: Element) { continuation.yield(element) }

    func next() async -> Element? {
        for await element in stream { return element }
        return nil
    }
}

/// An inner IPv4 UDP packet.
func packet(from: String, to: String, payload: Int) -> [UInt8] {
    var octets: [UInt8] = [0x45, 0]
    octets.append(bigEndian: UInt16(28 + payload))
    octets += [0, 1, 0, 0, 64, 17, 0, 0]
    octets += IPAddress(from)!.octets + IPAddress(to)!.octets
    octets += [0x10, 0, 0, 53]
    octets.append(bigEndian: UInt16(8 + payload))
    octets += [0, 0]
    octets += (0..<payload).map { UInt8(truncatingIfNeeded: $0) }
    return octets
}

/// An engine on loopback without a device, and what comes out of it.
struct LoopbackEngine {
    let engine: UserspaceEngine
    let packets = Inbox<[UInt8]>()
    let messages = Inbox<Datagram>()
    let events = Inbox<PlaneEvent>()

    init(streamPorts: [UInt16] = []) throws {
        var configuration = UserspaceConfiguration()
        configuration.port = 0
        configuration.natPort = 0
        configuration.streamPorts = streamPorts
        configuration.bindAddress = loopback
        configuration.tunnelName = nil
        let (packets, messages, events) = (packets, messages, events)
        configuration.receivePacket = { packet, _ in packets.put(packet) }
        engine = try UserspaceEngine(
            configuration, receiveIKE: { datagram, _ in messages.put(datagram) }, report: { events.put($0) })
    }

    var end: Endpoint { Endpoint(loopback, port: engine.boundPort) }
    var natEnd: Endpoint { Endpoint(loopback, port: engine.boundNATPort) }
}
