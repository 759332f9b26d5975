import Cryptography
import IPsec
import ISAKMP
import Primitives

// An end that stays anonymous (RFC 7619): AUTH shows no more than that it has the keys of this IKE SA,
//
//     AUTH = prf(prf(SK_px, "Key Pad for IKEv2"), octets),
//
// as where EAP makes no key (RFC 7296 §2.16).

extension SignatureMethod {
    /// NULL Authentication (RFC 7619 §2.1).
    static let null = SignatureMethod(rawValue: 13)
}

extension AuthenticationPayload {
    var isNull: Bool { method == SignatureMethod.null.rawValue }
}

extension IKESession {
    /// Our own AUTH where we stay anonymous, in the form of the credential store's answer; `nil` where we do not.
    ///
    /// - Parameter key: SK_pi as initiator, SK_pr as responder.
    func anonymousProof(
        _ round: AuthenticationRound, _ prf: PRFID, _ key: Secret, _ octets: [UInt8]
    ) throws(Fault) -> Answer? {
        guard round.method == .null else { return nil }
        return .signedMessage(MessageProof(method: .null, data: try UserKey.proof(prf, key, octets)))
    }

    /// The judgement over the AUTH of a peer that may stay anonymous; `nil` where it may not. Whatever it calls itself, nobody has
    /// shown to be that.
    func judgeAnonymous(
        _ round: AuthenticationRound, _ prf: PRFID, _ key: Secret, _ octets: [UInt8],
        _ authentication: AuthenticationPayload?,
        proof: [UInt8]
    ) throws(Fault) -> Answer? {
        guard round.method == .null else { return nil }
        guard let authentication, authentication.isNull,
            ConstantTime.equal(proof, try UserKey.proof(prf, key, octets))
        else { return .refuted }
        return .verified(PeerAuthenticated(verified: .null))
    }
}

extension Identity {
    /// The identity that an address is leased to: all who are anonymous look alike, and none has a right to another's address.
    func leaseHolder(_ session: SessionID) -> Identity {
        guard kind == .null else { return self }
        return Identity(.null, octets: (0..<8).map { UInt8(truncatingIfNeeded: session.value >> (56 - 8 * $0)) })
    }
}
