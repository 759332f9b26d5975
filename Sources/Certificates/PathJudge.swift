import Cryptography
import IPsec
import Primitives

/// Holds one path to the rules.
struct PathJudge {
    let path: [Certificate]
    /// Whether its last certificate is trusted.
    let isTrusted: Bool
    let policy: CertificatePolicy
    let revocation: RevocationStore
    let authorities: [Certificate]
    /// The certificates among which the path was found.
    let pool: [Certificate]
    let identity: Identity?
    let now: WallTime

    func report() -> ChainReport {
        var report = ChainReport(
            wanted: identity, present: path.first?.names ?? [],
            links: path.map {
                ChainReport.Link(subject: $0.subject, issuer: $0.issuer, serialNumber: $0.serialNumber)
            })
        let signatures = path.indices.map(signatureOutcome)
        // Names, policies and revocation are only worth a look, and its cost, where the path is the work of those it names.
        let isSigned = isTrusted && !signatures.contains { if case .failed = $0 { true } else { false } }
        let policyFailure =
            isSigned
            ? PolicyProcessing.failure(
                in: path, initial: policy.initialPolicies, wanted: policy.certificatePolicies) : nil
        for index in path.indices {
            report.links[index].findings = CertificateCheck.allCases.map { check in
                ChainReport.Finding(
                    check: check,
                    outcome: check == .signature
                        ? signatures[index] : outcome(check, index, isSigned: isSigned, policyFailure: policyFailure))
            }
        }
        return report
    }

    private func outcome(
        _ check: CertificateCheck, _ index: Int, isSigned: Bool,
        policyFailure: (index: Int, failure: PolicyProcessing.Failure)?
    ) -> ChainReport.Outcome {
        let problem: CertificateProblem?
        let certificate = path[index]
        switch check {
        case .key: problem = keyProblem(certificate, isEntity: index == 0)
        case .issuer: problem = issuerProblem(index)
        case .signature: return signatureOutcome(index)
        case .validity: problem = validityProblem(certificate)
        case .criticalExtensions:
            let unknown = certificate.extensions.unknownCritical
            problem = unknown.isEmpty ? nil : .unknownCriticalExtensions(unknown)
        case .authority:
            guard index > 0 else { return .skipped }
            problem = authorityProblem(index)
        case .pathLength:
            guard index > 0, let allowed = certificate.extensions.basicConstraints?.pathLength else { return .skipped }
            let found = path[1..<index].count { !$0.isSelfIssued }
            problem = found > allowed ? .pathTooLong(allowed: allowed, found: found) : nil
        case .keyUsage:
            guard let usage = certificate.extensions.keyUsage else { return .skipped }
            problem = usageProblem(usage, index)
        case .purpose:
            guard let purposes = certificate.extensions.purposes, !isAnchor(index) || index == 0 else {
                return .skipped
            }
            problem = policy.purposes.isDisjoint(with: purposes) ? .purposes(purposes) : nil
        case .nameConstraints:
            guard isSigned, !isAnchor(index) else { return .skipped }
            problem = nameProblem(index)
        case .policies:
            guard isSigned, !isAnchor(index) || index == 0 else { return .skipped }
            if let policyFailure, policyFailure.index == index {
                switch policyFailure.failure {
                case .missing: return .failed(.policyMissing)
                case .absent(let policies): return .failed(.policiesAbsent(policies))
                }
            }
            // Who rests on it was found to fail above.
            if policyFailure.map({ $0.index > index }) ?? policy.certificatePolicies.isEmpty { return .skipped }
            problem = nil
        case .revocation:
            guard isSigned, !isAnchor(index) else { return .skipped }
            problem = revocationProblem(index)
        case .identity:
            guard index == 0, let identity else { return .skipped }
            problem = certificate.names(identity) ? nil : .identityAbsent
        case .trust:
            guard index == path.count - 1 else { return .skipped }
            problem = trustProblem()
        }
        return problem.map { .failed($0) } ?? .passed
    }

    private func isAnchor(_ index: Int) -> Bool { isTrusted && index == path.count - 1 }

    func keyProblem(_ certificate: Certificate, isEntity: Bool) -> CertificateProblem? {
        guard let key = certificate.key, key.kind != .dsa || !isEntity || policy.admitsDSAEntities else {
            return .unknownKey
        }
        let minimum: Int =
            switch key.kind {
            case .rsa, .rsaPSS, .dsa: policy.minimumModulusBits
            case .ecdsa: 224
            case .ed25519, .ed448: 0
            }
        if key.bits < minimum { return .weakKey(key) }
        guard let keys = policy.keys, !(isEntity ? keys.admits(key) : keys.admitsAuthority(key)) else { return nil }
        return .keyNotAdmitted(key, keys)
    }

    private func issuerProblem(_ index: Int) -> CertificateProblem? {
        if isAnchor(index) { return nil }
        guard index + 1 < path.count else {
            return path[index].isSelfIssued ? nil : .issuerMissing(path[index].issuer)
        }
        if let wanted = path[index].extensions.authorityKeyIdentifier,
            let found = path[index + 1].extensions.subjectKeyIdentifier, wanted != found
        {
            return .otherIssuerKey(wanted: wanted, found: found)
        }
        return nil
    }

    private func signatureOutcome(_ index: Int) -> ChainReport.Outcome {
        // What is trusted is trusted whoever signed it (RFC 5280 §6.1.1 (d)).
        guard !isAnchor(index), index + 1 < path.count else { return .skipped }
        let certificate = path[index]
        guard let algorithm = certificate.signatureAlgorithm else { return .failed(.unknownAlgorithm) }
        if policy.refuses(algorithm) { return .failed(.weakAlgorithm(algorithm)) }
        if let keys = policy.keys, !keys.admitsInCertificates(algorithm) {
            return .failed(.algorithmNotAdmitted(algorithm, keys))
        }
        return path[index + 1].verifies(certificate.signature, over: certificate.signedOctets, algorithm)
            ? .passed : .failed(.badSignature)
    }

    func validityProblem(_ certificate: Certificate) -> CertificateProblem? {
        if now < certificate.notBefore { return .notYetValid(from: certificate.notBefore, now: now) }
        if now > certificate.notAfter { return .expired(until: certificate.notAfter, now: now) }
        return nil
    }

    private func authorityProblem(_ index: Int) -> CertificateProblem? {
        let certificate = path[index]
        if certificate.isAuthority { return nil }
        // Versions 1 and 2 cannot say it; who put such a certificate among the trusted says it for them.
        return isAnchor(index) && certificate.version < 3 ? nil : .notAuthority
    }

    private func usageProblem(_ usage: CertificateExtensions.KeyUsage, _ index: Int) -> CertificateProblem? {
        if index > 0 { return usage.contains(.certificateSigning) ? nil : .keyUsageLacks("keyCertSign") }
        return usage.isDisjoint(with: [.digitalSignature, .nonRepudiation])
            ? .keyUsageLacks("digitalSignature") : nil
    }

    private func nameProblem(_ index: Int) -> CertificateProblem? {
        // A CA's rollover certificates are exempt, the last certificate never is (RFC 5280 §6.1.3 (b)).
        if index > 0, path[index].isSelfIssued { return nil }
        return nameProblem(path[index], under: path[(index + 1)...])
    }

    func nameProblem(_ certificate: Certificate, under authorities: ArraySlice<Certificate>) -> CertificateProblem? {
        var names = certificate.names
        if !names.contains(where: { if case .email = $0 { true } else { false } }) {
            let email: [UInt8] = [0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 1, 9, 1]
            names += certificate.subject.values(email).map { .email($0) }
        }
        for authority in authorities {
            let extensions = authority.extensions
            for name in names {
                let excluded = extensions.excludedSubtrees.first { subtree in
                    guard subtree.isOfForm(of: name) else { return false }
                    // What cannot be compared might be within.
                    if case .other = subtree { return true }
                    return subtree.contains(name)
                }
                if let excluded { return .nameExcluded(name, excluded, by: authority.subject) }
                let permitted = extensions.permittedSubtrees.filter { $0.isOfForm(of: name) }
                // IPv4 and IPv6 addresses are one form of name: a permitted block of one family leaves none of the other.
                let isOtherFamily =
                    permitted.isEmpty && name.isAddress && extensions.permittedSubtrees.contains(where: \.isBlock)
                if isOtherFamily || !permitted.isEmpty && !permitted.contains(where: { $0.contains(name) }) {
                    return .nameNotPermitted(name, by: authority.subject)
                }
            }
        }
        return nil
    }

    private func revocationProblem(_ index: Int) -> CertificateProblem? {
        guard index + 1 < path.count else { return nil }
        let issuer = path[index + 1]
        let signers = listSigners(index).map(\.certificate)
        let status = revocation.status(of: path[index], issuer: issuer, signers: signers, now: now)
        return revocationProblem(path[index], issuer, status)
    }

    /// What the policy makes of what is known.
    func revocationProblem(
        _ certificate: Certificate, _ issuer: Certificate, _ status: RevocationStore.Status
    ) -> CertificateProblem? {
        switch status {
        case .good: return nil
        case .revoked(let date, let reason): return .revoked(date, reason)
        case .unknown(let gap):
            switch policy.revocation {
            case .relaxed: return nil
            case .ifURI: return revocation.saysWhere(certificate, issuer: issuer) ? .revocationUnknown(gap) : nil
            case .strict: return .revocationUnknown(gap)
            }
        }
    }

    private func trustProblem() -> CertificateProblem? {
        guard isTrusted else { return .untrusted }
        if !authorities.isEmpty, !path.contains(where: authorities.contains) { return .authorityNotNamed }
        guard let wanted = policy.authorityIdentity, !path.dropFirst().contains(where: { $0.names(wanted) }) else {
            return nil
        }
        return .authorityIdentityAbsent(wanted)
    }
}

extension SubjectName {
    fileprivate var isAddress: Bool { if case .address = self { true } else { false } }
}

extension NameSubtree {
    fileprivate var isBlock: Bool { if case .addresses = self { true } else { false } }
}
