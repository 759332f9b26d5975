package import Primitives

/// An IKE message between two endpoints, without the non-ESP marker: whether one goes on the wire follows from the local
/// port (RFC 3948 §2.2), and is the driver's affair.
package struct Datagram: Hashable, Sendable {
    package var local: Endpoint
    package var remote: Endpoint
    package var octets: [UInt8]
    /// It must arrive in one piece or not at all: whether it does is what is asked.
    package var forbidsFragments = false
    /// DSCP and ECN of its IP header; TCP's packets have none of a message's own.
    package var trafficClass: UInt8 = 0

    package init(local: Endpoint, remote: Endpoint, octets: [UInt8]) {
        self.local = local
        self.remote = remote
        self.octets = octets
    }
}
