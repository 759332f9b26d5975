package import Certificates
import Cryptography
package import IPsec
import Primitives

/// Certificates and revocation lists of this node, and the judgement over signatures that rest on certificates. A value.
package struct CertificateStore: Sendable {
    /// A certificate with the file that it comes from.
    package struct Filed: Hashable, Sendable {
        /// The file's name in its directory.
        package var file: String
        package var path: String
        package var certificate: Certificate

        package init(file: String, path: String, certificate: Certificate) {
            self.file = file
            self.path = path
            self.certificate = certificate
        }

        fileprivate func isNamed(_ name: String) -> Bool { name == file || name == path }
    }

    /// Of `x509`: end entities', which are trusted as they are.
    package var entities: [Filed]
    /// Of `x509ca`: trusted where each issued itself, else good to stand in between.
    package var authorities: [Filed]
    package var lists: [RevocationList]

    package init(entities: [Filed] = [], authorities: [Filed] = [], lists: [RevocationList] = []) {
        self.entities = entities
        self.authorities = authorities
        self.lists = lists
    }

    private var anchors: [Certificate] { authorities.map(\.certificate).filter(\.isSelfIssued) }

    /// Names in a configuration that no file answers to.
    package func missingFiles(_ policies: PolicyDatabase) -> [String] {
        policies.connections.flatMap { connection in
            (connection.local + connection.remote).flatMap { round in
                round.certificates.certificateFiles.filter { name in !entities.contains { $0.isNamed(name) } }
                    + round.certificates.authorityFiles.filter { name in !authorities.contains { $0.isNamed(name) } }
            }.map { "connection \(connection.name) names the certificate \($0), which is not there" }
        }
    }

    private static func certificates(_ names: [String], in filed: [Filed]) -> [Certificate] {
        names.flatMap { name in filed.filter { $0.isNamed(name) }.map(\.certificate) }
    }

    /// Our own round with the certificates that it can use: those that it names, or all whose keys are here; where it has
    /// no identity, the first one's subject, as charon does.
    func completing(local round: AuthenticationRound, keys: [PrivateKey]) -> AuthenticationRound {
        guard case .publicKey = round.method, round.publicKeyFiles.isEmpty else { return round }
        var round = round
        let named = round.certificates.certificateFiles
        let pool =
            named.isEmpty
            ? entities.map(\.certificate) : CertificateStore.certificates(named, in: entities)
        let usable = pool.filter { certificate in
            guard let key = keys.first(where: { $0.isKey(of: certificate) }), round.method.admits(key.kind) else {
                return false
            }
            return round.exactIdentity.map { !named.isEmpty || certificate.names($0) } ?? true
        }
        round.certificates.certificates = usable.map(\.octets)
        if round.exactIdentity == nil, let first = usable.first, !first.subject.isEmpty {
            round.identity = .exactly(first.identity)
        }
        return round
    }

    /// The peer's round with the certificates of the files that it names, and the authorities to ask it for.
    func completing(remote round: AuthenticationRound) -> AuthenticationRound {
        guard case .publicKey = round.method, round.publicKeyFiles.isEmpty else { return round }
        var round = round
        let constraints = round.certificates
        round.certificates.certificates = CertificateStore.certificates(constraints.certificateFiles, in: entities)
            .map(\.octets)
        let named = CertificateStore.certificates(constraints.authorityFiles, in: authorities)
        round.certificates.authorities = named.map(\.octets)
        round.certificates.authorityHashes = (named.isEmpty ? anchors : named).map(\.keyHash)
        return round
    }

    // MARK: Our own proof

    func sign(_ signing: MessageSigning, keys: [PrivateKey]) -> Answer {
        var candidates: [(key: PrivateKey, chain: [Certificate])] = []
        for octets in signing.round.certificates.certificates {
            guard let certificate = try? Certificate(parsing: octets),
                let key = keys.first(where: { $0.isKey(of: certificate) })
            else { continue }
            candidates.append((key, chain(of: certificate)))
        }
        // The one that the peer asks for first (RFC 7296 §3.7); it may still take another.
        let wanted = Set(signing.authorityHashes)
        let isWanted = candidates.map { !wanted.isDisjoint(with: $0.chain.map(\.keyHash)) }
        let order = candidates.indices.filter { isWanted[$0] } + candidates.indices.filter { !isWanted[$0] }
        for index in order {
            let (key, chain) = candidates[index]
            guard let (method, data) = MessageSignature.make(signing.octets, key, hashes: signing.hashes) else {
                continue
            }
            // The root is the peer's own business.
            let sent = chain.enumerated().filter { $0.offset == 0 || !$0.element.isSelfIssued }.map(\.element.octets)
            return .signedMessage(MessageProof(method: method, data: data, certificates: sent))
        }
        // Without a certificate the peer must know the key itself.
        for publicKey in signing.round.admittedKeys where candidates.isEmpty {
            guard let key = keys.first(where: { $0.publicKey == publicKey }),
                let (method, data) = MessageSignature.make(signing.octets, key, hashes: signing.hashes)
            else { continue }
            return .signedMessage(MessageProof(method: method, data: data))
        }
        return .noCredential
    }

    /// The certificate and those above it that are here, by name and key.
    private func chain(of certificate: Certificate) -> [Certificate] {
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

    func verify(_ verification: MessageVerification, trustedKeys: [PublicKey], now: WallTime) -> Answer {
        let round = verification.round
        let identity = verification.identity
        let isConstrained = !round.certificates.certificateFiles.isEmpty || !round.certificates.authorityFiles.isEmpty
        let hasRawKey = !trustedKeys.isEmpty && verification.proof.certificates.isEmpty && !isConstrained
        if !round.publicKeyFiles.isEmpty || hasRawKey {
            let unnamed = identity.kind == .keyID ? trustedKeys.filter { $0.identifier == identity.octets } : []
            let fitting = (round.publicKeys + unnamed).filter { round.method.admits($0.kind) }
            if fitting.isEmpty { return .noCredential }
            let holds = fitting.contains {
                MessageSignature.holds(verification.proof, over: verification.octets, key: $0.subjectPublicKeyInfo)
            }
            return holds ? .verified(PeerAuthenticated(verified: identity)) : .refuted
        }
        let presented = verification.proof.certificates.compactMap { try? Certificate(parsing: $0) }
        let known = entities.map(\.certificate).filter { $0.names(identity) }
        let named = round.certificates.certificates.compactMap { try? Certificate(parsing: $0) }
        let required = round.certificates.authorities.compactMap { try? Certificate(parsing: $0) }
        // What a connection names and nobody has is no permission for all the others.
        guard round.certificates.certificateFiles.isEmpty || !named.isEmpty,
            round.certificates.authorityFiles.isEmpty || !required.isEmpty
        else { return .noCredential }
        let candidates = presented.isEmpty ? named + known : [presented[0]]
        if candidates.isEmpty { return .noCredential }
        // A proof that does not hold is not worth the search for a path.
        let proven = candidates.first {
            MessageSignature.holds(verification.proof, over: verification.octets, key: $0.subjectPublicKeyInfo)
        }
        guard let entity = proven else { return .refuted }
        guard let key = try? PublicKey(parsing: entity.subjectPublicKeyInfo), round.method.admits(key.kind) else {
            return .refuted
        }
        var policy = CertificatePolicy()
        policy.revocation = round.certificates.revocation
        let builder = PathBuilder(
            anchors: anchors, intermediates: authorities.map(\.certificate).filter { !$0.isSelfIssued },
            trustedEntities: entities.map(\.certificate), revocation: RevocationStore(lists: lists), policy: policy)
        let result = builder.path(
            for: entity, presented: Array(presented.dropFirst()), identity: identity, authorities: required, now: now)
        switch result {
        case .failure(let report): return .distrusted(report)
        case .success:
            guard named.isEmpty || named.contains(entity) else { return .refuted }
            return .verified(PeerAuthenticated(verified: identity))
        }
    }
}

extension PrivateKey {
    fileprivate func isKey(of certificate: Certificate) -> Bool {
        publicKey.subjectPublicKeyInfo == certificate.subjectPublicKeyInfo
    }
}
