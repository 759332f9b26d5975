import Cryptography
import IPsec
import Primitives
import Testing

@testable import Certificates

/// Octets that are no certificate.
@Suite struct MalformedTests {
    private func defect(_ octets: [UInt8]) -> CertificateDefect? {
        do throws(CertificateDefect) {
            _ = try Certificate(parsing: octets)
            return nil
        } catch {
            return error
        }
    }

    private func defect(_ spoil: (inout Hierarchy) -> Void) throws -> CertificateDefect? {
        var hierarchy = Hierarchy()
        spoil(&hierarchy)
        do {
            _ = try hierarchy.leaf.signed(by: hierarchy.leafSigner)
            return nil
        } catch .unreadable(let defect) {
            return defect
        }
    }

    @Test func endsEverywhere() throws {
        let octets = try Hierarchy().leafCertificate.octets
        for count in 0..<octets.count { #expect(defect(Array(octets.prefix(count))) != nil) }
        #expect(defect(octets + [0]) != nil)
        #expect(defect(octets) == nil)
    }

    /// Whatever bit flips: it is refused or read, and what is read is judged without a trap.
    @Test func bitsFlipEverywhere() throws {
        let hierarchy = Hierarchy()
        let octets = try hierarchy.leafCertificate.octets
        let builder = PathBuilder(
            anchors: [try hierarchy.rootCertificate], intermediates: [try hierarchy.middleCertificate])
        var read = 0
        for index in octets.indices {
            var changed = octets
            changed[index] ^= 1 << UInt8(index % 8)
            guard let certificate = try? Certificate(parsing: changed) else { continue }
            read += 1
            let isGood = builder.path(for: certificate, identity: nil, now: Hierarchy.now).isSuccess
            #expect(!isGood, "bit at \(index)")
        }
        #expect(read > 0)
    }

    @Test func listsAndResponsesEndAndFlipEverywhere() throws {
        let list = try Hierarchy.list([3, 4]).signed(by: TestKey.middle.signer()).octets
        let response = try OCSPAnswer(Hierarchy(), .revoked).response().octets
        let request = try CertificateRequest.make(
            subject: name("CN=x"), subjectPublicKeyInfo: TestKey.leaf.subjectPublicKeyInfo,
            extensions: [.names([.dns("x.example")])], signer: TestKey.leaf.signer()
        ).octets
        for octets in [list, response, request] {
            for index in octets.indices {
                let short = Array(octets.prefix(index))
                #expect((try? RevocationList(parsing: short)) == nil)
                #expect((try? OCSPResponse(parsing: short)) == nil)
                #expect((try? CertificateRequest(parsing: short)) == nil)
                var changed = octets
                changed[index] ^= 1 << UInt8(index % 8)
                _ = try? RevocationList(parsing: changed)
                _ = try? OCSPResponse(parsing: changed)
                if let request = try? CertificateRequest(parsing: changed) { #expect(!request.provesPossession) }
            }
        }
    }

    @Test func rulesOfTheForm() throws {
        #expect(
            try defect { $0.leaf.extensions.append(.basicConstraints(isAuthority: false)) }
                == .malformed("the extension 2.5.29.19 stands twice"))
        #expect(try defect { $0.leaf.version = 2 } == .malformed("only version 3 has extensions"))
        #expect(
            try defect { $0.leaf.subjectPublicKeyInfo = Keys.explicitCurve }
                == .malformed("the key's curve cannot be read"))
        #expect(
            try defect {
                $0.leaf.extensions.replace(
                    EncodedExtension("2.5.29.19", isCritical: true, value: [0x30, 6, 1, 1, 0xFF, 2, 1, 0xFF]))
            } != nil)
        #expect(
            try defect {
                $0.leaf.extensions.replace(EncodedExtension("2.5.29.17", value: [0x30, 5, 0x87, 3, 1, 2, 3]))
            } == .malformed("an address in a name has 4 or 16 octets"))
        #expect(try defect { $0.leaf.serialNumber = [UInt8](repeating: 1, count: 40) } != nil)
        #expect(defect([UInt8](repeating: 0x30, count: Certificate.maximumOctets + 1)) == .tooLarge)
        // Nested without end.
        var nested: [UInt8] = []
        for _ in 0..<2000 { nested = Encoding.element(0x30, nested) }
        #expect(defect(nested) != nil)
    }

    @Test func theAlgorithmStandsTwiceAlike() throws {
        let octets = try Hierarchy().leafCertificate.octets
        // The outer algorithm stands last before the signature.
        let old: [UInt8] = [0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2]
        let start = try #require(octets.indices.dropLast(8).last { Array(octets[$0..<$0 + 8]) == old })
        var changed = octets
        changed[start + 7] = 3
        #expect(defect(changed) == .malformed("the algorithm inside and outside differ"))
    }

    @Test func filesOfSeveral() throws {
        let hierarchy = Hierarchy()
        let all = [try hierarchy.leafCertificate, try hierarchy.middleCertificate]
        let text = "subject: something\n" + all.map(\.pem).joined(separator: "\n")
        #expect(try Certificate.read(file: Array(text.utf8)) == all)
        #expect(try Certificate.read(file: all[0].octets) == [all[0]])
        #expect(throws: CertificateDefect.self) { try Certificate.read(file: Array("nothing".utf8)) }
        let list = try Hierarchy.list([3]).signed(by: TestKey.middle.signer())
        #expect(try RevocationList.read(file: Array(list.pem.utf8)) == [list])
        #expect(throws: CertificateDefect.self) { try Certificate.read(file: Array(list.pem.utf8)) }
    }

    @Test(arguments: [
        SignatureAlgorithm.rsa(.sha256), .rsa(.sha1), .rsaPSS(.sha256, saltOctets: 32), .rsaPSS(.sha1, saltOctets: 20),
        .rsaPSS(.sha512, saltOctets: 64), .rsaPSS(.sha384, saltOctets: 0), .ecdsa(.sha384), .ed25519, .ed448,
    ]) func algorithmsReadBack(_ algorithm: SignatureAlgorithm) {
        #expect(SignatureAlgorithm(algorithmIdentifier: algorithm.algorithmIdentifier) == algorithm)
        #expect(SignatureAlgorithm(algorithmIdentifier: algorithm.algorithmIdentifier + [0]) == nil)
        #expect(SignatureAlgorithm(algorithmIdentifier: algorithm.algorithmIdentifier.dropLast()) == nil)
    }

    /// RFC 7427 Appendix A.
    @Test func algorithmsAsThe7427WritesThem() {
        #expect(
            SignatureAlgorithm.rsa(.sha256).algorithmIdentifier.hex == "300d06092a864886f70d01010b0500")
        #expect(SignatureAlgorithm.ecdsa(.sha256).algorithmIdentifier.hex == "300a06082a8648ce3d040302")
        #expect(
            SignatureAlgorithm.rsaPSS(.sha1, saltOctets: 20).algorithmIdentifier.hex == "300d06092a864886f70d01010a3000"
        )
        #expect(
            SignatureAlgorithm.rsaPSS(.sha256, saltOctets: 32).algorithmIdentifier.hex
                == "304106092a864886f70d01010a3034a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d0609608648"
                + "0165030402010500a203020120")
        #expect(SignatureAlgorithm.ed25519.algorithmIdentifier.hex == "300506032b6570")
    }
}
