import Certificates
import Credentials
import Cryptography
import IPsec
import Primitives
import Testing

/// When a proof by a certificate waits for somebody's word about revocation.
@Suite struct RevocationJudgementTests {
    private static let now = CertificateStoreTests.now
    private static let uri = "http://crl.example/ca.crl"

    private struct World {
        let authority: Authority
        let store: CredentialStore
        let verification: MessageVerification

        init(_ policy: RevocationPolicy, identity: String = "gate.example") throws {
            let world = try CertificateStoreTests.World(.ecdsa(.p256))
            authority = world.authority
            let certificate = try authority.issue(
                Authority.Subject(
                    name: DistinguishedName("O=Test, CN=gate")!, alternativeNames: [.dns("gate.example")],
                    subjectPublicKeyInfo: world.key.publicKey.subjectPublicKeyInfo),
                serialNumber: [2], validity: Authority.Validity(now: RevocationJudgementTests.now, days: 30),
                locations: ([RevocationJudgementTests.uri], []))
            store = CredentialStore(
                certificates: CertificateStore(authorities: [
                    .init(file: "a.pem", path: "/x/a.pem", certificate: authority.certificate)
                ]))
            var proof = try #require(world.proof(hashes: SignatureHash.supported))
            proof.certificates = [certificate.octets]
            var round = AuthenticationRound(.publicKey(KeyConstraint()))
            round.certificates.revocation = policy
            verification = MessageVerification(
                round: round, identity: Identity(identity)!, octets: CertificateStoreTests.octets, proof: proof)
        }

        func judge(
            _ fetched: [RevocationList] = [], asked: Set<RevocationInquiry> = []
        ) -> CredentialStore.Judgement {
            store.judge(
                .verifyMessage(verification), now: RevocationJudgementTests.now,
                fetched: RevocationStore(lists: fetched), asked: asked)
        }

        func list(revoking serials: [UInt8]) throws -> RevocationList {
            try authority.revocationList(
                adding: Dictionary(
                    uniqueKeysWithValues: serials.map {
                        ([$0], .init(date: RevocationJudgementTests.now, reason: .keyCompromise))
                    }), to: nil,
                validity: Authority.Validity(now: RevocationJudgementTests.now, days: 3),
                now: RevocationJudgementTests.now)
        }
    }

    @Test(arguments: RevocationPolicy.allCases) func theListIsAskedForAndBelieved(_ policy: RevocationPolicy) throws {
        let world = try World(policy)
        let inquiry = RevocationInquiry(Self.uri, .list)
        #expect(world.judge().inquiries == [inquiry])
        // Nobody answers: the policy says what follows.
        let alone = world.judge(asked: [inquiry])
        #expect(alone.inquiries.isEmpty)
        if case .verified = alone.answer { #expect(policy == .relaxed) } else { #expect(policy != .relaxed) }
        let good = world.judge([try world.list(revoking: [9])])
        #expect(good.inquiries.isEmpty)
        guard case .verified = good.answer else {
            Issue.record("refused")
            return
        }
        let bad = world.judge([try world.list(revoking: [2])])
        #expect(bad.inquiries.isEmpty)
        guard case .distrusted(let report) = bad.answer else {
            Issue.record("accepted")
            return
        }
        #expect(report.problems.map(\.check) == [.revocation])
    }

    /// Strangers make us ask nobody: not with a proof that does not hold, nor with a certificate that is refused anyway.
    @Test func whoIsRefusedAnywayIsNotAskedAbout() throws {
        let other = try World(.strict, identity: "other.example")
        #expect(other.judge().inquiries.isEmpty)
        let world = try World(.strict)
        var forged = world.verification
        forged.octets += [0]
        let judgement = world.store.judge(.verifyMessage(forged), now: Self.now)
        #expect(judgement.inquiries.isEmpty)
        guard case .refuted = judgement.answer else {
            Issue.record("not refuted")
            return
        }
        let untrusting = CredentialStore().judge(.verifyMessage(world.verification), now: Self.now)
        #expect(untrusting.inquiries.isEmpty)
    }
}

/// What OCSP responders say of our own certificates (RFC 4806 §4.2).
@Suite struct OwnStatusTests {
    @Test func theResponderIsAskedOnceSomebodyWantsToKnow() throws {
        let now = CertificateStoreTests.now
        let uri = "http://ocsp.example/"
        let world = try CertificateStoreTests.World(.ecdsa(.p256))
        let certificate = try world.authority.issue(
            Authority.Subject(
                name: DistinguishedName("O=Test, CN=gate")!, alternativeNames: [.dns("gate.example")],
                subjectPublicKeyInfo: world.key.publicKey.subjectPublicKeyInfo),
            serialNumber: [2], validity: Authority.Validity(now: now, days: 30), locations: ([], [uri]))
        let store = CredentialStore(
            privateKeys: [world.key],
            certificates: CertificateStore(
                entities: [.init(file: "a.pem", path: "/x/a.pem", certificate: certificate)],
                authorities: [.init(file: "b.pem", path: "/x/b.pem", certificate: world.authority.certificate)]))
        var round = AuthenticationRound(.publicKey(KeyConstraint()))
        round.certificates.certificates = [certificate.octets]
        func judge(wants: Bool, asked: Set<RevocationInquiry> = []) -> CredentialStore.Judgement {
            store.judge(
                .signMessage(
                    MessageSigning(
                        round: round, identity: CertificateStoreTests.gate, octets: CertificateStoreTests.octets,
                        hashes: SignatureHash.supported, authorityHashes: [], wantsStatuses: wants)),
                now: now, asked: asked)
        }
        #expect(judge(wants: false).inquiries.isEmpty)
        let asking = judge(wants: true)
        let id = try #require(OCSPCertificateID(certificate, issuer: world.authority.certificate))
        #expect(asking.inquiries == [RevocationInquiry(uri, .status(id))])
        // Nobody answers: the proof is as good without.
        let alone = judge(wants: true, asked: Set(asking.inquiries))
        #expect(alone.inquiries.isEmpty)
        guard case .signedMessage(let proof) = alone.answer else {
            Issue.record("no proof")
            return
        }
        #expect(proof.statuses.isEmpty && proof.certificates == [certificate.octets])
    }
}
