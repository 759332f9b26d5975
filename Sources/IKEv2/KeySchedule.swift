import Cryptography
import IPsec
import ISAKMP
import Primitives

/// The keys of one IKE SA, in one secret: SK_d | SK_ai | SK_ar | SK_ei | SK_er (RFC 7296 §2.14). Where each begins
/// follows from the suite.
struct IKEKeys: Sendable {
    let all: Secret

    /// No keys yet.
    static let none = IKEKeys(all: Secret([]))

    private static func part(_ all: Secret, _ start: Int, _ count: Int) -> Secret { all[start..<(start + count)] }

    /// SK_d, from which the keys of children and of successors come.
    func derivation(_ suite: Suite) -> Secret { IKEKeys.part(all, 0, suite.prfOctets) }

    /// The same with another SK_d.
    func replacing(derivation: Secret, _ suite: Suite) -> IKEKeys {
        IKEKeys(all: Secret(concatenating: [derivation, all[suite.prfOctets..<all.count]]))
    }

    /// SK_ai or SK_ar; `nil` with an AEAD.
    func integrity(_ suite: Suite, initiator: Bool) -> Secret? {
        guard let octets = suite.integrity?.keyOctets else { return nil }
        return IKEKeys.part(all, suite.prfOctets + (initiator ? 0 : octets), octets)
    }

    /// SK_ei or SK_er, with the salt behind an AEAD's key.
    func encryption(_ suite: Suite, initiator: Bool) -> Secret {
        let octets = suite.encryption.keyMaterialOctets
        let start = suite.prfOctets + 2 * (suite.integrity?.keyOctets ?? 0)
        return IKEKeys.part(all, start + (initiator ? 0 : octets), octets)
    }
}

extension Suite {
    /// Octets of the prf's output and preferred key.
    var prfOctets: Int { prf?.outputOctets ?? 0 }
}

/// SK_pi and SK_pr, which only IKE_AUTH needs (RFC 7296 §2.15).
struct ProofKeys: Sendable {
    let initiator: Secret
    let responder: Secret
}

/// The key derivations of IKEv2.
enum KeySchedule {
    /// What both ends contribute in the clear: nonces and SPIs.
    struct Public: Sendable {
        var initiatorNonce: [UInt8]
        var responderNonce: [UInt8]
        var initiatorSPI: UInt64
        var responderSPI: UInt64

        fileprivate var nonces: [UInt8] { initiatorNonce + responderNonce }

        /// Ni | Nr as a key: for AES-XCBC and AES-CMAC the first 64 bits of each.
        fileprivate func key(for prf: PRFID) -> [UInt8] {
            guard let half = prf.fixedKeyOctets.map({ $0 / 2 }) else { return nonces }
            return Array(initiatorNonce.prefix(half) + responderNonce.prefix(half))
        }

        /// Ni | Nr | SPIi | SPIr.
        var seed: [UInt8] {
            var seed = nonces
            seed.append(bigEndian: initiatorSPI)
            seed.append(bigEndian: responderSPI)
            return seed
        }
    }

    /// The keys of a first IKE SA (RFC 7296 §2.14):
    ///
    ///     SKEYSEED = prf(Ni | Nr, g^ir)
    ///     {SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr} = prf+(SKEYSEED, Ni | Nr | SPIi | SPIr)
    static func initial(
        _ suite: Suite, sharedSecret: Secret, _ contributions: Public
    ) throws(Fault) -> (keys: IKEKeys, proofs: ProofKeys) {
        let prf = try suite.knownPRF
        let skeyseed = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.derive(
                prf, key: Secret(contributions.key(for: prf)), [.secret(sharedSecret)])
        }
        return try expand(suite, prf, skeyseed, contributions)
    }

    /// The keys of an IKE SA that takes over from another (RFC 7296 §2.18); the new SA's own prf expands:
    ///
    ///     SKEYSEED = prf(SK_d (old), g^ir (new) | Ni | Nr [| SK(1) | … | SK(n)])
    ///
    /// with the secrets of additional key exchanges behind (RFC 9370 §2.2.4).
    static func successor(
        of old: IKEKeys, _ oldSuite: Suite, _ suite: Suite, sharedSecret: Secret, further: [Secret] = [],
        _ contributions: Public
    ) throws(Fault) -> IKEKeys {
        let oldPRF = try oldSuite.knownPRF
        let skeyseed = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.derive(
                oldPRF, key: old.derivation(oldSuite),
                [.secret(sharedSecret), .open(contributions.nonces)] + further.map(Octets.secret))
        }
        return try expand(suite, try suite.knownPRF, skeyseed, contributions).keys
    }

    /// The keys of a resumed IKE SA (RFC 5723 §5.1):
    ///
    ///     SKEYSEED = prf(SK_d (old), "Resumption" | Ni | Nr), and from there as for a first IKE SA
    static func resumed(
        _ suite: Suite, derivation: Secret, _ contributions: Public
    ) throws(Fault) -> (keys: IKEKeys, proofs: ProofKeys) {
        let prf = try suite.knownPRF
        let skeyseed = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.derive(
                prf, key: derivation, [.open(Array("Resumption".utf8) + contributions.nonces)])
        }
        return try expand(suite, prf, skeyseed, contributions)
    }

    /// The keys behind an IKE_INTERMEDIATE exchange with a key exchange in it (RFC 9370 §2.2.2):
    ///
    ///     SKEYSEED(n) = prf(SK_d(n-1), SK(n) | Ni | Nr), and from there as for a first IKE SA
    static func intermediate(
        _ suite: Suite, after old: IKEKeys, sharedSecret: Secret, _ contributions: Public
    ) throws(Fault) -> (keys: IKEKeys, proofs: ProofKeys) {
        let prf = try suite.knownPRF
        let skeyseed = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.derive(
                prf, key: old.derivation(suite), [.secret(sharedSecret), .open(contributions.nonces)])
        }
        return try expand(suite, prf, skeyseed, contributions)
    }

    /// The keys with a post-quantum pre-shared key in them, of which `seed` = prf+(PPK, SK_d) comes (RFC 9867 §3.1).
    static func mixed(
        _ suite: Suite, seed: Secret, _ contributions: Public
    ) throws(Fault) -> (keys: IKEKeys, proofs: ProofKeys) {
        try expand(suite, try suite.knownPRF, seed, contributions)
    }

    private static func expand(
        _ suite: Suite, _ prf: PRFID, _ skeyseed: Secret, _ contributions: Public
    ) throws(Fault) -> (keys: IKEKeys, proofs: ProofKeys) {
        let kept =
            suite.prfOctets + 2 * (suite.integrity?.keyOctets ?? 0) + 2 * suite.encryption.keyMaterialOctets
        let all = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.expand(
                prf, key: skeyseed, seed: [.open(contributions.seed)], count: kept + 2 * suite.prfOctets)
        }
        let proofs = ProofKeys(
            initiator: all[kept..<(kept + suite.prfOctets)],
            responder: all[(kept + suite.prfOctets)..<(kept + 2 * suite.prfOctets)])
        return (IKEKeys(all: all[0..<kept]), proofs)
    }

    /// The keys of a child (RFC 7296 §2.17), encryption before integrity, the direction from the exchange's initiator
    /// first:
    ///
    ///     KEYMAT = prf+(SK_d, [g^ir (new) |] Ni | Nr [| SK(1) | … | SK(n)])
    static func child(
        _ suite: Suite, of keys: IKEKeys, _ ikeSuite: Suite, sharedSecret: Secret?, further: [Secret] = [],
        initiatorNonce: [UInt8], responderNonce: [UInt8]
    ) throws(Fault) -> (fromInitiator: KeyMaterial, fromResponder: KeyMaterial) {
        let prf = try ikeSuite.knownPRF
        let octets = suite.keyMaterialOctets
        let seed =
            (sharedSecret.map { [Octets.secret($0)] } ?? []) + [.open(initiatorNonce + responderNonce)]
            + further.map(Octets.secret)
        let material = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.expand(prf, key: keys.derivation(ikeSuite), seed: seed, count: 2 * octets)
        }
        func direction(_ start: Int) -> KeyMaterial {
            let middle = start + suite.encryption.keyMaterialOctets
            return KeyMaterial(
                encryption: material[start..<middle],
                integrity: suite.integrity.map { material[middle..<(middle + $0.keyOctets)] })
        }
        return (direction(0), direction(octets))
    }

    /// What AUTH proves (RFC 7296 §2.15):
    ///
    ///     RealMessage | NonceData of the other end | prf(SK_p, RestOfIDPayload) [| IntAuth]
    ///
    /// with ``IntermediateTranscript/octets(authenticationID:)`` behind (RFC 9242 §3.3.2).
    static func signedOctets(
        _ suite: Suite, message: [UInt8], otherNonce: [UInt8], proofKey: Secret, identity: Identity,
        intermediate: [UInt8]
    ) throws(Fault) -> [UInt8] {
        let prf = try suite.knownPRF
        let macedIdentity = try Attempt.cryptography { () throws(CryptographyError) in
            try PseudorandomFunction.compute(prf, key: proofKey, [.open(IdentityPayload.body(identity))])
        }
        return message + otherNonce + macedIdentity + intermediate
    }
}

extension Suite {
    /// The prf, which every suite of an IKE SA has.
    fileprivate var knownPRF: PRFID {
        get throws(Fault) {
            guard let prf else { throw .violation("a proposal for an IKE SA has a prf") }
            return prf
        }
    }
}
