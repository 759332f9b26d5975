import Cryptography
package import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives
import SKEME

/// What phase 1 asks of the keeper of keys, and how it goes on when that answers.
extension IKEv1Session {
    func ask(
        _ question: Question, for purpose: Negotiation.Purpose, _ negotiation: inout Negotiation,
        _ context: inout Context
    ) {
        let id = context.environment.freshQuestionID()
        negotiation.question = id
        negotiation.purpose = purpose
        context.emit(.ask(id, question))
    }

    /// Public value and nonce of the peer are there: get SKEYID, by a question where it takes a pre-shared key.
    mutating func seek(
        local: Identity, remote: Identity, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard let prf = suite?.prf else { throw .dropped("no suite yet") }
        guard negotiation.method.seed == .preSharedKey else {
            try deriveKeys(nil, &negotiation, &context)
            try haveKeys(&negotiation, &context)
            return
        }
        let nonces = nonces(negotiation)
        ask(
            .seed(
                prf, local: local, remote: remote,
                octets: PreSharedKey.seed(initiatorNonce: nonces.initiator, responderNonce: nonces.responder)),
            for: .seed, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    private func nonces(_ negotiation: Negotiation) -> (initiator: [UInt8], responder: [UInt8]) {
        isInitiator ? (negotiation.ownNonce, negotiation.peerNonce) : (negotiation.peerNonce, negotiation.ownNonce)
    }

    /// Main Mode does not know the peer's identity when it needs the key: an initiator may name the one that it wants,
    /// a responder has addresses only (RFC 2409 §5.4).
    var seedIdentities: (local: Identity, remote: Identity) {
        var remoteIdentity = Identity(remote.address)
        if isInitiator, let wanted = connection?.remoteIdentity.identity { remoteIdentity = wanted }
        return (isInitiator ? localIdentity ?? Identity(local.address) : Identity(local.address), remoteIdentity)
    }

    /// An answer has come.
    mutating func receive(_ answer: Answer, to question: QuestionID, _ context: inout Context) throws(Fault) {
        guard case .negotiating(var negotiation) = phase, negotiation.question == question,
            let purpose = negotiation.purpose
        else { return }
        negotiation.question = nil
        negotiation.purpose = nil
        phase = .negotiating(negotiation)
        let before = self
        do throws(Fault) {
            switch (purpose, answer) {
            case (.seed, .seed(let seed)): try receive(seed: seed, negotiation, &context)
            case (.signing, .signature(let signature)):
                try say(Payload(.signature, body: signature), &negotiation, &context)
            case (.signing, .signedDigest(let proof)):
                if connection?.showsCertificates != false {
                    negotiation.ownCertificates = IKEv1Session.certificatePayloads(proof.certificates)
                }
                try say(Payload(.signature, body: proof.signature), &negotiation, &context)
            case (.verifying(let received), .distrusted(let report)):
                try distrust(received, report, negotiation, &context)
            case (.verifying(let received), .verified(let peer)) where peer.identity == received.peer:
                try take(received, provedBy: peer, negotiation, &context)
            case (.verifying(let received), _): try suspect(received, negotiation, &context)
            case (.encrypting, .encrypted(let ciphertexts)):
                try sayHalf(ciphertexts, negotiation, &context)
            case (.decrypting(let received), .decrypted(let messages)):
                try receiveHalf(messages, received, negotiation, &context)
            case (.seed, _), (.signing, _), (.encrypting, _), (.decrypting, _): lackCredential(negotiation, &context)
            }
        } catch {
            switch error {
            case .refused(let refusal, let notification):
                if let notification { sendClear(notification, &context) }
                failPhaseOne(refusal, &context)
            case .dropped(let rule):
                // The message for which it was asked has no effect, and no question stays open for it.
                context.rollBack()
                context.note("dropped: \(rule)")
                self = before
            }
        }
    }

    private mutating func lackCredential(_ negotiation: Negotiation, _ context: inout Context) {
        if negotiation.isAggressive, !isInitiator { sendClear(NotificationType.authenticationFailed, &context) }
        let isNamed = negotiation.isAggressive || negotiation.isBase
        let ends = isNamed ? (localIdentity, remoteIdentity) : (nil, nil)
        failPhaseOne(
            .noCredential(local: ends.0 ?? seedIdentities.local, remote: ends.1 ?? seedIdentities.remote), &context)
    }

    /// SKEYID is there: derive the keys, then go on where it was missing.
    private mutating func receive(
        seed: Secret, _ current: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        if negotiation.isBase {
            negotiation.seed = seed
            try continueBase(negotiation, &context)
            return
        }
        try deriveKeys(seed, &negotiation, &context)
        let early = negotiation.isAggressive ? nil : negotiation.early
        if !negotiation.isAggressive { negotiation.early = nil }
        try haveKeys(&negotiation, &context)
        if let early { try receive(early, &context) }
    }

    /// The keys are there: whose turn it is goes on.
    mutating func haveKeys(_ negotiation: inout Negotiation, _ context: inout Context) throws(Fault) {
        if negotiation.isAggressive {
            try continueAggressive(negotiation, &context)
        } else if isInitiator {
            try prove(&negotiation, &context)
        } else {
            phase = .negotiating(negotiation)
        }
    }

    /// g^xy, the keys of SKEYID, and the first IV.
    ///
    /// - Parameter seed: SKEYID; `nil` where it is made of g^xy (RFC 2409 §5, signatures).
    func deriveKeys(
        _ seed: Secret?, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard let pair = negotiation.keyPair, let suite, let prf = suite.prf else {
            throw .dropped("no key exchange yet")
        }
        let peerValue = negotiation.peerPublicValue
        let shared: Secret
        do throws(OakleyError) {
            shared = try KeyDetermination.sharedSecret(pair, peer: peerValue)
        } catch {
            guard negotiation.method.base == .revisedRSAEncryption else {
                throw .refused(
                    .protocolViolation("key exchange: \(error)"), notification: NotificationType.invalidKeyInformation)
            }
            // The value was encrypted with a key that came from the nonce, so that it shows whether the nonce's padding
            // held. Nobody learns that: the proofs will not match, and that is all.
            shared = Secret.random(pair.publicValue.count, &context.environment.randomness)
        }
        let nonces = nonces(negotiation)
        let skeyid = try Attempt.cryptography { () throws(CryptographyError) in
            if let seed { return seed }
            return try SignatureKey.seed(
                prf, initiatorNonce: nonces.initiator, responderNonce: nonces.responder, sharedSecret: shared)
        }
        let keys = try PhaseOneKeys(
            suite: suite, seed: skeyid, sharedSecret: shared, initiator: initiatorCookie.octets,
            responder: responderCookie.octets)
        let values = isInitiator ? (pair.publicValue, peerValue) : (peerValue, pair.publicValue)
        negotiation.seed = skeyid
        negotiation.keys = keys
        if context.settings.disclosesKeys { context.emit(.disclose(disclosed(keys, suite))) }
        negotiation.chain = CipherChain(
            iv: try keys.firstIV(initiatorPublicValue: values.0, responderPublicValue: values.1))
    }
    private func disclosed(_ keys: PhaseOneKeys, _ suite: Suite) -> DisclosedKeys {
        let material = KeyMaterial(encryption: keys.encryptionKey, integrity: nil)
        return DisclosedKeys(
            version: 1, initiatorSPI: initiatorCookie, responderSPI: responderCookie, suite: suite,
            initiator: material, responder: material)
    }

    package func disclosedKeys(_ settings: EngineSettings) -> [DisclosedKeys] {
        guard settings.disclosesKeys, let suite else { return [] }
        switch phase {
        case .negotiating(let negotiation): return negotiation.keys.map { [disclosed($0, suite)] } ?? []
        case .established(let phaseOne): return [disclosed(phaseOne.keys, suite)]
        case .awaitingCommand, .bereft, .closed: return []
        }
    }
}
