import CPlatform
import Glibc

/// A TUN device with virtio headers, or a channel within the process in its place.
final class TunnelDevice: Sendable {
    let descriptor: Int32
    /// The interface's name and index; `nil` for a channel.
    let interface: (name: String, index: UInt32)?
    /// Where the process puts packets for a channel to seal.
    private let entrance: Int32

    /// Creates a device with this name, which may hold `%d`, sets its MTU and brings it up.
    init(name: String, mtu: Int) throws(PlatformError) {
        // SAFETY: the call writes at most 16 octets with a terminator among them.
        var buffer = [CChar](repeating: 0, count: 16)
        for (index, octet) in name.utf8.prefix(15).enumerated() { buffer[index] = CChar(bitPattern: octet) }
        descriptor = try PlatformError.check(parley_tunnel_open(&buffer, 1), "TUN device \(name)")
        let actual = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        entrance = -1
        do throws(PlatformError) {
            _ = try PlatformError.check(
                parley_tunnel_configure(actual, UInt32(clamping: mtu)), "bring up \(actual) with MTU \(mtu)")
            let index = try PlatformError.check(parley_interface_index(actual), "index of \(actual)")
            interface = (actual, UInt32(index))
        } catch {
            interface = nil
            close(descriptor)
            throw error
        }
    }

    /// A channel: what ``put(_:)`` gets comes out of `descriptor`.
    init() throws(PlatformError) {
        var ends: [Int32] = [-1, -1]
        _ = try PlatformError.check(parley_packet_pair(&ends), "packet channel")
        descriptor = ends[0]
        entrance = ends[1]
        interface = nil
    }

    deinit {
        close(descriptor)
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
