import Cryptography
import IPsec
import Testing
import VectorSupport

@testable import Configuration

/// The order of authentication rounds, which counts once there may be several.
@Suite struct RoundTests {
    /// What the checker reads, whatever it reports.
    private func connection(_ rounds: String) throws -> Connection {
        let (settings, _) = SettingsParser.parse(
            SourceFile(name: "x", text: "connections { home {\n\(rounds)\n} }"),
            loader: { _, _ in .failure(IncludeFailure("none")) })
        return try #require(ConfigurationChecker().check(settings).connections.first)
    }

    @Test func roundsAreSortedByNumberAndThenByFile() throws {
        let home = try connection(
            """
            remote { auth = psk }
            local-b { auth = psk
            id = b.example
            round = 2 }
            local-a { auth = psk
            id = a.example
            round = 2 }
            local-c { auth = psk
            id = c.example }
            """)
        #expect(home.local.map(\.exactIdentity) == ["c.example", "b.example", "a.example"].map { Identity($0) })
        #expect(home.localIdentity == Identity("c.example") && home.remoteIdentity == .any)
        #expect(home.remote == [AuthenticationRound(.preSharedKey)])
    }

    @Test func severalRoundsReadBackAsTheyWere() throws {
        let text = """
            connections { home {
            version = 2
            local-b { auth = eap-mschapv2
            eap_id = joe
            round = 2 }
            local-a { auth = pubkey
            id = a.example
            round = 1 }
            remote-1 { auth = psk
            id = gate.example }
            remote-2 { auth = psk
            id = owner@example } } }
            """
        let configuration = try Configuration.read(SourceFile(name: "x", text: text))
        let home = try #require(configuration.connections.first)
        #expect(home.ownRounds.map(\.method) == [.publicKey(KeyConstraint()), .extensible(.mschapv2)])
        #expect(home.peerRounds.map(\.exactIdentity) == [Identity("gate.example"), Identity("owner@example")])
        #expect(home.hasFurtherRounds)
        let written = configuration.canonicalForm.text
        #expect(written.contains("local-2 {") && written.contains("remote-2 {"))
        #expect(try Configuration.read(SourceFile(name: "x", text: written)).connections == configuration.connections)
        let complaint = #expect(throws: ConfigurationErrors.self) {
            try Configuration.read(SourceFile(name: "x", text: text.replacing("version = 2", with: "version = 1")))
        }
        #expect(complaint?.description.contains("'remote-2' in connections.home needs version = 2 (RFC 4739)") == true)
        // What leaves the version open has the one that can.
        let open = try Configuration.read(
            SourceFile(name: "x", text: text.replacing("version = 2", with: "version = 0")))
        #expect(open.connections == configuration.connections)
    }

    @Test func anEndWithoutRoundsStillHasOne() throws {
        let home = try connection("")
        #expect(home.local == [AuthenticationRound()] && home.remote == [AuthenticationRound()])
    }

    private static let key = VectorFile("test-keys").records.first { $0[text: "name"] == "rsa-left" }

    private func read(_ auth: String) throws -> Configuration {
        try Configuration.read(
            SourceFile(
                name: "x",
                text: """
                    connections { home {
                    version = 1
                    local { auth = \(auth) }
                    remote { auth = \(auth)
                    pubkeys = peer.pem, /keys/peer.der } } }
                    secrets {
                    private-1 { file = own.pem
                    secret = "open sesame" }
                    ecdsa { file = /x/y
                    secret = 0x0102 } }
                    """),
            keyFiles: { name in
                switch name {
                case "peer.pem": .success(RoundTests.key?["publicPEM"] ?? [])
                case "/keys/peer.der": .success(RoundTests.key?["public"] ?? [])
                default: .failure(IncludeFailure("no such file"))
                }
            })
    }

    @Test(arguments: [
        ("pubkey", AuthenticationMethod.publicKey(KeyConstraint())), ("rsa", .publicKey(KeyConstraint(.rsa))),
        ("RSA-3072", .publicKey(KeyConstraint(.rsa, minimumBits: 3072))),
        ("ecdsa-384", .publicKey(KeyConstraint(.ecdsa, minimumBits: 384))), ("dss", .publicKey(KeyConstraint(.dss))),
        (
            "rsa-2048-ecdsa-256-sha256-sha384",
            .publicKey(
                KeyConstraint([
                    .init(.rsa, minimumBits: 2048), .init(.ecdsa, minimumBits: 256, hashes: [.sha256, .sha384]),
                ]))
        ),
        (
            "pubkey-sha384-ike:rsa/pss-sha512-ike:ed25519-identity",
            .publicKey(
                KeyConstraint([
                    .init(.any, hashes: [.sha384]), .init(.pss, hashes: [.sha512], isForMessages: true),
                    .init(.ed25519, hashes: [.identity], isForMessages: true),
                ]))
        ),
        ("rsa-encryption", .publicKeyEncryption), ("rsa-encryption-revised", .revisedPublicKeyEncryption),
    ])
    func methodsByTheirNames(_ name: String, _ method: AuthenticationMethod) throws {
        let configuration = try read(name)
        let home = try #require(configuration.connections.first)
        #expect(home.localMethod == method && home.remoteMethod == method)
        let key = try PublicKey(parsing: try #require(Self.key)["public"])
        #expect(home.remote.first?.publicKeys == [key, key])
        #expect(home.remote.first?.publicKeyFiles == ["peer.pem", "/keys/peer.der"])
        // What is written out reads back as the same.
        let text = configuration.canonicalForm.text
        #expect(text.contains("auth = \(name.lowercased())\n") && text.contains("pubkeys = peer.pem, /keys/peer.der"))
        #expect(!text.contains("sesame"))
    }

    /// What stands behind the colon is for the certificates in TLS.
    @Test func tunnelsHaveConstraintsToo() throws {
        let text = """
            connections { home {
            local { auth = pubkey }
            remote { auth = eap-tls:ecdsa-384-sha384 }
            } }
            """
        let configuration = try Configuration.read(SourceFile(name: "x", text: text))
        let round = try #require(configuration.connections.first?.remote.first)
        #expect(round.method == .extensible(.tls))
        #expect(round.certificates.tunnel == KeyConstraint([.init(.ecdsa, minimumBits: 384, hashes: [.sha384])]))
        #expect(configuration.canonicalForm.text.contains("auth = eap-tls:ecdsa-384-sha384\n"))
    }

    @Test func authoritiesAndPoliciesAreDemanded() throws {
        func read(_ remote: String) throws(ConfigurationErrors) -> Configuration {
            try Configuration.read(
                SourceFile(
                    name: "x", text: "connections { home {\nlocal { auth = pubkey }\nremote {\n\(remote)\n} } }"))
        }
        let good = try read("auth = pubkey\nca_id = \"O=Lab, CN=*\"\ncert_policy = 1.3.6.1.4.1.9.1, 2.5.29.32.0")
        let round = try #require(good.connections.first?.remote.first)
        #expect(round.certificates.policies == ["1.3.6.1.4.1.9.1", "2.5.29.32.0"])
        #expect(round.certificates.authorityIdentity?.matches(Identity("O=Lab, CN=Root")!) == true)
        #expect(round.certificates.wantsCertificate)
        #expect(
            try Configuration.read(SourceFile(name: "x", text: good.canonicalForm.text)).connections == good.connections
        )
        for (remote, word) in [
            ("auth = psk\nca_id = ca.example", "'ca_id'"), ("auth = eap-mschapv2\ncert_policy = 1.2", "'cert_policy'"),
            ("auth = pubkey\nca_id = %any", "one identity"), ("auth = pubkey\nca_id = *.example", "one identity"),
            ("auth = pubkey\ncert_policy = 3.1", "dotted"), ("auth = pubkey\ncert_policy = 1.02", "dotted"),
            ("auth = pubkey\ncert_policy = 1.40", "dotted"), ("auth = pubkey\ncert_policy = 1", "dotted"),
        ] {
            do throws(ConfigurationErrors) {
                _ = try read(remote)
                Issue.record("accepted: \(remote)")
            } catch {
                #expect(error.diagnostics.contains { $0.message.contains(word) }, "\(error.diagnostics)")
            }
        }
    }

    @Test(arguments: [
        ("rsa-2048-sha1", "leave it out"), ("rsa-sha256-2048", "right behind"), ("pubkey-2048", "right behind"),
        ("rsa-0", "no number of bits"), ("ecdsa-sha2566", "no hash"), ("rsa/pss", "write rsa/pss-sha256"),
        ("ed25519-sha512", "write 'identity'"), ("rsa-identity", "not with 'identity'"), ("dss-rsa", "stands alone"),
        ("rsa-sha256-sha256", "twice"), ("rsa--sha256", "no hash"), ("eap-md5:rsa", "behind the colon"),
        ("eap-tls:skp", "kinds of keys"), ("eap-tls:ike:rsa-sha256", "'ike:'"), ("ike:skp", "only"),
    ])
    func constraintsThatMakeNoSense(_ value: String, _ word: String) {
        let text = "connections { home {\nlocal { auth = pubkey }\nremote { auth = \(value) } } }"
        do throws(ConfigurationErrors) {
            _ = try Configuration.read(SourceFile(name: "x", text: text))
            Issue.record("accepted: \(value)")
        } catch {
            #expect(error.diagnostics.first?.message.contains(word) == true, "\(error.diagnostics)")
        }
    }

    @Test func bundlesNeedBothHalvesAndVersionOne() throws {
        func read(_ version: Int, _ lines: String) throws(ConfigurationErrors) -> Configuration {
            try Configuration.read(
                SourceFile(
                    name: "x",
                    text: "connections { home {\nversion = \(version)\nlocal { auth = psk }\nremote { auth = psk }\n"
                        + "children { net {\nbundle = yes\n\(lines) } } } }"))
        }
        let both = "esp_proposals = aes256-sha256-ecp256\nah_proposals = sha256-ecp256"
        let good = try read(1, both)
        #expect(good.connections[0].children[0].isBundle)
        let again = try Configuration.read(SourceFile(name: "x", text: good.canonicalForm.text))
        #expect(again.connections == good.connections)
        for (version, lines, word) in [
            (2, both, "version = 1"), (1, "esp_proposals = aes256-sha256", "both"), (1, "ah_proposals = sha1", "both"),
            (1, "esp_proposals = aes256-sha256-ecp256\nah_proposals = sha256", "same groups"),
        ] {
            do throws(ConfigurationErrors) {
                _ = try read(version, lines)
                Issue.record("accepted: \(lines)")
            } catch {
                #expect(error.diagnostics.contains { $0.message.contains(word) }, "\(error.diagnostics)")
            }
        }
    }

    @Test func aUserAloneBesideASignatureIsHybrid() throws {
        func read(_ local: String, _ remote: String) throws -> Configuration {
            try Configuration.read(
                SourceFile(
                    name: "x",
                    text: "connections { home {\nversion = 1\nlocal { \(local) }\nremote { \(remote) } } }"))
        }
        let host = try read("auth = xauth\nxauth_id = joe\nid = laptop.example", "auth = pubkey\nid = gate.example")
        let home = try #require(host.connections.first)
        #expect(home.isHybrid && home.localIdentity == Identity("laptop.example"))
        #expect(home.localExtendedRound?.exactIdentity == Identity("joe"))
        #expect(home.remoteIdentity == .exactly(Identity("gate.example")!))
        let again = try Configuration.read(SourceFile(name: "x", text: host.canonicalForm.text))
        #expect(again.connections == host.connections)
        #expect(
            try read("auth = xauth\nid = joe", "auth = rsa").connections[0].localExtendedRound?.exactIdentity
                == Identity("joe"))
        let gateway = try #require(
            try read("auth = pubkey\nid = gate.example", "auth = xauth\nid = joe").connections.first)
        #expect(gateway.isHybrid && gateway.remoteIdentity == .any)
        #expect(gateway.remoteExtendedRound?.exactIdentity == Identity("joe"))
        for other in ["auth = psk", "auth = xauth", "auth = rsa-encryption\npubkeys = x"] {
            #expect(throws: ConfigurationErrors.self) { try read("auth = xauth", other) }
        }
    }

    @Test func passphrasesSayWhichFileTheyOpen() throws {
        let passphrases = try read("rsa").passphrases
        #expect(passphrases.map(\.directory) == ["private", "ecdsa"])
        #expect(passphrases.map(\.file) == ["own.pem", "/x/y"])
        #expect(passphrases.map(\.secret) == [Secret(Array("open sesame".utf8)), Secret([1, 2])])
    }

    private func errors(_ auth: String, _ additions: String, version: Int = 1) -> [String] {
        do throws(ConfigurationErrors) {
            _ = try read(auth, additions, version: version)
            return []
        } catch {
            return error.diagnostics.map(\.message)
        }
    }

    private func read(
        _ auth: String, _ additions: String, version: Int
    ) throws(ConfigurationErrors) -> Configuration {
        try Configuration.read(
            SourceFile(
                name: "x",
                text: "connections { home {\nversion = \(version)\nlocal { auth = \(auth) }\nremote { auth = \(auth)\n"
                    + "\(additions) } } }"),
            keyFiles: { $0 == "empty" ? .success([]) : .failure(IncludeFailure("no such file")) })
    }

    @Test func keysThatCannotBeUsedAreErrors() {
        #expect(
            errors("rsa", "pubkeys = none") == [
                "cannot read the key file 'none' in connections.home.remote: no such file"
            ])
        #expect(
            errors("rsa", "pubkeys = empty") == [
                "'empty' in connections.home.remote holds no public key that can be used: it is neither PEM nor DER of one"
            ])
        #expect(
            errors("rsa-encryption", "") == [
                "connections.home.remote has no 'pubkeys', and nonces cannot be encrypted to a key that is not known"
            ])
        #expect(errors("ecdsa", "", version: 2) == [])
        #expect(
            errors("rsa-encryption", "", version: 2) == [
                "encrypted nonces prove an end in IKE version 1 alone: write version = 1 in connections.home"
            ])
        #expect(errors("rsa", "") == [])
    }
}
