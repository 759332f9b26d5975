import Certificates
import Credentials
import Cryptography
import IPsec
import Primitives
import Testing

/// Signatures of IKE_AUTH that rest on certificates, by real keys of every kind.
@Suite struct CertificateStoreTests {
    static let now = WallTime(year: 2026, month: 6, day: 1)!
    static let octets = Array("RealMessage1 | NonceRData | MACedIDForI".utf8)
    static let gate = Identity("gate.example")!

    /// An authority, an end entity's key and certificate, and the stores of the end entity and of its peer.
    struct World {
        let authority: Authority
        let key: PrivateKey
        let certificate: Certificate

        init(_ kind: KeyGenerationKind, revoked: Bool = false) throws {
            let authorityKey = try PrivateKey.make(.ecdsa(.p256))
            let validity = Authority.Validity(now: now, days: 30)
            authority = try Authority.root(
                DistinguishedName("O=Test, CN=Root")!,
                subjectPublicKeyInfo: authorityKey.publicKey.subjectPublicKeyInfo,
                serialNumber: [1], validity: validity, signer: Signer(authorityKey)!)
            key = try PrivateKey.make(kind)
            certificate = try authority.issue(
                Authority.Subject(
                    name: DistinguishedName("O=Test, CN=gate")!, alternativeNames: [.dns("gate.example")],
                    subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo),
                serialNumber: [2], validity: validity)
        }

        private func filed(_ certificate: Certificate) -> CertificateStore.Filed {
            .init(file: "a.pem", path: "/x/a.pem", certificate: certificate)
        }

        var own: CredentialStore {
            CredentialStore(
                privateKeys: [key],
                certificates: CertificateStore(
                    entities: [filed(certificate)], authorities: [filed(authority.certificate)]))
        }

        func peer(lists: [RevocationList] = []) -> CredentialStore {
            CredentialStore(
                certificates: CertificateStore(authorities: [filed(authority.certificate)], lists: lists))
        }

        /// The round as configured, completed by the store.
        func ownRound(_ constraint: KeyConstraint = KeyConstraint()) -> AuthenticationRound {
            var connection = Connection(name: "x", proposals: [], children: [])
            connection.local = [AuthenticationRound(.publicKey(constraint))]
            return own.completing(PolicyDatabase(connections: [connection])).connections[0].local[0]
        }

        func proof(hashes: [SignatureHash]?) -> MessageProof? {
            let signing = MessageSigning(
                round: ownRound(), identity: gate, octets: octets, hashes: hashes, authorityHashes: [])
            guard case .signedMessage(let proof) = own.answer(.signMessage(signing), now: now) else { return nil }
            return proof
        }

        func judge(
            _ proof: MessageProof, identity: Identity = gate, octets: [UInt8] = octets,
            method: AuthenticationMethod = .publicKey(KeyConstraint()), lists: [RevocationList] = [],
            at: WallTime = now,
            change: (inout AuthenticationRound) -> Void = { _ in }
        ) -> Answer {
            var round = AuthenticationRound(method)
            change(&round)
            return peer(lists: lists).answer(
                .verifyMessage(MessageVerification(round: round, identity: identity, octets: octets, proof: proof)),
                now: at)
        }
    }

    @Test(arguments: [
        (KeyGenerationKind.rsa(2048), Optional.some(SignatureMethod.rsa)), (.ecdsa(.p256), .ecdsa256),
        (.ecdsa(.p384), .ecdsa384),
        (.ecdsa(.p521), .ecdsa521), (.ed25519, nil), (.ed448, nil),
    ]) func everyKindOfKey(_ kind: KeyGenerationKind, _ classic: SignatureMethod?) throws {
        let world = try World(kind)
        let modern = try #require(world.proof(hashes: SignatureHash.supported))
        #expect(modern.method == .digitalSignature)
        #expect(modern.certificates == [world.certificate.octets])
        let old = world.proof(hashes: nil)
        #expect(old?.method == classic)
        for proof in [modern, old].compactMap({ $0 }) {
            #expect(world.judge(proof).isVerified)
            var changed = proof
            changed.data[changed.data.count - 1] ^= 1
            #expect(world.judge(changed).isRefuted)
            #expect(world.judge(proof, octets: CertificateStoreTests.octets + [0]).isRefuted)
            changed = proof
            changed.data = []
            #expect(world.judge(changed).isRefuted)
            changed = proof
            changed.method = SignatureMethod(rawValue: 13)
            #expect(world.judge(changed).isRefuted)
        }
    }

    @Test func theHashIsOneThatThePeerTakes() throws {
        let world = try World(.rsa(2048))
        let proof = try #require(world.proof(hashes: [.sha384]))
        #expect(
            Array(proof.data.dropFirst().prefix(Int(proof.data[0])))
                == SignatureAlgorithm.rsa(.sha384).algorithmIdentifier)
        // Nothing in common: the method that needs no agreement.
        #expect(world.proof(hashes: [])?.method == .rsa)
        let edwards = try World(.ed25519)
        #expect(edwards.proof(hashes: [.sha256]) == nil)
    }

    /// What the peer announces (RFC 9593) counts before our own taste, where the key and the hashes have it.
    @Test func theSignatureIsOneThatThePeerAnnounces() throws {
        func proof(
            _ kind: KeyGenerationKind, _ announced: [AnnouncedMethod]?,
            _ hashes: [SignatureHash]? = SignatureHash.supported
        ) throws -> MessageProof {
            let world = try World(kind)
            var signing = MessageSigning(
                round: world.ownRound(), identity: Self.gate, octets: Self.octets, hashes: hashes, authorityHashes: [])
            signing.announced = announced
            guard case .signedMessage(let proof) = world.own.answer(.signMessage(signing), now: Self.now) else {
                throw ParseError.invalid(offset: 0, rule: "no proof")
            }
            #expect(world.judge(proof).isVerified || proof.method == .rsa)
            return proof
        }
        func digital(_ algorithm: SignatureAlgorithm) -> AnnouncedMethod {
            AnnouncedMethod(method: .digitalSignature, algorithmIdentifier: algorithm.algorithmIdentifier)
        }
        func identifier(_ proof: MessageProof) -> [UInt8] {
            Array(proof.data.dropFirst().prefix(Int(proof.data.first ?? 0)))
        }
        let pss = SignatureAlgorithm.rsaPSS(.sha256, saltOctets: 32)
        // RFC 7427 Appendix A.4.3, as it is announced.
        #expect(
            pss.algorithmIdentifier.hex
                == "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a8"
                + "64886f70d010108300d06096086480165030402010500a203020120")
        #expect(try identifier(proof(.rsa(2048), [digital(.ed25519), digital(pss)])) == pss.algorithmIdentifier)
        #expect(
            try identifier(proof(.rsa(2048), [digital(.rsa(.sha512)), digital(pss)]))
                == SignatureAlgorithm.rsa(.sha512).algorithmIdentifier)
        // Nothing that fits, weak hashes among it: as without an announcement.
        let usual = SignatureAlgorithm.rsa(.sha256).algorithmIdentifier
        for announced in [nil, [], [digital(.ed25519)], [digital(.rsa(.sha1))]] as [[AnnouncedMethod]?] {
            #expect(try identifier(proof(.rsa(2048), announced)) == usual)
        }
        // The hash must be agreed besides.
        #expect(
            try identifier(proof(.rsa(2048), [digital(pss)], [.sha384]))
                == SignatureAlgorithm.rsa(.sha384).algorithmIdentifier)
        #expect(try proof(.ecdsa(.p256), [AnnouncedMethod(method: .ecdsa256)]).method == .ecdsa256)
        #expect(try proof(.ecdsa(.p256), [AnnouncedMethod(method: .ecdsa384)]).method == .digitalSignature)
    }

    @Test func pssVerifies() throws {
        let world = try World(.rsa(2048))
        let algorithm = SignatureAlgorithm.rsaPSS(.sha256, saltOctets: 32)
        let signature = try world.key.sign(message: Self.octets, algorithm)
        let identifier = algorithm.algorithmIdentifier
        let proof = MessageProof(
            method: .digitalSignature, data: [UInt8(identifier.count)] + identifier + signature,
            certificates: [world.certificate.octets])
        #expect(world.judge(proof).isVerified)
        // SHA-1 is not among the hashes that we announce.
        let weak = SignatureAlgorithm.rsa(.sha1)
        let old = MessageProof(
            method: .digitalSignature,
            data: [UInt8(weak.algorithmIdentifier.count)] + weak.algorithmIdentifier
                + (try world.key.sign(message: Self.octets, weak)), certificates: [world.certificate.octets])
        #expect(world.judge(old).isRefuted)
    }

    @Test func whoIsNotNamedIsNotTrusted() throws {
        let world = try World(.ecdsa(.p256))
        let proof = try #require(world.proof(hashes: SignatureHash.supported))
        let report = try #require(world.judge(proof, identity: Identity("other.example")!).report)
        #expect(report.problems.map(\.check) == [.identity])
        #expect(report.wanted == Identity("other.example"))
        #expect(report.present.contains(.dns("gate.example")))
        let late = try #require(world.judge(proof, at: WallTime(year: 2027, month: 1, day: 1)!).report)
        #expect(late.problems.contains { $0.check == .validity })
        let list = try world.authority.revocationList(
            adding: [[2]: .init(date: Self.now, reason: .keyCompromise)], to: nil,
            validity: Authority.Validity(now: Self.now, days: 3), now: Self.now)
        #expect(world.judge(proof, lists: [list]).report?.problems.map(\.check) == [.revocation])
        #expect(
            world.judge(proof) { $0.certificates.revocation = .strict }.report?.problems.map(\.check) == [.revocation])
        // Another authority altogether.
        let stranger = try World(.ecdsa(.p256))
        #expect(stranger.judge(proof).report?.problems.isEmpty == false)
        // Without any certificate there is nothing to judge.
        var bare = proof
        bare.certificates = []
        guard case .noCredential = world.judge(bare) else {
            Issue.record("judged")
            return
        }
        bare.certificates = [[1, 2, 3]]
        #expect(!world.judge(bare).isVerified)
    }

    @Test func theRoundsConstraintsHold() throws {
        let world = try World(.ecdsa(.p256))
        let proof = try #require(world.proof(hashes: SignatureHash.supported))
        #expect(
            world.judge(proof, method: .publicKey(KeyConstraint(.rsa))).report?.problems.map(\.check) == [.key])
        #expect(
            world.judge(proof, method: .publicKey(KeyConstraint(.ecdsa, minimumBits: 384))).report?.problems
                .map(\.check) == [.key, .key])
        #expect(world.judge(proof, method: .publicKey(KeyConstraint(.ecdsa, minimumBits: 256))).isVerified)
        let other = try World(.ecdsa(.p256))
        #expect(world.judge(proof) { $0.certificates.certificates = [other.certificate.octets] }.isRefuted)
        #expect(world.judge(proof) { $0.certificates.certificates = [world.certificate.octets] }.isVerified)
        #expect(
            world.judge(proof) { $0.certificates.authorities = [other.authority.certificate.octets] }.report?.problems
                .map(\.check) == [.trust])
        #expect(world.judge(proof) { $0.certificates.authorities = [world.authority.certificate.octets] }.isVerified)
    }

    /// A name that no file answers to lets nobody in, rather than everybody.
    @Test func aMissingFileIsNoPermission() throws {
        let world = try World(.ecdsa(.p256))
        let proof = try #require(world.proof(hashes: SignatureHash.supported))
        #expect(world.judge(proof).isVerified)
        #expect(!world.judge(proof) { $0.certificates.authorityFiles = ["nowhere.pem"] }.isVerified)
        #expect(!world.judge(proof) { $0.certificates.certificateFiles = ["nowhere.pem"] }.isVerified)
        let authority = world.authority.certificate.octets
        #expect(
            world.judge(proof) {
                $0.certificates.authorityFiles = ["a.pem", "nowhere.pem"]
                $0.certificates.authorities = [authority]
            }.isVerified)
    }

    @Test func roundsAreCompleted() throws {
        let world = try World(.ecdsa(.p256))
        #expect(world.ownRound().exactIdentity == Identity("O=Test, CN=gate"))
        #expect(world.ownRound().certificates.certificates == [world.certificate.octets])
        #expect(world.ownRound(KeyConstraint(.rsa)).certificates.certificates.isEmpty)
        var connection = Connection(name: "x", proposals: [], children: [])
        connection.local = [AuthenticationRound(.publicKey(KeyConstraint()))]
        connection.remote = connection.local
        connection.remote[0].certificates.authorityFiles = ["a.pem"]
        let completed = world.own.completing(PolicyDatabase(connections: [connection])).connections[0]
        #expect(completed.remote[0].certificates.authorityHashes == [world.authority.certificate.keyHash])
        #expect(completed.remote[0].certificates.authorities == [world.authority.certificate.octets])
        connection.remote[0].certificates.authorityFiles = ["nowhere.pem"]
        let missing = CertificateStore().missingFiles(PolicyDatabase(connections: [connection]))
        #expect(missing == ["connection x names the certificate nowhere.pem, which is not there"])
    }
}

extension Answer {
    fileprivate var isVerified: Bool { if case .verified = self { true } else { false } }
    fileprivate var isRefuted: Bool { if case .refuted = self { true } else { false } }
    fileprivate var report: ChainReport? { if case .distrusted(let report) = self { report } else { nil } }
}
