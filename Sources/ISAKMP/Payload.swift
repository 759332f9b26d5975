package import Primitives

/// A payload type. Numbers up to 32 are ISAKMP's (RFC 2408 §3.1), 33 and up IKEv2's (RFC 7296 §3.2).
package struct PayloadType: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let none = PayloadType(rawValue: 0)
    // Version 1
    package static let securityAssociation = PayloadType(rawValue: 1)
    package static let proposal = PayloadType(rawValue: 2)
    package static let transform = PayloadType(rawValue: 3)
    package static let keyExchange = PayloadType(rawValue: 4)
    package static let identification = PayloadType(rawValue: 5)
    package static let certificate = PayloadType(rawValue: 6)
    package static let certificateRequest = PayloadType(rawValue: 7)
    package static let hash = PayloadType(rawValue: 8)
    package static let signature = PayloadType(rawValue: 9)
    package static let nonce = PayloadType(rawValue: 10)
    package static let notification = PayloadType(rawValue: 11)
    package static let delete = PayloadType(rawValue: 12)
    package static let vendorID = PayloadType(rawValue: 13)
    package static let attributes = PayloadType(rawValue: 14)
    /// Message 1, which message 3 brings along where the responder has no memory of it (``StatelessAnswer``). Of the range
    /// for private use (RFC 2408 §3.1).
    package static let echo = PayloadType(rawValue: 180)
    /// NAT-D (RFC 3947 §3.2).
    package static let natDiscovery = PayloadType(rawValue: 20)
    /// NAT-OA (RFC 3947 §5.2).
    package static let natOriginalAddress = PayloadType(rawValue: 21)
    /// NAT-D and NAT-OA as the drafts before RFC 3947 number them (draft-ietf-ipsec-nat-t-ike-03 §3.2, §5.2).
    package static let natDiscoveryDraft = PayloadType(rawValue: 130)
    package static let natOriginalAddressDraft = PayloadType(rawValue: 131)
    /// A piece of a message, as vendors fragment; no document has it.
    package static let fragment = PayloadType(rawValue: 132)
}

/// One payload of a chain: its type, the octet of flags behind "next payload", and its body without the generic header.
package struct Payload: Hashable, Sendable {
    package var type: PayloadType
    /// RFC 7296 §3.2: the recipient must refuse the message if it does not know the type. In version 1 the bit is
    /// reserved.
    package var isCritical: Bool
    package var body: [UInt8]
    /// Where the body began in the message it was read from; 0 for payloads that were built here.
    package var bodyOffset: Int

    package init(_ type: PayloadType, critical: Bool = false, body: [UInt8], bodyOffset: Int = 0) {
        self.type = type
        isCritical = critical
        self.body = body
        self.bodyOffset = bodyOffset
    }

    /// Octets of the generic header: next payload, flags, length.
    package static let headerOctets = 4
    /// More payloads than this in one message are refused: no exchange needs a tenth, and a chain of empty payloads in
    /// a 64 KiB datagram would otherwise make 16,000 values.
    package static let maximumCount = 128

    /// Equality of meaning: where a payload was read from does not matter.
    package static func == (left: Payload, right: Payload) -> Bool {
        left.type == right.type && left.isCritical == right.isCritical && left.body == right.body
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(type)
        hasher.combine(isCritical)
        hasher.combine(body)
    }
}

/// A chain of payloads (RFC 2408 §3.2, RFC 7296 §3.2).
///
///      0                   1                   2                   3
///     +---------------+-+-------------+-------------------------------+
///     | Next payload  |C|  Reserved   |   Length (header included)    |
///     +---------------+-+-------------+-------------------------------+
package enum PayloadChain {
    /// Reads the chain whose first payload has type `first`, to the type 0 that ends it.
    ///
    /// - Parameter terminal: a type after which the chain ends whatever its "next payload" says: IKEv2's SK and SKF
    ///   payloads name their first *inner* payload there (RFC 7296 §3.14).
    /// - Returns: the payloads, and the "next payload" of the terminal one (or 0). Octets behind the chain are left in
    ///   `reader`.
    /// - Throws: ``ParseError`` with the offset of the broken generic header.
    package static func read(
        first: PayloadType, terminal: Set<PayloadType> = [], from reader: inout ByteReader
    ) throws(ParseError) -> (payloads: [Payload], next: PayloadType) {
        var payloads: [Payload] = []
        var type = first
        while type != .none {
            let offset = reader.offset
            guard payloads.count < Payload.maximumCount else {
                throw .invalid(offset: offset, rule: "a message holds at most \(Payload.maximumCount) payloads")
            }
            let next = PayloadType(rawValue: try reader.readUInt8())
            let flags = try reader.readUInt8()
            let length = Int(try reader.readUInt16())
            guard length >= Payload.headerOctets else {
                throw .invalid(offset: offset + 2, rule: "a payload's length counts its own 4-octet header")
            }
            let bodyOffset = reader.offset
            let body = try reader.read(length - Payload.headerOctets)
            payloads.append(
                Payload(type, critical: flags & 0x80 != 0, body: Array(body), bodyOffset: bodyOffset))
            if terminal.contains(type) { return (payloads, next) }
            type = next
        }
        return (payloads, .none)
    }

    /// Appends the payloads with their generic headers; the last one's "next payload" is `last`.
    ///
    /// Every body must be shorter than 65,532 octets: bodies are built here from bounded parts.
    package static func write(_ payloads: [Payload], last: PayloadType = .none, to octets: inout [UInt8]) {
        for (index, payload) in payloads.enumerated() {
            let length = payload.body.count + Payload.headerOctets
            precondition(length <= Int(UInt16.max), "a payload built here fits its 16-bit length")
            octets.append(index + 1 < payloads.count ? payloads[index + 1].type.rawValue : last.rawValue)
            octets.append(payload.isCritical ? 0x80 : 0)
            octets.append(bigEndian: UInt16(length))
            octets.append(contentsOf: payload.body)
        }
    }
}

/// A message in clear: header and payload chain. Encrypted parts stay opaque: this framework knows no cipher.
package struct Message: Hashable, Sendable {
    package var header: Header
    package var payloads: [Payload]

    package init(header: Header, payloads: [Payload]) {
        self.header = header
        self.payloads = payloads
    }

    /// The message's octets; next payload and length in the header are filled in.
    package var octets: [UInt8] {
        var octets: [UInt8] = []
        octets.reserveCapacity(payloads.reduce(Header.octetCount) { $0 + $1.body.count + Payload.headerOctets })
        var header = header
        header.nextPayload = payloads.first?.type ?? .none
        header.write(to: &octets)
        PayloadChain.write(payloads, to: &octets)
        octets.overwrite(bigEndian: UInt32(octets.count), at: 24)
        return octets
    }

    /// The first payload of a type.
    package func first(_ type: PayloadType) -> Payload? { payloads.first { $0.type == type } }
    /// Every payload of a type, in order.
    package func all(_ type: PayloadType) -> [Payload] { payloads.filter { $0.type == type } }
}
