import IPsec

/// Who may sign lists about a certificate besides its issuer, by the issuer's word.
struct ListSigner: Hashable, Sendable {
    let certificate: Certificate
    /// Who issued it; `nil`: it stands in the path, and is judged there.
    let issuer: Certificate?

    /// Who else may say whether it was revoked itself: an authority may name nobody but the signer.
    var signers: [Certificate] {
        let subject = certificate.subject
        let speaksForItself = certificate.extensions.distributionPoints.contains { point in
            point.issuers.contains { $0.isSame(as: subject) }
        }
        return speaksForItself ? [certificate] : []
    }
}

extension PathJudge {
    /// Signers that are looked for, for one certificate.
    private static let maximumListSigners = 8

    /// Others who may sign lists about the certificate at `index` (RFC 5280 §6.3.3 (f)): older and newer keys of its issuer, or
    /// one for lists alone, and those whom its points name. Each stands in the path above, or was issued by an authority of that,
    /// so that it leads to the same trusted one, and is held to the same policy about revocation.
    func listSigners(_ index: Int) -> [ListSigner] {
        guard index + 1 < path.count else { return [] }
        let above = path[(index + 1)...]
        let authority = path[index + 1]
        let named = path[index].extensions.distributionPoints.flatMap(\.issuers).filter {
            !$0.isSame(as: authority.subject)
        }
        let names = [authority.subject] + Set(named)
        let wanted = names.filter { name in
            revocation.lists.contains { $0.issuer.isSame(as: name) && !$0.isSigned(by: authority) }
        }
        if wanted.isEmpty { return [] }
        var found: [ListSigner] = []
        for candidate in pool {
            guard found.count < PathJudge.maximumListSigners, candidate != authority,
                wanted.contains(where: { $0.isSame(as: candidate.subject) }),
                candidate.extensions.keyUsage?.contains(.revocationListSigning) != false,
                !found.contains(where: { $0.certificate == candidate })
            else { continue }
            if let same = above.first(where: { $0 == candidate }) {
                // The path itself is judged by its own checks.
                found.append(ListSigner(certificate: same, issuer: nil))
            } else if let issuer = issuer(of: candidate, above) {
                found.append(ListSigner(certificate: candidate, issuer: issuer))
            }
        }
        return found
    }

    /// The authority of the path that lets a certificate sign lists; `nil`: none does.
    private func issuer(of candidate: Certificate, _ authorities: ArraySlice<Certificate>) -> Certificate? {
        guard validityProblem(candidate) == nil, candidate.extensions.unknownCritical.isEmpty,
            keyProblem(candidate, isEntity: false) == nil, let algorithm = candidate.signatureAlgorithm,
            !policy.refuses(algorithm)
        else { return nil }
        let index = authorities.indices.first { index in
            let issuer = authorities[index]
            guard candidate.issuer.isSame(as: issuer.subject),
                issuer.verifies(candidate.signature, over: candidate.signedOctets, algorithm),
                nameProblem(candidate, under: authorities[index...]) == nil
            else { return false }
            let signers = ListSigner(certificate: candidate, issuer: issuer).signers
            let status = revocation.status(of: candidate, issuer: issuer, signers: signers, now: now)
            return revocationProblem(candidate, issuer, status) == nil
        }
        return index.map { authorities[$0] }
    }
}
