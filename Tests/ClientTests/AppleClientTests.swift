import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// iOS and macOS with their built-in client of version 2, as logs show it: issues 2861 of strongswan, 7 of strongX509/docker,
/// 12 of IKEv2-setup, 826 of hwdsl2/setup-ipsec-vpn, 51 of gaomd/docker-ikev2-vpn-server, 222 and 1450 of libreswan.
@Suite struct AppleClientTests {
    // MARK: What it sends

    private static func aes(
        _ bits: UInt16, _ hash: (integrity: IntegrityID, prf: PRFID), _ group: KeyExchangeID
    ) -> WireProposal { .windows(.cipher(.aesCBC, bits), hash, group) }
    private static func combined(_ bits: UInt16, _ prf: PRFID, _ group: KeyExchangeID) -> WireProposal {
        WireProposal([.cipher(.aesGCM16, bits), .prf(prf), .group(group)])
    }

    /// Set up by hand, up to iOS 16 and macOS 13.
    private static let byHand = [
        aes(256, WireProposal.sha256, .modp2048), aes(256, WireProposal.sha256, .ecp256),
        aes(256, WireProposal.sha256, .modp1536), aes(128, WireProposal.sha1, .modp1024),
        WireProposal.windows(.cipher(.tripleDES), WireProposal.sha1, .modp1024),
    ]
    /// Set up by hand, since iOS 17 and macOS 14.
    private static let byHandNow = [
        combined(256, .hmacSHA256, .ecp256), combined(256, .hmacSHA256, .modp2048),
        aes(256, WireProposal.sha256, .ecp256), aes(256, WireProposal.sha256, .modp2048),
    ]

    /// ESP has one proposal for each of IKE's, without a group, some of them twice.
    private static func esp(_ proposals: [WireProposal]) -> [WireProposal] {
        proposals.map { WireProposal($0.transforms.filter { [1, 3].contains($0.kind) } + [.sequence()]) }
    }

    /// Nonces of 16 octets.
    private static func opening(_ proposals: [WireProposal]) -> ScriptedClient.Opening {
        ScriptedClient.Opening(
            proposals: proposals, group: proposals[0].groups[0], nonceOctets: 16,
            extras: [
                .notify(.redirectSupported), .natDetectionSource, .natDetectionDestination,
                .notify(.fragmentationSupported),
            ])
    }

    private static let firstSPI = SPI(0x0C0F_FEE1)
    private static let everything = [TrafficSelector.everything(.v4), .everything(.v6)]

    private static var configuration: Payload {
        ConfigurationPayload(
            .request,
            [
                .init(.ip4Address), .init(.ip4Netmask), .init(.ip4DHCP), .init(.ip4DNS), .init(.ip6Address),
                .init(.ip6DHCP), .init(.ip6DNS), .init(.dnsDomain),
            ]
        ).payload
    }

    /// What stands behind the identities: with EAP the proof is left out, and EAP may be all there is.
    private static func behind(_ proposals: [WireProposal], isUser: Bool) -> [Payload] {
        [
            configuration, NotifyPayload(.tfcPaddingNotSupported).payload,
            NotifyPayload(.nonFirstFragmentsAlso).payload,
            WireProposal.payload(esp(proposals), protocol: 3, spi: firstSPI.wire),
            SelectorPayload.payload(.selectorsInitiator, everything),
            SelectorPayload.payload(.selectorsResponder, everything), NotifyPayload(.mobikeSupported).payload,
        ] + (isUser ? [NotifyPayload(.userAuthenticationOnly).payload] : [])
    }

    /// IDi as LocalIdentifier has it, INITIAL_CONTACT, and IDr as RemoteIdentifier has it.
    private static func identities(_ identity: Identity) -> [Payload] {
        [
            Payload(.identityInitiator, body: IdentityPayload.body(identity)),
            NotifyPayload(.initialContact).payload,
            Payload(.identityResponder, body: IdentityPayload.body(Gateway.name)),
        ]
    }

    private static func client(_ proposals: [WireProposal]) -> ScriptedClient {
        ScriptedClient(
            opening(proposals), inner: Endpoint(IPAddress("192.168.0.31")!, port: 500),
            outer: Endpoint(IPAddress("203.0.113.5")!, port: 36_785))
    }

    private static func gateway(_ rounds: String, _ authority: TestAuthority? = nil) throws -> Gateway {
        try Gateway(
            """
            connections { ios {
            version = 2
            profile = apple
            pools = pool4
            \(rounds)
            children { net { local_ts = 0.0.0.0/0 } } } }
            pools { pool4 { addrs = 10.9.0.0/24
            dns = 10.9.0.53
            25 = corp.example } }
            secrets { eap-joe { id = joe
            secret = foobar }
            ike-group { id = phone.example
            secret = "between friends" } }
            """, authority: authority)
    }

    private static let certified = "local { auth = pubkey\ncerts = gate.pem\nid = gate.example }\n"
    private static let users = certified + "remote { auth = eap-mschapv2\neap_id = %any }"

    private static func child(
        _ client: ScriptedClient, _ last: [Payload], _ gateway: Gateway
    ) throws -> ScriptedClient.Child {
        let reply = try ConfigurationPayload(parsing: try #require(last.first { $0.type == .configuration }))
        let addresses = reply.attributes.compactMap(\.address)
        #expect(addresses == [IPAddress("10.9.0.1")!])
        #expect(reply.attributes.contains(.init(.ip4DNS, [10, 9, 0, 53])))
        // It asked for domains, and resolves them by the tunnel (RFC 8598).
        #expect(reply.attributes.contains(.init(.dnsDomain, Array("corp.example".utf8))))
        let child = try client.child(last, ownSPI: firstSPI)
        #expect(child.ownSelectors == [TrafficSelector(addresses[0])])
        try client.expect(child, at: gateway)
        return child
    }

    private static func passwordSession(
        _ proposals: [WireProposal], _ gateway: inout Gateway
    ) throws -> (ScriptedClient, ScriptedClient.Child) {
        let authority = try TestAuthority.rsa.get()
        let identity = Identity("phone.example")!
        var client = client(proposals)
        try client.open(&gateway)
        client.float(to: 34_243)
        var script = PasswordScript(user: "joe", password: "foobar")
        let (last, method) = try client.authenticate(
            identities(identity) + behind(proposals, isUser: true), as: identity, &script, authority, &gateway)
        #expect(method == SignatureMethod.rsa.rawValue)
        return (client, try child(client, last, gateway))
    }

    // MARK: First messages

    @Test func firstMessagesHaveTheirDocumentedSizes() throws {
        let authority = try TestAuthority.rsa.get()
        for (proposals, size) in [(Self.byHand, 604), ([Self.byHand[0]], 432)] {
            var gateway = try Self.gateway(Self.users, authority)
            var client = Self.client(proposals)
            try client.open(&gateway)
            #expect(client.firstRequest.count == size)
            // The first guess of a list that is made by hand is good enough.
            #expect(client.wantedGroups == [])
        }
    }

    /// iOS goes on with the group that the gateway names, in the same list.
    @Test func theGatewayNamesAGroup() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.users, authority)
        var client = Self.client(Self.byHandNow)
        try client.open(&gateway)
        #expect(client.wantedGroups == [] && client.association?.suite.keyExchange == .ecp256)
        gateway = try Self.gateway(Self.users + "\nproposals = aes256-sha256-modp2048", authority)
        client = Self.client(Self.byHandNow)
        try client.open(&gateway)
        #expect(client.wantedGroups == [.modp2048])
    }

    // MARK: Methods

    @Test func passwordByHand() throws {
        let authority = try TestAuthority.rsa.get()
        for proposals in [Self.byHand, Self.byHandNow] {
            var gateway = try Self.gateway(Self.users, authority)
            let (_, child) = try Self.passwordSession(proposals, &gateway)
            #expect(child.suite.encryption.keyBits == 256)
            #expect(gateway.established.first?.remoteUser == Identity("joe"))
            #expect(gateway.established.first?.remoteIdentity == Identity("phone.example"))
        }
    }

    /// AUTH stands before CERT (hwdsl2 826). ECDSA has the numbers of RFC 4754, as no hashes are announced.
    @Test(arguments: [true, false]) func certificate(isRSA: Bool) throws {
        let authority = try (isRSA ? TestAuthority.rsa : TestAuthority.ecdsa).get()
        var gateway = try Self.gateway(Self.certified + "remote { auth = pubkey\ncacerts = ca.pem }", authority)
        let proposals = [isRSA ? Self.combined(128, .hmacSHA512, .ecp256) : Self.combined(256, .hmacSHA512, .ecp384)]
        var client = Self.client(proposals)
        try client.open(&gateway)
        #expect(client.wantedGroups == [])
        client.float(to: 34_243)
        let identity = Identity("laptop.example")!
        let octets = try client.signedOctets(identity)
        let key = authority.machine.key
        let proof = try isRSA ? key.sign(message: octets, .rsa(.sha1)) : key.classicSignature(octets)
        let named = Self.identities(identity)
        let last = try client.ask(
            .ikeAuth,
            [named[0], named[1], NotifyPayload(.mobikeSupported).payload, named[2]] + [
                AuthenticationPayload(method: isRSA ? 1 : 10, proof: proof).payload,
                CertificatePayload.payload(authority.machine.certificate.octets),
            ] + Self.behind(proposals, isUser: false).filter { $0 != NotifyPayload(.mobikeSupported).payload }, &gateway
        )
        #expect(try client.expectGateway(last, authority) == (isRSA ? 1 : 10))
        _ = try Self.child(client, last, gateway)
        #expect(gateway.established.first?.remoteIdentity == identity)
    }

    @Test func sharedKey() throws {
        var gateway = try Self.gateway("local { auth = psk\nid = gate.example }\nremote { auth = psk }")
        var client = Self.client(Self.byHandNow)
        try client.open(&gateway)
        client.float(to: 34_243)
        let identity = Identity("phone.example")!
        let key = Secret(Array("between friends".utf8))
        let last = try client.ask(
            .ikeAuth,
            Self.identities(identity) + [try client.sharedKeyProof(key, identity)]
                + Self.behind(Self.byHandNow, isUser: false), &gateway)
        try client.expectGateway(last, sharedKey: key)
        _ = try Self.child(client, last, gateway)
    }

    /// RemoteIdentifier must be the gateway's name: another is refused, and said.
    @Test func anotherRemoteIdentifierIsRefused() throws {
        var gateway = try Self.gateway("local { auth = psk\nid = gate.example }\nremote { auth = psk }")
        var client = Self.client(Self.byHandNow)
        try client.open(&gateway)
        client.float(to: 34_243)
        let identity = Identity("phone.example")!
        var payloads = Self.identities(identity)
        payloads[2] = Payload(.identityResponder, body: IdentityPayload.body(Identity("vpn.elsewhere.example")!))
        payloads.append(try client.sharedKeyProof(Secret(Array("between friends".utf8)), identity))
        let last = try client.ask(.ikeAuth, payloads + Self.behind(Self.byHandNow, isUser: false), &gateway)
        #expect(try client.names(last) == ["AUTHENTICATION_FAILED"])
        #expect(gateway.established.isEmpty && !gateway.refusals.isEmpty)
    }

    // MARK: Afterwards

    /// Set up by hand it has no perfect forward secrecy for a child, at its first rekeying after eight minutes and at any
    /// other; a profile may have it.
    @Test(arguments: [nil, KeyExchangeID.ecp256, .modp2048]) func childrenAreReplaced(group: KeyExchangeID?) throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.users, authority)
        var (client, child) = try Self.passwordSession(Self.byHandNow, &gateway)
        for round in 1...3 {
            // Meanwhile it answers when it is asked whether it lives.
            for _ in 0..<24 { try client.receive(gateway.wait(.seconds(20)), &gateway) }
            var proposals = Self.esp(Self.byHandNow)
            if let group { proposals = proposals.map { WireProposal([.group(group)] + $0.transforms) } }
            child = try client.rekey(child, proposals, group: group, ownSPI: SPI(0x3000_0000 + UInt32(round)), &gateway)
            #expect(child.suite.keyExchange == group)
            try client.expect(child, at: gateway)
        }
        #expect(gateway.established.count == 1)
    }

    /// From one network to another, by MOBIKE.
    @Test func itMoves() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.users, authority)
        var (client, child) = try Self.passwordSession(Self.byHandNow, &gateway)
        _ = try client.move(
            inner: Endpoint(IPAddress("10.11.12.13")!, port: 4500),
            outer: Endpoint(IPAddress("203.0.113.200")!, port: 4500), &gateway)
        try client.expect(child, at: gateway)
    }
}

extension PrivateKey {
    /// ECDSA on P-384 with SHA-384: r and s (RFC 4754 §7).
    func classicSignature(_ octets: [UInt8]) throws -> [UInt8] {
        try sign(try Digest.compute(.sha384, [.open(octets)]), .ecdsa(.p384))
    }
}
