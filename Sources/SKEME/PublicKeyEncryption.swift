package import Cryptography

/// SKEME's SHARE phase as IKE takes it over (Krawczyk 1996 §3.1, RFC 2409 §5.2): each end encrypts half a key, its nonce,
/// to the other, and only who can decrypt both halves knows the whole.
package enum PublicKeyEncryption {
    /// SHARE: the key that only the two ends can know.
    ///
    ///     SKEYID = prf(hash(Ni_b | Nr_b), CKY-I | CKY-R)
    package static func seed(
        _ prf: PRFID, hash: HashID, initiatorHalf: Secret, responderHalf: Secret, initiatorCookie: [UInt8],
        responderCookie: [UInt8]
    ) throws(CryptographyError) -> Secret {
        let key = Secret(try Digest.compute(hash, [.secret(initiatorHalf), .secret(responderHalf)]))
        return try PseudorandomFunction.derive(prf, key: key, [.open(initiatorCookie), .open(responderCookie)])
    }

    /// HASH(1), which says to which of the responder's keys the initiator encrypts: the negotiated hash over the
    /// certificate (RFC 2409 §5.2). A raw key has none; its SubjectPublicKeyInfo stands in.
    package static func keyName(_ hash: HashID, certificate: [UInt8]) throws(CryptographyError) -> [UInt8] {
        try Digest.compute(hash, [.open(certificate)])
    }
}
