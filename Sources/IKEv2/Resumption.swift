import Cryptography
import IPsec
import ISAKMP
import Primitives

/// What the initiator knows while it awaits the response to IKE_SESSION_RESUME.
struct ResumptionRequest: Sendable {
    /// So often the request goes out before the gateway is taken for one that does not know it.
    static let maximumTries = 3

    var spi: UInt64
    var nonce: [UInt8]
    var ticket: HeldTicket
    var cookie: [UInt8] = []
    var cookiesSeen = 0
    /// The message, which takes the place of RealMessage1.
    var message: [UInt8] = []
}

/// Session resumption from the client's side (RFC 5723): without key exchange, certificates or users' passwords.
///
///     HDR, [N(COOKIE),] Ni, N(TICKET_OPAQUE)  -->
///                         <--  HDR, Nr
///     HDR, SK {IDi, AUTH, SAi2, TSi, TSr, N(TICKET_REQUEST)}  -->
///                         <--  HDR, SK {IDr, AUTH, SAr2, TSi, TSr, N(TICKET_LT_OPAQUE)}
extension IKESession {
    // MARK: Tickets

    /// Asks the gateway for a ticket.
    var ticketRequest: [Payload] { connection?.resumes == true ? [NotifyPayload(.ticketRequest).payload] : [] }

    /// Holds the ticket that an authenticated message gives.
    mutating func holdTicket(_ content: MessageContent, takesChildless: Bool?, _ context: inout Context) {
        guard isInitiator, let connection, connection.resumes, let sa = current, let localIdentity,
            case .established(let peer) = phase, let data = content.notification(.ticketLifetimeOpaque)?.data,
            data.count > 4
        else { return }
        let lifetime = data.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        if let takesChildless { self.takesChildless = takesChildless }
        context.environment.tickets.hold(
            HeldTicket(
                octets: Array(data.dropFirst(4)), expires: context.now + .seconds(Int64(lifetime)),
                remote: remote.address, suite: sa.suite, derivation: sa.keys.derivation(sa.suite),
                localIdentity: localIdentity, remoteIdentity: peer.identity, localUser: localUser,
                takesChildless: self.takesChildless), for: connection.name)
    }

    /// A ticket for the connection that still fits it. It is used up.
    func usableTicket(_ connection: Connection, _ context: inout Context) -> HeldTicket? {
        guard connection.resumes,
            let ticket = context.environment.tickets.take(connection.name, now: context.now),
            ticket.remote == remote.address,
            connection.peerRounds.last?.identity.matches(ticket.remoteIdentity) == true,
            ticket.localIdentity == identity(of: connection.ownRounds.last),
            connection.ownRounds.allSatisfy({ $0.method.userMethod == nil }) || ticket.localUser != nil,
            connection.agrees(to: ticket.suite)
        else { return nil }
        return ticket
    }

    // MARK: Exchange

    mutating func resume(with ticket: HeldTicket, _ context: inout Context) throws(Fault) {
        let spi = context.environment.freshIKESPI()
        let nonce = context.environment.randomness.octets(IKESession.nonceOctets)
        associations = [IKESA(placeholder: spi, nextIV: context.environment.randomness.uint64())]
        context.emit(.claim(spi: spi))
        try sendResumption(ResumptionRequest(spi: spi, nonce: nonce, ticket: ticket), &context)
    }

    private mutating func sendResumption(_ state: ResumptionRequest, _ context: inout Context) throws(Fault) {
        var state = state
        var payloads: [Payload] = []
        if !state.cookie.isEmpty { payloads.append(NotifyPayload(.cookie, data: state.cookie).payload) }
        payloads.append(Payload(.nonceV2, body: state.nonce))
        payloads.append(NotifyPayload(.ticketOpaque, data: state.ticket.octets).payload)
        payloads += try NATTraversal.notifications(
            state.spi, 0, local: local, remote: remote, isForced: isForcingEncapsulation(context))
        if connection?.fragmentation != .no { payloads.append(NotifyPayload(.fragmentationSupported).payload) }
        payloads += redirectPayloads(context)
        let header = Header(
            initiator: Cookie(state.spi), responder: .zero, majorVersion: 2, exchange: .ikeSessionResume,
            flags: [.initiator])
        state.message = Message(header: header, payloads: payloads).octets
        requestInitial(state.message, payloads, .ikeSessionResume, &context)
        phase = .awaitingResumption(state)
    }

    /// The answer, which anybody may have sent. A refusal costs no more than the key exchange that follows on it.
    mutating func receiveResumption(
        _ payloads: [Payload], _ header: Header, _ datagram: Datagram, _ state: ResumptionRequest,
        _ context: inout Context
    ) throws(Fault) {
        guard header.flags.contains(.response), !header.flags.contains(.initiator),
            header.initiator.value == state.spi, header.exchange == .ikeSessionResume
        else { throw .unexpected("not a response to our IKE_SESSION_RESUME") }
        let content = try MessageContent(payloads)
        context.trace(
            outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: payloads, inner: [])
        if let cookie = content.notification(.cookie) {
            try check(cookie, seen: state.cookiesSeen)
            var state = state
            state.cookie = cookie.data
            state.cookiesSeen += 1
            return try sendResumption(state, &context)
        }
        if let redirect = content.notification(.redirect) {
            return try follow(initial: redirect, nonce: state.nonce, &context)
        }
        if content.notification(.ticketNack) != nil || content.error != nil {
            return try beginAnew("the gateway does not take the ticket", &context)
        }
        try proceed(state, content, header, datagram, &context)
    }

    private mutating func proceed(
        _ state: ResumptionRequest, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        guard let connection, let prf = state.ticket.suite.prf else { return }
        let nonce = try content.required(content.nonce, "Nonce")
        guard header.responder != .zero else { throw .unexpected("the responder chose no SPI") }
        let suite = state.ticket.suite
        let (keys, proofs) = try KeySchedule.resumed(
            suite, derivation: state.ticket.derivation,
            KeySchedule.Public(
                initiatorNonce: state.nonce, responderNonce: nonce, initiatorSPI: state.spi,
                responderSPI: header.responder.value))
        try protect(suite, keys, responder: header.responder.value, content, connection, &context)
        localIdentity = state.ticket.localIdentity
        var initiation = Initiation(
            proofs: proofs, initiatorNonce: state.nonce, responderNonce: nonce, request: state.message,
            response: datagram.octets, localIdentity: state.ticket.localIdentity, support: SignatureSupport(content))
        initiation.ticket = state.ticket
        initiation.peerTakesChildless = state.ticket.takesChildless
        let octets = try KeySchedule.signedOctets(
            suite, message: state.message, otherNonce: nonce, proofKey: proofs.initiator,
            identity: initiation.localIdentity, intermediate: [])
        let proof = try ResumptionProof.octets(prf, proofs.initiator, octets)
        try sendAuthentication(
            initiation, OwnProof(authentication: AuthenticationPayload(proof: proof)), &context)
    }

    /// The gateway's proof, by a key that it can only have of the ticket.
    mutating func concludeResumption(
        _ initiation: Initiation, _ ticket: HeldTicket, _ content: MessageContent, _ identity: Identity,
        _ context: inout Context
    ) throws(Fault) {
        guard let sa = current, let prf = sa.suite.prf else { return }
        let octets = try KeySchedule.signedOctets(
            sa.suite, message: initiation.response, otherNonce: initiation.initiatorNonce,
            proofKey: initiation.proofs.responder, identity: identity, intermediate: [])
        let expected = try ResumptionProof.octets(prf, initiation.proofs.responder, octets)
        guard identity == ticket.remoteIdentity, let proof = content.authentication,
            proof.method == AuthenticationPayload.sharedKey, ConstantTime.equal(proof.proof, expected)
        else { return try bidFarewell(.authentication(peer: identity), initiation, &context) }
        localUser = ticket.localUser
        context.note("resumed with a ticket")
        try establish(initiation, content, PeerAuthenticated(verified: identity), &context)
    }

    /// With a key exchange and all the rest, instead of the ticket.
    mutating func beginAnew(_ reason: String, _ context: inout Context) throws(Fault) {
        context.note("\(reason): the session begins anew")
        for sa in associations {
            context.cancel(.retransmit(spi: sa.ownSPI, messageID: 0))
            context.emit(.release(spi: sa.ownSPI))
        }
        associations = []
        phase = .awaitingCommand
        try initiate(&context)
    }
}

/// AUTH of a resumed session (RFC 5723 §5.1): prf(SK_px, octets), the octets as of any AUTH.
enum ResumptionProof {
    static func octets(_ prf: PRFID, _ key: Secret, _ octets: [UInt8]) throws(Fault) -> [UInt8] {
        try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.compute(prf, key: key, [.open(octets)])
        }
    }
}
