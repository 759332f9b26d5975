import Certificates
import Cryptography
import IPsec
import Primitives

// Signatures that rest on certificates: our own, and the judgement over the peer's.
extension CertificateStore {
    // MARK: Our own proof

    /// Our signature in IKE_AUTH.
    func sign(_ signing: MessageSigning, keys: [PrivateKey], _ circumstances: Circumstances)
        -> CredentialStore.Judgement
    {
        let wanted = Set(signing.authorityHashes)
        let candidates = candidates(signing.round, keys)
        for candidate in sorted(candidates, by: { wanted.contains($0.keyHash) }) {
            guard
                let (method, data) = MessageSignature.make(
                    signing.octets, candidate.key, hashes: signing.hashes, announced: signing.announced,
                    constraint: signing.round.method.keyConstraint)
            else { continue }
            var proof = MessageProof(method: method, data: data, certificates: candidate.sent)
            if signing.saysLocations { locate(candidate.chain, in: &proof) }
            guard signing.wantsStatuses else { return .init(.signedMessage(proof)) }
            let (statuses, open) = statuses(of: candidate.chain, circumstances)
            proof.statuses = statuses
            return .init(.signedMessage(proof), open)
        }
        // Without a certificate the peer must know the key itself.
        for publicKey in signing.round.admittedKeys where candidates.isEmpty {
            guard let key = keys.first(where: { $0.publicKey == publicKey }),
                let (method, data) = MessageSignature.make(
                    signing.octets, key, hashes: signing.hashes, announced: signing.announced,
                    constraint: signing.round.method.keyConstraint)
            else { continue }
            var proof = MessageProof(method: method, data: data)
            if signing.saysPublicKey { proof.publicKeys = [publicKey.subjectPublicKeyInfo] }
            return .init(.signedMessage(proof))
        }
        return .init(.noCredential)
    }

    /// Says where the certificates are that can be fetched, if our own is one of them.
    private func locate(_ chain: [Certificate], in proof: inout MessageProof) {
        for (index, certificate) in chain.enumerated() where index + 1 < chain.count {
            guard let base = uriBases[chain[index + 1].keyHash],
                let hash = try? Digest.compute(.sha1, [.open(certificate.octets)])
            else {
                if index == 0 { return }
                continue
            }
            proof.locations.append(CertificateLocation(hash: hash, uri: base + hash.hex))
            proof.certificates.removeAll { $0 == certificate.octets }
        }
    }

    /// What responders say of our own certificates, and whom to ask where nothing is known (RFC 4806 §4.2).
    private func statuses(
        of chain: [Certificate], _ circumstances: Circumstances
    ) -> (responses: [[UInt8]], open: [RevocationInquiry]) {
        let store = RevocationStore(locations: locations).adding(circumstances.fetched)
        var found: [[UInt8]] = []
        var open: [RevocationInquiry] = []
        for (certificate, issuer) in zip(chain, chain.dropFirst()) {
            if let response = store.currentResponse(for: certificate, issuer: issuer, now: circumstances.now) {
                if !found.contains(response.octets) { found.append(response.octets) }
            } else {
                open += store.responderInquiries(about: certificate, issuer: issuer, asked: circumstances.asked)
            }
        }
        return (found, open)
    }

    /// Our signature in phase 1.
    func sign(_ signing: DigestSigning, keys: [PrivateKey]) -> Answer {
        let wanted = Set(signing.authorityNames)
        let candidates = candidates(signing.round, keys)
        for candidate in sorted(candidates, by: { wanted.contains($0.subject.octets) }) {
            guard signing.scheme.fits(candidate.key.publicKey.kind),
                let signature = try? candidate.key.sign(signing.digest, signing.scheme)
            else { continue }
            return .signedDigest(DigestProof(signature: signature, certificates: candidate.sent))
        }
        return .noCredential
    }

    /// A key with its certificate and those above it.
    private struct Candidate {
        var key: PrivateKey
        var chain: [Certificate]

        /// The root is the peer's own business.
        var sent: [[UInt8]] {
            chain.enumerated().filter { $0.offset == 0 || !$0.element.isSelfIssued }.map(\.element.octets)
        }
    }

    private func candidates(_ round: AuthenticationRound, _ keys: [PrivateKey]) -> [Candidate] {
        round.certificates.certificates.compactMap { octets in
            guard let certificate = try? Certificate(parsing: octets),
                let key = keys.first(where: { $0.isKey(of: certificate) })
            else { return nil }
            return Candidate(key: key, chain: chain(of: certificate))
        }
    }

    /// Those first that come from whom the peer asks for; it may still take another.
    private func sorted(_ candidates: [Candidate], by isWanted: (Certificate) -> Bool) -> [Candidate] {
        candidates.filter { $0.chain.contains(where: isWanted) }
            + candidates.filter { !$0.chain.contains(where: isWanted) }
    }

    /// The certificate and those above it that are here, by name and key.
    func chain(of certificate: Certificate) -> [Certificate] {
        var chain = [certificate]
        while let last = chain.last, !last.isSelfIssued, chain.count < PathBuilder.maximumLength {
            let issuers = authorities.map(\.certificate).filter {
                $0.subject.isSame(as: last.issuer) && !chain.contains($0)
            }
            let issuer = issuers.first { issuer in
                last.signatureAlgorithm.map { issuer.verifies(last.signature, over: last.signedOctets, $0) } ?? false
            }
            guard let issuer else { break }
            chain.append(issuer)
        }
        return chain
    }

    // MARK: The peer's proof

    /// The peer's signature in IKE_AUTH.
    func verify(_ verification: MessageVerification, _ circumstances: Circumstances) -> CredentialStore.Judgement {
        var circumstances = circumstances
        circumstances.fetched.responses += verification.proof.statuses.compactMap { try? OCSPResponse(parsing: $0) }
        // Nothing can be judged before the certificates are here.
        let places = verification.proof.locations.compactMap { RevocationInquiry($0) }
        let open = places.filter { inquiry in
            guard case .certificate(let hash, _) = inquiry.subject else { return false }
            return circumstances.fetched.located[hash] == nil && !circumstances.asked.contains(inquiry)
        }
        if !open.isEmpty { return .init(.noCredential, open) }
        let located = verification.proof.locations.flatMap { circumstances.fetched.located[$0.hash] ?? [] }
        return verify(
            verification.round, verification.identity,
            located.map(\.octets) + verification.proof.certificates, circumstances
        ) { key in
            MessageSignature.algorithm(verification.proof, over: verification.octets, key: key).map { .signed($0) }
        }
    }

    /// The peer's signature in phase 1.
    func verify(_ verification: DigestVerification, _ circumstances: Circumstances) -> CredentialStore.Judgement {
        let scheme = verification.scheme
        return verify(
            verification.round, verification.identity, verification.proof.certificates, circumstances
        ) { subjectPublicKeyInfo in
            guard let key = try? PublicKey(parsing: subjectPublicKeyInfo), scheme.fits(key.kind) else { return nil }
            return key.verifies(verification.proof.signature, over: verification.digest, scheme) ? .bare : nil
        }
    }

    /// A signature that holds.
    private enum Signature {
        case signed(SignatureAlgorithm)
        /// In phase 1, where the hash is that of the negotiation (RFC 2409 §5.1).
        case bare

        /// What is wrong with it where the round wants another.
        func defect(_ round: AuthenticationRound) -> MessageDefect? {
            guard case .signed(let algorithm) = self, let wanted = round.method.keyConstraint,
                !wanted.admitsInMessages(algorithm)
            else { return nil }
            return MessageDefect(algorithm, wanted: wanted)
        }
    }

    /// What a proof is judged by besides this store.
    struct Circumstances {
        var trustedKeys: [PublicKey]
        /// What was learned of revocation elsewhere.
        var fetched = RevocationStore()
        /// What need not be asked (again).
        var asked: Set<RevocationInquiry> = []
        var now: WallTime
    }

    /// - Parameters:
    ///   - presented: in DER, the end entity's own first.
    ///   - holds: how the signature was made, if it is that of the key in a SubjectPublicKeyInfo.
    private func verify(
        _ round: AuthenticationRound, _ identity: Identity, _ octets: [[UInt8]], _ circumstances: Circumstances,
        holds: ([UInt8]) -> Signature?
    ) -> CredentialStore.Judgement {
        let trustedKeys = circumstances.trustedKeys
        let hasRawKey = !trustedKeys.isEmpty && octets.isEmpty && !round.certificates.wantsCertificate
        if !round.publicKeyFiles.isEmpty || hasRawKey {
            let unnamed = identity.kind == .keyID ? trustedKeys.filter { $0.identifier == identity.octets } : []
            let fitting = (round.publicKeys + unnamed).filter { round.method.admits($0.kind) }
            if fitting.isEmpty { return .init(.noCredential) }
            var proven: Signature?
            for key in fitting where proven == nil { proven = holds(key.subjectPublicKeyInfo) }
            guard let signature = proven else { return .init(.refuted) }
            if let defect = signature.defect(round) {
                var report = ChainReport(wanted: identity, present: [], links: [])
                report.message = defect
                return .init(.distrusted(report))
            }
            return .init(.verified(PeerAuthenticated(verified: identity)))
        }
        let presented = octets.compactMap { try? Certificate(parsing: $0) }
        let known = entities.map(\.certificate).filter { $0.names(identity) }
        let named = round.certificates.certificates.compactMap { try? Certificate(parsing: $0) }
        let required = round.certificates.authorities.compactMap { try? Certificate(parsing: $0) }
        // What a connection names and nobody has is no permission for all the others.
        guard round.certificates.certificateFiles.isEmpty || !named.isEmpty,
            round.certificates.authorityFiles.isEmpty || !required.isEmpty
        else { return .init(.noCredential) }
        let candidates = presented.isEmpty ? named + known : [presented[0]]
        if candidates.isEmpty { return .init(.noCredential) }
        // A proof that does not hold is not worth the search for a path.
        var entity = candidates[0]
        var proven: Signature?
        for candidate in candidates where proven == nil {
            proven = holds(candidate.subjectPublicKeyInfo)
            entity = candidate
        }
        guard let signature = proven else { return .init(.refuted) }
        let revocation = RevocationStore(lists: lists, locations: locations).adding(circumstances.fetched)
        var policy = CertificatePolicy()
        policy.revocation = round.certificates.revocation
        policy.keys = round.method.keyConstraint
        policy.authorityIdentity = round.certificates.authorityIdentity
        policy.certificatePolicies = round.certificates.policies
        var builder = PathBuilder(
            anchors: anchors + required.filter(\.isSelfIssued),
            intermediates: (authorities.map(\.certificate) + required).filter { !$0.isSelfIssued },
            trustedEntities: entities.map(\.certificate) + named, revocation: revocation, policy: policy)
        func find() -> Result<ValidatedPath, ChainReport> {
            builder.path(
                for: entity, presented: Array(presented.dropFirst()), identity: identity, authorities: required,
                now: circumstances.now)
        }
        let result = find()
        var path = try? result.get()
        if path == nil, policy.revocation != .relaxed {
            // It may be that nothing is missing but somebody's word about revocation.
            builder.policy.revocation = .relaxed
            path = try? find().get()
        }
        let open = path?.inquiries(revocation, asked: circumstances.asked, now: circumstances.now) ?? []
        switch result {
        case .failure(let report): return .init(.distrusted(report), open)
        case .success(let path):
            if let defect = signature.defect(round) {
                var report = path.report
                report.message = defect
                return .init(.distrusted(report))
            }
            guard named.isEmpty || named.contains(entity) else { return .init(.refuted) }
            return .init(.verified(PeerAuthenticated(verified: identity)), open)
        }
    }
}
