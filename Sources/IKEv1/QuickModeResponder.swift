import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives

extension IKEv1Session {
    /// Message 1 at the responder: authenticate, choose, install the inbound SA, then message 2.
    mutating func receiveFirst(
        _ datagram: Datagram, _ header: Header, _ phaseOne: PhaseOne, _ context: inout Context
    ) throws(Fault) {
        guard isOpenToPeer else { throw .dropped("Quick Mode before Extended Authentication has passed") }
        guard !isInUse(messageID: header.messageID) else { throw .dropped("the message ID is another exchange's") }
        guard quickModes.count < IKEv1Session.maximumQuickModes, children.count < IKEv1Session.maximumChildren else {
            throw .dropped("too many IPsec SAs on one ISAKMP SA")
        }
        guard !phaseOne.spentMessageIDs.contains(header.messageID) else { throw .dropped("a Quick Mode that is over") }
        guard phaseOne.spentMessageIDs.count < PhaseOne.maximumMessageIDs else {
            throw .dropped("too many Quick Modes on one ISAKMP SA")
        }
        var chain = CipherChain(
            iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: header.messageID))
        var exchange = Exchange(Exchanges.quickMode, role: .responder, messageID: header.messageID)
        let opened = try chain.open(datagram.octets, header: header, keys: phaseOne.keys)
        try check(opened.payloads, of: exchange, isEncrypted: true)
        let expected = try phaseOne.keys.authenticator([header.messageID.octets, opened.restOfFirst])
        guard ConstantTime.equal(opened.payloads[0].body, expected) else { throw .dropped("HASH(1) does not hold") }
        follow(datagram, &context)
        trace(datagram, opened.payloads, isProtected: true, &context)
        exchange.accept(datagram.octets)
        do throws(Fault) {
            try answer(opened.payloads, exchange, chain, phaseOne, &context)
            // One that is refused may come again: its refusal may have been lost.
            var spent = phaseOne
            spent.spentMessageIDs.append(header.messageID)
            phase = .established(spent)
        } catch {
            guard case .refused(let refusal, let notification) = error else { throw error }
            if let notification {
                sendProtectedNotification(notification, keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
            }
            context.report(.refused(child: nil, refusal))
        }
    }

    private mutating func answer(
        _ payloads: [Payload], _ exchange: Exchange, _ chain: CipherChain, _ phaseOne: PhaseOne,
        _ context: inout Context
    ) throws(Fault) {
        let offer = try IKEv1Session.securityAssociation(payloads, situation: situation)
        let named = try selectors(payloads, role: .responder)
        let local = named.local ?? TrafficSelector(local.address)
        let remote = named.remote ?? TrafficSelector(remoteDynamicAddresses.first ?? remote.address)
        let policies = policies(local: local, remote: remote)
        guard !policies.isEmpty else {
            throw .refused(selectorRefusal(local, remote), notification: NotificationType.invalidIDInformation)
        }
        let (policy, selection, chosen) = try select(offer, policies)
        guard let spi = SPI(octets: chosen.proposal.spi) else { throw .dropped("an ESP SPI has 4 octets") }
        let nonce = payloads.first { $0.type == .nonce }?.body ?? []
        guard Negotiation.nonceRange.contains(nonce.count) else { throw .dropped("a nonce has 8 to 256 octets") }
        let existing = children.first { $0.name == policy.name }
        var quickMode = QuickMode(
            exchange: exchange, policy: policy, child: context.environment.freshChildID(),
            requestID: policy.requestID != 0
                ? policy.requestID : existing?.requestID ?? context.environment.freshRequestID(),
            inboundSPI: context.takeSPI(), chain: chain, localSelector: local, remoteSelector: remote,
            narrowed: narrowed(policy, local: local, remote: remote))
        quickMode.peerNonce = nonce
        quickMode.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        quickMode.securityProtocol = SecurityProtocol(rawValue: chosen.proposal.protocolID)
        quickMode.lifeSeconds = PhaseTwoProposal.lifeSeconds(chosen.transform)
        var proposal = chosen.proposal
        proposal.spi = quickMode.inboundSPI.value.octets
        proposal.transforms = [chosen.transform]
        let choice = SecurityAssociationPayload(
            IPsecDOI.self, situation: offer.situation, proposals: [proposal])
        var reply = [
            Payload(.securityAssociation, body: choice.body), Payload(.nonce, body: quickMode.ownNonce),
        ]
        if let group = selection.suite.keyExchange {
            let pair = try makeKeyPair(group, &context)
            quickMode.keyPair = pair
            reply.append(Payload(.keyExchange, body: pair.publicValue))
        }
        // The identities come back as they were said.
        reply += payloads.filter { $0.type == .identification }
        let pair: (inbound: SecurityAssociation, outbound: SecurityAssociation)
        do throws(Fault) {
            pair = try associations(
                &quickMode, selection.suite, peerSPI: spi,
                peerValue: payloads.first { $0.type == .keyExchange }?.body, phaseOne, &context)
        } catch {
            context.giveBack(quickMode.inboundSPI)
            throw error
        }
        context.emit(.install(pair.inbound))
        quickMode.outbound = pair.outbound
        try sendAnswer(reply, &quickMode, phaseOne.keys, &context)
        quickModes.append(quickMode)
    }

    /// HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr]; repeated until message 3 comes.
    private func sendAnswer(
        _ payloads: [Payload], _ quickMode: inout QuickMode, _ keys: PhaseOneKeys, _ context: inout Context
    ) throws(Fault) {
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        let hash = try keys.authenticator([quickMode.messageID.octets, quickMode.peerNonce, rest])
        let all = [Payload(.hash, body: hash)] + payloads
        let octets = try quickMode.chain.seal(
            all, header: header(.quickMode, messageID: quickMode.messageID), keys: keys)
        quickMode.exchange.send(octets)
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        trace(datagram, all, isProtected: true, isOutgoing: true, &context)
        context.emit(.send(datagram))
        context.set(
            .retransmit(spi: ownCookie, messageID: quickMode.messageID),
            after: context.settings.retransmitDelay(attempt: 0))
    }

    /// The children whose selectors cover both sides; IKEv1 cannot narrow.
    private func policies(local: TrafficSelector, remote: TrafficSelector) -> [ChildPolicy] {
        (connection?.children ?? []).filter { policy in
            let narrowed = narrowed(policy, local: local, remote: remote)
            let localCovers = localSelectors(of: policy).contains { $0.contains(local) }
            let remoteCovers = remoteSelectors(of: policy).contains { $0.contains(remote) }
            // A split tunnel's ends say more than they mean, one of the two sides at a time.
            return policy.action == nil && (localCovers || narrowed?.remote == [remote])
                && (remoteCovers || narrowed?.local == [local])
                && (localCovers || remoteCovers)
        }
    }

    private func selectorRefusal(_ local: TrafficSelector, _ remote: TrafficSelector) -> Refusal {
        let children = connection?.children ?? []
        return .selectors(
            offeredLocal: [local], offeredRemote: [remote],
            configuredLocal: children.flatMap { localSelectors(of: $0) },
            configuredRemote: children.flatMap { remoteSelectors(of: $0) })
    }

    private typealias Chosen = (proposal: ProposalPayload, transform: TransformPayload)

    /// The first policy with a proposal in common with the offer.
    private func select(
        _ offer: SecurityAssociationPayload, _ policies: [ChildPolicy]
    ) throws(Fault) -> (ChildPolicy, Selection, Chosen) {
        // Proposals of one number belong together (AH with ESP, or IPComp): none of ours does.
        let counts = Dictionary(grouping: offer.proposals, by: \.number).mapValues(\.count)
        let single = offer.proposals.compactMap { proposal in
            SecurityProtocol(phaseTwo: proposal.protocolID).flatMap { kind in
                counts[proposal.number] == 1 ? (proposal: proposal, securityProtocol: kind) : nil
            }
        }
        var mismatch: Mismatch?
        for policy in policies {
            let known = single.flatMap { proposal, securityProtocol in
                proposal.transforms.compactMap { transform -> (chosen: Chosen, value: Proposal)? in
                    guard let value = PhaseTwoProposal.proposal(transform, securityProtocol),
                        let encapsulation = PhaseTwoProposal.encapsulation(transform),
                        encapsulation.mode == policy.mode, encapsulation.isInUDP == nat.isEncapsulating
                    else { return nil }
                    return ((proposal, transform), value)
                }
            }
            let group = known.first?.value.keyExchange.first
            let configured = PhaseTwoProposal.expressible(usable(policy.proposals), group: group)
            switch Proposal.select(configured: configured, offered: known.map(\.value)) {
            case .success(let selection): return (policy, selection, known[selection.offer].chosen)
            case .failure(let refused):
                // What is configured is shown whole, not only what the offered group leaves of it.
                let shown = Proposal.select(configured: policy.proposals, offered: known.map(\.value))
                if case .failure(let whole) = shown { mismatch = mismatch ?? whole.mismatch }
                mismatch = mismatch ?? refused.mismatch
            }
        }
        throw .refused(
            .noProposal(
                policies.first?.proposals.first?.securityProtocol ?? .esp,
                mismatch ?? Mismatch(configured: [], offered: [], clashes: [])),
            notification: NotificationType.noProposalChosen)
    }
}
