import CPlatform
import Glibc

/// A packet as it was on the wire, from its IP header on.
package struct TappedPacket: Sendable {
    /// Nanoseconds since 1970.
    package var time: UInt64
    package var octets: [UInt8]
    /// Where not 0, octets of UDP's payload in each of several packets that travelled through the kernel as one.
    package var segment: Int
    /// The network card would have filled the transport's checksum in.
    package var lacksChecksum: Bool
}

/// Sees IPsec's packets of this machine, both directions, beside those who send and receive them: it costs them nothing.
package final class PacketTap {
    package let descriptor: Int32
    private var buffer = [UInt8](repeating: 0, count: 1 << 17)

    /// - Parameters:
    ///   - interface: of this one alone; `nil`: of all.
    ///   - datagramPorts: packets to or from these UDP ports, at most 8. ESP and AH are always seen.
    ///   - streamPorts: and these TCP ports, at most 8.
    /// - Throws: where there is no such interface, and EPERM where the process lacks CAP_NET_RAW.
    package init(
        interface: String? = nil, datagramPorts: [UInt16], streamPorts: [UInt16] = []
    ) throws(PlatformError) {
        var index: UInt32 = 0
        if let interface {
            index = UInt32(
                try PlatformError.check(parley_interface_index(interface), "interface \(interface)"))
        }
        descriptor = try PlatformError.check(
            parley_tap_open(
                index, datagramPorts, UInt32(datagramPorts.count), streamPorts, UInt32(streamPorts.count)),
            "tap")
    }

    deinit { close(descriptor) }

    /// The next packet; `nil` where none is there now.
    package func read() -> TappedPacket? {
        while true {
            var tapped = parley_tapped()
            let count = parley_tap_read(descriptor, &buffer, buffer.count, &tapped)
            if count == -Int(EINTR) { continue }
            guard count >= 0 else { return nil }
            let end = min(count, buffer.count)
            guard tapped.is_echo == 0, tapped.network < end else { continue }
            return TappedPacket(
                time: tapped.time, octets: Array(buffer[tapped.network..<end]), segment: tapped.segment,
                lacksChecksum: tapped.lacks_checksum != 0)
        }
    }

    /// How many packets found no room, since this was asked last.
    package func takeLost() -> Int {
        var lost: UInt32 = 0
        return parley_tap_lost(descriptor, &lost) == 0 ? Int(lost) : 0
    }
}
