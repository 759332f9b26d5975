/// Proposals as RFC 2408 §4.2 means them: an offer is an OR of alternatives, in order of preference; an alternative is
/// an AND of protocols, the proposals of one number; and each protocol has an OR of transforms.
extension SecurityAssociationPayload {
    /// Protocols that are meant together.
    package struct Alternative: Hashable, Sendable {
        package var number: UInt8
        package var protocols: [ProposalPayload]

        package init(number: UInt8, protocols: [ProposalPayload]) {
            self.number = number
            self.protocols = protocols
        }
    }

    /// The alternatives, in the order in which their numbers first stand.
    package var alternatives: [Alternative] {
        var alternatives: [Alternative] = []
        for proposal in proposals {
            if let index = alternatives.firstIndex(where: { $0.number == proposal.number }) {
                alternatives[index].protocols.append(proposal)
            } else {
                alternatives.append(Alternative(number: proposal.number, protocols: [proposal]))
            }
        }
        return alternatives
    }

    package init<DOI: DomainOfInterpretation>(_: DOI.Type, situation: [UInt8], alternatives: [Alternative]) {
        self.init(
            DOI.self, situation: situation,
            proposals: alternatives.flatMap { alternative in
                alternative.protocols.map { proposal in
                    var proposal = proposal
                    proposal.number = alternative.number
                    return proposal
                }
            })
    }

    /// The answer to this offer: the first alternative of which every protocol has a transform that is accepted, each with
    /// the first such transform. "The responder MUST select a single proposal" (RFC 2408 §4.2), so a part of an AND is
    /// never taken. `nil` where none fits.
    ///
    /// - Parameter isAccepted: asked for each protocol and transform; `alternative` has the whole AND.
    package func choice(
        _ isAccepted: (_ alternative: Alternative, _ proposal: ProposalPayload, _ transform: TransformPayload) -> Bool
    ) -> SecurityAssociationPayload? {
        for alternative in alternatives {
            var chosen: [ProposalPayload] = []
            for proposal in alternative.protocols {
                guard let transform = proposal.transforms.first(where: { isAccepted(alternative, proposal, $0) }) else {
                    break
                }
                chosen.append(
                    ProposalPayload(
                        number: proposal.number, protocolID: proposal.protocolID, spi: proposal.spi,
                        transforms: [transform]))
            }
            if chosen.count == alternative.protocols.count {
                var answer = self
                answer.proposals = chosen
                return answer
            }
        }
        return nil
    }

    /// The answer by a policy that is itself written as an offer: an alternative is taken where one of the policy's has
    /// the same protocols, each with a transform of that meaning. Parts of two alternatives of the policy are never mixed.
    ///
    /// - Parameter isWanted: a last word on a proposal and transform.
    package func choice(
        among policy: SecurityAssociationPayload,
        where isWanted: (_ proposal: ProposalPayload, _ transform: TransformPayload) -> Bool = { _, _ in true }
    ) -> SecurityAssociationPayload? {
        guard policy.doi == doi, policy.situation == situation else { return nil }
        let accepted = policy.alternatives
        for alternative in alternatives {
            var one = self
            one.proposals = alternative.protocols
            for known in accepted where known.protocols.count == alternative.protocols.count {
                let found = one.choice { _, proposal, transform in
                    known.protocols.contains { $0.accepts(transform, of: proposal) } && isWanted(proposal, transform)
                }
                if let found { return found }
            }
        }
        return nil
    }

    /// Whether a responder's answer takes one alternative of this offer as it stands, with one transform for each of its
    /// protocols and no attribute changed (RFC 2408 §4.2: "the initiator MUST verify that"). SPIs are the responder's.
    package func allows(_ answer: SecurityAssociationPayload) -> Bool {
        guard answer.doi == doi, answer.situation == situation, let number = answer.proposals.first?.number,
            let alternative = alternatives.first(where: { $0.number == number }),
            alternative.protocols.count == answer.proposals.count
        else { return false }
        return zip(alternative.protocols, answer.proposals).allSatisfy { offered, taken in
            taken.number == number && taken.protocolID == offered.protocolID && taken.transforms.count == 1
                && offered.transforms.contains(taken.transforms[0])
        }
    }

    /// Whether the offer has one alternative of one transform a protocol, as the Aggressive exchange needs it
    /// (RFC 2408 §4.7).
    package var isSingle: Bool {
        alternatives.count == 1 && proposals.allSatisfy { $0.transforms.count == 1 }
    }

    /// The first alternative with each protocol's first transform.
    package var first: SecurityAssociationPayload {
        var first = self
        first.proposals = (alternatives.first?.protocols ?? []).map { proposal in
            var proposal = proposal
            proposal.transforms = Array(proposal.transforms.prefix(1))
            return proposal
        }
        return first
    }
}

extension ProposalPayload {
    /// Whether a transform that is offered in another proposal for the same protocol means what one of these does.
    fileprivate func accepts(_ transform: TransformPayload, of other: ProposalPayload) -> Bool {
        protocolID == other.protocolID
            && transforms.contains {
                $0.identifier == transform.identifier && Set($0.attributes) == Set(transform.attributes)
            }
    }
}
