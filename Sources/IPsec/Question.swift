package import Cryptography

/// Names a question that a key exchange asked and that awaits its answer.
package struct QuestionID: Hashable, Sendable {
    package var value: UInt64
    package init(_ value: UInt64) { self.value = value }
}

/// What a key exchange must know of keys and trust, which it never holds itself.
package enum Question: Sendable {
    /// The AUTH value that proves our own identity over `octets` (RFC 7296 §2.15):
    /// prf(prf(shared key, "Key Pad for IKEv2"), octets).
    case prove(PRFID, local: Identity, remote: Identity, octets: [UInt8])
    /// Whether `proof` proves that the peer is `remote` over `octets`, by the same equation.
    case verify(PRFID, local: Identity, remote: Identity, octets: [UInt8], proof: [UInt8])
    /// SKEYID = prf(pre-shared key, octets) (RFC 2409 §5). Main Mode does not know the peer's identity yet, so the ends'
    /// addresses name the key.
    case seed(PRFID, local: Identity, remote: Identity, octets: [UInt8])
    /// Whether the password is the user's (draft-beaulieu-ike-xauth-02 §5.1).
    case checkPassword(Secret, of: Identity)
    /// The password with which our own user authenticates to a peer.
    case password(of: Identity, for: Identity)
    /// Whether a user's answer to an EAP method's challenge is what its password makes (RFC 3748 §5).
    case judgeUser(UserProof, of: Identity)
    /// What our own user's password makes of a peer's challenge.
    case proveUser(UserChallenge, of: Identity, for: Identity)
    /// What an authentication server says of the peer's user (RFC 2865 §2, RFC 3579 §2).
    case relayUser(UserRelay)
    /// That the TLS connection inside EAP goes on.
    case tunnel(TunnelRequest)
    /// A signature over `digest` with one of our own keys, the first of `keys` that the scheme fits (RFC 2409 §5.1).
    case sign(SignatureScheme, keys: [PublicKey], digest: [UInt8])
    /// Whether `signature` over `digest` is the peer's, who says that it is `remote` and has one of `keys`.
    case verifySignature(
        SignatureScheme, remote: Identity, keys: [PublicKey], digest: [UInt8], signature: [UInt8])
    /// Each of `messages` encrypted to a key of the peer's (RFC 2409 §5.2).
    case encrypt(PublicKey, messages: [Secret])
    /// Each of `ciphertexts` decrypted with our own key. Whatever a ciphertext holds, something of a length in its range
    /// comes back (``Cryptography/PrivateKey/decrypt(_:lengths:)``).
    case decrypt(PublicKey, ciphertexts: [Ciphertext])
    /// prf+(PPK, key) as long as the key, for each of the keys: a post-quantum pre-shared key in the keys of an IKE SA
    /// (RFC 8784 §3). `key` names it, by its octets alone. Besides, prf(PPK, `confirming`), which shows that an end has
    /// the key (RFC 9867 §3.1).
    case mix(PRFID, key: Identity, into: [Secret], confirming: [UInt8] = [])

    /// Our own signature in IKE_AUTH, by a key of the round's (RFC 7296 §2.15, RFC 7427 §3).
    case signMessage(MessageSigning)
    /// Whether the peer's signature in IKE_AUTH holds, and its key is one that the round trusts to be the peer's.
    case verifyMessage(MessageVerification)
    /// Our own signature in phase 1, by a key that a certificate of the round's speaks for.
    case signDigest(DigestSigning)
    /// Whether the peer's signature in phase 1 holds, and its certificate is one that the round trusts to be the peer's.
    case verifyDigest(DigestVerification)

    /// What is to be decrypted, and how many octets its message may have.
    package struct Ciphertext: Hashable, Sendable {
        package var octets: [UInt8]
        package var lengths: ClosedRange<Int>

        package init(_ octets: [UInt8], lengths: ClosedRange<Int>) {
            self.octets = octets
            self.lengths = lengths
        }
    }
}

/// The answer to a ``Question``.
package enum Answer: Sendable {
    /// To `prove`: the octets of the AUTH payload's data.
    case proof([UInt8])
    /// To `verify`, `verifySignature` and `checkPassword`: it holds.
    case verified(PeerAuthenticated)
    /// To `seed`.
    case seed(Secret)
    /// To `mix`: a key for each of those asked about, in their order, and the confirmation.
    case mixed([Secret], confirmation: [UInt8] = [])
    /// To `password`.
    case password(Secret)
    /// To `judgeUser`, where it holds, and `proveUser`.
    case user(UserAnswer)
    /// To `relayUser`.
    case relayed(UserVerdict)
    /// To `tunnel`.
    case tunnelled(TunnelProgress)
    /// To `sign`.
    case signature([UInt8])
    /// To `encrypt`.
    case encrypted([[UInt8]])
    /// To `decrypt`.
    case decrypted([Secret])
    /// To `signMessage`.
    case signedMessage(MessageProof)
    /// To `signDigest`.
    case signedDigest(DigestProof)
    /// To `verifyMessage` and `verifyDigest`, when the signature itself holds: the peer's certificate is none to rely on.
    case distrusted(ChainReport)
    /// To `verify`, `verifySignature`, `verifyMessage`, `verifyDigest`, `checkPassword` and `judgeUser`: a key or password was found, and the proof does
    /// not hold with it.
    case refuted
    /// To any: no key is known for this pair of identities.
    case noCredential
}

/// Evidence that the peer proved an identity. An established SA is built from one; only the checks themselves make it:
/// the credential store's for ``Question/verify(_:local:remote:octets:proof:)``, and IKEv1's HASH check.
package struct PeerAuthenticated: Hashable, Sendable {
    package let identity: Identity
    package init(verified identity: Identity) { self.identity = identity }
}
