import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// What the responder keeps between IKE_SA_INIT and IKE_AUTH. Configuration is looked up anew when it is needed.
struct Acceptance: Sendable {
    var proofs: ProofKeys
    var initiatorNonce: [UInt8]
    var responderNonce: [UInt8]
    /// RealMessage1 and RealMessage2.
    var request: [UInt8]
    var response: [UInt8]
    /// What the initiator said of signatures.
    var support: SignatureSupport
    /// Key exchanges that precede IKE_AUTH.
    var remaining: [KeyExchangeID]
    /// The initiator offers post-quantum keys; and the keys with the one in them that it named.
    var peerTakesPPK: Bool
    var mixed: MixedKeys?
    var intermediateKey = IntermediateKey.none
    /// What the session is resumed with.
    var ticket: Ticket?
    var transcript = IntermediateTranscript()
}

/// An IKE_AUTH request that waits for the credential store.
struct PendingAuthentication: Sendable {
    var content: MessageContent
    var header: Header
    var datagram: Datagram
    var localIdentity: Identity
}

/// IKE_SA_INIT and IKE_AUTH from the responder's side.
extension IKESession {
    /// The first message. Whatever is wrong with it, the session answers as RFC 7296 §2.21.1 allows and ends.
    mutating func receiveInitial(
        request payloads: [Payload], _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        do throws(Fault) {
            guard header.flags.contains(.initiator), !header.flags.contains(.response), header.responder.isZero,
                !header.initiator.isZero
            else { throw .unexpected("not a first request of IKE_SA_INIT") }
            context.trace(
                outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: payloads, inner: [])
            let content = try MessageContent(payloads)
            if header.exchange == .ikeSessionResume {
                try acceptResumption(content, header, datagram, &context)
            } else {
                try accept(content, header, datagram, &context)
            }
        } catch {
            if let notification = error.notification {
                let answer = Header(
                    initiator: header.initiator, responder: .zero, majorVersion: 2, exchange: header.exchange,
                    flags: [.response])
                let message = Message(header: answer, payloads: [notification.payload])
                context.trace(
                    outgoing: true, datagram.local, datagram.remote, message.octets, clear: message.payloads,
                    inner: [])
                context.send([message.octets], from: datagram.local, to: datagram.remote)
            }
            fail(error.refusal, &context)
        }
    }

    private mutating func accept(
        _ content: MessageContent, _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        let offers = try content.required(content.offers, "SA")
        let keyExchange = try content.required(content.keyExchange, "KE")
        let nonce = try content.required(content.nonce, "Nonce")
        local = datagram.local
        remote = datagram.remote
        let candidates = context.environment.policies.candidates(
            local: local.address, remote: remote.address, version: .v2)
        guard !candidates.isEmpty else { throw .noConnection(local: local.address, remote: remote.address) }
        try redirectInitial(candidates[0], content, nonce: nonce)
        let takesIntermediate = content.notification(.intermediateSupported) != nil
        let (suite, offer) = try choose(
            offers.filter { $0.spi.isEmpty }, candidates, takesIntermediate: takesIntermediate)
        guard let group = suite.keyExchange else { throw .violation("a proposal for an IKE SA has a key exchange") }
        guard keyExchange.group == group else { throw .otherGroup(group) }

        let initiatorSPI = header.initiator.value
        let spi = context.environment.freshIKESPI()
        let ownNonce = context.environment.randomness.octets(IKESession.nonceOctets)
        let (value, sharedSecret) = try answer(group, keyExchange.value, &context)
        let (keys, proofs) = try KeySchedule.initial(
            suite, sharedSecret: sharedSecret,
            KeySchedule.Public(
                initiatorNonce: nonce, responderNonce: ownNonce, initiatorSPI: initiatorSPI, responderSPI: spi))
        let isForced = context.settings.claimsNAT(candidates[0])
        var payloads = [
            ProposalPayload.answer(suite, to: offer, spi: []),
            KeyExchangePayload(group: group, value: value).payload,
            Payload(.nonceV2, body: ownNonce),
        ]
        let detected = try NATTraversal.detect(content, initiatorSPI, 0, local: local, remote: remote)
        if detected != nil {
            payloads += try NATTraversal.notifications(
                initiatorSPI, spi, local: local, remote: remote, isForced: isForced)
        }
        let takesFragments =
            content.notification(.fragmentationSupported) != nil && candidates[0].fragmentation != .no
        let takesKeyEarly =
            takesIntermediate && content.notification(.usePPKIntermediate) != nil
            && candidates.allSatisfy(\.mixesKeyEarly)
        let takesPPK = !takesKeyEarly && content.notification(.usePPK) != nil
        if takesKeyEarly { payloads.append(NotifyPayload(.usePPKIntermediate).payload) }
        if takesPPK { payloads.append(NotifyPayload(.usePPK).payload) }
        if candidates[0].childless != .never { payloads.append(NotifyPayload(.childlessSupported).payload) }
        if takesFragments { payloads.append(NotifyPayload(.fragmentationSupported).payload) }
        if takesKeyEarly || takesIntermediate && !suite.furtherKeyExchanges.isEmpty {
            payloads.append(NotifyPayload(.intermediateSupported).payload)
        }
        payloads += signatureOffers(candidates, content)
        payloads += candidates[0].announcementPayloads
        let answer = Header(
            initiator: header.initiator, responder: Cookie(spi), majorVersion: 2, exchange: .ikeSAInit,
            flags: [.response])
        let octets = Message(header: answer, payloads: payloads).octets

        adopt(detected, isForced: isForced, &context)
        var sa = IKESA(
            initiatorSPI: initiatorSPI, responderSPI: spi, isInitiator: false, suite: suite, keys: keys,
            nextIV: context.environment.randomness.uint64(),
            peerTakesFragments: takesFragments && candidates[0].cutsMessages)
        sa.expectedRequestID = 1
        associations = [sa]
        sa.disclose(&context)
        var acceptance = Acceptance(
            proofs: proofs, initiatorNonce: nonce, responderNonce: ownNonce, request: datagram.octets,
            response: octets, support: SignatureSupport(content), remaining: suite.furtherKeyExchanges,
            peerTakesPPK: takesPPK)
        if takesKeyEarly { acceptance.intermediateKey = .agreed }
        phase = .awaitingAuthenticationRequest(acceptance)
        context.emit(.claim(spi: spi))
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        context.trace(outgoing: true, local, remote, octets, clear: payloads, inner: [])
        context.send([octets], from: local, to: remote)
    }

    /// Which authorities and hashes we take, where a connection that this peer may be wants signatures (RFC 7296 §1.2,
    /// RFC 7427 §4).
    private func signatureOffers(_ candidates: [Connection], _ content: MessageContent) -> [Payload] {
        guard candidates.contains(where: \.usesSignatures) else { return [] }
        var payloads: [Payload] = []
        if content.notification(.signatureHashAlgorithms) != nil {
            payloads.append(SignatureSupport.notification.payload)
        }
        var seen: Set<[UInt8]> = []
        let hashes = candidates.flatMap(\.requestedAuthorities).filter { seen.insert($0).inserted }
            .prefix(CertificateRequestPayload.initialMaximumCount)
        if !hashes.isEmpty { payloads.append(CertificateRequestPayload.payload(Array(hashes))) }
        payloads += candidates.first { !$0.lookupPayloads.isEmpty }?.lookupPayloads ?? []
        if candidates.contains(where: \.asksForStatuses) {
            payloads.append(CertificateRequestPayload.statusPayload(Array(hashes)))
        }
        return payloads
    }

    /// The first candidate connection with which a proposal can be agreed.
    private func choose(
        _ offers: [OfferedProposal], _ candidates: [Connection], takesIntermediate: Bool
    ) throws(Fault) -> (Suite, OfferedProposal) {
        let understood = offers.filter(\.isUnderstood)
        var first: Mismatch?
        for candidate in candidates {
            // Without IKE_INTERMEDIATE there is one key exchange only (RFC 9370 §2.2.2).
            let configured =
                takesIntermediate
                ? candidate.proposals : candidate.proposals.compactMap(\.withoutAdditionalKeyExchanges)
            switch Proposal.select(configured: configured, offered: understood.map(\.proposal)) {
            case .success(let selection): return (selection.suite, understood[selection.offer])
            case .failure(let refused): first = first ?? refused.mismatch
            }
        }
        guard let first else { throw .noConnection(local: local.address, remote: remote.address) }
        throw .noProposal(.ike, first)
    }

    // MARK: IKE_AUTH

    mutating func receiveAuthentication(
        _ acceptance: Acceptance, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        if let ticket = acceptance.ticket {
            return try concludeResumption(acceptance, ticket, content, header, datagram, &context)
        }
        guard let suite = current?.suite else { return }
        let identity = try content.required(content.identityInitiator, "IDi")
        local = datagram.local
        remote = datagram.remote
        let chosen = try chooseConnection(
            identity, wanted: content.identityResponder, authentication: content.authentication, suite, context)
        connection = chosen
        let ownIdentity = chosen.localIdentity ?? Identity(local.address)
        localIdentity = ownIdentity
        if chosen.forceEncapsulation { isEncapsulating = true }
        // Without AUTH the initiator asks for EAP (RFC 7296 §2.16).
        let userMethod = content.authentication == nil ? chosen.remoteUserMethod : nil
        guard content.authentication != nil || userMethod != nil else { throw .authentication(identity) }
        if content.offers == nil, chosen.childless == .never {
            throw .violation("an SA without a child is not wanted here")
        }
        // What the initiator asks for now counts besides what it asked for before.
        var acceptance = acceptance
        acceptance.support.authorityHashes += content.certificateRequests
        if content.wantsStatuses { acceptance.support.wantsStatuses = true }
        if content.takesLocations { acceptance.support.takesLocations = true }
        acceptance.support.announced = content.announced ?? acceptance.support.announced
        let pending = PendingAuthentication(
            content: content, header: header, datagram: datagram, localIdentity: ownIdentity)
        if let userMethod { return try beginUser(userMethod, acceptance, pending, &context) }
        if try askMixedKeys(acceptance, pending, &context) { return }
        try verifyInitiator(acceptance, pending, &context)
    }

    /// All keys are known: the credential store judges the initiator's proof.
    mutating func verifyInitiator(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) {
        guard let suite = current?.suite, let prf = suite.prf, let connection,
            let identity = pending.content.identityInitiator
        else { return }
        guard let proof = effectiveProof(acceptance, pending.content) else {
            try refuse(.authentication(identity), pending, &context)
            return
        }
        let octets = try KeySchedule.signedOctets(
            suite, message: acceptance.request, otherNonce: acceptance.responderNonce,
            proofKey: (acceptance.mixed?.proofs ?? acceptance.proofs).initiator, identity: identity,
            intermediate: acceptance.transcript.octets(authenticationID: pending.header.messageID))
        let key = (acceptance.mixed?.proofs ?? acceptance.proofs).initiator
        if let answer = try judgeAnonymous(connection, prf, key, octets, pending.content.authentication, proof: proof) {
            return try receiveVerification(acceptance, pending, answer, &context)
        }
        let asked: Question
        do throws(Fault) {
            asked = try peerProof(
                connection, prf, identity: identity, local: pending.localIdentity, octets, pending.content, proof)
        } catch {
            try refuse(error, pending, &context)
            return
        }
        let question = context.environment.freshQuestionID()
        context.emit(.ask(question, asked))
        phase = .awaitingInitiatorVerified(acceptance, question, pending)
    }

    /// The connection whose identities fit best and whose proposals allow what was agreed.
    private func chooseConnection(
        _ identity: Identity, wanted: Identity?, authentication: AuthenticationPayload?, _ suite: Suite,
        _ context: Context
    ) throws(Fault) -> Connection {
        let policies = context.environment.policies
        let candidates = policies.candidates(
            local: local.address, remote: remote.address, version: .v2, identity: identity)
        var agreed = Proposal(
            .ike, encryption: [suite.encryption], integrity: suite.integrity.map { [$0] } ?? [],
            prf: suite.prf.map { [$0] } ?? [], keyExchange: suite.keyExchange.map { [$0] } ?? [])
        agreed.additionalKeyExchanges = suite.additionalKeyExchanges.map { [$0] }
        var best: (score: Int, connection: Connection)?
        // One that expects a user comes first for a peer without AUTH, and last for one with it; one for anybody is for those
        // who are nobody.
        func fits(_ candidate: Connection) -> Bool {
            (candidate.remoteUserMethod == nil) == (authentication != nil)
                && (candidate.remoteMethod == .null) == (authentication?.isNull ?? false)
        }
        for candidate in candidates {
            let own = candidate.localIdentity ?? Identity(local.address)
            if let wanted, !IdentityPattern.exactly(own).matches(wanted) { continue }
            let specificity = candidate.remoteIdentity.specificity(for: identity)
            let score = specificity + (fits(candidate) ? 100 : 0)
            guard specificity > 0, score > best?.score ?? 0,
                case .success = Proposal.select(configured: candidate.proposals, offered: [agreed])
            else { continue }
            best = (score, candidate)
        }
        if let best { return best.connection }
        let all = policies.candidates(local: local.address, remote: remote.address, version: .v2)
        guard !all.isEmpty else { throw .noConnection(local: local.address, remote: remote.address) }
        throw .identity(wanted: all.map(\.remoteIdentity), seen: identity)
    }

    mutating func receiveVerification(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ answer: Answer, _ context: inout Context
    ) throws(Fault) {
        guard let suite = current?.suite, let prf = suite.prf, let connection,
            let remoteIdentity = pending.content.identityInitiator
        else { return }
        switch answer {
        case .verified(let peer):
            let octets = try KeySchedule.signedOctets(
                suite, message: acceptance.response, otherNonce: acceptance.initiatorNonce,
                proofKey: (acceptance.mixed?.proofs ?? acceptance.proofs).responder, identity: pending.localIdentity,
                intermediate: acceptance.transcript.octets(authenticationID: pending.header.messageID))
            let key = (acceptance.mixed?.proofs ?? acceptance.proofs).responder
            if let answer = try anonymousProof(connection, prf, key, octets) {
                return try receiveOwnProof(acceptance, pending, peer, answer, &context)
            }
            let question = context.environment.freshQuestionID()
            context.emit(
                .ask(
                    question,
                    ownProof(
                        connection, prf, identity: pending.localIdentity, remote: remoteIdentity, octets,
                        acceptance.support)))
            phase = .awaitingResponderProof(acceptance, question, pending, peer)
        case .refuted: try refuse(.authentication(remoteIdentity), pending, &context)
        case .distrusted(let report): try refuse(.certificate(report), pending, &context)
        case .noCredential, .proof, .seed, .signature, .signedMessage, .signedDigest, .encrypted, .decrypted, .password,
            .user, .relayed, .mixed, .tunnelled:
            try refuse(.noCredential(local: pending.localIdentity, remote: remoteIdentity), pending, &context)
        }
    }

    /// Answers IKE_AUTH with an error and ends the session.
    mutating func refuse(
        _ fault: Fault, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        let payloads = fault.notification.map { [$0.payload] } ?? []
        try respond(spi, pending.header, to: pending.datagram, payloads, &context)
        fail(fault.refusal, &context)
    }

    mutating func receiveOwnProof(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ peer: PeerAuthenticated, _ answer: Answer,
        _ context: inout Context
    ) throws(Fault) {
        guard let proof = ownProof(in: answer) else {
            try refuse(.noCredential(local: pending.localIdentity, remote: peer.identity), pending, &context)
            return
        }
        var payloads = [Payload(.identityResponder, body: IdentityPayload.body(pending.localIdentity))]
        payloads += proof.certificates
        payloads.append(proof.authentication.payload)
        try establish(acceptance, pending, peer, payloads, &context)
    }

    /// Both ends are known: the answer to the last request of IKE_AUTH begins with `payloads`, and goes on with addresses and the
    /// first child.
    mutating func establish(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ peer: PeerAuthenticated, _ payloads: [Payload],
        _ context: inout Context
    ) throws(Fault) {
        guard let sa = current else { return }
        var payloads = payloads
        adopt(acceptance.mixed)
        hasPostquantumKey = acceptance.mixed != nil || acceptance.intermediateKey.isMixed
        if acceptance.mixed != nil { payloads.append(NotifyPayload(.ppkIdentity).payload) }
        if let redirect = redirectPayload() {
            try respond(sa.ownSPI, pending.header, to: pending.datagram, payloads + [redirect], &context)
            sendAway(peer, &context)
            return
        }
        noteMobility(pending.content)
        becomeEstablished(peer, &context)
        if mobility.isSupported { payloads += mobilityPayloads }
        payloads += crashTokenPayloads(sa, context)
        noteCrashToken(pending.content, on: sa.ownSPI)
        payloads += ticketPayloads(pending.content, &context)
        noteOptimizedRekey(pending.content)
        if optimizedRekey.isAgreed { payloads += optimizedRekeyPayloads }
        noteCloning(pending.content)
        if takesClones { payloads += cloningPayloads }
        payloads += authenticationLifetimePayloads
        if pending.content.notification(.initialContact) != nil { context.report(.initialContact) }
        let (configuration, refused) = answerConfiguration(
            pending.content, peer: remoteUser ?? peer.identity.leaseHolder(id), &context)
        payloads += configuration
        if pending.content.offers != nil, let refused {
            // The IKE SA is made all the same (RFC 7296 §3.15.4).
            context.report(.refused(child: nil, refused.refusal))
            if let notification = refused.notification { payloads.append(notification.payload) }
        } else if pending.content.offers != nil, connection?.childless == .force {
            payloads.append(NotifyPayload(.noAdditionalSAs).payload)
        } else if let sa = current, pending.content.offers != nil {
            let material = ChildMaterial(
                initiatorNonce: acceptance.initiatorNonce, responderNonce: acceptance.responderNonce,
                isFirst: true)
            do throws(Fault) {
                let (proposed, answer) = try negotiate(pending.content, material, replacing: nil, &context)
                try complete(proposed, replacing: nil, further: [], sa, &context)
                optimizedRekey.initialChild = children.last?.id
                payloads += answer
            } catch {
                // The IKE SA stands without the child (RFC 7296 §1.2).
                context.report(.refused(child: nil, error.refusal))
                if let notification = error.notification { payloads.append(notification.payload) }
            }
        }
        try respond(sa.ownSPI, pending.header, to: pending.datagram, payloads, &context)
    }
}
