package import Cryptography
package import IPsec
package import ISAKMP

/// An authentication method of phase 1: the values of the attribute "Authentication Method" (RFC 2409 Appendix A,
/// RFC 4754 §7).
package struct PhaseOneMethod: Hashable, Sendable, RawRepresentable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let preSharedKey = PhaseOneMethod(rawValue: 1)
    package static let dssSignature = PhaseOneMethod(rawValue: 2)
    package static let rsaSignature = PhaseOneMethod(rawValue: 3)
    package static let rsaEncryption = PhaseOneMethod(rawValue: 4)
    package static let revisedRSAEncryption = PhaseOneMethod(rawValue: 5)
    /// ECDSA with SHA-256 on P-256, with SHA-384 on P-384, with SHA-512 on P-521.
    package static let ecdsa256 = PhaseOneMethod(rawValue: 9)
    package static let ecdsa384 = PhaseOneMethod(rawValue: 10)
    package static let ecdsa521 = PhaseOneMethod(rawValue: 11)

    /// Methods of phase 1 alone.
    private static let plain: [PhaseOneMethod] = [
        .preSharedKey, .dssSignature, .rsaSignature, .rsaEncryption, .revisedRSAEncryption, .ecdsa256, .ecdsa384,
        .ecdsa521,
    ]
    /// Every method that is spoken here.
    package static let all =
        plain + plain.compactMap { $0.extended(.initiator) } + plain.compactMap { $0.extended(.responder) } + hybrid

    /// Methods in which one end signs and the other proves nothing but that it speaks, until its user follows by Extended
    /// Authentication: RSA, then DSS, for the initiator's user and for the responder's
    /// (draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2.1).
    private static let hybrid: [PhaseOneMethod] = (64_221...64_224).map { PhaseOneMethod(rawValue: $0) }

    /// The methods that have another number where a user is authenticated behind phase 1, by the number for the
    /// initiator's user; the responder's is one more (draft-beaulieu-ike-xauth-02 §7.2).
    private static let extensions: [(PhaseOneMethod, UInt16)] = [
        (.preSharedKey, 65_001), (.dssSignature, 65_003), (.rsaSignature, 65_005), (.rsaEncryption, 65_007),
        (.revisedRSAEncryption, 65_009),
    ]

    /// The same method with Extended Authentication of the initiator's or the responder's user; `nil` where there is no
    /// number for it.
    package func extended(_ user: Role) -> PhaseOneMethod? {
        guard let number = PhaseOneMethod.extensions.first(where: { $0.0 == self })?.1 else { return nil }
        return PhaseOneMethod(rawValue: number + (user == .initiator ? 0 : 1))
    }

    /// What phase 1 does, whoever is authenticated behind it.
    package var base: PhaseOneMethod {
        if hybridUser != nil { return rawValue < 64_223 ? .rsaSignature : .dssSignature }
        return PhaseOneMethod.extensions.first { rawValue == $0.1 || rawValue == $0.1 + 1 }?.0 ?? self
    }

    /// The same signatures of one end alone, and the user of the other, which plays `user`; `nil` where there is no number
    /// for it.
    package func hybrid(_ user: Role) -> PhaseOneMethod? {
        PhaseOneMethod.hybrid.first { $0.base == self && $0.hybridUser == user }
    }

    /// The end that proves nothing in phase 1, since its user does afterwards; `nil` where both ends do.
    package var hybridUser: Role? {
        guard PhaseOneMethod.hybrid.contains(self) else { return nil }
        return rawValue % 2 == 1 ? .initiator : .responder
    }

    /// How SKEYID comes about (RFC 2409 §5).
    package enum Seed: Hashable, Sendable {
        /// prf(pre-shared key, Ni_b | Nr_b)
        case preSharedKey
        /// prf(Ni_b | Nr_b, g^xy)
        case sharedSecret
        /// prf(hash(Ni_b | Nr_b), CKY-I | CKY-R)
        case nonces
    }

    package var seed: Seed {
        switch base {
        case .preSharedKey: .preSharedKey
        case .rsaEncryption, .revisedRSAEncryption: .nonces
        default: .sharedSecret
        }
    }

    /// How the end that plays `prover` signs HASH_I or HASH_R; `nil` where it sends that itself.
    package func signature(of prover: Role) -> SignatureScheme? { prover == hybridUser ? nil : signature }

    private var signature: SignatureScheme? {
        switch base {
        case .dssSignature: .dss
        case .rsaSignature: .rsa
        case .ecdsa256: .ecdsa(.p256)
        case .ecdsa384: .ecdsa(.p384)
        case .ecdsa521: .ecdsa(.p521)
        default: nil
        }
    }

    /// The function that makes HASH_I and HASH_R where the signature is tied to a hash of its own (RFC 2409 §5.1, RFC 4754
    /// §4); `nil` for the negotiated one.
    package func proofFunction(of prover: Role) -> PRFID? {
        if signature(of: prover) == nil { return nil }
        return switch base {
        case .dssSignature: .hmacSHA1
        case .ecdsa256: .hmacSHA256
        case .ecdsa384: .hmacSHA384
        case .ecdsa521: .hmacSHA512
        default: nil
        }
    }

    /// Whether nonces and identities travel encrypted (RFC 2409 §5.2, §5.3).
    package var isEncryption: Bool { seed == .nonces }

    /// The methods by which a connection's ends can prove themselves, in order of preference, for the end that plays
    /// `role`. One method serves both ends.
    package static func methods(of connection: Connection, as role: Role) -> [PhaseOneMethod] {
        func first(_ rounds: [AuthenticationRound]) -> AuthenticationRound? {
            rounds.first { $0.method != .extendedAuthentication }
        }
        let ends = (first(connection.local), first(connection.remote))
        guard let local = ends.0, let remote = ends.1 else {
            // Hybrid: one end has nothing but a user.
            guard let signer = ends.0 ?? ends.1, connection.isHybrid else { return [] }
            return [PhaseOneMethod.rsaSignature, .dssSignature].filter { $0.suits(signer, isLocal: ends.0 != nil) }
                .compactMap { $0.hybrid(ends.0 == nil ? role : role.other) }
        }
        let methods = plain.sorted { $0.preference < $1.preference }.filter {
            $0.suits(local, isLocal: true) && $0.suits(remote, isLocal: false)
        }
        if connection.localExtendedRound != nil { return methods.compactMap { $0.extended(role) } }
        if connection.remoteExtendedRound != nil { return methods.compactMap { $0.extended(role.other) } }
        return methods
    }

    /// Newer kinds of signatures first.
    private var preference: Int {
        switch self {
        case .ecdsa256, .ecdsa384, .ecdsa521: 0
        case .rsaSignature: 1
        default: 2
        }
    }

    /// Whether an end that proves itself as `round` says can do so by this method. We need a key for it, and so does who
    /// encrypts to the peer; a peer of which no key is named may sign with one that names it.
    private func suits(_ round: AuthenticationRound, isLocal: Bool) -> Bool {
        let keys = round.admittedKeys
        switch (round.method, seed) {
        case (.preSharedKey, .preSharedKey): return true
        case (.publicKey(let constraint), .sharedSecret):
            if keys.isEmpty, !isLocal { return constraint.admits(family) }
            return keys.contains { signature?.fits($0.kind) == true }
        case (.publicKeyEncryption, .nonces): return self == .rsaEncryption && !keys.isEmpty
        case (.revisedPublicKeyEncryption, .nonces): return self == .revisedRSAEncryption && !keys.isEmpty
        default: return false
        }
    }

    private var family: KeyConstraint.Family {
        switch signature {
        case .ecdsa: .ecdsa
        case .dss: .dss
        case .rsa, nil: .rsa
        }
    }
}

extension PhaseOneMethod {
    /// The value of `auth` that stands for it, and where a user is behind it, that too.
    package var keyword: String {
        if hybridUser != nil { return "\(base.keyword) of one end and xauth of the other" }
        if base != self { return "\(base.keyword) with xauth" }
        return switch self {
        case .preSharedKey: AuthenticationMethod.preSharedKey.keyword
        case .rsaEncryption: AuthenticationMethod.publicKeyEncryption.keyword
        case .revisedRSAEncryption: AuthenticationMethod.revisedPublicKeyEncryption.keyword
        default: family.rawValue
        }
    }
}

extension PhaseOneMethod: CustomStringConvertible {
    package var description: String {
        if hybridUser != nil { return "\(base) of one end and XAUTH of the other" }
        if base != self { return "\(base) and XAUTH" }
        return switch self {
        case .preSharedKey: "pre-shared key"
        case .dssSignature: "DSS signatures"
        case .rsaSignature: "RSA signatures"
        case .rsaEncryption: "encryption with RSA"
        case .revisedRSAEncryption: "revised encryption with RSA"
        case .ecdsa256: "ECDSA signatures on P-256"
        case .ecdsa384: "ECDSA signatures on P-384"
        case .ecdsa521: "ECDSA signatures on P-521"
        default: "method \(rawValue)"
        }
    }
}
