import Cryptography
import IPsec
import ISAKMP
import Primitives

/// A CREATE_CHILD_SA exchange of ours that clones the IKE SA.
struct CloneAttempt: Sendable {
    var ike: IKEAttempt
    /// Names the command that wants it.
    var tag: UInt64
    var tries: Int
}

/// Another IKE SA between the same two peers without authenticating anew (RFC 7791): keyed as a successor would be, but the
/// old one goes on, and keeps its children. The clone begins without any.
///
///     HDR, SK {N(CLONE_IKE_SA), SA, Ni, KEi}  -->
///                            <--  HDR, SK {N(CLONE_IKE_SA), SA, Nr, KEr}
///
/// It is a session of its own, which rekeys, moves and ends for itself.
extension IKESession {
    /// How often a clone is asked for that the peer cannot make just now.
    private static let maximumCloneTries = 5

    // MARK: Agreement

    /// N(CLONE_IKE_SA_SUPPORTED), in the first request and the last response of IKE_AUTH (RFC 7791 §5.1).
    var cloningPayloads: [Payload] {
        connection?.maximumClones ?? 0 > 0 ? [NotifyPayload(.cloneIKESASupported).payload] : []
    }

    mutating func noteCloning(_ content: MessageContent) {
        takesClones = connection?.maximumClones ?? 0 > 0 && content.notification(.cloneIKESASupported) != nil
    }

    /// Whether the peer may, or we might, make another clone now.
    ///
    /// - Throws: `notCloned` where there is none to be had, `temporary` where there is none now (RFC 7791 §5.3).
    func allowClone(of sa: IKESA, _ context: Context) throws(Fault) {
        guard takesClones, let connection else { throw .notCloned("the ends did not agree on cloning IKE SAs") }
        guard !context.environment.clones.isFull,
            context.environment.clones.count(of: origin) < connection.maximumClones
        else { throw .notCloned("the IKE SA has as many clones as it may have") }
        if sa.pending.contains(where: \.exchange.endsIKESA) {
            throw .temporary("the IKE SA is being replaced or deleted")
        }
    }

    // MARK: Initiator

    mutating func startClone(tag: UInt64, tries: Int, _ context: inout Context) {
        do throws(Fault) {
            guard let sa = current else { return }
            try allowClone(of: sa, context)
            guard let group = sa.suite.keyExchange ?? connection?.proposals.first?.keyExchange.first else {
                throw .cryptography("no proposal has a key exchange")
            }
            try sendClone(group, tried: [], tag: tag, tries: tries, &context)
        } catch {
            refuseClone(tag, error.refusal, &context)
        }
    }

    private mutating func sendClone(
        _ group: KeyExchangeID, tried: [KeyExchangeID], tag: UInt64, tries: Int, _ context: inout Context
    ) throws(Fault) {
        guard let connection, let sa = current else { return }
        let (attempt, payloads) = try begin(connection.proposals, group, tried: tried, &context)
        // Claimed before the request goes out, so that nobody else gets the SPI.
        context.emit(.claim(spi: attempt.spi))
        try request(
            sa.ownSPI, .createChildSA, [NotifyPayload(.cloneIKESA).payload] + payloads,
            .cloneIKE(CloneAttempt(ike: attempt, tag: tag, tries: tries)), &context)
    }

    mutating func concludeClone(
        _ clone: CloneAttempt, _ content: MessageContent, on spi: UInt64, _ context: inout Context
    ) {
        guard let index = index(of: spi) else { return }
        if let error = content.error, content.offers == nil {
            context.emit(.release(spi: clone.ike.spi))
            concludeRefusal(error, clone, &context)
            return
        }
        do throws(Fault) {
            switch try advance(clone.ike, content, from: associations[index], &context) {
            case .followUp(let attempt, let payloads):
                var clone = clone
                clone.ike = attempt
                try request(spi, .ikeFollowUpKE, payloads, .cloneIKE(clone), &context)
            case .agreed(let new, let response, let lowestNonce):
                guard response.notification(.cloneIKESA) != nil else {
                    // Without the word it is a rekeying, and the peer's children are on the new SA by now.
                    settle(new, clone.ike, lowestNonce: lowestNonce, &context)
                    refuseClone(clone.tag, .policy("the peer rekeyed the IKE SA instead of cloning it"), &context)
                    return
                }
                context.emit(.release(spi: clone.ike.spi))
                begin(new, tag: clone.tag, &context)
            }
        } catch {
            // Without its keys the peer's half cannot be deleted: it goes when nobody answers there.
            context.emit(.release(spi: clone.ike.spi))
            refuseClone(clone.tag, error.refusal, &context)
        }
    }

    private mutating func concludeRefusal(
        _ error: NotifyPayload, _ clone: CloneAttempt, _ context: inout Context
    ) {
        switch error.type {
        case .invalidKeyExchange:
            guard let group = otherGroup(error, tried: clone.ike.triedGroups) else { break }
            do throws(Fault) {
                try sendClone(
                    group, tried: clone.ike.triedGroups, tag: clone.tag, tries: clone.tries, &context)
                return
            } catch {
                context.note(error.summary)
            }
        case .temporaryFailure, .stateNotFound:
            guard clone.tries < IKESession.maximumCloneTries else { break }
            postpone(.cloneIKE(tag: clone.tag, tries: clone.tries + 1), &context)
            return
        default: break
        }
        refuseClone(clone.tag, .peer(notification: error.type.rawValue, name: error.type.name), &context)
    }

    private mutating func refuseClone(_ tag: UInt64, _ refusal: Refusal, _ context: inout Context) {
        context.report(.refused(child: nil, refusal))
        context.emit(.notCloned(tag: tag, refusal))
    }

    // MARK: Both

    /// Hands the clone over as a session of its own.
    mutating func begin(_ sa: IKESA, tag: UInt64?, _ context: inout Context) {
        let clone = context.environment.freshSessionID()
        context.note("cloned as [\(clone)]")
        var inner = Context(taking: &context.environment)
        let session = self.clone(sa, id: clone, &inner)
        context.environment = inner.environment
        context.emit(.begin(session, id: clone, tag: tag, effects: inner.effects))
    }

    /// The same peers at the same addresses, with the authentication that they have, and nothing else that is this one's.
    private func clone(_ sa: IKESA, id: SessionID, _ context: inout Context) -> IKESession {
        var clone = self
        clone.id = id
        clone.associations = [sa]
        clone.children = []
        clone.planned = []
        clone.postponed = []
        clone.followUps = []
        clone.issued = nil
        clone.optimizedRekey.initialChild = nil
        clone.inheritedRequestIDs = [:]
        clone.isRetiring = false
        clone.redirection.cameFrom = nil
        clone.established = context.now
        clone.lastHeard = context.now
        context.emit(.claim(spi: sa.ownSPI))
        clone.scheduleIKE(&context)
        // What the ends know of each other does not become newer by cloning.
        if let reauthenticateAt { context.set(.reauthenticate, after: max(reauthenticateAt - context.now, .zero)) }
        if let delay = connection?.deadPeerDelay, delay > .zero { context.set(.liveness, after: delay) }
        if isLocalBehindNAT, context.settings.keepaliveInterval > .zero {
            context.set(.keepalive, after: context.settings.keepaliveInterval)
        }
        clone.planCrashToken(sa, context)
        context.report(.established)
        for address in virtual.own { context.emit(.addAddress(address)) }
        if !virtual.own.isEmpty || !virtual.assigned.isEmpty {
            context.report(.configured(local: virtual.own, remote: virtual.assigned))
        }
        do throws(Fault) { try clone.pursuePlans(&context) } catch { context.note(error.summary) }
        return clone
    }
}
