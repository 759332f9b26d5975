import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// strongSwan's app for Android: libcharon's defaults as the app's service sets them, and the messages of issues 221 of
/// ustclug/discussions, 307 and 930 of hwdsl2/setup-ipsec-vpn and 14463 of algo.
@Suite struct StrongSwanAppTests {
    // MARK: What it sends

    private static let groups: [WireProposal.Transform] = [
        .ecp256, .ecp384, .ecp521, .brainpool256, .brainpool384, .brainpool512, .curve25519, .modp3072, .modp4096,
        .modp8192, .modp2048,
    ].map { .group($0) }
    private static let prfs: [WireProposal.Transform] = [
        .prf(.hmacSHA256), .prf(.hmacSHA384), .prf(.hmacSHA512), .prf(.aesXCBC), .prf(.hmacSHA1),
    ]
    private static let bits: [UInt16] = [128, 192, 256]

    private static let ike = [
        WireProposal(
            bits.map { .cipher(.aesCBC, $0) } + [
                .cipher(.tripleDES), .integrity(.hmacSHA256_128), .integrity(.hmacSHA384_192),
                .integrity(.hmacSHA512_256), .integrity(.hmacSHA1_96), .integrity(.aesXCBC_96),
            ] + prfs + groups),
        // Versions up to 5.6 said 256 bits with ChaCha20, which has one size only (RFC 7634 §2).
        WireProposal(
            bits.map { .cipher(.aesGCM16, $0) } + [.cipher(.chacha20Poly1305, 256)]
                + bits.map { .cipher(.aesGCM12, $0) } + bits.map { .cipher(.aesGCM8, $0) } + prfs + groups),
    ]

    private static let esp: [WireProposal] = {
        let combined = WireProposal([.cipher(.aesGCM16, 256), .cipher(.aesGCM16, 128), .cipher(.chacha20Poly1305)])
        let separate = WireProposal(
            ([256, 192, 128] as [UInt16]).map { .cipher(.aesCBC, $0) } + [
                .integrity(.hmacSHA384_192), .integrity(.hmacSHA256_128), .integrity(.hmacSHA512_256),
                .integrity(.hmacSHA1_96),
            ])
        // Groups are left out of IKE_AUTH, so that each comes twice there.
        return [combined, separate, combined, separate].map { WireProposal($0.transforms + [.sequence()]) }
    }()

    private static let opening = ScriptedClient.Opening(
        proposals: ike, group: .ecp256, nonceOctets: 32,
        extras: [
            .natDetectionSource, .natDetectionDestination, .notify(.fragmentationSupported),
            .notify(.signatureHashAlgorithms, [0, 2, 0, 3, 0, 4, 0, 5]), .notify(.redirectSupported),
        ])

    private static let firstSPI = SPI(0xC0DE_0001)

    private static func behind(_ proof: [Payload], certificate: [Payload] = []) -> [Payload] {
        let everything = [TrafficSelector.everything(.v4), .everything(.v6)]
        // IKEV2_MESSAGE_ID_SYNC_SUPPORTED (RFC 6311) last.
        let notifications: [IKEv2.NotificationType] = [
            .mobikeSupported, .noAdditionalAddresses, .userAuthenticationOnly, .init(rawValue: 16_420),
        ]
        let asked = (0..<50).map { [UInt8](repeating: UInt8($0), count: 20) }
        return certificate + [NotifyPayload(.initialContact).payload, CertificateRequestPayload.payload(asked)] + proof
            + [
                ConfigurationPayload(
                    .request, [.init(.ip4Address), .init(.ip6Address), .init(.ip4DNS), .init(.ip6DNS)]
                ).payload, NotifyPayload(.tfcPaddingNotSupported).payload,
                WireProposal.payload(esp, protocol: 3, spi: firstSPI.wire),
                SelectorPayload.payload(.selectorsInitiator, everything),
                SelectorPayload.payload(.selectorsResponder, everything),
            ] + notifications.map { NotifyPayload($0).payload }
    }

    /// It carries ESP itself, and always inside UDP: NAT_DETECTION_SOURCE_IP is about no address at all.
    private static func client() -> ScriptedClient {
        ScriptedClient(
            opening, inner: Endpoint(IPAddress("0.0.0.0")!, port: 0),
            outer: Endpoint(IPAddress("203.0.113.40")!, port: 39_201))
    }

    private static func gateway(_ remote: String, _ authority: TestAuthority) throws -> Gateway {
        try Gateway(
            """
            connections { app {
            version = 2
            profile = strongswan
            pools = pool4
            local { auth = pubkey
            certs = gate.pem
            id = gate.example }
            remote { \(remote) }
            children { net { local_ts = 0.0.0.0/0 } } } }
            pools { pool4 { addrs = 10.9.0.0/24
            dns = 10.9.0.53 } }
            secrets { eap-joe { id = joe
            secret = foobar } }
            """, authority: authority)
    }

    private static func child(
        _ client: ScriptedClient, _ last: [Payload], _ gateway: Gateway
    ) throws -> ScriptedClient.Child {
        let child = try client.child(last, ownSPI: firstSPI)
        #expect(child.ownSelectors == [TrafficSelector(IPAddress("10.9.0.1")!)])
        #expect(child.suite.encryption == Encryption(.aesGCM16, keyBits: 256))
        try client.expect(child, at: gateway)
        #expect(gateway.outbound[child.ownSPI]?.udpEncapsulation == true)
        return child
    }

    private static func identity(_ identity: Identity) -> [Payload] {
        [Payload(.identityInitiator, body: IdentityPayload.body(identity))]
    }

    private static func certificateSession(
        _ gateway: inout Gateway, _ authority: TestAuthority
    ) throws -> (ScriptedClient, ScriptedClient.Child) {
        var client = client()
        try client.open(&gateway)
        client.float(to: 39_202)
        let subject = authority.user.subject
        let octets = try client.signedOctets(subject)
        let algorithm = SignatureAlgorithm.rsa(.sha256)
        let identifier = algorithm.algorithmIdentifier
        let signature = try authority.user.key.sign(message: octets, algorithm)
        let proof = AuthenticationPayload(method: 14, proof: [UInt8(identifier.count)] + identifier + signature)
        let last = try client.ask(
            .ikeAuth,
            identity(subject)
                + behind(
                    [proof.payload],
                    certificate: [CertificatePayload.payload(authority.user.certificate.octets)]), &gateway)
        #expect(try client.expectGateway(last, authority) == 14)
        return (client, try child(client, last, gateway))
    }

    // MARK: Tests

    @Test func theFirstMessageHasItsDocumentedSize() throws {
        let authority = try TestAuthority.rsa.get()
        // A gateway that takes the first guess, as the log's did not get to.
        var gateway = try Gateway(
            """
            connections { app {
            version = 2
            proposals = aes256-sha256-ecp256
            local { auth = pubkey
            certs = gate.pem }
            remote { auth = pubkey } } }
            """, authority: authority)
        var client = Self.client()
        try client.open(&gateway)
        #expect(client.firstRequest.count == 704 && client.wantedGroups == [])
    }

    @Test func theGatewayNamesAGroup() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = pubkey\ncacerts = ca.pem", authority)
        var client = Self.client()
        try client.open(&gateway)
        #expect(client.wantedGroups == [.curve25519])
        #expect(client.association?.suite.encryption == Encryption(.aesGCM16, keyBits: 256))
    }

    @Test func certificate() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = pubkey\ncacerts = ca.pem", authority)
        let (client, _) = try Self.certificateSession(&gateway, authority)
        #expect(client.lastPieces.request >= 2)
        #expect(gateway.established.first?.remoteIdentity == authority.user.subject)
    }

    @Test func password() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        var client = Self.client()
        try client.open(&gateway)
        client.float(to: 39_202)
        let joe = Identity("joe")!
        var script = PasswordScript(user: "joe", password: "foobar")
        let (last, _) = try client.authenticate(
            Self.identity(joe) + Self.behind([]), as: joe, &script, authority, &gateway)
        _ = try Self.child(client, last, gateway)
        #expect(gateway.established.first?.remoteUser == joe)
    }

    @Test func userCertificate() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-tls\neap_id = %any\ncacerts = ca.pem", authority)
        var client = Self.client()
        try client.open(&gateway)
        client.float(to: 39_202)
        let subject = authority.user.subject
        var script = try CertificateScript(user: "joe@example.org", authority.user, fragmentOctets: 512)
        let (last, _) = try client.authenticate(
            Self.identity(subject) + Self.behind([]), as: subject, &script, authority, &gateway)
        _ = try Self.child(client, last, gateway)
    }

    /// Every proposal that has a group, and those that have none: the gateway says whether there is forward secrecy.
    @Test func childrenAreReplaced() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = pubkey\ncacerts = ca.pem", authority)
        var (client, child) = try Self.certificateSession(&gateway, authority)
        let groups: [WireProposal.Transform] = [
            .curve25519, .ecp384, .ecp521, .modp3072, .modp4096, .ecp256, .modp8192,
        ].map { .group($0) }
        let proposals = Self.esp.enumerated().map {
            WireProposal($0.element.transforms.dropLast() + ($0.offset < 2 ? groups : []) + [.sequence()])
        }
        child = try client.rekey(child, proposals, group: .curve25519, ownSPI: SPI(0xC0DE_0002), &gateway)
        #expect(child.suite.keyExchange == .curve25519)
        try client.expect(child, at: gateway)
    }

    @Test func itMoves() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = pubkey\ncacerts = ca.pem", authority)
        var (client, child) = try Self.certificateSession(&gateway, authority)
        _ = try client.move(
            inner: Endpoint(IPAddress("0.0.0.0")!, port: 0),
            outer: Endpoint(IPAddress("203.0.113.41")!, port: 40_000), &gateway)
        try client.expect(child, at: gateway)
    }
}
