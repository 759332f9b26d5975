package import Cryptography
package import IPsec
package import ISAKMP

/// Phase 2 in the attributes of RFC 2407 §4.5: proposals for ESP and AH to proposals with transforms, and back.
package enum PhaseTwoProposal {
    private enum Attribute {
        static let group: UInt16 = 3
        static let encapsulation: UInt16 = 4
        static let authentication: UInt16 = 5
        static let keyLength: UInt16 = 6
        /// RFC 4304 §4.
        static let extendedSequenceNumbers: UInt16 = 11
    }

    /// Encapsulation modes (RFC 2407 §4.5, RFC 3947 §5.1; 61443 and 61444 in the drafts before it).
    package enum Encapsulation: UInt16, Sendable {
        case tunnel = 1
        case transport = 2
        case udpTunnel = 3
        case udpTransport = 4
        case draftUDPTunnel = 61_443
        case draftUDPTransport = 61_444

        /// - Parameter isDraft: whether the two ends speak of NAT as the drafts before RFC 3947 do.
        package init(_ mode: SecurityMode, inUDP: Bool, isDraft: Bool = false) {
            switch mode {
            case .tunnel: self = inUDP ? isDraft ? .draftUDPTunnel : .udpTunnel : .tunnel
            case .transport: self = inUDP ? isDraft ? .draftUDPTransport : .udpTransport : .transport
            }
        }

        package var mode: SecurityMode {
            switch self {
            case .tunnel, .udpTunnel, .draftUDPTunnel: .tunnel
            case .transport, .udpTransport, .draftUDPTransport: .transport
            }
        }

        package var isInUDP: Bool { self != .tunnel && self != .transport }
    }

    /// ESP transform identifiers (RFC 2407 §4.4.4, RFC 3602 §5.3, RFC 4106 §8.1, RFC 4312 §3.3, RFC 4543 §5.2). IKEv2 numbers
    /// all but the last two alike.
    private static let ciphers: [EncryptionID: UInt8] = [
        .tripleDES: 3, .null: 11, .aesCBC: 12, .aesCTR: 13, .aesCCM8: 14, .aesCCM12: 15, .aesCCM16: 16, .aesGCM8: 18,
        .aesGCM12: 19, .aesGCM16: 20, .camelliaCBC: 22, .aesGMAC: 23,
    ]

    private static let encryptions = Dictionary(uniqueKeysWithValues: ciphers.map { ($0.value, $0.key) })

    private static let authenticators: [(IntegrityID, UInt16)] = [
        (.hmacMD5_96, 1), (.hmacSHA1_96, 2), (.hmacSHA256_128, 5), (.hmacSHA384_192, 6), (.hmacSHA512_256, 7),
        (.aesXCBC_96, 9),
    ]

    /// AH transform identifiers (RFC 2407 §4.4.3, RFC 4868 §2.6, RFC 3566 §6). Beside the attribute that says the
    /// algorithm again they are redundant, and must agree with it (RFC 2407 §4.5).
    private static let headerTransforms: [IntegrityID: UInt8] = [
        .hmacMD5_96: 2, .hmacSHA1_96: 3, .hmacSHA256_128: 5, .hmacSHA384_192: 6, .hmacSHA512_256: 7, .aesXCBC_96: 9,
    ]

    /// The part of the configured proposals that phase 2 can express with one group for all, which a KE payload needs.
    package static func expressible(_ proposals: [Proposal], group: KeyExchangeID?) -> [Proposal] {
        proposals.compactMap { proposal in
            var proposal = proposal
            proposal.encryption.removeAll { ciphers[$0.id] == nil }
            proposal.integrity.removeAll { wanted in !authenticators.contains { $0.0 == wanted } }
            if proposal.integrity.isEmpty { proposal.encryption.removeAll { !$0.id.isAEAD } }
            let isEmpty =
                proposal.securityProtocol == .ah ? proposal.integrity.isEmpty : proposal.encryption.isEmpty
            guard let single = proposal.withoutAdditionalKeyExchanges else { return nil }
            proposal = single
            proposal.keyExchange.removeAll(where: \.isEncapsulation)
            if let group {
                guard proposal.keyExchange.contains(group) else { return nil }
                proposal.keyExchange = [group]
            } else {
                guard proposal.keyExchange.isEmpty || proposal.keyExchange.contains(.none) else { return nil }
                proposal.keyExchange = []
            }
            return isEmpty ? nil : proposal
        }
    }

    /// A proposal payload for each proposal, all alternatives with one SPI; in a bundle each of ESP, and with its number one of
    /// AH, which holds all that AH may be.
    package static func payload(
        _ proposals: [Proposal], isBundle: Bool = false, spi: [UInt8], encapsulation: Encapsulation, life: PhaseTwoLife
    ) -> SecurityAssociationPayload {
        var payloads: [ProposalPayload] = []
        let headers = isBundle ? proposals.filter { $0.securityProtocol == .ah } : []
        let header = headers.reduce(into: [TransformPayload]()) { all, proposal in
            all += transforms(of: proposal, encapsulation, life, after: all.count)
        }
        if isBundle, header.isEmpty {
            return SecurityAssociationPayload(IPsecDOI.self, situation: IPsecDOI.identityOnly, proposals: [])
        }
        var number: UInt8 = 0
        for proposal in proposals where payloads.count < SecurityAssociationPayload.maximumProposals {
            if isBundle, proposal.securityProtocol == .ah { continue }
            let transforms = transforms(of: proposal, encapsulation, life)
            guard !transforms.isEmpty else { continue }
            number += 1
            payloads.append(
                ProposalPayload(
                    number: number, protocolID: proposal.securityProtocol.rawValue, spi: spi, transforms: transforms))
            guard isBundle else { continue }
            payloads.append(
                ProposalPayload(
                    number: number, protocolID: SecurityProtocol.ah.rawValue, spi: spi, transforms: header))
        }
        return SecurityAssociationPayload(
            IPsecDOI.self, situation: IPsecDOI.identityOnly, proposals: payloads)
    }

    /// All alternatives of one proposal.
    private static func transforms(
        of proposal: Proposal, _ encapsulation: Encapsulation, _ life: PhaseTwoLife, after count: Int = 0
    ) -> [TransformPayload] {
        var transforms: [TransformPayload] = []
        func add(_ identifier: UInt8?, _ encryption: Encryption, _ integrity: UInt16?, extended: Bool) {
            guard count + transforms.count < SecurityAssociationPayload.maximumTransforms, let identifier else {
                return
            }
            var attributes = [DataAttribute(Attribute.encapsulation, encapsulation.rawValue)]
            if encryption.id.hasVariableKey, encryption.keyBits > 0 {
                attributes.append(
                    DataAttribute(Attribute.keyLength, UInt16(truncatingIfNeeded: encryption.keyBits)))
            }
            if let integrity { attributes.append(DataAttribute(Attribute.authentication, integrity)) }
            if let group = proposal.keyExchange.first {
                attributes.append(DataAttribute(Attribute.group, group.rawValue))
            }
            if extended { attributes.append(DataAttribute(Attribute.extendedSequenceNumbers, 1)) }
            attributes += life.attributes
            transforms.append(
                TransformPayload(
                    number: UInt8(count + transforms.count + 1), identifier: identifier,
                    attributes: attributes))
        }
        let numbers = proposal.extendedSequenceNumbers.isEmpty ? [false] : proposal.extendedSequenceNumbers
        let isAH = proposal.securityProtocol == .ah
        for encryption in isAH ? [Encryption(.null)] : proposal.encryption {
            for extended in numbers {
                if encryption.id.isAEAD {
                    add(ciphers[encryption.id], encryption, nil, extended: extended)
                } else {
                    for (id, number) in authenticators where proposal.integrity.contains(id) {
                        add(
                            isAH ? headerTransforms[id] : ciphers[encryption.id], encryption, number,
                            extended: extended)
                    }
                }
            }
        }
        return transforms
    }

    /// What a transform of an ESP or AH proposal offers; `nil` where it is unknown.
    package static func proposal(
        _ transform: TransformPayload, _ securityProtocol: SecurityProtocol = .esp
    ) -> Proposal? {
        let isAH = securityProtocol == .ah
        guard let cipher = isAH ? .null : encryptions[transform.identifier] else { return nil }
        func number(_ type: UInt16) -> UInt64? { transform.attribute(type)?.number }
        let keyBits = cipher.hasVariableKey ? Int(clamping: number(Attribute.keyLength) ?? 128) : 0
        guard (0...256).contains(keyBits) else { return nil }
        var integrity: [IntegrityID] = []
        if !cipher.isAEAD, let wanted = number(Attribute.authentication) {
            guard let known = authenticators.first(where: { UInt64($0.1) == wanted })?.0 else { return nil }
            integrity = [known]
        }
        if isAH, integrity.first.flatMap({ headerTransforms[$0] }) != transform.identifier { return nil }
        var groups: [KeyExchangeID] = []
        if let group = number(Attribute.group) {
            guard let group = UInt16(exactly: group) else { return nil }
            groups = [KeyExchangeID(rawValue: group)]
        }
        return Proposal(
            securityProtocol, encryption: isAH ? [] : [Encryption(cipher, keyBits: keyBits)], integrity: integrity,
            keyExchange: groups,
            extendedSequenceNumbers: [number(Attribute.extendedSequenceNumbers) == 1])
    }

    /// How a transform wraps packets. Tunnel mode where it does not say, as every peer has it.
    package static func encapsulation(_ transform: TransformPayload) -> Encapsulation? {
        switch transform.attribute(Attribute.encapsulation)?.number {
        case nil: .tunnel
        case let number?: UInt16(exactly: number).flatMap(Encapsulation.init(rawValue:))
        }
    }

    /// The lifetime that a transform names.
    package static func life(_ transform: TransformPayload) -> PhaseTwoLife { PhaseTwoLife(transform.attributes) }
}
