import Primitives

/// Sizes and numbers of ESP packets in a buffer (RFC 4303 §2).
package enum ESP {
    /// SPI and sequence number.
    package static let headerOctets = 8
    /// Room that sealing needs in front of the inner packet: the header and the longest IV.
    package static let headroom = headerOctets + 16
    /// Room that sealing needs behind it: padding to a block of 16, two trailer octets, the longest check value.
    package static let tailroom = 16 + 2 + 32
    /// The IP protocol number.
    package static let ipProtocol: UInt8 = 50

    /// IP in IP, in both versions: what tunnel mode carries.
    static let nextHeaderIPv4: UInt8 = 4
    static let nextHeaderIPv6: UInt8 = 41
    /// A dummy packet (RFC 4303 §2.6).
    static let nextHeaderNone: UInt8 = 59

    static func tunnelNextHeader(_ family: IPAddress.Family) -> UInt8 {
        switch family {
        case .v4: nextHeaderIPv4
        case .v6: nextHeaderIPv6
        }
    }
}

/// Where the inside of an ESP packet lies.
package struct Placement: Equatable, Sendable {
    /// Octets of the inner packet that stay out: its IP header in transport mode (RFC 4303 §3.1.1), nothing in tunnel
    /// mode.
    package var skippedOctets: Int
    /// Octets of the inner packet that go in.
    package var innerOctets: Int
    /// Those, with what pads them against traffic analysis (RFC 4303 §2.7).
    package var paddedOctets: Int
    package var nextHeader: UInt8
    /// Octets of SPI, sequence number and IV.
    package var offset: Int
    /// Octets of the whole ESP packet.
    package var sealedOctets: Int
}
