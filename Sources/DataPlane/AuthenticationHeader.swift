import Cryptography
import IPsec
import Primitives

/// AH over whole IP packets (RFC 4302): what is authenticated, and how the header lies.
///
///     +---------------+---------------+-------------------------------+
///     |  Next Header  |  Payload Len  |           Reserved            |
///     |                 Security Parameters Index                     |
///     |                       Sequence Number                         |
///     |            Integrity Check Value, padding to 4 or 8           |
///     +---------------------------------------------------------------+
enum AH {
    static let ipProtocol: UInt8 = 51
    /// The fields before the check value.
    static let fixedOctets = 12
    /// IP headers and extensions before AH that are worked on; more is refused.
    static let maximumHeaderOctets = 512

    /// Octets of the header with a check value of `tagOctets`: a multiple of 4 with IPv4 and of 8 with IPv6 (RFC 4302
    /// §2.6).
    static func headerOctets(tagOctets: Int, _ family: IPAddress.Family) -> Int {
        let unit = family == .v4 ? 4 : 8
        return (fixedOctets + tagOctets + unit - 1) / unit * unit
    }

    /// Copies the IP header before AH, with what may change on the way set to zero (RFC 4302 §3.3.3.1, Appendix A).
    /// False where it cannot be told what that is.
    ///
    /// SAFETY: the caller vouches for `count` octets at both, and that they hold an IP header up to AH.
    static func copyImmutable(
        _ header: UnsafeRawPointer, _ count: Int, _ family: IPAddress.Family, to copy: UnsafeMutableRawPointer
    ) -> Bool {
        copy.copyMemory(from: header, byteCount: count)
        return family == .v4 ? clearV4(copy, count) : clearV6(copy, count)
    }

    /// TOS, flags and fragment offset, TTL, checksum, and options that routers write into.
    private static func clearV4(_ header: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        header.storeBytes(of: 0, toByteOffset: 1, as: UInt8.self)
        header.store(bigEndian: UInt16(0), at: 6)
        header.storeBytes(of: 0, toByteOffset: 8, as: UInt8.self)
        header.store(bigEndian: UInt16(0), at: 10)
        var offset = 20
        while offset < count {
            let kind = header.load(fromByteOffset: offset, as: UInt8.self)
            switch kind {
            case 0: return true
            case 1:
                offset += 1
                continue
            default: break
            }
            guard offset + 2 <= count else { return false }
            let length = Int(header.load(fromByteOffset: offset + 1, as: UInt8.self))
            guard length >= 2, offset + length <= count else { return false }
            switch kind {
            // Security (two kinds), commercial security, router alert, sender-directed delivery: immutable.
            case 130, 133, 134, 148, 149: break
            default: (header + offset).initializeMemory(as: UInt8.self, repeating: 0, count: length)
            }
            offset += length
        }
        return true
    }

    /// Class, flow label and hop limit, and options that say of themselves that they change.
    private static func clearV6(_ header: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        header.store(bigEndian: UInt32(0x6000_0000), at: 0)
        header.storeBytes(of: 0, toByteOffset: 7, as: UInt8.self)
        var next = header.load(fromByteOffset: 6, as: UInt8.self)
        var offset = 40
        while offset < count {
            guard offset + 8 <= count else { return false }
            let length = (Int(header.load(fromByteOffset: offset + 1, as: UInt8.self)) + 1) * 8
            guard offset + length <= count else { return false }
            switch next {
            case 0, 60: guard clearOptions(header + offset, length) else { return false }
            // A routing header arrives in its final form, which is what the sender authenticates.
            case 43: break
            default: return false
            }
            next = header.load(fromByteOffset: offset, as: UInt8.self)
            offset += length
        }
        return true
    }

    /// RFC 8200 §4.2: the third bit of an option's type marks data that may change.
    private static func clearOptions(_ extensionHeader: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        var offset = 2
        while offset < count {
            let kind = extensionHeader.load(fromByteOffset: offset, as: UInt8.self)
            if kind == 0 {
                offset += 1
                continue
            }
            guard offset + 2 <= count else { return false }
            let length = Int(extensionHeader.load(fromByteOffset: offset + 1, as: UInt8.self))
            guard offset + 2 + length <= count else { return false }
            if kind & 0x20 != 0 {
                (extensionHeader + offset + 2).initializeMemory(as: UInt8.self, repeating: 0, count: length)
            }
            offset += 2 + length
        }
        return true
    }

    /// Where AH begins in an IP packet, and the family; `nil` where the packet has none or its lengths do not hold
    /// together.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    static func find(_ packet: UnsafeRawPointer, _ count: Int) -> (offset: Int, family: IPAddress.Family)? {
        guard count >= 20 else { return nil }
        switch packet.load(as: UInt8.self) >> 4 {
        case 4:
            let header = Int(packet.load(as: UInt8.self) & 15) * 4
            guard header >= 20, count >= header + fixedOctets,
                packet.load(fromByteOffset: 9, as: UInt8.self) == ipProtocol
            else { return nil }
            return (header, .v4)
        case 6:
            guard count >= 40 else { return nil }
            var next = packet.load(fromByteOffset: 6, as: UInt8.self)
            var offset = 40
            while next != ipProtocol {
                guard [0, 43, 60].contains(next), count >= offset + 8 else { return nil }
                next = packet.load(fromByteOffset: offset, as: UInt8.self)
                offset += (Int(packet.load(fromByteOffset: offset + 1, as: UInt8.self)) + 1) * 8
                guard offset <= maximumHeaderOctets else { return nil }
            }
            guard count >= offset + fixedOctets else { return nil }
            return (offset, .v6)
        default: return nil
        }
    }
}

/// The AH of one outbound SA.
final class OutboundHeader {
    let spi: SPI
    private let authenticator: PacketAuthenticator
    private var counter: SequenceCounter
    // SAFETY: allocated in init, freed in deinit, never handed out.
    private let copy: UnsafeMutableRawPointer

    init?(_ header: AuthenticationHeader, sequence: UInt64) {
        guard let authenticator = try? PacketAuthenticator(header.integrity, key: header.key) else { return nil }
        spi = header.spi
        self.authenticator = authenticator
        counter = SequenceCounter(extended: header.extendedSequenceNumbers, used: sequence)
        copy = .allocate(byteCount: AH.maximumHeaderOctets, alignment: 8)
    }

    deinit { copy.deallocate() }

    var isNearlyExhausted: Bool { counter.isNearlyExhausted }

    func octets(_ family: IPAddress.Family) -> Int {
        AH.headerOctets(tagOctets: authenticator.tagOctets, family)
    }

    /// Fills in AH between an IP header of `headerOctets` octets at `packet` and what follows it, up to `count`. False
    /// where no number is left.
    ///
    /// SAFETY: the caller vouches for `count` writable octets at `packet`.
    func seal(
        _ packet: UnsafeMutableRawPointer, headerOctets: Int, count: Int, nextHeader: UInt8, _ family: IPAddress.Family
    ) -> Bool {
        guard headerOctets <= AH.maximumHeaderOctets, let sequence = counter.next() else { return false }
        let header = packet + headerOctets
        let octets = octets(family)
        header.initializeMemory(as: UInt8.self, repeating: 0, count: octets)
        header.storeBytes(of: nextHeader, as: UInt8.self)
        header.storeBytes(of: UInt8(truncatingIfNeeded: octets / 4 - 2), toByteOffset: 1, as: UInt8.self)
        header.store(bigEndian: spi.value, at: 4)
        header.store(bigEndian: UInt32(truncatingIfNeeded: sequence), at: 8)
        guard AH.copyImmutable(packet, headerOctets, family, to: copy) else { return false }
        authenticator.begin()
        authenticator.update(copy, headerOctets)
        authenticator.update(header, count - headerOctets)
        if counter.extended {
            var high = UInt32(truncatingIfNeeded: sequence >> 32).bigEndian
            authenticator.update(&high, 4)
        }
        authenticator.finish(into: header + AH.fixedOctets)
        return true
    }
}

/// The AH of one inbound SA.
final class InboundHeader {
    let spi: SPI
    private let authenticator: PacketAuthenticator
    private let extended: Bool
    private var window: ReplayWindow
    // SAFETY: allocated in init, freed in deinit, never handed out.
    private let copy: UnsafeMutableRawPointer
    private let tag: UnsafeMutableRawPointer

    init?(_ header: AuthenticationHeader, windowPackets: Int) {
        guard let authenticator = try? PacketAuthenticator(header.integrity, key: header.key) else { return nil }
        spi = header.spi
        self.authenticator = authenticator
        extended = header.extendedSequenceNumbers
        window = ReplayWindow(packets: windowPackets, extended: extended)
        copy = .allocate(byteCount: AH.maximumHeaderOctets, alignment: 8)
        tag = .allocate(byteCount: 64, alignment: 8)
    }

    deinit {
        copy.deallocate()
        tag.deallocate()
    }

    enum Outcome {
        /// Octets of AH, and what follows it.
        case authentic(octets: Int, nextHeader: UInt8)
        case dropped(DropReason)
    }

    /// Verifies AH at `offset` in a packet of `count` octets (RFC 4302 §3.4). Zeroes the check value in place.
    ///
    /// SAFETY: the caller vouches for `count` writable octets, of which ``AH/find(_:_:)`` has looked at the headers.
    func open(
        _ packet: UnsafeMutableRawPointer, offset: Int, count: Int, _ family: IPAddress.Family
    ) -> Outcome {
        let header = packet + offset
        let raw = UnsafeRawPointer(header)
        let octets = (Int(raw.load(fromByteOffset: 1, as: UInt8.self)) + 2) * 4
        // Peers pad the check value in different ways; what they add is authenticated with the rest.
        let least = AH.fixedOctets + authenticator.tagOctets
        guard offset <= AH.maximumHeaderOctets, octets >= least, octets <= least + 8, offset + octets <= count else {
            return .dropped(.malformed)
        }
        guard let sequence = window.sequence(low: raw.bigEndian32(at: 8)), window.accepts(sequence) else {
            return .dropped(.replayed)
        }
        guard AH.copyImmutable(packet, offset, family, to: copy) else { return .dropped(.malformed) }
        let tagOctets = authenticator.tagOctets
        tag.copyMemory(from: header + AH.fixedOctets, byteCount: tagOctets)
        (header + AH.fixedOctets).initializeMemory(as: UInt8.self, repeating: 0, count: tagOctets)
        authenticator.begin()
        authenticator.update(copy, offset)
        authenticator.update(header, count - offset)
        if extended {
            var high = UInt32(truncatingIfNeeded: sequence >> 32).bigEndian
            authenticator.update(&high, 4)
        }
        guard authenticator.verify(tag) else { return .dropped(.authenticationFailed) }
        window.insert(sequence)
        return .authentic(octets: octets, nextHeader: raw.load(as: UInt8.self))
    }
}
