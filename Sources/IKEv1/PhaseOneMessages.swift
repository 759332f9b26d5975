import IPsec
import IPsecDOI
import ISAKMP
import Primitives

/// How phase 1's messages are read, checked, sent and sent again, whoever says them in whichever mode.
extension IKEv1Session {
    /// The SA payload, whose situation must be the one that is wanted: "if a responder does not support SIT_SECRECY, a
    /// SITUATION-NOT-SUPPORTED notification should be returned and the setup must be aborted" (RFC 2407 §4.2.2).
    static func securityAssociation(
        _ payloads: [Payload], situation: SecuritySituation
    ) throws(Fault) -> SecurityAssociationPayload {
        let association = try securityAssociation(payloads)
        let seen = try Attempt.parsing { () throws(ParseError) in try association.situation(IPsecDOI.self) }
        guard seen == situation else {
            throw .refused(
                .policy("the peer's situation is '\(seen)', ours is '\(situation)' (RFC 2407 §4.2)"),
                notification: NotificationType.situationNotSupported)
        }
        return association
    }

    /// The situation of this session's SAs.
    var situation: SecuritySituation { connection?.situation ?? .identityOnly }

    /// The SA payload with any situation.
    static func securityAssociation(_ payloads: [Payload]) throws(Fault) -> SecurityAssociationPayload {
        guard let body = payloads.first(where: { $0.type == .securityAssociation })?.body else {
            throw .dropped("an SA payload")
        }
        return try Attempt.parsing { () throws(ParseError) in
            try SecurityAssociationPayload(parsing: body[...], IPsecDOI.self)
        }
    }

    static func clearPayloads(_ octets: [UInt8], _ header: Header) throws(Fault) -> [Payload] {
        guard !header.flags.contains(.encryption) else { throw .dropped("the message is encrypted too early") }
        return try Attempt.parsing { () throws(ParseError) in
            var reader = ByteReader(octets[Header.octetCount...])
            return try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        }
    }

    func check(_ payloads: [Payload], of exchange: Exchange, isEncrypted: Bool) throws(Fault) {
        do throws(ExchangeError) {
            try exchange.check(payloads, isEncrypted: isEncrypted)
        } catch {
            throw Fault(error)
        }
    }

    func header(_ exchange: ExchangeType, messageID: UInt32 = 0) -> Header {
        Header(
            initiator: Cookie(initiatorCookie), responder: Cookie(responderCookie), majorVersion: 1,
            exchange: exchange, messageID: messageID)
    }

    /// Sends a clear message of phase 1; an initiator repeats it until it is answered.
    mutating func sendPhaseOne(
        _ payloads: [Payload], _ negotiation: inout Negotiation, _ context: inout Context
    ) {
        let octets = Message(header: header(negotiation.exchange.description.type), payloads: payloads).octets
        sendPhaseOne(octets, payloads, isProtected: false, &negotiation, &context)
    }

    mutating func sendPhaseOne(
        _ octets: [UInt8], _ payloads: [Payload], isProtected: Bool, _ negotiation: inout Negotiation,
        _ context: inout Context
    ) {
        negotiation.exchange.send(octets)
        negotiation.attempts = 0
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        guard isInitiator || mayAnswer(negotiation.exchange.receivedOctets, with: octets.count, negotiation) else {
            context.note("dropped: the answer would be more than three times the question")
            return
        }
        trace(datagram, payloads, isProtected: isProtected, isOutgoing: true, &context)
        context.emit(.send(datagram))
        if isInitiator {
            context.set(
                .retransmit(spi: ownCookie, messageID: 0), after: context.settings.retransmitDelay(attempt: 0))
        }
    }

    /// Whether a responder may say so much: until a message with our cookie has come from the initiator's address, that
    /// address is its claim alone, and gets no more than three times what came from there.
    private func mayAnswer(_ received: Int, with count: Int, _ negotiation: Negotiation) -> Bool {
        negotiation.exchange.passed > 2 || count <= 3 * received
    }

    /// The initiator has not heard our last message, or says something that it can say only after that message's answer:
    /// it goes out again. A responder never repeats itself unasked.
    ///
    /// - Parameter isProven: whether the message shows that its sender has heard our cookie where it says it is.
    func repeatAnswer(
        to datagram: Datagram, isProven: Bool = false, _ negotiation: Negotiation, _ context: inout Context
    ) {
        guard let sent = negotiation.exchange.answerToRepetition,
            isProven || mayAnswer(datagram.octets.count, with: sent.count, negotiation)
        else { return }
        context.report(.noticed(.repeatedRequest(messageID: 0)))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
    }

    mutating func retransmitPhaseOne(_ context: inout Context) {
        if case .established(var phaseOne) = phase {
            repeatUnheard(&phaseOne, &context)
            phase = .established(phaseOne)
            return
        }
        guard case .negotiating(var negotiation) = phase, let sent = negotiation.exchange.sent else { return }
        negotiation.attempts += 1
        guard negotiation.attempts <= context.settings.retransmitTries else {
            if let failure = negotiation.failure {
                failPhaseOne(failure, &context)
            } else {
                close(.peerUnresponsive, &context)
            }
            return
        }
        context.report(.retransmitting(messageID: 0, attempt: negotiation.attempts))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
        context.set(
            .retransmit(spi: ownCookie, messageID: 0),
            after: context.settings.retransmitDelay(attempt: negotiation.attempts))
        phase = .negotiating(negotiation)
    }

    /// Aggressive Mode ends with our message, and now the gateway has the word: it asks for our user, or tells us our address. Until it
    /// does, it may not have heard us, and nothing else that we say would show it.
    var isPerhapsUnheard: Bool {
        guard isInitiator, case .established(let phaseOne) = phase, extended.identifier == nil, transactions.isEmpty,
            phaseOne.finished?.description.type == .aggressive
        else { return false }
        if case .awaitingVerdict = extended.state { return true }
        if case .awaitingAssignment = configuration.state { return true }
        return false
    }

    /// Says the last message of Aggressive Mode when nothing has come upon it.
    func repeatLastUnlessHeard(_ context: inout Context) {
        guard isPerhapsUnheard else { return }
        context.set(.retransmit(spi: ownCookie, messageID: 0), after: context.settings.retransmitDelay(attempt: 0))
    }

    private func repeatUnheard(_ phaseOne: inout PhaseOne, _ context: inout Context) {
        guard isPerhapsUnheard, let sent = phaseOne.finished?.answerToRepetition,
            phaseOne.attempts < context.settings.retransmitTries
        else { return }
        phaseOne.attempts += 1
        context.report(.retransmitting(messageID: 0, attempt: phaseOne.attempts))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
        context.set(
            .retransmit(spi: ownCookie, messageID: 0),
            after: context.settings.retransmitDelay(attempt: phaseOne.attempts))
    }

    func trace(
        _ datagram: Datagram, _ payloads: [Payload], isProtected: Bool, isOutgoing: Bool = false,
        _ context: inout Context
    ) {
        guard context.settings.traceMessages else { return }
        context.report(
            .message(
                MessageTrace(
                    isOutgoing: isOutgoing, local: datagram.local, remote: datagram.remote,
                    header: Array(datagram.octets.prefix(Header.octetCount)),
                    parts: payloads.map {
                        MessageTrace.Part(type: $0.type.rawValue, body: $0.body, isProtected: isProtected)
                    })))
    }
}
