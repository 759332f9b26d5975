import Cryptography
import IPsec
import Primitives
import Testing

@testable import Certificates

/// What is asked about revocation, in which order, and what becomes of the answers.
@Suite struct RevocationInquiryTests {
    private static let responder = "http://ocsp.example/"
    private static let listURI = "http://crl.example/ca.crl"
    private static let deltaURI = "http://crl.example/delta.crl"

    private func hierarchy(lists: [String] = [listURI], responders: [String] = [responder]) -> Hierarchy {
        var hierarchy = Hierarchy()
        if !lists.isEmpty { hierarchy.leaf.extensions.append(.revocationLists(lists)) }
        if !responders.isEmpty { hierarchy.leaf.extensions.append(.ocspResponders(responders)) }
        return hierarchy
    }

    private func inquiries(
        _ hierarchy: Hierarchy, _ store: RevocationStore, asked: Set<RevocationInquiry> = []
    ) throws -> [RevocationInquiry] {
        store.inquiries(
            about: try hierarchy.leafCertificate, issuer: try hierarchy.middleCertificate, asked: asked,
            now: Hierarchy.now)
    }

    private func list(_ template: RevocationListTemplate) throws -> RevocationList {
        try template.signed(by: TestKey.middle.signer())
    }

    @Test func theResponderComesBeforeTheList() throws {
        let hierarchy = hierarchy()
        let first = try inquiries(hierarchy, RevocationStore())
        let id = try #require(
            OCSPCertificateID(try hierarchy.leafCertificate, issuer: try hierarchy.middleCertificate))
        #expect(first == [RevocationInquiry(Self.responder, .status(id))])
        let second = try inquiries(hierarchy, RevocationStore(), asked: Set(first))
        #expect(second == [RevocationInquiry(Self.listURI, .list)])
        #expect(try inquiries(hierarchy, RevocationStore(), asked: Set(first + second)).isEmpty)
        // Who knows asks nobody.
        let good = RevocationStore(responses: [try OCSPAnswer(hierarchy, .good).response()])
        #expect(try inquiries(hierarchy, good).isEmpty)
        let revoked = RevocationStore(lists: [try list(Hierarchy.list([3]))])
        #expect(try inquiries(hierarchy, revoked).isEmpty)
    }

    @Test func onlyHTTPIsAsked() throws {
        let others = hierarchy(
            lists: ["ldap://crl.example/cn=x", "file:///etc/passwd", "HTTP://crl.example/a"], responders: [])
        #expect(try inquiries(others, RevocationStore()).map(\.uri) == ["HTTP://crl.example/a"])
    }

    @Test func theConfigurationSaysWhereToo() throws {
        var silent = hierarchy(lists: [], responders: [])
        #expect(try inquiries(silent, RevocationStore()).isEmpty)
        let key = try silent.middleCertificate.keyHash
        let store = RevocationStore(locations: [key: RevocationLocations(lists: [Self.listURI])])
        #expect(try inquiries(silent, store).map(\.uri) == [Self.listURI])
        // "ifuri" holds for what the configuration says as well.
        silent.policy.revocation = .ifURI
        let builder = PathBuilder(
            anchors: [try silent.rootCertificate], revocation: store, policy: silent.policy)
        let result = builder.path(
            for: try silent.leafCertificate, presented: [try silent.middleCertificate], identity: nil,
            now: Hierarchy.now)
        guard case .failure(let report) = result else {
            Issue.record("accepted")
            return
        }
        #expect(report.problems.map(\.check) == [.revocation])
        #expect(try silent.judge().isSuccess)
    }

    @Test func changesAreAskedForWhereAListNamesThem() throws {
        let hierarchy = hierarchy(responders: [])
        var base = Hierarchy.list([9])
        #expect(try inquiries(hierarchy, RevocationStore(lists: [try list(base)])).isEmpty)
        base.extensions = [
            EncodedExtension("2.5.29.46", value: EncodedExtension.revocationLists([Self.deltaURI]).value)
        ]
        let withBase = RevocationStore(lists: [try list(base)])
        let asked = try inquiries(hierarchy, withBase)
        #expect(asked == [RevocationInquiry(Self.deltaURI, .list)])
        #expect(try inquiries(hierarchy, withBase, asked: Set(asked)).isEmpty)
        let delta = try list(Hierarchy.list([], number: 8, base: 7))
        #expect(try inquiries(hierarchy, withBase.adding(RevocationStore(lists: [delta]))).isEmpty)
        // What the delta adds counts.
        let revoking = try list(Hierarchy.list([3], number: 8, base: 7))
        let both = withBase.adding(RevocationStore(lists: [revoking]))
        let status = both.status(
            of: try hierarchy.leafCertificate, issuer: try hierarchy.middleCertificate, now: Hierarchy.now)
        guard case .revoked = status else {
            Issue.record("\(status)")
            return
        }
        // The certificate may name them as well (RFC 5280 §4.2.1.15).
        var naming = hierarchy
        naming.leaf.extensions.append(
            EncodedExtension("2.5.29.46", value: EncodedExtension.revocationLists([Self.deltaURI]).value))
        let plain = RevocationStore(lists: [try list(Hierarchy.list([9]))])
        #expect(try inquiries(naming, plain).map(\.uri) == [Self.deltaURI])
    }

    /// Of a list in several parts only the part that a certificate names speaks of it (RFC 5280 §6.3.3 (b)(2)): the
    /// newest of all parts would say that nothing is revoked.
    @Test func aListInParts() throws {
        let other = "http://crl.example/other.crl"
        func part(_ uri: String, _ serials: [UInt8], number: Int) throws -> RevocationList {
            var template = Hierarchy.list(serials, number: number)
            template.extensions = [
                EncodedExtension(
                    "2.5.29.28", isCritical: true,
                    value: Encoding.sequence(
                        Encoding.tagged(0, Encoding.tagged(0, Encoding.primitive(6, Array(uri.utf8))))))
            ]
            return try list(template)
        }
        let hierarchy = hierarchy(responders: [])
        func status(_ lists: [RevocationList]) throws -> RevocationStore.Status {
            RevocationStore(lists: lists).status(
                of: try hierarchy.leafCertificate, issuer: try hierarchy.middleCertificate, now: Hierarchy.now)
        }
        let ours = try part(Self.listURI, [3], number: 5)
        let theirs = try part(other, [], number: 9)
        guard case .revoked = try status([ours, theirs]) else {
            Issue.record("the other part was believed")
            return
        }
        #expect(try status([theirs]) == .unknown(.noInformation))
        #expect(try status([try part(Self.listURI, [], number: 5), theirs]) == .good)
    }

    @Test func answersAreHeldToTheQuestion() throws {
        let hierarchy = hierarchy()
        let inquiry = try inquiries(hierarchy, RevocationStore())[0]
        let answer = try OCSPAnswer(hierarchy, .good)
        let response = try answer.response()
        #expect(try inquiry.read(response.octets) == .response(response))
        // A responder may leave the nonce out.
        #expect(try inquiry.read(response.octets, nonce: [1, 2, 3]) == .response(response))
        var elsewhere = answer
        elsewhere.serialNumber = [4]
        let wrong = try elsewhere.response().octets
        #expect(throws: CertificateDefect.self) { try inquiry.read(wrong) }
        #expect(throws: CertificateDefect.self) { try inquiry.read([0x30, 3, 0x0A, 1, 3]) }
        let listInquiry = RevocationInquiry(Self.listURI, .list)
        let list = try list(Hierarchy.list([9]))
        #expect(try listInquiry.read(list.octets) == .list(list))
        #expect(try listInquiry.read(Array(list.pem.utf8)) == .list(list))
        #expect(throws: CertificateDefect.self) { try listInquiry.read(Array("<html>".utf8)) }
    }

    @Test func theCacheIsBounded() throws {
        var cache = RevocationCache()
        let list = try list(Hierarchy.list([9]))
        var removed: [RevocationInquiry] = []
        for index in 0..<1030 {
            removed += cache.put(
                .list(list), for: RevocationInquiry("http://x/\(index)", .list),
                now: WallTime(seconds: Int64(index)))
        }
        #expect(cache.count == 1024)
        #expect(removed.map(\.uri) == (0..<6).map { "http://x/\($0)" })
        // The same inquiry takes its own place.
        #expect(cache.put(.list(list), for: RevocationInquiry("http://x/1029", .list), now: Hierarchy.now).isEmpty)
        #expect(cache.count == 1024 && cache.store.lists.count == 1024)
    }

    @Test func failuresAreRememberedForAMinute() {
        var cache = RevocationCache()
        let inquiry = RevocationInquiry("http://x/", .list)
        let now = Hierarchy.now
        #expect(!cache.hasFailed(inquiry, now: now))
        cache.noteFailure(inquiry, now: now)
        #expect(cache.hasFailed(inquiry, now: now + .seconds(59)))
        #expect(!cache.hasFailed(inquiry, now: now + .seconds(60)))
        // A clock that was set back holds nobody up.
        #expect(!cache.hasFailed(inquiry, now: WallTime(seconds: now.seconds - 3600)))
        for index in 0..<5000 { cache.noteFailure(RevocationInquiry("http://x/\(index)", .list), now: now) }
        #expect(cache.hasFailed(RevocationInquiry("http://x/4999", .list), now: now))
    }
}
