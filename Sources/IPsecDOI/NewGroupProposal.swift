package import Cryptography
package import ISAKMP

/// The SA payload of New Group Mode (RFC 2409 §5.6): a proposal for ISAKMP with one transform, which gives a private
/// number to a group's description.
package enum NewGroupProposal {
    /// One transform: the number, then the attributes that describe the group (RFC 2409 Appendix A).
    package static func payload(
        _ number: KeyExchangeID, _ description: [DataAttribute]
    ) -> SecurityAssociationPayload {
        let transform = TransformPayload(
            number: 1, identifier: PhaseOneProposal.keyIKE,
            attributes: [PhaseOneProposal.groupAttribute(number)] + description)
        return SecurityAssociationPayload(
            IPsecDOI.self, situation: IPsecDOI.identityOnly,
            proposals: [
                ProposalPayload(number: 1, protocolID: IPsecDOI.protocolISAKMP, spi: [], transforms: [transform])
            ])
    }

    /// The number that a transform gives to its group; `nil` where it gives none, or is for something else.
    package static func group(_ transform: TransformPayload) -> KeyExchangeID? {
        transform.identifier == PhaseOneProposal.keyIKE ? PhaseOneProposal.group(transform) : nil
    }
}
