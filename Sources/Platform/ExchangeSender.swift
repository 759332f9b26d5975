import CPlatform
import IPsec

/// Sends IKE messages, from any thread.
struct ExchangeSender: Sendable {
    let sockets: SocketSet
    let streams: StreamSet

    /// Sends a message, behind the non-ESP marker where it leaves from the NAT port (RFC 3948 §2.2), or a keepalive of the
    /// one octet 0xFF. False where the kernel did not take it; IKE retransmits.
    func send(_ datagram: Datagram) -> Bool {
        if datagram.remote.isStream {
            // TCP needs no keepalives of ours: its connection is the mapping (RFC 9329 §6.7).
            if datagram.octets == [0xFF] { return true }
            return datagram.octets.withUnsafeBytes { octets in
                guard let base = octets.baseAddress else { return false }
                return streams.send(
                    base, count: octets.count, segment: octets.count, isMarked: true, from: datagram.local,
                    to: datagram.remote)
            }
        }
        guard let socket = sockets.exchange(from: datagram.local) else { return false }
        // Packets of others that go out meanwhile may get the same flag, which costs nothing but efficiency.
        if datagram.forbidsFragments { socket.forbidFragments(true) }
        defer { if datagram.forbidsFragments { socket.forbidFragments(false) } }
        var local = parley_address(datagram.local)
        var remote = parley_address(datagram.remote)
        let marker = socket.purpose == .encapsulation && datagram.octets != [0xFF] ? 4 : 0
        return datagram.octets.withUnsafeBytes {
            parley_send(socket.descriptor, &local, &remote, $0.baseAddress, $0.count, 0, marker, datagram.trafficClass)
                == 0
        }
    }
}
