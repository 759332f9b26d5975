import Cryptography
import IPsec
import ISAKMP
import Primitives

/// IKE_INTERMEDIATE (RFC 9242): exchanges between IKE_SA_INIT and IKE_AUTH, protected by the keys so far. Each carries one
/// additional key exchange and changes the keys for what follows (RFC 9370 §2.2.2).
///
///     HDR, SK {KEi(n)}  -->
///                       <--  HDR, SK {KEr(n)}
extension IKESession {
    // MARK: Initiator

    /// Begins the next additional key exchange, with a post-quantum key in the last one; behind that IKE_AUTH follows.
    mutating func proceed(_ initiation: Initiation, _ context: inout Context) throws(Fault) {
        guard let sa = current else { return }
        var initiation = initiation
        var payloads: [Payload] = []
        if initiation.remaining.count <= 1 {
            switch initiation.intermediateKey {
            case .agreed: return try askConfirmation(initiation, &context)
            case .confirmed(let confirmation):
                guard let name = connection?.postquantumKey else { break }
                let offer = PPKOffer(name: name, confirmation: confirmation)
                payloads.append(NotifyPayload(.ppkIdentityKey, data: offer.data).payload)
            case .none, .mixed: break
            }
        }
        if let group = initiation.remaining.first {
            let keyPair = try generate(group, &context)
            payloads.insert(KeyExchangePayload(group: group, value: keyPair.publicValue).payload, at: 0)
            initiation.keyPair = keyPair
        }
        guard !payloads.isEmpty else { return try mix(initiation, &context) }
        try initiation.transcript.append(
            IntermediateTranscript.content(sa, messageID: sa.nextRequestID, isResponse: false, payloads),
            fromInitiator: true, sa.suite, initiation.proofs)
        phase = .awaitingIntermediateResponse(initiation)
        try request(sa.ownSPI, .ikeIntermediate, payloads, .intermediate, &context)
    }

    mutating func receiveIntermediate(response content: MessageContent, _ context: inout Context) {
        guard case .awaitingIntermediateResponse(var initiation) = phase, let sa = current else { return }
        if let error = content.error {
            fail(.peer(notification: error.type.rawValue, name: error.type.name), &context)
            return
        }
        do throws(Fault) {
            try initiation.transcript.append(content.transcript, fromInitiator: false, sa.suite, initiation.proofs)
            if let keyPair = initiation.keyPair {
                let keyExchange = try content.required(content.keyExchange, "KE")
                guard keyExchange.group == keyPair.group else {
                    throw .violation("the key exchange is not the one that was begun")
                }
                let (keys, proofs) = try KeySchedule.intermediate(
                    sa.suite, after: sa.keys, sharedSecret: try combine(keyPair, keyExchange.value),
                    contributions(sa, initiation.initiatorNonce, initiation.responderNonce))
                replaceKeys(keys, &context)
                initiation.proofs = proofs
                initiation.remaining.removeFirst()
                initiation.keyPair = nil
            }
            if try takeIntermediateKey(content, &initiation, &context) { return }
            try proceed(initiation, &context)
        } catch {
            fail(error.refusal, &context)
        }
    }

    // MARK: Responder

    mutating func answerIntermediate(
        _ acceptance: Acceptance, _ content: MessageContent, _ header: Header, _ datagram: Datagram,
        _ context: inout Context
    ) throws(Fault) {
        guard let sa = current, !acceptance.remaining.isEmpty || acceptance.intermediateKey == .agreed else {
            throw .violation("no further key exchange was agreed on")
        }
        var acceptance = acceptance
        var pending = PendingIntermediate(
            header: header, datagram: datagram, transcript: content.transcript, payloads: [], keys: sa.keys,
            proofs: acceptance.proofs, offers: [])
        if let group = acceptance.remaining.first {
            let keyExchange = try content.required(content.keyExchange, "KE")
            guard keyExchange.group == group else {
                throw .violation("the key exchange is not the next that was agreed on")
            }
            let (value, secret) = try answer(group, keyExchange.value, &context)
            pending.payloads = [KeyExchangePayload(group: group, value: value).payload]
            (pending.keys, pending.proofs) = try KeySchedule.intermediate(
                sa.suite, after: sa.keys, sharedSecret: secret,
                contributions(sa, acceptance.initiatorNonce, acceptance.responderNonce))
            acceptance.remaining.removeFirst()
        }
        if acceptance.intermediateKey == .agreed, acceptance.remaining.isEmpty {
            pending.offers = takeableOffers(content, context)
            if try askIntermediateKey(acceptance, pending, &context) { return }
        }
        try conclude(pending, acceptance, mixed: nil, &context)
    }
}

/// What both ends authenticate of their IKE_INTERMEDIATE exchanges (RFC 9242 §3.3.2), n counted from 1:
///
///     IntAuth_i(n) = prf(SK_pi(n), IntAuth_i(n-1) | IntAuth_i(n)A | IntAuth_i(n)P), and likewise for the responder
///     IntAuth = IntAuth_iN | IntAuth_rN | IKE_AUTH's message ID
///
/// SK_p(n) are the keys before the exchange; A is the header with that of the Encrypted payload, their lengths such as if
/// nothing had been added for protection; P is the plaintext without padding.
struct IntermediateTranscript: Sendable {
    private var initiator: [UInt8] = []
    private var responder: [UInt8] = []

    /// Adds a message's ``content(_:first:_:)``.
    mutating func append(
        _ content: [UInt8], fromInitiator: Bool, _ suite: Suite, _ proofs: ProofKeys
    ) throws(Fault) {
        let before = fromInitiator ? initiator : responder
        let key = fromInitiator ? proofs.initiator : proofs.responder
        let chained = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.compute(suite.prf ?? .hmacSHA256, key: key, [.open(before + content)])
        }
        if fromInitiator { initiator = chained } else { responder = chained }
    }

    /// IntAuth; empty where no such exchange took place.
    func octets(authenticationID: UInt32) -> [UInt8] {
        guard !initiator.isEmpty else { return [] }
        var octets = initiator + responder
        octets.append(bigEndian: authenticationID)
        return octets
    }

    /// A and P of a message: `header` begins the datagram, or any of its fragments.
    static func content(_ header: [UInt8], first: PayloadType, _ plaintext: [UInt8]) -> [UInt8] {
        var octets = Array(header.prefix(Header.octetCount))
        octets[16] = PayloadType.encrypted.rawValue
        let inner = plaintext.count + Payload.headerOctets
        octets.overwrite(bigEndian: UInt32(truncatingIfNeeded: Header.octetCount + inner), at: 24)
        octets += [first.rawValue, 0]
        octets.append(bigEndian: UInt16(truncatingIfNeeded: inner))
        return octets + plaintext
    }

    /// The same of a message of our own.
    static func content(
        _ sa: IKESA, messageID: UInt32, isResponse: Bool, _ payloads: [Payload]
    ) -> [UInt8] {
        var header: [UInt8] = []
        sa.header(.ikeIntermediate, messageID: messageID, isResponse: isResponse).write(to: &header)
        var plaintext: [UInt8] = []
        PayloadChain.write(payloads, to: &plaintext)
        return content(header, first: payloads.first?.type ?? .none, plaintext)
    }
}
