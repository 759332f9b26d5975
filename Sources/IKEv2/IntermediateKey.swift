import Cryptography
import IPsec
import ISAKMP
import Primitives

/// How a post-quantum pre-shared key gets into the keys before IKE_AUTH (RFC 9867), so that identities are protected by it
/// as well. RFC 8784's way, which mixes it into IKE_AUTH's proofs and the children's keys only, is ``MixedKeys``.
///
///     HDR, SK {[KEi(n),] N(PPK_IDENTITY_KEY)}  -->
///                                              <--  HDR, SK {[KEr(n),] N(PPK_IDENTITY)}
///
/// in the last IKE_INTERMEDIATE exchange. Behind it
///
///     SKEYSEED' = prf+(PPK, SK_d), and from there as for a first IKE SA
enum IntermediateKey: Hashable, Sendable {
    case none
    /// Both ends said that they can.
    case agreed
    /// The initiator has the key, and shows it by this.
    case confirmed([UInt8])
    /// The key of this name is in the keys.
    case mixed(Identity)

    var isMixed: Bool {
        if case .mixed = self { true } else { false }
    }

    /// Keys of the initiator's that are looked at.
    static let maximumOffers = 4
}

/// N(PPK_IDENTITY_KEY): an identity as in N(PPK_IDENTITY), and the confirmation that the key is the same (RFC 9867 §3.1):
///
///     PPK Confirmation = prf(PPK, Ni | Nr | SPIi | SPIr), its first 8 octets
struct PPKOffer: Hashable, Sendable {
    static let confirmationOctets = 8

    var name: Identity
    var confirmation: [UInt8]

    var data: [UInt8] { PPKIdentity.data(name) + confirmation }

    init(name: Identity, confirmation: [UInt8]) {
        self.name = name
        self.confirmation = confirmation
    }

    /// `nil` where the data is no offer.
    init?(_ data: [UInt8]) {
        guard data.count > PPKOffer.confirmationOctets,
            let name = PPKIdentity.parse(Array(data.dropLast(PPKOffer.confirmationOctets)))
        else { return nil }
        self.init(name: name, confirmation: Array(data.suffix(PPKOffer.confirmationOctets)))
    }
}

/// An IKE_INTERMEDIATE request that waits for the credential store.
struct PendingIntermediate: Sendable {
    var header: Header
    var datagram: Datagram
    /// What the request holds for ``IntermediateTranscript``.
    var transcript: [UInt8]
    /// Payloads of the answer, and the keys behind the key exchange that they finish, or those before it.
    var payloads: [Payload]
    var keys: IKEKeys
    var proofs: ProofKeys
    /// Offers that are still to be looked at; the first is asked about.
    var offers: [PPKOffer]
}

extension IKESession {
    // MARK: Initiator

    /// Asks for what shows that we have the key.
    mutating func askConfirmation(_ initiation: Initiation, _ context: inout Context) throws(Fault) {
        guard let sa = current, let prf = sa.suite.prf, let name = connection?.postquantumKey else { return }
        let question = context.environment.freshQuestionID()
        let seed = contributions(sa, initiation.initiatorNonce, initiation.responderNonce).seed
        context.emit(.ask(question, .mix(prf, key: name, into: [], confirming: seed)))
        phase = .awaitingMixedKeys(initiation, question)
    }

    mutating func receiveConfirmation(
        _ answer: Answer, _ initiation: Initiation, _ context: inout Context
    ) throws(Fault) {
        var initiation = initiation
        if case .mixed(_, let confirmation) = answer, confirmation.count >= PPKOffer.confirmationOctets {
            initiation.intermediateKey = .confirmed(Array(confirmation.prefix(PPKOffer.confirmationOctets)))
        } else {
            initiation.intermediateKey = .none
            if connection?.requiresPostquantumKey == true {
                return fail(.policy("no post-quantum key is known under the name that ppk_id gives"), &context)
            }
        }
        try proceed(initiation, &context)
    }

    /// The responder took the key, or goes on without. `true` where the credential store is asked for it.
    mutating func takeIntermediateKey(
        _ content: MessageContent, _ initiation: inout Initiation, _ context: inout Context
    ) throws(Fault) -> Bool {
        guard case .confirmed = initiation.intermediateKey, initiation.remaining.isEmpty, let sa = current,
            let prf = sa.suite.prf, let name = connection?.postquantumKey
        else { return false }
        guard let chosen = content.notification(.ppkIdentity) else {
            initiation.intermediateKey = .none
            guard connection?.requiresPostquantumKey != true else {
                throw .violation("the responder does not have the post-quantum key, and ppk_required wants it")
            }
            context.note("the responder does not have the post-quantum key: the SA goes without")
            return false
        }
        guard chosen.data == PPKIdentity.data(name) else {
            throw .violation("the responder chose a post-quantum key that was not offered")
        }
        let question = context.environment.freshQuestionID()
        context.emit(.ask(question, .mix(prf, key: name, into: [sa.keys.derivation(sa.suite)])))
        phase = .awaitingMixedKeys(initiation, question)
        return true
    }

    mutating func receiveIntermediateKey(
        _ answer: Answer, _ initiation: Initiation, _ context: inout Context
    ) throws(Fault) {
        guard case .mixed(let seeds, _) = answer, let seed = seeds.first, let sa = current,
            let name = connection?.postquantumKey
        else { return fail(.policy("the post-quantum key that the SA was to have is gone"), &context) }
        var initiation = initiation
        let (keys, proofs) = try KeySchedule.mixed(
            sa.suite, seed: seed, contributions(sa, initiation.initiatorNonce, initiation.responderNonce))
        replaceKeys(keys, &context)
        initiation.proofs = proofs
        initiation.intermediateKey = .mixed(name)
        try proceed(initiation, &context)
    }

    // MARK: Responder

    /// Asks for the first key that was offered and that we may take. `false` where there is none.
    mutating func askIntermediateKey(
        _ acceptance: Acceptance, _ pending: PendingIntermediate, _ context: inout Context
    ) throws(Fault) -> Bool {
        guard let sa = current, let prf = sa.suite.prf, let offer = pending.offers.first else { return false }
        let question = context.environment.freshQuestionID()
        let seed = contributions(sa, acceptance.initiatorNonce, acceptance.responderNonce).seed
        context.emit(
            .ask(
                question,
                .mix(prf, key: offer.name, into: [pending.keys.derivation(sa.suite)], confirming: seed)))
        phase = .awaitingIntermediateKey(acceptance, question, pending)
        return true
    }

    mutating func receiveIntermediateKey(
        _ answer: Answer, _ acceptance: Acceptance, _ pending: PendingIntermediate, _ context: inout Context
    ) throws(Fault) {
        guard let sa = current, let offer = pending.offers.first else { return }
        var pending = pending
        if case .mixed(let seeds, let confirmation) = answer, let seed = seeds.first,
            ConstantTime.equal(Array(confirmation.prefix(PPKOffer.confirmationOctets)), offer.confirmation)
        {
            (pending.keys, pending.proofs) = try KeySchedule.mixed(
                sa.suite, seed: seed, contributions(sa, acceptance.initiatorNonce, acceptance.responderNonce))
            return try conclude(pending, acceptance, mixed: offer.name, &context)
        }
        pending.offers.removeFirst()
        if try askIntermediateKey(acceptance, pending, &context) { return }
        try conclude(pending, acceptance, mixed: nil, &context)
    }

    /// Answers an IKE_INTERMEDIATE request; the keys behind it take over.
    mutating func conclude(
        _ pending: PendingIntermediate, _ acceptance: Acceptance, mixed name: Identity?, _ context: inout Context
    ) throws(Fault) {
        guard let sa = current else { return }
        var acceptance = acceptance
        var payloads = pending.payloads
        if let name {
            payloads.append(NotifyPayload(.ppkIdentity, data: PPKIdentity.data(name)).payload)
            acceptance.intermediateKey = .mixed(name)
        } else if acceptance.intermediateKey == .agreed, acceptance.remaining.isEmpty,
            candidates(context).allSatisfy(\.requiresPostquantumKey)
        {
            // RFC 9867 §3.1: nobody whom the peer may be goes without.
            try respond(
                sa.ownSPI, pending.header, to: pending.datagram, [NotifyPayload(.authenticationFailed).payload],
                &context)
            return fail(
                .policy("the peer shows no post-quantum key that we have, and ppk_required wants one"), &context)
        }
        try acceptance.transcript.append(pending.transcript, fromInitiator: true, sa.suite, acceptance.proofs)
        try acceptance.transcript.append(
            IntermediateTranscript.content(sa, messageID: pending.header.messageID, isResponse: true, payloads),
            fromInitiator: false, sa.suite, acceptance.proofs)
        try respond(sa.ownSPI, pending.header, to: pending.datagram, payloads, &context)
        replaceKeys(pending.keys, &context)
        acceptance.proofs = pending.proofs
        phase = .awaitingAuthenticationRequest(acceptance)
    }

    /// The offers of a request that some connection which this peer may be would take.
    func takeableOffers(_ content: MessageContent, _ context: Context) -> [PPKOffer] {
        let wanted = candidates(context).map { $0.postquantumKey?.octets }
        return content.notifications.filter { $0.type == .ppkIdentityKey }.prefix(IntermediateKey.maximumOffers)
            .compactMap { PPKOffer($0.data) }
            .filter { offer in wanted.contains { $0 == nil || $0 == offer.name.octets } }
    }

    private func candidates(_ context: Context) -> [Connection] {
        context.environment.policies.candidates(local: local.address, remote: remote.address, version: .v2)
    }

    // MARK: Both

    func contributions(_ sa: IKESA, _ initiatorNonce: [UInt8], _ responderNonce: [UInt8]) -> KeySchedule.Public {
        KeySchedule.Public(
            initiatorNonce: initiatorNonce, responderNonce: responderNonce, initiatorSPI: sa.initiatorSPI,
            responderSPI: sa.responderSPI)
    }

    /// The half-open SA goes on with other keys.
    mutating func replaceKeys(_ keys: IKEKeys, _ context: inout Context) {
        guard associations[0].keys.all != keys.all else { return }
        associations[0].keys = keys
        associations[0].disclose(&context)
    }
}
