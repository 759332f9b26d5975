import Cryptography
import IPsec
import ISAKMP
import Primitives

/// A post-quantum pre-shared key (RFC 8784) in the keys of an IKE SA. The key itself stays with the credential store.
///
///     SK_d = prf+(PPK, SK_d'), SK_pi = prf+(PPK, SK_pi'), SK_pr = prf+(PPK, SK_pr')
struct MixedKeys: Sendable {
    /// SK_d.
    var derivation: Secret
    var proofs: ProofKeys

    init?(_ answer: Answer) {
        guard case .mixed(let keys, _) = answer, keys.count == 3 else { return nil }
        derivation = keys[0]
        proofs = ProofKeys(initiator: keys[1], responder: keys[2])
    }
}

/// N(PPK_IDENTITY): a type and the identity (RFC 8784 §5.1).
enum PPKIdentity {
    /// PPK_ID_FIXED.
    private static let fixed: UInt8 = 2

    static func data(_ identity: Identity) -> [UInt8] { [fixed] + identity.octets }

    static func parse(_ data: [UInt8]) -> Identity? {
        guard data.first == fixed, (2...256).contains(data.count) else { return nil }
        return Identity(.keyID, octets: Array(data.dropFirst()))
    }
}

extension IKESession {
    // MARK: Initiator

    /// Asks for the keys with the PPK in them, where both ends can; else goes on without.
    mutating func mix(_ initiation: Initiation, _ context: inout Context) throws(Fault) {
        guard let sa = current, let prf = sa.suite.prf, initiation.peerTakesPPK,
            let identity = connection?.postquantumKey
        else { return try askOwnProof(initiation, &context) }
        let question = context.environment.freshQuestionID()
        context.emit(.ask(question, .mix(prf, key: identity, into: mixable(sa, initiation.proofs))))
        phase = .awaitingMixedKeys(initiation, question)
    }

    private func mixable(_ sa: IKESA, _ proofs: ProofKeys) -> [Secret] {
        [sa.keys.derivation(sa.suite), proofs.initiator, proofs.responder]
    }

    mutating func receiveMixedKeys(
        _ answer: Answer, _ initiation: Initiation, _ context: inout Context
    ) throws(Fault) {
        switch initiation.intermediateKey {
        case .agreed: return try receiveConfirmation(answer, initiation, &context)
        case .confirmed: return try receiveIntermediateKey(answer, initiation, &context)
        case .none, .mixed: break
        }
        var initiation = initiation
        initiation.mixed = MixedKeys(answer)
        if initiation.mixed == nil, connection?.requiresPostquantumKey == true {
            fail(.policy("no post-quantum key is known under the name that ppk_id gives"), &context)
            return
        }
        try askOwnProof(initiation, &context)
    }

    /// What the response says of the PPK: `false` where the SA must not stand.
    func settlePPK(_ content: MessageContent, _ initiation: inout Initiation) -> Bool {
        if content.notification(.ppkIdentity) == nil {
            initiation.mixed = nil
            if case .mixed = initiation.intermediateKey { return true }
            return connection?.requiresPostquantumKey != true
        }
        return initiation.mixed != nil
    }

    // MARK: Responder

    /// Asks for the keys with the PPK that an IKE_AUTH request names. `false` where it goes on without one.
    mutating func askMixedKeys(
        _ acceptance: Acceptance, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) -> Bool {
        guard let sa = current, let prf = sa.suite.prf, let connection else { return false }
        let named = pending.content.notification(.ppkIdentity).flatMap { PPKIdentity.parse($0.data) }
        guard acceptance.peerTakesPPK, let named,
            connection.postquantumKey.map({ $0.octets == named.octets }) ?? true
        else { return false }
        let question = context.environment.freshQuestionID()
        context.emit(.ask(question, .mix(prf, key: named, into: mixable(sa, acceptance.proofs))))
        phase = .awaitingInitiatorsMixedKeys(acceptance, question, pending)
        return true
    }

    mutating func receiveMixedKeys(
        _ answer: Answer, _ acceptance: Acceptance, _ pending: PendingAuthentication, _ context: inout Context
    ) throws(Fault) {
        var acceptance = acceptance
        acceptance.mixed = MixedKeys(answer)
        try verifyInitiator(acceptance, pending, &context)
    }

    /// The proof of an IKE_AUTH request that counts: without the PPK it is the one that was made without
    /// (RFC 8784 §3); `nil` where there is none, or none may count.
    func effectiveProof(_ acceptance: Acceptance, _ content: MessageContent) -> [UInt8]? {
        if case .mixed(let name) = acceptance.intermediateKey {
            // Only now it is known who the peer is, and which key it should have.
            let isRight = connection?.postquantumKey.map { $0.octets == name.octets } ?? true
            return isRight ? content.authentication?.proof : nil
        }
        if acceptance.mixed != nil { return content.authentication?.proof }
        if connection?.requiresPostquantumKey == true { return nil }
        guard content.notification(.ppkIdentity) != nil else { return content.authentication?.proof }
        return content.notification(.noPPKAuthentication)?.data
    }

    /// Keys of children and successors come from the mixed SK_d from now on.
    mutating func adopt(_ mixed: MixedKeys?) {
        guard let mixed, !associations.isEmpty else { return }
        associations[0].keys = associations[0].keys.replacing(
            derivation: mixed.derivation, associations[0].suite)
    }
}
