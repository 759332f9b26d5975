import Cryptography
import EAP
import IPsec
import ISAKMP
import Primitives

/// A responder whose peer's user authenticates over EAP (RFC 7296 §2.16).
///
///     HDR, SK {IDi, [IDr,] SAi2, TSi, TSr}  -->
///                         <--  HDR, SK {IDr, [CERT,] AUTH, EAP}
///     HDR, SK {EAP}  -->
///                         <--  HDR, SK {EAP (success)}
///     HDR, SK {AUTH}  -->
///                         <--  HDR, SK {AUTH, SAr2, TSi, TSr}
struct CheckingUser: Sendable {
    enum State: Sendable {
        /// The credential store makes the proof of a round of ours, which goes out beside the packet.
        case awaitingOwnProof(QuestionID, Reply)
        case awaitingPacket
        case judging(QuestionID, Header, Datagram)
        /// The user is known; its AUTH by the key that came of it is to come.
        case awaitingProof(user: Identity, masterSessionKey: Secret?)
    }

    /// A packet for the user, the request that it answers, and who the user is where it is known with that.
    struct Reply: Sendable {
        var packet: [UInt8]
        var header: Header
        var datagram: Datagram
        var user: Identity?
        var masterSessionKey: Secret?
    }

    var method: UserMethod
    var acceptance: Acceptance
    /// The first request, with the identity and what is wanted of the child.
    var first: PendingAuthentication
    var server: EAPServer
    var state: State
    /// The refusal has been told.
    var isRefused = false
}

extension IKESession {
    /// The request has no AUTH: the gateway proves itself, and then asks who the user is.
    mutating func beginUser(
        _ method: UserMethod, _ acceptance: Acceptance, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) {
        guard let round = peerRound, let identity = pending.content.identityInitiator else { return }
        if ownRound?.method.userMethod != nil {
            guard rounds.peerTakesUserAlone else {
                let fault = RoundFault(
                    .notAlone, isOurs: true, number: rounds.own + 1, method: ownRound?.method.keyword)
                return try refuse(.rounds(fault), pending, &context)
            }
            rounds.isUserAlone = true
        }
        // Where EAP is all that proves both ends, either of the two rounds may say by which method.
        let method = method == .any ? ownRound?.method.userMethod ?? method : method
        if rounds.isUserAlone, !method.isMutual, method != .radius {
            let fault = RoundFault(.oneSided, isOurs: true, number: rounds.own + 1, method: method.rawValue)
            return try refuse(.rounds(fault), pending, &context)
        }
        var server = EAPServer(
            method, user: round.userIdentity == nil ? identity : nil, pattern: round.userIdentity ?? .any,
            asksBinding: round.asksBinding, &context.environment.randomness)
        let packet = server.start(&context.environment.randomness)
        let checking = CheckingUser(
            method: method, acceptance: acceptance, first: pending, server: server, state: .awaitingPacket)
        var payloads: [Payload] = []
        if rounds.isUserAlone {
            payloads.append(Payload(.identityResponder, body: IdentityPayload.body(pending.localIdentity)))
        }
        try send(
            CheckingUser.Reply(packet: packet, header: pending.header, datagram: pending.datagram), payloads, checking,
            &context)
    }

    /// Sends a packet to the user, beside our own round where one is left (RFC 4739 §2.1).
    private mutating func send(
        _ reply: CheckingUser.Reply, _ payloads: [Payload], _ checking: CheckingUser, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        var checking = checking
        if ownRound != nil, !rounds.isUserAlone {
            let own = identity(of: ownRound)
            localIdentity = own
            checking.first.localIdentity = own
            let question = context.environment.freshQuestionID()
            checking.state = .awaitingOwnProof(question, reply)
            phase = .checkingUser(checking)
            let remote = rounds.peerIdentity ?? Identity(remote.address)
            switch try ownProof(checking.acceptance, checking.first, remote: remote) {
            case .answer(let answer): return try receive(answer, to: question, checking, &context)
            case .question(let asked): return context.emit(.ask(question, asked))
            }
        }
        checking.state =
            reply.user.map { .awaitingProof(user: $0, masterSessionKey: reply.masterSessionKey) } ?? .awaitingPacket
        phase = .checkingUser(checking)
        try respond(
            spi, reply.header, to: reply.datagram, payloads + [Payload(.extensibleAuthentication, body: reply.packet)],
            &context)
    }

    /// The credential store answered while a user authenticates.
    mutating func receive(
        _ answer: Answer, to question: QuestionID, _ checking: CheckingUser, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        var checking = checking
        switch checking.state {
        case .awaitingOwnProof(question, let reply):
            guard let proof = ownProof(in: answer) else {
                let remote = checking.first.content.identityInitiator ?? Identity(remote.address)
                var pending = checking.first
                (pending.header, pending.datagram) = (reply.header, reply.datagram)
                try refuse(.noCredential(local: checking.first.localIdentity, remote: remote), pending, &context)
                return
            }
            let payloads =
                takeOwnProof(proof, checking.first.localIdentity)
                + [Payload(.extensibleAuthentication, body: reply.packet)]
            checking.state =
                reply.user.map { .awaitingProof(user: $0, masterSessionKey: reply.masterSessionKey) } ?? .awaitingPacket
            phase = .checkingUser(checking)
            try respond(spi, reply.header, to: reply.datagram, payloads, &context)
        case .judging(question, let header, let datagram):
            let verdict: UserAnswer? =
                switch answer {
                case .user(let answer): answer
                case .verified: UserAnswer(response: [])
                default: nil
                }
            let step: EAPServer.Step
            switch answer {
            case .relayed(let verdict):
                step = checking.server.take(verdict)
                if case .accepted(let grant, _) = verdict, case .succeed = step { self.grant = grant }
            case .tunnelled(let progress):
                step = checking.server.take(progress, &context.environment.randomness)
            default:
                step = checking.server.judge(verdict, &context.environment.randomness)
            }
            if let user = checking.server.refused {
                context.report(.refused(child: nil, .userAuthentication(user: user)))
                checking.isRefused = true
            }
            try take(step, checking, header, datagram, &context)
        default: throw .unexpected("an answer that nothing awaits")
        }
    }

    /// An IKE_AUTH request behind the first.
    mutating func receiveUser(
        _ checking: CheckingUser, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        var checking = checking
        if header.exchange == .informationalV2, case .awaitingPacket = checking.state {
            try abandonUser(checking, header, datagram, &context)
            return
        }
        guard header.exchange == .ikeAuth else { throw .violation("IKE_AUTH goes on until both ends are known") }
        switch checking.state {
        case .awaitingOwnProof, .judging: throw .unexpected("no request is awaited now")
        case .awaitingPacket:
            let packet = try content.required(content.extensibleAuthentication, "EAP")
            let step: EAPServer.Step
            do throws(ParseError) {
                step = try checking.server.receive(packet, &context.environment.randomness)
            } catch {
                throw .malformed(error)
            }
            try take(step, checking, header, datagram, &context)
        case .awaitingProof(let user, let key):
            try concludeUser(checking, user, key, content, header, datagram, &context)
        }
    }

    /// The host leaves: an alert in TLS, or that its password is not right, is the last thing that some want to hear.
    private mutating func abandonUser(
        _ checking: CheckingUser, _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        context.note("EAP: the peer leaves before its user is known")
        try respond(spi, header, to: datagram, [], &context)
        refuseUser(checking, checking.server.refused ?? checking.first.content.identityInitiator, &context)
    }

    private mutating func refuseUser(_ checking: CheckingUser, _ user: Identity?, _ context: inout Context) {
        let refusal = checking.server.report.map { Refusal.certificate($0) } ?? .userAuthentication(user: user)
        if checking.isRefused { close(.refused(refusal), &context) } else { fail(refusal, &context) }
    }

    private mutating func take(
        _ step: EAPServer.Step, _ checking: CheckingUser, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        var checking = checking
        func payload(_ packet: [UInt8]) -> Payload { Payload(.extensibleAuthentication, body: packet) }
        switch step {
        case .send(let packet):
            try send(CheckingUser.Reply(packet: packet, header: header, datagram: datagram), [], checking, &context)
        case .check, .judge, .relay, .tunnel:
            let number = context.environment.freshQuestionID()
            checking.state = .judging(number, header, datagram)
            phase = .checkingUser(checking)
            switch step {
            case .check(let password, let user): context.emit(.ask(number, .checkPassword(password, of: user)))
            case .judge(let proof, let user): context.emit(.ask(number, .judgeUser(proof, of: user)))
            case .relay(let packet, let user, let state):
                context.emit(
                    .ask(
                        number,
                        .relayUser(
                            UserRelay(
                                session: id, connection: connection?.name ?? "", local: local, remote: remote,
                                user: user, message: .packet(packet), state: state))))
            case .tunnel(let input):
                guard let question = tunnelQuestion(input, checking) else { return }
                context.emit(.ask(number, question))
            case .send, .succeed, .fail: break
            }
        case .succeed(let packet, let user, let key):
            do throws(Fault) { try checkUserAlone(hasKey: key != nil && checking.server.isMutual) } catch {
                var pending = checking.first
                (pending.header, pending.datagram) = (header, datagram)
                return try refuse(error, pending, &context)
            }
            try send(
                CheckingUser.Reply(
                    packet: packet, header: header, datagram: datagram, user: user, masterSessionKey: key), [],
                checking,
                &context)
        case .fail(let packet, let user, let reason):
            context.note("EAP: \(reason)")
            try respond(spi, header, to: datagram, [payload(packet)], &context)
            refuseUser(checking, user, &context)
        }
    }

    /// What TLS inside EAP is asked for: our own round's certificate, and what the peer's round wants of the user's.
    private func tunnelQuestion(_ input: TunnelRequest.Input, _ checking: CheckingUser) -> Question? {
        // Our latest round: the host wants TLS's server to have its name.
        let index = max(0, rounds.isUserAlone ? rounds.own : rounds.own - 1)
        guard let peer = peerRound, let own = connection?.ownRounds.dropFirst(index).first else { return nil }
        return .tunnel(
            TunnelRequest(
                session: id, method: checking.method, isServer: true, own: own,
                ownIdentity: checking.first.localIdentity,
                peer: peer.certificates,
                peerIdentity: nil, input: input))
    }

    /// AUTH by the key that EAP made, or else by SK_pi (RFC 7296 §2.16); ours by the same or SK_pr.
    private mutating func concludeUser(
        _ checking: CheckingUser, _ user: Identity, _ key: Secret?, _ content: MessageContent, _ header: Header,
        _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        guard let suite = current?.suite, let prf = suite.prf, let identity = checking.first.content.identityInitiator
        else { return }
        let acceptance = checking.acceptance
        var last = checking.first
        last.header = header
        last.datagram = datagram
        let expected = try UserKey.proof(
            prf, key ?? (acceptance.mixed?.proofs ?? acceptance.proofs).initiator,
            try initiatorOctets(acceptance, checking.first, identity: identity))
        guard let proof = content.authentication, proof.method == AuthenticationPayload.sharedKey,
            ConstantTime.equal(proof.proof, expected)
        else {
            try refuse(.authentication(identity), last, &context)
            return
        }
        let own = try UserKey.proof(
            prf, key ?? (acceptance.mixed?.proofs ?? acceptance.proofs).responder,
            try responderOctets(acceptance, checking.first))
        if let fault = admit(user, &context) { return try refuse(fault, last, &context) }
        remoteUser = user
        do throws(Fault) { try notePeerRound(PeerAuthenticated(verified: identity), content) } catch {
            return try refuse(error, last, &context)
        }
        var payloads = [AuthenticationPayload(proof: own).payload]
        if rounds.isUserAlone {
            payloads += furtherRoundPayloads
            rounds.isUserAlone = false
            rounds.own += 1
        } else if ownRound != nil {
            payloads.append(NotifyPayload(.anotherAuthenticationFollows).payload)
        }
        try finishRound(acceptance, last, payloads, &context)
    }

    /// What the responder's AUTH covers.
    func responderOctets(
        _ acceptance: Acceptance, _ pending: PendingAuthentication
    ) throws(Fault) -> [UInt8] {
        guard let suite = current?.suite else { return [] }
        return try KeySchedule.signedOctets(
            suite, message: acceptance.response, otherNonce: acceptance.initiatorNonce,
            proofKey: (acceptance.mixed?.proofs ?? acceptance.proofs).responder, identity: pending.localIdentity,
            intermediate: acceptance.transcript.octets(
                authenticationID: rounds.firstMessageID ?? pending.header.messageID))
    }

    /// What the initiator's covers.
    func initiatorOctets(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, identity: Identity
    ) throws(Fault) -> [UInt8] {
        guard let suite = current?.suite else { return [] }
        return try KeySchedule.signedOctets(
            suite, message: acceptance.request, otherNonce: acceptance.responderNonce,
            proofKey: (acceptance.mixed?.proofs ?? acceptance.proofs).initiator, identity: identity,
            intermediate: acceptance.transcript.octets(
                authenticationID: rounds.firstMessageID ?? pending.header.messageID))
    }
}

/// AUTH by a key that both ends have of EAP (RFC 7296 §2.15, §2.16).
enum UserKey {
    private static let keyPad = Array("Key Pad for IKEv2".utf8)

    /// prf(prf(key, "Key Pad for IKEv2"), octets).
    static func proof(_ prf: PRFID, _ key: Secret, _ octets: [UInt8]) throws(Fault) -> [UInt8] {
        try Attempt.cryptography { () throws(CryptographyError) in
            let padded = try PseudorandomFunction.derive(prf, key: key, [.open(keyPad)])
            return try PseudorandomFunction.compute(prf, key: padded, [.open(octets)])
        }
    }
}

extension Payload {
    /// The body as a trace may show it: of an EAP packet no more than the head, since a method's data may be the password itself,
    /// or let it be guessed.
    var shown: [UInt8] {
        let head = 5
        guard type == .extensibleAuthentication, body.count > head,
            body[4] >= EAPPacket.MethodType.md5Challenge.rawValue
        else { return body }
        return Array(body.prefix(head)) + [UInt8](repeating: 0, count: body.count - head)
    }
}
