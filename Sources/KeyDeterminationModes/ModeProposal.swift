package import ISAKMP

/// An ISAKMP SA's offers under DOI 0: suites to transforms and back.
package enum ModeProposal {
    /// AES-GCM with a tag of 16 octets, of the range for private use (RFC 2409 Appendix A).
    package static let aesGCM: UInt16 = 65_001
    /// KEY_IKE's place (RFC 2407 §4.4.2): the transform says nothing itself, its attributes do.
    private static let identifier: UInt8 = 1

    private enum Attribute {
        static let cipher: UInt16 = 1
        static let hash: UInt16 = 2
        static let authentication: UInt16 = 3
        static let group: UInt16 = 4
        static let keyLength: UInt16 = 14
    }

    /// Authentication methods by the numbers of RFC 2409 Appendix A.
    private static let methods: [(ExchangeSuite.Authentication, UInt16)] = [
        (.sharedKey, 1), (.signature, 3), (.encryption, 4),
    ]

    /// One proposal for the ISAKMP SA with a transform for each suite, in order of preference.
    package static func offer(_ suites: [ExchangeSuite]) -> SecurityAssociationPayload {
        SecurityAssociationPayload(
            GenericDOI.self, situation: [],
            proposals: [
                ProposalPayload(
                    number: 1, protocolID: GenericDOI.protocolISAKMP, spi: [],
                    transforms: suites.prefix(SecurityAssociationPayload.maximumTransforms).enumerated().map {
                        TransformPayload(
                            number: UInt8(truncatingIfNeeded: $0 + 1), identifier: identifier,
                            attributes: attributes($1))
                    })
            ])
    }

    private static func attributes(_ suite: ExchangeSuite) -> [DataAttribute] {
        let method = methods.first { $0.0 == suite.authentication }?.1 ?? 0
        return [
            DataAttribute(Attribute.cipher, suite.cipher),
            DataAttribute(Attribute.keyLength, UInt16(truncatingIfNeeded: suite.keyBits)),
            DataAttribute(Attribute.hash, suite.hash), DataAttribute(Attribute.authentication, method),
        ] + (suite.group == 0 ? [] : [DataAttribute(Attribute.group, number: suite.group)])
    }

    /// What a transform says; `nil` where it is not understood.
    package static func suite(_ transform: TransformPayload) -> ExchangeSuite? {
        func number(_ type: UInt16) -> UInt64? { transform.attribute(type)?.number }
        // An attribute that stands twice could be read in two ways.
        guard transform.identifier == identifier,
            Set(transform.attributes.map(\.type)).count == transform.attributes.count,
            number(Attribute.cipher) == UInt64(aesGCM), let keyBits = number(Attribute.keyLength),
            [128, 192, 256].contains(keyBits),
            let hash = number(Attribute.hash).flatMap({ UInt16(exactly: $0) }), [1, 2, 4, 5, 6].contains(hash),
            let method = methods.first(where: { UInt64($0.1) == number(Attribute.authentication) })?.0,
            let group = UInt32(exactly: number(Attribute.group) ?? 0)
        else { return nil }
        return ExchangeSuite(
            cipher: aesGCM, keyBits: Int(keyBits), hash: hash, authentication: method, group: group)
    }
}
