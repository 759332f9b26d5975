package import Certificates
package import Cryptography
package import IPsec
package import Primitives
import TLS

/// Holds every key of this node, and answers the questions of key exchanges so that these never see one. A value.
package struct CredentialStore: Sendable {
    /// The pre-shared keys among them.
    package let sharedKeys: SharedKeyStore
    private let privateKeys: [PrivateKey]
    private let trustedKeys: [PublicKey]
    private let certificates: CertificateStore

    /// - Parameters:
    ///   - privateKeys: our own, in order of preference.
    ///   - trustedKeys: raw keys of peers that no connection names: each proves its own identifier and nothing else.
    ///   - certificates: our own, those of authorities, and what was revoked.
    ///   - policies: see ``SharedKeyStore/init(_:policies:)``.
    package init(
        sharedKeys: [SharedKey] = [], privateKeys: [PrivateKey] = [], trustedKeys: [PublicKey] = [],
        certificates: CertificateStore = CertificateStore(), policies: PolicyDatabase = PolicyDatabase()
    ) {
        self.sharedKeys = SharedKeyStore(sharedKeys, policies: policies)
        self.privateKeys = privateKeys
        self.trustedKeys = trustedKeys
        self.certificates = certificates
    }

    /// The policies with what only this store knows: the keys that our own rounds can use. A round that names keys keeps
    /// those of them whose private halves are here; one that names none gets all that its method admits. Files of
    /// certificates become what they hold.
    package func completing(_ policies: PolicyDatabase) -> PolicyDatabase {
        var policies = policies
        for connection in policies.connections { policies.put(completing(connection)) }
        return policies
    }

    private func completing(_ connection: Connection) -> Connection {
        var connection = connection
        let own = privateKeys.map(\.publicKey)
        for round in connection.remote.indices {
            connection.remote[round] = certificates.completing(remote: connection.remote[round])
        }
        for round in connection.local.indices {
            let named = certificates.completing(local: connection.local[round], keys: privateKeys)
            connection.local[round] = named
            guard named.method.usesPublicKeys else { continue }
            connection.local[round].publicKeys =
                named.publicKeyFiles.isEmpty
                ? certificates.keys(of: named, among: own) : named.publicKeys.filter(own.contains)
        }
        return connection
    }

    /// An answer, and what could be asked about revocation before it is given.
    package struct Judgement: Sendable {
        package var answer: Answer
        /// Empty: the answer stands.
        package var inquiries: [RevocationInquiry]

        init(_ answer: Answer, _ inquiries: [RevocationInquiry] = []) {
            self.answer = answer
            self.inquiries = inquiries
        }
    }

    /// Answers any question, as well as it can be answered from what is here.
    ///
    /// - Parameters:
    ///   - now: what certificates are held to.
    ///   - fetched: what was learned of revocation elsewhere.
    ///   - asked: inquiries that need not be made (again).
    package func judge(
        _ question: Question, now: WallTime, fetched: RevocationStore = RevocationStore(),
        asked: Set<RevocationInquiry> = []
    ) -> Judgement {
        let circumstances = CertificateStore.Circumstances(
            trustedKeys: trustedKeys, fetched: fetched, asked: asked, now: now)
        return switch question {
        case .signMessage(let signing): certificates.sign(signing, keys: privateKeys, circumstances)
        case .verifyMessage(let verification): certificates.verify(verification, circumstances)
        case .verifyDigest(let verification): certificates.verify(verification, circumstances)
        default: Judgement(answer(question, now: now))
        }
    }

    /// Answers any question.
    ///
    /// - Parameter now: what certificates are held to.
    package func answer(_ question: Question, now: WallTime) -> Answer {
        switch question {
        case .prove, .verify, .seed, .mix: sharedKeys.answer(question)
        // Users' passwords are no keys.
        case .checkPassword, .password, .judgeUser, .proveUser, .relayUser: .noCredential
        // A connection is no value: ``TunnelKeeper`` has it.
        case .tunnel: .noCredential
        case .sign(let scheme, let keys, let digest): sign(scheme, keys, digest)
        case .verifySignature(let scheme, let remote, let keys, let digest, let signature):
            verify(scheme, remote, keys, digest, signature)
        case .encrypt(let key, let messages): encrypt(key, messages)
        case .decrypt(let key, let ciphertexts): decrypt(key, ciphertexts)
        case .signMessage, .verifyMessage, .verifyDigest: judge(question, now: now).answer
        case .signDigest(let signing): certificates.sign(signing, keys: privateKeys)
        }
    }

    /// What our end proves itself by in TLS inside EAP.
    func tunnelCredential(_ round: AuthenticationRound, _ identity: Identity) -> TLSConnection
        .Credential?
    {
        certificates.tunnelCredential(round, identity, keys: privateKeys)
    }

    /// The judgement over the other end's certificates in TLS inside EAP.
    func judge(
        tunnel octets: [[UInt8]], _ constraints: CertificateConstraints, _ identity: Identity?,
        isServers: Bool, now: WallTime, fetched: RevocationStore, asked: Set<RevocationInquiry>
    ) -> CertificateStore.TunnelJudgement {
        certificates.judge(
            tunnel: octets, constraints, identity, isServers: isServers,
            CertificateStore.Circumstances(trustedKeys: trustedKeys, fetched: fetched, asked: asked, now: now))
    }

    private func sign(_ scheme: SignatureScheme, _ keys: [PublicKey], _ digest: [UInt8]) -> Answer {
        for key in keys where scheme.fits(key.kind) {
            guard let own = privateKeys.first(where: { $0.publicKey == key }),
                let signature = try? own.sign(digest, scheme)
            else { continue }
            return .signature(signature)
        }
        return .noCredential
    }

    /// The keys that a connection names vouch for every identity that it accepts; a key that none names vouches for the
    /// one that is made of it.
    private func verify(
        _ scheme: SignatureScheme, _ remote: Identity, _ keys: [PublicKey], _ digest: [UInt8], _ signature: [UInt8]
    ) -> Answer {
        let unnamed = remote.kind == .keyID ? trustedKeys.filter { $0.identifier == remote.octets } : []
        let fitting = (keys + unnamed).filter { scheme.fits($0.kind) }
        if fitting.isEmpty { return .noCredential }
        return fitting.contains { $0.verifies(signature, over: digest, scheme) }
            ? .verified(PeerAuthenticated(verified: remote)) : .refuted
    }

    private func encrypt(_ key: PublicKey, _ messages: [Secret]) -> Answer {
        var ciphertexts: [[UInt8]] = []
        for message in messages {
            guard let ciphertext = try? key.encrypt(message) else { return .noCredential }
            ciphertexts.append(ciphertext)
        }
        return .encrypted(ciphertexts)
    }

    /// What comes of it depends on the key alone, never on what a ciphertext holds.
    private func decrypt(_ key: PublicKey, _ ciphertexts: [Question.Ciphertext]) -> Answer {
        guard let own = privateKeys.first(where: { $0.publicKey == key }) else { return .noCredential }
        var messages: [Secret] = []
        for ciphertext in ciphertexts {
            guard let message = try? own.decrypt(ciphertext.octets, lengths: ciphertext.lengths) else {
                return .noCredential
            }
            messages.append(message)
        }
        return .decrypted(messages)
    }
}
