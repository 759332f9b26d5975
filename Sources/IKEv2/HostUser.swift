import Cryptography
import EAP
import IPsec
import ISAKMP
import Primitives

/// An initiator whose user authenticates over EAP (RFC 7296 §2.16), once the gateway has proved who it is.
struct ProvingUser: Sendable {
    enum State: Sendable {
        case awaitingPacket
        case awaitingAnswer(QuestionID)
        /// Our AUTH is sent; the gateway's own, by the same key, is to come.
        case awaitingProof(expected: [UInt8])
    }

    var initiation: Initiation
    var peer: EAPPeer
    var user: Identity
    var state = State.awaitingPacket

    var awaitsPacket: Bool {
        if case .awaitingPacket = state { true } else { false }
    }
}

extension IKESession {
    /// The gateway is who it should be, or is to show it in the user's method itself (RFC 5998): the user's turn.
    mutating func beginUser(
        _ method: UserMethod, _ initiation: Initiation, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        let user = ownRound?.exactUser ?? initiation.localIdentity
        // Whoever configures EAP for the peer wants a method that proves the peer, whatever else the peer shows.
        let isMutual = rounds.own == 0 && connection?.peerRounds.first?.method.userMethod != nil
        let wanted = connection?.peerRounds.first?.method.userMethod.flatMap { $0.isMutual ? $0 : nil }
        let peer = EAPPeer(method == .any && isMutual ? wanted ?? .any : method, user: user, isMutual: isMutual)
        try receiveUser(ProvingUser(initiation: initiation, peer: peer, user: user), content, &context)
    }

    /// Who the gateway is, or says it is where only the user's method will show it.
    private var gateway: Identity { rounds.peerIdentity ?? expectedRemoteIdentity }

    /// A response of IKE_AUTH behind the gateway's proof, or the packet in that.
    mutating func receiveUser(
        _ proving: ProvingUser, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        var proving = proving
        if let error = content.error, content.authentication == nil || content.extensibleAuthentication != nil {
            failUser(proving, .peer(notification: error.type.rawValue, name: error.type.name), &context)
            return
        }
        switch proving.state {
        case .awaitingAnswer: throw .unexpected("no response is awaited now")
        case .awaitingProof(let expected):
            guard let proof = content.authentication, proof.method == AuthenticationPayload.sharedKey,
                ConstantTime.equal(proof.proof, expected)
            else {
                try bidFarewell(.authentication(peer: gateway), proving.initiation, &context)
                return
            }
            localUser = proving.user
            if rounds.isUserAlone {
                rounds.isUserAlone = false
                do throws(Fault) { try notePeerRound(PeerAuthenticated(verified: gateway), content) } catch {
                    return try bidFarewell(error.refusal, proving.initiation, &context)
                }
            }
            rounds.own += 1
            try advance(proving.initiation, content, &context)
        case .awaitingPacket:
            guard let packet = content.extensibleAuthentication else {
                failUser(proving, .protocolViolation("IKE_AUTH without EAP payload"), &context)
                return
            }
            let step: EAPPeer.Step
            do throws(ParseError) {
                step = try proving.peer.receive(packet, &context.environment.randomness)
            } catch {
                failUser(proving, .protocolViolation(error.description), &context)
                return
            }
            try take(step, proving, &context)
        }
    }

    /// The credential store knows the user's password, or does not.
    mutating func receive(
        _ answer: Answer, to question: QuestionID, _ proving: ProvingUser, _ context: inout Context
    ) throws(Fault) {
        guard case .awaitingAnswer(question) = proving.state else {
            throw .unexpected("an answer that nothing awaits")
        }
        var proving = proving
        let step: EAPPeer.Step =
            switch answer {
            case .user(let answer): proving.peer.prove(answer)
            case .password(let password): proving.peer.give(password)
            case .tunnelled(let progress): proving.peer.take(progress, &context.environment.randomness)
            default: proving.peer.prove(nil)
            }
        try take(step, proving, &context)
    }

    private mutating func take(
        _ step: EAPPeer.Step, _ proving: ProvingUser, _ context: inout Context
    ) throws(Fault) {
        guard let sa = current, let prf = sa.suite.prf else { return }
        var proving = proving
        switch step {
        case .send(let packet):
            proving.state = .awaitingPacket
            phase = .provingUser(proving)
            try request(
                sa.ownSPI, .ikeAuth, [Payload(.extensibleAuthentication, body: packet)], .authentication, &context)
        case .prove, .password, .tunnel:
            let question = context.environment.freshQuestionID()
            proving.state = .awaitingAnswer(question)
            phase = .provingUser(proving)
            switch step {
            case .prove(let challenge):
                context.emit(
                    .ask(question, .proveUser(challenge, of: proving.user, for: gateway)))
            case .tunnel(let method, let input):
                context.emit(.ask(question, tunnelQuestion(method, input, proving)))
            default:
                context.emit(.ask(question, .password(of: proving.user, for: gateway)))
            }
        case .succeed(let key):
            let initiation = proving.initiation
            do throws(Fault) { try checkUserAlone(hasKey: key != nil) } catch {
                return try bidFarewell(error.refusal, initiation, &context)
            }
            let intermediate = initiation.transcript.octets(authenticationID: rounds.firstMessageID ?? 1)
            let own = try KeySchedule.signedOctets(
                sa.suite, message: initiation.request, otherNonce: initiation.responderNonce,
                proofKey: (initiation.mixed?.proofs ?? initiation.proofs).initiator, identity: initiation.localIdentity,
                intermediate: intermediate)
            let theirs = try KeySchedule.signedOctets(
                sa.suite, message: initiation.response, otherNonce: initiation.initiatorNonce,
                proofKey: (initiation.mixed?.proofs ?? initiation.proofs).responder, identity: gateway,
                intermediate: intermediate)
            proving.state = .awaitingProof(
                expected: try UserKey.proof(
                    prf, key ?? (initiation.mixed?.proofs ?? initiation.proofs).responder, theirs))
            let proof = try UserKey.proof(prf, key ?? (initiation.mixed?.proofs ?? initiation.proofs).initiator, own)
            phase = .provingUser(proving)
            try request(
                sa.ownSPI, .ikeAuth, [AuthenticationPayload(proof: proof).payload] + furtherRoundPayloads,
                .authentication, &context)
        case .fail(let reason):
            context.note("EAP: \(reason)")
            if proving.peer.metUnsafeMethod {
                let method = connection?.peerRounds.first?.method.keyword
                return try bidFarewell(
                    .rounds(RoundFault(.oneSided, isOurs: false, number: 1, method: method)), proving.initiation,
                    &context
                )
            }
            failUser(
                proving, proving.peer.report.map { .certificate($0) } ?? .userRefused(user: proving.user),
                &context)
        }
    }

    /// What TLS inside EAP is asked for. Its server is the gateway, of whose certificate the connection may want something, or
    /// behind that another, which `aaa_id` names.
    private func tunnelQuestion(
        _ method: UserMethod, _ input: TunnelRequest.Input, _ proving: ProvingUser
    ) -> Question {
        let own = ownRound ?? AuthenticationRound()
        var peer = connection?.peerRounds.first?.certificates ?? CertificateConstraints()
        if own.serverIdentity != nil { peer.forgetAuthorities() }
        return .tunnel(
            TunnelRequest(
                session: id, method: method, isServer: false, own: own, ownIdentity: proving.user, peer: peer,
                peerIdentity: own.serverIdentity ?? gateway, input: input))
    }

    private mutating func failUser(_ proving: ProvingUser, _ refusal: Refusal, _ context: inout Context) {
        phase = .provingUser(proving)
        fail(refusal, &context)
    }
}
