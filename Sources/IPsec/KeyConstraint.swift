package import Cryptography

/// With which keys and signatures an end may prove itself: what `auth = pubkey`, `rsa-3072` or
/// `ecdsa-384-sha384-ike:pubkey-sha512` says. Of the peer it is a demand, of our own end the order in which we sign.
package struct KeyConstraint: Hashable, Sendable {
    package enum Family: String, Hashable, Sendable, CaseIterable {
        case any = "pubkey"
        case rsa
        /// RSA keys whose signatures are padded as RSASSA-PSS has it (RFC 8017 §8.1).
        case pss = "rsa/pss"
        case ecdsa
        case ed25519
        case ed448
        /// RFC 2409 §5.1's DSS; swanctl has no word for it.
        case dss

        /// The kind of the keys, whatever they sign with.
        fileprivate var ofKeys: Family { self == .pss ? .rsa : self }
    }

    /// One kind of keys with what is wanted of it.
    package struct Clause: Hashable, Sendable {
        package var family: Family
        /// Of an RSA modulus, or of a curve's field; 0: any.
        package var minimumBits: Int
        /// The hashes of signatures by such keys; empty: nothing is said about them.
        package var hashes: [SignatureHash]
        /// `ike:` is in front: the hashes are those of signatures in AUTH alone, and not in certificates.
        package var isForMessages: Bool

        package init(
            _ family: Family, minimumBits: Int = 0, hashes: [SignatureHash] = [], isForMessages: Bool = false
        ) {
            self.family = family
            self.minimumBits = minimumBits
            self.hashes = hashes
            self.isForMessages = isForMessages
        }
    }

    /// A kind of keys with one hash.
    package struct Scheme: Hashable, Sendable {
        package var family: Family
        package var hash: SignatureHash

        package init(family: Family, hash: SignatureHash) {
            self.family = family
            self.hash = hash
        }

        /// PKCS #1 v1.5 and PSS are told apart; PSS has as much salt as its hash has octets.
        package func admits(_ algorithm: SignatureAlgorithm) -> Bool {
            guard SignatureHash(algorithm) == hash else { return false }
            return switch algorithm {
            case .rsa: family == .any || family == .rsa
            case .rsaPSS(_, let salt): family == .pss && salt == hash.octets
            case .ecdsa: family == .any || family == .ecdsa
            case .dsa: false
            case .ed25519: family == .any || family == .ed25519
            case .ed448: family == .any || family == .ed448
            }
        }

        /// How a key of the kind signs by the scheme; `nil`: not at all.
        package func algorithm(_ kind: KeyKind) -> SignatureAlgorithm? {
            switch (kind, family) {
            case (.rsa, .any), (.rsa, .rsa): hash.hashID.map { .rsa($0) }
            case (.rsa, .pss): hash.hashID.map { .rsaPSS($0, saltOctets: hash.octets) }
            case (.ecdsa, .any), (.ecdsa, .ecdsa): hash.hashID.map { .ecdsa($0) }
            case (.ed25519, .any), (.ed25519, .ed25519): hash == .identity ? .ed25519 : nil
            case (.ed448, .any), (.ed448, .ed448): hash == .identity ? .ed448 : nil
            default: nil
            }
        }
    }

    /// At least one, in the order in which they are written.
    package var clauses: [Clause]
    /// Without hashes of their own, signatures in AUTH are held to those of certificates
    /// (`charon.signature_authentication_constraints`).
    package var bindsMessages = true
    /// RSA is padded as RSASSA-PSS has it where nothing else is said, and that is taken for RSA (`charon.rsa_pss`).
    package var prefersPSS = false

    package init(_ family: Family = .any, minimumBits: Int = 0) {
        clauses = [Clause(family, minimumBits: minimumBits)]
    }

    package init(_ clauses: [Clause]) {
        self.clauses = clauses.isEmpty ? [Clause(.any)] : clauses
    }

    // MARK: Keys

    /// Whether an end may prove itself with a key of the kind.
    package func admits(_ kind: KeyKind) -> Bool {
        switch kind {
        case .rsa(let octets): admits(.rsa, octets * 8)
        case .ecdsa(let curve): admits(.ecdsa, curve.rawValue)
        case .dsa: admits(.dss, 0)
        case .ed25519: admits(.ed25519, 0)
        case .ed448: admits(.ed448, 0)
        }
    }

    /// The same of a certificate's key.
    package func admits(_ key: KeyDescription) -> Bool { admits(key.family, key.bits) }

    /// Whether the key of an authority behind the end's certificate is strong enough: where numbers stand with any kind of keys, those
    /// of RSA and of curves need to be named.
    package func admitsAuthority(_ key: KeyDescription) -> Bool {
        guard saysStrength, key.family == .rsa || key.family == .ecdsa else { return true }
        return clauses.contains { $0.family.ofKeys == key.family && $0.minimumBits <= key.bits }
    }

    /// Whether keys of the kind may be used if they are strong enough.
    package func admits(_ family: Family) -> Bool { admits(family, .max) }

    private var saysStrength: Bool { clauses.contains { $0.minimumBits > 0 } }

    private func admits(_ family: Family, _ bits: Int) -> Bool {
        [false, true].allSatisfy { isForMessages in
            let some = clauses.filter { $0.isForMessages == isForMessages }
            if some.isEmpty { return true }
            let named = some.filter { $0.family.ofKeys == family }
            if !named.isEmpty { return named.contains { $0.minimumBits <= bits } }
            return some.contains { $0.family == .any }
                && (family == .ed25519 || family == .ed448 || !some.contains { $0.minimumBits > 0 })
        }
    }

    // MARK: Signatures

    /// What signatures in certificates must be made by; empty: anything.
    package var certificateSchemes: [Scheme] { schemes(isForMessages: false) }

    /// What signatures in AUTH must be made by, the preferred one first; empty: anything. Without any of their own they are those of
    /// certificates.
    package var messageSchemes: [Scheme] {
        let own = schemes(isForMessages: true)
        return own.isEmpty && bindsMessages ? certificateSchemes : own
    }

    private func schemes(isForMessages: Bool) -> [Scheme] {
        clauses.filter { $0.isForMessages == isForMessages }.flatMap { clause in
            let both = prefersPSS && (clause.family == .any || clause.family == .rsa)
            return clause.hashes.flatMap { hash in
                (both && hash != .identity ? [Scheme(family: .pss, hash: hash)] : [])
                    + [Scheme(family: clause.family, hash: hash)]
            }
        }
    }

    package func admitsInCertificates(_ algorithm: SignatureAlgorithm) -> Bool {
        let schemes = certificateSchemes
        return schemes.isEmpty || schemes.contains { $0.admits(algorithm) }
    }

    package func admitsInMessages(_ algorithm: SignatureAlgorithm) -> Bool {
        let schemes = messageSchemes
        return schemes.isEmpty || schemes.contains { $0.admits(algorithm) }
    }
}

extension KeyConstraint: CustomStringConvertible {
    /// As `auth` has it.
    package var description: String { clauses.map(\.description).joined(separator: "-") }
}

extension KeyConstraint.Clause: CustomStringConvertible {
    package var description: String {
        ([(isForMessages ? "ike:" : "") + family.rawValue] + (minimumBits > 0 ? ["\(minimumBits)"] : [])
            + hashes.map(\.keyword)).joined(separator: "-")
    }
}

extension SignatureHash {
    /// The words of `auth`.
    package static let keywords: [(word: String, hash: SignatureHash)] = [
        ("sha256", .sha256), ("sha384", .sha384), ("sha512", .sha512), ("identity", .identity),
    ]

    package var keyword: String { SignatureHash.keywords.first { $0.hash == self }?.word ?? "hash\(rawValue)" }

    /// `nil`: the message itself is signed, or the hash is not known here.
    package var hashID: HashID? {
        switch self {
        case .sha1: .sha1
        case .sha256: .sha256
        case .sha384: .sha384
        case .sha512: .sha512
        default: nil
        }
    }

    /// The length of its output; 0 where there is none.
    package var octets: Int {
        switch self {
        case .sha1: 20
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        default: 0
        }
    }
}

extension KeyDescription {
    fileprivate var family: KeyConstraint.Family {
        switch kind {
        case .rsa, .rsaPSS: .rsa
        case .ecdsa: .ecdsa
        case .dsa: .dss
        case .ed25519: .ed25519
        case .ed448: .ed448
        }
    }
}
