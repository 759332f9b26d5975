package import Cryptography
package import IPsec
package import ISAKMP

/// Phase 1 in the attributes of RFC 2409 Appendix A: proposals to transforms and back.
package enum PhaseOneProposal {
    /// KEY_IKE (RFC 2407 §4.4.2).
    static let keyIKE: UInt8 = 1

    private enum Attribute {
        static let encryption: UInt16 = 1
        static let hash: UInt16 = 2
        static let authentication: UInt16 = 3
        static let group: UInt16 = 4
        static let lifeType: UInt16 = 11
        static let lifeDuration: UInt16 = 12
        static let keyLength: UInt16 = 14
    }

    private static let ciphers: [(EncryptionID, UInt16)] = [(.tripleDES, 5), (.aesCBC, 7), (.camelliaCBC, 8)]

    private static let hashes: [(HashID, IntegrityID)] = [
        (.md5, .hmacMD5_96), (.sha1, .hmacSHA1_96), (.sha256, .hmacSHA256_128), (.sha384, .hmacSHA384_192),
        (.sha512, .hmacSHA512_256),
    ]

    /// The part of the configured proposals that phase 1 can express: no AEADs (IKEv1 has none for its own messages),
    /// and one hash for both uses.
    package static func expressible(_ proposals: [Proposal]) -> [Proposal] {
        proposals.compactMap { proposal in
            var proposal = proposal
            proposal.encryption.removeAll { cipher in !ciphers.contains { $0.0 == cipher.id } }
            let usable = hashes.filter { hash, integrity in
                hash.prf.map(proposal.prf.contains) == true && proposal.integrity.contains(integrity)
            }
            proposal.integrity = proposal.integrity.filter { wanted in usable.contains { $0.1 == wanted } }
            // Version 1 has one key exchange, and numbers for groups alone.
            guard let single = proposal.withoutAdditionalKeyExchanges else { return nil }
            proposal = single
            proposal.keyExchange.removeAll(where: \.isEncapsulation)
            proposal.prf = proposal.prf.filter { wanted in usable.contains { $0.0.prf == wanted } }
            let isEmpty = proposal.encryption.isEmpty || proposal.prf.isEmpty || proposal.keyExchange.isEmpty
            return isEmpty ? nil : proposal
        }
    }

    /// One proposal with a transform for every combination, in order of preference.
    package static func payload(
        _ proposals: [Proposal], lifeSeconds: UInt32, methods: [PhaseOneMethod] = [.preSharedKey]
    ) -> SecurityAssociationPayload {
        var transforms: [TransformPayload] = []
        for proposal in expressible(proposals) {
            for encryption in proposal.encryption {
                for prf in proposal.prf {
                    for group in proposal.keyExchange {
                        for method in methods where transforms.count < 255 {
                            guard let attributes = attributes(encryption, prf, group, method, lifeSeconds) else {
                                continue
                            }
                            transforms.append(
                                TransformPayload(
                                    number: UInt8(transforms.count + 1), identifier: keyIKE, attributes: attributes))
                        }
                    }
                }
            }
        }
        return SecurityAssociationPayload(
            IPsecDOI.self, situation: IPsecDOI.identityOnly,
            proposals: [
                ProposalPayload(number: 1, protocolID: IPsecDOI.protocolISAKMP, spi: [], transforms: transforms)
            ])
    }

    private static func attributes(
        _ encryption: Encryption, _ prf: PRFID, _ group: KeyExchangeID, _ method: PhaseOneMethod,
        _ lifeSeconds: UInt32
    ) -> [DataAttribute]? {
        guard let cipher = ciphers.first(where: { $0.0 == encryption.id })?.1, let hash = prf.hash else { return nil }
        var attributes = [DataAttribute(Attribute.encryption, cipher)]
        if encryption.keyBits > 0 {
            attributes.append(DataAttribute(Attribute.keyLength, UInt16(truncatingIfNeeded: encryption.keyBits)))
        }
        attributes += [
            DataAttribute(Attribute.hash, hash.rawValue), DataAttribute(Attribute.group, group.rawValue),
            DataAttribute(Attribute.authentication, method.rawValue),
        ]
        guard lifeSeconds > 0 else { return attributes }
        return attributes
            + IPsecDOI.lifetime(lifeSeconds, type: Attribute.lifeType, duration: Attribute.lifeDuration)
    }

    /// The authentication method that a transform names, if it is one that is spoken here.
    package static func method(_ transform: TransformPayload) -> PhaseOneMethod? {
        let number = transform.attribute(Attribute.authentication)?.number.flatMap { UInt16(exactly: $0) }
        return PhaseOneMethod.all.first { $0.rawValue == number }
    }

    /// What a transform offers; `nil` where that, or its authentication method, is unknown.
    package static func proposal(_ transform: TransformPayload) -> Proposal? {
        func number(_ type: UInt16) -> UInt64? { transform.attribute(type)?.number }
        guard transform.identifier == keyIKE, method(transform) != nil,
            let cipher = ciphers.first(where: { UInt64($0.1) == number(Attribute.encryption) })?.0,
            let (hash, integrity) = hashes.first(where: { UInt64($0.0.rawValue) == number(Attribute.hash) }),
            let prf = hash.prf, let group = number(Attribute.group).flatMap({ UInt16(exactly: $0) })
        else { return nil }
        // AES without a key length means 128 bits to some peers; RFC 3602 §5.2 wants it said.
        let keyBits = cipher.hasVariableKey ? Int(clamping: number(Attribute.keyLength) ?? 128) : 0
        guard (0...256).contains(keyBits) else { return nil }
        return Proposal(
            .ike, encryption: [Encryption(cipher, keyBits: keyBits)], integrity: [integrity], prf: [prf],
            keyExchange: [KeyExchangeID(rawValue: group)])
    }

    /// The number of the group that a transform names; `nil` where it names none.
    package static func group(_ transform: TransformPayload) -> KeyExchangeID? {
        transform.attribute(Attribute.group)?.number.flatMap { UInt16(exactly: $0) }
            .map { KeyExchangeID(rawValue: $0) }
    }

    /// The attribute that names a group by its number.
    package static func groupAttribute(_ group: KeyExchangeID) -> DataAttribute {
        DataAttribute(Attribute.group, group.rawValue)
    }

    /// The same transform with other attributes in the place of its group's, whether that was a number or a description
    /// (RFC 2409 Appendix A: 4 to 10, 15 and 16).
    package static func replacingGroup(
        of transform: TransformPayload, by attributes: [DataAttribute]
    ) -> TransformPayload {
        var transform = transform
        transform.attributes.removeAll { (4...10).contains($0.type) || $0.type == 15 || $0.type == 16 }
        transform.attributes += attributes
        return transform
    }

    /// The lifetime of the ISAKMP SA that RESPONDER-LIFETIME names, in seconds (RFC 2407 §4.6.3.1); `nil` for none.
    package static func lifeSeconds(of data: [UInt8]) -> UInt32? {
        IPsecDOI.attributes(data, atMost: 16).flatMap {
            IPsecDOI.lifetime($0, type: Attribute.lifeType, duration: Attribute.lifeDuration)
        }
    }

    /// The lifetime that a transform names, in seconds.
    package static func lifeSeconds(_ transform: TransformPayload) -> UInt32? {
        IPsecDOI.lifetime(transform.attributes, type: Attribute.lifeType, duration: Attribute.lifeDuration)
    }
}
