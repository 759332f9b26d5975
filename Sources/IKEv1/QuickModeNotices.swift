import IPsec
import IPsecDOI
import ISAKMP
import Primitives

/// What Quick Mode's messages say beside the SAs: lifetimes, replay protection, and when an SA is in place.
extension IKEv1Session {
    /// With message 2: RESPONDER-LIFETIME where our lifetime ends an SA before the offered one (RFC 2407 §4.6.3.1), and
    /// REPLAY-STATUS where we do not check for replay (§4.6.3.2), which peers take for granted.
    func announcements(_ quickMode: QuickMode, _ offered: [PhaseTwoLife]) -> [Payload] {
        var payloads: [Payload] = []
        func announce(_ pair: QuickMode.Pair, _ type: UInt16, _ data: [UInt8]) {
            payloads.append(
                NotificationPayload(
                    doi: IPsecDOI.identifier, protocolID: pair.securityProtocol.rawValue,
                    spi: pair.inboundSPI.value.octets, type: type, data: data
                ).payload)
        }
        let own = PhaseTwoLife(quickMode.policy)
        for (pair, offer) in zip(quickMode.pairs, offered) {
            if own.ends(before: offer) { announce(pair, IPsecDOI.responderLifetime, pair.life.octets) }
            if quickMode.policy.replayWindowPackets == 0 {
                announce(pair, IPsecDOI.replayStatus, UInt32(0).octets)
            }
        }
        return payloads
    }

    /// Message 2's announcements, at the initiator.
    func noteNotifications(_ payloads: [Payload], _ quickMode: inout QuickMode, _ context: inout Context) {
        for payload in payloads where payload.type == .notification {
            guard let notification = try? NotificationPayload(parsing: payload.body) else { continue }
            switch notification.type {
            case IPsecDOI.responderLifetime:
                guard let life = PhaseTwoLife(parsing: notification.data) else { continue }
                for index in quickMode.pairs.indices
                where notification.spi.isEmpty || SPI(octets: notification.spi) == quickMode.pairs[index].outboundSPI {
                    quickMode.pairs[index].life = quickMode.pairs[index].life.shorter(life)
                }
            case IPsecDOI.replayStatus: noteReplayStatus(notification, &context)
            default: context.note("notification \(notification.type) in Quick Mode")
            }
        }
    }

    private func noteReplayStatus(_ notification: NotificationPayload, _ context: inout Context) {
        let isChecked = notification.data.contains { $0 != 0 }
        context.note("the peer \(isChecked ? "checks" : "does not check") its SA for replay")
    }

    /// RESPONDER-LIFETIME that comes by itself, for an SA that stands.
    mutating func shortenLife(_ notification: NotificationPayload, _ context: inout Context) {
        if notification.protocolID == IPsecDOI.protocolISAKMP {
            guard let seconds = PhaseOneProposal.lifeSeconds(of: notification.data), seconds > 0 else { return }
            shortenLife(of: .seconds(Int(seconds)), &context)
            return
        }
        guard let life = PhaseTwoLife(parsing: notification.data), life.seconds > 0,
            let spi = SPI(octets: notification.spi),
            let index = children.firstIndex(where: { $0.outboundSPI == spi })
        else { return }
        let child = children[index]
        let end = child.installed + .seconds(Int(life.seconds))
        guard child.expireAt.map({ end < $0 }) ?? true else { return }
        children[index].expireAt = max(end, context.now)
        context.emit(.setTimer(.expireChild(child.id), at: max(end, context.now)))
        if let rekey = child.rekeyAt, rekey >= end {
            let moment = max(context.now, child.installed + .seconds(Int(life.seconds)) * 0.9)
            children[index].rekeyAt = moment
            context.emit(.setTimer(.rekeyChild(child.id), at: moment))
        }
        context.note("the peer ends CHILD SA \(child.name) {\(child.id)} after \(life.seconds) s")
    }

    private mutating func shortenLife(of life: Duration, _ context: inout Context) {
        guard let established else { return }
        let end = max(context.now, established + life)
        guard expireAt.map({ end < $0 }) ?? true else { return }
        expireAt = end
        context.emit(.setTimer(.expireIKE, at: end))
        if rekeyAt.map({ $0 >= end }) ?? true {
            let moment = max(context.now, established + life * 0.9)
            rekeyAt = moment
            context.emit(.setTimer(.rekeyIKE, at: moment))
        }
        context.note("the peer ends the ISAKMP SA after \(life.wholeSeconds) s")
    }

    // MARK: The Commit bit

    /// CONNECTED: our SAs are in place. The Informational exchange has the Quick Mode's message ID, so that the peer
    /// knows which is meant (RFC 2408 §3.1).
    func sayConnected(
        _ quickMode: inout QuickMode, _ phaseOne: PhaseOne, _ context: inout Context
    ) throws(Fault) {
        let payloads = quickMode.pairs.map { pair in
            NotificationPayload(
                doi: IPsecDOI.identifier, protocolID: pair.securityProtocol.rawValue,
                spi: pair.inboundSPI.value.octets, type: NotificationType.connected
            ).payload
        }
        quickMode.connected = try sendProtected(
            payloads, messageID: quickMode.messageID, keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
    }

    /// The peer's SAs are in place: ours may be used.
    mutating func noteConnected(_ messageID: UInt32, _ context: inout Context) {
        releaseOutbound(where: { $0.messageID == messageID }, &context)
    }

    /// CONNECTED has not come. An initiator says message 3 again, which may be what was lost. One that never comes is not
    /// waited for: nothing protects the Commit bit, and an attacker could set it.
    mutating func awaitConnected(_ index: Int, _ context: inout Context) {
        quickModes[index].attempts += 1
        let quickMode = quickModes[index]
        guard quickMode.attempts <= context.settings.retransmitTries else {
            context.note("the peer set the Commit bit and does not say CONNECTED")
            releaseOutbound(where: { $0.messageID == quickMode.messageID }, &context)
            return
        }
        if quickMode.exchange.role == .initiator, let sent = quickMode.exchange.sent {
            context.report(.retransmitting(messageID: quickMode.messageID, attempt: quickMode.attempts))
            context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
        }
        context.set(
            .retransmit(spi: ownCookie, messageID: quickMode.messageID),
            after: context.settings.retransmitDelay(attempt: quickMode.attempts))
    }
}
