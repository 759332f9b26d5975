import Cryptography
import IPsec
import ISAKMP
import Primitives

/// IKE_AUTH from the responder's side.
extension IKESession {
    mutating func receiveAuthentication(
        _ acceptance: Acceptance, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        if let ticket = acceptance.ticket {
            return try concludeResumption(acceptance, ticket, content, header, datagram, &context)
        }
        if rounds.request != nil { return try receiveRound(acceptance, content, header, datagram, &context) }
        guard let suite = current?.suite else { return }
        let identity = try content.required(content.identityInitiator, "IDi")
        local = datagram.local
        remote = datagram.remote
        let chosen = try chooseConnection(identity, content, suite, context)
        connection = chosen
        let ownIdentity = self.identity(of: ownRound)
        localIdentity = ownIdentity
        if chosen.forceEncapsulation { isEncapsulating = true }
        // Without AUTH the initiator asks for EAP (RFC 7296 §2.16).
        let userMethod = content.authentication == nil ? peerRound?.method.userMethod : nil
        guard content.authentication != nil || userMethod != nil else {
            throw .method(identity, wanted: peerRound?.method.keyword ?? "", seen: UserMethod.any.rawValue)
        }
        if content.offers == nil, chosen.childless == .never {
            throw .violation("an SA without a child is not wanted here")
        }
        // What the initiator asks for now counts besides what it asked for before.
        var acceptance = acceptance
        acceptance.support.authorityHashes += content.certificateRequests
        if content.wantsStatuses { acceptance.support.wantsStatuses = true }
        if content.wantsPublicKey { acceptance.support.wantsPublicKey = true }
        if content.takesLocations { acceptance.support.takesLocations = true }
        acceptance.support.announced = content.announced ?? acceptance.support.announced
        let pending = PendingAuthentication(
            content: content, header: header, datagram: datagram, localIdentity: ownIdentity)
        rounds.request = Boxed(pending)
        rounds.firstMessageID = header.messageID
        rounds.peerIdentity = identity
        rounds.peerTakesFurther =
            context.settings.takesFurtherRounds && content.notification(.multipleAuthenticationSupported) != nil
        rounds.peerTakesUserAlone = content.notification(.userAuthenticationOnly) != nil
        if let fault = roundsOfUnaware { throw .rounds(fault) }
        if let userMethod { return try beginUser(userMethod, acceptance, pending, &context) }
        if try askMixedKeys(acceptance, pending, &context) { return }
        try verifyInitiator(acceptance, pending, &context)
    }

    /// All keys are known: the credential store judges the initiator's proof.
    mutating func verifyInitiator(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) {
        guard let suite = current?.suite, let prf = suite.prf, let round = peerRound,
            let identity = pending.content.identityInitiator
        else { return }
        if let fault = methodFault(round, identity, pending.content.authentication) {
            return try refuse(fault, pending, &context)
        }
        guard let proof = effectiveProof(acceptance, pending.content) else {
            try refuse(.authentication(identity), pending, &context)
            return
        }
        let octets = try initiatorOctets(acceptance, pending, identity: identity)
        let key = (acceptance.mixed?.proofs ?? acceptance.proofs).initiator
        if let answer = try judgeAnonymous(round, prf, key, octets, pending.content.authentication, proof: proof) {
            return try receiveVerification(acceptance, pending, answer, &context)
        }
        let asked: Question
        do throws(Fault) {
            asked = try peerProof(
                round, prf, identity: identity, local: pending.localIdentity, octets, pending.content, proof)
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
        _ identity: Identity, _ content: MessageContent, _ suite: Suite, _ context: Context
    ) throws(Fault) -> Connection {
        let authentication = content.authentication
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
                && (candidate.localUserMethod == nil || content.notification(.userAuthenticationOnly) != nil)
        }
        // Among those, one with as many rounds as the peer seems to have (RFC 4739); with EAP it says so later.
        let isFurther = content.notification(.anotherAuthenticationFollows) != nil
        func fitsInRounds(_ candidate: Connection) -> Bool {
            authentication == nil || (candidate.peerRounds.count > 1) == isFurther
        }
        for candidate in candidates {
            let own = candidate.localIdentity ?? Identity(local.address)
            if let wanted = content.identityResponder, !IdentityPattern.exactly(own).matches(wanted) { continue }
            let specificity = candidate.remoteIdentity.specificity(for: identity)
            let score = specificity + (fits(candidate) ? 200 : 0) + (fitsInRounds(candidate) ? 100 : 0)
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
        guard let remoteIdentity = pending.content.identityInitiator else { return }
        switch answer {
        case .verified(let peer):
            do throws(Fault) { try notePeerRound(peer, pending.content) } catch {
                return try refuse(error, pending, &context)
            }
            try answerRound(acceptance, pending, &context)
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
            context.report(.noticed(.keptWithoutChild))
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
                context.report(.noticed(.keptWithoutChild))
                if let notification = error.notification { payloads.append(notification.payload) }
            }
        }
        try respond(sa.ownSPI, pending.header, to: pending.datagram, payloads, &context)
    }
}
