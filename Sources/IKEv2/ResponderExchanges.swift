import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// What the responder keeps between IKE_SA_INIT and IKE_AUTH. Configuration is looked up anew when it is needed.
struct Acceptance: Sendable {
    var proofs: ProofKeys
    var initiatorNonce: [UInt8]
    var responderNonce: [UInt8]
    /// RealMessage1 and RealMessage2.
    var request: [UInt8]
    var response: [UInt8]
    /// What the initiator said of signatures.
    var support: SignatureSupport
    /// Key exchanges that precede IKE_AUTH.
    var remaining: [KeyExchangeID]
    /// The initiator offers post-quantum keys; and the keys with the one in them that it named.
    var peerTakesPPK: Bool
    var mixed: MixedKeys?
    var intermediateKey = IntermediateKey.none
    /// What the session is resumed with.
    var ticket: Ticket?
    var transcript = IntermediateTranscript()
}

/// An IKE_AUTH request that waits for the credential store.
struct PendingAuthentication: Sendable {
    var content: MessageContent
    var header: Header
    var datagram: Datagram
    var localIdentity: Identity
}

/// IKE_SA_INIT from the responder's side.
extension IKESession {
    /// The first message. Whatever is wrong with it, the session answers as RFC 7296 §2.21.1 allows and ends.
    mutating func receiveInitial(
        request payloads: [Payload], _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        do throws(Fault) {
            guard header.flags.contains(.initiator), !header.flags.contains(.response), header.responder.isZero,
                !header.initiator.isZero
            else { throw .unexpected("not a first request of IKE_SA_INIT") }
            context.trace(
                outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: payloads, inner: [])
            let content = try MessageContent(payloads)
            if header.exchange == .ikeSessionResume {
                try acceptResumption(content, header, datagram, &context)
            } else {
                try accept(content, header, datagram, &context)
            }
        } catch {
            if let notification = error.notification {
                let answer = Header(
                    initiator: header.initiator, responder: .zero, majorVersion: 2, exchange: header.exchange,
                    flags: [.response])
                let message = Message(header: answer, payloads: [notification.payload])
                context.trace(
                    outgoing: true, datagram.local, datagram.remote, message.octets, clear: message.payloads,
                    inner: [])
                context.send([message.octets], from: datagram.local, to: datagram.remote)
            }
            fail(error.refusal, &context)
        }
    }

    private mutating func accept(
        _ content: MessageContent, _ header: Header, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        let offers = try content.required(content.offers, "SA")
        let keyExchange = try content.required(content.keyExchange, "KE")
        let nonce = try content.required(content.nonce, "Nonce")
        local = datagram.local
        remote = datagram.remote
        let candidates = context.environment.policies.candidates(
            local: local.address, remote: remote.address, version: .v2)
        guard !candidates.isEmpty else { throw .noConnection(local: local.address, remote: remote.address) }
        try redirectInitial(candidates[0], content, nonce: nonce)
        let takesIntermediate = content.notification(.intermediateSupported) != nil
        let (suite, offer) = try choose(
            offers.filter { $0.spi.isEmpty }, candidates, takesIntermediate: takesIntermediate)
        guard let group = suite.keyExchange else { throw .violation("a proposal for an IKE SA has a key exchange") }
        guard keyExchange.group == group else { throw .otherGroup(group) }

        let initiatorSPI = header.initiator.value
        let spi = context.environment.freshIKESPI()
        let ownNonce = context.environment.randomness.octets(IKESession.nonceOctets)
        let (value, sharedSecret) = try answer(group, keyExchange.value, &context)
        let (keys, proofs) = try KeySchedule.initial(
            suite, sharedSecret: sharedSecret,
            KeySchedule.Public(
                initiatorNonce: nonce, responderNonce: ownNonce, initiatorSPI: initiatorSPI, responderSPI: spi))
        let isForced = context.settings.claimsNAT(candidates[0])
        var payloads = [
            ProposalPayload.answer(suite, to: offer, spi: []),
            KeyExchangePayload(group: group, value: value).payload,
            Payload(.nonceV2, body: ownNonce),
        ]
        let detected = try NATTraversal.detect(content, initiatorSPI, 0, local: local, remote: remote)
        if detected != nil {
            payloads += try NATTraversal.notifications(
                initiatorSPI, spi, local: local, remote: remote, isForced: isForced)
        }
        let takesFragments =
            content.notification(.fragmentationSupported) != nil && candidates[0].fragmentation != .no
        let takesKeyEarly =
            takesIntermediate && content.notification(.usePPKIntermediate) != nil
            && candidates.allSatisfy(\.mixesKeyEarly)
        let takesPPK = !takesKeyEarly && content.notification(.usePPK) != nil
        if takesKeyEarly { payloads.append(NotifyPayload(.usePPKIntermediate).payload) }
        if takesPPK { payloads.append(NotifyPayload(.usePPK).payload) }
        if candidates[0].childless != .never { payloads.append(NotifyPayload(.childlessSupported).payload) }
        if takesFragments { payloads.append(NotifyPayload(.fragmentationSupported).payload) }
        if takesKeyEarly || takesIntermediate && !suite.furtherKeyExchanges.isEmpty {
            payloads.append(NotifyPayload(.intermediateSupported).payload)
        }
        payloads += signatureOffers(candidates, content)
        if context.settings.takesFurtherRounds, candidates.contains(where: \.hasFurtherRounds) {
            payloads.append(NotifyPayload(.multipleAuthenticationSupported).payload)
        }
        payloads += candidates[0].announcementPayloads
        let answer = Header(
            initiator: header.initiator, responder: Cookie(spi), majorVersion: 2, exchange: .ikeSAInit,
            flags: [.response])
        let octets = Message(header: answer, payloads: payloads).octets

        adopt(detected, isForced: isForced, &context)
        var sa = IKESA(
            initiatorSPI: initiatorSPI, responderSPI: spi, isInitiator: false, suite: suite, keys: keys,
            nextIV: context.environment.randomness.uint64(),
            peerTakesFragments: takesFragments && candidates[0].cutsMessages)
        sa.expectedRequestID = 1
        associations = [sa]
        sa.disclose(&context)
        var acceptance = Acceptance(
            proofs: proofs, initiatorNonce: nonce, responderNonce: ownNonce, request: datagram.octets,
            response: octets, support: SignatureSupport(content), remaining: suite.furtherKeyExchanges,
            peerTakesPPK: takesPPK)
        if takesKeyEarly { acceptance.intermediateKey = .agreed }
        phase = .awaitingAuthenticationRequest(acceptance)
        context.emit(.claim(spi: spi))
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        context.trace(outgoing: true, local, remote, octets, clear: payloads, inner: [])
        context.send([octets], from: local, to: remote)
    }

    /// Which authorities and hashes we take, where a connection that this peer may be wants signatures (RFC 7296 §1.2,
    /// RFC 7427 §4).
    private func signatureOffers(_ candidates: [Connection], _ content: MessageContent) -> [Payload] {
        guard candidates.contains(where: \.usesSignatures) else { return [] }
        var payloads: [Payload] = []
        if content.notification(.signatureHashAlgorithms) != nil, candidates.contains(where: \.offersHashes) {
            payloads.append(SignatureSupport.notification.payload)
        }
        var seen: Set<[UInt8]> = []
        let hashes = candidates.flatMap(\.requestedAuthorities).filter { seen.insert($0).inserted }
            .prefix(CertificateRequestPayload.initialMaximumCount)
        if !hashes.isEmpty { payloads.append(CertificateRequestPayload.payload(Array(hashes))) }
        payloads += candidates.first { !$0.lookupPayloads.isEmpty }?.lookupPayloads ?? []
        if candidates.contains(where: \.asksForPublicKey) {
            payloads.append(CertificateRequestPayload.publicKeyPayload)
        }
        if candidates.contains(where: \.asksForStatuses) {
            payloads.append(CertificateRequestPayload.statusPayload(Array(hashes)))
        }
        return payloads
    }

    /// The first candidate connection with which a proposal can be agreed.
    private func choose(
        _ offers: [OfferedProposal], _ candidates: [Connection], takesIntermediate: Bool
    ) throws(Fault) -> (Suite, OfferedProposal) {
        let understood = offers.filter(\.isUnderstood)
        var first: Mismatch?
        for candidate in candidates {
            // Without IKE_INTERMEDIATE there is one key exchange only (RFC 9370 §2.2.2).
            let configured =
                takesIntermediate
                ? candidate.proposals : candidate.proposals.compactMap(\.withoutAdditionalKeyExchanges)
            switch Proposal.select(configured: configured, offered: understood.map(\.proposal)) {
            case .success(let selection): return (selection.suite, understood[selection.offer])
            case .failure(let refused): first = first ?? refused.mismatch
            }
        }
        guard let first else { throw .noConnection(local: local.address, remote: remote.address) }
        throw .noProposal(.ike, first)
    }
}
