import Cryptography
import IPsec
import ISAKMP
import Primitives

/// One proposal of an SA payload (RFC 7296 §3.3.1) with what the SPI field carries.
struct OfferedProposal: Hashable, Sendable {
    var number: UInt8
    var spi: [UInt8]
    var proposal: Proposal
    /// Whether it holds only transform types that we know; others must be refused (RFC 7296 §3.3.6).
    var isUnderstood: Bool
}

/// SA (RFC 7296 §3.3).
///
///     +---------------+---------------+-------------------------------+
///     | Last? (2/0)   |   Reserved    |        Proposal length        |
///     | Proposal num  |  Protocol ID  |   SPI size    | Num transforms|
///     |                        SPI (variable)                         |
///     |                   transforms (variable)                       |
///     +---------------------------------------------------------------+
enum ProposalPayload {
    /// More proposals, or transforms in one of them, are refused: charon's default offers stay below 50 transforms.
    static let maximumProposals = 32
    static let maximumTransforms = 128

    private static let keyLengthAttribute: UInt16 = 0x800E

    static func parse(_ payload: Payload) throws(ParseError) -> [OfferedProposal] {
        var reader = ByteReader(payload.body)
        var offers: [OfferedProposal] = []
        var isLast = false
        while !isLast {
            let offset = payload.bodyOffset + reader.offset
            guard offers.count < maximumProposals else {
                throw .invalid(offset: offset, rule: "an SA payload holds at most \(maximumProposals) proposals")
            }
            isLast = try reader.readUInt8() == 0
            _ = try reader.readUInt8()
            let length = Int(try reader.readUInt16())
            guard length >= 8 else { throw .invalid(offset: offset, rule: "a proposal is at least 8 octets long") }
            var inner = ByteReader(try reader.read(length - 4))
            let number = try inner.readUInt8()
            let securityProtocol = SecurityProtocol(rawValue: try inner.readUInt8())
            let spiOctets = Int(try inner.readUInt8())
            let transforms = Int(try inner.readUInt8())
            guard transforms <= maximumTransforms else {
                throw .invalid(offset: offset, rule: "a proposal holds at most \(maximumTransforms) transforms")
            }
            let spi = Array(try inner.read(spiOctets))
            var offer = OfferedProposal(
                number: number, spi: spi, proposal: Proposal(securityProtocol, encryption: []), isUnderstood: true)
            for _ in 0..<transforms { try readTransform(into: &offer, &inner, base: payload.bodyOffset) }
            guard inner.isAtEnd else {
                throw .invalid(offset: payload.bodyOffset + inner.offset, rule: "octets follow the last transform")
            }
            offers.append(offer)
        }
        guard reader.isAtEnd else {
            throw .invalid(offset: payload.bodyOffset + reader.offset, rule: "octets follow the last proposal")
        }
        return offers
    }

    /// A transform with an attribute that we do not know is left out, as RFC 7296 §3.3.6 wants it.
    private static func readTransform(
        into offer: inout OfferedProposal, _ reader: inout ByteReader, base: Int
    ) throws(ParseError) {
        let offset = base + reader.offset
        _ = try reader.readUInt16()
        let length = Int(try reader.readUInt16())
        guard length >= 8 else { throw .invalid(offset: offset, rule: "a transform is at least 8 octets long") }
        var inner = ByteReader(try reader.read(length - 4))
        let type = try inner.readUInt8()
        _ = try inner.readUInt8()
        let number = try inner.readUInt16()
        var keyBits: UInt16?
        while !inner.isAtEnd {
            let attribute = try inner.readUInt16()
            let value = try inner.readUInt16()
            if attribute == keyLengthAttribute, keyBits == nil {
                keyBits = value
            } else if attribute & 0x8000 != 0 {
                return
            } else {
                _ = try inner.read(Int(value))
                return
            }
        }
        let first = TransformKind.additionalKeyExchange.rawValue
        if type >= first, type < first + UInt8(Proposal.maximumAdditional) {
            offer.proposal.appendAdditional(KeyExchangeID(rawValue: number), slot: Int(type - first))
            return
        }
        guard let kind = TransformKind(rawValue: type) else {
            offer.isUnderstood = false
            return
        }
        switch kind {
        case .encryption:
            let id = EncryptionID(rawValue: number)
            guard (keyBits != nil) == id.hasVariableKey else { return }
            offer.proposal.encryption.append(Encryption(id, keyBits: Int(keyBits ?? 0)))
        case .prf: offer.proposal.prf.append(PRFID(rawValue: number))
        case .integrity: offer.proposal.integrity.append(IntegrityID(rawValue: number))
        case .keyExchange: offer.proposal.keyExchange.append(KeyExchangeID(rawValue: number))
        case .extendedSequenceNumbers:
            if number <= 1 { offer.proposal.extendedSequenceNumbers.append(number == 1) }
        case .additionalKeyExchange: break
        }
    }

    /// The proposals that go on the wire for configured ones: ciphers with and without integrity stand apart
    /// (RFC 7296 §3.3.3).
    static func split(_ proposals: [Proposal]) -> [Proposal] {
        proposals.flatMap { proposal -> [Proposal] in
            if proposal.securityProtocol == .ah { return proposal.integrity.isEmpty ? [] : [proposal] }
            var combined = proposal
            combined.encryption = proposal.encryption.filter(\.id.isAEAD)
            combined.integrity = []
            var separate = proposal
            separate.encryption = proposal.encryption.filter { !$0.id.isAEAD }
            separate.integrity = proposal.integrity.filter { $0 != .none }
            return [combined, separate].filter { !$0.encryption.isEmpty }
        }
    }

    /// An offer of `proposals`, numbered from 1, each with the same SPI.
    static func offer(_ proposals: [Proposal], spi: [UInt8]) -> Payload {
        let split = split(proposals).prefix(maximumProposals)
        return payload(
            split.enumerated().map { index, proposal in
                OfferedProposal(
                    number: UInt8(truncatingIfNeeded: index + 1), spi: spi, proposal: proposal, isUnderstood: true)
            })
    }

    /// The answer: the one proposal that was taken, under the number it was offered with. An additional key exchange that
    /// was offered and is left out is said to be (RFC 9370 §2.2.1).
    static func answer(_ suite: Suite, to offer: OfferedProposal, spi: [UInt8]) -> Payload {
        let securityProtocol = offer.proposal.securityProtocol
        var proposal = Proposal(
            securityProtocol, encryption: securityProtocol == .ah ? [] : [suite.encryption],
            integrity: suite.integrity.map { [$0] } ?? [],
            prf: suite.prf.map { [$0] } ?? [], keyExchange: suite.keyExchange.map { [$0] } ?? [],
            extendedSequenceNumbers: securityProtocol == .ike ? [] : [suite.extendedSequenceNumbers])
        for (slot, offered) in offer.proposal.additionalKeyExchanges.enumerated() where !offered.isEmpty {
            let chosen = suite.additionalKeyExchanges
            proposal.appendAdditional(slot < chosen.count ? chosen[slot] : .none, slot: slot)
        }
        return payload([OfferedProposal(number: offer.number, spi: spi, proposal: proposal, isUnderstood: true)])
    }

    private static func payload(_ offers: [OfferedProposal]) -> Payload {
        var body: [UInt8] = []
        for (index, offer) in offers.enumerated() {
            let transforms = transforms(of: offer.proposal)
            let start = body.count
            body += [index + 1 < offers.count ? 2 : 0, 0, 0, 0]
            body += [offer.number, offer.proposal.securityProtocol.rawValue]
            body += [UInt8(truncatingIfNeeded: offer.spi.count), UInt8(truncatingIfNeeded: transforms.count)]
            body += offer.spi
            for (index, transform) in transforms.enumerated() {
                body += [index + 1 < transforms.count ? 3 : 0, 0]
                body.append(bigEndian: UInt16(transform.keyBits == nil ? 8 : 12))
                body += [transform.kind, 0]
                body.append(bigEndian: transform.number)
                if let keyBits = transform.keyBits {
                    body.append(bigEndian: keyLengthAttribute)
                    body.append(bigEndian: keyBits)
                }
            }
            body.overwrite(bigEndian: UInt16(truncatingIfNeeded: body.count - start), at: start + 2)
        }
        return Payload(.securityAssociationV2, body: body)
    }

    private struct Transform {
        /// A ``TransformKind`` by its number, or that of an additional key exchange.
        var kind: UInt8
        var number: UInt16
        var keyBits: UInt16?
    }

    private static func transforms(of proposal: Proposal) -> [Transform] {
        var transforms: [Transform] = []
        for encryption in proposal.encryption {
            transforms.append(
                Transform(
                    kind: TransformKind.encryption.rawValue, number: encryption.id.rawValue,
                    keyBits: encryption.id.hasVariableKey ? UInt16(truncatingIfNeeded: encryption.keyBits) : nil))
        }
        func add(_ kind: TransformKind, _ numbers: [UInt16], slot: UInt8 = 0) {
            transforms += numbers.map { Transform(kind: kind.rawValue + slot, number: $0) }
        }
        add(.integrity, proposal.integrity.map(\.rawValue))
        add(.prf, proposal.prf.map(\.rawValue))
        add(.keyExchange, proposal.keyExchange.map(\.rawValue))
        for (slot, groups) in proposal.additionalKeyExchanges.prefix(Proposal.maximumAdditional).enumerated() {
            add(.additionalKeyExchange, groups.map(\.rawValue), slot: UInt8(slot))
        }
        if proposal.securityProtocol != .ike {
            let numbers = proposal.extendedSequenceNumbers.isEmpty ? [false] : proposal.extendedSequenceNumbers
            add(.extendedSequenceNumbers, numbers.map { $0 ? 1 : 0 })
        }
        return transforms
    }
}

extension Proposal {
    /// Adds an alternative for the additional key exchange behind `slot` others.
    fileprivate mutating func appendAdditional(_ group: KeyExchangeID, slot: Int) {
        while additionalKeyExchanges.count <= slot { additionalKeyExchanges.append([]) }
        additionalKeyExchanges[slot].append(group)
    }
}
