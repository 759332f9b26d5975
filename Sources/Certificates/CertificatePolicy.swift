import Cryptography
package import IPsec

/// How strictly paths are judged.
package struct CertificatePolicy: Hashable, Sendable {
    package typealias Revocation = RevocationPolicy

    package var revocation = Revocation.relaxed
    /// RFC 4945 §5.1.3.12 to the letter: an extended key usage must hold ipsecIKE or any. Else serverAuth, clientAuth and
    /// iKEIntermediate will do as well, as the certificates of most clients have one of these.
    package var wantsIKEPurpose = false
    /// The purposes one of which an extended key usage must hold; `nil`: those of IKE.
    package var wantedPurposes: Set<CertificateExtensions.Purpose>?
    /// RSA moduli; 112 bits of strength (NIST SP 800-57).
    package var minimumModulusBits = 2048
    /// SHA-1 and MD5 have collisions that were turned into false certificates. Lists and responses over them are good for a
    /// revocation alone: they do not say that a certificate is good.
    package var allowsWeakHashes = false

    /// Whether a signature's hash has collisions, and is not allowed all the same.
    func refuses(_ algorithm: SignatureAlgorithm) -> Bool { !allowsWeakHashes && algorithm.isWeak }

    /// Whether an end entity's own key may be one of DSA, which proves nobody in IKE here; an authority's may, if it is strong.
    package var admitsDSAEntities = false

    /// What is wanted of keys and signatures besides.
    package var keys: KeyConstraint?
    /// Whom an authority in the path must name.
    package var authorityIdentity: IdentityPattern?
    /// The policies that the path must be good for, each of them, in the trusted authority's words, as dotted numbers.
    package var certificatePolicies: [String] = []
    package var initialPolicies = InitialPolicies()

    package init() {}

    var purposes: Set<CertificateExtensions.Purpose> {
        if let wantedPurposes { return wantedPurposes }
        return wantsIKEPurpose
            ? [.any, .ipsecIKE]
            : [.any, .ipsecIKE, .ikeIntermediate, .serverAuthentication, .clientAuthentication]
    }
}

/// What a relying party says of policies before a path is looked at (RFC 5280 §6.1.1 (c), (e) to (g)).
package struct InitialPolicies: Hashable, Sendable {
    /// user-initial-policy-set: any of these will do, as dotted numbers; `nil`: any policy.
    package var acceptable: Set<String>?
    /// initial-explicit-policy: the path must be good for one of them.
    package var areExplicit = false
    /// initial-policy-mapping-inhibit.
    package var inhibitsMapping = false
    /// initial-any-policy-inhibit.
    package var inhibitsAnyPolicy = false

    package init() {}
}

extension SignatureAlgorithm {
    /// Whether its hash is MD5 or SHA-1.
    var isWeak: Bool { hash == .md5 || hash == .sha1 }
}
