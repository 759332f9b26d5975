import ISAKMP
import Testing

/// RFC 2408 §4.2: proposals of one number are meant together, those of different numbers are alternatives.
@Suite struct ProposalSelectionTests {
    private func transform(_ number: UInt8, _ identifier: UInt8, _ attributes: [DataAttribute] = []) -> TransformPayload
    {
        TransformPayload(number: number, identifier: identifier, attributes: attributes)
    }

    private func proposal(_ number: UInt8, _ protocolID: UInt8, _ transforms: TransformPayload...) -> ProposalPayload {
        ProposalPayload(number: number, protocolID: protocolID, spi: [protocolID], transforms: transforms)
    }

    private func offer(_ proposals: ProposalPayload...) -> SecurityAssociationPayload {
        SecurityAssociationPayload(GenericDOI.self, situation: [], proposals: proposals)
    }

    /// The example of §4.2: AH and ESP together, or ESP alone.
    private var example: SecurityAssociationPayload {
        offer(
            proposal(1, 2, transform(1, 3), transform(2, 2)), proposal(1, 3, transform(1, 12)),
            proposal(2, 3, transform(1, 12), transform(2, 3)))
    }

    @Test func alternativesKeepTogetherWhatIsMeantTogether() {
        let alternatives = example.alternatives
        #expect(alternatives.map(\.number) == [1, 2])
        #expect(alternatives.map { $0.protocols.map(\.protocolID) } == [[2, 3], [3]])
        let again = SecurityAssociationPayload(GenericDOI.self, situation: [], alternatives: alternatives)
        #expect(again == example)
        // Numbers need not come in a row.
        let scattered = offer(
            proposal(7, 2, transform(1, 2)), proposal(3, 3, transform(1, 3)), proposal(7, 3, transform(1, 3)))
        #expect(scattered.alternatives.map { $0.protocols.map(\.protocolID) } == [[2, 3], [3]])
    }

    @Test func anANDIsTakenWholeOrNotAtAll() throws {
        let whole = try #require(example.choice { _, _, _ in true })
        #expect(whole.proposals.map(\.protocolID) == [2, 3] && whole.proposals.allSatisfy { $0.transforms.count == 1 })
        #expect(whole.proposals[0].transforms[0].identifier == 3)
        // AH is not accepted: neither is the ESP that goes with it.
        let alone = try #require(example.choice { _, proposal, _ in proposal.protocolID == 3 })
        #expect(alone.proposals.map(\.number) == [2])
        #expect(example.choice { _, proposal, _ in proposal.protocolID == 2 } == nil)
        #expect(example.choice { _, _, _ in false } == nil)
    }

    @Test func aPolicyIsHeldAgainstWholeAlternatives() throws {
        let both = offer(proposal(1, 2, transform(9, 2)), proposal(1, 3, transform(9, 12)))
        #expect(try #require(example.choice(among: both)).proposals.map(\.protocolID) == [2, 3])
        #expect(example.choice(among: both)?.proposals[0].transforms[0].identifier == 2)
        // One protocol of one alternative and one of another make none.
        let apart = offer(proposal(1, 2, transform(1, 2)), proposal(2, 3, transform(1, 77)))
        #expect(example.choice(among: apart) == nil)
        let esp = offer(proposal(1, 3, transform(1, 3)))
        #expect(try #require(example.choice(among: esp)).proposals[0].number == 2)
        var otherDomain = esp
        otherDomain.doi = 1
        #expect(example.choice(among: otherDomain) == nil)
        #expect(example.choice(among: esp) { _, _ in false } == nil)
    }

    @Test func attributesDecide() {
        let strong = offer(proposal(1, 1, transform(1, 1, [DataAttribute(1, 7), DataAttribute(14, 256)])))
        let reordered = offer(proposal(1, 1, transform(4, 1, [DataAttribute(14, 256), DataAttribute(1, 7)])))
        let weak = offer(proposal(1, 1, transform(1, 1, [DataAttribute(1, 7), DataAttribute(14, 128)])))
        #expect(strong.choice(among: reordered) != nil && strong.choice(among: weak) == nil)
    }

    @Test func anInitiatorSeesWhetherItsOfferWasTakenAsItStands() throws {
        let answer = try #require(example.choice { _, _, _ in true })
        #expect(example.allows(answer))
        var otherSPI = answer
        otherSPI.proposals[0].spi = [9, 9, 9, 9]
        #expect(example.allows(otherSPI))
        var changed = answer
        changed.proposals[0].transforms[0].attributes = [DataAttribute(1, 1)]
        #expect(!example.allows(changed))
        var half = answer
        half.proposals.removeLast()
        #expect(!example.allows(half))
        var number = answer
        number.proposals[0].number = 2
        #expect(!example.allows(number))
        var several = answer
        several.proposals[0].transforms = example.proposals[0].transforms
        #expect(!example.allows(several))
        var domain = answer
        domain.doi = 1
        #expect(!example.allows(domain))
        var none = answer
        none.proposals = []
        #expect(!example.allows(none))
    }

    @Test func theFirstOfEachIsWhatAnEagerInitiatorMeans() {
        #expect(example.first.proposals.map { $0.transforms.count } == [1, 1] && !example.isSingle)
        #expect(example.first.isSingle)
    }
}
