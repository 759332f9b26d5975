package import Cryptography
package import Primitives

/// One rule that each certificate of a path is held to.
package enum CertificateCheck: String, CaseIterable, Hashable, Sendable {
    /// Its key is of a known kind and strong enough.
    case key
    /// Somebody known issued it, and says so by key (RFC 5280 §6.1.3 (a)(4), §4.2.1.1).
    case issuer
    /// The issuer's signature holds (RFC 5280 §6.1.3 (a)(1)).
    case signature
    /// The time is within its validity (RFC 5280 §6.1.3 (a)(2)).
    case validity
    /// Every critical extension is understood (RFC 5280 §6.1.4 (o)).
    case criticalExtensions
    /// It is a CA's where it issued another (RFC 5280 §6.1.4 (k)).
    case authority
    /// No more CAs follow than it allows (RFC 5280 §6.1.4 (l), (m)).
    case pathLength
    /// Its key may do what it did (RFC 5280 §6.1.4 (n), RFC 4945 §5.1.3.2).
    case keyUsage
    /// It may be used with IKE (RFC 4945 §5.1.3.12).
    case purpose
    /// Its names are such as the CAs above it may certify (RFC 5280 §6.1.3 (b), (c)).
    case nameConstraints
    /// It was issued under the policies that the connection names (RFC 5280 §6.1.3 (d)).
    case policies
    /// It was not revoked (RFC 5280 §6.1.3 (a)(3)).
    case revocation
    /// It names whom the peer claims to be (RFC 4945 §3.1).
    case identity
    /// The path ends in an authority that is trusted, and one that the connection names where it names any.
    case trust
}

/// Why a certificate fails a check.
package enum CertificateProblem: Hashable, Sendable {
    case unknownKey
    case weakKey(KeyDescription)
    /// The round's `auth` wants another.
    case keyNotAdmitted(KeyDescription, KeyConstraint)
    case issuerMissing(DistinguishedName)
    case otherIssuerKey(wanted: [UInt8], found: [UInt8])
    case unknownAlgorithm
    case weakAlgorithm(SignatureAlgorithm)
    /// The round's `auth` wants another.
    case algorithmNotAdmitted(SignatureAlgorithm, KeyConstraint)
    case badSignature
    case notYetValid(from: WallTime, now: WallTime)
    case expired(until: WallTime, now: WallTime)
    case unknownCriticalExtensions([String])
    case notAuthority
    case pathTooLong(allowed: Int, found: Int)
    case keyUsageLacks(String)
    case purposes([CertificatePurpose])
    case nameNotPermitted(SubjectName, by: DistinguishedName)
    case nameExcluded(SubjectName, NameSubtree, by: DistinguishedName)
    case revoked(WallTime, RevocationReason)
    case revocationUnknown(RevocationGap)
    case identityAbsent
    case untrusted
    case authorityNotNamed
    case authorityIdentityAbsent(IdentityPattern)
    case policiesAbsent([String])
    /// An authority above wants a policy that the whole path agrees on (RFC 5280 §6.1.3 (f)), and there is none.
    case policyMissing
}

/// Why nothing is known about a certificate's revocation.
package enum RevocationGap: Hashable, Sendable {
    case noInformation
    case stale(nextUpdate: WallTime?)
    case badSignature
    case issuerMayNotSign
    case unknownCriticalExtensions([String])
    case responderDoesNotKnow
    /// Lists are there that speak of some reasons for a revocation alone (RFC 5280 §5.2.5).
    case someReasons
    /// What is there is signed over a hash that has collisions, or its signer's certificate is.
    case weakAlgorithm(SignatureAlgorithm)
}

/// A good signature of a kind that the round does not take.
package struct MessageDefect: Hashable, Sendable {
    package var algorithm: SignatureAlgorithm
    package var wanted: KeyConstraint

    package init(_ algorithm: SignatureAlgorithm, wanted: KeyConstraint) {
        self.algorithm = algorithm
        self.wanted = wanted
    }
}

/// How a path of certificates fared: each certificate, each check, and the identity that was wanted beside the names
/// that are there.
package struct ChainReport: Error, Hashable, Sendable {
    package enum Outcome: Hashable, Sendable {
        case passed
        /// It does not apply here, or could not be made after another failure.
        case skipped
        case failed(CertificateProblem)
    }

    package struct Finding: Hashable, Sendable {
        package var check: CertificateCheck
        package var outcome: Outcome

        package init(check: CertificateCheck, outcome: Outcome) {
            self.check = check
            self.outcome = outcome
        }
    }

    package struct Link: Hashable, Sendable {
        package var subject: DistinguishedName
        package var issuer: DistinguishedName
        package var serialNumber: [UInt8]
        package var findings: [Finding]

        package init(
            subject: DistinguishedName, issuer: DistinguishedName, serialNumber: [UInt8], findings: [Finding] = []
        ) {
            self.subject = subject
            self.issuer = issuer
            self.serialNumber = serialNumber
            self.findings = findings
        }

        package var problems: [(check: CertificateCheck, problem: CertificateProblem)] {
            findings.compactMap { finding in
                if case .failed(let problem) = finding.outcome { return (finding.check, problem) }
                return nil
            }
        }
    }

    /// `nil`: any identity would do.
    package var wanted: Identity?
    /// The names in the end entity's certificate.
    package var present: [SubjectName]
    /// The end entity first.
    package var links: [Link]

    /// The signature in AUTH holds, and the round's `auth` wants another.
    package var message: MessageDefect?

    package init(wanted: Identity?, present: [SubjectName], links: [Link]) {
        self.wanted = wanted
        self.present = present
        self.links = links
    }

    /// Every problem with the place of its certificate.
    package var problems: [(link: Int, check: CertificateCheck, problem: CertificateProblem)] {
        links.enumerated().flatMap { index, link in link.problems.map { (index, $0.check, $0.problem) } }
    }

    package var isGood: Bool { message == nil && links.allSatisfy { $0.problems.isEmpty } }
}
