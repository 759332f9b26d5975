import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// What we agreed to for an IKE SA that the peer wants, before its keys are all determined.
struct ProposedIKESA: Sendable {
    /// Whether it stands beside the old one (RFC 7791).
    var isClone = false
    var suite: Suite
    var sharedSecret: Secret
    var contributions: KeySchedule.Public
}

/// CREATE_CHILD_SA that replaces the IKE SA (RFC 7296 §1.3.2 and §2.18). Children belong to the session, and so move
/// by themselves.
///
///     HDR, SK {SA, Ni, KEi}  -->
///                            <--  HDR, SK {SA, Nr, KEr}
///     HDR (old), SK {D}      -->
///                            <--  HDR (old), SK {}
extension IKESession {
    /// How long an SA that the peer replaced waits for the peer's Delete, and how long one that was deleted answers a
    /// repeated Delete.
    static let replacedLinger = Duration.seconds(240)
    static let deletedLinger = Duration.seconds(30)

    // MARK: Initiator

    mutating func startRekeyIKE(_ context: inout Context) throws(Fault) {
        guard let connection, let sa = current else { return }
        let group = sa.suite.keyExchange ?? connection.proposals.first?.keyExchange.first
        guard let group else { throw .cryptography("no proposal has a key exchange") }
        try sendRekeyIKE(group, tried: [], isOptimized: canInherit(sa), &context)
    }

    private mutating func sendRekeyIKE(
        _ group: KeyExchangeID, tried: [KeyExchangeID], isOptimized: Bool = false, _ context: inout Context
    ) throws(Fault) {
        guard let connection, let sa = current else { return }
        var (attempt, payloads) = try begin(connection.proposals, group, tried: tried, &context)
        attempt.isOptimized = isOptimized
        if isOptimized { payloads = payloads.contracted(isCompressed: false) }
        // Claimed before the request goes out: the peer may use the new SA at once.
        context.emit(.claim(spi: attempt.spi))
        try request(sa.ownSPI, .createChildSA, payloads, .rekeyIKE(attempt), &context)
    }

    /// An exchange for another IKE SA, and what its request says.
    func begin(
        _ proposals: [Proposal], _ group: KeyExchangeID, tried: [KeyExchangeID], _ context: inout Context
    ) throws(Fault) -> (attempt: IKEAttempt, payloads: [Payload]) {
        let attempt = IKEAttempt(
            spi: context.environment.freshIKESPI(),
            nonce: context.environment.randomness.octets(IKESession.nonceOctets),
            keyPair: try generate(group, &context), triedGroups: tried + [group])
        return (
            attempt,
            [
                ProposalPayload.offer(proposals, spi: attempt.spi.octets), Payload(.nonceV2, body: attempt.nonce),
                KeyExchangePayload(group: group, value: attempt.keyPair.publicValue).payload,
            ]
        )
    }

    mutating func concludeRekeyIKE(_ attempt: IKEAttempt, _ content: MessageContent, _ context: inout Context) {
        guard let old = current else { return }
        if let error = content.error, content.offers == nil {
            context.emit(.release(spi: attempt.spi))
            concludeRefusal(error, attempt, &context)
            return
        }
        do throws(Fault) {
            switch try advance(attempt, content, from: old, &context) {
            case .followUp(let attempt, let payloads):
                try request(old.ownSPI, .ikeFollowUpKE, payloads, .rekeyIKE(attempt), &context)
            case .agreed(let new, _, let lowestNonce): settle(new, attempt, lowestNonce: lowestNonce, &context)
            }
        } catch {
            context.emit(.release(spi: attempt.spi))
            context.report(.refused(child: nil, error.refusal))
            // The peer believes in an SA that we cannot use: only a new beginning brings us together again.
            plan(.deleteIKE(.refused(error.refusal)), first: true)
        }
    }

    /// What a response to an exchange for another IKE SA leads to.
    enum Advance {
        /// A further key exchange.
        case followUp(IKEAttempt, [Payload])
        /// The SA, the response that tells of it, and the lower of the exchange's nonces.
        case agreed(IKESA, MessageContent, lowestNonce: [UInt8])
    }

    func advance(
        _ attempt: IKEAttempt, _ content: MessageContent, from old: IKESA, _ context: inout Context
    ) throws(Fault) -> Advance {
        guard let connection else { throw .unexpected("no connection") }
        var attempt = attempt
        let whole = try expanded(content, attempt, old)
        var followUp =
            attempt.followUp ?? FollowUp(response: Boxed(whole), remaining: further(whole, connection.proposals))
        if let payloads = try advance(&followUp, content, &context) {
            attempt.followUp = followUp
            return .followUp(attempt, payloads)
        }
        let content = followUp.response.value
        let offers = try content.required(content.offers, "SA")
        let nonce = try content.required(content.nonce, "Nonce")
        let keyExchange = try content.required(content.keyExchange, "KE")
        guard offers.count == 1, offers[0].isSingular, offers[0].spi.count == 8,
            case .success(let selection) = Proposal.select(
                configured: connection.proposals, offered: [offers[0].proposal]),
            selection.suite.keyExchange == attempt.keyPair.group,
            keyExchange.group == attempt.keyPair.group
        else { throw .violation("the responder chose what was not offered") }
        let sharedSecret = try combine(attempt.keyPair, keyExchange.value)
        var new = try successor(
            of: old, selection.suite, sharedSecret, further: followUp.secrets,
            KeySchedule.Public(
                initiatorNonce: attempt.nonce, responderNonce: nonce, initiatorSPI: attempt.spi,
                responderSPI: UInt64(network: offers[0].spi)), isInitiator: true, &context)
        if let token = content.crashToken { new.peerToken = token }
        return .agreed(new, content, lowestNonce: NonceRule.lower(attempt.nonce, nonce))
    }

    /// Our rekeying succeeded. Where the peer's did too, the nonces decide (RFC 7296 §2.8.2).
    mutating func settle(
        _ new: IKESA, _ attempt: IKEAttempt, lowestNonce: [UInt8], _ context: inout Context
    ) {
        if let collision = attempt.collision, index(of: collision.spi) != nil {
            guard NonceRule.survives(lowestNonce, against: collision.lowestNonce) else {
                context.note("two rekeyings of the IKE SA met: the peer's stays")
                var redundant = new
                redundant.role = .replaced
                associations.append(redundant)
                promote(collision.spi, &context)
                deleteReplaced(new.ownSPI, &context)
                return
            }
            context.note("two rekeyings of the IKE SA met: ours stays")
            if let index = index(of: collision.spi) { associations[index].role = .replaced }
            context.set(.linger(spi: collision.spi), after: IKESession.replacedLinger)
        }
        let old = current?.ownSPI
        associations.append(new)
        promote(new.ownSPI, &context)
        if let old { deleteReplaced(old, &context) }
    }

    /// Makes an SA the one in use; the one before it awaits a Delete.
    mutating func promote(_ spi: UInt64, _ context: inout Context) {
        guard let index = index(of: spi), index > 0 else { return }
        var new = associations.remove(at: index)
        new.role = .current
        let old = associations[0].ownSPI
        associations[0].role = .replaced
        associations.insert(new, at: 0)
        repeatMobility(of: associations[1])
        context.set(.linger(spi: old), after: IKESession.replacedLinger)
        planned.removeAll { $0 == .rekeyIKE }
        postponed.removeAll { $0 == .rekeyIKE }
        scheduleIKE(&context)
        planCrashToken(associations[0], context)
        // A ticket has the keys of the SA that it was given in.
        if isInitiator, connection?.resumes == true { plan(.requestTicket) }
        context.report(.rekeyedIKE)
    }

    private mutating func deleteReplaced(_ spi: UInt64, _ context: inout Context) {
        do throws(Fault) {
            try request(
                spi, .informationalV2, [DeletePayload.ike.payload], .deleteIKE(.replaced), &context)
        } catch {
            context.note(error.summary)
        }
    }

    /// The group of INVALID_KE_PAYLOAD, where it is one of ours and was not tried yet.
    func otherGroup(_ error: NotifyPayload, tried: [KeyExchangeID]) -> KeyExchangeID? {
        guard let group = KeyExchangeID(error), let connection,
            connection.proposals.contains(where: { $0.keyExchange.contains(group) }),
            !tried.contains(group), KeyDetermination.supports(group)
        else { return nil }
        return group
    }

    private mutating func concludeRefusal(
        _ error: NotifyPayload, _ attempt: IKEAttempt, _ context: inout Context
    ) {
        if let collision = attempt.collision, index(of: collision.spi) != nil {
            // The peer refused ours and made its own: that one it is.
            promote(collision.spi, &context)
            return
        }
        if attempt.isOptimized, error.type.leavesWholeRekeying {
            do throws(Fault) {
                try sendRekeyIKE(attempt.keyPair.group, tried: [], &context)
                return
            } catch {
                context.note(error.summary)
            }
        }
        switch error.type {
        case .invalidKeyExchange:
            guard let group = otherGroup(error, tried: attempt.triedGroups) else { break }
            do throws(Fault) {
                try sendRekeyIKE(group, tried: attempt.triedGroups, &context)
                return
            } catch {
                context.note(error.summary)
            }
        case .temporaryFailure, .stateNotFound:
            postpone(.rekeyIKE, &context)
            return
        // RFC 7296 §1.3: a peer that rekeys nothing wants another IKE SA instead.
        case .noAdditionalSAs: context.emit(.renew)
        default: break
        }
        context.report(.refused(child: nil, .peer(notification: error.type.rawValue, name: error.type.name)))
    }

    // MARK: Responder

    mutating func answerRekeyIKE(
        _ content: MessageContent, _ offers: [OfferedProposal], _ nonce: [UInt8], _ sa: IKESA,
        _ context: inout Context
    ) throws(Fault) -> [Payload] {
        guard let connection else { throw .temporary("no connection") }
        let isClone = content.notification(.cloneIKESA) != nil
        if isClone { try allowClone(of: sa, context) } else { _ = try ownAttempt(on: sa) }
        let keyExchange = try content.required(content.keyExchange, "KE")
        let understood = offers.filter { $0.isUnderstood && $0.spi.count == 8 }
        let selection: Selection
        switch Proposal.select(configured: connection.proposals, offered: understood.map(\.proposal)) {
        case .success(let found): selection = found
        case .failure(let refused): throw .noProposal(.ike, refused.mismatch)
        }
        guard let group = selection.suite.keyExchange else {
            throw .violation("a proposal for an IKE SA has a key exchange")
        }
        guard keyExchange.group == group else { throw .otherGroup(group) }
        let offer = understood[selection.offer]
        let peerSPI = UInt64(network: offer.spi)
        guard peerSPI != 0 else { throw .violation("an IKE SPI is not zero") }
        let (value, sharedSecret) = try answer(group, keyExchange.value, &context)
        let spi = context.environment.freshIKESPI()
        let proposed = ProposedIKESA(
            isClone: isClone, suite: selection.suite, sharedSecret: sharedSecret,
            contributions: KeySchedule.Public(
                initiatorNonce: nonce, responderNonce: context.environment.randomness.octets(IKESession.nonceOctets),
                initiatorSPI: peerSPI, responderSPI: spi))
        var payloads = [
            ProposalPayload.answer(selection.suite, to: offer, spi: spi.octets),
            Payload(.nonceV2, body: proposed.contributions.responderNonce),
            KeyExchangePayload(group: group, value: value).payload,
        ]
        payloads += crashTokenPayloads(initiatorSPI: peerSPI, responderSPI: spi, context)
        if isClone { payloads.insert(NotifyPayload(.cloneIKESA).payload, at: 0) }
        let further = selection.suite.furtherKeyExchanges
        if further.isEmpty {
            try complete(proposed, further: [], sa, &context)
        } else {
            payloads.append(keep(.ikeSA(proposed), further, on: sa.ownSPI, &context))
        }
        return payloads
    }

    /// Our own rekeying of the IKE SA that the peer's meets, where there is one.
    ///
    /// - Throws: `temporary` while something else of ours keeps the IKE SA from being replaced.
    private func ownAttempt(on sa: IKESA) throws(Fault) -> IKEAttempt? {
        var own: IKEAttempt?
        for pending in sa.pending {
            switch pending.exchange {
            case .child, .deleteChild, .deleteIKE, .farewell:
                // RFC 7296 §2.25.2.
                throw .temporary("a child is being created, replaced or deleted")
            case .cloneIKE: throw .temporary("the IKE SA is being cloned")
            case .rekeyIKE(let attempt):
                guard attempt.collision == nil else { throw .temporary("the IKE SA is being replaced") }
                own = attempt
            case .liveness, .updateAddresses, .checkRoutability, .redirect, .probe, .initial, .intermediate,
                .authentication:
                break
            }
        }
        return own
    }

    /// The peer's new SA, now that its keys are known.
    mutating func complete(
        _ proposed: ProposedIKESA, further: [Secret], _ sa: IKESA, _ context: inout Context
    ) throws(Fault) {
        let contributions = proposed.contributions
        if proposed.isClone {
            try allowClone(of: sa, context)
            let clone = try successor(
                of: sa, proposed.suite, proposed.sharedSecret, further: further, contributions, isInitiator: false,
                &context)
            return begin(clone, tag: nil, &context)
        }
        let own = try ownAttempt(on: sa)
        var new = try successor(
            of: sa, proposed.suite, proposed.sharedSecret, further: further, contributions, isInitiator: false,
            &context)
        new.role = .candidate
        let spi = contributions.responderSPI
        context.emit(.claim(spi: spi))
        associations.append(new)
        let lowest = NonceRule.lower(contributions.initiatorNonce, contributions.responderNonce)
        if own != nil {
            changePending { exchange in
                guard case .rekeyIKE(var attempt) = exchange else { return false }
                attempt.collision = IKECollision(spi: spi, lowestNonce: lowest)
                exchange = .rekeyIKE(attempt)
                return true
            }
        } else {
            promote(spi, &context)
        }
    }

    func successor(
        of old: IKESA, _ suite: Suite, _ sharedSecret: Secret, further: [Secret],
        _ contributions: KeySchedule.Public, isInitiator: Bool, _ context: inout Context
    ) throws(Fault) -> IKESA {
        let keys = try KeySchedule.successor(
            of: old.keys, old.suite, suite, sharedSecret: sharedSecret, further: further, contributions)
        var new = IKESA(
            initiatorSPI: contributions.initiatorSPI, responderSPI: contributions.responderSPI,
            isInitiator: isInitiator, suite: suite, keys: keys, nextIV: context.environment.randomness.uint64(),
            peerTakesFragments: old.peerTakesFragments)
        new.pathLimit = old.pathLimit
        new.disclose(&context)
        return new
    }
}

extension UInt64 {
    /// Eight octets in network order.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: self)
        return octets
    }

    /// A number from up to eight octets in network order.
    init(network octets: [UInt8]) {
        self = octets.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
