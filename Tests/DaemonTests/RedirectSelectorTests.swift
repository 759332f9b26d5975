import Configuration
import Control
import IPsec
import KeyManagement
import Primitives
import Testing

@testable import Daemon

/// Which IKE SAs vici's `redirect` means.
@Suite struct RedirectSelectorTests {
    private func session() throws -> SessionSnapshot {
        var session = SessionSnapshot(
            id: SessionID(7), connection: "home", version: 2, state: .established, isInitiator: false,
            local: Endpoint(try #require(IPAddress("192.0.2.1")), port: 4500),
            remote: Endpoint(try #require(IPAddress("198.51.100.20")), port: 4501))
        session.remoteIdentity = Identity("joe@clients.example.org")
        session.remoteUser = Identity("joe")
        return session
    }

    @Test(arguments: [
        ("198.51.100.20", true), ("198.51.100.21", false), ("198.51.100.0/24", true), ("198.51.0.0/24", false),
        ("198.51.100.10-198.51.100.20", true), ("198.51.100.21-198.51.100.30", false), ("%any", true),
        ("2001:db8::/32", false),
    ])
    func addresses(text: String, isMeant: Bool) throws {
        let pattern = try #require(AddressPattern(numeric: text))
        #expect(
            AssociationCommands.isMeant(try session(), by: ViciMessage(), at: pattern, whose: nil) == isMeant)
    }

    @Test(arguments: [
        ("joe@clients.example.org", true), ("*@clients.example.org", true), ("*@example.org", false), ("joe", true),
        ("%any", true), ("jim", false), ("*.example.org", false),
    ])
    func identities(text: String, isMeant: Bool) throws {
        let pattern = try #require(IdentityPattern(text))
        #expect(
            AssociationCommands.isMeant(try session(), by: ViciMessage(), at: nil, whose: pattern) == isMeant)
    }

    @Test func whatNamesNobodyIsRefused() throws {
        for text in ["gw.example.org", "198.51.100.0/33", ""] { #expect(AddressPattern(numeric: text) == nil) }
        let harness = try ControlHarness([ControlHarness.connection("one")])
        let client = try harness.client()
        let answer = try client.ask("redirect", ["gateway": "192.0.2.9", "peer-ip": "198.51.100.0/33"])
        #expect(answer?.text("errmsg") == "'peer-ip' is no address, block or range")
        let other = try client.ask("redirect", ["gateway": "192.0.2.9", "peer-id": "^a.*$"])
        #expect(other?.text("errmsg") == "'peer-id' is no identity")
    }
}
