import Certificates
import Cryptography
import Foundation
import IPsec
import Primitives
import Testing

@testable import Daemon

/// What was learned about revocation outlives a restart.
@Suite struct RevocationFilesTests {
    private func list() throws -> (RevocationList, Certificate) {
        let key = try PrivateKey.make(.ecdsa(.p256))
        let now = WallTime(year: 2026, month: 6, day: 1)!
        let validity = Authority.Validity(now: now, days: 30)
        let authority = try Authority.root(
            DistinguishedName("CN=Root")!, subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo, serialNumber: [1],
            validity: validity, signer: Signer(key)!)
        return (
            try authority.revocationList(
                adding: [[2]: .init(date: now, reason: .superseded)], to: nil, validity: validity, now: now),
            authority.certificate
        )
    }

    @Test func whatIsWrittenIsReadAgain() throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("parley-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let files = RevocationFiles("\(directory)/revocation")
        #expect(files.load().isEmpty)
        let (list, _) = try list()
        let inquiry = RevocationInquiry("http://crl.example/ca.crl?x=/../y", .list)
        files.write(.list(list), for: inquiry)
        let loaded = files.load()
        #expect(loaded.count == 1)
        #expect(loaded.first?.0 == inquiry)
        #expect(loaded.first?.1 == .list(list))
        let names = try FileManager.default.contentsOfDirectory(atPath: "\(directory)/revocation")
        #expect(names.count == 1)
        let path = "\(directory)/revocation/\(names[0])"
        let octets = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        // Under another's name it is nobody's, and cut or changed it cannot be read.
        try Data(octets).write(
            to: URL(fileURLWithPath: "\(directory)/revocation/" + String(repeating: "0", count: 64)))
        #expect(files.load().count == 1)
        for count in [0, 5, 30, octets.count - 1] {
            #expect(RevocationFiles.parse(Array(octets.prefix(count))).map(\.0) == nil)
        }
        files.remove(inquiry)
        #expect(files.load().isEmpty)
        files.write(.list(list), for: inquiry)
        files.removeAll()
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(directory)/revocation").isEmpty)
    }
}
