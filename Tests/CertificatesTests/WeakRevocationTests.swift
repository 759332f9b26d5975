import Cryptography
import IPsec
import Primitives
import Testing

@testable import Certificates

/// Lists and responses over SHA-1 are held to the rule that certificates are held to: they do not make a certificate good.
@Suite struct WeakRevocationTests {
    private static let weak = SignatureAlgorithm.ecdsa(.sha1)
    private static let weakSigner = TestKey.middle.signer(weak)
    private let hierarchy = Hierarchy()

    private func status(
        _ lists: [RevocationListTemplate] = [], sound: [RevocationListTemplate] = [], responses: [OCSPResponse] = [],
        allowsWeakHashes: Bool = false
    ) throws -> RevocationStore.Status {
        var store = RevocationStore(
            lists: try lists.map { try $0.signed(by: Self.weakSigner) }
                + sound.map { try $0.signed(by: TestKey.middle.signer()) }, responses: responses)
        store.allowsWeakHashes = allowsWeakHashes
        return try store.status(
            of: hierarchy.leafCertificate, issuer: hierarchy.middleCertificate, now: Hierarchy.now)
    }

    @Test func aWeakListMakesNothingGood() throws {
        #expect(try status([Hierarchy.list([9])]) == .unknown(.weakAlgorithm(Self.weak)))
        #expect(try status([Hierarchy.list([9])], allowsWeakHashes: true) == .good)
        #expect(try status(sound: [Hierarchy.list([9])]) == .good)
        // A forged one is forged, and not only weak.
        var store = RevocationStore(lists: [try Hierarchy.list([9]).signed(by: TestKey.stranger.signer(Self.weak))])
        #expect(
            try store.status(of: hierarchy.leafCertificate, issuer: hierarchy.middleCertificate, now: Hierarchy.now)
                == .unknown(.badSignature))
        store.lists = []
    }

    @Test func aWeakListRevokes() throws {
        #expect(try status([Hierarchy.list([3])]).isRevoked)
        #expect(try status([Hierarchy.list([3], number: 8)], sound: [Hierarchy.list([9])]).isRevoked)
    }

    @Test func aSoundListStandsBesideAWeakOne() throws {
        #expect(try status([Hierarchy.list([9])], sound: [Hierarchy.list([9])]) == .good)
        #expect(try status([Hierarchy.list([9], number: 8)], sound: [Hierarchy.list([3])]).isRevoked)
        // Weak changes take no revocation back.
        let removed = Hierarchy.list([3], number: 8, base: 7, reason: .removeFromList)
        #expect(try status([removed], sound: [Hierarchy.list([3], reason: .certificateHold)]).isRevoked)
        #expect(try status(sound: [Hierarchy.list([3], reason: .certificateHold), removed]) == .good)
    }

    @Test func aWeakResponseMakesNothingGood() throws {
        var answer = try OCSPAnswer(hierarchy, .good)
        answer.signer = Self.weakSigner
        let good = try answer.response()
        #expect(try status(responses: [good]) == .unknown(.weakAlgorithm(Self.weak)))
        #expect(try status(responses: [good], allowsWeakHashes: true) == .good)
        // A list that can be relied on says it instead.
        #expect(try status(sound: [Hierarchy.list([9])], responses: [good]) == .good)
        answer.word = .revoked
        #expect(try status(responses: [answer.response()]).isRevoked)
        answer.word = .unknown
        #expect(try status(responses: [answer.response()]) == .unknown(.weakAlgorithm(Self.weak)))
    }

    /// A responder whose own certificate was signed over SHA-1 may be anybody.
    @Test func aWeakResponderMakesNothingGood() throws {
        var answer = try OCSPAnswer(hierarchy, .good)
        try answer.delegate(to: .stranger, in: hierarchy, purposes: [.ocspSigning])
        #expect(try status(responses: [answer.response()]) == .good)
        var template = hierarchy.leaf
        template.serialNumber = [77]
        template.subject = answer.responder
        template.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
        template.extensions = [.purposes([.ocspSigning])]
        answer.certificates = [try template.signed(by: Self.weakSigner)]
        #expect(try status(responses: [answer.response()]) == .unknown(.weakAlgorithm(Self.weak)))
        #expect(try status(responses: [answer.response()], allowsWeakHashes: true) == .good)
        answer.word = .revoked
        #expect(try status(responses: [answer.response()]).isRevoked)
    }

    /// The policy reaches what is known of revocation, and a report says what is wrong.
    @Test func thePolicyDecides() throws {
        var hierarchy = Hierarchy()
        hierarchy.policy.revocation = .strict
        hierarchy.listSigner = Self.weakSigner
        hierarchy.lists = [Hierarchy.list([9])]
        hierarchy.responses = [
            try {
                var answer = try OCSPAnswer(hierarchy, .good)
                answer.signer = Self.weakSigner
                return try answer.response()
            }()
        ]
        func problems() throws -> [CertificateProblem] {
            guard case .failure(let report) = try hierarchy.judge() else { return [] }
            return report.problems.filter { $0.link == 0 }.map(\.problem)
        }
        #expect(try problems() == [.revocationUnknown(.weakAlgorithm(Self.weak))])
        hierarchy.policy.allowsWeakHashes = true
        #expect(try problems() == [])
        // Where nothing needs to be known, a weak list stands in nobody's way.
        hierarchy.policy.allowsWeakHashes = false
        hierarchy.policy.revocation = .relaxed
        #expect(try hierarchy.judge().isSuccess)
    }
}
