import Primitives

/// The Informational exchange (RFC 2408 §4.8), and what is said with it.
extension FrameworkSession {
    /// Notifications and deletions that one message may hold.
    private static var maximumPayloads: Int { 16 }

    mutating func receiveInformational(_ octets: [UInt8], _ header: Header, context: inout Context) {
        guard header.flags.contains(.encryption) else { return hear(octets, header, &context) }
        guard let opened = open(octets, header) else { return context.drop("a notice that is not authentic") }
        guard isFresh(opened.number) else { return context.drop("a notice that was seen before") }
        var exchange = Exchange(
            FrameworkExchanges.informational, role: .responder, messageID: header.messageID)
        do throws(ExchangeError) {
            try exchange.check(opened.payloads, isEncrypted: true)
        } catch { return context.drop("a notice of another form") }
        exchange.accept(octets)
        noteNumber(opened.number)
        context.report(
            .message(
                TracedMessage(
                    isSent: false, exchange: exchange.description.name, number: 1, header: header,
                    payloads: opened.payloads, isEncrypted: true, elements: [], octets: octets)))
        for payload in opened.payloads.prefix(Self.maximumPayloads) where !isClosed {
            take(payload, header, &context)
        }
    }

    /// Who has keys is not believed by who has none: the first phase alone may hear something in clear, and nothing
    /// follows from it.
    private func hear(_ octets: [UInt8], _ header: Header, _ context: inout Context) {
        var reader = ByteReader(octets[Header.octetCount...])
        guard parent == nil, let payloads = try? PayloadChain.read(first: header.nextPayload, from: &reader).payloads,
            let first = payloads.first(where: { $0.type == .notification }),
            let notification = try? NotificationPayload(parsing: first.body)
        else { return context.drop("a notice in clear") }
        context.report(.notified(notification, isAuthenticated: false))
    }

    private mutating func take(_ payload: Payload, _ header: Header, _ context: inout Context) {
        if payload.type == .notification, let notification = try? NotificationPayload(parsing: payload.body) {
            if notification.type == NotificationType.connected { connect(header.messageID, &context) }
            context.report(.notified(notification, isAuthenticated: true))
        }
        if payload.type == .delete, let delete = try? DeletePayload(parsing: payload.body) {
            if delete.protocolID == 1, delete.spis.contains(cookies) {
                close(.deletedByPeer, &context)
            } else {
                context.report(.deleted(delete))
            }
        }
    }

    /// An SA of the ISAKMP protocol is named by both cookies (RFC 2408 §3.15).
    private var cookies: [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: initiatorCookie.value)
        octets.append(bigEndian: responderCookie.value)
        return octets
    }

    // MARK: The Commit bit

    /// The peer that set the Commit bit says that the SA stands (RFC 2408 §3.1).
    private mutating func connect(_ messageID: UInt32, _ context: inout Context) {
        guard var live = messageID == 0 ? phaseOne : phaseTwo[messageID], live.outcome == nil else { return }
        live.heardConnected = true
        // It may overtake the message that it comes after.
        guard live.awaitsConnected else { return store(live) }
        advance(&live, &context)
        if live.outcome != nil { store(live) }
    }

    /// CONNECTED, with the message ID of the exchange that it is about.
    func connectedNotification() -> NotificationPayload {
        NotificationPayload(
            doi: Functions.DOI.identifier, protocolID: 1, spi: cookies, type: NotificationType.connected)
    }

    mutating func sayConnected(_ messageID: UInt32, _ context: inout Context) -> [UInt8]? {
        send([connectedNotification().payload], messageID: messageID, &context)
    }

    // MARK: Saying

    mutating func inform(_ payloads: [Payload], _ context: inout Context) {
        guard parent != nil else { return context.drop("there is no SA to say it under") }
        var messageID = context.randomness.uint32()
        while messageID == 0 { messageID = context.randomness.uint32() }
        if send(payloads, messageID: messageID, &context) == nil { context.drop("the SA has no key to say it under") }
    }

    private mutating func send(
        _ payloads: [Payload], messageID: UInt32, _ context: inout Context
    ) -> [UInt8]? {
        var header = Header(
            initiator: initiatorCookie, responder: responderCookie, majorVersion: 1, exchange: .informational,
            messageID: messageID)
        guard let octets = try? seal(payloads, header: header) else { return nil }
        header.flags.insert(.encryption)
        header.nextPayload = payloads.first?.type ?? .none
        header.length = UInt32(octets.count)
        context.send(octets)
        context.report(
            .message(
                TracedMessage(
                    isSent: true, exchange: FrameworkExchanges.informational.name, number: 1, header: header,
                    payloads: payloads, isEncrypted: true, elements: [], octets: octets)))
        return octets
    }

    /// Delete for the SA itself.
    mutating func sayFarewell(_ context: inout Context) {
        guard parent != nil, protection != nil else { return }
        inform([DeletePayload(doi: Functions.DOI.identifier, protocolID: 1, spis: [cookies]).payload], &context)
    }

    mutating func end(_ context: inout Context) {
        sayFarewell(&context)
        close(.deletedByUs, &context)
    }
}
