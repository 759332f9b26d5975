import Cryptography
import IPsec
import Primitives
import RADIUS
import Testing

@testable import Configuration

/// The section `radius`, and who asks its servers.
@Suite struct RADIUSSectionTests {
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

    @Test func everyKeyIsRead() throws {
        let configuration = try read(
            """
            connections {
                rw { version = 2
                    pools = radius
                    local { auth = psk }
                    remote { auth = eap-radius } }
                old { version = 1
                    local { auth = psk }
                    remote { auth = psk }
                    remote-x { auth = xauth-radius } }
            }
            radius {
                accounting = yes
                accounting_interval = 5m
                nas_identifier = gw
                retransmit_timeout = 1.5
                retransmit_base = 2
                retransmit_tries = 3
                servers {
                    spare { address = 192.0.2.2
                        secret = "s" }
                    main { address = 2001:db8::1
                        secret = 0x0102
                        auth_port = 1645
                        acct_port = 1646
                        nas_identifier = other
                        require_message_authenticator = no
                        preference = 9 }
                }
                dae { enable = yes
                    listen = 192.0.2.9
                    port = 1700
                    secret = "d" }
            }
            """)
        let radius = configuration.radius
        #expect(radius.servers.map(\.name) == ["main", "spare"])
        #expect(radius.servers[0].address == IPAddress("2001:db8::1")! && radius.servers[0].secret == Secret([1, 2]))
        #expect(
            radius.servers.map(\.accessPort) == [1645, 1812] && radius.servers.map(\.accountingPort) == [1646, 1813])
        #expect(radius.servers.map(\.identifier) == ["other", "gw"])
        #expect(radius.servers.map(\.needsMessageAuthenticator) == [false, true])
        #expect(radius.accounts && radius.interimInterval == .seconds(300))
        #expect(radius.retransmitTimeout == .seconds(1.5) && radius.retransmitBase == 2 && radius.retransmitTries == 3)
        let authorization = try #require(radius.dynamicAuthorization)
        #expect(authorization.address == IPAddress("192.0.2.9")! && authorization.port == 1700)
        #expect(authorization.secret == Secret(Array("d".utf8)))
        #expect(configuration.connections[0].remoteUserMethod == .radius)
        #expect(configuration.connections[1].remoteExtendedRound?.asksServer == true)
        #expect(!"\(configuration.canonicalForm)".contains("0102"))
    }

    @Test func groupsAreForUsersOfServers() throws {
        func text(_ round: String, _ radius: String = "class_group = yes") -> String {
            "connections { c { version = 2\nlocal { auth = psk }\nremote { \(round) } } }\nradius { \(radius) }"
        }
        let good = try read(text("auth = eap-radius\ngroups = staff, guests"))
        #expect(good.connections[0].remote[0].groups == ["staff", "guests"])
        #expect(good.radius.takesClassGroups && !good.radius.takesFilterGroups)
        #expect(good.canonicalForm.text.contains("groups = staff, guests"))
        for (round, radius, words) in [
            ("auth = psk\ngroups = staff", "class_group = yes", "eap-radius"),
            ("auth = eap-mschapv2\ngroups = staff", "filter_id = yes", "attribute certificates"),
            ("auth = eap-radius\ngroups = staff", "accounting = no", "nobody is in any"),
        ] {
            let found = errors(text(round, radius))
            #expect(found.count == 1 && found[0].contains(words), "\(found)")
        }
        let own = errors(
            "connections { c { version = 2\nlocal { auth = psk\ngroups = x }\nremote { auth = psk } } }")
        #expect(own.count == 1 && own[0].contains("is for the peer"), "\(own)")
    }

    @Test func whatIsWrongIsSaid() {
        #expect(
            errors("radius { servers { a { secret = x } } }") == ["radius.servers.a has no 'address'"])
        #expect(
            errors("radius { servers { a { address = 192.0.2.1 } } }") == ["radius.servers.a has no 'secret'"])
        #expect(errors("radius { dae { enable = yes } }") == ["radius.dae has no 'secret'"])
        #expect(errors("radius { dae { enable = no } }") == [])
        #expect(errors("radius { server = 192.0.2.1 }").first?.contains("not supported by this version") == true)
        #expect(errors("radius { acounting = yes }").first?.contains("unknown key 'acounting'") == true)
        for auth in ["eap-radius", "xauth-radius"] {
            let version = auth == "eap-radius" ? 2 : 1
            let found = errors(
                "connections { c { version = \(version)\nlocal { auth = psk }\nlocal-2 { auth = \(auth) }\n"
                    + "remote { auth = psk } } }")
            #expect(found.contains { $0.contains("is for a remote round") } || auth == "eap-radius", "\(found)")
        }
        let user = errors("connections { c { version = 2\nlocal { auth = eap-radius }\nremote { auth = psk } } }")
        #expect(user.contains { $0.contains("is for a remote round") }, "\(user)")
    }
}
