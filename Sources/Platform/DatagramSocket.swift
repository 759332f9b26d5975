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

    /// Binds to `address` (unspecified for all of its family) and `port` (0 for any), which others may be bound to as well
    /// where it is `shared`.
    init(
        _ purpose: Purpose, _ address: IPAddress, port: UInt16, mark: UInt32, shared: Bool = false
    ) throws(PlatformError) {
        var local = parley_address(address, port: port)
        let isRaw = purpose == .raw || purpose == .header
        let descriptor: Int32
        switch purpose {
        case .exchange, .encapsulation: descriptor = parley_datagram_socket(&local, mark, shared ? 1 : 0)
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
    /// Of the first worker: all kinds.
    let all: [DatagramSocket]
    /// Of each other worker: sockets that share the port of ESP inside UDP, one for each family.
    private let others: [[DatagramSocket]]
    let port: UInt16
    let natPort: UInt16
    /// Whether ESP and AH can go bare: raw sockets want a privilege.
    let carriesBare: Bool

    /// Binds IKE's ports, and the raw sockets for ESP and AH where the process may have them. A machine without IPv6 is fine as
    /// long as no IPv6 address was asked for.
    init(_ configuration: UserspaceConfiguration, workers: Int = 1) throws(PlatformError) {
        var others: [[DatagramSocket]] = Array(repeating: [], count: max(0, workers - 1))
        var sockets: [DatagramSocket] = []
        var port = configuration.port
        var natPort = configuration.natPort
        let mark = configuration.firewallMark
        let addresses = configuration.bindAddress.map { [$0] } ?? [.any(.v4), .any(.v6)]
        for address in addresses {
            do throws(PlatformError) {
                let exchange = try DatagramSocket(.exchange, address, port: port, mark: mark)
                let encapsulation = try DatagramSocket(
                    .encapsulation, address, port: natPort, mark: mark, shared: workers > 1)
                sockets += [exchange, encapsulation]
                port = exchange.port
                natPort = encapsulation.port
                for index in others.indices {
                    others[index].append(
                        try DatagramSocket(.encapsulation, address, port: natPort, mark: mark, shared: true))
                }
                if workers > 1 {
                    _ = try PlatformError.check(
                        parley_steer(encapsulation.descriptor, UInt32(workers)), "spreading packets by SPI")
                }
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
        self.others = others
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

    /// What a worker receives from.
    func received(by worker: Int) -> [DatagramSocket] { worker == 0 ? all : others[worker - 1] }

    /// The socket by which a worker sends packets of this kind to an address of this family.
    func packets(
        _ family: IPAddress.Family, _ purpose: DatagramSocket.Purpose, by worker: Int
    ) -> DatagramSocket? {
        if worker > 0, purpose == .encapsulation { return others[worker - 1].first { $0.family == family } }
        return all.first { $0.purpose == purpose && $0.family == family }
    }
}
