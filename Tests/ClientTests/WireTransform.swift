import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives

/// A transform of version 1 as a client writes it: its attributes in the client's order (RFC 2408 §3.6).
struct WireTransform: Sendable {
    var identifier: UInt8
    var attributes: [DataAttribute]

    /// How a client says lifetimes: in two octets where these are enough, or always in four.
    enum LifeForm: Sendable {
        case shortest
        case fourOctets

        func attribute(_ type: UInt16, _ value: UInt32) -> DataAttribute {
            switch self {
            case .shortest: DataAttribute(type, number: value)
            case .fourOctets:
                DataAttribute(type, octets: [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) })
            }
        }
    }

    /// Numbers of ciphers in phase 1 (RFC 2409 Appendix A).
    enum PhaseOneCipher: Sendable {
        case des
        case tripleDES
        case aes(UInt16)

        fileprivate var number: UInt16 {
            switch self {
            case .des: 1
            case .tripleDES: 5
            case .aes: 7
            }
        }
    }

    /// Phase 1 (RFC 2409 Appendix A), as Windows orders it: cipher, its key's length, hash, group, method, lifetime.
    static func windows(_ cipher: PhaseOneCipher, _ hash: HashID, _ group: KeyExchangeID, _ method: UInt16)
        -> WireTransform
    {
        var attributes = [DataAttribute(1, cipher.number)]
        if case .aes(let bits) = cipher { attributes.append(DataAttribute(14, bits)) }
        attributes += [
            DataAttribute(2, hash.rawValue), DataAttribute(4, group.rawValue), DataAttribute(3, method),
            DataAttribute(11, 1), LifeForm.fourOctets.attribute(12, 28_800),
        ]
        return WireTransform(identifier: 1, attributes: attributes)
    }

    /// Phase 1 as racoon orders it, which iOS, macOS and Android have: lifetime, cipher, its key's length, method, hash, group.
    static func racoon(
        _ cipher: PhaseOneCipher, _ hash: HashID, _ group: KeyExchangeID, _ method: UInt16, seconds: UInt32
    ) -> WireTransform {
        var attributes = [
            DataAttribute(11, 1), LifeForm.shortest.attribute(12, seconds), DataAttribute(1, cipher.number),
        ]
        if case .aes(let bits) = cipher { attributes.append(DataAttribute(14, bits)) }
        attributes += [DataAttribute(3, method), DataAttribute(2, hash.rawValue), DataAttribute(4, group.rawValue)]
        return WireTransform(identifier: 1, attributes: attributes)
    }

    /// What ESP's transform is (RFC 2407 §4.4.4).
    struct Payload: Sendable {
        var identifier: UInt8
        var keyBits: UInt16?

        static let des = Payload(identifier: 2)
        static let tripleDES = Payload(identifier: 3)
        static let null = Payload(identifier: 11)
        static func aes(_ bits: UInt16) -> Payload { Payload(identifier: 12, keyBits: bits) }
    }

    /// HMAC's numbers in phase 2 (RFC 2407 §4.5).
    enum Authenticator: UInt16, Sendable {
        case md5 = 1
        case sha1 = 2
        case sha256 = 5
    }

    /// Phase 2 (RFC 2407 §4.5).
    ///
    /// - Parameter kilobytes: none where the client names no such limit.
    static func esp(
        _ payload: Payload, _ authenticator: Authenticator, encapsulation: UInt16, seconds: UInt32,
        kilobytes: UInt32? = nil, _ form: LifeForm = .shortest
    ) -> WireTransform {
        var attributes = [DataAttribute(4, encapsulation)]
        if let bits = payload.keyBits { attributes.append(DataAttribute(6, bits)) }
        attributes += [
            DataAttribute(5, authenticator.rawValue), DataAttribute(1, 1), form.attribute(2, seconds),
        ]
        if let kilobytes { attributes += [DataAttribute(1, 2), form.attribute(2, kilobytes)] }
        return WireTransform(identifier: payload.identifier, attributes: attributes)
    }

    /// The SA payload of phase 1: one proposal without an SPI.
    static func phaseOne(_ transforms: [WireTransform]) -> [UInt8] {
        body([ProposalPayload(number: 1, protocolID: 1, spi: [], transforms: numbered(transforms))])
    }

    /// The SA payload of phase 2 with all transforms in one proposal, as racoon has it.
    static func together(_ transforms: [WireTransform], spi: SPI) -> [UInt8] {
        body([ProposalPayload(number: 1, protocolID: 3, spi: spi.wire, transforms: numbered(transforms))])
    }

    /// The SA payload of phase 2 with a proposal for each transform, as Windows has it.
    static func apart(_ transforms: [WireTransform], spi: SPI) -> [UInt8] {
        body(
            transforms.enumerated().map { index, transform in
                ProposalPayload(
                    number: UInt8(index + 1), protocolID: 3, spi: spi.wire, transforms: numbered([transform]))
            })
    }

    private static func numbered(_ transforms: [WireTransform]) -> [TransformPayload] {
        transforms.enumerated().map { index, transform in
            TransformPayload(
                number: UInt8(index + 1), identifier: transform.identifier, attributes: transform.attributes)
        }
    }

    private static func body(_ proposals: [ProposalPayload]) -> [UInt8] {
        SecurityAssociationPayload(IPsecDOI.self, situation: IPsecDOI.identityOnly, proposals: proposals).body
    }
}

/// Vendor IDs that clients of version 1 send, beside those that this project has itself.
enum ClientVendorID {
    static let rfc3947: [UInt8] = [
        0x4A, 0x13, 0x1C, 0x81, 0x07, 0x03, 0x58, 0x45, 0x5C, 0x57, 0x28, 0xF2, 0x0E, 0x95, 0x45, 0x2F,
    ]
    /// MD5 of the draft's name, as all these are: the name without a number.
    static let natDraft: [UInt8] = [
        0x4D, 0xF3, 0x79, 0x28, 0xE9, 0xFC, 0x4F, 0xD1, 0xB3, 0x26, 0x21, 0x70, 0xD5, 0x15, 0xC6, 0x62,
    ]
    static let natDraft08: [UInt8] = [
        0x8F, 0x8D, 0x83, 0x82, 0x6D, 0x24, 0x6B, 0x6F, 0xC7, 0xA8, 0xA6, 0xA4, 0x28, 0xC1, 0x1D, 0xE8,
    ]
    static let natDraft03: [UInt8] = [
        0x7D, 0x94, 0x19, 0xA6, 0x53, 0x10, 0xCA, 0x6F, 0x2C, 0x17, 0x9D, 0x92, 0x15, 0x52, 0x9D, 0x56,
    ]
    static let natDraft02: [UInt8] = [
        0xCD, 0x60, 0x46, 0x43, 0x35, 0xDF, 0x21, 0xF8, 0x7C, 0xFD, 0xB2, 0xFC, 0x68, 0xB6, 0xA4, 0x48,
    ]
    static let natDraft02LineFeed: [UInt8] = [
        0x90, 0xCB, 0x80, 0x91, 0x3E, 0xBB, 0x69, 0x6E, 0x08, 0x63, 0x81, 0xB5, 0xEC, 0x42, 0x7B, 0x1F,
    ]
    /// The drafts between, whose hashes nobody here knows: what stands for them is computed as they are.
    static func natDraft(_ number: Int) throws -> [UInt8] {
        try Digest.compute(.md5, [.open(Array("draft-ietf-ipsec-nat-t-ike-0\(number)".utf8))])
    }

    static let extendedAuthentication: [UInt8] = [0x09, 0x00, 0x26, 0x89, 0xDF, 0xD6, 0xB7, 0x12]
    static let unity: [UInt8] = [
        0x12, 0xF5, 0xF2, 0x8C, 0x45, 0x71, 0x68, 0xA9, 0x70, 0x2D, 0x9F, 0xE2, 0x74, 0xCC, 0x01, 0x00,
    ]
    static let deadPeerDetection: [UInt8] = [
        0xAF, 0xCA, 0xD7, 0x13, 0x68, 0xA1, 0xF1, 0xC9, 0x6B, 0x86, 0x96, 0xFC, 0x77, 0x57, 0x01, 0x00,
    ]
    /// "FRAGMENTATION"; racoon has four octets of capabilities behind it, Windows none.
    static let fragmentation: [UInt8] = [
        0x40, 0x48, 0xB7, 0xD5, 0x6E, 0xBC, 0xE8, 0x85, 0x25, 0xE7, 0xDE, 0x7F, 0x00, 0xD6, 0xC2, 0xD3,
    ]
    /// "MS NT5 ISAKMPOAKLEY", and a version: 4 in Windows XP, 8 from Windows 7 on.
    static func windows(_ version: UInt8) -> [UInt8] {
        [
            0x1E, 0x2B, 0x51, 0x69, 0x05, 0x99, 0x1C, 0x7D, 0x7C, 0x96, 0xFC, 0xBF, 0xB5, 0x87, 0xE4, 0x61, 0, 0, 0,
            version,
        ]
    }
    /// What Windows says before that one since Windows 8; nobody has said what it means.
    static let windowsFirst: [UInt8] = [
        0x01, 0x52, 0x8B, 0xBB, 0xC0, 0x06, 0x96, 0x12, 0x18, 0x49, 0xAB, 0x9A, 0x1C, 0x5B, 0x2A, 0x51, 0, 0, 0, 1,
    ]
    /// "MS-Negotiation Discovery Capable", "Vid-Initial-Contact" and "IKE CGA version 1".
    static let windowsLast: [[UInt8]] = [
        [0xFB, 0x1D, 0xE3, 0xCD, 0xF3, 0x41, 0xB7, 0xEA, 0x16, 0xB7, 0xE5, 0xBE, 0x08, 0x55, 0xF1, 0x20],
        [0x26, 0x24, 0x4D, 0x38, 0xED, 0xDB, 0x61, 0xB3, 0x17, 0x2A, 0x36, 0xE3, 0xD0, 0xCF, 0xB8, 0x19],
        [0xE3, 0xA5, 0x96, 0x6A, 0x76, 0x37, 0x9F, 0xE7, 0x07, 0x22, 0x82, 0x31, 0xE5, 0xCE, 0x86, 0x52],
    ]
}
