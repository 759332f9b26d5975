import CPlatform
import Glibc
import Primitives

/// A bound socket of the engine: UDP for IKE and ESP in UDP, or raw for ESP itself.
final class DatagramSocket: Sendable {
    enum Purpose: Hashable, Sendable {
        /// IKE alone (port 500).
        case exchange
        /// IKE behind the non-ESP marker, and ESP (port 4500; RFC 3948 §2.2).
        case encapsulation
        /// IP protocol 50.
        case raw
    }

    let descriptor: Int32
    let purpose: Purpose
    let family: IPAddress.Family
    let port: UInt16
    /// What control data does not say of a received packet's destination.
    let local: parley_address

    /// Binds to `address` (unspecified for all of its family) and `port` (0 for any).
    init(_ purpose: Purpose, _ address: IPAddress, port: UInt16, mark: UInt32) throws(PlatformError) {
        var local = parley_address(address, port: port)
        let descriptor =
            purpose == .raw ? parley_raw_socket(&local, 50, mark) : parley_datagram_socket(&local, mark)
        self.descriptor = try PlatformError.check(
            descriptor, purpose == .raw ? "raw socket on \(address)" : "socket on \(address)[\(port)]")
        if purpose != .raw, local.port == 0 { local.port = UInt16(clamping: parley_bound_port(descriptor)) }
        self.purpose = purpose
        family = address.family
        self.port = local.port
        self.local = local
    }

    deinit { _ = close(descriptor) }
}

/// The sockets of one engine. Their descriptors may be used from any thread; the kernel keeps packets whole.
final class SocketSet: Sendable {
    let all: [DatagramSocket]
    let port: UInt16
    let natPort: UInt16

    /// Binds IKE's ports, and the raw socket for ESP where the process may have one. A machine without IPv6 is fine as
    /// long as no IPv6 address was asked for.
    init(_ configuration: UserspaceConfiguration) throws(PlatformError) {
        var sockets: [DatagramSocket] = []
        var port = configuration.port
        var natPort = configuration.natPort
        let mark = configuration.firewallMark
        let addresses = configuration.bindAddress.map { [$0] } ?? [.any(.v4), .any(.v6)]
        for address in addresses {
            do throws(PlatformError) {
                let exchange = try DatagramSocket(.exchange, address, port: port, mark: mark)
                let encapsulation = try DatagramSocket(.encapsulation, address, port: natPort, mark: mark)
                sockets += [exchange, encapsulation]
                port = exchange.port
                natPort = encapsulation.port
            } catch
                where address == .any(.v6) && !sockets.isEmpty
                && [EAFNOSUPPORT, EADDRNOTAVAIL].contains(error.code)
            {
                continue
            }
            if let raw = try? DatagramSocket(.raw, address, port: 0, mark: mark) { sockets.append(raw) }
        }
        all = sockets
        self.port = port
        self.natPort = natPort
    }

    /// The socket that sends IKE from this endpoint.
    func exchange(from local: Endpoint) -> DatagramSocket? {
        let purpose: DatagramSocket.Purpose = local.port == natPort ? .encapsulation : .exchange
        return all.first { $0.purpose == purpose && $0.family == local.address.family }
    }

    /// The socket that sends ESP to an address of this family.
    func packets(_ family: IPAddress.Family, encapsulated: Bool) -> DatagramSocket? {
        all.first { $0.purpose == (encapsulated ? .encapsulation : .raw) && $0.family == family }
    }
}
