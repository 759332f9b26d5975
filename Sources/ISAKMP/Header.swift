package import Primitives

/// Eight octets that name one end's part of an ISAKMP SA: a cookie in RFC 2408 §3.1, an IKE SPI in RFC 7296 §3.1.
package struct Cookie: Hashable, Sendable, CustomStringConvertible {
    package var value: UInt64
    package init(_ value: UInt64) { self.value = value }

    /// The value that stands for "not chosen yet".
    package static let zero = Cookie(0)
    package var isZero: Bool { value == 0 }

    /// 16 hexadecimal digits.
    package var description: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// An exchange type (IANA "ISAKMP/IKE exchange types"). 0–33 are version 1's, 34 and up version 2's.
package struct ExchangeType: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    // RFC 2408 §3.1 and RFC 2409 Appendix A
    package static let base = ExchangeType(rawValue: 1)
    package static let identityProtection = ExchangeType(rawValue: 2)
    package static let authenticationOnly = ExchangeType(rawValue: 3)
    package static let aggressive = ExchangeType(rawValue: 4)
    package static let informational = ExchangeType(rawValue: 5)
    package static let transaction = ExchangeType(rawValue: 6)
    package static let quickMode = ExchangeType(rawValue: 32)
    package static let newGroupMode = ExchangeType(rawValue: 33)
    // RFC 7296 §3.1
    package static let ikeSAInit = ExchangeType(rawValue: 34)
    package static let ikeAuth = ExchangeType(rawValue: 35)
    package static let createChildSA = ExchangeType(rawValue: 36)
    package static let informationalV2 = ExchangeType(rawValue: 37)
    /// RFC 9242 §3.
    package static let ikeSessionResume = ExchangeType(rawValue: 38)
    package static let ikeIntermediate = ExchangeType(rawValue: 43)
    /// RFC 9370 §2.2.4.
    package static let ikeFollowUpKE = ExchangeType(rawValue: 44)
}

/// The header's flags octet; the meaning of the bits depends on the major version.
package struct HeaderFlags: OptionSet, Hashable, Sendable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Version 1: payloads are encrypted (RFC 2408 §3.1).
    package static let encryption = HeaderFlags(rawValue: 0x01)
    /// Version 1: wait for CONNECTED before using the SA.
    package static let commit = HeaderFlags(rawValue: 0x02)
    /// Version 1: authenticated but not encrypted.
    package static let authenticationOnly = HeaderFlags(rawValue: 0x04)
    /// Version 2: sent by the original initiator of the IKE SA (RFC 7296 §3.1).
    package static let initiator = HeaderFlags(rawValue: 0x08)
    /// Version 2: the sender speaks a higher major version.
    package static let version = HeaderFlags(rawValue: 0x10)
    /// Version 2: this is a response.
    package static let response = HeaderFlags(rawValue: 0x20)
}

/// The 28 octets that begin every message of both versions of IKE.
///
///      0                   1                   2                   3
///     +---------------------------------------------------------------+
///     |                 Initiator cookie / SPI (8 octets)             |
///     |                 Responder cookie / SPI (8 octets)             |
///     +---------------+-------+-------+---------------+---------------+
///     | Next payload  | Major | Minor | Exchange type |     Flags     |
///     +---------------+-------+-------+---------------+---------------+
///     |                          Message ID                           |
///     |                   Length (header included)                    |
///     +---------------------------------------------------------------+
///
/// RFC 2408 §3.1, RFC 7296 §3.1.
package struct Header: Hashable, Sendable {
    package static let octetCount = 28

    package var initiator: Cookie
    package var responder: Cookie
    package var nextPayload: PayloadType
    package var majorVersion: UInt8
    package var minorVersion: UInt8
    package var exchange: ExchangeType
    package var flags: HeaderFlags
    package var messageID: UInt32
    /// Octets of the whole message as the header claims it, header included.
    package var length: UInt32

    package init(
        initiator: Cookie, responder: Cookie, nextPayload: PayloadType = .none, majorVersion: UInt8,
        minorVersion: UInt8 = 0, exchange: ExchangeType, flags: HeaderFlags = [], messageID: UInt32 = 0,
        length: UInt32 = 0
    ) {
        self.initiator = initiator
        self.responder = responder
        self.nextPayload = nextPayload
        self.majorVersion = majorVersion
        self.minorVersion = minorVersion
        self.exchange = exchange
        self.flags = flags
        self.messageID = messageID
        self.length = length
    }

    /// Reads 28 octets. The length field is read, not judged: see ``Message/init(parsing:)``.
    package init(from reader: inout ByteReader) throws(ParseError) {
        initiator = Cookie(try reader.readUInt64())
        responder = Cookie(try reader.readUInt64())
        nextPayload = PayloadType(rawValue: try reader.readUInt8())
        let version = try reader.readUInt8()
        majorVersion = version >> 4
        minorVersion = version & 15
        exchange = ExchangeType(rawValue: try reader.readUInt8())
        flags = HeaderFlags(rawValue: try reader.readUInt8())
        messageID = try reader.readUInt32()
        length = try reader.readUInt32()
    }

    /// Appends 28 octets.
    package func write(to octets: inout [UInt8]) {
        octets.append(bigEndian: initiator.value)
        octets.append(bigEndian: responder.value)
        octets.append(nextPayload.rawValue)
        octets.append(majorVersion << 4 | minorVersion & 15)
        octets.append(exchange.rawValue)
        octets.append(flags.rawValue)
        octets.append(bigEndian: messageID)
        octets.append(bigEndian: length)
    }
}
