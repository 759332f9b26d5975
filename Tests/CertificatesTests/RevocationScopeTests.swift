import IPsec
import Primitives
import Testing

@testable import Certificates

/// Lists that several points, several issuers or several reasons divide among themselves (RFC 5280 §6.3.3).
@Suite struct RevocationScopeTests {
    private static let signerName = name("C=CH, O=Parley, CN=Lists")

    /// ReasonFlags of keyCompromise and cACompromise, and of the others.
    private static let compromise: [UInt8] = [5, 0x60]
    private static let others: [UInt8] = [7, 0x9F, 0x80]

    /// CRLDistributionPoints with one point.
    private func point(_ parts: [UInt8]...) -> EncodedExtension {
        EncodedExtension("2.5.29.31", value: Encoding.sequence(Encoding.sequence(parts.flatMap { $0 })))
    }

    private func scope(_ parts: [UInt8]...) -> EncodedExtension {
        EncodedExtension("2.5.29.28", isCritical: true, value: Encoding.sequence(parts.flatMap { $0 }))
    }

    private func full(_ name: SubjectName) -> [UInt8] { Encoding.tagged(0, Encoding.tagged(0, name.octets)) }
    private func relative(_ text: String) -> [UInt8] {
        // The one SET of a name, under the tag [1].
        let part = name(text).octets.dropFirst(2)
        return Encoding.tagged(0, [0xA1] + part.dropFirst())
    }
    private func issuers(_ names: DistinguishedName...) -> [UInt8] {
        Encoding.tagged(2, names.flatMap { SubjectName.directory($0).octets })
    }
    private let indirect = Encoding.primitive(4, [0xFF])

    /// The certificate of somebody who signs lists alone.
    private func signer(
        _ hierarchy: Hierarchy, by key: TestKey = .middle, issuer: DistinguishedName = Hierarchy.middleName,
        usage: CertificateExtensions.KeyUsage = [.revocationListSigning], point: EncodedExtension? = nil
    ) throws -> Certificate {
        var template = hierarchy.leaf
        template.serialNumber = [50]
        template.issuer = issuer
        template.subject = Self.signerName
        template.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
        template.extensions = [.keyUsage(usage)] + (point.map { [$0] } ?? [])
        return try template.signed(by: key.signer())
    }

    /// A list by the signer, which has the other issuers' entries that are asked for.
    private func indirectList(
        _ entries: [(serial: UInt8, issuer: DistinguishedName?)], scope: [EncodedExtension],
        issuer: DistinguishedName = signerName, by key: TestKey = .stranger
    ) throws -> RevocationList {
        let revoked = entries.map { serial, issuer in
            let named = issuer.map {
                EncodedExtension(
                    "2.5.29.29", isCritical: true, value: Encoding.sequence(SubjectName.directory($0).octets))
            }
            return Encoding.sequence(
                Encoding.integer([serial]), Encoding.time(Faults.may), named.map { [$0].octets } ?? [])
        }
        let number = EncodedExtension("2.5.29.20", value: Encoding.integer(1))
        let signing = key.signer()
        let body = Encoding.sequence(
            Encoding.integer(1), signing.algorithm.algorithmIdentifier, issuer.octets, Encoding.time(Faults.may),
            Encoding.time(Faults.july), revoked.isEmpty ? [] : Encoding.sequence(of: revoked),
            Encoding.tagged(0, ([number] + scope).octets))
        return try RevocationList(parsing: try signing.envelope(body))
    }

    private func problems(
        _ hierarchy: Hierarchy, _ lists: [RevocationList], _ others: [Certificate] = [],
        _ revocation: CertificatePolicy.Revocation = .strict
    ) throws -> [CertificateProblem] {
        let ofRoot = try Hierarchy.list([], issuer: Hierarchy.rootName).signed(by: TestKey.root.signer())
        var builder = PathBuilder(
            anchors: [try hierarchy.rootCertificate], intermediates: [try hierarchy.middleCertificate] + others,
            revocation: RevocationStore(lists: lists + [ofRoot]))
        builder.policy.revocation = revocation
        switch builder.path(for: try hierarchy.leafCertificate, identity: nil, now: Hierarchy.now) {
        case .success: return []
        case .failure(let report): return report.problems.map(\.problem)
        }
    }

    private func isRevoked(_ problems: [CertificateProblem]) -> Bool {
        problems.contains { if case .revoked = $0 { true } else { false } }
    }

    /// A list of the issuing authority's about its signer of lists, and not about the end entity: it is one of a point that its
    /// certificate does not name.
    private var ofSigner: RevocationList {
        get throws {
            var template = Hierarchy.list([], number: 3)
            template.extensions = [scope(full(.uri("http://lists.example/signers")))]
            return try template.signed(by: TestKey.middle.signer())
        }
    }
    private var signersPoint: EncodedExtension { point(full(.uri("http://lists.example/signers"))) }

    // MARK: Reasons

    @Test func listsOfSomeReasonsAreOneTogether() throws {
        let hierarchy = Hierarchy()
        func list(_ reasons: [UInt8], _ serials: [UInt8] = []) throws -> RevocationList {
            var template = Hierarchy.list(serials)
            template.extensions = [scope(Encoding.primitive(3, reasons))]
            return try template.signed(by: TestKey.middle.signer())
        }
        let both = [try list(Self.compromise), try list(Self.others)]
        #expect(try problems(hierarchy, both).isEmpty)
        #expect(try problems(hierarchy, both.reversed()).isEmpty)
        for one in both { #expect(try problems(hierarchy, [one]) == [.revocationUnknown(.someReasons)]) }
        // Twice the same is not the other half.
        #expect(
            try problems(hierarchy, [both[0], try list(Self.compromise)]) == [.revocationUnknown(.someReasons)])
        #expect(isRevoked(try problems(hierarchy, [both[0], try list(Self.others, [3])])))
        #expect(isRevoked(try problems(hierarchy, [try list(Self.compromise, [3])], [], .relaxed)))
        // One of them out of date leaves the status open.
        var stale = Hierarchy.list([])
        stale.extensions = [scope(Encoding.primitive(3, Self.others))]
        stale.nextUpdate = Faults.may
        let late = try stale.signed(by: TestKey.middle.signer())
        #expect(try problems(hierarchy, [both[0], late]) == [.revocationUnknown(.stale(nextUpdate: Faults.may))])
    }

    /// A point says for which reasons its lists have the certificate: a whole list of such a point counts for these alone.
    @Test func aPointOfSomeReasons() throws {
        var hierarchy = Hierarchy()
        let place = full(.uri("http://lists.example/some"))
        hierarchy.leaf.extensions.append(point(place, Encoding.primitive(1, Self.compromise)))
        var template = Hierarchy.list([])
        template.extensions = [scope(place)]
        let list = try template.signed(by: TestKey.middle.signer())
        #expect(try problems(hierarchy, [list]) == [.revocationUnknown(.someReasons)])
        hierarchy.leaf.extensions.replace(point(place))
        #expect(try problems(hierarchy, [list]).isEmpty)
    }

    // MARK: Names

    @Test func namesThatFollowTheIssuers() throws {
        let whole = full(.directory(name("C=CH, O=Parley, CN=Issuing, CN=first")))
        for inCertificate in [whole, relative("CN=first"), relative("CN=second")] {
            for inList in [whole, relative("CN=FIRST")] {
                var hierarchy = Hierarchy()
                hierarchy.leaf.extensions.append(point(inCertificate))
                var template = Hierarchy.list([])
                template.extensions = [scope(inList)]
                let found = try problems(hierarchy, [try template.signed(by: TestKey.middle.signer())])
                let isOther = inCertificate == relative("CN=second")
                #expect(found == (isOther ? [.revocationUnknown(.noInformation)] : []))
            }
        }
    }

    // MARK: Indirect lists

    @Test func aListByWhomTheCertificateNames() throws {
        var hierarchy = Hierarchy()
        hierarchy.leaf.extensions.append(point(issuers(Self.signerName)))
        let signer = try signer(hierarchy, point: signersPoint)
        func judge(_ entries: [(UInt8, DistinguishedName?)], _ revocation: CertificatePolicy.Revocation = .strict)
            throws -> [CertificateProblem]
        {
            let list = try indirectList(entries, scope: [scope(indirect)])
            return try problems(hierarchy, [list, try ofSigner], [signer], revocation)
        }
        #expect(try judge([]).isEmpty)
        #expect(isRevoked(try judge([(3, Hierarchy.middleName)])))
        #expect(
            isRevoked(try judge([(9, Hierarchy.middleName), (3, nil)], .relaxed)),
            "an entry's issuer is the last one named")
        // Numbers of others: the list's own issuer, and one that was named in between.
        #expect(try judge([(3, nil)]).isEmpty)
        #expect(try judge([(9, Hierarchy.middleName), (3, Hierarchy.rootName)]).isEmpty)
        #expect(try judge([(9, Hierarchy.middleName), (8, Self.signerName), (3, nil)]).isEmpty)
    }

    @Test func aListByWhomNobodyNamesIsNotHeard() throws {
        let hierarchy = Hierarchy()
        let list = try indirectList([], scope: [scope(indirect)])
        let signer = try signer(hierarchy, point: signersPoint)
        #expect(
            try problems(hierarchy, [list, try ofSigner], [signer]) == [.revocationUnknown(.noInformation)])
        // Nor one that is not indirect, though its issuer is named.
        var named = hierarchy
        named.leaf.extensions.append(point(issuers(Self.signerName)))
        let direct = try indirectList([], scope: [])
        #expect(
            try problems(named, [direct, try ofSigner], [signer]) == [.revocationUnknown(.noInformation)])
    }

    @Test func entriesOfOthersInAListThatIsNotIndirect() throws {
        let list = try indirectList(
            [(9, Hierarchy.rootName)], scope: [], issuer: Hierarchy.middleName, by: .middle)
        #expect(
            try problems(Hierarchy(), [list]) == [.revocationUnknown(.unknownCriticalExtensions(["2.5.29.29"]))])
    }

    /// Who signs a list must come from an authority of the path, and may sign lists.
    @Test func signersThatNobodyVouchesFor() throws {
        var hierarchy = Hierarchy()
        hierarchy.leaf.extensions.append(point(issuers(Self.signerName)))
        let list = try indirectList([], scope: [scope(indirect)])
        let bad = [
            try signer(hierarchy, by: .stranger, point: signersPoint),
            try signer(hierarchy, by: .stranger, issuer: Self.signerName, point: signersPoint),
            try signer(hierarchy, usage: [.digitalSignature], point: signersPoint),
        ]
        for signer in bad {
            #expect(
                try problems(hierarchy, [list, try ofSigner], [signer]) == [.revocationUnknown(.noInformation)])
        }
        // One that was revoked itself, and one of which nothing is known.
        let good = try signer(hierarchy, point: signersPoint)
        var revoked = Hierarchy.list([50], number: 3)
        revoked.extensions = [scope(full(.uri("http://lists.example/signers")))]
        for known in [[try revoked.signed(by: TestKey.middle.signer())], []] {
            #expect(try problems(hierarchy, [list] + known, [good]) == [.revocationUnknown(.noInformation)])
        }
        #expect(try problems(hierarchy, [list, try ofSigner], [good]).isEmpty)
        // Within the names that the authority may certify.
        hierarchy.middle.extensions.append(.nameConstraints(excluded: [.directory(Self.signerName)]))
        #expect(try problems(hierarchy, [list, try ofSigner], [good]) == [.revocationUnknown(.noInformation)])
    }

    /// An authority may say that nobody but the signer speaks of the signer's certificate.
    @Test func aSignerThatSpeaksForItself() throws {
        var hierarchy = Hierarchy()
        hierarchy.leaf.extensions.append(point(issuers(Self.signerName)))
        let own = try signer(hierarchy, point: point(issuers(Self.signerName)))
        func judge(_ entries: [(UInt8, DistinguishedName?)]) throws -> [CertificateProblem] {
            try problems(hierarchy, [try indirectList(entries, scope: [scope(indirect)])], [own])
        }
        #expect(try judge([]).isEmpty)
        #expect(try judge([(50, Hierarchy.middleName)]) == [.revocationUnknown(.noInformation)])
    }

    /// What is asked next knows of the signers: a list that is there is not fetched again, and the signer's own status is asked for.
    @Test func inquiriesKnowWhoSignsLists() throws {
        var hierarchy = Hierarchy()
        let place = full(.uri("http://lists.example/all"))
        hierarchy.leaf.extensions.append(point(place, issuers(Self.signerName)))
        let list = try indirectList([], scope: [scope(place, indirect)])
        var builder = PathBuilder(
            anchors: [try hierarchy.rootCertificate],
            intermediates: [try hierarchy.middleCertificate, try signer(hierarchy, point: signersPoint)])
        func asked() throws -> [String] {
            let path = try builder.path(for: try hierarchy.leafCertificate, identity: nil, now: Hierarchy.now).get()
            return path.inquiries(builder.revocation, asked: [], now: Hierarchy.now).map(\.uri)
        }
        #expect(try asked() == ["http://lists.example/all"])
        builder.revocation.lists = [list]
        #expect(try asked() == ["http://lists.example/signers"])
        builder.revocation.lists = [list, try ofSigner]
        #expect(try asked() == [])
    }
}
