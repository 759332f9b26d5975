import IPsec
import Primitives

/// A child from its installation to its end.
extension IKESession {
    /// How long a replaced child's inbound SA still takes packets that were on their way when it was deleted.
    static let inboundLinger = Duration.seconds(5)

    /// How long another session has to take over, before one more is asked for.
    static let renewalPause = Duration.seconds(60)

    func child(_ id: ChildID) -> Child? { children.first { $0.id == id } }

    mutating func update(_ id: ChildID, _ change: (inout Child) -> Void) {
        guard let index = children.firstIndex(where: { $0.id == id }) else { return }
        change(&children[index])
    }

    /// Installs both directions, inbound first, or holds the outbound one back.
    mutating func install(_ agreed: AgreedChild, holdingOutbound: Bool, _ context: inout Context) {
        var agreed = agreed
        place(&agreed)
        let id = context.environment.freshChildID()
        let policy = agreed.policy
        let limits = policy.limits(&context.environment.randomness)
        func association(
            _ direction: SecurityAssociation.Direction, _ spi: SPI, _ keys: KeyMaterial
        ) -> SecurityAssociation {
            var association = SecurityAssociation(
                direction: direction, child: id, name: policy.name, requestID: agreed.requestID, spi: spi,
                securityProtocol: agreed.securityProtocol, mode: agreed.mode, local: local, remote: remote,
                udpEncapsulation: isEncapsulating,
                suite: agreed.suite, keys: keys, localSelectors: agreed.localSelectors,
                remoteSelectors: agreed.remoteSelectors, replayWindowPackets: policy.replayWindowPackets)
            association.limits = limits
            association.treatment = policy.treatment
            if !agreed.takesPadding { association.treatment.padding = .none }
            association.priority = policy.priority
            association.carriesFragments = agreed.carriesFragments
            association.aggregation = agreed.aggregation
            association.resource = agreed.resource ?? 0
            association.compression =
                direction == .inbound ? agreed.inboundCompression : agreed.outboundCompression
            return association
        }
        var child = Child(
            id: id, policy: policy.name, requestID: agreed.requestID, securityProtocol: agreed.securityProtocol,
            mode: agreed.mode,
            inboundSPI: agreed.inboundSPI, outboundSPI: agreed.outboundSPI, suite: agreed.suite,
            udpEncapsulation: isEncapsulating, installed: context.now, localSelectors: agreed.localSelectors,
            remoteSelectors: agreed.remoteSelectors)
        child.takesPadding = agreed.takesPadding
        child.carriesFragments = agreed.carriesFragments
        child.aggregation = agreed.aggregation
        child.resource = agreed.resource
        child.isCompressed = agreed.inboundCompression != nil
        context.emit(.install(association(.inbound, agreed.inboundSPI, agreed.inboundKeys)))
        let outbound = association(.outbound, agreed.outboundSPI, agreed.outboundKeys)
        if let rekey = context.jittered(policy.rekeyTime, by: policy.randomTime) {
            child.rekeyAt = context.now + rekey
            context.set(.rekeyChild(id), after: rekey)
        }
        if policy.lifeTime > .zero {
            child.expireAt = context.now + policy.lifeTime
            context.set(.expireChild(id), after: policy.lifeTime)
        }
        if holdingOutbound {
            child.heldOutbound = Boxed(outbound)
            child.replaces = agreed.replaces
            // Without a sign that the peer has the response it may have to ask again, for as long as it will.
            context.set(.rekeyChild(id), after: context.settings.retransmissionSchedule)
        } else {
            var outbound = outbound
            outbound.mayBeUnknown = agreed.isAnswer
            context.emit(.install(outbound))
        }
        let isFirst = children.isEmpty
        children.append(child)
        if isFirst { measurePath(&context) }
        if let old = agreed.replaces {
            context.report(.childRekeyed(old: old, new: id))
        } else {
            context.report(.childEstablished(id))
        }
        if agreed.isNarrowed { context.report(.noticed(.selectorsNarrowed(id))) }
    }

    /// Puts a held outbound SA to work.
    mutating func releaseOutbound(of id: ChildID, _ context: inout Context) {
        guard let index = children.firstIndex(where: { $0.id == id }),
            var outbound = children[index].heldOutbound?.value
        else { return }
        // The peer may have moved meanwhile.
        outbound.local = local
        outbound.remote = remote
        children[index].heldOutbound = nil
        children[index].replaces = nil
        context.emit(.install(outbound))
        if let rekeyAt = children[index].rekeyAt {
            context.emit(.setTimer(.rekeyChild(id), at: max(rekeyAt, context.now)))
        } else {
            context.cancel(.rekeyChild(id))
        }
    }

    /// The Delete exchange of a child is over, or its end needs none. A replaced child's inbound SA stays for a moment:
    /// packets may have been overtaken by the Delete.
    mutating func finish(_ id: ChildID, _ context: inout Context) {
        guard let index = children.firstIndex(where: { $0.id == id }) else { return }
        let child = children[index]
        guard child.state != .lingering else { return }
        for successor in children where successor.replaces == id { releaseOutbound(of: successor.id, &context) }
        planned.removeAll { $0 == .rekeyChild(id) || $0 == .deleteChild(id) }
        postponed.removeAll { $0 == .rekeyChild(id) || $0 == .deleteChild(id) }
        context.cancel(.rekeyChild(id))
        if child.hasOutbound { context.emit(.remove(child.outboundSPI, .outbound, id)) }
        if child.isReplaced {
            children[index].state = .lingering
            children[index].heldOutbound = nil
            context.set(.expireChild(id), after: IKESession.inboundLinger)
        } else {
            context.cancel(.expireChild(id))
            context.emit(.remove(child.inboundSPI, .inbound, id))
            context.giveBack(child.inboundSPI)
            children.remove(at: index)
            context.report(.childClosed(id))
        }
    }

    /// Ends the linger of a replaced child.
    mutating func drop(lingering id: ChildID, _ context: inout Context) {
        guard let child = child(id), child.state == .lingering else { return }
        context.emit(.remove(child.inboundSPI, .inbound, id))
        context.giveBack(child.inboundSPI)
        children.removeAll { $0.id == id }
    }

    /// Ends the session: everything is removed and released.
    mutating func close(_ reason: ClosureReason, _ context: inout Context) {
        guard !isClosed else { return }
        dropTickets(reason, &context)
        for child in children {
            if child.state != .lingering, child.hasOutbound {
                context.emit(.remove(child.outboundSPI, .outbound, child.id))
            }
            context.emit(.remove(child.inboundSPI, .inbound, child.id))
            context.giveBack(child.inboundSPI)
            context.cancel(.rekeyChild(child.id))
            context.cancel(.expireChild(child.id))
            if !child.isReplaced { context.report(.childClosed(child.id)) }
        }
        children = []
        for sa in associations {
            for pending in sa.pending {
                context.cancel(.retransmit(spi: sa.ownSPI, messageID: pending.messageID))
                if case .child(let attempt) = pending.exchange { release(attempt, &context) }
                if case .rekeyIKE(let attempt) = pending.exchange { context.emit(.release(spi: attempt.spi)) }
            }
            context.emit(.release(spi: sa.ownSPI))
            if sa.role != .current { context.cancel(.linger(spi: sa.ownSPI)) }
        }
        discardFollowUps(&context)
        switch phase {
        case .awaitingAuthenticationResponse(let initiation), .awaitingPeerVerified(let initiation, _, _, _),
            .awaitingOwnProof(let initiation, _):
            release(initiation.child, &context)
        case .provingUser(let proving): release(proving.initiation.child, &context)
        default: break
        }
        dropAddresses(&context)
        associations = []
        planned = []
        postponed = []
        let timers: [SessionTimer] = [
            .halfOpen, .liveness, .keepalive, .rekeyIKE, .reauthenticate, .expireIKE, .retry, .probePath,
        ]
        for timer in timers { context.cancel(timer) }
        phase = .closed
        context.emit(.closed(reason))
    }
}
