import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives
import SKEME

extension IKEv1Session {
    // MARK: Initiator

    /// Message 1. Main Mode: HDR, SA; Aggressive Mode: HDR, SA, KE, Ni, IDii, or what RFC 2409 §5.2 and §5.3 make of it.
    mutating func begin(_ context: inout Context) throws(Fault) {
        guard case .awaitingCommand = phase, isInitiator, let connection else { return }
        let methods = self.methods(of: connection)
        let agreed = context.environment.agreedGroups.groups(with: remote.address)
        groups.registry = IKEv1Session.registry(connection, agreed)
        let offer = IKEv1Session.offer(offered(by: connection), connection, agreed: agreed, methods: methods)
        guard let method = methods.first, offer.proposals[0].transforms.isEmpty == false else {
            let refusal = Refusal.policy(
                methods.isEmpty
                    ? "there is no key by which the connection's ends can prove who they are in IKEv1"
                    : "none of the connection's proposals can be expressed in IKEv1")
            for child in wanted { context.report(.refused(child: child.name, refusal)) }
            close(.refused(refusal), &context)
            return
        }
        initiatorCookie = context.environment.freshIKESPI()
        context.emit(.claim(spi: initiatorCookie))
        var negotiation = Negotiation(
            connection.isAggressive
                ? Exchanges.aggressiveMode(method)
                : connection.isBase ? Exchanges.baseMode : Exchanges.mainMode(method),
            role: .initiator)
        negotiation.offer = offer.body
        negotiation.method = method
        context.set(.halfOpen, after: IKEv1Session.patience(context.settings))
        if connection.isAggressive {
            try beginAggressive(negotiation, &context)
            return
        }
        var payloads = [Payload(.securityAssociation, body: offer.body)]
        if negotiation.isBase { payloads += basePayloads(&negotiation, &context) }
        sendPhaseOne(payloads + vendorIDs(for: connection), &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// What message 1 offers. Aggressive Mode's carries a public value already, so it can offer one group only, the first
    /// (RFC 2409 §5); and where the negotiated hash or cipher has been used in it (§5.2, §5.3), one of these as well.
    func offered(by connection: Connection) -> [Proposal] {
        let proposals = PhaseOneProposal.expressible(connection.proposals)
        guard connection.isAggressive, let group = proposals.first?.keyExchange.first else { return proposals }
        if methods(of: connection).first?.isEncryption == true {
            return IKEv1Session.single(proposals[0]).map { [$0] } ?? []
        }
        return proposals.compactMap { proposal in
            guard proposal.keyExchange.contains(group) else { return nil }
            var proposal = proposal
            proposal.keyExchange = [group]
            return proposal
        }
    }

    /// The first choice of each kind that a proposal has.
    private static func single(_ proposal: Proposal) -> Proposal? {
        guard let encryption = proposal.encryption.first, let prf = proposal.prf.first,
            let group = proposal.keyExchange.first
        else { return nil }
        var single = proposal
        single.encryption = [encryption]
        single.prf = [prf]
        single.keyExchange = [group]
        return PhaseOneProposal.expressible([single]).first
    }

    /// How long an initiator waits in all: its whole retransmission schedule for each of three messages.
    private static func patience(_ settings: EngineSettings) -> Duration {
        (0...settings.retransmitTries).reduce(.zero) { $0 + settings.retransmitDelay(attempt: $1) } * 3
    }

    /// What we let the peer know of our lifetime: when the SA ends whatever happens.
    static func lifeSeconds(_ connection: Connection) -> UInt32 {
        let rekey = IKEv1Session.renewalTime(connection)
        return rekey == .zero ? 0 : UInt32(clamping: (rekey + connection.overTime).wholeSeconds)
    }

    /// When the ISAKMP SA is negotiated anew; IKEv1 knows no difference between rekeying and reauthentication.
    static func renewalTime(_ connection: Connection) -> Duration {
        let times = [connection.rekeyTime, connection.reauthenticationTime].filter { $0 > .zero }
        return times.min() ?? .zero
    }

    /// The responder's SA payload: its one transform must be one that we offered.
    mutating func takeChoice(_ payloads: [Payload], _ negotiation: inout Negotiation) throws(Fault) {
        let choice = try IKEv1Session.securityAssociation(payloads, situation: situation)
        guard let connection, choice.proposals.count == 1, choice.proposals[0].transforms.count == 1,
            let chosen = IKEv1Session.phaseOneProposal(choice.proposals[0].transforms[0], groups.registry),
            case .success(let selection) = Proposal.select(
                configured: offered(by: connection), offered: [chosen])
        else {
            throw .refused(
                .protocolViolation("the responder chose what was not offered"),
                notification: NotificationType.noProposalChosen)
        }
        guard let method = PhaseOneProposal.method(choice.proposals[0].transforms[0]),
            methods(of: connection).contains(method)
        else {
            throw .refused(
                .protocolViolation("the responder chose an authentication method that was not offered"),
                notification: NotificationType.noProposalChosen)
        }
        suite = selection.suite
        negotiation.transform = choice.proposals[0].transforms[0]
        negotiation.method = method
        negotiation.exchange.proceed(as: negotiation.figure(of: method))
        noteVendors(payloads, &negotiation)
    }

    /// Messages 3 and 4: HDR, KE, N, NAT-D, NAT-D.
    private mutating func sendKeyExchange(_ negotiation: inout Negotiation, _ context: inout Context) throws(Fault) {
        guard let group = suite?.keyExchange, let hash = suite?.prf?.hash else { throw .dropped("no suite yet") }
        let pair = try makeKeyPair(group, &context)
        negotiation.keyPair = pair
        negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        let payloads =
            [Payload(.keyExchange, body: pair.publicValue), Payload(.nonce, body: negotiation.ownNonce)]
            + certificateRequests(negotiation) + (try natDiscoveryPayloads(hash, context))
        sendPhaseOne(payloads, &negotiation, &context)
    }

    func makeKeyPair(_ group: KeyExchangeID, _ context: inout Context) throws(Fault) -> KeyPair {
        var randomness = context.environment.randomness
        let pair = try Attempt.oakley { () throws(OakleyError) in
            try KeyDetermination.generate(group, in: groups.registry, &randomness)
        }
        context.environment.randomness = randomness
        return pair
    }

    /// Takes the peer's public value and nonce in.
    func takeKeyExchange(_ payloads: [Payload], _ negotiation: inout Negotiation) throws(Fault) {
        guard let value = payloads.first(where: { $0.type == .keyExchange })?.body,
            let nonce = payloads.first(where: { $0.type == .nonce })?.body
        else { throw .dropped("KE and nonce") }
        guard Negotiation.nonceRange.contains(nonce.count) else { throw .dropped("a nonce has 8 to 256 octets") }
        negotiation.peerPublicValue = value
        negotiation.peerNonce = nonce
        takeCertificateRequests(payloads, &negotiation)
    }

    // MARK: Responder

    /// Message 1: choose a transform of a connection that fits the addresses; message 2: HDR, SA.
    private mutating func receiveOffer(
        _ datagram: Datagram, _ header: Header, _ payloads: [Payload], _ context: inout Context
    ) throws(Fault) {
        var negotiation = Negotiation(Exchanges.mainMode, role: .responder)
        try check(payloads, of: negotiation.exchange, isEncrypted: false)
        negotiation.exchange.accept(datagram.octets)
        trace(datagram, payloads, isProtected: false, &context)
        initiatorCookie = header.initiator.value
        let candidates = context.environment.policies.candidates(
            local: local.address, remote: remote.address, version: .v1)
        guard let choice = try selectSuite(among: candidates, payloads, &negotiation, &context) else { return }
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        sendPhaseOne([choice] + vendorIDs(for: connection), &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// Takes the first of the candidates that accepts one of the offered transforms, and makes the SA payload that says
    /// so. Where none does, the peer is told, and the session is over.
    mutating func selectSuite(
        among candidates: [Connection], _ payloads: [Payload], _ negotiation: inout Negotiation,
        _ context: inout Context
    ) throws(Fault) -> Payload? {
        guard !candidates.isEmpty else {
            refuseOffer(.noConnection(local: local.address, remote: remote.address), &context)
            return nil
        }
        let offer = try IKEv1Session.securityAssociation(payloads)
        let seen = try Attempt.parsing { () throws(ParseError) in try offer.situation(IPsecDOI.self) }
        let configured = candidates.map(\.situation)
        let candidates = candidates.filter { $0.situation == seen }
        guard !candidates.isEmpty else {
            refuseSituation(seen, wanted: configured, &context)
            return nil
        }
        negotiation.offer = payloads.first { $0.type == .securityAssociation }?.body ?? []
        let transforms = offer.proposals.filter { $0.protocolID == IPsecDOI.protocolISAKMP }
            .flatMap { proposal in proposal.transforms.map { (proposal, $0) } }
        let agreed = context.environment.agreedGroups.groups(with: remote.address)
        var mismatch: Mismatch?
        var offeredMethods: Set<PhaseOneMethod> = []
        for candidate in candidates {
            let registry = IKEv1Session.registry(candidate, agreed)
            let all = transforms.compactMap { Known($0, $1, registry) }
            let configured = PhaseOneProposal.expressible(candidate.proposals)
            let methods = self.methods(of: candidate)
            let known = all.filter { methods.contains($0.method) }
            offeredMethods.formUnion(all.map(\.method))
            if known.isEmpty { continue }
            switch Proposal.select(configured: configured, offered: known.map(\.value)) {
            case .failure(let refused): mismatch = mismatch ?? refused.mismatch
            case .success(let selection):
                connection = candidate
                groups.registry = registry
                suite = selection.suite
                let chosen = known[selection.offer]
                negotiation.transform = chosen.transform
                negotiation.method = chosen.method
                negotiation.exchange.proceed(as: negotiation.figure(of: chosen.method))
                negotiation.candidates = candidates
                responderCookie = context.environment.freshIKESPI()
                context.emit(.claim(spi: responderCookie))
                noteVendors(payloads, &negotiation)
                var answer = chosen.proposal
                answer.transforms = [chosen.transform]
                let choice = SecurityAssociationPayload(
                    IPsecDOI.self, situation: offer.situation, proposals: [answer])
                return Payload(.securityAssociation, body: choice.body)
            }
        }
        refuseOffer(mismatch.map { .noProposal(.ike, $0) } ?? methodMismatch(offeredMethods, candidates), &context)
        return nil
    }

    /// A transform of an offer that is understood.
    private struct Known {
        var proposal: ProposalPayload
        var transform: TransformPayload
        var value: Proposal
        var method: PhaseOneMethod

        init?(_ proposal: ProposalPayload, _ transform: TransformPayload, _ registry: GroupRegistry) {
            guard let value = IKEv1Session.phaseOneProposal(transform, registry),
                let method = PhaseOneProposal.method(transform)
            else { return nil }
            self.proposal = proposal
            self.transform = transform
            self.value = value
            self.method = method
        }
    }

    /// No transform names an authentication method that a candidate allows.
    private func methodMismatch(_ offered: Set<PhaseOneMethod>, _ candidates: [Connection]) -> Refusal {
        func keywords(_ methods: Set<PhaseOneMethod>) -> [String] {
            var keywords: [String] = []
            for method in methods.sorted(by: { $0.rawValue < $1.rawValue }) where !keywords.contains(method.keyword) {
                keywords.append(method.keyword)
            }
            return keywords
        }
        if offered.isEmpty { return .noProposal(.ike, Mismatch(configured: [], offered: [], clashes: [])) }
        var wanted = keywords(Set(candidates.flatMap { methods(of: $0) }))
        // Without a key for it a connection has no method, and still says which it would be.
        if wanted.isEmpty { wanted = candidates.first?.remote.first.map { [$0.method.keyword] } ?? [] }
        return .method(peer: Identity(remote.address), wanted: wanted, seen: keywords(offered))
    }

    /// No connection is for SAs with these labels, or without any.
    private mutating func refuseSituation(
        _ seen: SecuritySituation, wanted: [SecuritySituation], _ context: inout Context
    ) {
        let ours = Set(wanted.map(\.description)).sorted().joined(separator: "' or '")
        let refusal = Refusal.policy("the peer's situation is '\(seen)', ours is '\(ours)' (RFC 2407 §4.2)")
        sendClear(NotificationType.situationNotSupported, &context)
        context.report(.refused(child: nil, refusal))
        close(.refused(refusal), &context)
    }

    mutating func refuseOffer(_ refusal: Refusal, _ context: inout Context) {
        sendClear(NotificationType.noProposalChosen, &context)
        context.report(.refused(child: nil, refusal))
        close(.refused(refusal), &context)
    }

    // MARK: Receiving

    mutating func receiveMainMode(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        switch phase {
        case .awaitingCommand:
            guard !isInitiator else { throw .dropped("nothing was asked yet") }
            try receiveOffer(datagram, header, try IKEv1Session.clearPayloads(datagram.octets, header), &context)
        case .negotiating(let negotiation):
            guard !negotiation.isAggressive, !negotiation.isBase else {
                throw .dropped("Main Mode within another mode")
            }
            try advance(negotiation, datagram, header, &context)
        case .established(let phaseOne):
            try repeatLast(phaseOne, to: datagram, &context)
        case .bereft, .closed: throw .dropped("phase 1 is over")
        }
    }

    /// The peer has not heard our last message of phase 1.
    func repeatLast(_ phaseOne: PhaseOne, to datagram: Datagram, _ context: inout Context) throws(Fault) {
        guard let finished = phaseOne.finished, finished.isRepetition(datagram.octets),
            let sent = finished.answerToRepetition
        else { throw .dropped("phase 1 is over") }
        context.report(.noticed(.repeatedRequest(messageID: 0)))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
    }

    private mutating func advance(
        _ current: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        if negotiation.exchange.isRepetition(datagram.octets) {
            // The initiator repeats on its own clock; a responder answers each repetition.
            guard !isInitiator else { return }
            repeatAnswer(to: datagram, negotiation, &context)
            return
        }
        guard header.initiator.value == initiatorCookie,
            header.responder.value == responderCookie || (isInitiator && responderCookie == 0),
            !header.responder.isZero
        else { throw .dropped("the cookies are another exchange's") }
        guard let rule = negotiation.exchange.awaited else { throw .dropped("it is our turn in Main Mode") }
        if rule.isEncrypted {
            guard header.flags.contains(.encryption) else { throw .dropped("message 5 and 6 are encrypted") }
            guard negotiation.keys != nil else {
                negotiation.early = datagram
                phase = .negotiating(negotiation)
                return
            }
            try receiveIdentity(negotiation, datagram, header, &context)
            return
        }
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        try check(payloads, of: negotiation.exchange, isEncrypted: header.flags.contains(.encryption))
        guard negotiation.question == nil else { throw .dropped("a message before is still being looked at") }
        let step = negotiation.exchange.passed
        negotiation.exchange.accept(datagram.octets)
        context.noteAnswered(0, attempts: negotiation.attempts)
        negotiation.attempts = 0
        trace(datagram, payloads, isProtected: false, &context)
        phase = .negotiating(negotiation)
        do throws(Fault) {
            if step == 1 {
                responderCookie = header.responder.value
                try takeChoice(payloads, &negotiation)
                if negotiation.method.isEncryption {
                    try encryptHalf(&negotiation, &context)
                } else {
                    try sendKeyExchange(&negotiation, &context)
                }
                phase = .negotiating(negotiation)
                return
            }
            if isInitiator { context.cancel(.retransmit(spi: ownCookie, messageID: 0)) }
            if negotiation.method.isEncryption {
                try decryptHalf(Negotiation.Received(datagram: datagram, payloads: payloads), &negotiation, &context)
                return
            }
            try takeKeyExchange(payloads, &negotiation)
            try detectNAT(payloads, local: local, remote: remote, context)
            if !isInitiator { try sendKeyExchange(&negotiation, &context) }
            try seek(local: seedIdentities.local, remote: seedIdentities.remote, &negotiation, &context)
        } catch {
            guard case .refused(let refusal, let notification) = error else { throw error }
            if let notification { sendClear(notification, &context) }
            failPhaseOne(refusal, &context)
        }
    }

    /// Phase 1 comes to nothing.
    mutating func failPhaseOne(_ refusal: Refusal, _ context: inout Context) {
        if wanted.isEmpty { context.report(.refused(child: nil, refusal)) }
        for child in wanted { context.report(.refused(child: child.name, refusal)) }
        wanted = []
        close(.refused(refusal), &context)
    }
}
