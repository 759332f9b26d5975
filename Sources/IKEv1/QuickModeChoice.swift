import Cryptography
import IPsec
import IPsecDOI
import ISAKMP

/// What a responder chose of what a Quick Mode offers.
extension IKEv1Session {
    /// One SA payload of message 2: what the responder chose for a pair.
    func takeChoice(
        _ payload: Payload, of index: Int, _ quickMode: inout QuickMode
    ) throws(Fault) -> Suite {
        let choice = try IKEv1Session.securityAssociation([payload], situation: situation)
        let configured = PhaseTwoProposal.expressible(
            usable(quickMode.policy.proposals), group: quickMode.keyPair?.group)
        func taken(_ proposal: ProposalPayload) -> (kind: SecurityProtocol, spi: SPI, suite: Suite)? {
            guard proposal.transforms.count == 1, let kind = SecurityProtocol(phaseTwo: proposal.protocolID),
                let spi = SPI(octets: proposal.spi),
                let chosen = PhaseTwoProposal.proposal(proposal.transforms[0], kind),
                PhaseTwoProposal.encapsulation(proposal.transforms[0])?.mode == quickMode.policy.mode,
                case .success(let selection) = Proposal.select(configured: configured, offered: [chosen])
            else { return nil }
            return (kind, spi, selection.suite)
        }
        // AH first, where there are two.
        let chosen = choice.proposals.sorted { $0.protocolID < $1.protocolID }
        let halves = chosen.compactMap(taken)
        let kinds: [SecurityProtocol] = quickMode.policy.isBundle ? [.ah, .esp] : [halves.first?.kind ?? .esp]
        guard halves.count == chosen.count, halves.map(\.kind) == kinds, let main = halves.last,
            Set(chosen.map(\.number)).count == 1, Set(halves.map(\.suite.keyExchange)).count == 1
        else {
            throw .refused(
                .protocolViolation("the responder chose what was not offered"),
                notification: NotificationType.noProposalChosen)
        }
        quickMode.pairs[index].outboundSPI = main.spi
        quickMode.pairs[index].securityProtocol = main.kind
        quickMode.pairs[index].life = PhaseTwoLife(quickMode.policy).shorter(
            PhaseTwoProposal.life(chosen[chosen.count - 1].transforms[0]))
        guard halves.count == 2 else { return main.suite }
        quickMode.pairs[index].headerSPI = halves[0].spi
        return main.suite.inside(halves[0].suite)
    }

    /// The protocols of an SA's halves, of which Deletes tell one by one.
    static func protocols(_ main: SecurityProtocol, _ suite: Suite?) -> [SecurityProtocol] {
        suite?.header == nil ? [main] : [main, .ah]
    }
}

extension SecurityProtocol {
    /// A protocol of phase 2's proposals that makes an SA by itself; `nil` for others.
    init?(phaseTwo protocolID: UInt8) {
        guard [IPsecDOI.protocolAH, IPsecDOI.protocolESP].contains(protocolID) else { return nil }
        self.init(rawValue: protocolID)
    }
}

extension Suite {
    /// The suite of ESP with AH around it.
    func inside(_ header: Suite) -> Suite {
        var suite = self
        if let integrity = header.integrity {
            suite.header = Header(integrity: integrity, extendedSequenceNumbers: header.extendedSequenceNumbers)
        }
        return suite
    }
}

extension SPI {
    /// Four octets, and not of the reserved range.
    init?(octets: [UInt8]) {
        guard octets.count == 4 else { return nil }
        let value = octets.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        guard value > 255 else { return nil }
        self.init(value)
    }
}
