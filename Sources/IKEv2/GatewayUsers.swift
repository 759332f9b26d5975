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
        case awaitingOwnProof(QuestionID)
        case awaitingPacket
        case judging(QuestionID, Header, Datagram)
        /// The user is known; its AUTH by the key that came of it is to come.
        case awaitingProof(user: Identity, masterSessionKey: Secret?)
    }

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
        guard let suite = current?.suite, let prf = suite.prf, let connection, let round = connection.remote.first,
            let identity = pending.content.identityInitiator
        else { return }
        let octets = try responderOctets(acceptance, pending)
        let server = EAPServer(
            method, user: round.userIdentity == nil ? identity : nil, pattern: round.userIdentity ?? .any,
            &context.environment.randomness)
        let question = context.environment.freshQuestionID()
        context.emit(
            .ask(
                question,
                ownProof(
                    connection, prf, identity: pending.localIdentity, remote: identity, octets, acceptance.support)))
        phase = .checkingUser(
            CheckingUser(
                acceptance: acceptance, first: pending, server: server, state: .awaitingOwnProof(question)))
    }

    /// The credential store answered while a user authenticates.
    mutating func receive(
        _ answer: Answer, to question: QuestionID, _ checking: CheckingUser, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        var checking = checking
        switch checking.state {
        case .awaitingOwnProof(question):
            guard let proof = ownProof(in: answer) else {
                let remote = checking.first.content.identityInitiator ?? Identity(remote.address)
                try refuse(.noCredential(local: checking.first.localIdentity, remote: remote), checking.first, &context)
                return
            }
            var payloads = [Payload(.identityResponder, body: IdentityPayload.body(checking.first.localIdentity))]
            payloads += proof.certificates
            payloads.append(proof.authentication.payload)
            let packet = checking.server.start(&context.environment.randomness)
            payloads.append(Payload(.extensibleAuthentication, body: packet))
            checking.state = .awaitingPacket
            phase = .checkingUser(checking)
            try respond(spi, checking.first.header, to: checking.first.datagram, payloads, &context)
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
            checking.state = .awaitingPacket
            phase = .checkingUser(checking)
            try respond(spi, header, to: datagram, [payload(packet)], &context)
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
                guard let question = tunnelQuestion(input, checking.first.localIdentity) else { return }
                context.emit(.ask(number, question))
            case .send, .succeed, .fail: break
            }
        case .succeed(let packet, let user, let key):
            checking.state = .awaitingProof(user: user, masterSessionKey: key)
            phase = .checkingUser(checking)
            try respond(spi, header, to: datagram, [payload(packet)], &context)
        case .fail(let packet, let user, let reason):
            context.note("EAP: \(reason)")
            try respond(spi, header, to: datagram, [payload(packet)], &context)
            refuseUser(checking, user, &context)
        }
    }

    /// What TLS inside EAP is asked for: our own round's certificate, and what the peer's round wants of the user's.
    private func tunnelQuestion(_ input: TunnelRequest.Input, _ identity: Identity) -> Question? {
        guard let own = connection?.local.first, let peer = connection?.remote.first,
            let method = peer.method.userMethod
        else { return nil }
        return .tunnel(
            TunnelRequest(
                session: id, method: method, isServer: true, own: own, ownIdentity: identity,
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
        remoteUser = user
        try establish(
            acceptance, last, PeerAuthenticated(verified: identity), [AuthenticationPayload(proof: own).payload],
            &context)
    }

    /// What the responder's AUTH covers.
    func responderOctets(
        _ acceptance: Acceptance, _ pending: PendingAuthentication
    ) throws(Fault) -> [UInt8] {
        guard let suite = current?.suite else { return [] }
        return try KeySchedule.signedOctets(
            suite, message: acceptance.response, otherNonce: acceptance.initiatorNonce,
            proofKey: (acceptance.mixed?.proofs ?? acceptance.proofs).responder, identity: pending.localIdentity,
            intermediate: acceptance.transcript.octets(authenticationID: pending.header.messageID))
    }

    /// What the initiator's covers.
    func initiatorOctets(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, identity: Identity
    ) throws(Fault) -> [UInt8] {
        guard let suite = current?.suite else { return [] }
        return try KeySchedule.signedOctets(
            suite, message: acceptance.request, otherNonce: acceptance.responderNonce,
            proofKey: (acceptance.mixed?.proofs ?? acceptance.proofs).initiator, identity: identity,
            intermediate: acceptance.transcript.octets(authenticationID: pending.header.messageID))
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
