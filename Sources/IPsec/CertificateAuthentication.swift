package import Cryptography

/// What a round says about certificates.
package struct CertificateConstraints: Hashable, Sendable {
    /// Files in `x509`, as the configuration names them, and what they hold in DER: of our own end what it proves itself
    /// with, of the peer's the only ones that will do.
    package var certificateFiles: [String] = []
    package var certificates: [[UInt8]] = []
    /// Files in `x509ca`, one of which must stand behind the peer's certificate, and what they hold in DER.
    package var authorityFiles: [String] = []
    package var authorities: [[UInt8]] = []
    /// Whom an authority behind the peer's certificate must name; `nil`: anybody.
    package var authorityIdentity: IdentityPattern?
    /// The policies under which the peer's certificate and those of the authorities below the trusted one were issued, each of them,
    /// as dotted numbers.
    package var policies: [String] = []
    package var revocation = RevocationPolicy.relaxed
    /// What is wanted of keys and signatures where TLS inside EAP proves the peer: `auth = eap-tls:rsa-3072-sha256`.
    package var tunnel: KeyConstraint?
    /// SHA-1 over the SubjectPublicKeyInfo of each authority that the peer's certificate may come from: what a CERTREQ
    /// payload says (RFC 7296 §3.7).
    package var authorityHashes: [[UInt8]] = []
    /// The names of these authorities in DER: what IKEv1's Certificate Request says (RFC 2408 §3.10).
    package var authorityNames: [[UInt8]] = []

    package init() {}

    /// Whether nothing but a certificate can prove the peer.
    package var wantsCertificate: Bool {
        !certificateFiles.isEmpty || !authorityFiles.isEmpty || authorityIdentity != nil || !policies.isEmpty
    }

    /// Leaves what the round says of certificates of its own, where it is somebody else's that are judged.
    package mutating func forgetAuthorities() {
        (certificateFiles, authorityFiles, authorityIdentity, policies) = ([], [], nil, [])
    }
}

/// A hash function by its number in IKEv2 (IANA "IKEv2 Hash Algorithms", RFC 7427 §4).
package struct SignatureHash: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt16
    package init(rawValue: UInt16) { self.rawValue = rawValue }

    package static let sha1 = SignatureHash(rawValue: 1)
    package static let sha256 = SignatureHash(rawValue: 2)
    package static let sha384 = SignatureHash(rawValue: 3)
    package static let sha512 = SignatureHash(rawValue: 4)
    /// The message itself is signed (RFC 8420 §2).
    package static let identity = SignatureHash(rawValue: 5)

    /// What we sign and verify with: SHA-1 is left out.
    package static let supported: [SignatureHash] = [.sha256, .sha384, .sha512, .identity]

    /// The number of a signature algorithm's hash.
    package init?(_ algorithm: SignatureAlgorithm) {
        switch algorithm.hash {
        case nil: self = .identity
        case .some(.sha1): self = .sha1
        case .some(.sha256): self = .sha256
        case .some(.sha384): self = .sha384
        case .some(.sha512): self = .sha512
        default: return nil
        }
    }
}

/// An AUTH payload's method (IANA "IKEv2 Authentication Method").
package struct SignatureMethod: RawRepresentable, Hashable, Sendable {
    package var rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    /// RSASSA-PKCS1-v1_5 (RFC 7296 §3.8).
    package static let rsa = SignatureMethod(rawValue: 1)
    /// RFC 4754: a curve with its hash, r followed by s.
    package static let ecdsa256 = SignatureMethod(rawValue: 9)
    package static let ecdsa384 = SignatureMethod(rawValue: 10)
    package static let ecdsa521 = SignatureMethod(rawValue: 11)
    /// The algorithm's identifier comes with the signature (RFC 7427 §3).
    package static let digitalSignature = SignatureMethod(rawValue: 14)
}

/// One way in which a peer lets us prove ourselves (RFC 9593 §3.2).
package struct AnnouncedMethod: Hashable, Sendable {
    package var method: SignatureMethod
    /// DER, of a digital signature; empty: any.
    package var algorithmIdentifier: [UInt8]

    package init(method: SignatureMethod, algorithmIdentifier: [UInt8] = []) {
        self.method = method
        self.algorithmIdentifier = algorithmIdentifier
    }
}

/// Where certificates are, said instead of them: Hash and URL (RFC 7296 §3.6).
package struct CertificateLocation: Hashable, Sendable {
    /// SHA-1 over what is there.
    package var hash: [UInt8]
    package var uri: String
    /// A CertificateBundle is there instead of a certificate.
    package var isBundle: Bool

    package init(hash: [UInt8], uri: String, isBundle: Bool = false) {
        self.hash = hash
        self.uri = uri
        self.isBundle = isBundle
    }
}

/// What our end signs in IKE_AUTH, and what the peer said it takes.
package struct MessageSigning: Hashable, Sendable {
    package var round: AuthenticationRound
    package var identity: Identity
    /// RFC 7296 §2.15.
    package var octets: [UInt8]
    /// `nil`: the peer knows no digital signatures (RFC 7427 §4).
    package var hashes: [SignatureHash]?
    /// SHA-1 of the authorities that the peer asks for (RFC 7296 §3.7); empty: it said nothing.
    package var authorityHashes: [[UInt8]]
    /// The peer wants what OCSP responders say of our certificates (RFC 4806 §3.1).
    package var wantsStatuses: Bool
    /// The peer fetches certificates (HTTP_CERT_LOOKUP_SUPPORTED), and we let it.
    package var saysLocations: Bool
    /// The peer takes our public key itself, where no certificate speaks for it (RFC 7670 §3).
    package var saysPublicKey = false
    /// How the peer lets us prove ourselves, in its order; `nil`: it said nothing.
    package var announced: [AnnouncedMethod]?

    package init(
        round: AuthenticationRound, identity: Identity, octets: [UInt8], hashes: [SignatureHash]?,
        authorityHashes: [[UInt8]], wantsStatuses: Bool = false, saysLocations: Bool = false
    ) {
        self.round = round
        self.identity = identity
        self.octets = octets
        self.hashes = hashes
        self.authorityHashes = authorityHashes
        self.wantsStatuses = wantsStatuses
        self.saysLocations = saysLocations
    }
}

/// A signature as it goes into AUTH, and the certificates that go with it.
package struct MessageProof: Hashable, Sendable {
    package var method: SignatureMethod
    /// The AUTH payload's data.
    package var data: [UInt8]
    /// DER, our own first.
    package var certificates: [[UInt8]]
    /// What OCSP responders say of these certificates, in DER (RFC 4806 §3.2); nobody has judged it.
    package var statuses: [[UInt8]]
    /// Certificates that are elsewhere; they come before the others, and where there are any, our own is among them.
    package var locations: [CertificateLocation] = []
    /// Raw public keys, each a SubjectPublicKeyInfo (RFC 7670 §3): they say which key it is, and nobody trusts it for that.
    package var publicKeys: [[UInt8]] = []

    package init(
        method: SignatureMethod, data: [UInt8], certificates: [[UInt8]] = [], statuses: [[UInt8]] = []
    ) {
        self.method = method
        self.data = data
        self.certificates = certificates
        self.statuses = statuses
    }
}

/// What the peer signed in IKE_AUTH.
package struct MessageVerification: Hashable, Sendable {
    package var round: AuthenticationRound
    package var identity: Identity
    package var octets: [UInt8]
    package var proof: MessageProof

    package init(round: AuthenticationRound, identity: Identity, octets: [UInt8], proof: MessageProof) {
        self.round = round
        self.identity = identity
        self.octets = octets
        self.proof = proof
    }
}

/// What our end signs in IKEv1's phase 1 (RFC 2409 §5.1) where a certificate speaks for its key.
package struct DigestSigning: Hashable, Sendable {
    package var scheme: SignatureScheme
    package var round: AuthenticationRound
    /// HASH_I or HASH_R.
    package var digest: [UInt8]
    /// The names in DER of the authorities that the peer asks for (RFC 2408 §3.10); empty: it named none.
    package var authorityNames: [[UInt8]]

    package init(
        scheme: SignatureScheme, round: AuthenticationRound, digest: [UInt8], authorityNames: [[UInt8]]
    ) {
        self.scheme = scheme
        self.round = round
        self.digest = digest
        self.authorityNames = authorityNames
    }
}

/// What goes into SIG, and the certificates that go with it.
package struct DigestProof: Hashable, Sendable {
    package var signature: [UInt8]
    /// DER, the end entity's own first.
    package var certificates: [[UInt8]]

    package init(signature: [UInt8], certificates: [[UInt8]] = []) {
        self.signature = signature
        self.certificates = certificates
    }
}

/// What the peer signed in IKEv1's phase 1.
package struct DigestVerification: Hashable, Sendable {
    package var scheme: SignatureScheme
    package var round: AuthenticationRound
    package var identity: Identity
    package var digest: [UInt8]
    package var proof: DigestProof

    package init(
        scheme: SignatureScheme, round: AuthenticationRound, identity: Identity, digest: [UInt8], proof: DigestProof
    ) {
        self.scheme = scheme
        self.round = round
        self.identity = identity
        self.digest = digest
        self.proof = proof
    }
}
