package import IPsec
package import Primitives

/// Packets of ESP or AH that came before their SA. A responder may send as soon as it has answered, and its first packets then meet
/// an initiator that is still at work on the answer: they wait here, few of them and not for long, and are opened once the SA
/// is there (RFC 7296 §2.8 wants a rekeying to lose nothing).
///
/// Only SPIs that we have offered are waited for. A stranger does not know them, so that it cannot fill the store.
package struct EarlyPackets {
    package struct Packet {
        package var octets: [UInt8]
        package var from: Endpoint
        package var trafficClass: UInt8
        fileprivate var spi: SPI
        fileprivate var at: Instant
    }

    /// SPIs that are waited for at once; the oldest goes first.
    static let expectedMaximum = 4096
    static let packetMaximum = 256
    static let octetMaximum = 262_144
    /// How long a packet waits.
    static let patience = Duration.seconds(3)

    private var expected: Set<SPI> = []
    /// In the order in which they were offered; what was taken since is still in it.
    private var order: [SPI] = []
    private var packets: [Packet] = []
    private var octetCount = 0

    package init() {}

    /// Waits for packets with this SPI from now on.
    package mutating func expect(_ spi: SPI) {
        guard expected.insert(spi).inserted else { return }
        order.append(spi)
        if order.count > 2 * EarlyPackets.expectedMaximum { order.removeAll { !expected.contains($0) } }
        while expected.count > EarlyPackets.expectedMaximum {
            expected.remove(order.removeFirst())
        }
    }

    /// Keeps a packet where its SPI is waited for and there is room. How many others were given up for it, or `nil` where
    /// it is not kept.
    package mutating func keep(
        _ packet: UnsafeRawBufferPointer, of spi: SPI, from: Endpoint, trafficClass: UInt8, now: Instant
    ) -> Int? {
        guard !expected.isEmpty, expected.contains(spi) else { return nil }
        let before = packets.count
        packets.removeAll { now - $0.at > EarlyPackets.patience }
        let lapsed = before - packets.count
        if lapsed > 0 { octetCount = packets.reduce(0) { $0 + $1.octets.count } }
        guard packets.count < EarlyPackets.packetMaximum,
            octetCount + packet.count <= EarlyPackets.octetMaximum
        else { return nil }
        octetCount += packet.count
        packets.append(
            Packet(octets: Array(packet), from: from, trafficClass: trafficClass, spi: spi, at: now))
        return lapsed
    }

    /// The SA with this SPI is there: what waited for it, in the order in which it came, and how many were too old.
    package mutating func take(_ spi: SPI, now: Instant) -> (packets: [Packet], lapsed: Int) {
        guard expected.remove(spi) != nil, !packets.isEmpty else { return ([], 0) }
        let waited = packets.filter { $0.spi == spi }
        guard !waited.isEmpty else { return ([], 0) }
        packets.removeAll { $0.spi == spi }
        octetCount = packets.reduce(0) { $0 + $1.octets.count }
        let fresh = waited.filter { now - $0.at <= EarlyPackets.patience }
        return (fresh, waited.count - fresh.count)
    }
}
