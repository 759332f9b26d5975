import IPsec
import ISAKMP
import Primitives

/// What the session means to do: commands, timers, and exchanges that wait for the window.
extension IKESession {
    mutating func plan(_ exchange: PlannedExchange, first: Bool = false) {
        guard planned.count < IKESession.maximumPlanned else { return }
        if let index = planned.firstIndex(of: exchange) {
            guard first else { return }
            planned.remove(at: index)
        }
        planned.insert(exchange, at: first ? 0 : planned.count)
    }

    /// Tries an exchange again after a random while, so that two ends do not keep meeting (RFC 7296 §2.25).
    mutating func postpone(_ exchange: PlannedExchange, _ context: inout Context) {
        if !postponed.contains(exchange) { postponed.append(exchange) }
        let jitter = Duration.seconds(3) * context.environment.randomness.fraction()
        context.set(.retry, after: .seconds(2) + jitter)
    }

    mutating func perform(_ command: SessionCommand, _ context: inout Context) throws(Fault) {
        switch command {
        case .createChild(let name):
            guard let connection, connection.child(name) != nil else {
                context.report(.refused(child: name, .policy("no child of this name is configured")))
                return
            }
            plan(.createChild(name))
        // Rekeying happens in place: nothing here asks for a successor.
        case .establish: break
        case .deleteChild(let id):
            guard let child = child(id), child.state != .lingering else { throw .unexpected("no child \(id)") }
            plan(.deleteChild(id))
        case .rekeyChild(let id):
            guard child(id)?.state == .installed else { throw .unexpected("no child \(id) that could be rekeyed") }
            plan(.rekeyChild(id))
        case .rekeyIKE:
            guard isEstablished else { throw .unexpected("the IKE SA is not established") }
            plan(.rekeyIKE)
        case .abandon: close(.replaced, &context)
        case .move(let address): try move(to: address, &context)
        case .cameFrom(let gateway): redirection.cameFrom = gateway
        case .redirect(let gateway):
            guard isEstablished, !isInitiator, redirection.isTakenByPeer else {
                throw .unexpected("the peer does not know REDIRECT")
            }
            plan(.redirect(gateway))
        case .clone(let tag): plan(.cloneIKE(tag: tag, tries: 1))
        case .succeedChild(let name, let requestID):
            guard let connection, connection.child(name) != nil else { return }
            inheritedRequestIDs[name, default: []].append(requestID)
            plan(.createChild(name))
        case .retire:
            isRetiring = true
            context.set(.expireIKE, after: IKESession.inboundLinger)
        case .delete:
            if isEstablished {
                plan(.deleteIKE(.deletedByUs), first: true)
            } else {
                close(.deletedByUs, &context)
            }
        }
    }

    mutating func fire(_ timer: SessionTimer, _ context: inout Context) throws(Fault) {
        switch timer {
        case .retransmit(let spi, let messageID): retransmit(spi, messageID, &context)
        case .halfOpen: if !isEstablished { fail(.timeout, &context) }
        case .liveness: checkLiveness(&context)
        case .keepalive: sendKeepalive(&context)
        case .rekeyIKE: if isEstablished { plan(.rekeyIKE) }
        case .reauthenticate:
            // Make before break: another session does all that this one does, and then this one retires.
            guard isEstablished, !isRetiring else { return }
            context.emit(.renew)
            // The other session may come to nothing.
            context.set(.reauthenticate, after: IKESession.renewalPause)
        case .expireIKE:
            guard isEstablished else { return }
            let reason = isRetiring ? ClosureReason.replaced : .expired
            if isIdle { plan(.deleteIKE(reason), first: true) } else { close(reason, &context) }
        case .rekeyChild(let id):
            if child(id)?.heldOutbound != nil {
                releaseOutbound(of: id, &context)
            } else if child(id)?.state == .installed {
                plan(.rekeyChild(id))
            }
        case .expireChild(let id):
            guard let child = child(id) else { return }
            if child.state == .lingering { drop(lingering: id, &context) } else { plan(.deleteChild(id), first: true) }
        case .retry:
            let due = postponed
            postponed = []
            for exchange in due { plan(exchange) }
        case .linger(let spi): forget(association: spi, &context)
        case .puzzle: try workOn(&context)
        case .probePath: if isEstablished { plan(.probePath) }
        case .renewAddress, .releaseChild: break
        }
    }

    /// Starts what is planned, as far as the window lets it.
    mutating func pursuePlans(_ context: inout Context) throws(Fault) {
        if case .awaitingCommand = phase {
            if planned.contains(where: \.createsChild) {
                do throws(Fault) { try initiate(&context) } catch { fail(error.refusal, &context) }
            }
            return
        }
        while isEstablished, let index = nextToStart {
            let next = planned.remove(at: index)
            do throws(Fault) {
                try start(next, &context)
            } catch {
                context.report(.refused(child: next.childName, error.refusal))
            }
        }
    }

    /// The first planned exchange that may run beside those under way; one that wants the IKE SA for itself lets none
    /// behind it go first.
    private var nextToStart: Int? {
        guard let sa = current, sa.isWindowOpen, !sa.pending.contains(where: \.exchange.endsIKESA) else { return nil }
        if sa.pending.isEmpty { return planned.isEmpty ? nil : 0 }
        for (index, next) in planned.enumerated() {
            switch next {
            case .rekeyIKE, .deleteIKE: return nil
            case .liveness, .updateAddresses, .checkRoutability, .redirect, .announceToken, .requestTicket, .probePath:
                continue
            case .createChild, .createSelected, .createSibling, .deleteSPI, .cloneIKE: return index
            case .rekeyChild(let id), .deleteChild(let id):
                if !sa.pending.contains(where: { $0.exchange.concerns(id) }) { return index }
            }
        }
        return nil
    }

    private mutating func start(_ exchange: PlannedExchange, _ context: inout Context) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        switch exchange {
        case .createChild(let name): try startChild(name, replacing: nil, &context)
        case .createSelected(let name, let local, let remote):
            try startChild(name, replacing: nil, selecting: (local, remote), &context)
        case .createSibling(let id): try startSibling(of: id, &context)
        case .rekeyChild(let id):
            guard let child = child(id), child.state == .installed else { return }
            guard child.heldOutbound == nil else {
                // The peer may not know the child yet.
                postpone(.rekeyChild(id), &context)
                return
            }
            try startChild(child.policy, replacing: child, &context)
        case .deleteChild(let id): try startDelete(id, &context)
        case .deleteSPI(let inbound, let securityProtocol):
            try request(
                spi, .informationalV2,
                [DeletePayload(securityProtocol: securityProtocol, spis: [inbound]).payload], .liveness, &context)
        case .rekeyIKE: try startRekeyIKE(&context)
        case .cloneIKE(let tag, let tries): startClone(tag: tag, tries: tries, &context)
        case .liveness: try request(spi, .informationalV2, try livenessPayloads(context), .liveness, &context)
        case .updateAddresses: try startUpdate(&context)
        case .checkRoutability: try startRoutabilityCheck(&context)
        case .probePath: try startProbe(&context)
        case .requestTicket: try request(spi, .informationalV2, ticketRequest, .liveness, &context)
        case .announceToken:
            try request(spi, .informationalV2, crashTokenPayloads(current, context), .liveness, &context)
        case .redirect(let gateway):
            try request(spi, .informationalV2, startRedirect(gateway, &context), .redirect, &context)
        case .deleteIKE(let reason):
            try request(spi, .informationalV2, [DeletePayload.ike.payload], .deleteIKE(reason), &context)
        }
    }
}

extension PlannedExchange {
    fileprivate var createsChild: Bool {
        if case .createChild = self { return true }
        return false
    }

    fileprivate var childName: String? {
        switch self {
        case .createChild(let name), .createSelected(let name, _, _): return name
        default: return nil
        }
    }
}
