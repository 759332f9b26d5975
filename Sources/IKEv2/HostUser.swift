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
    var gateway: PeerAuthenticated
    /// The first message of IKE_AUTH, which the proofs cover the exchanges before (RFC 9242 §3.3.2).
    var authenticationID: UInt32
    var state = State.awaitingPacket
}

extension IKESession {
    /// The gateway is who it should be: the user's turn.
    mutating func beginUser(
        _ method: UserMethod, _ initiation: Initiation, _ content: MessageContent, gateway: PeerAuthenticated,
        _ context: inout Context
    ) throws(Fault) {
        let user = connection?.local.first?.exactUser ?? initiation.localIdentity
        let proving = ProvingUser(
            initiation: initiation, peer: EAPPeer(method, user: user), user: user, gateway: gateway,
            authenticationID: (current?.nextRequestID ?? 1) - 1)
        try receiveUser(proving, content, &context)
    }

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
                try bidFarewell(.authentication(peer: proving.gateway.identity), proving.initiation, &context)
                return
            }
            localUser = proving.user
            try establish(proving.initiation, content, proving.gateway, &context)
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
                    .ask(question, .proveUser(challenge, of: proving.user, for: proving.gateway.identity)))
            case .tunnel(let method, let input):
                context.emit(.ask(question, tunnelQuestion(method, input, proving)))
            default:
                context.emit(.ask(question, .password(of: proving.user, for: proving.gateway.identity)))
            }
        case .succeed(let key):
            let initiation = proving.initiation
            let intermediate = initiation.transcript.octets(authenticationID: proving.authenticationID)
            let own = try KeySchedule.signedOctets(
                sa.suite, message: initiation.request, otherNonce: initiation.responderNonce,
                proofKey: (initiation.mixed?.proofs ?? initiation.proofs).initiator, identity: initiation.localIdentity,
                intermediate: intermediate)
            let theirs = try KeySchedule.signedOctets(
                sa.suite, message: initiation.response, otherNonce: initiation.initiatorNonce,
                proofKey: (initiation.mixed?.proofs ?? initiation.proofs).responder, identity: proving.gateway.identity,
                intermediate: intermediate)
            proving.state = .awaitingProof(
                expected: try UserKey.proof(
                    prf, key ?? (initiation.mixed?.proofs ?? initiation.proofs).responder, theirs))
            let proof = try UserKey.proof(prf, key ?? (initiation.mixed?.proofs ?? initiation.proofs).initiator, own)
            phase = .provingUser(proving)
            try request(sa.ownSPI, .ikeAuth, [AuthenticationPayload(proof: proof).payload], .authentication, &context)
        case .fail(let reason):
            context.note("EAP: \(reason)")
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
        let own = connection?.local.first ?? AuthenticationRound()
        var peer = connection?.remote.first?.certificates ?? CertificateConstraints()
        if own.serverIdentity != nil { (peer.certificateFiles, peer.authorityFiles) = ([], []) }
        return .tunnel(
            TunnelRequest(
                session: id, method: method, isServer: false, own: own, ownIdentity: proving.user, peer: peer,
                peerIdentity: own.serverIdentity ?? proving.gateway.identity, input: input))
    }

    private mutating func failUser(_ proving: ProvingUser, _ refusal: Refusal, _ context: inout Context) {
        phase = .provingUser(proving)
        fail(refusal, &context)
    }
}
