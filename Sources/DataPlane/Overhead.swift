package import IPsec
import Primitives

/// What an SA adds to its packets.
package struct Overhead: Equatable, Sendable {
    private var fixedOctets: Int
    /// 0 without ESP.
    private var blockOctets = 0
    private var innerHeaderOctets: Int
    /// Of a payload that several packets share.
    private var sharedOctets = 0

    package init(_ association: SecurityAssociation) {
        let family = association.remote.address.family
        let ipOctets = family == .v4 ? 20 : 40
        fixedOctets = ipOctets
        if association.udpEncapsulation { fixedOctets += 8 }
        if let header = association.header {
            fixedOctets += AH.headerOctets(tagOctets: header.integrity.tagOctets, family)
        }
        if association.securityProtocol == .esp {
            let id = association.suite.encryption.id
            let tagOctets = id.isAEAD ? id.tagOctets : association.suite.integrity?.tagOctets ?? 0
            fixedOctets += ESP.headerOctets + id.ivOctets + tagOctets
            blockOctets = max(4, id.blockOctets)
        }
        if let aggregation = association.aggregation { sharedOctets = AggregatedPayload.headerOctets(aggregation) }
        // In transport mode the outer header is the inner one.
        innerHeaderOctets = association.mode == .transport ? ipOctets : 0
    }

    /// Octets of the largest inner packet that fits into an outer IP packet of `pathMTU` octets (RFC 4301 §8.2.1): what
    /// remains beside the outer header, UDP, AH, ESP with its IV and check value, and padding. At least 0.
    package func innerLimit(pathMTU: Int) -> Int {
        var room = max(0, pathMTU - fixedOctets)
        if blockOctets > 0 { room = room / blockOctets * blockOctets - 2 }
        return max(0, room + innerHeaderOctets - sharedOctets)
    }
}

extension Overhead {
    /// What fills outer packets of `packetOctets`, 0 for those of Ethernet.
    func aggregator(_ aggregation: Aggregation, packetOctets: Int) -> Aggregator {
        Aggregator(
            aggregation,
            capacity: innerLimit(pathMTU: packetOctets == 0 ? 1500 : packetOctets)
                + AggregatedPayload.headerOctets(aggregation))
    }
}

extension SecurityAssociation {
    /// ``Overhead/innerLimit(pathMTU:)`` of this SA.
    package func innerLimit(pathMTU: Int) -> Int { Overhead(self).innerLimit(pathMTU: pathMTU) }
}

/// The maximum segment size in TCP's SYN (RFC 9293 §3.7.1), brought down to what a tunnel takes: hosts behind it do not
/// know its MTU, and ICMP that would tell them gets lost on many paths.
package enum SegmentSize {
    /// Lowers the option in a SYN, if there is one and it is larger than packets of `limit` octets allow; the checksum
    /// follows.
    ///
    /// SAFETY: the caller vouches for the packet that `view` describes.
    @inline(__always)
    package static func clamp(_ packet: UnsafeMutableRawPointer, _ view: PacketView, limit: Int) {
        guard view.flow.ipProtocol == 6, !view.isFragment, view.octets >= view.headerOctets + 20,
            packet.load(fromByteOffset: view.headerOctets + 13, as: UInt8.self) & 0x02 != 0
        else { return }
        lower(packet, view, limit)
    }

    private static func lower(_ packet: UnsafeMutableRawPointer, _ view: PacketView, _ limit: Int) {
        let most = limit - (view.flow.family == .v4 ? 40 : 60)
        guard most > 0, most < 65_536 else { return }
        let tcp = packet + view.headerOctets
        let raw = UnsafeRawPointer(tcp)
        let end = min(
            Int(raw.load(fromByteOffset: 12, as: UInt8.self) >> 4) * 4, view.octets - view.headerOctets)
        var offset = 20
        while offset < end {
            let kind = raw.load(fromByteOffset: offset, as: UInt8.self)
            if kind == 0 { return }
            if kind == 1 {
                offset += 1
                continue
            }
            guard offset + 2 <= end else { return }
            let length = Int(raw.load(fromByteOffset: offset + 1, as: UInt8.self))
            guard length >= 2, offset + length <= end else { return }
            if kind == 2, length == 4 {
                let old = raw.bigEndian16(at: offset + 2)
                guard Int(old) > most else { return }
                let new = UInt16(most)
                tcp.store(bigEndian: new, at: offset + 2)
                // RFC 1624 §3; an option at an odd place swaps the octets of its words.
                let (before, after) = offset.isMultiple(of: 2) ? (old, new) : (old.byteSwapped, new.byteSwapped)
                var sum = UInt32(~raw.bigEndian16(at: 16)) + UInt32(~before) + UInt32(after)
                sum = (sum & 0xFFFF) + (sum >> 16)
                sum = (sum & 0xFFFF) + (sum >> 16)
                tcp.store(bigEndian: ~UInt16(truncatingIfNeeded: sum), at: 16)
                return
            }
            offset += length
        }
    }
}

/// What a sender hears whose packet is too large for the tunnel and must not be cut (RFC 4301 §8.2, RFC 1191, RFC 8201).
package enum PacketTooBig {
    /// Octets of the original that the message quotes at most, beside what both headers take.
    package static let quotedOctets = 128
    package static let maximumOctets = 48 + quotedOctets

    /// Writes the ICMP message about a packet whose first `quoted` octets are at `packet`; its length.
    ///
    /// SAFETY: the caller vouches for the headers that `view` describes, `quoted` readable octets, and
    /// ``maximumOctets`` writable ones at `target`.
    package static func write(
        to target: UnsafeMutableRawPointer, about packet: UnsafeRawPointer, _ view: PacketView, quoted: Int, mtu: Int
    ) -> Int {
        let quoted = min(quoted, quotedOctets)
        let raw = UnsafeRawPointer(target)
        switch view.flow.family {
        case .v4:
            let total = 28 + quoted
            target.initializeMemory(as: UInt8.self, repeating: 0, count: 28)
            target.store(bigEndian: UInt32(0x45C0_0000) | UInt32(total), at: 0)
            target.store(bigEndian: UInt32(0x4001_0000), at: 8)
            // From the one that cannot be reached at this size, as a router there would say it.
            target.store(bigEndian: UInt32(truncatingIfNeeded: view.flow.destination), at: 12)
            target.store(bigEndian: UInt32(truncatingIfNeeded: view.flow.source), at: 16)
            target.storeBytes(
                of: ~InternetChecksum.fold(InternetChecksum.sum(raw, count: 20)), toByteOffset: 10, as: UInt16.self)
            target.store(bigEndian: UInt16(0x0304), at: 20)
            target.store(bigEndian: UInt16(clamping: mtu), at: 26)
            (target + 28).copyMemory(from: packet, byteCount: quoted)
            let sum = InternetChecksum.fold(InternetChecksum.sum(raw + 20, count: 8 + quoted))
            target.storeBytes(of: ~sum, toByteOffset: 22, as: UInt16.self)
            return total
        case .v6:
            let total = 48 + quoted
            target.initializeMemory(as: UInt8.self, repeating: 0, count: 48)
            target.store(bigEndian: UInt32(0x6000_0000), at: 0)
            target.store(bigEndian: UInt16(8 + quoted), at: 4)
            target.store(bigEndian: UInt16(0x3A40), at: 6)
            target.store(bigEndian: view.flow.destination, at: 8)
            target.store(bigEndian: view.flow.source, at: 24)
            target.store(bigEndian: UInt16(0x0200), at: 40)
            target.store(bigEndian: UInt32(clamping: max(1280, mtu)), at: 44)
            (target + 48).copyMemory(from: packet, byteCount: quoted)
            let pseudo = InternetChecksum.pseudoHeader(raw, family: .v6, ipProtocol: 58, payloadOctets: 8 + quoted)
            let sum = InternetChecksum.fold(InternetChecksum.sum(raw + 40, count: 8 + quoted, initial: pseudo))
            target.storeBytes(of: ~sum, toByteOffset: 42, as: UInt16.self)
            return total
        }
    }
}
