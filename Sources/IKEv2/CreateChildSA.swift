import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// CREATE_CHILD_SA for children: new ones and rekeyed ones (RFC 7296 §1.3.1 and §1.3.3).
///
///     HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}  -->
///                                <--  HDR, SK {SA, Nr, [KEr,] TSi, TSr}
extension IKESession {
    // MARK: Initiator

    mutating func startChild(
        _ name: String, replacing old: Child?,
        selecting selectors: (local: [TrafficSelector], remote: [TrafficSelector])? = nil,
        beside sibling: Child? = nil, _ context: inout Context
    ) throws(Fault) {
        guard let policy = connection?.child(name) else {
            context.report(.refused(child: name, .policy("no child of this name is configured")))
            return
        }
        guard children.count < IKESession.maximumChildren else { throw .tooManyChildren }
        if old == nil { try checkResources(of: policy, selectors, context) }
        var attempt = attempt(policy, replacing: old, beside: sibling, &context)
        if let selectors { (attempt.offeredLocal, attempt.offeredRemote) = selectors }
        attempt.nonce = context.environment.randomness.octets(IKESession.nonceOctets)
        // A rekeying keeps the group that was agreed on before, where there was one.
        var group = old?.suite.keyExchange ?? policy.firstGroup
        if let old, let inheritance = inheritance(from: old, policy) {
            attempt.inheritance = Boxed(inheritance)
            (attempt.offeredLocal, attempt.offeredRemote) = (old.localSelectors, old.remoteSelectors)
            group = inheritance.suite.keyExchange
        }
        try sendChild(attempt, policy, group: group, &context)
        if let old {
            update(old.id) { $0.state = .rekeying }
        }
    }

    private mutating func sendChild(
        _ attempt: ChildAttempt, _ policy: ChildPolicy, group: KeyExchangeID?, _ context: inout Context
    ) throws(Fault) {
        guard let spi = current?.ownSPI else { return }
        var attempt = attempt
        do throws(Fault) {
            if let group {
                attempt.keyPair = try generate(group, &context)
                attempt.triedGroups.append(group)
            }
            var payloads: [Payload] = []
            if let replaced = attempt.replaces.flatMap(child) {
                // RFC 7296 §1.3.3: the SPI is the one we expect in inbound packets.
                payloads.append(
                    NotifyPayload(
                        .rekeySA, protocol: replaced.securityProtocol, spi: replaced.inboundSPI.octets
                    ).payload)
            }
            payloads += childPayloads(attempt, policy, proposals: policy.proposals, keyExchange: attempt.keyPair)
            if let old = attempt.inheritance?.value.old {
                payloads = payloads.contracted(isCompressed: old.isCompressed)
            }
            try request(spi, .createChildSA, payloads, .child(attempt), &context)
        } catch {
            release(attempt, &context)
            throw error
        }
    }

    /// The response to our request for a child came.
    mutating func concludeChild(_ attempt: ChildAttempt, _ content: MessageContent, _ context: inout Context) {
        guard let sa = current, let policy = connection?.child(attempt.policy) else { return }
        if let error = content.error, content.offers == nil {
            release(attempt, &context)
            concludeRefusal(error, attempt, policy, &context)
            return
        }
        var attempt = attempt
        do throws(Fault) {
            let whole = try expanded(content, attempt)
            var followUp =
                attempt.followUp
                ?? FollowUp(response: Boxed(whole), remaining: further(whole, usable(policy.proposals)))
            if let payloads = try advance(&followUp, content, &context) {
                attempt.followUp = followUp
                try request(sa.ownSPI, .ikeFollowUpKE, payloads, .child(attempt), &context)
                return
            }
            let content = followUp.response.value
            let nonce = try content.required(content.nonce, "Nonce")
            let material = ChildMaterial(initiatorNonce: attempt.nonce, responderNonce: nonce, isFirst: false)
            let agreed = try agree(attempt, policy, content, sa, material, further: followUp.secrets)
            conclude(agreed, attempt, lowestNonce: NonceRule.lower(attempt.nonce, nonce), &context)
            if attempt.replaces == nil { planSibling(of: children.last?.id, &context) }
            offerRest(of: agreed, attempt, content)
        } catch {
            // The peer installed what we cannot use: take it away again.
            abandon(attempt, error.refusal, &context)
        }
    }

    /// The key exchanges that are still to come behind the first, by what the peer chose.
    func further(_ content: MessageContent, _ configured: [Proposal]) -> [KeyExchangeID] {
        guard let offer = content.offers?.first, offer.isSingular,
            case .success(let selection) = Proposal.select(configured: configured, offered: [offer.proposal])
        else { return [] }
        return selection.suite.furtherKeyExchanges
    }

    /// The response to IKE_AUTH tells of the first child.
    mutating func concludeFirstChild(
        _ attempt: ChildAttempt, _ initiation: Initiation, _ content: MessageContent, _ context: inout Context
    ) {
        guard let sa = current, let policy = connection?.child(attempt.policy) else { return }
        let (attempt, content) = narrowed(attempt, policy, content)
        if content.offers == nil {
            release(attempt, &context)
            let error = content.error
            if error?.type == .singlePairRequired, offerSinglePair(attempt) { return }
            let refusal = error.map { Refusal.peer(notification: $0.type.rawValue, name: $0.type.name) }
            context.report(
                .refused(
                    child: attempt.policy, refusal ?? .protocolViolation("IKE_AUTH answers without SA payload")))
            context.report(.noticed(.keptWithoutChild))
            return
        }
        do throws(Fault) {
            let material = ChildMaterial(
                initiatorNonce: initiation.initiatorNonce, responderNonce: initiation.responderNonce, isFirst: true)
            let agreed = try agree(attempt, policy, content, sa, material)
            install(agreed, holdingOutbound: false, &context)
            optimizedRekey.initialChild = children.last?.id
            planSibling(of: children.last?.id, &context)
            offerRest(of: agreed, attempt, content)
            // Its keys came of the IKE SA's: whether the ends agree on a key exchange of its own would show hours later.
            if policy.rehearsesRekeying, policy.firstGroup != nil, let new = children.last { plan(.rekeyChild(new.id)) }
        } catch {
            abandon(attempt, error.refusal, &context)
        }
    }

    private mutating func abandon(_ attempt: ChildAttempt, _ refusal: Refusal, _ context: inout Context) {
        release(attempt, &context)
        // The peer may have replaced it meanwhile, and will delete it.
        if let old = attempt.replaces { update(old) { $0.state = $0.isReplaced ? .rekeyed : .installed } }
        context.report(.refused(child: attempt.policy, refusal))
        if attempt.replaces == nil { context.report(.noticed(.keptWithoutChild)) }
        plan(.deleteSPI(attempt.spi, connection?.child(attempt.policy)?.firstProtocol ?? .esp), first: true)
    }

    /// The peer deleted the new child before its response came here: both were on their way at once.
    private mutating func wasDeleted(
        _ agreed: AgreedChild, _ attempt: ChildAttempt, _ context: inout Context
    ) -> Bool {
        guard attempt.deletedMeanwhile.contains(agreed.outboundSPI) else { return false }
        release(attempt, &context)
        if let old = attempt.replaces { update(old) { $0.state = .rekeyed } }
        context.report(.refused(child: attempt.policy, .policy("the peer deleted the child at once")))
        if let old = attempt.replaces { plan(.deleteChild(old), first: true) }
        return true
    }

    /// Installs the new child, unless the peer's simultaneous rekeying of the same child takes precedence.
    private mutating func conclude(
        _ agreed: AgreedChild, _ attempt: ChildAttempt, lowestNonce: [UInt8], _ context: inout Context
    ) {
        if wasDeleted(agreed, attempt, &context) { return }
        guard let old = attempt.replaces else {
            install(agreed, holdingOutbound: false, &context)
            return
        }
        var agreed = agreed
        if let collision = attempt.collision {
            guard NonceRule.survives(lowestNonce, against: collision.lowestNonce) else {
                release(attempt, &context)
                update(old) { $0.state = .rekeyed }
                context.note("two rekeyings of one child met: the peer's stays")
                // What the peer deleted in between was not redundant, then, but meant to go. Where the old child is
                // still there, its end will say so.
                if collision.wasDeleted, child(old) == nil { context.report(.childClosed(collision.child)) }
                plan(.deleteSPI(attempt.spi, agreed.securityProtocol), first: true)
                return
            }
            context.note("two rekeyings of one child met: ours stays")
            if child(collision.child)?.state != .lingering {
                update(collision.child) { $0.becomeRedundant() }
                context.cancel(.rekeyChild(collision.child))
            }
            agreed.replaces = collision.wasDeleted && child(old) != nil ? old : collision.child
        }
        // Somebody wants the child gone, and meant its successor too.
        let isUnwanted = planned.contains(.deleteChild(old))
        install(agreed, holdingOutbound: false, &context)
        context.cancel(.rekeyChild(old))
        update(old) {
            $0.state = .rekeyed
            $0.isReplaced = !isUnwanted
        }
        if isUnwanted, let new = children.last { plan(.deleteChild(new.id), first: true) }
        if child(old) != nil { plan(.deleteChild(old), first: true) }
    }

    private mutating func concludeRefusal(
        _ error: NotifyPayload, _ attempt: ChildAttempt, _ policy: ChildPolicy, _ context: inout Context
    ) {
        let refusal = Refusal.peer(notification: error.type.rawValue, name: error.type.name)
        if let sibling = attempt.sibling, error.type != .invalidKeyExchange {
            concludeSiblingRefusal(error, beside: sibling, &context)
            return
        }
        let old = attempt.replaces.flatMap(child)
        if attempt.inheritance != nil, error.type.leavesWholeRekeying, let old, old.state == .rekeying,
            attempt.collision == nil
        {
            do throws(Fault) {
                try sendWhole(attempt, policy, old, &context)
                return
            } catch {
                context.note(error.summary)
            }
        }
        switch error.type {
        case .invalidKeyExchange:
            guard let group = KeyExchangeID(error),
                policy.proposals.contains(where: { $0.keyExchange.contains(group) }),
                !attempt.triedGroups.contains(group), KeyDetermination.supports(group)
            else { break }
            do throws(Fault) {
                var again = attempt
                again.spi = context.offerSPI()
                again.followUp = nil
                try sendChild(again, policy, group: group, &context)
                return
            } catch {
                context.note(error.summary)
            }
        case .temporaryFailure, .stateNotFound:
            // The peer is rekeying or closing what we meant (RFC 7296 §2.25), or has forgotten how far we had come
            // (RFC 9370 §2.2.4).
            if let old {
                guard old.state == .rekeying, attempt.collision == nil else { return }
                update(old.id) { $0.state = .installed }
                postpone(.rekeyChild(old.id), &context)
            } else if attempt.replaces == nil {
                postpone(.createChild(attempt.policy), &context)
            }
            return
        case .childNotFound:
            guard let old, old.state == .rekeying else { return }
            // RFC 7296 §2.25: close it silently and begin anew.
            finish(old.id, &context)
            plan(.createChild(attempt.policy))
            return
        case .singlePairRequired: if offerSinglePair(attempt) { return }
        case .noAdditionalSAs where old != nil:
            // RFC 7296 §1.3: a peer that rekeys nothing wants another IKE SA instead.
            context.emit(.renew)
        default: break
        }
        if let old, old.state == .rekeying { update(old.id) { $0.state = $0.isReplaced ? .rekeyed : .installed } }
        context.report(.refused(child: attempt.policy, refusal))
        if attempt.replaces == nil { context.report(.noticed(.keptWithoutChild)) }
    }

    /// The peer does not take a shortened request: says everything.
    private mutating func sendWhole(
        _ attempt: ChildAttempt, _ policy: ChildPolicy, _ old: Child, _ context: inout Context
    ) throws(Fault) {
        var again = attempt
        again.inheritance = nil
        again.followUp = nil
        again.keyPair = nil
        again.triedGroups = []
        again.spi = context.offerSPI()
        again.offeredLocal = localSelectors(of: policy)
        again.offeredRemote = remoteSelectors(of: policy)
        try sendChild(again, policy, group: old.suite.keyExchange ?? policy.firstGroup, &context)
    }

    // MARK: Responder

    /// Answers a CREATE_CHILD_SA request; the fault of a refusal becomes the answer.
    mutating func answerCreateChild(
        _ content: MessageContent, on spi: UInt64, _ context: inout Context
    ) throws(Fault) -> [Payload] {
        guard let sa = current, sa.ownSPI == spi else { throw .temporary("the IKE SA is being replaced") }
        if let whole = try expanded(content, sa) {
            return try answerCreateChild(whole, on: spi, &context).contracted(isCompressed: true)
        }
        let offers = try content.required(content.offers, "SA")
        let nonce = try content.required(content.nonce, "Nonce")
        if offers.contains(where: { $0.proposal.securityProtocol == .ike }) {
            return try answerRekeyIKE(content, offers, nonce, sa, &context)
        }
        if sa.pending.contains(where: \.exchange.endsIKESA) {
            throw .temporary("the IKE SA is being replaced or deleted")
        }
        let material = ChildMaterial(
            initiatorNonce: nonce, responderNonce: context.environment.randomness.octets(IKESession.nonceOctets),
            isFirst: false)
        var old: Child?
        if let rekey = content.notification(.rekeySA) {
            guard [.esp, .ah].contains(rekey.securityProtocol), rekey.spi.count == 4 else {
                throw .violation("REKEY_SA names the SPI of a child")
            }
            old = try replaceable(SPI(network: rekey.spi), rekey.securityProtocol, sa)
        }
        var (proposed, payloads) = try negotiate(content, material, replacing: old, &context)
        let further = proposed.suite.furtherKeyExchanges
        if further.isEmpty {
            try complete(proposed, replacing: old?.outboundSPI, further: [], sa, &context)
        } else {
            payloads.append(keep(.child(proposed, replacing: old?.outboundSPI), further, on: spi, &context))
        }
        return payloads
    }

    /// The child that the peer may replace now, by the SPI in its packets towards the peer.
    func replaceable(
        _ outboundSPI: SPI, _ securityProtocol: SecurityProtocol?, _ sa: IKESA
    ) throws(Fault) -> Child {
        guard
            let old = children.first(where: {
                $0.outboundSPI == outboundSPI && (securityProtocol == nil || $0.securityProtocol == securityProtocol)
                    && $0.state != .lingering
            })
        else {
            // It may be the child that our own request is creating: the response can still be on its way.
            if sa.pending.contains(where: \.exchange.createsChild) { throw .temporary("a child is being created") }
            throw .childNotFound(outboundSPI)
        }
        switch old.state {
        case .installed where planned.contains(.deleteChild(old.id)):
            throw .temporary("the child is being deleted")
        case .installed, .rekeying: return old
        case .rekeyed, .deleting, .lingering: throw .temporary("the child is being replaced or deleted")
        }
    }

    /// The child that was installed just now takes over from `old`, by the peer's wish.
    mutating func succeed(_ old: Child, _ material: ChildMaterial, _ context: inout Context) {
        guard let new = children.last else { return }
        // Our own rekeying, if it was planned, is done by the peer.
        planned.removeAll { $0 == .rekeyChild(old.id) }
        if old.state == .rekeying {
            noteCollision(
                ChildCollision(
                    child: new.id,
                    lowestNonce: NonceRule.lower(material.initiatorNonce, material.responderNonce)), of: old.id)
            update(old.id) { $0.isReplaced = true }
        } else {
            context.cancel(.rekeyChild(old.id))
            update(old.id) {
                $0.state = .rekeyed
                $0.isReplaced = true
            }
        }
    }

    private mutating func noteCollision(_ collision: ChildCollision, of old: ChildID) {
        changePending { exchange in
            guard case .child(var attempt) = exchange, attempt.replaces == old else { return false }
            attempt.collision = collision
            exchange = .child(attempt)
            return true
        }
    }
}

extension ChildPolicy {
    /// The protocol of the most wanted proposal.
    var firstProtocol: SecurityProtocol { proposals.first?.securityProtocol ?? .esp }

    /// The group to begin with, where the proposals want perfect forward secrecy.
    var firstGroup: KeyExchangeID? {
        guard let first = proposals.first?.keyExchange.first, first != .none else { return nil }
        return first
    }
}
