import Cryptography
import IPsec
import ISAKMP
import Primitives

/// Session resumption from the gateway's side (RFC 5723). The gateway keeps nothing: what it needs is in the ticket.
extension IKESession {
    // MARK: Tickets

    /// The answer to N(TICKET_REQUEST): a ticket, or that there is none.
    mutating func ticketPayloads(_ content: MessageContent, _ context: inout Context) -> [Payload] {
        guard !isInitiator, content.notification(.ticketRequest) != nil, let connection, let localIdentity,
            case .established(let peer) = phase, let sa = current
        else { return [] }
        // Whom an authentication server allowed it judges again: it may have changed its mind.
        guard connection.resumes, grant == nil else { return [NotifyPayload(.ticketNack).payload] }
        let now = context.environment.tickets.seconds(context.now)
        var lifetime = Ticket.maximumLifetime
        if connection.reauthenticationTime > .zero {
            lifetime = min(lifetime, connection.reauthenticationTime.wholeSeconds)
        }
        let ticket = Ticket(
            connection: connection.name, suite: sa.suite, derivation: sa.keys.derivation(sa.suite),
            initiator: peer.identity, responder: localIdentity, user: remoteUser, method: connection.peerMethod,
            expires: now + lifetime)
        let identifier = context.environment.randomness.octets(Ticket.identifierOctets)
        guard
            let octets = try? ticket.sealed(
                identifier: identifier, secret: context.environment.tickets.secret, now: now)
        else { return [NotifyPayload(.ticketNack).payload] }
        issued = IssuedTicket(identifier: identifier, expires: ticket.expires)
        var data: [UInt8] = []
        data.append(bigEndian: UInt32(clamping: lifetime))
        return [NotifyPayload(.ticketLifetimeOpaque, data: data + octets).payload]
    }

    /// An SA that somebody deletes takes its tickets along (RFC 5723 §4.3.4): nobody goes on with it.
    mutating func dropTickets(_ reason: ClosureReason, _ context: inout Context) {
        guard reason == .deletedByUs || reason == .deletedByPeer else { return }
        if isInitiator, isEstablished, let connection { context.environment.tickets.drop(connection.name) }
        guard let issued else { return }
        _ = context.environment.tickets.spend(
            issued.identifier, expires: issued.expires, now: context.environment.tickets.seconds(context.now))
    }

    // MARK: Exchange

    /// An IKE_SESSION_RESUME request.
    ///
    /// - Throws: `ticket` where the client must begin anew; `redirected` where it belongs elsewhere.
    mutating func acceptResumption(
        _ content: MessageContent, _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        local = datagram.local
        remote = datagram.remote
        let nonce = try content.required(content.nonce, "Nonce")
        let octets = try content.required(content.notification(.ticketOpaque), "N(TICKET_OPAQUE)").data
        let now = context.environment.tickets.seconds(context.now)
        let (ticket, identifier) = try Ticket.open(octets, secret: context.environment.tickets.secret, now: now)
        let candidates = context.environment.policies.candidates(
            local: local.address, remote: remote.address, version: .v2)
        guard let connection = candidates.first(where: { $0.name == ticket.connection }),
            connection.admits(ticket, local: local.address)
        else { throw .ticket("the connection is another than when it was given") }
        try redirectInitial(connection, content, nonce: nonce)
        guard context.environment.tickets.spend(identifier, expires: ticket.expires, now: now) else {
            throw .ticket("it has been used")
        }

        let spi = context.environment.freshIKESPI()
        let ownNonce = context.environment.randomness.octets(IKESession.nonceOctets)
        let initiatorSPI = header.initiator.value
        let (keys, proofs) = try KeySchedule.resumed(
            ticket.suite, derivation: ticket.derivation,
            KeySchedule.Public(
                initiatorNonce: nonce, responderNonce: ownNonce, initiatorSPI: initiatorSPI, responderSPI: spi))
        let isForced = context.settings.claimsNAT(connection)
        var payloads = [Payload(.nonceV2, body: ownNonce)]
        let detected = try NATTraversal.detect(content, initiatorSPI, 0, local: local, remote: remote)
        if detected != nil {
            payloads += try NATTraversal.notifications(
                initiatorSPI, spi, local: local, remote: remote, isForced: isForced)
        }
        let takesFragments = content.notification(.fragmentationSupported) != nil && connection.fragmentation != .no
        if takesFragments { payloads.append(NotifyPayload(.fragmentationSupported).payload) }
        let answer = Header(
            initiator: header.initiator, responder: Cookie(spi), majorVersion: 2, exchange: .ikeSessionResume,
            flags: [.response])
        let message = Message(header: answer, payloads: payloads).octets
        adopt(detected, isForced: isForced, &context)
        var acceptance = Acceptance(
            proofs: proofs, initiatorNonce: nonce, responderNonce: ownNonce, request: datagram.octets,
            response: message, support: SignatureSupport(content), remaining: [], peerTakesPPK: false)
        acceptance.ticket = ticket
        var sa = IKESA(
            initiatorSPI: initiatorSPI, responderSPI: spi, isInitiator: false, suite: ticket.suite, keys: keys,
            nextIV: context.environment.randomness.uint64(),
            peerTakesFragments: takesFragments && connection.cutsMessages)
        sa.expectedRequestID = 1
        associations = [sa]
        sa.disclose(&context)
        phase = .awaitingAuthenticationRequest(acceptance)
        context.emit(.claim(spi: spi))
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        context.trace(outgoing: true, local, remote, message, clear: payloads, inner: [])
        context.send([message], from: local, to: remote)
    }

    /// IKE_AUTH behind it: both ends prove that they have the keys of the ticket.
    mutating func concludeResumption(
        _ acceptance: Acceptance, _ ticket: Ticket, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        guard let sa = current, let prf = sa.suite.prf else { return }
        let identity = try content.required(content.identityInitiator, "IDi")
        guard let chosen = context.environment.policies.connection(ticket.connection),
            chosen.admits(ticket, local: datagram.local.address)
        else { throw .noConnection(local: datagram.local.address, remote: datagram.remote.address) }
        connection = chosen
        localIdentity = ticket.responder
        local = datagram.local
        remote = datagram.remote
        if chosen.forceEncapsulation { isEncapsulating = true }
        let pending = PendingAuthentication(
            content: content, header: header, datagram: datagram, localIdentity: ticket.responder)
        let expected = try ResumptionProof.octets(
            prf, acceptance.proofs.initiator, try initiatorOctets(acceptance, pending, identity: identity))
        guard identity == ticket.initiator, content.identityResponder.map({ $0 == ticket.responder }) ?? true,
            let proof = content.authentication, proof.method == AuthenticationPayload.sharedKey,
            ConstantTime.equal(proof.proof, expected)
        else { return try refuse(.authentication(identity), pending, &context) }
        if content.offers == nil, chosen.childless == .never {
            throw .violation("an SA without a child is not wanted here")
        }
        remoteUser = ticket.user
        let own = try ResumptionProof.octets(
            prf, acceptance.proofs.responder, try responderOctets(acceptance, pending))
        context.note("resumed with a ticket")
        try establish(
            acceptance, pending, PeerAuthenticated(verified: identity),
            [
                Payload(.identityResponder, body: IdentityPayload.body(ticket.responder)),
                AuthenticationPayload(proof: own).payload,
            ], &context)
    }
}

/// The last ticket that an SA's client was given.
struct IssuedTicket: Hashable, Sendable {
    var identifier: [UInt8]
    /// Seconds of wall time.
    var expires: Int64
}

extension Connection {
    /// How the peer is to authenticate, in words that change when that does.
    fileprivate var peerMethod: String { remote.map { "\($0.method)" }.joined(separator: ",") }

    /// Whether a proposal allows what was agreed on once. Further key exchanges do not count: their work is done.
    func agrees(to suite: Suite) -> Bool {
        let agreed = Proposal(
            .ike, encryption: [suite.encryption], integrity: suite.integrity.map { [$0] } ?? [],
            prf: suite.prf.map { [$0] } ?? [], keyExchange: suite.keyExchange.map { [$0] } ?? [])
        let configured = proposals.map { proposal in
            var plain = proposal
            plain.additionalKeyExchanges = []
            return plain
        }
        if case .success = Proposal.select(configured: configured, offered: [agreed]) { return true }
        return false
    }

    /// Whether who has the ticket would still be let in by this connection.
    fileprivate func admits(_ ticket: Ticket, local: IPAddress) -> Bool {
        resumes && peerRounds.last?.identity.matches(ticket.initiator) == true
            && (ownRounds.last?.exactIdentity ?? Identity(local)) == ticket.responder
            && peerMethod == ticket.method && agrees(to: ticket.suite)
    }
}
