import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// Additional key exchanges of a CREATE_CHILD_SA exchange of ours (RFC 9370 §2.2.4): each is an IKE_FOLLOWUP_KE exchange
/// that names the one before it.
///
///     HDR, SK {SA, Ni, KEi(0), …}              -->
///                                              <--  HDR, SK {SA, Nr, KEr(0), …, N(ADDITIONAL_KEY_EXCHANGE)(link1)}
///     HDR, SK {KEi(1), N(…)(link1)}            -->
///                                              <--  HDR, SK {KEr(1), N(…)(link2)}
///     HDR, SK {KEi(2), N(…)(link2)}            -->
///                                              <--  HDR, SK {KEr(2)}
struct FollowUp: Sendable {
    /// The response to CREATE_CHILD_SA, which is acted upon at the end.
    var response: Boxed<MessageContent>
    var remaining: [KeyExchangeID]
    var secrets: [Secret] = []
    var keyPair: KeyPair?
}

extension IKESession {
    /// Takes a response into account: the first one, or that of a follow-up. Returns the next request's payloads; `nil`
    /// when nothing follows.
    func advance(
        _ followUp: inout FollowUp, _ content: MessageContent, _ context: inout Context
    ) throws(Fault) -> [Payload]? {
        if let keyPair = followUp.keyPair {
            let keyExchange = try content.required(content.keyExchange, "KE")
            guard keyExchange.group == keyPair.group else {
                throw .violation("the key exchange is not the one that was begun")
            }
            followUp.secrets.append(try combine(keyPair, keyExchange.value))
            followUp.remaining.removeFirst()
        }
        guard let group = followUp.remaining.first else { return nil }
        guard let link = content.notification(.additionalKeyExchange), (1...256).contains(link.data.count) else {
            throw .violation("a response with a key exchange to follow links to it")
        }
        let keyPair = try generate(group, &context)
        followUp.keyPair = keyPair
        return [
            KeyExchangePayload(group: group, value: keyPair.publicValue).payload,
            NotifyPayload(.additionalKeyExchange, data: link.data).payload,
        ]
    }
}

/// What the peer's CREATE_CHILD_SA exchange wants, until the last of its key exchanges.
struct PendingFollowUp: Sendable {
    enum Goal: Sendable {
        /// A child, and the SPI of the one it replaces in its packets towards the peer.
        case child(ProposedChild, replacing: SPI?)
        case ikeSA(ProposedIKESA)
    }
    /// Names the state in the peer's next request.
    var link: [UInt8]
    /// Our SPI of the IKE SA.
    var spi: UInt64
    var remaining: [KeyExchangeID]
    var secrets: [Secret] = []
    var begun: Instant
    var goal: Goal
}

extension IKESession {
    /// Exchanges of the peer that may be half done at once, and for how long.
    static let maximumFollowUps = 8
    static let followUpLifetime = Duration.seconds(60)
    private static let linkOctets = 16

    /// Keeps what the peer wants until its further key exchanges are done; returns the notification that links to it.
    mutating func keep(
        _ goal: PendingFollowUp.Goal, _ further: [KeyExchangeID], on spi: UInt64, _ context: inout Context
    ) -> Payload {
        let now = context.now
        while let oldest = followUps.first,
            followUps.count >= IKESession.maximumFollowUps || now - oldest.begun > IKESession.followUpLifetime
        {
            discard(followUps.removeFirst(), &context)
        }
        let link = context.environment.randomness.octets(IKESession.linkOctets)
        followUps.append(PendingFollowUp(link: link, spi: spi, remaining: further, begun: now, goal: goal))
        return NotifyPayload(.additionalKeyExchange, data: link).payload
    }

    /// Forgets exchanges that are half done.
    mutating func discardFollowUps(_ context: inout Context) {
        for followUp in followUps { discard(followUp, &context) }
        followUps = []
    }

    private func discard(_ followUp: PendingFollowUp, _ context: inout Context) {
        if case .child(let proposed, _) = followUp.goal { context.giveBack(proposed.inboundSPI) }
    }

    /// Answers IKE_FOLLOWUP_KE; the last one brings about what CREATE_CHILD_SA wanted.
    mutating func answerFollowUp(
        _ content: MessageContent, on spi: UInt64, _ context: inout Context
    ) throws(Fault) -> [Payload] {
        guard let sa = current, sa.ownSPI == spi else { throw .temporary("the IKE SA is being replaced") }
        guard let link = content.notification(.additionalKeyExchange),
            let index = followUps.firstIndex(where: { $0.spi == spi && ConstantTime.equal($0.link, link.data) }),
            let group = followUps[index].remaining.first
        else { throw .stateNotFound }
        var followUp = followUps.remove(at: index)
        do throws(Fault) {
            let keyExchange = try content.required(content.keyExchange, "KE")
            guard keyExchange.group == group else {
                throw .violation("the key exchange is not the next that was agreed on")
            }
            let (value, secret) = try answer(group, keyExchange.value, &context)
            var payloads = [KeyExchangePayload(group: group, value: value).payload]
            followUp.remaining.removeFirst()
            followUp.secrets.append(secret)
            if followUp.remaining.isEmpty {
                switch followUp.goal {
                case .child(let proposed, let old):
                    try complete(proposed, replacing: old, further: followUp.secrets, sa, &context)
                case .ikeSA(let proposed): try complete(proposed, further: followUp.secrets, sa, &context)
                }
            } else {
                followUp.link = context.environment.randomness.octets(IKESession.linkOctets)
                payloads.append(NotifyPayload(.additionalKeyExchange, data: followUp.link).payload)
                followUps.append(followUp)
            }
            return payloads
        } catch {
            discard(followUp, &context)
            throw error
        }
    }
}
