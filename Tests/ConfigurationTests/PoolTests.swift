import Cryptography
import IPsec
import Primitives
import Testing

@testable import Configuration

/// Pools, users and what else road warriors need.
@Suite struct PoolTests {
    private func read(_ text: String) throws -> Configuration {
        try Configuration.read(SourceFile(name: "x", text: text))
    }

    private func errors(_ text: String) -> [String] {
        do {
            _ = try read(text)
            return []
        } catch let error as ConfigurationErrors {
            return error.diagnostics.map(\.message)
        } catch {
            return ["\(error)"]
        }
    }

    private static let gateway = """
        connections {
            rw {
                version = 1
                aggressive = yes
                pull = no
                pools = four, six
                local { auth = psk }
                remote-xauth { auth = xauth }
                remote { auth = psk
                    id = keyid:group }
                children { net { local_ts = 10.2.0.0/16 } }
            }
        }
        pools {
            four {
                addrs = 10.3.0.0/24
                dns = 10.2.0.53, 10.2.0.54
                nbns = 10.2.0.137
                netmask = 255.255.255.0
                subnet = 10.2.0.0/16
                split_include = 10.2.1.0/24, 10.2.3.0/24
                split_exclude = 10.2.9.0/24
                28672 = "Welcome, # friend"
                28673 = no
                28674 = example.org
                28675 = example.org, example.net
                28679 = yes
                28681 = 192.0.2.9
                17000 = 0x0102ff
            }
            six { addrs = fd00:3::10-fd00:3::20 }
        }
        secrets {
            xauth-joe { id = joe
                secret = "foo bar" }
            eap-any { secret = 0x00ff }
        }
        """

    @Test func everythingThatAGatewaySays() throws {
        let configuration = try read(PoolTests.gateway)
        let connection = try #require(configuration.connections.first)
        #expect(connection.pools == ["four", "six"] && !connection.isPulling)
        // Extended Authentication comes last wherever it stands.
        #expect(connection.remote.map(\.method) == [.preSharedKey, .extendedAuthentication])
        #expect(connection.remoteIdentity == .exactly(try #require(Identity("keyid:group"))))
        #expect(connection.remoteExtendedRound?.identity == .any && connection.localExtendedRound == nil)
        let four = try #require(configuration.policies.pool("four"))
        #expect(four.size == 254 && four.family == .v4)
        #expect(four.information.nameServers.map(\.description) == ["10.2.0.53", "10.2.0.54"])
        #expect(four.information.splitInclude.map(\.description) == ["10.2.1.0/24", "10.2.3.0/24"])
        #expect(four.information.splitExclude.map(\.description) == ["10.2.9.0/24"])
        #expect(four.information.banner == "Welcome, # friend" && four.information.maySavePassword == false)
        #expect(four.information.splitDomains == ["example.org", "example.net"])
        #expect(four.information.wantsForwardSecrecy == true && four.information.defaultDomain == "example.org")
        #expect(four.information.backupServers.map(\.description) == ["192.0.2.9"])
        #expect(four.information.others == [.init(type: 17_000, value: [1, 2, 255])])
        #expect(configuration.policies.pool("six")?.size == 17)
        #expect(configuration.users.map(\.name) == ["xauth-joe", "eap-any"])
        #expect(configuration.users.map(\.secret) == [Secret(Array("foo bar".utf8)), Secret([0, 255])])
        #expect(configuration.secrets.isEmpty)
    }

    @Test func theCanonicalFormReadsBack() throws {
        let configuration = try read(PoolTests.gateway)
        // Secrets are left out of it.
        let text = configuration.canonicalForm.text.replacing("id-1 = joe", with: "id-1 = joe\nsecret = x")
            .replacing("eap-any {", with: "eap-any { secret = y\n")
        let again = try read(text)
        #expect(again.connections == configuration.connections)
        #expect(again.pools.map(\.information) == configuration.pools.map(\.information))
        #expect(again.pools.map(\.first) == configuration.pools.map(\.first))
        #expect(again.pools.map(\.last) == configuration.pools.map(\.last))
    }

    private func home(_ text: String) -> [String] {
        errors("connections { home {\n\(text)\n} }\npools { p { addrs = 10.3.0.0/24 } }")
    }

    @Test func hostsAndTheirUsers() throws {
        let configuration = try read(
            """
            connections { home { version = 1
                vips = 0.0.0.0, ::
                local { auth = psk
                    id = host }
                local-xauth { auth = xauth-generic
                    xauth_id = joe }
                remote { auth = psk } } }
            """)
        let connection = try #require(configuration.connections.first)
        #expect(connection.virtualAddresses == [.any(.v4), .any(.v6)])
        #expect(connection.localExtendedRound?.exactIdentity == Identity("joe"))
        #expect(connection.localIdentity == Identity("host"))
    }

    @Test func usersOverEAP() throws {
        let configuration = try read(
            """
            connections {
                home { version = 2
                    local { auth = eap
                        id = host
                        eap_id = joe }
                    remote { auth = psk } }
                gate { version = 2
                    local { auth = pubkey }
                    remote { auth = eap-mschapv2
                        eap_id = *@example.org } } }
            """)
        let home = try #require(configuration.connections.first { $0.name == "home" })
        #expect(home.localUserMethod == .any && home.local[0].exactUser == Identity("joe"))
        #expect(home.localIdentity == Identity("host") && home.remoteUserMethod == nil)
        let gate = try #require(configuration.connections.first { $0.name == "gate" })
        #expect(gate.remoteUserMethod == .mschapv2 && gate.remoteIdentity == .any)
        #expect(gate.remote[0].userIdentity?.matches(try #require(Identity("ann@example.org"))) == true)
        #expect(gate.remote[0].userIdentity?.matches(try #require(Identity("ann@example.net"))) == false)
        // What is written out reads back as the same.
        let again = try read(configuration.canonicalForm.text)
        #expect(again.connections.first { $0.name == "gate" }?.remote == gate.remote)
    }

    @Test func whatEAPDoesNotGoWith() {
        func errors(_ text: String) -> [String] { home(text) }
        let psk = "remote { auth = psk }\n"
        #expect(
            errors("version = 1\nlocal { auth = eap-md5 }\n" + psk) == [
                "'auth = eap-md5' in connections.home needs version = 2"
            ])
        #expect(
            errors("version = 2\nlocal { auth = eap }\nremote { auth = eap-md5 }") == [
                "'auth = eap' in connections.home is at both ends: nothing but EAP proves the gateway then, and that only "
                    + "eap-tls, eap-ttls and eap-peap do (RFC 5998)"
            ])
        for other in ["eap-tls", "eap-ttls", "eap-peap", "eap", "eap-radius"] {
            #expect(errors("version = 2\nlocal { auth = eap }\nremote { auth = \(other) }") == [])
        }
        #expect(
            errors("version = 2\nlocal { auth = eap-tls }\nremote { auth = eap-peap }") == [
                "'auth = eap-tls' in connections.home is at both ends, with another method at the other"
            ])
        for rounds in [
            "local { auth = eap-tls }\nremote-1 { auth = psk }\nremote-2 { auth = eap-tls }",
            "local-1 { auth = psk }\nlocal-2 { auth = eap-tls }\nremote { auth = eap-tls }",
            "local { auth = eap-tls }\nremote-1 { auth = eap-tls }\nremote-2 { auth = eap-md5 }",
        ] {
            #expect(
                errors("version = 2\n" + rounds) == [
                    "'auth = eap-tls' in connections.home is at both ends: there it proves the gateway too, in the first round "
                        + "of both and in none behind it"
                ])
        }
        #expect(
            errors("version = 2\nlocal { auth = psk }\nremote { auth = eap }") == [
                "'auth = eap' in connections.home is for a local round: a gateway says which method it wants"
            ])
        #expect(
            errors("version = 2\nppk_id = key\nlocal { auth = eap-gtc }\n" + psk) == [
                "'auth = eap-gtc' in connections.home does not go together with 'ppk_id' and 'ppk_required'"
            ])
        // A gateway that wants a post-quantum key of everybody must not let users in without it.
        #expect(
            errors("version = 2\nppk_required = yes\nlocal { auth = psk }\nremote { auth = eap-md5 }") == [
                "'auth = eap-md5' in connections.home does not go together with 'ppk_id' and 'ppk_required'"
            ])
        #expect(
            errors("version = 2\nlocal { auth = psk\neap_id = joe }\n" + psk) == [
                "'eap_id' in connections.home.local belongs to a round with auth = eap-…"
            ])
    }

    /// A connection that leaves the version open is one of version 1 where XAUTH is in it: a peer that came with version 2
    /// would be let in without its user. Likewise EAP and ends that differ are version 2's.
    @Test(arguments: [
        ("local { auth = psk }\nremote { auth = psk }", IKEVersion.any),
        ("local { auth = psk }\nremote { auth = psk }\nremote-x { auth = xauth }", .v1),
        ("local { auth = pubkey }\nremote { auth = xauth }", .v1),
        ("local { auth = eap-md5 }\nremote { auth = psk }", .v2),
        ("local { auth = pubkey }\nremote { auth = eap-mschapv2 }", .v2),
        ("local { auth = pubkey }\nremote { auth = psk }", .v2),
        ("local { auth = null }\nremote { auth = pubkey }", .v2),
    ]) func theVersionFollowsFromHowTheEndsProveThemselves(_ ends: String, _ version: IKEVersion) throws {
        for open in ["", "version = 0\n"] {
            let configuration = try read("connections { home { \(open)\(ends) } }")
            #expect(configuration.connections.first?.version == version)
        }
    }

    @Test(arguments: [0, 1, 2]) func everyVersionHasVirtualAddresses(version: Int) throws {
        let configuration = try read(
            """
            connections { home { version = \(version)
                vips = 0.0.0.0
                pools = p
                local { auth = psk }
                remote { auth = psk } } }
            pools { p { addrs = 10.3.0.0/24 } }
            """)
        #expect(configuration.connections.first?.virtualAddresses == [.any(.v4)])
        #expect(configuration.connections.first?.pools == ["p"])
    }

    @Test func whatDoesNotGoTogether() {
        let ends = "local { auth = psk }\nremote { auth = psk }\n"
        #expect(
            home(ends + "version = 1\npools = q") == [
                "no pool is named 'q' (pools in connections.home)"
            ])
        #expect(
            home(ends + "version = 2\nremote-x { auth = xauth }") == [
                "'auth = xauth' in connections.home needs version = 1"
            ])
        #expect(home(ends + "version = 1\nremote-x { auth = xauth }\nlocal-x { auth = xauth }").count == 1)
        #expect(home(ends + "version = 1\nremote-x { auth = xauth }\nremote-y { auth = xauth }").count == 1)
        #expect(home(ends + "version = 1\nremote-x { auth = xauth\nxauth_id = joe }").count == 1)
        #expect(home(ends + "version = 1\nremote-x { auth = xauth-pam }").count == 1)
        #expect(home("local { auth = psk }\nremote { auth = xauth }\nversion = 1").count == 1)
        #expect(home(ends + "version = 1\nvips = 10.0.0.0/8").count == 1)
    }

    @Test func poolsThatComeAnotherWay() throws {
        let pool = try AddressPool.read("p", [("addrs", "10.3.0.9/24"), ("dns", "10.2.0.53, 10.2.0.54")])
        #expect(pool.first.description == "10.3.0.9" && pool.information.nameServers.count == 2)
        #expect(throws: ConfigurationErrors.self) { try AddressPool.read("p", [("addrs", "10.3.0.9/99")]) }
        #expect(throws: ConfigurationErrors.self) { try AddressPool.read("p", [("adrs", "10.3.0.9/24")]) }
        #expect(throws: ConfigurationErrors.self) { try AddressPool.read("p", []) }
    }
}
