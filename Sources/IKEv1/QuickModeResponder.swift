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
        guard hasRoom, children.count < IKEv1Session.maximumChildren else {
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
        makeRoom()
        follow(datagram, &context)
        trace(datagram, opened.payloads, isProtected: true, &context)
        exchange.accept(datagram.octets)
        do throws(Fault) {
            try answer(opened.payloads, exchange, chain, header, phaseOne, &context)
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
        _ payloads: [Payload], _ exchange: Exchange, _ chain: CipherChain, _ header: Header, _ phaseOne: PhaseOne,
        _ context: inout Context
    ) throws(Fault) {
        let offered = payloads.filter { $0.type == .securityAssociation }
        guard offered.count <= QuickMode.maximumPairs,
            children.count + offered.count <= IKEv1Session.maximumChildren
        else {
            throw .refused(
                .policy("a Quick Mode of \(offered.count) SAs"),
                notification: NotificationType.noProposalChosen)
        }
        var offers: [SecurityAssociationPayload] = []
        for payload in offered {
            offers.append(try IKEv1Session.securityAssociation([payload], situation: situation))
        }
        let originals = try originalAddresses(in: payloads)
        let named = try selectors(
            addressing(payloads, by: originals, isTunnel: offers.contains(where: \.namesTunnel)), role: .responder)
        let local = translated(named.local, isLocal: true, originals) ?? TrafficSelector(local.address)
        let remote =
            translated(named.remote, isLocal: false, originals)
            ?? TrafficSelector(remoteDynamicAddresses.first ?? remote.address)
        let policies = policies(local: local, remote: remote)
        guard !policies.isEmpty else {
            throw .refused(selectorRefusal(local, remote), notification: NotificationType.invalidIDInformation)
        }
        let nonce = payloads.first { $0.type == .nonce }?.body ?? []
        guard Negotiation.nonceRange.contains(nonce.count) else { throw .dropped("a nonce has 8 to 256 octets") }
        // What is offered in one Quick Mode belongs together (RFC 2409 §5.5): all of it is taken, or nothing.
        let (policy, choices) = try select(offers, policies)
        guard Set(choices.map(\.spi)).count == choices.count else { throw .dropped("two SAs with one SPI") }
        let existing = children.first { $0.name == policy.name }
        let pairs = choices.map { choice in
            QuickMode.Pair(
                child: context.environment.freshChildID(), inboundSPI: context.takeSPI(), outboundSPI: choice.spi,
                securityProtocol: choice.securityProtocol, headerSPI: choice.header?.spi,
                life: PhaseTwoLife(policy).shorter(PhaseTwoProposal.life(choice.transform)))
        }
        var quickMode = QuickMode(
            exchange: exchange, policy: policy,
            requestID: policy.requestID != 0
                ? policy.requestID : existing?.requestID ?? context.environment.freshRequestID(),
            pairs: pairs, chain: chain, localSelector: local, remoteSelector: remote,
            narrowed: narrowed(policy, local: local, remote: remote))
        quickMode.peerNonce = nonce
        quickMode.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        quickMode.awaitsConnected = header.flags.contains(.commit)
        var reply = zip(choices, pairs).map { choice, pair in
            let halves =
                [(choice.proposal, choice.transform)] + (choice.header.map { [($0.proposal, $0.transform)] } ?? [])
            let proposals = halves.map { proposal, transform in
                var proposal = proposal
                proposal.spi = pair.inboundSPI.value.octets
                proposal.transforms = [transform]
                return proposal
            }
            let body = SecurityAssociationPayload(
                IPsecDOI.self, situation: IPsecDOI.octets(situation), proposals: proposals
            ).body
            return Payload(.securityAssociation, body: body)
        }
        reply.append(Payload(.nonce, body: quickMode.ownNonce))
        var made: [(inbound: SecurityAssociation, outbound: SecurityAssociation)] = []
        do throws(Fault) {
            if let group = choices[0].suite.keyExchange {
                let pair = try makeKeyPair(group, &context)
                quickMode.keyPair = pair
                reply.append(Payload(.keyExchange, body: pair.publicValue))
            }
            let shared = try sharedSecret(quickMode, payloads)
            for (index, choice) in choices.enumerated() {
                made.append(try associations(&quickMode, index, choice.suite, shared, phaseOne, &context))
            }
        } catch {
            for pair in pairs { context.giveBack(pair.inboundSPI) }
            throw error
        }
        // The identities come back as they were said.
        reply += payloads.filter { $0.type == .identification } + originalAddresses(policy)
        reply += announcements(quickMode, choices.map { PhaseTwoProposal.life($0.transform) })
        for (index, pair) in made.enumerated() {
            context.emit(.install(pair.inbound))
            quickMode.pairs[index].outbound = pair.outbound
        }
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
        var header = header(.quickMode, messageID: quickMode.messageID)
        // We say when our SAs are in place (RFC 2408 §3.1).
        if connection?.asksCommit == true { header.flags.insert(.commit) }
        let octets = try quickMode.chain.seal(all, header: header, keys: keys)
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

    /// What is taken of one SA payload.
    private struct Choice {
        var proposal: ProposalPayload
        var transform: TransformPayload
        var suite: Suite
        var securityProtocol: SecurityProtocol
        var spi: SPI
        /// AH around it.
        var header: Header?

        struct Header {
            var proposal: ProposalPayload
            var transform: TransformPayload
            var spi: SPI
        }
    }

    /// The first policy that takes something of every offer.
    private func select(
        _ offers: [SecurityAssociationPayload], _ policies: [ChildPolicy]
    ) throws(Fault) -> (ChildPolicy, [Choice]) {
        var mismatch: Mismatch?
        for policy in policies {
            var choices: [Choice] = []
            for offer in offers {
                guard let choice = choose(offer, policy, group: choices.first?.suite.keyExchange, &mismatch) else {
                    break
                }
                choices.append(choice)
            }
            // One KE payload serves all SAs, so all of them have its group, or none has one.
            let groups = Set(choices.map(\.suite.keyExchange))
            if choices.count == offers.count, groups.count == 1 { return (policy, choices) }
        }
        throw .refused(
            .noProposal(
                policies.first?.proposals.first?.securityProtocol ?? .esp,
                mismatch ?? Mismatch(configured: [], offered: [], clashes: [])),
            notification: NotificationType.noProposalChosen)
    }

    private func choose(
        _ offer: SecurityAssociationPayload, _ policy: ChildPolicy, group wanted: KeyExchangeID?,
        _ mismatch: inout Mismatch?
    ) -> Choice? {
        if policy.isBundle { return chooseBundle(offer, policy, group: wanted, &mismatch) }
        // Proposals of one number are meant together (RFC 2408 §4.2: AH with ESP, or IPComp); to take one of them alone
        // would not be what is offered.
        let counts = Dictionary(grouping: offer.proposals, by: \.number).mapValues(\.count)
        let known = offer.proposals.filter { counts[$0.number] == 1 }.flatMap { alternatives($0, policy) }
        let group = wanted ?? known.first?.value.keyExchange.first
        let configured = PhaseTwoProposal.expressible(usable(policy.proposals), group: group)
        switch Proposal.select(configured: configured, offered: known.map(\.value)) {
        case .success(let selection):
            let chosen = known[selection.offer]
            return Choice(
                proposal: chosen.proposal, transform: chosen.transform, suite: selection.suite,
                securityProtocol: chosen.kind, spi: chosen.spi)
        case .failure(let refused):
            // What is configured is shown whole, not only what the offered group leaves of it.
            let shown = Proposal.select(configured: policy.proposals, offered: known.map(\.value))
            if case .failure(let whole) = shown { mismatch = mismatch ?? whole.mismatch }
            mismatch = mismatch ?? refused.mismatch
            return nil
        }
    }

    /// A transform of an offer that is understood.
    private struct Known {
        var proposal: ProposalPayload
        var transform: TransformPayload
        var kind: SecurityProtocol
        var spi: SPI
        var value: Proposal
    }

    /// What of a proposal is understood, and wraps packets as the policy does.
    private func alternatives(_ proposal: ProposalPayload, _ policy: ChildPolicy) -> [Known] {
        guard let kind = SecurityProtocol(phaseTwo: proposal.protocolID), let spi = SPI(octets: proposal.spi) else {
            return []
        }
        return proposal.transforms.compactMap { transform in
            guard let value = PhaseTwoProposal.proposal(transform, kind),
                let encapsulation = PhaseTwoProposal.encapsulation(transform),
                encapsulation.mode == policy.mode, encapsulation.isInUDP == nat.isEncapsulating
            else { return nil }
            return Known(proposal: proposal, transform: transform, kind: kind, spi: spi, value: value)
        }
    }

    /// The first number under which ESP and AH, and nothing else, are offered together, and both suit.
    private func chooseBundle(
        _ offer: SecurityAssociationPayload, _ policy: ChildPolicy, group wanted: KeyExchangeID?,
        _ mismatch: inout Mismatch?
    ) -> Choice? {
        var numbers: [UInt8] = []
        for proposal in offer.proposals where !numbers.contains(proposal.number) { numbers.append(proposal.number) }
        for number in numbers {
            let together = offer.proposals.filter { $0.number == number }
            guard together.count == 2 else { continue }
            let known = together.flatMap { alternatives($0, policy) }
            let group = wanted ?? known.first?.value.keyExchange.first
            let configured = PhaseTwoProposal.expressible(usable(policy.proposals), group: group)
            func half(_ kind: SecurityProtocol) -> (Known, Suite)? {
                let offered = known.filter { $0.kind == kind }
                switch Proposal.select(
                    configured: configured.filter { $0.securityProtocol == kind }, offered: offered.map(\.value))
                {
                case .success(let selection): return (offered[selection.offer], selection.suite)
                case .failure(let refused):
                    mismatch = mismatch ?? refused.mismatch
                    return nil
                }
            }
            guard let esp = half(.esp), let ah = half(.ah), esp.1.keyExchange == ah.1.keyExchange else { continue }
            return Choice(
                proposal: esp.0.proposal, transform: esp.0.transform, suite: esp.1.inside(ah.1), securityProtocol: .esp,
                spi: esp.0.spi, header: .init(proposal: ah.0.proposal, transform: ah.0.transform, spi: ah.0.spi))
        }
        return nil
    }
}
