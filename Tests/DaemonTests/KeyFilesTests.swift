import Configuration
import Cryptography
import Foundation
import Testing
import VectorSupport

@testable import Daemon

/// Keys from a temporary directory of its own.
@Suite final class KeyFilesTests {
    private let directory: URL

    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("parley-\(UUID().uuidString)")
        for name in ["private", "rsa", "ecdsa", "pkcs8", "pubkey"] {
            try FileManager.default.createDirectory(
                at: directory.appendingPathComponent(name), withIntermediateDirectories: true)
        }
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private static func record(_ name: String) throws -> VectorFile.Record {
        try #require(VectorFile("test-keys").records.first { $0[text: "name"] == name })
    }

    private func write(_ name: String, _ octets: [UInt8]) throws {
        try Data(octets).write(to: directory.appendingPathComponent(name))
    }

    @Test func everyDirectoryIsRead() throws {
        let rsa = try Self.record("rsa-left")
        let curve = try Self.record("ecdsa-384-left")
        let other = try Self.record("rsa-other")
        try write("swanctl.conf", Array("secrets { pkcs8-1 { file = other.pem\nsecret = open sesame } }".utf8))
        try write("private/b.der", rsa["private"])
        try write("rsa/again.pem", rsa["traditionalPEM"])
        try write("ecdsa/a.pem", curve["traditionalPEM"])
        try write("pkcs8/other.pem", other["encryptedPEM"])
        try write("pkcs8/locked.pem", other["encryptedPEM"])
        try write("private/.hidden", [1])
        try write("private/noise", [1, 2, 3])
        try write("private/empty", [])
        try write("private/large", [UInt8](repeating: 0x30, count: 70_000))
        try write("pubkey/peer.pub", other["publicPEM"])
        try write("pubkey/noise", [1])
        let configuration = try ConfigurationFiles.load(directory.path).get()
        for path in [directory.path, directory.appendingPathComponent("swanctl.conf").path] {
            let found = KeyFiles.load(beside: path, configuration.passphrases)
            let expected = try [rsa, curve, other].map { try PublicKey(parsing: $0["public"]) }
            #expect(found.privateKeys.map(\.publicKey) == expected)
            #expect(found.publicKeys == [expected[2]])
            let problems = found.problems.map { $0.replacingOccurrences(of: directory.path + "/", with: "") }
            #expect(
                problems == [
                    "private key private/empty: it cannot be read as a key",
                    "private key private/large: it cannot be read as a key",
                    "private key private/noise: it cannot be read as a key",
                    "private key pkcs8/locked.pem: it is encrypted, and 'secrets' has no passphrase",
                    "public key pubkey/noise: it cannot be read as a key",
                ])
        }
    }

    @Test func aWrongPassphraseIsTold() throws {
        try write("swanctl.conf", Array("secrets { private { file = a\nsecret = wrong } }".utf8))
        try write("private/a", try Self.record("ecdsa-256-left")["encrypted"])
        let configuration = try ConfigurationFiles.load(directory.path).get()
        let found = KeyFiles.load(beside: directory.path, configuration.passphrases)
        #expect(found.privateKeys.isEmpty && found.problems.count == 1)
        #expect(found.problems.first?.hasSuffix("its passphrase is another") == true)
    }

    @Test func connectionsNameKeysBesideTheirFile() throws {
        let key = try Self.record("rsa-left")
        try write("pubkey/peer.pub", key["publicPEM"])
        let absolute = directory.appendingPathComponent("elsewhere")
        try write("elsewhere", key["public"])
        try write(
            "swanctl.conf",
            Array(
                """
                connections { home {
                version = 1
                local { auth = rsa }
                remote { auth = rsa
                pubkeys = peer.pub, \(absolute.path) } } }
                """.utf8))
        let configuration = try ConfigurationFiles.load(directory.path).get()
        let expected = try PublicKey(parsing: key["public"])
        #expect(configuration.connections.first?.remote.first?.publicKeys == [expected, expected])
        try FileManager.default.removeItem(at: absolute)
        guard case .failure(let errors) = ConfigurationFiles.load(directory.path) else {
            Issue.record("a key file that is not there was read")
            return
        }
        #expect(errors.diagnostics.first?.message.contains("No such file") == true)
    }
}
