import CPlatform
import Glibc
import Primitives
import Synchronization

/// A bound socket of the engine: UDP for IKE and ESP in UDP, or raw for ESP itself.
final class DatagramSocket: Sendable {
    enum Purpose: Hashable, Sendable {
        /// IKE alone (port 500).
        case exchange
        /// IKE behind the non-ESP marker, and ESP (port 4500; RFC 3948 §2.2).
        case encapsulation
        /// IP protocol 50: ESP bare.
        case raw
        /// IP protocol 51: AH. What is sent begins with its IP header, which AH authenticates.
        case header
    }

    let descriptor: Int32
    let purpose: Purpose
    let family: IPAddress.Family
    let port: UInt16
    /// What control data does not say of a received packet's destination.
    let local: parley_address
    private let hasForbidden = Atomic<Bool>(false)

    /// Has the packets that are sent from now on be cut on their way, or not. Several workers may want different things
    /// at once; then a packet may get what another asked for, which costs it nothing but efficiency.
    func forbidFragments(_ forbids: Bool) {
        guard hasForbidden.load(ordering: .relaxed) != forbids else { return }
        hasForbidden.store(forbids, ordering: .relaxed)
        _ = parley_forbid_fragments(descriptor, family.rawValue, forbids ? 1 : 0)
    }

    /// Binds to `address` (unspecified for all of its family) and `port` (0 for any).
    init(_ purpose: Purpose, _ address: IPAddress, port: UInt16, mark: UInt32) throws(PlatformError) {
        var local = parley_address(address, port: port)
        let isRaw = purpose == .raw || purpose == .header
        let descriptor: Int32
        switch purpose {
        case .exchange, .encapsulation: descriptor = parley_datagram_socket(&local, mark)
        case .raw: descriptor = parley_raw_socket(&local, 50, 0, mark)
        case .header: descriptor = parley_raw_socket(&local, 51, 1, mark)
        }
        self.descriptor = try PlatformError.check(
            descriptor, isRaw ? "raw socket on \(address)" : "socket on \(address)[\(port)]")
        if !isRaw, local.port == 0 { local.port = UInt16(clamping: parley_bound_port(descriptor)) }
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
    /// Whether ESP and AH can go bare: raw sockets want a privilege.
    let carriesBare: Bool

    /// Binds IKE's ports, and the raw sockets for ESP and AH where the process may have them. A machine without IPv6 is fine as
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
            for purpose in [DatagramSocket.Purpose.raw, .header] {
                if let raw = try? DatagramSocket(purpose, address, port: 0, mark: mark) { sockets.append(raw) }
            }
        }
        all = sockets
        carriesBare = sockets.allSatisfy { socket in
            [.raw, .header].allSatisfy { purpose in
                sockets.contains { $0.purpose == purpose && $0.family == socket.family }
            }
        }
        self.port = port
        self.natPort = natPort
    }

    /// The socket that sends IKE from this endpoint.
    func exchange(from local: Endpoint) -> DatagramSocket? {
        let purpose: DatagramSocket.Purpose = local.port == natPort ? .encapsulation : .exchange
        return all.first { $0.purpose == purpose && $0.family == local.address.family }
    }

    /// The socket that sends packets of this kind to an address of this family.
    func packets(_ family: IPAddress.Family, _ purpose: DatagramSocket.Purpose) -> DatagramSocket? {
        all.first { $0.purpose == purpose && $0.family == family }
    }
}
