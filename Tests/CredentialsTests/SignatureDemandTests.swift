import Certificates
import Credentials
import Cryptography
import IPsec
import Primitives
import Testing

/// What `auth` demands of the peer's keys and signatures, and in which order it lets us sign.
@Suite struct SignatureDemandTests {
    typealias World = CertificateStoreTests.World
    typealias Clause = KeyConstraint.Clause

    /// The proof of a round that signs as the clauses have it.
    private func sign(
        _ world: World, _ clauses: [Clause], hashes: [SignatureHash]? = SignatureHash.supported
    ) -> MessageProof? {
        let signing = MessageSigning(
            round: world.ownRound(KeyConstraint(clauses)), identity: CertificateStoreTests.gate,
            octets: CertificateStoreTests.octets, hashes: hashes, authorityHashes: [])
        let answer = world.own.answer(.signMessage(signing), now: CertificateStoreTests.now)
        guard case .signedMessage(let proof) = answer else { return nil }
        return proof
    }

    private func algorithm(_ proof: MessageProof?) -> SignatureAlgorithm? {
        guard let proof, proof.method == .digitalSignature, let count = proof.data.first.map(Int.init) else {
            return nil
        }
        return SignatureAlgorithm(algorithmIdentifier: Array(proof.data.dropFirst().prefix(count)))
    }

    private func judge(_ world: World, _ proof: MessageProof, _ clauses: Clause...) -> Answer {
        world.judge(proof, method: .publicKey(KeyConstraint(clauses)))
    }

    @Test func weSignInTheOrderOfTheRound() throws {
        let world = try World(.rsa(2048))
        let clauses: [Clause] = [.init(.pss, hashes: [.sha512]), .init(.rsa, hashes: [.sha384, .sha256])]
        #expect(algorithm(sign(world, clauses)) == .rsaPSS(.sha512, saltOctets: 64))
        #expect(algorithm(sign(world, clauses, hashes: [.sha256, .sha384])) == .rsa(.sha384))
        #expect(algorithm(sign(world, clauses, hashes: [.sha256])) == .rsa(.sha256))
        #expect(sign(world, [.init(.any, hashes: [.sha512])], hashes: [.sha256]) == nil)
        // A peer without RFC 7427 takes but one.
        #expect(sign(world, clauses, hashes: nil)?.method == .rsa)
        // Those for AUTH come before those for certificates.
        let both: [Clause] = [.init(.any, hashes: [.sha256]), .init(.any, hashes: [.sha512], isForMessages: true)]
        #expect(algorithm(sign(world, both)) == .rsa(.sha512))
        let curve = try World(.ecdsa(.p256))
        #expect(algorithm(sign(curve, [.init(.ecdsa, hashes: [.sha512])])) == .ecdsa(.sha512))
        #expect(sign(curve, clauses) == nil)
        let edwards = try World(.ed25519)
        #expect(algorithm(sign(edwards, [.init(.any, hashes: [.sha256, .identity])])) == .ed25519)
    }

    /// `charon.rsa_pss` and `charon.signature_authentication_constraints`.
    @Test func settingsChangeWhatAConstraintMeans() throws {
        let world = try World(.rsa(2048))
        var constraint = KeyConstraint([.init(.any, hashes: [.sha256, .sha384])])
        constraint.prefersPSS = true
        func signed(_ constraint: KeyConstraint) throws -> MessageProof {
            let signing = MessageSigning(
                round: world.ownRound(constraint), identity: CertificateStoreTests.gate,
                octets: CertificateStoreTests.octets, hashes: [.sha384, .identity], authorityHashes: [])
            let answer = world.own.answer(.signMessage(signing), now: CertificateStoreTests.now)
            guard case .signedMessage(let proof) = answer else { throw KeyDefect.unreadable }
            return proof
        }
        let proof = try signed(constraint)
        #expect(algorithm(proof) == .rsaPSS(.sha384, saltOctets: 48))
        #expect(world.judge(proof, method: .publicKey(constraint)).isVerified)
        var plain = KeyConstraint()
        plain.prefersPSS = true
        #expect(try algorithm(signed(plain)) == .rsaPSS(.sha384, saltOctets: 48))
        constraint.prefersPSS = false
        #expect(world.judge(proof, method: .publicKey(constraint)).report?.message != nil)
        constraint.bindsMessages = false
        #expect(world.judge(proof, method: .publicKey(constraint)).isVerified)
    }

    /// What the peer announces (RFC 9593) widens nothing.
    @Test func announcementsStayWithinTheRound() throws {
        let world = try World(.rsa(2048))
        var signing = MessageSigning(
            round: world.ownRound(KeyConstraint([.init(.rsa, hashes: [.sha384])])),
            identity: CertificateStoreTests.gate,
            octets: CertificateStoreTests.octets, hashes: SignatureHash.supported, authorityHashes: [])
        signing.announced = [SignatureAlgorithm.rsaPSS(.sha256, saltOctets: 32), .rsa(.sha256)].map {
            AnnouncedMethod(method: .digitalSignature, algorithmIdentifier: $0.algorithmIdentifier)
        }
        guard case .signedMessage(let proof) = world.own.answer(.signMessage(signing), now: CertificateStoreTests.now)
        else {
            Issue.record("not signed")
            return
        }
        #expect(algorithm(proof) == .rsa(.sha384))
    }

    @Test func signaturesInAuthAreHeldToTheRound() throws {
        let world = try World(.rsa(2048))
        let pss = try #require(sign(world, [.init(.pss, hashes: [.sha256])]))
        let plain = try #require(sign(world, [.init(.rsa, hashes: [.sha384])]))
        #expect(judge(world, pss, .init(.any)).isVerified)
        let wanted = Clause(.pss, hashes: [.sha256], isForMessages: true)
        #expect(judge(world, pss, wanted).isVerified)
        let report = try #require(judge(world, plain, wanted).report)
        #expect(report.message == MessageDefect(.rsa(.sha384), wanted: KeyConstraint([wanted])))
        #expect(!report.isGood && report.problems.isEmpty)
        // PSS is another scheme, and is named where it is wanted.
        #expect(judge(world, pss, .init(.rsa, hashes: [.sha256], isForMessages: true)).report?.message != nil)
        #expect(judge(world, plain, .init(.any, hashes: [.sha384], isForMessages: true)).isVerified)
        // Without any for AUTH, those of certificates count: the certificate is signed by ECDSA with SHA-256.
        #expect(judge(world, plain, .init(.any, hashes: [.sha256])).report?.message != nil)
        #expect(judge(world, plain, .init(.any, hashes: [.sha256, .sha384])).isVerified)
        // A peer without RFC 7427 is held to the same.
        let classic = try #require(sign(world, [.init(.any)], hashes: nil))
        #expect(judge(world, classic, .init(.any, hashes: [.sha256])).report?.message?.algorithm == .rsa(.sha1))
    }

    @Test func certificatesAreHeldToTheRound() throws {
        let world = try World(.rsa(2048))
        let proof = try #require(sign(world, [.init(.any)]))
        let all = Clause(.any, hashes: [.sha256], isForMessages: true)
        let wanted = KeyConstraint([.init(.any, hashes: [.sha384]), all])
        let report = try #require(world.judge(proof, method: .publicKey(wanted)).report)
        #expect(report.message == nil)
        #expect(report.problems.map(\.problem) == [.algorithmNotAdmitted(.ecdsa(.sha256), wanted)])
        // The authority signs with ECDSA.
        #expect(judge(world, proof, .init(.rsa, hashes: [.sha256]), all).report?.problems.map(\.link) == [0])
        #expect(
            judge(world, proof, .init(.rsa, minimumBits: 2048), .init(.ecdsa, hashes: [.sha256]), all).isVerified)
        // Where one kind has a number, the other needs a word.
        let strong = judge(world, proof, .init(.rsa, minimumBits: 2048)).report
        #expect(strong?.problems.map(\.link) == [1] && strong?.problems.map(\.check) == [.key])
        #expect(
            judge(world, proof, .init(.rsa, minimumBits: 3072), .init(.ecdsa)).report?.problems.map(\.link) == [0])
        #expect(
            judge(world, proof, .init(.rsa, minimumBits: 2048), .init(.ecdsa, minimumBits: 384)).report?.problems
                .map(\.link) == [1])
        #expect(judge(world, proof, .init(.rsa, minimumBits: 2048), .init(.ecdsa, minimumBits: 256)).isVerified)
    }

    @Test func authoritiesAndPoliciesAreDemanded() throws {
        let world = try World(.ecdsa(.p256))
        let proof = try #require(sign(world, [.init(.any)]))
        func judge(_ change: (inout CertificateConstraints) -> Void) -> Answer {
            world.judge(proof) { change(&$0.certificates) }
        }
        #expect(judge { $0.authorityIdentity = .exactly(Identity("O=Test, CN=Root")!) }.isVerified)
        #expect(
            judge { $0.authorityIdentity = .exactly(Identity("O=Test, CN=gate")!) }.report?.problems.map(\.check)
                == [.trust])
        #expect(judge { $0.policies = ["1.2.3"] }.report?.problems.map(\.problem) == [.policiesAbsent(["1.2.3"])])
    }

    /// A key without certificate is held to the same.
    @Test func bareKeysToo() throws {
        let world = try World(.rsa(2048))
        var proof = try #require(sign(world, [.init(.rsa, hashes: [.sha384])]))
        proof.certificates = []
        func judge(_ clause: Clause) -> Answer {
            world.judge(proof, method: .publicKey(KeyConstraint([clause]))) {
                $0.publicKeyFiles = ["peer.pem"]
                $0.publicKeys = [world.key.publicKey]
            }
        }
        #expect(judge(.init(.rsa, hashes: [.sha384])).isVerified)
        #expect(judge(.init(.rsa, hashes: [.sha512])).report?.message?.algorithm == .rsa(.sha384))
        guard case .noCredential = judge(.init(.rsa, minimumBits: 3072)) else {
            Issue.record("a short key was taken")
            return
        }
    }
}

extension Answer {
    fileprivate var isVerified: Bool { if case .verified = self { true } else { false } }
    fileprivate var report: ChainReport? { if case .distrusted(let report) = self { report } else { nil } }
}
