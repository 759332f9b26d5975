import IPsec
import Primitives
import Testing

@testable import Certificates

/// Lists by another key of an authority (RFC 5280 §6.3.3 (f)): the issuing one was given a new key by the root, or gave itself one
/// for its lists.
@Suite struct ListSignerTests {
    /// The issuing authority's certificate for its other key.
    private func other(_ hierarchy: Hierarchy, serial: UInt8 = 9, byItself: Bool = false) throws -> Certificate {
        var template = hierarchy.middle
        template.serialNumber = [serial]
        template.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
        template.extensions.replace(.subjectKeyIdentifier(TestKey.stranger.identifier))
        if byItself {
            template.issuer = Hierarchy.middleName
            template.extensions.replace(.authorityKeyIdentifier(TestKey.middle.identifier))
        }
        return try template.signed(by: (byItself ? TestKey.middle : .root).signer())
    }

    private func list(
        _ serials: [UInt8], number: Int, by key: TestKey, issuer: DistinguishedName = Hierarchy.middleName
    ) throws -> RevocationList {
        var template = Hierarchy.list(serials, number: number, issuer: issuer)
        template.authorityKeyIdentifier = key.identifier
        return try template.signed(by: key.signer())
    }

    private func problems(
        _ lists: [RevocationList], _ signer: Certificate, _ revocation: CertificatePolicy.Revocation = .strict
    ) throws -> [CertificateProblem] {
        let hierarchy = Hierarchy()
        var builder = PathBuilder(
            anchors: [try hierarchy.rootCertificate], intermediates: [try hierarchy.middleCertificate, signer],
            revocation: RevocationStore(
                lists: lists + [try list([], number: 1, by: .root, issuer: Hierarchy.rootName)]))
        builder.policy.revocation = revocation
        switch builder.path(for: try hierarchy.leafCertificate, identity: nil, now: Hierarchy.now) {
        case .success: return []
        case .failure(let report): return report.problems.map(\.problem)
        }
    }

    private func isRevoked(_ problems: [CertificateProblem]) -> Bool {
        problems.contains { if case .revoked = $0 { true } else { false } }
    }

    /// Where each key has a list of its own, the newer one knows nothing of what the older one's has.
    @Test(arguments: [7, 8, 9]) func aListByAnotherKeyTakesNoRevocationBack(_ number: Int) throws {
        let signer = try other(Hierarchy())
        let lists = [try list([3], number: 8, by: .middle), try list([], number: number, by: .stranger)]
        #expect(isRevoked(try problems(lists, signer)))
        #expect(isRevoked(try problems(lists.reversed(), signer, .relaxed)))
    }

    @Test func aListByAnotherKeyIsHeard() throws {
        let signer = try other(Hierarchy())
        #expect(try problems([try list([], number: 8, by: .stranger)], signer).isEmpty)
        #expect(isRevoked(try problems([try list([3], number: 8, by: .stranger)], signer)))
        let both = [try list([], number: 8, by: .middle), try list([3], number: 7, by: .stranger)]
        #expect(isRevoked(try problems(both, signer)))
    }

    @Test func anotherKeyThatWasRevokedSignsNothing() throws {
        let signer = try other(Hierarchy(), serial: 9)
        let lists = [
            try list([], number: 8, by: .stranger), try list([9], number: 2, by: .root, issuer: Hierarchy.rootName),
        ]
        #expect(try problems(lists, signer) == [.revocationUnknown(.badSignature)])
    }

    /// Where revocation must be known, it must be known of who signs lists too, and by another than itself.
    @Test func anotherKeyOfWhichNothingIsKnownSignsNothingWhereItMustBe() throws {
        let signer = try other(Hierarchy(), byItself: true)
        let lists = [try list([], number: 8, by: .stranger)]
        #expect(try problems(lists, signer) == [.revocationUnknown(.badSignature)])
        #expect(isRevoked(try problems([try list([3], number: 8, by: .stranger)], signer, .relaxed)))
    }

    /// Policies cost work, which nobody does for a path that anybody can claim.
    @Test func policiesOfAPathThatIsNotSignedAreNotLookedAt() throws {
        var hierarchy = Hierarchy()
        hierarchy.middle.extensions.append(
            EncodedExtension("2.5.29.36", isCritical: true, value: [0x30, 3, 0x80, 1, 0]))
        func failed() throws -> [CertificateCheck] {
            guard case .failure(let report) = try hierarchy.judge() else { return [] }
            return report.problems.map(\.check)
        }
        #expect(try failed() == [.policies])
        hierarchy.middleSigner = TestKey.stranger.signer()
        #expect(try failed() == [.signature])
    }
}
