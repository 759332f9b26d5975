package import IPsec
package import Primitives

/// A certification authority that issues for IKE: its certificate, and somebody who signs for it.
package struct Authority: Sendable {
    package var certificate: Certificate
    package var signer: Signer

    package init(certificate: Certificate, signer: Signer) {
        self.certificate = certificate
        self.signer = signer
    }

    /// How long a certificate holds.
    package struct Validity: Hashable, Sendable {
        package var notBefore: WallTime
        package var notAfter: WallTime

        /// From an hour ago, so that peers whose clocks are behind accept it at once.
        package init(now: WallTime, days: Int) {
            notBefore = WallTime(seconds: now.seconds - 3600)
            notAfter = WallTime(seconds: now.seconds + Int64(days) * 86_400)
        }
    }

    /// What an end entity's certificate says of it.
    package struct Subject: Hashable, Sendable {
        package var name: DistinguishedName
        package var alternativeNames: [SubjectName]
        package var subjectPublicKeyInfo: [UInt8]
        package var purposes: [CertificatePurpose]
        /// Under which the certificate is issued, as dotted numbers.
        package var policies: [String] = []

        package init(
            name: DistinguishedName, alternativeNames: [SubjectName], subjectPublicKeyInfo: [UInt8],
            purposes: [CertificatePurpose] = Subject.usualPurposes
        ) {
            self.name = name
            self.alternativeNames = alternativeNames
            self.subjectPublicKeyInfo = subjectPublicKeyInfo
            self.purposes = purposes
        }

        /// What every peer looks for: Windows wants serverAuth of a gateway and clientAuth of a client, older Apple and
        /// Windows clients iKEIntermediate, RFC 4945 §5.1.3.12 ipsecIKE.
        package static let usualPurposes: [CertificatePurpose] = [
            .serverAuthentication, .clientAuthentication, .ipsecIKE, .ikeIntermediate,
        ]
    }

    /// What an authority's certificate says besides its name.
    package struct Limits: Hashable, Sendable {
        package var pathLength: Int?
        package var permitted: [NameSubtree] = []
        package var excluded: [NameSubtree] = []
        /// Under which it issues, as dotted numbers (RFC 5280 §4.2.1.4).
        package var policies: [String] = []

        package init(pathLength: Int? = nil, permitted: [NameSubtree] = [], excluded: [NameSubtree] = []) {
            self.pathLength = pathLength
            self.permitted = permitted
            self.excluded = excluded
        }
    }

    /// A new authority that vouches for itself.
    package static func root(
        _ name: DistinguishedName, subjectPublicKeyInfo: [UInt8], serialNumber: [UInt8], validity: Validity,
        limits: Limits = Limits(), signer: Signer
    ) throws(Signer.Failure) -> Authority {
        let template = template(
            name, issuer: name, subjectPublicKeyInfo, serialNumber, validity, limits, authorityKey: nil)
        return Authority(certificate: try template.signed(by: signer), signer: signer)
    }

    /// The certificate of an authority below this one.
    package func subordinate(
        _ name: DistinguishedName, subjectPublicKeyInfo: [UInt8], serialNumber: [UInt8], validity: Validity,
        limits: Limits = Limits()
    ) throws(Signer.Failure) -> Certificate {
        try Authority.template(
            name, issuer: certificate.subject, subjectPublicKeyInfo, serialNumber, clamped(validity), limits,
            authorityKey: keyIdentifier
        ).signed(by: signer)
    }

    private static func template(
        _ name: DistinguishedName, issuer: DistinguishedName, _ subjectPublicKeyInfo: [UInt8], _ serialNumber: [UInt8],
        _ validity: Validity, _ limits: Limits, authorityKey: [UInt8]?
    ) -> CertificateTemplate {
        var extensions: [EncodedExtension] = [
            .basicConstraints(isAuthority: true, pathLength: limits.pathLength),
            .keyUsage([.certificateSigning, .revocationListSigning]),
        ]
        if let identifier = KeyIdentifier.of(subjectPublicKeyInfo: subjectPublicKeyInfo) {
            extensions.append(.subjectKeyIdentifier(identifier))
        }
        if let authorityKey { extensions.append(.authorityKeyIdentifier(authorityKey)) }
        if !limits.permitted.isEmpty || !limits.excluded.isEmpty {
            extensions.append(.nameConstraints(permitted: limits.permitted, excluded: limits.excluded))
        }
        if !limits.policies.isEmpty { extensions.append(.policies(limits.policies)) }
        return CertificateTemplate(
            serialNumber: serialNumber, issuer: issuer, subject: name, notBefore: validity.notBefore,
            notAfter: validity.notAfter, subjectPublicKeyInfo: subjectPublicKeyInfo, extensions: extensions)
    }

    /// A certificate for an end entity.
    ///
    /// - Parameter locations: where the authority's revocation lists and its OCSP responder are: URIs.
    package func issue(
        _ subject: Subject, serialNumber: [UInt8], validity: Validity,
        locations: (lists: [String], responders: [String]) = ([], [])
    ) throws(Signer.Failure) -> Certificate {
        var extensions: [EncodedExtension] = [
            .basicConstraints(isAuthority: false), .keyUsage([.digitalSignature]),
            .authorityKeyIdentifier(keyIdentifier),
        ]
        if let identifier = KeyIdentifier.of(subjectPublicKeyInfo: subject.subjectPublicKeyInfo) {
            extensions.append(.subjectKeyIdentifier(identifier))
        }
        if !subject.purposes.isEmpty { extensions.append(.purposes(subject.purposes)) }
        if !subject.policies.isEmpty { extensions.append(.policies(subject.policies)) }
        // Without a subject the other names must be understood (RFC 5280 §4.2.1.6).
        if !subject.alternativeNames.isEmpty {
            extensions.append(.names(subject.alternativeNames, isCritical: subject.name.isEmpty))
        }
        if !locations.lists.isEmpty { extensions.append(.revocationLists(locations.lists)) }
        if !locations.responders.isEmpty { extensions.append(.ocspResponders(locations.responders)) }
        let validity = clamped(validity)
        return try CertificateTemplate(
            serialNumber: serialNumber, issuer: certificate.subject, subject: subject.name,
            notBefore: validity.notBefore, notAfter: validity.notAfter,
            subjectPublicKeyInfo: subject.subjectPublicKeyInfo, extensions: extensions
        ).signed(by: signer)
    }

    /// A list of what was revoked: what `previous` has, and `revoked`.
    package func revocationList(
        adding revoked: [[UInt8]: RevocationList.Entry], to previous: RevocationList?, validity: Validity, now: WallTime
    ) throws(Signer.Failure) -> RevocationList {
        let number = (previous?.number ?? [0]).suffix(7).reduce(0) { $0 << 8 | Int($1) } + 1
        return try RevocationListTemplate(
            issuer: certificate.subject, thisUpdate: now, nextUpdate: validity.notAfter,
            entries: (previous?.entries ?? [:]).merging(revoked) { $1 }, number: number,
            authorityKeyIdentifier: keyIdentifier
        ).signed(by: signer)
    }

    private var keyIdentifier: [UInt8] {
        certificate.extensions.subjectKeyIdentifier ?? KeyIdentifier.of(certificate.keyBits)
    }

    /// Nothing that is issued outlives its issuer.
    private func clamped(_ validity: Validity) -> Validity {
        var validity = validity
        validity.notAfter = min(validity.notAfter, certificate.notAfter)
        validity.notBefore = max(validity.notBefore, certificate.notBefore)
        return validity
    }
}
