package import Cryptography

/// SKEME's mode with a pre-shared key (Krawczyk 1996 §3.3.3) as IKE composes it: the SHARE phase is replaced by a key
/// that both hold, EXCH is Oakley's, and AUTH proves the shared key over what was exchanged (RFC 2409 §5.4).
package enum PreSharedKey {
    /// What the shared key is seeded with: SKEYID = prf(pre-shared key, Ni_b | Nr_b) (RFC 2409 §5).
    package static func seed(initiatorNonce: [UInt8], responderNonce: [UInt8]) -> [UInt8] {
        initiatorNonce + responderNonce
    }

    /// AUTH: a proof by one end over its own public value first, the peer's, the cookies in the same order, the SA
    /// offer, and its identity:
    ///
    ///     HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)
    ///     HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)
    package static func proof(
        _ prf: PRFID, seed: Secret, own: (publicValue: [UInt8], cookie: [UInt8]),
        peer: (publicValue: [UInt8], cookie: [UInt8]), offer: [UInt8], identity: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        try PseudorandomFunction.compute(
            prf, key: seed,
            [
                .open(own.publicValue), .open(peer.publicValue), .open(own.cookie), .open(peer.cookie), .open(offer),
                .open(identity),
            ])
    }
}
