import Cryptography
import IPsec
import Primitives

/// The keys of an ISAKMP SA (RFC 2409 §5) and what they protect messages with.
struct PhaseOneKeys: Sendable {
    let prf: PRFID
    let hash: HashID
    let cipher: Encryption
    /// SKEYID_d
    let derivationKey: Secret
    /// SKEYID_a
    let authenticationKey: Secret
    /// The cipher key made of SKEYID_e (RFC 2409 Appendix B).
    let encryptionKey: Secret

    /// Derives all keys from SKEYID and the Diffie-Hellman secret:
    ///
    ///     SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0)
    ///     SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)
    ///     SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)
    init(
        suite: Suite, seed: Secret, sharedSecret: Secret, initiator: [UInt8], responder: [UInt8]
    ) throws(Fault) {
        guard let prf = suite.prf, let hash = prf.hash else { throw .dropped("the suite has no hash") }
        self.prf = prf
        self.hash = hash
        cipher = suite.encryption
        func derive(_ previous: Secret?, _ number: UInt8) throws(CryptographyError) -> Secret {
            try PseudorandomFunction.derive(
                prf, key: seed,
                (previous.map { [.secret($0)] } ?? []) + [
                    .secret(sharedSecret), .open(initiator), .open(responder), .open([number]),
                ])
        }
        let encryption = suite.encryption
        (derivationKey, authenticationKey, encryptionKey) = try Attempt.cryptography {
            () throws(CryptographyError) in
            let derivation = try derive(nil, 0)
            let authentication = try derive(derivation, 1)
            let material = try derive(authentication, 2)
            return (
                derivation, authentication,
                try PseudorandomFunction.stretch(prf, key: material, count: encryption.keyOctets)
            )
        }
    }

    /// The IV of phase 1's first encrypted message: hash(g^xi | g^xr), cut to the cipher's block (RFC 2409 Appendix B).
    func firstIV(initiatorPublicValue: [UInt8], responderPublicValue: [UInt8]) throws(Fault) -> [UInt8] {
        try cut([.open(initiatorPublicValue), .open(responderPublicValue)])
    }

    /// The IV of a phase 2 exchange's first message: hash(last block of phase 1 | M-ID).
    func firstIV(lastBlock: [UInt8], messageID: UInt32) throws(Fault) -> [UInt8] {
        try cut([.open(lastBlock), .open(messageID.octets)])
    }

    private func cut(_ parts: [Octets]) throws(Fault) -> [UInt8] {
        let digest = try Attempt.cryptography { () throws(CryptographyError) in try Digest.compute(hash, parts) }
        return Array(digest.prefix(cipher.id.blockOctets))
    }

    /// HASH(1), HASH(2) and HASH(3) of phase 2 (RFC 2409 §5.5, §5.7): prf(SKEYID_a, parts).
    func authenticator(_ parts: [[UInt8]]) throws(Fault) -> [UInt8] {
        try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.compute(prf, key: authenticationKey, parts.map { .open($0) })
        }
    }
}

extension FixedWidthInteger where Self: UnsignedInteger {
    /// Big-endian octets.
    var octets: [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: self)
        return octets
    }
}

/// SKEYID where the ends sign (RFC 2409 §5.1): it proves nothing, so that anybody may know what it is made of but g^xy.
enum SignatureKey {
    /// SKEYID = prf(Ni_b | Nr_b, g^xy)
    static func seed(
        _ prf: PRFID, initiatorNonce: [UInt8], responderNonce: [UInt8], sharedSecret: Secret
    ) throws(CryptographyError) -> Secret {
        try PseudorandomFunction.derive(
            prf, key: Secret(initiatorNonce + responderNonce), [.secret(sharedSecret)])
    }
}
