import Cryptography
import IPsec
import ISAKMP
import Primitives

extension PayloadType {
    // RFC 7296 §3.2
    static let securityAssociationV2 = PayloadType(rawValue: 33)
    static let keyExchangeV2 = PayloadType(rawValue: 34)
    static let identityInitiator = PayloadType(rawValue: 35)
    static let identityResponder = PayloadType(rawValue: 36)
    static let certificateV2 = PayloadType(rawValue: 37)
    static let certificateRequestV2 = PayloadType(rawValue: 38)
    static let authentication = PayloadType(rawValue: 39)
    static let nonceV2 = PayloadType(rawValue: 40)
    static let notify = PayloadType(rawValue: 41)
    static let deleteV2 = PayloadType(rawValue: 42)
    static let vendorIDV2 = PayloadType(rawValue: 43)
    static let selectorsInitiator = PayloadType(rawValue: 44)
    static let selectorsResponder = PayloadType(rawValue: 45)
    static let encrypted = PayloadType(rawValue: 46)
    static let configuration = PayloadType(rawValue: 47)
    static let extensibleAuthentication = PayloadType(rawValue: 48)
    /// RFC 7383 §2.5.
    static let encryptedFragment = PayloadType(rawValue: 53)
    /// RFC 8019 §8.2.
    static let puzzleSolution = PayloadType(rawValue: 54)

    /// Whether the type is one of RFC 7296's: their critical bit is ignored (§3.2).
    var isKnown: Bool { (33...48).contains(rawValue) || self == .encryptedFragment || self == .puzzleSolution }
}

/// KE: a group and a public value (RFC 7296 §3.4).
struct KeyExchangePayload: Hashable, Sendable {
    var group: KeyExchangeID
    var value: [UInt8]

    init(group: KeyExchangeID, value: [UInt8]) {
        self.group = group
        self.value = value
    }

    init(parsing payload: Payload) throws(ParseError) {
        var reader = ByteReader(payload.body)
        group = KeyExchangeID(rawValue: try reader.readUInt16())
        _ = try reader.readUInt16()
        value = Array(reader.readRest())
    }

    var payload: Payload {
        var body: [UInt8] = []
        body.append(bigEndian: group.rawValue)
        body.append(bigEndian: UInt16(0))
        return Payload(.keyExchangeV2, body: body + value)
    }
}

/// IDi and IDr (RFC 7296 §3.5).
enum IdentityPayload {
    static func parse(_ payload: Payload) throws(ParseError) -> Identity {
        var reader = ByteReader(payload.body)
        let kind = Identity.Kind(rawValue: try reader.readUInt8())
        _ = try reader.read(3)
        return Identity(kind, octets: Array(reader.readRest()))
    }

    /// The payload's body, which is also the `RestOfIDPayload` that AUTH covers (RFC 7296 §2.15).
    static func body(_ identity: Identity) -> [UInt8] { [identity.kind.rawValue, 0, 0, 0] + identity.octets }
}

/// AUTH (RFC 7296 §3.8).
struct AuthenticationPayload: Hashable, Sendable {
    static let sharedKey: UInt8 = 2
    var method: UInt8
    var proof: [UInt8]

    init(method: UInt8 = AuthenticationPayload.sharedKey, proof: [UInt8]) {
        self.method = method
        self.proof = proof
    }

    init(parsing payload: Payload) throws(ParseError) {
        var reader = ByteReader(payload.body)
        method = try reader.readUInt8()
        _ = try reader.read(3)
        proof = Array(reader.readRest())
    }

    var payload: Payload { Payload(.authentication, body: [method, 0, 0, 0] + proof) }
}

/// N (RFC 7296 §3.10).
struct NotifyPayload: Hashable, Sendable {
    /// 0 where no SPI goes with it.
    var securityProtocol: SecurityProtocol
    var spi: [UInt8]
    var type: NotificationType
    var data: [UInt8]

    init(
        _ type: NotificationType, protocol securityProtocol: SecurityProtocol = SecurityProtocol(rawValue: 0),
        spi: [UInt8] = [], data: [UInt8] = []
    ) {
        self.securityProtocol = securityProtocol
        self.spi = spi
        self.type = type
        self.data = data
    }

    init(parsing payload: Payload) throws(ParseError) {
        var reader = ByteReader(payload.body)
        securityProtocol = SecurityProtocol(rawValue: try reader.readUInt8())
        let spiOctets = Int(try reader.readUInt8())
        type = NotificationType(rawValue: try reader.readUInt16())
        spi = Array(try reader.read(spiOctets))
        data = Array(reader.readRest())
    }

    var payload: Payload {
        var body = [securityProtocol.rawValue, UInt8(truncatingIfNeeded: spi.count)]
        body.append(bigEndian: type.rawValue)
        return Payload(.notify, body: body + spi + data)
    }
}

/// D (RFC 7296 §3.11). Without SPIs it means the IKE SA that carries it.
struct DeletePayload: Hashable, Sendable {
    var securityProtocol: SecurityProtocol
    var spis: [SPI]

    /// The IKE SA itself.
    static let ike = DeletePayload(securityProtocol: .ike, spis: [])

    init(securityProtocol: SecurityProtocol, spis: [SPI]) {
        self.securityProtocol = securityProtocol
        self.spis = spis
    }

    init(parsing payload: Payload) throws(ParseError) {
        var reader = ByteReader(payload.body)
        securityProtocol = SecurityProtocol(rawValue: try reader.readUInt8())
        let spiOctets = try reader.readUInt8()
        let count = Int(try reader.readUInt16())
        spis = []
        guard count > 0 else { return }
        guard spiOctets == 4, reader.remaining == count * 4 else {
            throw .invalid(offset: payload.bodyOffset + 1, rule: "a Delete of AH or ESP SAs lists 4-octet SPIs")
        }
        spis.reserveCapacity(count)
        for _ in 0..<count { spis.append(SPI(try reader.readUInt32())) }
    }

    var payload: Payload {
        var body = [securityProtocol.rawValue, spis.isEmpty ? 0 : 4]
        body.append(bigEndian: UInt16(truncatingIfNeeded: spis.count))
        for spi in spis { body.append(bigEndian: spi.value) }
        return Payload(.deleteV2, body: body)
    }
}

/// TSi and TSr (RFC 7296 §3.13).
enum SelectorPayload {
    static func parse(_ payload: Payload) throws(ParseError) -> [TrafficSelector] {
        var reader = ByteReader(payload.body)
        let count = try reader.readUInt8()
        _ = try reader.read(3)
        var selectors: [TrafficSelector] = []
        for _ in 0..<count {
            let offset = payload.bodyOffset + reader.offset
            let type = try reader.readUInt8()
            let ipProtocol = try reader.readUInt8()
            let length = Int(try reader.readUInt16())
            guard length >= 8 else { throw .invalid(offset: offset, rule: "a selector is at least 8 octets long") }
            let firstPort = try reader.readUInt16()
            let lastPort = try reader.readUInt16()
            let addresses = try reader.read(length - 8)
            // Selector types other than address ranges are skipped: narrowing leaves them out (RFC 7296 §2.9).
            guard type == 7 || type == 8 else { continue }
            let half = type == 7 ? 4 : 16
            guard addresses.count == half * 2, let first = IPAddress(octets: addresses.prefix(half)),
                let last = IPAddress(octets: addresses.suffix(half)),
                let selector = TrafficSelector(
                    first: first, last: last, ipProtocol: ipProtocol, firstPort: firstPort, lastPort: lastPort),
                firstPort <= lastPort || selector.isOpaque
            else { throw .invalid(offset: offset, rule: "a selector is a range of addresses and of ports") }
            selectors.append(selector)
        }
        return selectors
    }

    static func payload(_ type: PayloadType, _ selectors: [TrafficSelector]) -> Payload {
        let selectors = selectors.prefix(TrafficSelector.maximumCount)
        var body: [UInt8] = [UInt8(truncatingIfNeeded: selectors.count), 0, 0, 0]
        for selector in selectors {
            body.append(selector.family == .v4 ? 7 : 8)
            body.append(selector.ipProtocol)
            body.append(bigEndian: UInt16(8 + 2 * selector.family.octetCount))
            body.append(bigEndian: selector.firstPort)
            body.append(bigEndian: selector.lastPort)
            body += selector.first.octets + selector.last.octets
        }
        return Payload(type, body: body)
    }
}
