import IPsec
import ISAKMP
import Primitives

/// What one payload did in a negotiation, and which of the parts that IKE composes it belongs to: the framework
/// (ISAKMP), key determination (Oakley), authentication from shared secrets (SKEME), or the domain of interpretation.
struct PayloadRole {
    var name: String
    var part: String
    var deed: String

    static func of(_ payload: MessageTrace.Part, header: Header) -> PayloadRole {
        header.majorVersion == 2 ? version2(payload, header) : version1(payload, header)
    }

    // MARK: IKEv2

    private static func version2(_ payload: MessageTrace.Part, _ header: Header) -> PayloadRole {
        let body = payload.body
        let isResponse = header.flags.contains(.response)
        switch payload.type {
        case 33:
            let count = ProposalCount.of(body)
            return PayloadRole(
                name: "SA", part: "IPsec",
                deed: isResponse ? "chooses one suite" : "offers \(count) proposal\(count == 1 ? "" : "s")")
        case 34:
            return PayloadRole(
                name: "KE", part: "Oakley",
                deed: "public value of group \(number(body, at: 0)), \(body.count - 4) octets")
        case 35: return PayloadRole(name: "IDi", part: "IKEv2", deed: "the initiator is \(identity(body))")
        case 36: return PayloadRole(name: "IDr", part: "IKEv2", deed: "the responder is \(identity(body))")
        case 37: return PayloadRole(name: "CERT", part: "IKEv2", deed: "a certificate of \(body.count) octets")
        case 38: return PayloadRole(name: "CERTREQ", part: "IKEv2", deed: "asks for a certificate")
        case 39:
            return PayloadRole(
                name: "AUTH", part: "SKEME",
                deed:
                    "proves the identity over the first message, the peer's nonce and the ID, by \(authentication(body))"
            )
        case 40:
            return PayloadRole(
                name: isResponse ? "Nr" : "Ni", part: "Oakley",
                deed: "nonce of \(body.count) octets, for the keys and against replay")
        case 41: return PayloadRole(name: "N", part: "IKEv2", deed: notification(body))
        case 42: return PayloadRole(name: "D", part: "IKEv2", deed: deletion(body, protocolOffset: 0))
        case 43: return PayloadRole(name: "V", part: "IKEv2", deed: "vendor ID \(body.prefix(8).hex)")
        case 44: return PayloadRole(name: "TSi", part: "IPsec", deed: selectors(body, "the initiator's side"))
        case 45: return PayloadRole(name: "TSr", part: "IPsec", deed: selectors(body, "the responder's side"))
        case 46: return PayloadRole(name: "SK", part: "IKEv2", deed: "encrypted payloads, \(body.count) octets")
        case 47: return PayloadRole(name: "CP", part: "IKEv2", deed: "configuration")
        case 48: return PayloadRole(name: "EAP", part: "IKEv2", deed: "EAP message of \(body.count) octets")
        case 53:
            return PayloadRole(
                name: "SKF", part: "IKEv2", deed: "fragment \(number(body, at: 0)) of \(number(body, at: 2))")
        case 54: return PayloadRole(name: "PS", part: "IKEv2", deed: "solution of a puzzle, \(body.count) octets")
        default: return PayloadRole(name: "\(payload.type)", part: "?", deed: "\(body.count) octets")
        }
    }

    private static func authentication(_ body: [UInt8]) -> String {
        switch body.first {
        case 1: "an RSA signature"
        case 2: "the pre-shared key"
        case 9, 10, 11: "an ECDSA signature"
        case 13: "no authentication"
        case 14: "a digital signature"
        default: "method \(body.first ?? 0)"
        }
    }

    private static func notification(_ body: [UInt8]) -> String {
        guard body.count >= 4 else { return "a notification that is cut off" }
        let type = number(body, at: 2)
        return NotificationNames.version2(type)
    }

    private static func selectors(_ body: [UInt8], _ side: String) -> String {
        var texts: [String] = []
        var reader = ByteReader(body.dropFirst(4))
        while texts.count < 16, let type = try? reader.readUInt8(), let ipProtocol = try? reader.readUInt8(),
            let length = try? reader.readUInt16(), length >= 8,
            let rest = try? reader.read(Int(length) - 4)
        {
            let width = type == 7 ? 4 : 16
            guard rest.count == 4 + 2 * width else { break }
            let start = rest.startIndex
            let port = { (offset: Int) in UInt16(rest[start + offset]) << 8 | UInt16(rest[start + offset + 1]) }
            guard let first = IPAddress(octets: rest[(start + 4)..<(start + 4 + width)]),
                let last = IPAddress(octets: rest[(start + 4 + width)...]),
                let selector = TrafficSelector(
                    first: first, last: last, ipProtocol: ipProtocol, firstPort: port(0), lastPort: port(2))
            else { break }
            texts.append("\(selector)")
        }
        return "\(side) is \(texts.isEmpty ? "?" : texts.joined(separator: " "))"
    }

    // MARK: IKEv1

    private static func version1(_ payload: MessageTrace.Part, _ header: Header) -> PayloadRole {
        let body = payload.body
        switch PayloadType(rawValue: payload.type) {
        case .securityAssociation:
            return PayloadRole(name: "SA", part: "ISAKMP", deed: "negotiates an SA; its proposals are the IPsec DOI's")
        case .keyExchange:
            return PayloadRole(name: "KE", part: "Oakley", deed: "public value, \(body.count) octets")
        case .nonce:
            return PayloadRole(
                name: "NONCE", part: "Oakley", deed: "\(body.count) octets, for the keys and against replay")
        case .identification:
            return PayloadRole(
                name: "ID", part: "DOI",
                deed: header.messageID != 0
                    ? "a side of the tunnel is \(range(body))"
                    : isPlain(body) ? "the sender is \(identity(body))" : "who the sender is, encrypted")
        case .hash:
            return header.messageID == 0
                ? PayloadRole(
                    name: "HASH", part: "SKEME", deed: "proves that the sender knows SKEYID")
                : PayloadRole(name: "HASH", part: "IKE", deed: "authenticates the message under SKEYID_a")
        case .signature: return PayloadRole(name: "SIG", part: "IKE", deed: "proves the identity with a signature")
        case .certificate: return PayloadRole(name: "CERT", part: "ISAKMP", deed: "a certificate")
        case .certificateRequest: return PayloadRole(name: "CERTREQ", part: "ISAKMP", deed: "asks for a certificate")
        case .notification:
            let type = body.count >= 8 ? number(body, at: 6) : 0
            return PayloadRole(
                name: "N", part: type >= 24_576 ? "DOI" : "ISAKMP", deed: NotificationNames.version1(type))
        case .delete: return PayloadRole(name: "D", part: "ISAKMP", deed: deletion(body, protocolOffset: 4))
        case .vendorID: return PayloadRole(name: "VID", part: "ISAKMP", deed: VendorNames.name(body))
        case .natDiscovery, .natDiscoveryDraft:
            return PayloadRole(name: "NAT-D", part: "IKE", deed: "hash of an address and port as the sender sees them")
        case .natOriginalAddress, .natOriginalAddressDraft:
            return PayloadRole(name: "NAT-OA", part: "IKE", deed: "the address before translation")
        case .fragment:
            return PayloadRole(
                name: "FRAG", part: "IKE",
                deed: body.count >= 4 ? "piece \(body[2]) of a message\(body[3] & 1 != 0 ? ", the last" : "")" : "?")
        case .attributes: return PayloadRole(name: "ATTR", part: "IKE", deed: "configuration attributes")
        default: return PayloadRole(name: "\(payload.type)", part: "?", deed: "\(body.count) octets")
        }
    }

    /// Whether an ID payload of phase 1 can be read: protocol and port are 0, or UDP's and one of IKE's (RFC 2407 §4.6.2).
    /// Otherwise the body is a ciphertext (RFC 2409 §5.2, §5.3).
    private static func isPlain(_ body: [UInt8]) -> Bool {
        guard body.count > 4 else { return true }
        return (body[1] == 0 || body[1] == 17) && [0, 500, 4500].contains(number(body, at: 2))
    }

    /// A phase 2 identification: an address, a subnet or a range (RFC 2407 §4.6.2).
    private static func range(_ body: [UInt8]) -> String {
        guard body.count >= 8 else { return "?" }
        let octets = Array(body[4...])
        switch body[0] {
        case 4 where octets.count == 8, 6 where octets.count == 32:
            let half = octets.count / 2
            let length = octets[half...].reduce(0) { $0 + $1.nonzeroBitCount }
            return IPAddress(octets: octets[..<half]).map { "\($0)/\(length)" } ?? "?"
        case 7 where octets.count == 8, 8 where octets.count == 32:
            let half = octets.count / 2
            guard let first = IPAddress(octets: octets[..<half]), let last = IPAddress(octets: octets[half...]) else {
                return "?"
            }
            return "\(first)-\(last)"
        default: return identity(body)
        }
    }

    // MARK: Both

    private static func number(_ body: [UInt8], at offset: Int) -> UInt16 {
        guard body.count >= offset + 2 else { return 0 }
        return UInt16(body[offset]) << 8 | UInt16(body[offset + 1])
    }

    private static func identity(_ body: [UInt8]) -> String {
        guard body.count >= 4 else { return "?" }
        return "\(Identity(Identity.Kind(rawValue: body[0]), octets: Array(body[4...])))"
    }

    private static func deletion(_ body: [UInt8], protocolOffset: Int) -> String {
        guard body.count >= protocolOffset + 4 else { return "a deletion that is cut off" }
        let count = number(body, at: protocolOffset + 2)
        switch body[protocolOffset] {
        case 1: return "deletes this IKE SA"
        case 2: return "deletes \(count) AH SA\(count == 1 ? "" : "s")"
        case 3:
            return "deletes \(count) ESP SA\(count == 1 ? "" : "s"), SPI \(body[(protocolOffset + 4)...].prefix(4).hex)"
        default: return "deletes an SA of protocol \(body[protocolOffset])"
        }
    }
}

/// Counts the proposals of an IKEv2 SA payload.
private enum ProposalCount {
    static func of(_ body: [UInt8]) -> Int {
        var reader = ByteReader(body)
        var count = 0
        while !reader.isAtEnd, count < 255, (try? reader.readUInt8()) != nil, (try? reader.readUInt8()) != nil,
            let length = try? reader.readUInt16(), length >= 4, (try? reader.read(Int(length) - 4)) != nil
        {
            count += 1
        }
        return count
    }
}
