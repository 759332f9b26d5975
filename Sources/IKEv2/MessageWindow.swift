import Cryptography
import IPsec
import ISAKMP
import Primitives

/// Requests and responses of one IKE SA, one at a time each way (RFC 7296 §2.1 to §2.3).
extension IKESession {
    func index(of spi: UInt64) -> Int? { associations.firstIndex { $0.ownSPI == spi } }

    /// Whether the SA in use may send a request now.
    var isWindowOpen: Bool { current.map { $0.pending == nil } ?? false }

    // MARK: Sending

    /// Protects and sends a request, and keeps it for retransmission.
    mutating func request(
        _ spi: UInt64, _ type: ExchangeType, _ payloads: [Payload], _ exchange: Exchange, _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi), associations[index].pending == nil else {
            throw .unexpected("another request is under way")
        }
        let messageID = associations[index].nextRequestID
        let datagrams = try associations[index].seal(
            type, messageID: messageID, isResponse: false, payloads, &context.environment.randomness)
        associations[index].nextRequestID += 1
        associations[index].pending = Boxed(
            PendingRequest(messageID: messageID, type: type, datagrams: datagrams, exchange: exchange))
        if let first = datagrams.first {
            context.trace(outgoing: true, local, remote, first, clear: [], inner: payloads)
        }
        context.send(datagrams, from: local, to: remote)
        context.set(
            .retransmit(spi: spi, messageID: messageID), after: context.settings.retransmitDelay(attempt: 0))
    }

    /// Keeps an unprotected first request for retransmission and sends it.
    mutating func requestInitial(_ octets: [UInt8], _ payloads: [Payload], _ context: inout Context) {
        guard let spi = current?.ownSPI else { return }
        associations[0].pending = Boxed(
            PendingRequest(messageID: 0, type: .ikeSAInit, datagrams: [octets], exchange: .initial))
        context.trace(outgoing: true, local, remote, octets, clear: payloads, inner: [])
        context.send([octets], from: local, to: remote)
        context.set(.retransmit(spi: spi, messageID: 0), after: context.settings.retransmitDelay(attempt: 0))
    }

    /// Protects, keeps and sends the response to the request that `datagram` brought; the window moves on.
    mutating func respond(
        _ spi: UInt64, _ header: Header, to datagram: Datagram, _ payloads: [Payload], _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi) else { return }
        let datagrams = try associations[index].seal(
            header.exchange, messageID: header.messageID, isResponse: true, payloads, &context.environment.randomness)
        associations[index].lastResponse = datagrams
        associations[index].expectedRequestID = header.messageID &+ 1
        if let first = datagrams.first {
            context.trace(outgoing: true, datagram.local, datagram.remote, first, clear: [], inner: payloads)
        }
        context.send(datagrams, from: datagram.local, to: datagram.remote)
    }

    // MARK: Retransmission

    /// Sends a pending request again, or gives the peer up.
    mutating func retransmit(_ spi: UInt64, _ messageID: UInt32, _ context: inout Context) {
        guard let index = index(of: spi), var pending = associations[index].pending?.value,
            pending.messageID == messageID
        else { return }
        guard pending.attempt < context.settings.retransmitTries else {
            giveUp(pending, on: spi, &context)
            return
        }
        pending.attempt += 1
        associations[index].pending = Boxed(pending)
        context.report(.retransmitting(messageID: messageID, attempt: pending.attempt))
        if let first = pending.datagrams.first {
            context.trace(outgoing: true, local, remote, first, clear: [], inner: [], isRetransmission: true)
        }
        context.send(pending.datagrams, from: local, to: remote)
        context.set(
            .retransmit(spi: spi, messageID: messageID),
            after: context.settings.retransmitDelay(attempt: pending.attempt))
    }

    private mutating func giveUp(_ pending: PendingRequest, on spi: UInt64, _ context: inout Context) {
        if spi != current?.ownSPI {
            forget(association: spi, &context)
            return
        }
        switch pending.exchange {
        case .deleteIKE(let reason): close(reason, &context)
        case .farewell(let refusal): close(.refused(refusal), &context)
        case .initial, .authentication, .child, .rekeyIKE, .deleteChild, .liveness:
            close(.peerUnresponsive, &context)
        }
    }

    // MARK: Receiving

    mutating func receive(_ datagram: Datagram, _ context: inout Context) throws(Fault) {
        var reader = ByteReader(datagram.octets)
        let header: Header
        do throws(ParseError) { header = try Header(from: &reader) } catch { throw .unexpected(error.description) }
        guard header.majorVersion == 2 else { throw .unexpected("major version \(header.majorVersion)") }
        guard Int(header.length) == datagram.octets.count else {
            throw .unexpected("the header's length is not the datagram's")
        }
        if header.exchange == .ikeSAInit {
            try receiveInitial(datagram, header, &context)
            return
        }
        let senderIsInitiator = header.flags.contains(.initiator)
        let spi = senderIsInitiator ? header.responder.value : header.initiator.value
        guard let index = index(of: spi), associations[index].isInitiator != senderIsInitiator,
            associations[index].initiatorSPI == header.initiator.value,
            associations[index].responderSPI == header.responder.value
        else { throw .unexpected("no IKE SA with these SPIs") }
        if header.flags.contains(.response) {
            try receiveResponse(datagram, header, spi, &context)
        } else {
            try receiveRequest(datagram, header, spi, &context)
        }
    }

    private mutating func receiveResponse(
        _ datagram: Datagram, _ header: Header, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi), let pending = associations[index].pending?.value,
            pending.messageID == header.messageID, pending.type == header.exchange
        else { throw .unexpected("a response that nothing awaits") }
        let content: MessageContent
        do throws(Fault) {
            guard let opened = try associations[index].open(datagram.octets, header) else { return }
            context.trace(
                outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: opened.clear,
                inner: opened.inner)
            content = try MessageContent(opened.inner)
        } catch {
            if error.isSilent { throw error }
            // Authenticated and yet unreadable: the peer's software and ours cannot go on together.
            context.report(.refused(child: nil, error.refusal))
            close(.refused(error.refusal), &context)
            return
        }
        heard(spi, datagram, &context)
        if isEstablished, content.notification(.invalidSyntax) != nil {
            let refusal = Refusal.peer(
                notification: NotificationType.invalidSyntax.rawValue, name: NotificationType.invalidSyntax.name)
            context.report(.refused(child: nil, refusal))
            close(.refused(refusal), &context)
            return
        }
        associations[index].pending = nil
        context.cancel(.retransmit(spi: spi, messageID: pending.messageID))
        try conclude(pending.exchange, spi, content, &context)
    }

    private mutating func receiveRequest(
        _ datagram: Datagram, _ header: Header, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi) else { return }
        let sa = associations[index]
        if header.messageID &+ 1 == sa.expectedRequestID, !sa.lastResponse.isEmpty {
            guard Fragmentation.isFirst(datagram.octets, header), sa.isAuthentic(datagram.octets, header) else {
                throw .unexpected("a repeated request that is not authentic")
            }
            context.send(sa.lastResponse, from: datagram.local, to: datagram.remote)
            return
        }
        guard header.messageID == sa.expectedRequestID else {
            throw .unexpected("message ID \(header.messageID) is outside the window")
        }
        guard sa.role != .deleted else { throw .unexpected("the IKE SA was deleted") }
        do throws(Fault) {
            guard let opened = try associations[index].open(datagram.octets, header) else { return }
            context.trace(
                outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: opened.clear,
                inner: opened.inner)
            let content = try MessageContent(opened.inner)
            heard(spi, datagram, &context)
            try answer(content, header, datagram, spi, &context)
        } catch {
            guard let notification = error.notification, !error.isSilent else { throw error }
            try respond(spi, header, to: datagram, [notification.payload], &context)
            context.report(.refused(child: nil, error.refusal))
            if error.isFatal || !isEstablished { close(.refused(error.refusal), &context) }
        }
    }

    /// An authenticated message that had not been seen before arrived.
    private mutating func heard(_ spi: UInt64, _ datagram: Datagram, _ context: inout Context) {
        lastHeard = context.now
        if isEstablished, spi == current?.ownSPI { follow(datagram, &context) }
    }

    /// Dispatches an authenticated request. A fault becomes the response.
    private mutating func answer(
        _ content: MessageContent, _ header: Header, _ datagram: Datagram, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) {
        switch phase {
        case .awaitingAuthenticationRequest(let acceptance):
            guard header.exchange == .ikeAuth else { throw .violation("IKE_AUTH follows IKE_SA_INIT") }
            try receiveAuthentication(acceptance, content, header, datagram, &context)
        case .established:
            let payloads: [Payload]
            switch header.exchange {
            case .createChildSA: payloads = try answerCreateChild(content, on: spi, &context)
            case .informationalV2:
                try answerInformational(content, header, datagram, spi, &context)
                return
            default: throw .violation("no exchange of type \(header.exchange.rawValue) is possible now")
            }
            try respond(spi, header, to: datagram, payloads, &context)
        case .awaitingCommand, .awaitingFirstMessage, .awaitingInitialResponse, .awaitingOwnProof,
            .awaitingAuthenticationResponse, .awaitingPeerVerified, .awaitingInitiatorVerified,
            .awaitingResponderProof, .closed:
            throw .unexpected("no request is awaited now")
        }
    }

    /// Reads the response to a request of ours.
    private mutating func conclude(
        _ exchange: Exchange, _ spi: UInt64, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        switch exchange {
        case .initial: return
        case .authentication: try receiveAuthentication(response: content, &context)
        case .child(let attempt): concludeChild(attempt, content, &context)
        case .rekeyIKE(let attempt): concludeRekeyIKE(attempt, content, &context)
        case .deleteChild(let child): concludeDelete(child, &context)
        case .liveness: return
        case .deleteIKE(let reason):
            if spi == current?.ownSPI { close(reason, &context) } else { forget(association: spi, &context) }
        case .farewell(let refusal): close(.refused(refusal), &context)
        }
    }
}

extension Fault {
    /// Whether the message that caused it must have no effect at all.
    var isSilent: Bool {
        switch self {
        case .unauthentic, .unexpected: true
        default: false
        }
    }
}

extension Fragmentation {
    /// Whether a message is whole or the first of its fragments: only that one has a response sent again
    /// (RFC 7383 §2.6.1).
    static func isFirst(_ message: [UInt8], _ header: Header) -> Bool {
        guard header.nextPayload == .encryptedFragment else { return true }
        let number = Header.octetCount + Payload.headerOctets
        return message.count > number + 1 && message[number] == 0 && message[number + 1] == 1
    }
}
