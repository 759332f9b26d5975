import Cryptography
import IPsec
import Primitives
import Testing

@testable import Certificates

/// What must not be refused.
@Suite struct GoodChainTests {
    @Test(arguments: [
        "gate.example", "GATE.Example", "Gate@example.ORG", "192.0.2.1", "2001:db8::1", "C=CH, O=Parley, CN=gate",
        "c=ch,o=parley,cn=GATE", "asn1dn:C=CH, O=Parley, CN=gate",
    ]) func namesItsSubject(_ text: String) throws {
        var hierarchy = Hierarchy()
        hierarchy.wanted = identity(text)
        let path = try hierarchy.judge().get()
        #expect(path.report.wanted == identity(text))
        #expect(path.report.present.contains(.dns("gate.example")))
    }

    @Test func namesItsKey() throws {
        var hierarchy = Hierarchy()
        for octets in [TestKey.leaf.identifier, try hierarchy.leafCertificate.keyHash] {
            hierarchy.wanted = Identity(.keyID, octets: octets)
            _ = try hierarchy.judge().get()
        }
        hierarchy.leaf.extensions.append(.subjectKeyIdentifier([1, 2, 3]))
        hierarchy.wanted = Identity(.keyID, octets: [1, 2, 3])
        _ = try hierarchy.judge().get()
    }

    @Test func namesWithinTheirConstraints() throws {
        var hierarchy = Hierarchy()
        hierarchy.leaf.extensions.replace(
            .names([
                .dns("gate.example"), .email("a@example.org"), .address(IPAddress("192.0.2.1")!),
                .uri("https://gate.example/x"), .directory(name("C=CH, O=Parley, OU=x")),
            ]))
        let constraints = EncodedExtension.nameConstraints(
            permitted: [
                .dns("EXAMPLE"), .email("example.org"), .uri(".example"), .directory(name("C=CH")),
                .addresses(IPAddress("192.0.2.0")!, mask: IPAddress("255.255.255.0")!),
            ],
            excluded: [.dns("other.example"), .email("b@example.org"), .directory(name("C=CH, O=Other"))])
        hierarchy.middle.extensions.append(constraints)
        hierarchy.root.extensions.append(constraints)
        let path = try hierarchy.judge().get()
        #expect(path.report.links[0].findings.contains { $0.check == .nameConstraints && $0.outcome == .passed })
    }

    @Test func pathLengthsThatSuffice() throws {
        var hierarchy = Hierarchy()
        hierarchy.root.extensions.replace(.basicConstraints(isAuthority: true, pathLength: 1))
        hierarchy.middle.extensions.replace(.basicConstraints(isAuthority: true, pathLength: 0))
        _ = try hierarchy.judge().get()
    }

    @Test(arguments: [
        [CertificateExtensions.Purpose.ipsecIKE], [.any], [.serverAuthentication],
        [.clientAuthentication, .codeSigning],
        [.ikeIntermediate],
    ]) func purposesThatSuffice(_ purposes: [CertificateExtensions.Purpose]) throws {
        var hierarchy = Hierarchy()
        hierarchy.leaf.extensions.replace(.purposes(purposes))
        _ = try hierarchy.judge().get()
        hierarchy.policy.wantsIKEPurpose = true
        let isIKE = purposes == [.ipsecIKE] || purposes == [.any]
        #expect(try hierarchy.judge().isSuccess == isIKE)
    }

    @Test func aRootOfVersionOne() throws {
        var hierarchy = Hierarchy()
        hierarchy.root.version = 1
        hierarchy.root.extensions = []
        #expect(try hierarchy.judge().get().certificates[2].version == 1)
    }

    /// RFC 5280 §6.1: a rollover certificate counts neither for path lengths nor for name constraints.
    @Test func aSelfIssuedCertificateInBetween() throws {
        var hierarchy = Hierarchy()
        var rollover = hierarchy.middle
        rollover.issuer = Hierarchy.middleName
        rollover.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
        rollover.extensions.replace(.subjectKeyIdentifier(TestKey.stranger.identifier))
        rollover.extensions.replace(.authorityKeyIdentifier(TestKey.middle.identifier))
        hierarchy.others = [try rollover.signed(by: TestKey.middle.signer())]
        hierarchy.middle.extensions.replace(.basicConstraints(isAuthority: true, pathLength: 0))
        hierarchy.leaf.extensions.replace(.authorityKeyIdentifier(TestKey.stranger.identifier))
        hierarchy.leafSigner = TestKey.stranger.signer()
        #expect(try hierarchy.judge().get().certificates.count == 4)
    }

    /// Among several certificates of the issuer's name the one that leads to trust is found, whatever comes first.
    @Test func theOneGoodPathAmongMany() throws {
        var hierarchy = Hierarchy()
        var expired = hierarchy.middle
        expired.notAfter = WallTime(year: 2026, month: 2, day: 1)!
        var forged = hierarchy.middle
        forged.serialNumber = [99]
        hierarchy.others = [
            try expired.signed(by: TestKey.root.signer()), try forged.signed(by: TestKey.stranger.signer()),
            try hierarchy.middleCertificate,
        ]
        hierarchy.presentsMiddle = false
        #expect(try hierarchy.judge().get().certificates[1].serialNumber == [2])
    }

    /// Certificates that all issue one another: the search ends.
    @Test func aThicketOfNames() throws {
        var hierarchy = Hierarchy()
        hierarchy.presentsMiddle = false
        hierarchy.others = try (0..<16).map { index in
            var template = hierarchy.middle
            template.serialNumber = [UInt8(100 + index)]
            template.issuer = Hierarchy.middleName
            template.extensions.remove("2.5.29.35")
            return try template.signed(by: TestKey.middle.signer())
        }
        guard case .failure(let report) = try hierarchy.judge() else {
            Issue.record("accepted")
            return
        }
        #expect(report.links.count == PathBuilder.maximumLength)
        #expect(report.problems.contains { $0.check == .trust })
    }

    @Test func anEndEntityTrustedAsItIs() throws {
        let hierarchy = Hierarchy()
        let leaf = try hierarchy.leafCertificate
        let builder = PathBuilder(trustedEntities: [leaf])
        let path = try builder.path(for: leaf, identity: identity("gate.example"), now: Hierarchy.now).get()
        #expect(path.certificates == [leaf])
        // Its other rules still hold.
        let late = builder.path(
            for: leaf, identity: identity("gate.example"), now: WallTime(year: 2028, month: 1, day: 1)!)
        #expect(!late.isSuccess)
        #expect(!builder.path(for: leaf, identity: identity("other.example"), now: Hierarchy.now).isSuccess)
    }

    @Test func anAuthorityThatTheConnectionNames() throws {
        let hierarchy = Hierarchy()
        let root = try hierarchy.rootCertificate
        let middle = try hierarchy.middleCertificate
        let builder = PathBuilder(anchors: [root], intermediates: [middle])
        for authority in [root, middle] {
            let path = builder.path(
                for: try hierarchy.leafCertificate, identity: nil, authorities: [authority], now: Hierarchy.now)
            #expect(path.isSuccess)
        }
    }

    @Test func notRevoked() throws {
        var hierarchy = Hierarchy()
        hierarchy.lists = [Hierarchy.list([9])]
        hierarchy.policy.revocation = .strict
        // The intermediate has no list.
        guard case .failure(let report) = try hierarchy.judge() else {
            Issue.record("accepted")
            return
        }
        #expect(report.problems.map(\.link) == [1])
        hierarchy.policy.revocation = .ifURI
        _ = try hierarchy.judge().get()
    }

    @Test func releasedFromHold() throws {
        var hierarchy = Hierarchy()
        hierarchy.lists = [
            Hierarchy.list([3], reason: .certificateHold),
            Hierarchy.list([3], number: 8, base: 7, reason: .removeFromList),
        ]
        _ = try hierarchy.judge().get()
        // Changes to a later list than ours change nothing.
        hierarchy.lists[1] = Hierarchy.list([3], number: 10, base: 9, reason: .removeFromList)
        #expect(try !hierarchy.judge().isSuccess)
    }

    @Test(arguments: [HashID.sha1, .sha256]) func goodByOCSP(_ hash: HashID) throws {
        let hierarchy = Hierarchy()
        var answer = try OCSPAnswer(hierarchy, .good)
        answer.hash = hash
        let leaf = try hierarchy.leafCertificate
        let issuer = try hierarchy.middleCertificate
        #expect(
            RevocationStore(responses: [try answer.response()]).status(of: leaf, issuer: issuer, now: Hierarchy.now)
                == .good)
        try answer.delegate(to: .stranger, in: hierarchy, purposes: [.ocspSigning])
        let delegated = try answer.response()
        #expect(
            RevocationStore(responses: [delegated]).status(of: leaf, issuer: issuer, now: Hierarchy.now) == .good)
        // A responder that was itself revoked answers no more.
        let list = try Hierarchy.list([77]).signed(by: TestKey.middle.signer())
        #expect(
            RevocationStore(lists: [list], responses: [delegated]).status(
                of: leaf, issuer: issuer, now: Hierarchy.now) == .good, "the list itself has the certificate good")
        #expect(
            RevocationStore(responses: [try OCSPAnswer(hierarchy, .revoked).response(), delegated]).status(
                of: leaf, issuer: issuer, now: Hierarchy.now) != .good)
    }

    @Test func theRequestNamesTheCertificate() throws {
        let hierarchy = Hierarchy()
        let id = try #require(
            OCSPCertificateID(try hierarchy.leafCertificate, issuer: try hierarchy.middleCertificate))
        let response = try OCSPAnswer(hierarchy, .good).response()
        #expect(response.singles.map(\.certificate) == [id])
        let request = OCSPRequest(id, nonce: [1, 2, 3, 4])
        #expect(request.octets.count > id.issuerKeyHash.count + id.issuerNameHash.count)
        #expect(request.octets.hex.contains(id.issuerKeyHash.hex))
        #expect(request.octets.hex.contains("040401020304"))
    }
}

extension Result {
    var isSuccess: Bool { if case .success = self { true } else { false } }
}
