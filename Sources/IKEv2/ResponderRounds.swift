import Cryptography
import IPsec
import ISAKMP
import Primitives

/// The responder's way through the rounds of IKE_AUTH (RFC 4739 §2).
extension IKESession {
    /// A request behind the first: the peer's next round, or nothing where ours alone go on.
    mutating func receiveRound(
        _ acceptance: Acceptance, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        if ownRound != nil { localIdentity = identity(of: ownRound) }
        let own = localIdentity ?? Identity(local.address)
        let pending = PendingAuthentication(
            content: content, header: header, datagram: datagram, localIdentity: own)
        if let wanted = content.identityResponder, ownRound != nil, !IdentityPattern.exactly(own).matches(wanted) {
            throw .identity(wanted: [.exactly(own)], seen: wanted)
        }
        guard let round = peerRound else { return try answerRound(acceptance, pending, &context) }
        let identity = try content.required(content.identityInitiator, "IDi")
        guard round.identity.matches(identity) else { throw .identity(wanted: [round.identity], seen: identity) }
        rounds.peerIdentity = identity
        guard content.authentication == nil else { return try verifyInitiator(acceptance, pending, &context) }
        guard let method = round.method.userMethod else {
            throw .method(identity, wanted: round.method.keyword, seen: UserMethod.any.rawValue)
        }
        try beginUser(method, acceptance, pending, &context)
    }

    /// The peer's round is over, or all are: now ours, if one is left.
    mutating func answerRound(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) {
        guard ownRound != nil else { return try finishRound(acceptance, pending, [], &context) }
        guard let peer = rounds.authenticated else { return }
        let question = context.environment.freshQuestionID()
        phase = .awaitingResponderProof(acceptance, question, pending, peer)
        let asked = try ownProof(acceptance, pending, remote: peer.identity)
        switch asked {
        case .answer(let answer): try receiveOwnProof(acceptance, pending, peer, answer, &context)
        case .question(let asked): context.emit(.ask(question, asked))
        }
    }

    /// What makes our proof: the credential store, or, where we stay anonymous, nobody.
    enum AskedProof {
        case question(Question)
        case answer(Answer)
    }

    func ownProof(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, remote: Identity
    ) throws(Fault) -> AskedProof {
        guard let prf = current?.suite.prf, let round = ownRound, round.method.userMethod == nil else {
            return .answer(.noCredential)
        }
        let octets = try responderOctets(acceptance, pending)
        let key = (acceptance.mixed?.proofs ?? acceptance.proofs).responder
        if let answer = try anonymousProof(round, prf, key, octets) { return .answer(answer) }
        return .question(
            ownProof(
                round, prf, identity: pending.localIdentity, remote: remote, octets, acceptance.support))
    }

    mutating func receiveOwnProof(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ peer: PeerAuthenticated, _ answer: Answer,
        _ context: inout Context
    ) throws(Fault) {
        guard let proof = ownProof(in: answer) else {
            try refuse(.noCredential(local: pending.localIdentity, remote: peer.identity), pending, &context)
            return
        }
        try finishRound(acceptance, pending, takeOwnProof(proof, pending.localIdentity), &context)
    }

    /// The payloads of our round, which is over with them.
    mutating func takeOwnProof(_ proof: OwnProof, _ identity: Identity) -> [Payload] {
        let payloads =
            [Payload(.identityResponder, body: IdentityPayload.body(identity))] + proof.certificates
            + [proof.authentication.payload] + furtherRoundPayloads
        rounds.own += 1
        return payloads
    }

    /// Answers a request whose round is over: the SA stands, or another round comes.
    mutating func finishRound(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ payloads: [Payload], _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        var payloads = payloads
        if acceptance.mixed != nil, !rounds.saidPPK {
            rounds.saidPPK = true
            payloads.append(NotifyPayload(.ppkIdentity).payload)
        }
        guard peerRound == nil, ownRound == nil, let peer = rounds.authenticated, var first = rounds.request?.value
        else {
            phase = .awaitingAuthenticationRequest(acceptance)
            return try respond(spi, pending.header, to: pending.datagram, payloads, &context)
        }
        first.header = pending.header
        first.datagram = pending.datagram
        rounds.request = nil
        try establish(acceptance, first, peer, payloads, &context)
    }

    /// The peer leaves between two rounds: it does not take our proof, or has had enough.
    mutating func abandonRounds(
        _ content: MessageContent, _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        try respond(spi, header, to: datagram, [], &context)
        let error = content.error?.type ?? .authenticationFailed
        fail(.peer(notification: error.rawValue, name: error.name), &context)
    }
}
