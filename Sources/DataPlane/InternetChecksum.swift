internal import CChecksum
package import Primitives

/// The Internet checksum (RFC 1071), summed over memory in native byte order: the sum's octets come out in the right
/// places whatever that order is.
package enum InternetChecksum {
    /// Adds `count` octets to an unfolded sum. Only the last part of a whole may have an odd length.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    package static func sum(_ octets: UnsafeRawPointer, count: Int, initial: UInt64 = 0) -> UInt64 {
        // Headers are not worth a call.
        guard count <= shortOctets else { return parley_sum(octets, count, initial) }
        var sum = initial
        var offset = 0
        while offset + 4 <= count {
            sum &+= UInt64(octets.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
            offset += 4
        }
        guard offset < count else { return sum }
        return parley_sum(octets + offset, count - offset, sum)
    }

    private static let shortOctets = 60

    /// The sum of what is copied from `source` to `target`, added to an unfolded one.
    ///
    /// SAFETY: the caller vouches for `count` readable and as many writable octets, which do not overlap.
    package static func copy(
        _ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, count: Int, initial: UInt64 = 0
    ) -> UInt64 {
        parley_copy_sum(target, source, count, initial)
    }

    /// The 16-bit sum, not complemented, in memory order.
    @inlinable
    package static func fold(_ sum: UInt64) -> UInt16 {
        var sum = (sum & 0xFFFF_FFFF) + (sum >> 32)
        sum = (sum & 0xFFFF) + (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16)
        sum = (sum & 0xFFFF) + (sum >> 16)
        return UInt16(truncatingIfNeeded: sum)
    }

    /// The sum over the pseudo-header of TCP or UDP (RFC 9293 §3.1, RFC 8200 §8.1) for the IP packet at `packet`.
    ///
    /// SAFETY: the caller vouches for an IP header of the given family.
    package static func pseudoHeader(
        _ packet: UnsafeRawPointer, family: IPAddress.Family, ipProtocol: UInt8, payloadOctets: Int
    ) -> UInt64 {
        let addresses: UInt64
        switch family {
        case .v4: addresses = sum(packet + 12, count: 8)
        case .v6: addresses = sum(packet + 8, count: 32)
        }
        return addresses &+ UInt64(UInt16(ipProtocol).bigEndian) &+ UInt64(UInt32(payloadOctets).bigEndian)
    }
}

/// The checksums of TCP and UDP.
enum TransportChecksum {
    /// Computes the checksum anew. A packet that came in transport mode through a NAT has the sum of other addresses; its
    /// octets are known to be right (RFC 3948 §3.1.2).
    ///
    /// SAFETY: the caller vouches for the packet that `view` describes.
    static func renew(_ packet: UnsafeMutableRawPointer, _ view: PacketView) {
        guard !view.isFragment else { return }
        let count = view.octets - view.headerOctets
        let field: Int
        switch view.flow.ipProtocol {
        case 6 where count >= 20: field = 16
        case 17 where count >= 8: field = 6
        default: return
        }
        let transport = packet + view.headerOctets
        // A UDP datagram over IPv4 without checksum stays so.
        if field == 6, view.flow.family == .v4, UnsafeRawPointer(transport).bigEndian16(at: 6) == 0 { return }
        transport.store(bigEndian: UInt16(0), at: field)
        let pseudo = InternetChecksum.pseudoHeader(
            packet, family: view.flow.family, ipProtocol: view.flow.ipProtocol, payloadOctets: count)
        let sum = ~InternetChecksum.fold(InternetChecksum.sum(transport, count: count, initial: pseudo))
        transport.storeBytes(of: sum == 0 ? 0xFFFF : sum, toByteOffset: field, as: UInt16.self)
    }
}
