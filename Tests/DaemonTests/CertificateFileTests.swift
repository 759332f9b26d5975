import Certificates
import Cryptography
import Foundation
import IPsec
import Primitives
import Testing

@testable import Configuration
@testable import Daemon

/// swanctl's directories of certificates.
@Suite struct CertificateFileTests {
    @Test func everyDirectoryIsRead() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "parley-certs-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        for name in ["x509", "x509ca", "x509crl", "private", "pkcs12"] {
            try FileManager.default.createDirectory(
                at: folder.appending(path: name), withIntermediateDirectories: true)
        }
        func write(_ octets: [UInt8], _ path: String) throws {
            try Data(octets).write(to: folder.appending(path: path))
        }
        let now = WallTime(year: 2026, month: 6, day: 1)!
        let validity = Authority.Validity(now: now, days: 30)
        let rootKey = try PrivateKey.make(.ed25519)
        let root = try Authority.root(
            DistinguishedName("CN=Root")!, subjectPublicKeyInfo: rootKey.publicKey.subjectPublicKeyInfo,
            serialNumber: [1], validity: validity, signer: Signer(rootKey)!)
        let keys = try (0..<2).map { _ in try PrivateKey.make(.ecdsa(.p256)) }
        let ends = try keys.enumerated().map { index, key in
            try root.issue(
                Authority.Subject(
                    name: DistinguishedName("CN=end \(index)")!, alternativeNames: [],
                    subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo), serialNumber: [UInt8(index + 2)],
                validity: validity)
        }
        try write(Array(ends[0].pem.utf8), "x509/a.pem")
        try write(root.certificate.octets, "x509ca/root.der")
        try write(Array("nothing".utf8), "x509ca/broken.pem")
        let list = try root.revocationList(adding: [:], to: nil, validity: validity, now: now)
        try write(Array(list.pem.utf8), "x509crl/list.pem")
        try write(try keys[0].pem().exposed, "private/a.pem")
        let phrase = Secret(Array("swordfish".utf8))
        let file = PKCS12(key: keys[1], certificates: [ends[1].octets, root.certificate.octets])
        try write(try file.octets(passphrase: phrase, name: "b"), "pkcs12/b.p12")
        try write(Array("connections { }".utf8), "swanctl.conf")

        let passphrase = KeyPassphrase(name: "pkcs12-b", directory: "pkcs12", file: "b.p12", secret: phrase)
        let found = KeyFiles.load(beside: folder.path, [passphrase])
        #expect(Set(found.certificates.entities.map(\.certificate)) == Set(ends))
        #expect(Set(found.certificates.authorities.map(\.certificate)) == [root.certificate])
        #expect(found.certificates.lists == [list])
        #expect(Set(found.privateKeys.map(\.publicKey)) == Set(keys.map(\.publicKey)))
        #expect(found.problems.count == 1)
        #expect(found.problems.first?.contains("x509ca/broken.pem") == true)
        // Without its passphrase the file stays shut, and says so.
        let shut = KeyFiles.load(beside: folder.path, [])
        #expect(shut.privateKeys.count == 1)
        #expect(shut.problems.contains { $0.contains("pkcs12/b.p12") })
    }
}
