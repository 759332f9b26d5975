import IPsec
import ISAKMP
import Primitives

/// INFORMATIONAL: Delete, liveness and notifications (RFC 7296 §1.4).
extension IKESession {
    // MARK: Responder

    mutating func answerInformational(
        _ content: MessageContent, _ header: Header, _ datagram: Datagram, _ spi: UInt64, _ context: inout Context
    ) throws(Fault) {
        if content.deletions.contains(where: { $0.securityProtocol == .ike }) {
            try respond(spi, header, to: datagram, [], &context)
            if spi == current?.ownSPI, let error = content.notification(.authenticationFailed) {
                failedByPeer(error, &context)
            } else {
                deletedByPeer(spi, &context)
            }
            return
        }
        var payloads: [Payload] = []
        for securityProtocol in [SecurityProtocol.esp, .ah] {
            var answered: [SPI] = []
            for deletion in content.deletions where deletion.securityProtocol == securityProtocol {
                for outbound in deletion.spis.prefix(IKESession.maximumChildren) {
                    if let own = deletedByPeer(child: outbound, securityProtocol, &context) { answered.append(own) }
                }
            }
            guard !answered.isEmpty else { continue }
            payloads.append(DeletePayload(securityProtocol: securityProtocol, spis: answered).payload)
        }
        payloads += try answerMobility(content, datagram, spi, &context)
        payloads += answerLaterConfiguration(content, context)
        noteAuthenticationLifetime(content, &context)
        noteCrashToken(content, on: spi)
        payloads += ticketPayloads(content, &context)
        try respond(spi, header, to: datagram, payloads, &context)
        for notification in content.notifications {
            guard notification.type != .authenticationFailed else {
                failedByPeer(notification, &context)
                return
            }
            context.note("the peer notifies \(notification.type.name)")
        }
        follow(established: content, &context)
    }

    /// RFC 7296 §2.21.2: the peer refuses our proof, and the SA that we believed in never was. It may delete it besides.
    private mutating func failedByPeer(_ notification: NotifyPayload, _ context: inout Context) {
        fail(.peer(notification: notification.type.rawValue, name: notification.type.name), &context)
    }

    /// The peer deletes the child whose packets it took under `outbound`. Returns our own SPI for the answer, unless
    /// our own Delete of it is on its way (RFC 7296 §1.4.1).
    private mutating func deletedByPeer(
        child outbound: SPI, _ securityProtocol: SecurityProtocol, _ context: inout Context
    ) -> SPI? {
        guard
            let child = children.first(where: {
                $0.outboundSPI == outbound && $0.securityProtocol == securityProtocol && $0.state != .lingering
            })
        else {
            rememberDeleted(outbound)
            return nil
        }
        let crossed = isDeletePending(child.id)
        if !child.isReplaced, noteCollisionDeleted(child.id) {
            // Two rekeyings met, and perhaps the peer knows already that ours stays: then its child was redundant.
            // Until that is known nothing stands in for the old child, whose end would be a loss again.
            update(child.id) { $0.becomeRedundant() }
        }
        finish(child.id, &context)
        return crossed ? nil : child.inboundSPI
    }

    /// The peer deletes the child that its own rekeying made, before we know which of two rekeyings stays.
    private mutating func noteCollisionDeleted(_ id: ChildID) -> Bool {
        var old: ChildID?
        let isCollision = changePending { exchange in
            guard case .child(var attempt) = exchange, attempt.collision?.child == id else { return false }
            attempt.collision?.wasDeleted = true
            old = attempt.replaces
            exchange = .child(attempt)
            return true
        }
        if let old { update(old) { $0.isReplaced = false } }
        return isCollision
    }

    /// A Delete of a child that is not here: it may be one that a request of ours is creating.
    private mutating func rememberDeleted(_ outbound: SPI) {
        changePending { exchange in
            if case .child(var attempt) = exchange, attempt.deletedMeanwhile.count < 8 {
                attempt.deletedMeanwhile.append(outbound)
                exchange = .child(attempt)
            }
            // Every attempt may be the one.
            return false
        }
    }

    private func isDeletePending(_ id: ChildID) -> Bool {
        current?.pending.contains {
            if case .deleteChild(id) = $0.exchange { true } else { false }
        } ?? false
    }

    private mutating func deletedByPeer(_ spi: UInt64, _ context: inout Context) {
        guard let sa = current else { return }
        if spi != sa.ownSPI {
            markDeleted(spi, &context)
            return
        }
        if let candidate = associations.first(where: { $0.role == .candidate })?.ownSPI {
            // The peer rekeyed while we tried to, and did not notice: its new SA takes over.
            for case .rekeyIKE(let attempt) in sa.pending.map(\.exchange) {
                context.emit(.release(spi: attempt.spi))
            }
            promote(candidate, &context)
            markDeleted(spi, &context)
            return
        }
        for case .deleteIKE(let reason) in sa.pending.map(\.exchange) {
            close(reason, &context)
            return
        }
        close(.deletedByPeer, &context)
    }

    /// An SA that is no longer in use was deleted: it stays for a while to answer the Delete again.
    private mutating func markDeleted(_ spi: UInt64, _ context: inout Context) {
        guard let index = index(of: spi) else { return }
        associations[index].role = .deleted
        for pending in associations[index].pending {
            context.cancel(.retransmit(spi: spi, messageID: pending.messageID))
        }
        associations[index].pending = []
        context.set(.linger(spi: spi), after: IKESession.deletedLinger)
    }

    /// An SA that is no longer in use ends.
    mutating func forget(association spi: UInt64, _ context: inout Context) {
        guard let index = index(of: spi), index > 0 else { return }
        let sa = associations.remove(at: index)
        for pending in sa.pending {
            context.cancel(.retransmit(spi: spi, messageID: pending.messageID))
        }
        context.cancel(.linger(spi: spi))
        context.emit(.release(spi: spi))
    }

    // MARK: Initiator

    mutating func concludeDelete(_ id: ChildID, _ context: inout Context) { finish(id, &context) }

    mutating func startDelete(_ id: ChildID, _ context: inout Context) throws(Fault) {
        guard let child = child(id), child.state != .lingering, let spi = current?.ownSPI else { return }
        guard child.heldOutbound == nil else {
            // The peer may not know the child yet.
            postpone(.deleteChild(id), &context)
            return
        }
        if child.state != .rekeyed { update(id) { $0.state = .deleting } }
        try request(
            spi, .informationalV2,
            [DeletePayload(securityProtocol: child.securityProtocol, spis: [child.inboundSPI]).payload],
            .deleteChild(id), &context)
    }

    /// Asks for a sign of life where the peer was quiet for long enough (RFC 7296 §2.4).
    mutating func checkLiveness(_ context: inout Context) {
        guard isEstablished, let delay = connection?.deadPeerDelay, delay > .zero else { return }
        let quiet = context.now - lastHeard
        if quiet >= delay {
            // A request that is under way asks already.
            if isIdle { plan(.liveness) }
            context.set(.liveness, after: delay)
        } else {
            context.set(.liveness, after: delay - quiet)
        }
    }
}
