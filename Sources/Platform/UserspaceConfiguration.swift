package import IPsec
package import Primitives

/// What a ``UserspaceEngine`` opens.
package struct UserspaceConfiguration: Sendable {
    /// IKE's port; 0 lets the kernel choose.
    package var port: UInt16 = 500
    /// The port of IKE and ESP behind NAT (RFC 3948); 0 lets the kernel choose.
    package var natPort: UInt16 = 4500
    /// TCP ports to listen on for IKE and ESP (RFC 9329); 0 lets the kernel choose.
    package var streamPorts: [UInt16] = []
    /// `nil`: all addresses of both families.
    package var bindAddress: IPAddress?
    /// The TUN device's name, which may hold `%d`; `nil`: no device, packets enter by ``UserspaceEngine/sendPacket(_:)``
    /// and leave by ``receivePacket``.
    package var tunnelName: String? = "parley%d"
    /// Octets of the largest inner packet.
    package var mtu = 1400
    /// Whether the device's MTU follows the SAs: the largest inner packet that fits into the path of each.
    package var adaptsMTU = false
    /// The table that routes to remote selectors go into, and its rule's priority.
    package var routingTable = 220
    /// Whether SAs and policies have routes into the device; without, somebody else makes them.
    package var installsRoutes = true
    /// Our own packets carry this mark and so pass the table by.
    package var firewallMark: UInt32 = 220
    /// Threads that carry packets in each direction; `nil`: as many as there are processors, within
    /// ``mostUsefulWorkers``. Without a device there is one.
    package var workers: Int?
    /// Hears of opened packets where there is no device. Runs on the inbound worker's thread.
    package var receivePacket: (@Sendable ([UInt8], ChildID) -> Void)?
    /// Takes the place of a device for programs of this machine; with it, ``tunnelName`` is `nil` and ``receivePacket`` not
    /// asked.
    package var front: Front?

    /// More than this were never seen to help.
    package static let mostUsefulWorkers = 4
    /// The most that ``workers`` may be.
    package static let mostWorkers = 16

    package init() {}
}
