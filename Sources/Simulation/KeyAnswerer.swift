import Credentials
import Cryptography
import IPsec
import Primitives

/// Answers a node's questions with one pre-shared key for every peer, as a credential store would, and with the node's key
/// pairs.
struct KeyAnswerer: Sendable {
    var key: Secret
    var pairs = CredentialStore()
    /// Whether its own users give passwords that are not theirs.
    var hasWrongPassword = false

    func answer(_ question: Question) -> Answer {
        do {
            switch question {
            case .prove(let prf, _, _, let octets): return .proof(try proof(prf, octets))
            case .verify(let prf, _, let remote, let octets, let claimed):
                return ConstantTime.equal(try proof(prf, octets), claimed)
                    ? .verified(PeerAuthenticated(verified: remote)) : .refuted
            // Every post-quantum key has the same octets.
            case .mix:
                let shared = SharedKey(identities: [], secret: key, isPostquantum: true)
                return SharedKeyStore([shared]).answer(question)
            case .seed(let prf, _, _, let octets):
                return .seed(try PseudorandomFunction.derive(prf, key: key, [.open(octets)]))
            case .relayUser: return .relayed(.unreachable)
            case .tunnel: return .noCredential
            // Every user's password is its name.
            case .checkPassword(let password, let user):
                return password == Secret(user.octets) ? .verified(PeerAuthenticated(verified: user)) : .refuted
            case .password(let user, _): return .password(Secret(hasWrongPassword ? [0] : user.octets))
            case .judgeUser(let proof, let user):
                return UserStore([SharedKey(identities: [.exactly(user)], secret: Secret(user.octets))])
                    .judge(proof, of: user)
            case .proveUser(let challenge, let user, _):
                return UserAnswer(challenge, password: Secret(user.octets)).map { .user($0) } ?? .noCredential
            case .sign, .verifySignature, .encrypt, .decrypt: return pairs.answer(question, now: WallTime(seconds: 0))
            case .signMessage, .verifyMessage, .signDigest, .verifyDigest: return .noCredential
            }
        } catch {
            return .noCredential
        }
    }

    /// AUTH = prf(prf(shared key, "Key Pad for IKEv2"), octets) (RFC 7296 §2.15).
    private func proof(_ prf: PRFID, _ octets: [UInt8]) throws(CryptographyError) -> [UInt8] {
        let pad = try PseudorandomFunction.derive(prf, key: key, [.open(Array("Key Pad for IKEv2".utf8))])
        return try PseudorandomFunction.compute(prf, key: pad, [.open(octets)])
    }
}
