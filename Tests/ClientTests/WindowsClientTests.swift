import Credentials
import Cryptography
import EAP
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Windows 10 and 11's built-in client ("Agile VPN"), as it is documented: [MS-IKEE] has its vendor IDs, strongSwan's pages
/// on Windows and the logs of issues 106 and 1511 of hwdsl2/setup-ipsec-vpn, 286 of libreswan, 316, 337 and 760 of algo, 84 of
/// IKEv2-setup and 124 of one-key-ikev2-vpn its payloads, their order and the size of its first messages.
@Suite struct WindowsClientTests {
    // MARK: What it sends

    static let identifiers: [[UInt8]] = [
        // MS NT5 ISAKMPOAKLEY, version 9.
        [0x1E, 0x2B, 0x51, 0x69, 0x05, 0x99, 0x1C, 0x7D, 0x7C, 0x96, 0xFC, 0xBF, 0xB5, 0x87, 0xE4, 0x61, 0, 0, 0, 9],
        // MS-Negotiation Discovery Capable.
        [0xFB, 0x1D, 0xE3, 0xCD, 0xF3, 0x41, 0xB7, 0xEA, 0x16, 0xB7, 0xE5, 0xBE, 0x08, 0x55, 0xF1, 0x20],
        // Vid-Initial-Contact.
        [0x26, 0x24, 0x4D, 0x38, 0xED, 0xDB, 0x61, 0xB3, 0x17, 0x2A, 0x36, 0xE3, 0xD0, 0xCF, 0xB8, 0x19],
        // Microsoft's of IKEv2 key dictation.
        [0x01, 0x52, 0x8B, 0xBB, 0xC0, 0x06, 0x96, 0x12, 0x18, 0x49, 0xAB, 0x9A, 0x1C, 0x5B, 0x2A, 0x51, 0, 0, 0, 2],
    ]

    /// Nonces have 48 octets. Releases before 1803 know no fragments.
    private static func opening(
        _ proposals: [WireProposal], fragments: Bool = true, initialContact: Bool = true
    ) -> ScriptedClient.Opening {
        let vendors = identifiers.enumerated().filter { initialContact || $0.offset != 2 }.map(\.element)
        return ScriptedClient.Opening(
            proposals: proposals, group: proposals[0].groups[0], nonceOctets: 48,
            extras: (fragments ? [.notify(.fragmentationSupported)] : [])
                + [.natDetectionSource, .natDetectionDestination] + vendors.map { .vendor($0) })
    }

    private static let hashes = [WireProposal.sha1, WireProposal.sha256, WireProposal.sha384]

    /// As installed: 3DES and AES with each hash, modp1024 alone.
    private static let installed = [
        WireProposal.Transform.cipher(.tripleDES), .cipher(.aesCBC, 128), .cipher(.aesCBC, 192), .cipher(.aesCBC, 256),
    ].flatMap { cipher in hashes.map { WireProposal.windows(cipher, $0, .modp1024) } }
    /// The first releases of Windows 10, and Windows 7 and 8.
    private static let early = hashes.flatMap { hash in
        [WireProposal.windows(.cipher(.tripleDES), hash, .modp1024), .windows(.cipher(.aesCBC, 256), hash, .modp1024)]
    }
    /// With `NegotiateDH2048_AES256` = 2 in the registry.
    private static let registry = hashes.map { WireProposal.windows(.cipher(.aesCBC, 256), $0, .modp2048) }

    private static let esp: [WireProposal] =
        ([
            WireProposal.Transform.cipher(.aesCBC, 256), .cipher(.aesCBC, 128), .cipher(.tripleDES), .des,
            .cipher(.null),
        ]).map { WireProposal([$0, .integrity(.hmacSHA1_96), .sequence()]) }

    private static let everything = [TrafficSelector.everything(.v4), .everything(.v6)]
    private static let firstSPI = SPI(0x1A2B_3C4D)

    /// CP with what Windows asks for: 23456 and 23457 are its INTERNAL_IP4_SERVER and INTERNAL_IP6_SERVER.
    private static var configuration: Payload {
        ConfigurationPayload(
            .request,
            [
                .init(.ip4Address), .init(.ip4DNS), .init(.ip4NBNS), .init(.init(rawValue: 23_456)),
                .init(.ip6Address), .init(.ip6DNS), .init(.init(rawValue: 23_457)),
            ]
        ).payload
    }

    /// CERTREQ names every root that the machine trusts, 45 here, with the gateway's among them.
    private static func requests(_ authority: TestAuthority) -> Payload {
        let others = (0..<44).map { [UInt8](repeating: UInt8(0x40 + $0), count: 20) }
        return CertificateRequestPayload.payload(others + [authority.certificate.keyHash])
    }

    private static func behind(_ esp: [WireProposal]) -> [Payload] {
        [
            NotifyPayload(.mobikeSupported).payload, configuration,
            WireProposal.payload(esp, protocol: 3, spi: firstSPI.wire),
            SelectorPayload.payload(.selectorsInitiator, everything),
            SelectorPayload.payload(.selectorsResponder, everything),
        ]
    }

    /// Behind a NAT. Its pieces of long messages have up to 576 octets.
    private static func client(_ opening: ScriptedClient.Opening) -> ScriptedClient {
        var client = ScriptedClient(
            opening, inner: Endpoint(IPAddress("192.168.7.20")!, port: 500),
            outer: Endpoint(IPAddress("203.0.113.77")!, port: 63_706))
        client.messageLimit = 576
        return client
    }

    /// Whatever it proves itself with, a client of users says its address for IDi.
    private static let address = Identity(IPAddress("192.168.7.20")!)

    private static func gateway(
        _ remote: String, _ authority: TestAuthority, child: String = "local_ts = 0.0.0.0/0"
    ) throws -> Gateway {
        try Gateway(
            """
            connections { win {
            version = 2
            profile = windows
            pools = pool4
            local { auth = pubkey
            certs = gate.pem
            id = gate.example }
            remote { \(remote) }
            children { net { \(child) } } } }
            pools { pool4 { addrs = 10.9.0.0/24
            dns = 10.9.0.53
            nbns = 10.9.0.54 } }
            secrets { eap-joe { id = joe
            secret = foobar } }
            """, authority: authority)
    }

    /// The child behind a whole IKE_AUTH, with an address of the pool.
    private static func child(
        _ client: ScriptedClient, _ last: [Payload], _ gateway: Gateway
    ) throws -> ScriptedClient.Child {
        let reply = try ConfigurationPayload(parsing: try #require(last.first { $0.type == .configuration }))
        #expect(reply.kind == .reply)
        let addresses = reply.attributes.compactMap(\.address)
        #expect(addresses == [IPAddress("10.9.0.1")!])
        #expect(reply.attributes.contains(.init(.ip4DNS, [10, 9, 0, 53])))
        #expect(reply.attributes.contains(.init(.ip4NBNS, [10, 9, 0, 54])))
        #expect(try client.names(last).contains("MOBIKE_SUPPORTED"))
        let child = try client.child(last, ownSPI: firstSPI)
        #expect(child.ownSelectors == [TrafficSelector(addresses[0])])
        #expect(child.gatewaySelectors == [.everything(.v4)])
        try client.expect(child, at: gateway)
        return child
    }

    /// IKE_AUTH by MS-CHAP-V2, up to the child.
    private static func passwordSession(
        _ opening: ScriptedClient.Opening, esp: [WireProposal] = esp, _ authority: TestAuthority,
        _ gateway: inout Gateway
    ) throws -> (ScriptedClient, ScriptedClient.Child) {
        var client = client(opening)
        try client.open(&gateway)
        client.float(to: 63_707)
        let first = [
            Payload(.identityInitiator, body: IdentityPayload.body(address)), requests(authority),
        ]
        var script = PasswordScript(user: "joe", password: "foobar")
        let (last, method) = try client.authenticate(first + behind(esp), as: address, &script, authority, &gateway)
        // It announces no hashes, so that the gateway signs as RFC 7296 has it.
        #expect(method == SignatureMethod.rsa.rawValue)
        #expect(gateway.established.first?.remoteUser == Identity("joe"))
        return (client, try child(client, last, gateway))
    }

    // MARK: First messages

    /// The sizes that logs tell of, which nothing but the same payloads with the same nonces makes.
    @Test func firstMessagesHaveTheirDocumentedSizes() throws {
        let authority = try TestAuthority.rsa.get()
        func size(_ opening: ScriptedClient.Opening) throws -> Int {
            var gateway = try Self.gateway("auth = pubkey", authority)
            var client = Self.client(opening)
            try client.open(&gateway)
            return client.firstRequest.count
        }
        // strongSwan's page on machine certificates, and on passwords; algo 760; IKEv2-setup 84.
        #expect(try size(Self.opening(Self.registry)) == 632)
        #expect(try size(Self.opening(Self.registry, initialContact: false)) == 612)
        let policy = WireProposal.windows(.cipher(.aesCBC, 128), WireProposal.sha384, .ecp256)
        #expect(try size(Self.opening([policy], fragments: false)) == 344)
        let other = WireProposal.windows(.cipher(.aesCBC, 256), WireProposal.sha384, .ecp384)
        #expect(try size(Self.opening([other], fragments: false)) == 376)
    }

    // MARK: Methods

    @Test func passwordAsInstalled() throws {
        let authority = try TestAuthority.rsa.get()
        for proposals in [Self.installed, Self.early, Self.registry] {
            var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
            let (client, child) = try Self.passwordSession(Self.opening(proposals), authority, &gateway)
            // Of a list that begins with 3DES the strongest is taken; ESP has SHA-1 for all that Windows offers.
            let suite = try #require(client.association).suite
            #expect(suite.encryption == Encryption(.aesCBC, keyBits: 256) && suite.integrity == .hmacSHA384_192)
            #expect(child.suite.encryption == Encryption(.aesCBC, keyBits: 256))
            #expect(child.suite.integrity == .hmacSHA1_96)
        }
    }

    /// Every policy that `Set-VpnConnectionIPsecConfiguration` can make of sound parts.
    @Test(arguments: [128, 192, 256] as [UInt16], [KeyExchangeID.modp2048, .ecp256, .ecp384])
    func policiesByPowerShell(bits: UInt16, group: KeyExchangeID) throws {
        let authority = try TestAuthority.rsa.get()
        for hash in [WireProposal.sha256, WireProposal.sha384] {
            var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
            let esp = [WireProposal([.cipher(.aesGCM16, bits), .sequence()])]
            let (client, child) = try Self.passwordSession(
                Self.opening([.windows(.cipher(.aesCBC, bits), hash, group)]), esp: esp, authority, &gateway)
            #expect(client.wantedGroups == [] && child.suite.encryption == Encryption(.aesGCM16, keyBits: Int(bits)))
        }
        guard bits != 192 else { return }
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        let combined = WireProposal([.cipher(.aesGCM16, bits), .prf(.hmacSHA384), .group(group)])
        let esp = [WireProposal([.cipher(.aesCBC, bits), .integrity(.hmacSHA256_128), .sequence()])]
        let (_, child) = try Self.passwordSession(Self.opening([combined]), esp: esp, authority, &gateway)
        #expect(child.suite.integrity == .hmacSHA256_128)
    }

    /// IDi, CERT, CERTREQ and AUTH before the rest; the signature is RSA's with SHA-1, since Windows knows no RFC 7427.
    @Test func machineCertificate() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = pubkey\ncacerts = ca.pem", authority)
        var client = Self.client(Self.opening(Self.registry))
        try client.open(&gateway)
        // The gateway names its authority, from which the client chooses its certificate.
        #expect(
            client.firstResponse.first { $0.type == .certificateRequestV2 }?.body == [4] + authority.certificate.keyHash
        )
        client.float(to: 63_707)
        let identity = authority.machine.subject
        let signature = try authority.machine.key.sign(message: try client.signedOctets(identity), .rsa(.sha1))
        let last = try client.ask(
            .ikeAuth,
            [
                Payload(.identityInitiator, body: IdentityPayload.body(identity)),
                CertificatePayload.payload(authority.machine.certificate.octets), Self.requests(authority),
                AuthenticationPayload(method: 1, proof: signature).payload,
            ] + Self.behind(Self.esp), &gateway)
        // The request came in small pieces, and the answer does not go in larger ones.
        #expect(client.lastPieces.request >= 4 && client.lastPieces.response >= 3)
        #expect(try client.expectGateway(last, authority) == SignatureMethod.rsa.rawValue)
        _ = try Self.child(client, last, gateway)
        #expect(gateway.established.first?.remoteIdentity == identity)
    }

    /// TLS in fragments of its own, each message with its length.
    @Test func userCertificate() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-tls\neap_id = %any\ncacerts = ca.pem", authority)
        var client = Self.client(Self.opening(Self.registry))
        try client.open(&gateway)
        client.float(to: 63_707)
        let first = [
            Payload(.identityInitiator, body: IdentityPayload.body(Self.address)), Self.requests(authority),
        ]
        var script = try CertificateScript(user: "joe@example.org", authority.user, fragmentOctets: 1398)
        let (last, _) = try client.authenticate(
            first + Self.behind(Self.esp), as: Self.address, &script, authority, &gateway)
        #expect(script.seen.certificates.first == authority.gate.certificate.octets)
        _ = try Self.child(client, last, gateway)
        #expect(gateway.established.first?.remoteUser == Identity("joe@example.org"))
    }

    /// Without `cacerts`, what `win7` gateways in guides have: EAP-PEAP and EAP-TTLS with MS-CHAP-V2 inside.
    @Test(arguments: [UserMethod.peap, .ttls]) func tunnelledPassword(method: UserMethod) throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = \(method.rawValue)\neap_id = %any", authority)
        var client = Self.client(Self.opening(Self.registry))
        try client.open(&gateway)
        client.float(to: 63_707)
        let first = [
            Payload(.identityInitiator, body: IdentityPayload.body(Self.address)), Self.requests(authority),
        ]
        var script = TunnelScript(user: Identity("joe")!, password: "foobar", authority)
        let (last, _) = try client.authenticate(
            first + Self.behind(Self.esp), as: Self.address, &script, authority, &gateway)
        _ = try Self.child(client, last, gateway)
        #expect(gateway.established.first?.remoteUser == Identity("joe"))
    }

    // MARK: Afterwards

    /// With the group of its policy or none, whatever the first child had; the old child's end is its own affair.
    @Test(arguments: [nil, KeyExchangeID.modp2048, .ecp256, .ecp384]) func childrenAreReplaced(
        group: KeyExchangeID?
    ) throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        var (client, child) = try Self.passwordSession(Self.opening(Self.registry), authority, &gateway)
        var proposals = [WireProposal([.cipher(.aesCBC, 256), .integrity(.hmacSHA1_96)])]
        if let group { proposals[0].transforms.append(.group(group)) }
        proposals[0].transforms.append(.sequence())
        for round in 1...2 {
            let old = child
            child = try client.rekey(child, proposals, group: group, ownSPI: SPI(0x2000_0000 + UInt32(round)), &gateway)
            #expect(child.suite.keyExchange == group)
            try client.expect(child, at: gateway)
            // What the client sent before is still taken for a while.
            #expect(gateway.outbound[old.ownSPI] == nil)
        }
    }

    /// A group that the gateway does not take, 24 here: the rekeying is refused, and the tunnel stays as it was
    /// (IKEv2-setup 72).
    @Test func aGroupThatIsMissingEndsNothing() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        var (client, child) = try Self.passwordSession(Self.opening(Self.registry), authority, &gateway)
        let proposals = [
            WireProposal([.cipher(.aesCBC, 256), .integrity(.hmacSHA1_96), .group(.modp2048s256), .sequence()])
        ]
        #expect(throws: ScriptFault.refused(.noProposalChosen)) {
            try client.rekey(child, proposals, group: .modp2048s256, ownSPI: SPI(0x2000_0001), &gateway)
        }
        try client.expect(child, at: gateway)
        guard case .noProposal(.esp, _)? = gateway.refusals.last else {
            Issue.record("\(gateway.refusals)")
            return
        }
    }

    /// What Windows says when it does not like the gateway's certificate: a notify of its own, 12345, before the user is
    /// known. It is answered, and told; behind IKE_AUTH it means nothing.
    @Test func theNotifyOfItsOwn() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        let complaint = NotifyPayload(IKEv2.NotificationType(rawValue: 12_345)).payload
        var client = Self.client(Self.opening(Self.registry))
        try client.open(&gateway)
        client.float(to: 63_707)
        let first = [
            Payload(.identityInitiator, body: IdentityPayload.body(Self.address)), Self.requests(authority),
        ]
        let asked = try client.ask(.ikeAuth, first + Self.behind(Self.esp), &gateway)
        #expect(asked.contains { $0.type == .extensibleAuthentication })
        #expect(try client.ask(.informationalV2, [complaint], &gateway) == [])
        #expect(gateway.manager.snapshots.isEmpty)
        #expect(Set(gateway.refusals) == [.userAuthentication(user: Self.address)])

        (client, _) = try Self.passwordSession(Self.opening(Self.registry), authority, &gateway)
        #expect(try client.ask(.informationalV2, [complaint], &gateway) == [])
        #expect(gateway.established.count == 1)
    }

    @Test func itMovesAndIsAskedWhetherItLives() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        var (client, child) = try Self.passwordSession(Self.opening(Self.registry), authority, &gateway)
        let answer = try client.move(
            inner: Endpoint(IPAddress("10.44.0.9")!, port: 4500),
            outer: Endpoint(IPAddress("203.0.113.99")!, port: 1024), &gateway)
        #expect(try client.names(answer).contains("NAT_DETECTION_SOURCE_IP"))
        try client.expect(child, at: gateway)
        #expect(gateway.outbound[child.ownSPI]?.udpEncapsulation == true)
        let requests = client.requests.count
        try client.receive(gateway.wait(.seconds(40)), &gateway)
        #expect(client.requests.count > requests && client.requests.last == [])
        #expect(gateway.established.count == 1)
    }

    @Test func aWrongPasswordIsRefused() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway("auth = eap-mschapv2\neap_id = %any", authority)
        var client = Self.client(Self.opening(Self.registry))
        try client.open(&gateway)
        client.float(to: 63_707)
        let first = [
            Payload(.identityInitiator, body: IdentityPayload.body(Self.address)), Self.requests(authority),
        ]
        var script = PasswordScript(user: "joe", password: "wrong")
        #expect(throws: ScriptFault.self) {
            try client.authenticate(first + Self.behind(Self.esp), as: Self.address, &script, authority, &gateway)
        }
        #expect(gateway.established.isEmpty && gateway.inbound.isEmpty)
        #expect(Set(gateway.refusals) == [.userAuthentication(user: Identity("joe"))])
    }
}
