import Configuration
import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// A gateway with a client profile, and clients that offer what the profile's client is known to offer.
@Suite struct ClientProfileTests {
    /// How a client proves who it is.
    enum Method: String, Sendable { case user, certificate, sharedKey }

    /// A client's first offers, in its own order.
    struct Client: Sendable, CustomTestStringConvertible {
        var name: String
        var profile: String
        var ike: [String]
        var esp: [String]
        /// What it brings along when it rekeys a child.
        var rekeying: [String]
        var method: Method
        /// Octets of its fragments.
        var fragmentOctets = 1280
        var testDescription: String { name }
    }

    private static let clients = [
        Client(
            name: "Windows 10, as installed", profile: "windows",
            ike: [
                "3des-sha1-modp1024", "aes256-sha1-modp1024", "3des-sha256-modp1024", "aes256-sha256-modp1024",
                "3des-sha384-modp1024", "aes256-sha384-modp1024",
            ],
            esp: ["aes256-sha1", "3des-sha1"], rekeying: ["aes256-sha1"], method: .user, fragmentOctets: 576),
        Client(
            name: "Windows 10 with NegotiateDH2048_AES256", profile: "windows",
            ike: ["aes256-sha1-modp2048", "aes256-sha256-modp2048", "aes256-sha384-modp2048"],
            esp: ["aes256-sha1"], rekeying: ["aes256-sha1-modp2048"], method: .user, fragmentOctets: 576),
        Client(
            name: "Windows 11 with a policy by PowerShell", profile: "windows", ike: ["aes256gcm16-prfsha384-ecp384"],
            esp: ["aes256gcm16"], rekeying: ["aes256gcm16-ecp384"], method: .certificate),
        Client(
            name: "iOS, set up by hand", profile: "apple",
            ike: ["aes256-sha256-modp2048", "aes256-sha256-ecp256", "aes256-sha256-modp1536", "aes128-sha1-modp1024"],
            esp: ["aes256-sha256", "aes128-sha1"], rekeying: ["aes256-sha256"], method: .user),
        Client(
            name: "macOS with a profile", profile: "apple", ike: ["aes256gcm16-prfsha384-ecp384"],
            esp: ["aes256gcm16-ecp384"], rekeying: ["aes256gcm16-ecp384"], method: .certificate),
        Client(
            name: "Android 12 with a pre-shared key", profile: "android",
            ike: [
                "aes256gcm16-aes128gcm16-prfsha512-prfsha384-prfsha256-prfaesxcbc-modp4096-modp3072-modp2048",
                "aes256ctr-aes256-aes128-sha512-sha384-sha256-modp4096-modp3072-modp2048",
            ],
            esp: ["aes256gcm16-aes128gcm16", "aes256-aes128-sha512-sha384-sha256"], rekeying: ["aes256gcm16"],
            method: .sharedKey),
        Client(
            name: "Android 12 with a user", profile: "android",
            ike: ["aes256-aes128-sha512-sha384-sha256-modp4096-modp3072-modp2048"],
            esp: ["aes256-sha256"], rekeying: ["aes256-sha256-modp2048"], method: .user),
        Client(
            name: "strongSwan's app", profile: "strongswan",
            ike: [
                "aes256-aes128-sha512-sha384-sha256-ecp256-ecp384-x25519-modp3072",
                "aes256gcm16-aes128gcm16-chacha20poly1305-prfsha512-prfsha384-prfsha256-ecp256-ecp384-x25519",
            ],
            esp: ["aes256gcm16-aes128gcm16-chacha20poly1305-ecp256", "aes256-sha256"],
            rekeying: ["aes256gcm16-ecp256"], method: .certificate),
    ]

    private static func gateway(_ profile: String) throws -> Connection {
        let configuration = try Configuration.read(
            SourceFile(
                name: "gateway",
                text: """
                    connections { gw {
                    version = 2
                    profile = \(profile)
                    local { auth = psk
                    id = right.example }
                    remote { auth = psk }
                    children { net {
                    local_ts = 10.2.0.0/16
                    remote_ts = 10.1.0.0/16 } } } }
                    """))
        return try #require(configuration.policies.connections.first)
    }

    @Test(arguments: clients) func clientsComeIn(client: Client) throws {
        func proposals(_ texts: [String], _ kind: SecurityProtocol) throws -> [Proposal] {
            try texts.map { try ProposalKeywords.parse($0, for: kind) }
        }
        let joe = try #require(Identity("joe"))
        var host = Pair.connection(
            isLeft: true, ike: try proposals(client.ike, .ike), esp: try proposals(client.esp, .esp))
        var gateway = try Self.gateway(client.profile)
        #expect(gateway.deadPeerDelay == .seconds(30))
        switch client.method {
        case .user:
            host.local[0].method = .extensible(.any)
            host.local[0].userIdentity = .exactly(joe)
            gateway.remote[0].method = .extensible(.mschapv2)
            gateway.remote[0].userIdentity = .any
        case .certificate:
            for rounds in [\Connection.local, \Connection.remote] {
                host[keyPath: rounds][0].method = .publicKey(KeyConstraint())
                gateway[keyPath: rounds][0].method = .publicKey(KeyConstraint())
            }
        case .sharedKey: break
        }
        var settings = EngineSettings()
        settings.fragmentOctetsV4 = client.fragmentOctets
        var pair = Pair(host, gateway, settings: settings, otherSettings: EngineSettings())
        pair[.initiator].passwords = [joe: "secret"]
        pair[.responder].passwords = [joe: "secret"]
        pair.establish()
        // Another group may be wanted than the client's first.
        pair.reopenResponder()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1, "\(client.name)")
        #expect(pair.responder.session.snapshot.remoteUser == (client.method == .user ? joe : nil))
        // The child is rekeyed as the client does it, with a group or without.
        host.children[0].proposals = try proposals(client.rekeying, .esp)
        pair[.initiator].session.connection = host
        let before = try #require(pair.initiator.usable.first)
        pair.give(.command(.rekeyChild(before.id)), to: .initiator)
        pair.run(for: .seconds(10))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(pair.initiator.usable.first?.id != before.id, "\(client.name) rekeys")
    }

    @Test func whatIsWrittenOutCounts() throws {
        let configuration = try Configuration.read(
            SourceFile(
                name: "gateway",
                text: """
                    connections { gw {
                    version = 2
                    profile = windows
                    proposals = aes256gcm16-prfsha384-ecp384
                    dpd_delay = 5s
                    local { auth = psk }
                    remote { auth = psk }
                    children { net { esp_proposals = aes256gcm16 } } } }
                    """))
        let gateway = try #require(configuration.policies.connections.first)
        #expect(gateway.proposals.count == 1 && gateway.deadPeerDelay == .seconds(5))
        #expect(gateway.children[0].proposals == [try ProposalKeywords.parse("aes256gcm16", for: .esp)])
        #expect(throws: (any Error).self) {
            try Configuration.read(SourceFile(name: "x", text: "connections { a { profile = beos } }"))
        }
    }
}
