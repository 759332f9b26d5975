import CPlatform
import Glibc

/// A TUN device with virtio headers, or a channel within the process in its place.
final class TunnelDevice: Sendable {
    /// One for each of the device's queues; a channel has one.
    let descriptors: [Int32]
    /// The first queue's.
    var descriptor: Int32 { descriptors[0] }
    /// The interface's name and index; `nil` for a channel.
    let interface: (name: String, index: UInt32)?
    /// Whether the device takes datagrams of UDP that stand for several.
    let joinsDatagrams: Bool
    /// Where the process puts packets for a channel to seal.
    private let entrance: Int32

    /// Creates a device with this name, which may hold `%d`, sets its MTU and brings it up. A device that somebody made
    /// beforehand with one queue has one.
    init(name: String, mtu: Int, queues: Int = 1) throws(PlatformError) {
        // SAFETY: the call writes at most 16 octets with a terminator among them.
        var buffer = [CChar](repeating: 0, count: 16)
        for (index, octet) in name.utf8.prefix(15).enumerated() { buffer[index] = CChar(bitPattern: octet) }
        var first = parley_tunnel_open(&buffer, 1, queues > 1 ? 1 : 0)
        let hasOneQueue = queues > 1 && first == -EINVAL
        if hasOneQueue { first = parley_tunnel_open(&buffer, 1, 0) }
        var descriptors = [try PlatformError.check(first, "TUN device \(name)")]
        let actual = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        entrance = -1
        do throws(PlatformError) {
            _ = try PlatformError.check(
                parley_tunnel_configure(actual, UInt32(clamping: mtu)), "bring up \(actual) with MTU \(mtu)")
            let index = try PlatformError.check(parley_interface_index(actual), "index of \(actual)")
            while !hasOneQueue, descriptors.count < queues {
                descriptors.append(
                    try PlatformError.check(parley_tunnel_open(&buffer, 1, 1), "another queue of \(actual)"))
            }
            joinsDatagrams = parley_tunnel_join_datagrams(descriptors[0]) == 1
            self.descriptors = descriptors
            interface = (actual, UInt32(index))
        } catch {
            interface = nil
            joinsDatagrams = false
            self.descriptors = []
            for descriptor in descriptors { close(descriptor) }
            throw error
        }
    }

    /// A channel: what ``put(_:)`` gets comes out of `descriptor`.
    init() throws(PlatformError) {
        var ends: [Int32] = [-1, -1]
        _ = try PlatformError.check(parley_packet_pair(&ends), "packet channel")
        descriptors = [ends[0]]
        entrance = ends[1]
        interface = nil
        joinsDatagrams = false
    }

    deinit {
        for descriptor in descriptors { close(descriptor) }
        if entrance >= 0 { close(entrance) }
    }

    /// Hands a packet to the worker as a device would. False where the channel is full or this is a device.
    func put(_ packet: [UInt8]) -> Bool {
        guard entrance >= 0 else { return false }
        return packet.withUnsafeBytes { octets in
            var part = parley_part(base: octets.baseAddress, count: octets.count)
            return parley_write(entrance, &part, 1) == octets.count
        }
    }
}
