import Certificates
import Control
import Cryptography
import IPsec
import Primitives
import Testing

@testable import Daemon

/// vici's commands about keys, certificates, revocation lists and authorities.
@Suite struct CredentialCommandTests {
    /// An authority with one end entity.
    private struct World {
        let authority: Authority
        let key: PrivateKey
        let end: Certificate
        static let now = WallTime(year: 2026, month: 6, day: 1)!
        static let validity = Authority.Validity(now: now, days: 30)

        init(_ name: String = "gate.example") throws {
            let rootKey = try PrivateKey.make(.ecdsa(.p256))
            authority = try Authority.root(
                DistinguishedName("O=Test, CN=Root")!, subjectPublicKeyInfo: rootKey.publicKey.subjectPublicKeyInfo,
                serialNumber: [1], validity: World.validity, signer: Signer(rootKey)!)
            key = try PrivateKey.make(.ed25519)
            end = try authority.issue(
                Authority.Subject(
                    name: DistinguishedName("O=Test, CN=\(name)")!, alternativeNames: [.dns(name)],
                    subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo),
                serialNumber: [2], validity: World.validity)
        }

        func list(_ number: Int) throws -> RevocationList {
            let day = WallTime(year: 2026, month: 6, day: 1 + number)!
            return try authority.revocationList(
                adding: [:], to: nil, validity: Authority.Validity(now: day, days: 30), now: day)
        }
    }

    private func message(_ pairs: [(String, String)], data: [UInt8]) -> ViciMessage {
        var message = ViciMessage()
        for (name, value) in pairs { message.add(name, value) }
        message.entries.append(.init("data", .value(data)))
        return message
    }

    private func certificate(_ certificate: Certificate, flag: String = "NONE") -> ViciMessage {
        message([("type", "X509"), ("flag", flag)], data: Array(certificate.pem.utf8))
    }

    /// What `list-certs` streams.
    private func listed(_ client: TestClient, _ filter: ViciMessage = ViciMessage()) throws -> [ViciMessage] {
        client.send(ViciClientConnection().register("list-cert"))
        #expect(try client.arrivals() == [.eventConfirmed])
        client.send(TestClient.request("list-certs", filter))
        var events: [ViciMessage] = []
        while true {
            let arrived = try client.arrivals()
            if arrived.isEmpty { break }
            for case .event("list-cert", let event) in arrived { events.append(event) }
            if arrived.contains(where: { if case .response = $0 { true } else { false } }) { break }
        }
        client.send(ViciClientConnection().unregister("list-cert"))
        #expect(try client.arrivals() == [.eventConfirmed])
        return events
    }

    private func connection(_ certificates: [[UInt8]] = [], authorities: [[UInt8]] = []) -> ViciMessage {
        var local: ViciMessage = ["auth": "pubkey"]
        if !certificates.isEmpty { local.entries.append(.init("certs", .list(certificates))) }
        var remote: ViciMessage = ["auth": "pubkey"]
        if !authorities.isEmpty { remote.entries.append(.init("cacerts", .list(authorities))) }
        var children = ViciMessage()
        children.add("net", section: ViciMessage())
        var body: ViciMessage = ["version": "2"]
        body.add("local", section: local)
        body.add("remote", section: remote)
        body.add("children", section: children)
        var message = ViciMessage()
        message.add("home", section: body)
        return message
    }

    @Test func keysComeAndGoByTheHashOfTheirPublicHalves() throws {
        let (harness, world) = (try ControlHarness(), try World())
        let client = try harness.client()
        let pem = Array(try world.key.pem().exposed)
        let answer = try client.ask("load-key", message([("type", "any")], data: pem))
        #expect(answer?.flag("success") == true)
        let name = try Digest.compute(.sha1, [.open(world.end.keyBits)]).hex
        #expect(answer?.text("id") == name)
        // The same key again is the same key.
        #expect(try client.ask("load-key", message([("type", "ed25519")], data: pem))?.text("id") == name)
        #expect(try client.ask("get-keys")?.list("keys") == [name])
        let other = try client.ask("load-key", message([("type", "rsa")], data: pem))
        #expect(other?.text("errmsg") == "parsing rsa private key failed: it is Ed25519")
        let junk = try client.ask("load-key", message([("type", "any")], data: [1, 2, 3]))
        #expect(junk?.text("errmsg") == "parsing any private key failed: it cannot be read as a key")
        #expect(try client.ask("unload-key", ["id": "00"])?.text("errmsg") == "key not found")
        #expect(try client.ask("unload-key", ["id": name])?.flag("success") == true)
        #expect(try client.ask("get-keys")?.list("keys") == [])
        let token = try client.ask("load-token", ["handle": "ab"])
        #expect(token?.text("errmsg") == "there are no tokens here: keys come from files and over this socket")
    }

    @Test func certificatesAreListedAsTheyWereLoaded() throws {
        let (harness, world) = (try ControlHarness(), try World())
        let client = try harness.client()
        #expect(
            try client.ask("load-cert", certificate(world.authority.certificate, flag: "CA"))?.flag("success") == true)
        #expect(try client.ask("load-cert", certificate(world.end))?.flag("success") == true)
        #expect(try client.ask("load-cert", certificate(world.end))?.flag("success") == true)
        let asAuthority = try client.ask("load-cert", certificate(world.end, flag: "CA"))
        #expect(asAuthority?.text("errmsg") == "ca certificate lacks CA basic constraint, rejected")
        let lists = try [2, 1, 3].map { try world.list($0) }
        for list in lists {
            let answer = try client.ask("load-cert", message([("type", "X509_CRL")], data: list.octets))
            #expect(answer?.flag("success") == true)
        }
        _ = try client.ask("load-key", message([("type", "any")], data: Array(try world.key.pem().exposed)))

        let all = try listed(client)
        #expect(all.map { $0.text("type") } == ["X509", "X509", "X509_CRL"])
        #expect(all.map { $0.text("flag") } == ["NONE", "CA", nil])
        #expect(all.map { $0.flag("has_privkey") } == [true, false, false])
        #expect(all[0].element("data") == .value(world.end.octets))
        // Of several lists about the same certificates the newest one is kept.
        #expect(all[2].element("data") == .value(lists[2].octets))
        #expect(try listed(client, ["type": "X509", "flag": "CA"]).count == 1)
        #expect(try listed(client, ["type": "X509_CRL"]).count == 1)
        #expect(try listed(client, ["subject": "gate.example"]).map { $0.text("flag") } == ["NONE"])
        #expect(try listed(client, ["type": "NONSENSE"]).isEmpty)
        #expect(try client.ask("clear-creds")?.flag("success") == true)
        #expect(try listed(client).isEmpty)
        #expect(try client.ask("get-keys")?.list("keys") == [])
    }

    @Test(arguments: [
        ("X509", "NONE", "parsing X509 certificate failed: "),
        ("X509_CRL", "NONE", "parsing X509_CRL certificate failed: "),
        ("PUBKEY", "NONE", "parsing PUBKEY certificate failed"),
        ("X509_AC", "NONE", "attribute certificates are not supported by this version"),
        ("X509", "AA", "authorities of attribute certificates are not supported by this version"),
        ("X509", "OCSP", "responders' certificates are not loaded: "),
        ("WRONG", "NONE", "invalid certificate type 'WRONG'"), ("X509", "ANY", "invalid certificate flag 'ANY'"),
    ]) func whatIsNoCertificateIsRefused(_ type: String, _ flag: String, _ problem: String) throws {
        let harness = try ControlHarness()
        let answer = try harness.client().ask(
            "load-cert", message([("type", type), ("flag", flag)], data: Array("junk".utf8)))
        #expect(answer?.flag("success") == false)
        #expect(answer?.text("errmsg")?.hasPrefix(problem) == true, "\(answer?.text("errmsg") ?? "")")
    }

    @Test func connectionsSeeWhatIsLoadedAfterThem() throws {
        let (harness, world) = (try ControlHarness(), try World())
        let client = try harness.client()
        #expect(try client.ask("load-conn", connection())?.flag("success") == true)
        #expect(harness.loop.manager.policies.connection("home")?.local[0].identity == .any)
        _ = try client.ask("load-cert", certificate(world.end))
        // Without its key a certificate proves nothing.
        #expect(harness.loop.manager.policies.connection("home")?.local[0].certificates.certificates == [])
        _ = try client.ask("load-key", message([("type", "any")], data: Array(try world.key.pem().exposed)))
        _ = try client.ask("load-cert", certificate(world.authority.certificate, flag: "CA"))
        var loaded = try #require(harness.loop.manager.policies.connection("home"))
        #expect(loaded.local[0].certificates.certificates == [world.end.octets])
        #expect(loaded.local[0].identity == .exactly(Identity(world.end.subject)))
        #expect(loaded.remote[0].certificates.authorityHashes == [world.authority.certificate.keyHash])
        // And what is taken out is gone, the name that it gave included.
        _ = try client.ask("clear-creds")
        loaded = try #require(harness.loop.manager.policies.connection("home"))
        #expect(loaded.local[0].certificates.certificates == [])
        #expect(loaded.local[0].identity == .any)
        #expect(loaded.remote[0].certificates.authorityHashes == [])
    }

    @Test(arguments: [false, true]) func certificatesComeInsideOfConnections(_ isText: Bool) throws {
        let (harness, world) = (try ControlHarness(), try World())
        let client = try harness.client()
        func form(_ certificate: Certificate) -> [UInt8] { isText ? Array(certificate.pem.utf8) : certificate.octets }
        _ = try client.ask("load-key", message([("type", "any")], data: Array(try world.key.pem().exposed)))
        let answer = try client.ask(
            "load-conn", connection([form(world.end)], authorities: [form(world.authority.certificate)]))
        #expect(answer?.flag("success") == true, "\(answer?.text("errmsg") ?? "")")
        let loaded = try #require(harness.loop.manager.policies.connection("home"))
        #expect(loaded.local[0].certificates.certificates == [world.end.octets])
        #expect(loaded.remote[0].certificates.authorities == [world.authority.certificate.octets])
        #expect(loaded.remote[0].certificates.authorityHashes == [world.authority.certificate.keyHash])
        #expect(try listed(client).map { $0.text("flag") } == ["NONE", "CA"])
        client.send(ViciClientConnection().register("list-conn"))
        #expect(try client.arrivals() == [.eventConfirmed])
        client.send(TestClient.request("list-conns"))
        guard case .event("list-conn", let event)? = try client.arrivals(2).first else {
            Issue.record("no connection is listed")
            return
        }
        #expect(event.section("home")?.section("local-1")?.list("certs") == ["O=Test, CN=gate.example"])
        #expect(event.section("home")?.section("remote-1")?.list("cacerts") == ["O=Test, CN=Root"])
    }

    @Test func whatComesInsideOfAConnectionAndIsNoCertificateKeepsItOut() throws {
        let harness = try ControlHarness()
        let client = try harness.client()
        let answer = try client.ask("load-conn", connection([[0x30, 0x82, 0x01]]))
        #expect(
            answer?.text("errmsg") == "invalid value for 'certs' in connections.home: no certificate that can be read")
        #expect(harness.loop.manager.policies.connections.isEmpty)
    }

    @Test func authoritiesComeAndGo() throws {
        let (harness, world) = (try ControlHarness(), try World())
        let client = try harness.client()
        #expect(try client.ask("load-conn", connection())?.flag("success") == true)
        func authority(_ key: String, _ data: [UInt8]) -> ViciMessage {
            var message = ViciMessage()
            message.add("ca", section: ViciMessage([.init(key, .value(data))]))
            return message
        }
        let junk = try client.ask("load-authority", authority("cacert", Array("junk".utf8)))
        #expect(junk?.text("errmsg") == "no CA certificate that can be read: ca")
        let pem = Array(world.authority.certificate.pem.utf8)
        #expect(try client.ask("load-authority", authority("cacert", pem))?.flag("success") == true)
        #expect(try client.ask("get-authorities")?.list("authorities") == ["ca"])
        let remote = { harness.loop.manager.policies.connection("home")?.remote[0] }
        #expect(remote()?.certificates.authorityHashes == [world.authority.certificate.keyHash])
        client.send(ViciClientConnection().register("list-authority"))
        #expect(try client.arrivals() == [.eventConfirmed])
        client.send(TestClient.request("list-authorities"))
        guard case .event("list-authority", let event)? = try client.arrivals(2).first else {
            Issue.record("no authority is listed")
            return
        }
        #expect(event.section("ca")?.text("cacert") == "O=Test, CN=Root")
        #expect(
            try client.ask("unload-authority", ["name": "x"])?.text("errmsg") == "unload: authority 'x' not found")
        #expect(try client.ask("unload-authority")?.text("errmsg") == "unload: missing authority name")
        #expect(try client.ask("unload-authority", ["name": "ca"])?.flag("success") == true)
        #expect(try client.ask("get-authorities")?.list("authorities") == [])
        #expect(remote()?.certificates.authorityHashes == [])
    }
}
