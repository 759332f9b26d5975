import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// IKE_AUTH from the initiator's side.
///
///     HDR, SK {IDi, [N+,] [IDr,] AUTH, SAi2, TSi, TSr}  -->
///                         <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr}
extension IKESession {
    /// The credential store answered.
    mutating func receive(_ answer: Answer, to question: QuestionID, _ context: inout Context) throws(Fault) {
        switch phase {
        case .awaitingMixedKeys(let initiation, question): try receiveMixedKeys(answer, initiation, &context)
        case .awaitingIntermediateKey(let acceptance, question, let pending):
            try receiveIntermediateKey(answer, acceptance, pending, &context)
        case .awaitingInitiatorsMixedKeys(let acceptance, question, let pending):
            try receiveMixedKeys(answer, acceptance, pending, &context)
        case .awaitingOwnProof(let initiation, question):
            guard let proof = ownProof(in: answer) else {
                fail(.noCredential(local: initiation.localIdentity, remote: expectedRemoteIdentity), &context)
                return
            }
            if initiation.mixed != nil, initiation.mixedProof == nil, rounds.own == 0,
                connection?.requiresPostquantumKey == false
            {
                // RFC 8784 §3: a second proof for a responder that does not have the post-quantum key.
                var initiation = initiation
                initiation.mixedProof = proof
                try askOwnProof(initiation, &context)
                return
            }
            try sendProof(initiation, proof, &context)
        case .awaitingPeerVerified(let initiation, question, let content, let proving):
            try concludeAuthentication(initiation, content, answer, proving, &context)
        case .awaitingInitiatorVerified(let acceptance, question, let pending):
            try receiveVerification(acceptance, pending, answer, &context)
        case .awaitingResponderProof(let acceptance, question, let pending, let peer):
            try receiveOwnProof(acceptance, pending, peer, answer, &context)
        case .provingUser(let proving): try receive(answer, to: question, proving, &context)
        case .checkingUser(let checking): try receive(answer, to: question, checking, &context)
        default:
            throw .unexpected("an answer that nothing awaits")
        }
    }

    /// - Parameter proof: `nil` where our user proves itself later, over EAP.
    mutating func sendAuthentication(
        _ initiation: Initiation, _ proof: OwnProof?, _ context: inout Context
    ) throws(Fault) {
        guard let connection, let spi = current?.ownSPI else { return }
        var initiation = initiation
        var payloads = [Payload(.identityInitiator, body: IdentityPayload.body(initiation.localIdentity))]
        payloads += proof?.certificates ?? []
        if isFirstContact(context) { payloads.append(NotifyPayload(.initialContact).payload) }
        if !connection.requestedAuthorities.isEmpty {
            payloads.append(CertificateRequestPayload.payload(connection.requestedAuthorities))
        }
        payloads += connection.lookupPayloads
        payloads += connection.announcementPayloads
        if connection.asksForPublicKey { payloads.append(CertificateRequestPayload.publicKeyPayload) }
        if connection.asksForStatuses {
            payloads.append(CertificateRequestPayload.statusPayload(connection.requestedAuthorities))
        }
        if let identity = connection.remoteIdentity.identity {
            payloads.append(Payload(.identityResponder, body: IdentityPayload.body(identity)))
        }
        if let counted = initiation.mixedProof ?? proof { payloads.append(counted.authentication.payload) }
        if initiation.ticket == nil { payloads += roundPayloads(beside: proof, context) }
        payloads += configurationRequest
        let isChildless =
            connection.childless == .force || connection.childless == .prefer && initiation.peerTakesChildless
        initiation.child = isChildless ? nil : takePlannedChild(&context)
        if let attempt = initiation.child, let policy = connection.child(attempt.policy) {
            payloads += childPayloads(
                attempt, policy, proposals: policy.proposals.map(\.withoutKeyExchange), keyExchange: nil)
        }
        payloads += mobilityPayloads
        payloads += crashTokenPayloads(current, context)
        payloads += ticketRequest
        payloads += optimizedRekeyPayloads
        payloads += cloningPayloads
        if initiation.mixed != nil, let identity = connection.postquantumKey {
            payloads.append(NotifyPayload(.ppkIdentity, data: PPKIdentity.data(identity)).payload)
            if initiation.mixedProof != nil, let proof {
                payloads.append(NotifyPayload(.noPPKAuthentication, data: proof.authentication.proof).payload)
            }
        }
        phase = .awaitingAuthenticationResponse(initiation)
        try request(spi, .ikeAuth, payloads, .authentication, &context)
    }

    /// Whether no other SA connects the same two identities, so that the peer may forget those that it still has
    /// (RFC 7296 §2.4).
    private func isFirstContact(_ context: Context) -> Bool {
        guard let connection, connection.unique != .never else { return false }
        let siblings = context.environment.policies.names(betweenIdentitiesOf: connection).union([connection.name])
        return !siblings.contains { context.environment.establishedConnections[$0] ?? 0 > 0 }
    }

    /// The first planned child becomes IKE_AUTH's.
    private mutating func takePlannedChild(_ context: inout Context) -> ChildAttempt? {
        let index = planned.firstIndex {
            if case .createChild = $0 { return true }
            return false
        }
        guard let index, case .createChild(let name) = planned.remove(at: index), let policy = connection?.child(name)
        else { return nil }
        return attempt(policy, replacing: nil, &context)
    }

    mutating func receiveAuthentication(
        response content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        switch phase {
        case .provingUser(let proving):
            // The peer's next round may come beside the packets of our user's.
            guard proving.awaitsPacket, peerRound != nil, !rounds.isUserAlone, content.identityResponder != nil else {
                return try receiveUser(proving, content, &context)
            }
            try judgePeer(proving.initiation, content, proving, &context)
        case .awaitingAuthenticationResponse(let initiation):
            if peerRound == nil { return try goOn(initiation, content, &context) }
            try judgePeer(initiation, content, nil, &context)
        default: return
        }
    }

    /// A response that holds the peer's proof in the round that is under way.
    private mutating func judgePeer(
        _ before: Initiation, _ content: MessageContent, _ proving: ProvingUser?, _ context: inout Context
    ) throws(Fault) {
        var initiation = before
        guard let round = peerRound, let suite = current?.suite, let prf = suite.prf else { return }
        let isUserAlone = mayBeUserAlone(content)
        guard content.authentication != nil || isUserAlone, let identity = content.identityResponder else {
            let error = content.error
            release(initiation.child, &context)
            if let error {
                fail(.peer(notification: error.type.rawValue, name: error.type.name), &context)
            } else {
                fail(.protocolViolation("IKE_AUTH without proof of identity"), &context)
            }
            return
        }
        // Whoever is resumed is who it last was.
        let wanted = initiation.ticket == nil ? round.identity : connection?.peerRounds.last?.identity ?? round.identity
        guard wanted.matches(identity) else {
            try bidFarewell(.identity(wanted: [wanted], seen: identity), initiation, &context)
            return
        }
        rounds.peerIdentity = identity
        if let ticket = initiation.ticket {
            return try concludeResumption(initiation, ticket, content, identity, &context)
        }
        if isUserAlone {
            rounds.isUserAlone = true
            return try goOn(initiation, content, &context)
        }
        guard rounds.peer > 0 || settlePPK(content, &initiation) else {
            try bidFarewell(.policy("the ends do not agree on a post-quantum key"), initiation, &context)
            return
        }
        if let fault = methodFault(round, identity, content.authentication) {
            return try bidFarewell(fault.refusal, initiation, &context)
        }
        let octets = try KeySchedule.signedOctets(
            suite, message: initiation.response, otherNonce: initiation.initiatorNonce,
            proofKey: (initiation.mixed?.proofs ?? initiation.proofs).responder, identity: identity,
            intermediate: initiation.transcript.octets(authenticationID: rounds.firstMessageID ?? 1))
        let key = (initiation.mixed?.proofs ?? initiation.proofs).responder
        var proving = proving
        proving?.initiation = initiation
        if let answer = try judgeAnonymous(
            round, prf, key, octets, content.authentication, proof: content.authentication?.proof ?? [])
        {
            return try concludeAuthentication(initiation, content, answer, proving, &context)
        }
        let asked: Question
        do throws(Fault) {
            asked = try peerProof(
                round, prf, identity: identity, local: initiation.localIdentity, octets, content)
        } catch {
            try bidFarewell(error.refusal, initiation, &context)
            return
        }
        let question = context.environment.freshQuestionID()
        context.emit(.ask(question, asked))
        phase = .awaitingPeerVerified(initiation, question, content, proving)
    }

    private mutating func concludeAuthentication(
        _ initiation: Initiation, _ content: MessageContent, _ answer: Answer, _ proving: ProvingUser?,
        _ context: inout Context
    ) throws(Fault) {
        guard let identity = content.identityResponder else { return }
        switch answer {
        case .verified(let peer):
            // With EAP, or several rounds, the first response may already send us on (RFC 5685 §6): the gateway has proved who it
            // is, and wants nothing more of us.
            if content.notification(.redirect) != nil, context.settings.followsRedirects {
                adopt(initiation.mixed)
                _ = follow(authenticated: content, peer, initiation, &context)
                return
            }
            do throws(Fault) { try notePeerRound(peer, content) } catch {
                return try bidFarewell(error.refusal, initiation, &context)
            }
            if let proving { return try receiveUser(proving, content, &context) }
            try goOn(initiation, content, &context)
        case .refuted: try bidFarewell(.authentication(peer: identity), initiation, &context)
        case .distrusted(let report): try bidFarewell(.certificate(report), initiation, &context)
        case .noCredential, .proof, .seed, .signature, .signedMessage, .signedDigest, .encrypted, .decrypted, .password,
            .user, .relayed, .mixed, .tunnelled:
            try bidFarewell(.noCredential(local: initiation.localIdentity, remote: identity), initiation, &context)
        }
    }

    /// Both ends are known: the last message of IKE_AUTH tells of addresses and of the first child.
    mutating func establish(
        _ initiation: Initiation, _ content: MessageContent, _ peer: PeerAuthenticated, _ context: inout Context
    ) throws(Fault) {
        adopt(initiation.mixed)
        hasPostquantumKey = initiation.mixed != nil || initiation.intermediateKey.isMixed
        if follow(authenticated: content, peer, initiation, &context) { return }
        noteMobility(content)
        becomeEstablished(peer, &context)
        noteAuthenticationLifetime(content, &context)
        noteCrashToken(content, on: current?.ownSPI)
        holdTicket(content, takesChildless: initiation.peerTakesChildless, &context)
        noteOptimizedRekey(content)
        noteCloning(content)
        do throws(Fault) {
            try takeConfiguration(content, &context)
        } catch {
            // An SA without the address that it is for is of no use.
            release(initiation.child, &context)
            context.report(.refused(child: initiation.child?.policy, error.refusal))
            plan(.deleteIKE(.refused(error.refusal)), first: true)
            return
        }
        if let attempt = initiation.child {
            concludeFirstChild(attempt, initiation, content, &context)
        }
    }

    /// The responder is not who it should be, and believes the IKE SA to stand: tell it (RFC 7296 §2.21.2). Some, such as Libreswan,
    /// keep the SA when they are told no more than why; a Delete behind that ends it there too.
    mutating func bidFarewell(
        _ refusal: Refusal, _ initiation: Initiation, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        release(initiation.child, &context)
        context.report(.refused(child: nil, refusal))
        phase = .awaitingAuthenticationResponse(initiation)
        try request(
            spi, .informationalV2, [NotifyPayload(.authenticationFailed).payload, DeletePayload.ike.payload],
            .farewell(refusal), &context)
    }

    /// Both ends proved who they are.
    mutating func becomeEstablished(_ peer: PeerAuthenticated, _ context: inout Context) {
        guard let connection else { return }
        phase = .established(peer)
        established = context.now
        lastHeard = context.now
        context.cancel(.halfOpen)
        scheduleIKE(&context)
        if connection.reauthenticationTime > .zero {
            let time = context.jittered(connection.reauthenticationTime, by: connection.randomTime)
            if let time {
                reauthenticateAt = context.now + time
                context.set(.reauthenticate, after: time)
            }
        }
        if connection.deadPeerDelay > .zero { context.set(.liveness, after: connection.deadPeerDelay) }
        if isLocalBehindNAT, context.settings.keepaliveInterval > .zero {
            context.set(.keepalive, after: context.settings.keepaliveInterval)
        }
        context.report(.established)
    }

    /// Sets the timers that replace the IKE SA in use and, behind that, end it.
    mutating func scheduleIKE(_ context: inout Context) {
        guard let connection else { return }
        let rekey = context.jittered(connection.rekeyTime, by: connection.randomTime)
        rekeyAt = rekey.map { context.now + $0 }
        if let rekey { context.set(.rekeyIKE, after: rekey) }
        // Without a time for either, the SA lives until somebody deletes it.
        let hard = [connection.rekeyTime, connection.reauthenticationTime].filter { $0 > .zero }.max()
        expireAt = hard.map { context.now + $0 + connection.overTime }
        if let hard { context.set(.expireIKE, after: hard + connection.overTime) }
    }
}
