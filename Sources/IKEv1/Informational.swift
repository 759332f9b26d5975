import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives

extension IKEv1Session {
    // MARK: Sending

    /// A notification that nobody can trust, to spare an honest peer its timeouts (RFC 2408 §4.8).
    func sendClear(_ type: UInt16, _ context: inout Context) {
        let notification = NotificationPayload(
            doi: IPsecDOI.identifier, protocolID: IPsecDOI.protocolISAKMP, type: type)
        let header = header(.informational, messageID: context.environment.randomness.uint32() | 1)
        let datagram = Datagram(
            local: local, remote: remote,
            octets: Message(header: header, payloads: [notification.payload]).octets)
        trace(datagram, [notification.payload], isProtected: false, isOutgoing: true, &context)
        context.emit(.send(datagram))
    }

    /// HDR*, HASH(1), N or D (RFC 2409 §5.7).
    ///
    /// - Parameter messageID: that of the Quick Mode that CONNECTED belongs to; else a fresh one is drawn.
    /// - Returns: the message.
    @discardableResult
    func sendProtected(
        _ payloads: [Payload], messageID: UInt32? = nil, keys: PhaseOneKeys, lastBlock: [UInt8],
        _ context: inout Context
    ) throws(Fault) -> [UInt8] {
        let messageID = messageID ?? context.environment.randomness.uint32() | 1
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        let all = [Payload(.hash, body: try keys.authenticator([messageID.octets, rest]))] + payloads
        var chain = CipherChain(iv: try keys.firstIV(lastBlock: lastBlock, messageID: messageID))
        let octets = try chain.seal(all, header: header(.informational, messageID: messageID), keys: keys)
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        trace(datagram, all, isProtected: true, isOutgoing: true, &context)
        context.emit(.send(datagram))
        return octets
    }

    func sendProtectedNotification(
        _ type: UInt16, data: [UInt8] = [], keys: PhaseOneKeys, lastBlock: [UInt8], _ context: inout Context
    ) {
        let notification = NotificationPayload(
            doi: IPsecDOI.identifier, protocolID: IPsecDOI.protocolISAKMP, spi: cookies, type: type, data: data)
        // What cannot be sent is not missed: nothing answers a notification.
        _ = try? sendProtected([notification.payload], keys: keys, lastBlock: lastBlock, &context)
    }

    /// Deletes name the SAs that their sender receives on.
    func sayDeleted(
        _ spis: [SPI], _ securityProtocol: SecurityProtocol, _ phaseOne: PhaseOne, _ context: inout Context
    ) {
        guard !spis.isEmpty else { return }
        let deletion = DeletePayload(
            doi: IPsecDOI.identifier, protocolID: securityProtocol.rawValue, spis: spis.map(\.value.octets))
        _ = try? sendProtected([deletion.payload], keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
    }

    /// Tells the peer that the children and the ISAKMP SA are gone.
    func sayFarewell(_ context: inout Context) {
        guard let phaseOne else { return }
        // The peer has installed what awaits its last message here.
        let unconfirmed = quickModes.filter { !$0.exchange.isFinished }.flatMap(\.pairs).filter { $0.outbound != nil }
        let gone =
            children.flatMap { child in
                IKEv1Session.protocols(child.securityProtocol, child.suite).map { ($0, child.inboundSPI) }
            }
            + unconfirmed.flatMap { pair in
                IKEv1Session.protocols(pair.securityProtocol, pair.suite).map { ($0, pair.inboundSPI) }
            }
        for securityProtocol in [SecurityProtocol.esp, .ah] {
            sayDeleted(
                gone.filter { $0.0 == securityProtocol }.map(\.1), securityProtocol, phaseOne, &context)
        }
        let deletion = DeletePayload(
            doi: IPsecDOI.identifier, protocolID: IPsecDOI.protocolISAKMP, spis: [cookies])
        _ = try? sendProtected([deletion.payload], keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
    }

    // MARK: Receiving

    mutating func receiveInformational(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard header.initiator.value == initiatorCookie else { throw .dropped("the cookies are another SA's") }
        guard header.flags.contains(.encryption) else {
            try receiveClear(datagram, header, &context)
            return
        }
        switch phase {
        case .established(let phaseOne):
            guard header.responder.value == responderCookie else { throw .dropped("the cookies are another SA's") }
            let payloads = try open(datagram, header, phaseOne.keys, lastBlock: phaseOne.lastBlock)
            follow(datagram, &context)
            trace(datagram, payloads, isProtected: true, &context)
            for payload in payloads {
                switch payload.type {
                case .delete: try receiveDeletion(payload, &context)
                case .notification: try receiveNotification(payload, header.messageID, &context)
                default: break
                }
                if phase.isClosed { return }
            }
        case .negotiating(let negotiation):
            try receiveEarly(datagram, header, negotiation, &context)
        case .awaitingCommand, .bereft, .closed: throw .dropped("there is no ISAKMP SA")
        }
    }

    private func open(
        _ datagram: Datagram, _ header: Header, _ keys: PhaseOneKeys, lastBlock: [UInt8]
    ) throws(Fault) -> [Payload] {
        var chain = CipherChain(iv: try keys.firstIV(lastBlock: lastBlock, messageID: header.messageID))
        let opened = try chain.open(datagram.octets, header: header, keys: keys)
        let exchange = Exchange(
            Exchanges.informational(sender: role.other), role: role, messageID: header.messageID)
        try check(opened.payloads, of: exchange, isEncrypted: true)
        let expected = try keys.authenticator([header.messageID.octets, opened.restOfFirst])
        guard ConstantTime.equal(opened.payloads[0].body, expected) else { throw .dropped("HASH(1) does not hold") }
        return opened.payloads
    }

    /// What nobody vouches for changes nothing that is established. Before that it may spare an initiator the wait.
    private mutating func receiveClear(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard case .negotiating = phase, isInitiator else { throw .dropped("an unprotected notification") }
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        trace(datagram, payloads, isProtected: false, &context)
        for payload in payloads where payload.type == .notification {
            let notification = try Attempt.parsing { () throws(ParseError) in
                try NotificationPayload(parsing: payload.body)
            }
            guard notification.isError else { continue }
            failPhaseOne(
                .peer(notification: notification.type, name: NotificationName.of(notification.type)), &context)
            return
        }
    }

    /// An encrypted message between 5 and 6: an initiator's message 5 was not liked. Where it cannot be read, the keys
    /// differ, and so most likely the pre-shared keys. Where its HASH holds they are the same, whatever it says. Its IV comes of
    /// message 5, or, where the peer has not taken that, of what was before it.
    private mutating func receiveEarly(
        _ datagram: Datagram, _ header: Header, _ negotiation: Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard isInitiator, header.responder.value == responderCookie, let keys = negotiation.keys,
            let chain = negotiation.chain, negotiation.exchange.passed == 5
        else { throw .dropped("an Informational before the ISAKMP SA stands") }
        var opened = try? open(datagram, header, keys, lastBlock: chain.iv)
        if opened == nil, let earlier = negotiation.earlierIV {
            opened = try? open(datagram, header, keys, lastBlock: earlier)
        }
        guard let payloads = opened else {
            failPhaseOne(.authentication(peer: wantedIdentity), &context)
            return
        }
        trace(datagram, payloads, isProtected: true, &context)
        for payload in payloads where payload.type == .notification {
            guard let notification = try? NotificationPayload(parsing: payload.body), notification.isError else {
                continue
            }
            let (type, name) = (notification.type, NotificationName.of(notification.type))
            let showsKey =
                negotiation.method.seed == .preSharedKey && type != NotificationType.authenticationFailed
            failPhaseOne(
                showsKey ? .peerWithKey(notification: type, name: name) : .peer(notification: type, name: name),
                &context)
            return
        }
    }

    var wantedIdentity: Identity {
        if let wanted = connection?.remoteIdentity.identity { return wanted }
        return Identity(remote.address)
    }

    private mutating func receiveDeletion(_ payload: Payload, _ context: inout Context) throws(Fault) {
        let deletion = try Attempt.parsing { () throws(ParseError) in try DeletePayload(parsing: payload.body) }
        if deletion.protocolID == IPsecDOI.protocolISAKMP {
            guard deletion.spis.contains(cookies) else { return }
            loseISAKMP(&context)
            return
        }
        guard SecurityProtocol(phaseTwo: deletion.protocolID) != nil else { return }
        for spi in deletion.spis.compactMap({ SPI(octets: $0) }) {
            if children.contains(where: { $0.outboundSPI == spi }) {
                forgetChild(outbound: spi, &context)
            } else {
                context.emit(.peerDeleted(spi))
            }
        }
    }

    /// Deletes the ISAKMP SA alone: its IPsec SAs live on.
    mutating func abandonISAKMP(_ context: inout Context) {
        guard let phaseOne else { return }
        let deletion = DeletePayload(
            doi: IPsecDOI.identifier, protocolID: IPsecDOI.protocolISAKMP, spis: [cookies])
        _ = try? sendProtected([deletion.payload], keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
        context.note("the ISAKMP SA is deleted when its Quick Modes are done; its IPsec SAs stay")
        bereave(&context)
    }

    /// The peer deleted the ISAKMP SA. Its IPsec SAs live on: a successor adopts them, or they end in their own time.
    private mutating func loseISAKMP(_ context: inout Context) {
        // A host may do so instead of acknowledging that its user has failed, as Libreswan does.
        if case .failed(let refusal) = extended.state {
            context.report(.refused(child: nil, refusal))
            close(.refused(refusal), &context)
            return
        }
        if children.isEmpty {
            close(.deletedByPeer, &context)
            return
        }
        context.note("the peer deleted the ISAKMP SA; its IPsec SAs stay")
        bereave(&context)
    }

    /// The IPsec SAs stay without their ISAKMP SA.
    private mutating func bereave(_ context: inout Context) {
        releaseOutbound(where: { _ in true }, &context)
        for quickMode in quickModes { abandon(quickMode, &context) }
        quickModes = []
        phase = .bereft
        context.emit(.release(spi: ownCookie))
        for timer in [SessionTimer.rekeyIKE, .expireIKE, .keepalive] { context.cancel(timer) }
        // Where that is how it should be, nothing is to be inferred from it.
        if connection?.hasIdentityForwardSecrecy == true {
            context.cancel(.liveness)
        } else {
            context.set(.liveness, after: DeadPeerDetection.bereftTime)
        }
    }

    private mutating func receiveNotification(
        _ payload: Payload, _ messageID: UInt32, _ context: inout Context
    ) throws(Fault) {
        let notification = try Attempt.parsing { () throws(ParseError) in
            try NotificationPayload(parsing: payload.body)
        }
        switch notification.type {
        case IPsecDOI.areYouThere: answerLife(notification, &context)
        case IPsecDOI.areYouThereAcknowledged: noteLife(notification, &context)
        case IPsecDOI.initialContact: context.report(.initialContact)
        case IPsecDOI.responderLifetime: shortenLife(notification, &context)
        case IPsecDOI.replayStatus: break
        case NotificationType.connected: noteConnected(messageID, &context)
        default:
            guard notification.isError, let phaseOne else {
                context.note("notification \(notification.type)")
                return
            }
            if try refuseOffer(by: notification, &context) { return }
            // Error notifications do not say which Quick Mode they mean; the oldest of ours that waits is refused.
            guard let index = quickModes.firstIndex(where: { $0.isPending && $0.exchange.role == .initiator }) else {
                context.note("the peer reports \(NotificationName.of(notification.type))")
                return
            }
            let quickMode = quickModes.remove(at: index)
            refuse(
                quickMode,
                .peer(notification: notification.type, name: NotificationName.of(notification.type)), nil, phaseOne,
                &context)
        }
    }
}
