import IPsec
import Primitives
import Testing

@testable import Certificates

/// A signature of what speaks about revocation is looked at once for each key that could have made it.
@Suite struct SignatureMemoryTests {
    private func status(
        _ hierarchy: Hierarchy, _ store: RevocationStore, issuer: Certificate? = nil
    ) throws -> RevocationStore.Status {
        try store.status(
            of: hierarchy.leafCertificate, issuer: issuer ?? hierarchy.middleCertificate, now: Hierarchy.now)
    }

    /// The issuer's name with another key.
    private func impostor(_ hierarchy: Hierarchy) throws -> Certificate {
        var other = hierarchy
        other.middle.subjectPublicKeyInfo = TestKey.leaf.subjectPublicKeyInfo
        return try other.middleCertificate
    }

    @Test func aListIsVerifiedOnceForEachKey() throws {
        let hierarchy = Hierarchy()
        let list = try Hierarchy.list([9]).signed(by: TestKey.middle.signer())
        #expect(list.signatureChecks == 0)
        let store = RevocationStore(lists: [list])
        for _ in 0..<5 { #expect(try status(hierarchy, store) == .good) }
        #expect(list.signatureChecks == 1)
        // Copies and other stores have the same list.
        let merged = RevocationStore().adding(store)
        #expect(try status(hierarchy, merged) == .good)
        #expect(list.signatureChecks == 1)
        // What held for one key says nothing of another, and the other way round.
        let impostor = try impostor(hierarchy)
        for _ in 0..<3 { #expect(try status(hierarchy, store, issuer: impostor) == .unknown(.badSignature)) }
        #expect(list.signatureChecks == 2)
        #expect(try status(hierarchy, store) == .good)
        #expect(list.signatureChecks == 2)
        // The same octets read again are held anew, and what is remembered changes no equality.
        let again = try RevocationList(parsing: list.octets)
        #expect(again.signatureChecks == 0 && again == list && Set([again, list]).count == 1)
    }

    /// A list whose entries were changed after it was signed is as bad the second time.
    @Test func aForgedListStaysForged() throws {
        let hierarchy = Hierarchy()
        let good = try Hierarchy.list([3]).signed(by: TestKey.middle.signer())
        #expect(try status(hierarchy, RevocationStore(lists: [good])) != .good)
        var octets = good.octets
        // The revoked serial number, an INTEGER of one octet in front of its date.
        let at = try #require(octets.indices.dropLast(3).first { Array(octets[$0..<($0 + 4)]) == [2, 1, 3, 0x17] })
        octets[at + 2] = 9
        let forged = try RevocationList(parsing: octets)
        for _ in 0..<3 {
            #expect(try status(hierarchy, RevocationStore(lists: [forged])) == .unknown(.badSignature))
        }
        #expect(forged.signatureChecks == 1)
    }

    @Test func aResponseAndItsRespondersCertificateAreVerifiedOnce() throws {
        let hierarchy = Hierarchy()
        var answer = try OCSPAnswer(hierarchy, .good)
        let plain = try answer.response()
        for _ in 0..<3 { #expect(try status(hierarchy, RevocationStore(responses: [plain])) == .good) }
        #expect(plain.signatureChecks == 1)
        try answer.delegate(to: .leaf, in: hierarchy, purposes: [.ocspSigning])
        let delegated = try answer.response()
        for _ in 0..<3 { #expect(try status(hierarchy, RevocationStore(responses: [delegated])) == .good) }
        // The certificate by the authority's key, and the response by the certificate's.
        #expect(delegated.signatureChecks == 2)
        let impostor = try impostor(hierarchy)
        for _ in 0..<3 {
            #expect(try status(hierarchy, RevocationStore(responses: [delegated]), issuer: impostor) != .good)
        }
    }

    @Test func whatIsRememberedIsBounded() throws {
        let hierarchy = Hierarchy()
        let memory = SignatureMemory()
        let signer = try hierarchy.middleCertificate
        var asked = 0
        for round in 0..<2 {
            for number in 0..<UInt8(SignatureMemory.maximum + 1) {
                let isGood = memory.holds(by: signer, of: [number]) {
                    asked += 1
                    return number.isMultiple(of: 2)
                }
                #expect(isGood == number.isMultiple(of: 2), "\(round)")
            }
        }
        #expect(asked == 2 * (SignatureMemory.maximum + 1) && memory.computed == asked)
    }
}
