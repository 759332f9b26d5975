import ArgumentParser
import Certificates
import Cryptography
import Foundation
import IPsec
import Platform
import Primitives
import Testing

@testable import parley

/// `parley pki`, judged by programs that know nothing of it.
@Suite struct PKITests {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "parley-pki-\(UUID().uuidString)").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// How `parley pki` ends.
    private func pki(_ arguments: String...) -> Int32 {
        do {
            var command = try Parley.parseAsRoot(["pki"] + arguments)
            try command.run()
            return 0
        } catch let code as ExitCode {
            return code.rawValue
        } catch {
            return Parley.exitCode(for: error).rawValue
        }
    }

    /// What a program says and how it ends; `nil` where it is not installed.
    private func run(_ program: String, _ arguments: String...) throws -> (code: Int32, output: String)? {
        let path = ["/usr/bin/\(program)", "/usr/sbin/\(program)", "/usr/local/bin/\(program)"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
        guard let path else { return nil }
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }

    private func file(_ path: String) -> String { "\(folder)/\(path)" }

    private func permissions(_ path: String) throws -> Int {
        try FileManager.default.attributesOfItem(atPath: file(path))[.posixPermissions] as? Int ?? 0
    }

    @Test(arguments: ["rsa", "ecdsa", "ed25519", "ed448"]) func everyKindOfAuthority(_ type: String) throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let bits = type == "rsa" ? ["--bits", "2048"] : []
        var arguments = ["pki", "ca", "C=CH, O=Test, CN=Root", "-o", file("ca"), "--type", type] + bits
        var command = try Parley.parseAsRoot(arguments)
        try command.run()
        arguments =
            ["pki", "issue", "gate.example", "192.0.2.1", "--ca", file("ca"), "-o", file("gate"), "--type", type] + bits
        command = try Parley.parseAsRoot(arguments)
        try command.run()
        #expect(try permissions("ca/ca.key.pem") == 0o600)
        #expect(try permissions("gate/private/gate.example.pem") == 0o600)
        let openssl = try #require(
            try run(
                "openssl", "verify", "-x509_strict", "-CAfile", file("ca/ca.cert.pem"), "-verify_hostname",
                "gate.example",
                "-purpose", "sslserver", file("gate/x509/gate.example.pem")))
        #expect(openssl.code == 0, "\(openssl.output)")
        let text = try #require(
            try run("openssl", "x509", "-noout", "-text", "-in", file("gate/x509/gate.example.pem")))
        for part in [
            "Version: 3", "C = CH, O = Test, CN = gate.example", "DNS:gate.example, IP Address:192.0.2.1", "CA:FALSE",
            "Digital Signature", "TLS Web Server Authentication", "ipsec Internet Key Exchange",
        ] { #expect(text.output.contains(part), "\(part): \(text.output)") }
        if type != "ed448",
            let charon = try run(
                "pki", "--verify", "--in", file("gate/x509/gate.example.pem"), "--cacert", file("ca/ca.cert.pem"))
        {
            #expect(charon.code == 0 && charon.output.contains("certificate trusted"), "\(charon.output)")
        }
        #expect(
            pki(
                "verify", file("gate/x509/gate.example.pem"), "--ca", file("ca/ca.cert.pem"), "--identity",
                "gate.example") == 0)
        #expect(
            pki("verify", file("gate/x509/gate.example.pem"), "--ca", file("ca/ca.cert.pem"), "--identity", "x.example")
                == 1)
    }

    @Test func anAuthorityBelowAnother() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(pki("ca", "O=Test, CN=Root", "-o", file("root")) == 0)
        #expect(
            pki(
                "ca", "O=Test, CN=Sub", "-o", file("sub"), "--parent", file("root"), "--path-length", "0", "--permit",
                "example") == 0)
        #expect(pki("issue", "gate.example", "--ca", file("sub"), "-o", file("gate")) == 0)
        let good = try #require(
            try run(
                "openssl", "verify", "-x509_strict", "-CAfile", file("root/ca.cert.pem"), "-untrusted",
                file("sub/ca.cert.pem"),
                file("gate/x509/gate.example.pem")))
        #expect(good.code == 0, "\(good.output)")
        // Outside of what the authority may certify, both judges say no.
        #expect(pki("issue", "gate.other", "--ca", file("sub"), "-o", file("gate")) == 0)
        let bad = try #require(
            try run(
                "openssl", "verify", "-CAfile", file("root/ca.cert.pem"), "-untrusted", file("sub/ca.cert.pem"),
                file("gate/x509/gate.other.pem")))
        #expect(bad.code != 0 && bad.output.contains("permitted subtree violation"), "\(bad.output)")
        #expect(
            pki(
                "verify", file("gate/x509/gate.other.pem"), "--ca", file("gate/x509ca/ca.pem"), "--ca",
                file("gate/x509ca/ca-above-1.pem")) == 1)
        #expect(
            pki(
                "verify", file("gate/x509/gate.example.pem"), "--ca", file("gate/x509ca/ca.pem"), "--ca",
                file("gate/x509ca/ca-above-1.pem")) == 0)
        // An authority is not made over another.
        #expect(pki("ca", "O=Test, CN=Root", "-o", file("root")) == 1)
    }

    @Test func revocation() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(pki("ca", "O=Test, CN=Root", "-o", file("ca")) == 0)
        for name in ["a.example", "b.example"] { #expect(pki("issue", name, "--ca", file("ca"), "-o", file("x")) == 0) }
        #expect(pki("revoke", file("x/x509/a.example.pem"), "--ca", file("ca")) == 0)
        // Renewed, the list keeps what it holds and counts on.
        #expect(pki("revoke", "--ca", file("ca")) == 0)
        let lists = try RevocationList.read(file: try FileContents.read(file("ca/ca.crl.pem")))
        #expect(lists[0].number == [2] && lists[0].entries.count == 1)
        for (name, isGood) in [("a.example", false), ("b.example", true)] {
            let openssl = try #require(
                try run(
                    "openssl", "verify", "-crl_check", "-CAfile", file("ca/ca.cert.pem"), "-CRLfile",
                    file("ca/ca.crl.pem"),
                    file("x/x509/\(name).pem")))
            #expect((openssl.code == 0) == isGood, "\(openssl.output)")
            let own = pki(
                "verify", file("x/x509/\(name).pem"), "--ca", file("ca/ca.cert.pem"), "--crl", file("ca/ca.crl.pem"),
                "--revocation", "strict")
            #expect((own == 0) == isGood)
            if let charon = try run(
                "pki", "--verify", "--in", file("x/x509/\(name).pem"), "--cacert", file("ca/ca.cert.pem"), "--crl",
                file("ca/ca.crl.pem"))
            {
                #expect((charon.code == 0) == isGood, "\(charon.output)")
            }
        }
        #expect(pki("revoke", file("ca/ca.key.pem"), "--ca", file("ca")) == 1)
    }

    @Test func requests() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(pki("ca", "O=Test, CN=Root", "-o", file("ca")) == 0)
        #expect(pki("key", "--type", "ed25519", "-o", file("key.pem")) == 0)
        #expect(
            pki(
                "request", "gate.example", "--key", file("key.pem"), "--subject", "O=Test, CN=gate", "-o",
                file("request.pem")) == 0)
        let judged = try #require(try run("openssl", "req", "-verify", "-noout", "-text", "-in", file("request.pem")))
        #expect(judged.code == 0 && judged.output.contains("DNS:gate.example"), "\(judged.output)")
        #expect(
            pki("issue", "gate.example", "--ca", file("ca"), "-o", file("gate"), "--request", file("request.pem")) == 0)
        #expect(!NewFile.exists(file("gate/private/gate.example.pem")))
        // A request of another program.
        _ = try run(
            "openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", file("k.pem"), "-subj", "/CN=x",
            "-out", file("r.pem"))
        #expect(pki("issue", "x.example", "--ca", file("ca"), "-o", file("x"), "--request", file("r.pem")) == 0)
        let verified = try #require(
            try run("openssl", "verify", "-CAfile", file("ca/ca.cert.pem"), file("x/x509/x.example.pem")))
        #expect(verified.code == 0, "\(verified.output)")
        #expect(pki("issue", "x.example", "--ca", file("ca"), "-o", file("x"), "--request", file("key.pem")) == 1)
    }

    @Test func exports() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data("swordfish\n".utf8).write(to: URL(filePath: file("phrase")))
        #expect(pki("ca", "O=Test, CN=Root & <Co>", "-o", file("ca")) == 0)
        #expect(
            pki(
                "issue", "phone@example.org", "--ca", file("ca"), "-o", file("phone"), "--type", "rsa", "--bits", "2048"
            ) == 0)
        for form in ["pkcs12", "mobileconfig", "powershell", "sswan"] {
            #expect(
                pki(
                    "export", file("phone"), "phone@example.org", "--form", form, "--passphrase-file", file("phrase"),
                    "-o",
                    file("out.\(form)"), "--gateway", "gate.example", "--title", "It's \"home\" & <away>") == 0)
            #expect(try permissions("out.\(form)") == 0o600)
        }
        let opened = try #require(
            try run("openssl", "pkcs12", "-in", file("out.pkcs12"), "-passin", "pass:swordfish", "-nodes", "-info"))
        #expect(opened.code == 0, "\(opened.output)")
        #expect(opened.output.contains("AES-256-CBC") && opened.output.contains("BEGIN PRIVATE KEY"))
        #expect(opened.output.ranges(of: "BEGIN CERTIFICATE").count == 2)
        let back = try PKCS12(
            parsing: try FileContents.read(file("out.pkcs12")), passphrase: Secret(Array("swordfish".utf8)))
        #expect(back.certificates.count == 2)
        #expect(throws: KeyDefect.passphrase) {
            try PKCS12(parsing: try FileContents.read(file("out.pkcs12")), passphrase: Secret(Array("x".utf8)))
        }
        // The parsers of these forms' own languages read them.
        let plist = try #require(
            PropertyListSerialization.propertyList(
                from: Data(contentsOf: URL(filePath: file("out.mobileconfig"))), format: nil) as? [String: Any])
        let payloads = try #require(plist["PayloadContent"] as? [[String: Any]])
        #expect(
            payloads.map { $0["PayloadType"] as? String } == [
                "com.apple.security.pkcs12", "com.apple.security.root", "com.apple.vpn.managed",
            ])
        let vpn = try #require(payloads[2]["IKEv2"] as? [String: Any])
        #expect(vpn["PayloadCertificateUUID"] as? String == payloads[0]["PayloadUUID"] as? String)
        #expect(vpn["ServerCertificateIssuerCommonName"] as? String == "Root & <Co>")
        #expect(plist["PayloadDisplayName"] as? String == "It's \"home\" & <away>")
        let identity = try #require(payloads[0]["PayloadContent"] as? Data)
        #expect(
            try PKCS12(parsing: [UInt8](identity), passphrase: Secret(Array("swordfish".utf8))).certificates
                == back.certificates)
        let json = try #require(
            JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: file("out.sswan")))) as? [String: Any])
        #expect(json["type"] as? String == "ikev2-cert" && json["name"] as? String == "It's \"home\" & <away>")
        let remote = try #require(json["remote"] as? [String: Any])
        let authority = try #require(Data(base64Encoded: remote["cert"] as? String ?? ""))
        #expect([UInt8](authority) == back.certificates[1])
        let script = try String(contentsOf: URL(filePath: file("out.powershell")), encoding: .utf8)
        #expect(script.contains("$name = 'It''s \"home\" & <away>'"))
        #expect(script.contains("FromBase64String('\(identity.isEmpty ? "" : "MI")"))
        #expect(script.contains("-DHGroup ECP256"))
    }

    @Test func printsWhatThereIs() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(pki("ca", "O=Test, CN=Root", "-o", file("ca")) == 0)
        #expect(pki("revoke", "--ca", file("ca")) == 0)
        #expect(pki("print", file("ca/ca.cert.pem"), file("ca/ca.crl.pem"), file("ca/ca.key.pem")) == 0)
        #expect(pki("print", file("ca")) == 1)
        #expect(pki("issue", "a b", "--ca", file("nowhere"), "-o", file("x")) == 1)
        #expect(pki("key", "--type", "rsa", "--bits", "1024", "-o", file("k")) == 1)
        #expect(pki("ca", "no name", "-o", file("y")) == 1)
        #expect(pki("site", "a=1", "b=2=3", "--ca", file("ca")) == 1)
    }

    @Test func bothEndsOfATunnel() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        #expect(pki("ca", "O=Test, CN=Root", "-o", file("ca")) == 0)
        #expect(
            pki(
                "site", "left.example=192.0.2.1=10.1.0.0/24", "right.example=192.0.2.2=10.2.0.0/24,10.3.0.0/24", "--ca",
                file("ca"), "-o", folder) == 0)
        for name in ["left.example", "right.example"] {
            for path in ["swanctl.conf", "x509/\(name).pem", "private/\(name).pem", "x509ca/ca.pem"] {
                #expect(NewFile.exists(file("\(name)/\(path)")), "\(path)")
            }
        }
        let text = try String(contentsOf: URL(filePath: file("left.example/swanctl.conf")), encoding: .utf8)
        #expect(text.contains("remote_ts = 10.2.0.0/24, 10.3.0.0/24"))
    }
}
