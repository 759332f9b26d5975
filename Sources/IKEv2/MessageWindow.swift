import Cryptography
import IPsec
import ISAKMP
import Primitives

/// Requests and responses of one IKE SA, as many at a time each way as the windows take (RFC 7296 §2.1 to §2.3).
extension IKESession {
    func index(of spi: UInt64) -> Int? { associations.firstIndex { $0.ownSPI == spi } }

    /// Whether no request of ours is under way on the SA in use.
    var isIdle: Bool { current?.pending.isEmpty ?? false }

    /// Changes the exchange of the first outstanding request on the SA in use that `change` says it took.
    @discardableResult
    mutating func changePending(_ change: (inout Exchange) -> Bool) -> Bool {
        guard !associations.isEmpty else { return false }
        for index in associations[0].pending.indices where change(&associations[0].pending[index].exchange) {
            return true
        }
        return false
    }

    // MARK: Sending

    /// Protects and sends a request, and keeps it for retransmission.
    mutating func request(
        _ spi: UInt64, _ type: ExchangeType, _ payloads: [Payload], _ exchange: Exchange, _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi), associations[index].isWindowOpen else {
            throw .unexpected("the peer's window is full")
        }
        let payloads = payloads + announceWindow(of: index, type, context)
        let messageID = associations[index].nextRequestID
        let datagrams = try associations[index].seal(
            type, messageID: messageID, isResponse: false, payloads, &context.environment.randomness,
            limit: exchange.isProbe ? .max : Fragmentation.limit(context.settings, local.address.family))
        associations[index].nextRequestID += 1
        associations[index].pending.append(
            PendingRequest(
                messageID: messageID, type: type, datagrams: datagrams, payloads: payloads, exchange: exchange))
        if let first = datagrams.first {
            context.trace(outgoing: true, local, remote, first, clear: [], inner: payloads)
        }
        context.send(datagrams, from: local, to: remote, forbidsFragments: exchange.isProbe)
        context.set(
            .retransmit(spi: spi, messageID: messageID), after: context.settings.retransmitDelay(attempt: 0))
    }

    /// Keeps an unprotected first request for retransmission and sends it.
    mutating func requestInitial(
        _ octets: [UInt8], _ payloads: [Payload], _ type: ExchangeType, _ context: inout Context
    ) {
        guard let spi = current?.ownSPI else { return }
        associations[0].pending = [
            PendingRequest(
                messageID: 0, type: type, datagrams: [octets], payloads: payloads, exchange: .initial)
        ]
        context.trace(outgoing: true, local, remote, octets, clear: payloads, inner: [])
        context.send([octets], from: local, to: remote)
        context.set(.retransmit(spi: spi, messageID: 0), after: context.settings.retransmitDelay(attempt: 0))
    }

    /// Protects, keeps and sends the response to the request that `datagram` brought; the window moves on.
    mutating func respond(
        _ spi: UInt64, _ header: Header, to datagram: Datagram, _ payloads: [Payload], _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi) else { return }
        let payloads = payloads + announceWindow(of: index, header.exchange, context)
        let datagrams = try associations[index].seal(
            header.exchange, messageID: header.messageID, isResponse: true, payloads, &context.environment.randomness,
            limit: Fragmentation.limit(context.settings, datagram.local.address.family))
        associations[index].noteAnswered(header.messageID, datagrams)
        if let first = datagrams.first {
            context.trace(outgoing: true, datagram.local, datagram.remote, first, clear: [], inner: payloads)
        }
        context.send(datagrams, from: datagram.local, to: datagram.remote)
    }

    /// N(SET_WINDOW_SIZE), once on each SA, where we take more than one request at a time (RFC 7296 §2.3).
    private mutating func announceWindow(of index: Int, _ type: ExchangeType, _ context: Context) -> [Payload] {
        let window = min(max(context.settings.window, 1), IKESA.maximumWindow)
        guard window > 1, !associations[index].hasAnnouncedWindow, type == .ikeAuth || isEstablished else { return [] }
        associations[index].hasAnnouncedWindow = true
        associations[index].ownWindow = window
        var data: [UInt8] = []
        data.append(bigEndian: window)
        return [NotifyPayload(.setWindowSize, data: data).payload]
    }

    // MARK: Retransmission

    /// Sends a pending request again, or gives the peer up.
    mutating func retransmit(_ spi: UInt64, _ messageID: UInt32, _ context: inout Context) {
        guard let index = index(of: spi),
            let place = associations[index].pending.firstIndex(where: { $0.messageID == messageID })
        else { return }
        var pending = associations[index].pending[place]
        if case .awaitingResumption = phase, pending.attempt + 1 >= ResumptionRequest.maximumTries {
            // It may be that the gateway does not know the exchange.
            do throws(Fault) { try beginAnew("the gateway does not answer to the ticket", &context) } catch {
                fail(error.refusal, &context)
            }
            return
        }
        guard pending.attempt < context.settings.retransmitTries else {
            giveUp(pending, on: spi, &context)
            return
        }
        pending.attempt += 1
        if case .probe(_, _, true) = pending.exchange { try? cutProbe(&pending, index, &context) }
        if pending.attempt == IKESession.probingAttempt { try? cutAnew(&pending, index, &context) }
        associations[index].pending[place] = pending
        context.report(.retransmitting(messageID: messageID, attempt: pending.attempt))
        // Half of the schedule for one address, half for the next.
        if pending.attempt == (context.settings.retransmitTries + 1) / 2, spi == current?.ownSPI {
            tryOtherAddress(&context)
        }
        if let first = pending.datagrams.first {
            context.trace(outgoing: true, local, remote, first, clear: [], inner: [], isRetransmission: true)
        }
        context.send(pending.datagrams, from: local, to: remote)
        context.set(
            .retransmit(spi: spi, messageID: messageID),
            after: context.settings.retransmitDelay(attempt: pending.attempt))
    }

    /// After so many sendings of a long message it is cut into pieces that pass everywhere.
    private static let probingAttempt = 2

    /// A path may drop what is longer than it takes without a word (RFC 7383 §2.5.2).
    private mutating func cutAnew(
        _ pending: inout PendingRequest, _ index: Int, _ context: inout Context
    ) throws(Fault) {
        let smallest = Fragmentation.smallestOctets
        guard associations[index].peerTakesFragments, pending.messageID != 0 || pending.type != .ikeSAInit,
            pending.datagrams.contains(where: { $0.count > smallest })
        else { return }
        associations[index].pathLimit = smallest
        pending.datagrams = try associations[index].seal(
            pending.type, messageID: pending.messageID, isResponse: false, pending.payloads,
            &context.environment.randomness)
    }

    private mutating func giveUp(_ pending: PendingRequest, on spi: UInt64, _ context: inout Context) {
        if spi != current?.ownSPI {
            forget(association: spi, &context)
            return
        }
        switch pending.exchange {
        case .deleteIKE(let reason): close(reason, &context)
        case .farewell(let refusal): close(.refused(refusal), &context)
        case .initial, .intermediate, .authentication, .child, .rekeyIKE, .cloneIKE, .deleteChild, .liveness,
            .updateAddresses, .checkRoutability, .redirect, .probe:
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
        if header.exchange == .ikeSAInit || header.exchange == .ikeSessionResume {
            try receiveInitial(datagram, header, &context)
            return
        }
        let senderIsInitiator = header.flags.contains(.initiator)
        let spi = senderIsInitiator ? header.responder.value : header.initiator.value
        guard let index = index(of: spi), associations[index].isInitiator != senderIsInitiator,
            associations[index].initiatorSPI == header.initiator.value,
            associations[index].responderSPI == header.responder.value
        else { throw .unexpected("no IKE SA with these SPIs") }
        if showsToken(datagram, header, index) { return forgetLost(index, &context) }
        if header.flags.contains(.response) {
            try receiveResponse(datagram, header, spi, &context)
        } else {
            try receiveRequest(datagram, header, spi, &context)
        }
    }

    private mutating func receiveResponse(
        _ datagram: Datagram, _ header: Header, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi),
            let place = associations[index].pending.firstIndex(where: {
                $0.messageID == header.messageID && $0.type == header.exchange
            })
        else { throw .unexpected("a response that nothing awaits") }
        let content: MessageContent
        do throws(Fault) {
            guard let opened = try associations[index].open(datagram.octets, header) else { return }
            context.trace(
                outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: opened.clear,
                inner: opened.inner)
            content = try MessageContent(opened, of: datagram.octets, header.exchange)
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
        let pending = associations[index].pending.remove(at: place)
        context.cancel(.retransmit(spi: spi, messageID: pending.messageID))
        context.noteAnswered(pending)
        associations[index].noteWindow(content)
        try conclude(pending.exchange, spi, content, &context)
    }

    private mutating func receiveRequest(
        _ datagram: Datagram, _ header: Header, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) {
        guard let index = index(of: spi) else { return }
        let sa = associations[index]
        if let answered = sa.answered.first(where: { $0.messageID == header.messageID }) {
            guard Fragmentation.isFirst(datagram.octets, header),
                sa.isAuthentic(datagram.octets, header, answered.keys)
            else {
                throw .unexpected("a repeated request that is not authentic")
            }
            context.report(.noticed(.repeatedRequest(messageID: header.messageID)))
            context.send(answered.datagrams, from: datagram.local, to: datagram.remote)
            return
        }
        guard sa.expects(header.messageID) else {
            throw .unexpected("message ID \(header.messageID) is outside the window")
        }
        guard sa.role != .deleted else { throw .unexpected("the IKE SA was deleted") }
        do throws(Fault) {
            guard let opened = try associations[index].open(datagram.octets, header) else { return }
            context.trace(
                outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: opened.clear,
                inner: opened.inner)
            let content = try MessageContent(opened, of: datagram.octets, header.exchange)
            heard(spi, datagram, &context)
            associations[index].noteWindow(content)
            try answer(content, header, datagram, spi, &context)
        } catch {
            guard let notification = error.notification, !error.isSilent else { throw error }
            try respond(spi, header, to: datagram, [notification.payload], &context)
            context.report(.refused(child: nil, error.refusal))
            if error.isFatal || !isEstablished {
                close(.refused(error.refusal), &context)
            } else if header.exchange == .createChildSA, error.isAboutChild {
                context.report(.noticed(.keptWithoutChild))
            }
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
            if header.exchange == .ikeIntermediate, rounds.request == nil {
                try answerIntermediate(acceptance, content, header, datagram, &context)
                return
            }
            if header.exchange == .informationalV2, rounds.request != nil {
                return try abandonRounds(content, header, datagram, &context)
            }
            guard header.exchange == .ikeAuth, acceptance.remaining.isEmpty else {
                throw .violation("IKE_AUTH follows IKE_SA_INIT and the key exchanges behind it")
            }
            try receiveAuthentication(acceptance, content, header, datagram, &context)
        case .checkingUser(let checking): try receiveUser(checking, content, header, datagram, &context)
        case .established:
            let payloads: [Payload]
            switch header.exchange {
            case .createChildSA: payloads = try answerCreateChild(content, on: spi, &context)
            case .ikeFollowUpKE: payloads = try answerFollowUp(content, on: spi, &context)
            case .informationalV2:
                try answerInformational(content, header, datagram, spi, &context)
                return
            default: throw .violation("no exchange of type \(header.exchange.rawValue) is possible now")
            }
            try respond(spi, header, to: datagram, payloads, &context)
        case .awaitingCommand, .awaitingFirstMessage, .awaitingInitialResponse, .awaitingResumption,
            .awaitingIntermediateResponse,
            .awaitingMixedKeys, .awaitingOwnProof, .awaitingAuthenticationResponse, .awaitingPeerVerified,
            .awaitingIntermediateKey, .awaitingInitiatorsMixedKeys, .awaitingInitiatorVerified, .awaitingResponderProof,
            .provingUser, .closed:
            throw .unexpected("no request is awaited now")
        }
    }

    /// Reads the response to a request of ours.
    private mutating func conclude(
        _ exchange: Exchange, _ spi: UInt64, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) {
        switch exchange {
        case .initial: return
        case .intermediate: receiveIntermediate(response: content, &context)
        case .authentication: try receiveAuthentication(response: content, &context)
        case .child(let attempt): concludeChild(attempt, content, &context)
        case .rekeyIKE(let attempt): concludeRekeyIKE(attempt, content, &context)
        case .cloneIKE(let attempt): concludeClone(attempt, content, on: spi, &context)
        case .deleteChild(let child): concludeDelete(child, &context)
        case .liveness: concludeLiveness(content, &context)
        // Asked again on the SA that replaced this one.
        case .updateAddresses where spi != current?.ownSPI, .checkRoutability where spi != current?.ownSPI: return
        case .probe(let size, let octets, let isWhole):
            concludeProbe(size, octets: octets, isWhole: isWhole, &context)
        case .updateAddresses(let local, let remote, let cookie):
            try concludeOrClose(&context) { (session, context) throws(Fault) in
                try session.concludeUpdate(content, local: local, remote: remote, cookie: cookie, &context)
            }
        case .checkRoutability(let local, let remote, let cookie):
            try concludeOrClose(&context) { (session, context) throws(Fault) in
                try session.concludeRoutabilityCheck(content, local: local, remote: remote, cookie: cookie, &context)
            }
        case .redirect: awaitDeparture(&context)
        case .deleteIKE(let reason):
            if spi == current?.ownSPI { close(reason, &context) } else { forget(association: spi, &context) }
        case .farewell(let refusal): close(.refused(refusal), &context)
        }
    }
}

extension IKESession {
    /// A response that breaks the protocol ends the SA: it is authentic, and cannot be asked for again.
    fileprivate mutating func concludeOrClose(
        _ context: inout Context, _ body: (inout IKESession, inout Context) throws(Fault) -> Void
    ) throws(Fault) {
        do throws(Fault) {
            try body(&self, &context)
        } catch {
            context.report(.refused(child: nil, error.refusal))
            close(.refused(error.refusal), &context)
        }
    }
}

extension IKESA {
    /// Requests under way at once, each way, at the most: what is kept for them costs memory.
    static let maximumWindow: UInt32 = 32

    /// Whether the peer takes another request now: its window begins at the oldest of ours that it may not have.
    var isWindowOpen: Bool { pending.first.map { nextRequestID - $0.messageID < peerWindow } ?? true }

    /// Whether a request with this message ID is new and within our window.
    fileprivate func expects(_ messageID: UInt32) -> Bool {
        messageID >= expectedRequestID && messageID - expectedRequestID < ownWindow
            && !answered.contains { $0.messageID == messageID }
    }

    /// Keeps a response; the window moves over all that is answered without a gap.
    fileprivate mutating func noteAnswered(_ messageID: UInt32, _ datagrams: [[UInt8]]) {
        answered.append(AnsweredRequest(messageID: messageID, datagrams: datagrams, keys: keys))
        while answered.contains(where: { $0.messageID == expectedRequestID }) { expectedRequestID &+= 1 }
        let (oldest, window) = (expectedRequestID, ownWindow)
        answered.removeAll { $0.messageID < oldest && oldest - $0.messageID > window }
    }

    /// Takes the peer's SET_WINDOW_SIZE (RFC 7296 §2.3).
    fileprivate mutating func noteWindow(_ content: MessageContent) {
        guard let data = content.notification(.setWindowSize)?.data, data.count == 4 else { return }
        let window = data.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        // A window never shrinks: requests may be under way in it.
        peerWindow = max(peerWindow, min(window, IKESA.maximumWindow))
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
