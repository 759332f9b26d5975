import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Android's built-in client (since 11): its proposals are those of AOSP's VpnIkev2Utils, its messages those of AOSP's IKE
/// library and of issues 2189 and 2605 of strongswan.
@Suite struct AndroidClientTests {
    // MARK: What it sends

    private static let groups: [WireProposal.Transform] = [
        .group(.modp4096), .group(.curve25519), .group(.modp3072), .group(.modp2048),
    ]
    private static let prfs: [WireProposal.Transform] = [
        .prf(.hmacSHA512), .prf(.hmacSHA384), .prf(.hmacSHA256), .prf(.aesXCBC), .prf(.aesCMAC), .prf(.hmacSHA1),
    ]
    private static let bits: [UInt16] = [256, 192, 128]

    private static let ike = [
        WireProposal(
            bits.flatMap { [.cipher(.aesCTR, $0), .cipher(.aesCBC, $0)] as [WireProposal.Transform] }
                + [
                    .integrity(.hmacSHA512_256), .integrity(.hmacSHA384_192), .integrity(.hmacSHA256_128),
                    .integrity(.aesXCBC_96), .integrity(.aesCMAC_96),
                ] + groups + prfs),
        WireProposal([.cipher(.chacha20Poly1305)] + gcm + groups + prfs),
    ]
    private static let gcm = bits.flatMap {
        [.cipher(.aesGCM16, $0), .cipher(.aesGCM12, $0), .cipher(.aesGCM8, $0)] as [WireProposal.Transform]
    }
    private static let esp = [
        WireProposal(
            bits.map { .cipher(.aesCBC, $0) } + [
                .integrity(.hmacSHA512_256), .integrity(.hmacSHA384_192), .integrity(.hmacSHA256_128), .sequence(),
            ]),
        WireProposal(gcm + [.sequence()]),
    ]

    /// SHA-1 and SHA-2 of three sizes.
    private static func opening(_ group: KeyExchangeID = .modp4096) -> ScriptedClient.Opening {
        ScriptedClient.Opening(
            proposals: ike, group: group, nonceOctets: 32,
            extras: [
                .natDetectionSource, .natDetectionDestination, .notify(.fragmentationSupported),
                .notify(.signatureHashAlgorithms, [0, 1, 0, 2, 0, 3, 0, 4]),
            ])
    }

    private static let firstSPI = SPI(0x0A0B_0C0D)

    private static var configuration: Payload {
        ConfigurationPayload(
            .request,
            [
                .init(.ip4Address), .init(.ip6Address), .init(.ip4DNS), .init(.ip6DNS), .init(.ip4Netmask),
                .init(.applicationVersion),
            ]
        ).payload
    }

    /// IDi as the user typed it; IDr is the server's address or name, whatever else is configured.
    private static func identities(_ identity: Identity) -> [Payload] {
        [
            Payload(.identityInitiator, body: IdentityPayload.body(identity)),
            Payload(.identityResponder, body: IdentityPayload.body(Gateway.name)),
        ]
    }

    /// The child comes before CP. MOBIKE is there from Android 12 on, and EAP alone may do from 13 on.
    private static func behind(_ notifications: [IKEv2.NotificationType] = [.mobikeSupported]) -> [Payload] {
        let everything = [TrafficSelector.everything(.v4), .everything(.v6)]
        return notifications.map { NotifyPayload($0).payload } + [
            WireProposal.payload(esp, protocol: 3, spi: firstSPI.wire),
            SelectorPayload.payload(.selectorsInitiator, everything),
            SelectorPayload.payload(.selectorsResponder, everything), configuration,
        ]
    }

    /// - Parameter port: 4500 from the first message on, where the option for that is set.
    private static func client(_ group: KeyExchangeID = .modp4096, port: UInt16 = 500) -> ScriptedClient {
        var client = ScriptedClient(
            opening(group), inner: Endpoint(IPAddress("10.0.2.16")!, port: port),
            outer: Endpoint(IPAddress("203.0.113.9")!, port: 17_899))
        client.gatewayPort = port
        return client
    }

    private static func gateway(_ rounds: String, _ authority: TestAuthority? = nil) throws -> Gateway {
        try Gateway(
            """
            connections { phones {
            version = 2
            profile = android
            pools = pool4, pool6
            \(rounds)
            children { net { local_ts = 0.0.0.0/0, ::/0 } } } }
            pools { pool4 { addrs = 10.9.0.0/24
            dns = 10.9.0.53 }
            pool6 { addrs = 2001:db8:9::/112 } }
            secrets { eap-joe { id = joe
            secret = foobar }
            ike-group { id = joe@example.org
            secret = "between friends" } }
            """, authority: authority)
    }

    private static let certified = "local { auth = pubkey\ncerts = gate.pem\nid = gate.example }\n"
    private static let shared = "local { auth = psk\nid = gate.example }\nremote { auth = psk }"

    private static func child(
        _ client: ScriptedClient, _ last: [Payload], _ gateway: Gateway
    ) throws -> ScriptedClient.Child {
        let reply = try ConfigurationPayload(parsing: try #require(last.first { $0.type == .configuration }))
        let addresses = reply.attributes.compactMap(\.address)
        #expect(addresses.map(\.family) == [.v4, .v6])
        let child = try client.child(last, ownSPI: firstSPI)
        #expect(child.ownSelectors == addresses.map { TrafficSelector($0) })
        #expect(child.suite.encryption == Encryption(.aesGCM16, keyBits: 256))
        try client.expect(child, at: gateway)
        return child
    }

    private static func sharedKeySession(
        _ gateway: inout Gateway, port: UInt16 = 500
    ) throws -> (ScriptedClient, ScriptedClient.Child) {
        var client = client(port: port)
        try client.open(&gateway)
        if port == 500 { client.float(to: 17_900) }
        let identity = Identity("joe@example.org")!
        let key = Secret(Array("between friends".utf8))
        let last = try client.ask(
            .ikeAuth, identities(identity) + [try client.sharedKeyProof(key, identity)] + behind(), &gateway)
        try client.expectGateway(last, sharedKey: key)
        return (client, try child(client, last, gateway))
    }

    // MARK: The group

    /// The first guess is the first group of the first proposal, modp4096, or on some devices one that is not in the list at
    /// all, 24; the one that the gateway wants comes with the next message.
    @Test(arguments: [KeyExchangeID.modp4096, .modp2048s256]) func theGatewayNamesAGroup(first: KeyExchangeID) throws {
        var gateway = try Self.gateway(Self.shared)
        var client = Self.client(first)
        try client.open(&gateway)
        #expect(client.wantedGroups == [.curve25519])
        #expect(client.association?.suite.encryption == Encryption(.aesGCM16, keyBits: 256))
        // A gateway that changes its mind between two tries is followed as well: each message stands for itself.
        var other = try Self.gateway(Self.shared + "\nproposals = aes256-sha256-modp2048")
        client = Self.client(first)
        try client.open(&other)
        #expect(client.wantedGroups == [.modp2048])
    }

    // MARK: Methods

    @Test(arguments: [500, 4500] as [UInt16]) func sharedKey(port: UInt16) throws {
        var gateway = try Self.gateway(Self.shared)
        let (_, child) = try Self.sharedKeySession(&gateway, port: port)
        #expect(gateway.outbound[child.ownSPI]?.udpEncapsulation == true)
        #expect(gateway.established.first?.remoteIdentity == Identity("joe@example.org"))
    }

    /// By RFC 7427: both ends said which hashes they take.
    @Test func rsaSignature() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.certified + "remote { auth = pubkey\ncacerts = ca.pem }", authority)
        var client = Self.client()
        try client.open(&gateway)
        client.float(to: 17_900)
        let identity = Identity("joe@example.org")!
        let algorithm = SignatureAlgorithm.rsa(.sha256)
        let signature = try authority.user.key.sign(message: try client.signedOctets(identity), algorithm)
        let identifier = algorithm.algorithmIdentifier
        let last = try client.ask(
            .ikeAuth,
            Self.identities(identity) + [
                CertificatePayload.payload(authority.user.certificate.octets),
                AuthenticationPayload(
                    method: 14, proof: [UInt8(identifier.count)] + identifier + signature
                ).payload,
            ] + Self.behind(), &gateway)
        #expect(try client.expectGateway(last, authority) == 14)
        _ = try Self.child(client, last, gateway)
    }

    /// IDi and IDr are the same where the user leaves the first one to the settings (strongswan 2189).
    @Test(
        arguments: [[], [.mobikeSupported], [.userAuthenticationOnly, .mobikeSupported]] as [[IKEv2.NotificationType]])
    func password(notifications: [IKEv2.NotificationType]) throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.certified + "remote { auth = eap-mschapv2\neap_id = %any }", authority)
        var client = Self.client()
        try client.open(&gateway)
        client.float(to: 17_900)
        var script = PasswordScript(user: "joe", password: "foobar")
        let (last, method) = try client.authenticate(
            Self.identities(Gateway.name) + Self.behind(notifications), as: Gateway.name, &script, authority, &gateway)
        #expect(method == 14)
        _ = try Self.child(client, last, gateway)
        #expect(try client.names(last).contains("MOBIKE_SUPPORTED") == notifications.contains(.mobikeSupported))
        #expect(gateway.established.first?.remoteUser == Identity("joe"))
    }

    // MARK: Afterwards

    /// A child is replaced without a group, or with the IKE SA's.
    @Test(arguments: [nil, KeyExchangeID.curve25519, .modp2048]) func childrenAreReplaced(group: KeyExchangeID?) throws
    {
        var gateway = try Self.gateway(Self.shared)
        var (client, child) = try Self.sharedKeySession(&gateway)
        let added = group.map { [WireProposal.Transform.group($0)] } ?? []
        let proposals = Self.esp.map { WireProposal($0.transforms.dropLast() + added + [.sequence()]) }
        child = try client.rekey(child, proposals, group: group, ownSPI: SPI(0x4000_0001), &gateway)
        #expect(child.suite.keyExchange == group)
        try client.expect(child, at: gateway)
    }

    @Test func itMoves() throws {
        var gateway = try Self.gateway(Self.shared)
        var (client, child) = try Self.sharedKeySession(&gateway, port: 4500)
        _ = try client.move(
            inner: Endpoint(IPAddress("10.0.9.9")!, port: 4500),
            outer: Endpoint(IPAddress("203.0.113.10")!, port: 31_000), &gateway)
        try client.expect(child, at: gateway)
    }
}
