import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// L2TP over IPsec (RFC 3193) as Windows, macOS, iOS and Android have it: Main Mode with a shared key, and Quick Mode in
/// transport mode for UDP from and to port 1701. L2TP itself, and who the user is, is for a daemon behind.
///
/// Sources: Microsoft's "Default encryption settings for the Microsoft L2TP/IPsec Virtual Private Network Client" and
/// "Configure L2TP/IPsec server behind NAT-T device"; logs of gateways in issues 26 and 427 of libreswan, 391 and 102 of
/// hwdsl2/setup-ipsec-vpn, 219 of xl2tpd, 872 of cloudstack, 2110 of SoftEtherVPN, 13 of tunnel-forge; racoon as Apple and
/// Android published it.
@Suite struct LayerTwoClientTests {
    private static let key = Secret(Array("between friends".utf8))
    private static let ownSPI = SPI(0x0C0F_FEE1)
    private static let hidden = Endpoint(IPAddress("192.168.0.31")!, port: 500)
    private static let translated = Endpoint(IPAddress("203.0.113.5")!, port: 1011)
    private static let open = Endpoint(IPAddress("203.0.113.7")!, port: 500)

    private static func gateway(
        _ proposals: String, _ esp: String, others: String = ""
    ) throws -> Gateway {
        // As a daemon that carries ESP in userspace has it: it claims a NAT, so that packets go inside UDP.
        var settings = EngineSettings()
        settings.preferEncapsulation = true
        return try Gateway(
            """
            connections { l2tp {
            version = 1
            proposals = \(proposals)
            \(others)
            local { auth = psk }
            remote { auth = psk }
            children { l2tp {
            mode = transport
            esp_proposals = \(esp)
            local_ts = dynamic[udp/1701]
            remote_ts = dynamic[udp] } } } }
            secrets { ike-all { secret = "between friends" } }
            """, settings: settings)
    }

    /// Both ends of the child that a client gets, as the gateway sees them.
    private static func expectEnds(
        _ child: ISAKMPClient.Child, _ client: ISAKMPClient, port: UInt16, _ gateway: Gateway, isInUDP: Bool
    ) throws {
        try client.expect(child, at: gateway, mode: .transport, isInUDP: isInUDP)
        let inbound = try #require(gateway.inbound[child.gatewaySPI])
        func end(_ address: IPAddress, _ first: UInt16, _ last: UInt16) -> TrafficSelector? {
            TrafficSelector(first: address, last: address, ipProtocol: 17, firstPort: first, lastPort: last)
        }
        #expect(inbound.localSelectors == [end(Gateway.address, 1701, 1701)])
        #expect(
            inbound.remoteSelectors == [end(client.outer.address, port, port == 0 ? .max : port)])
        #expect(gateway.established.count == 1 && gateway.refusals.isEmpty)
    }

    // MARK: Windows

    /// Vista, and all since.
    private static let windowsTransforms: [WireTransform] = [
        .windows(.aes(256), .sha1, .ecp384, 1), .windows(.aes(128), .sha1, .ecp256, 1),
        .windows(.aes(256), .sha1, .modp2048, 1), .windows(.tripleDES, .sha1, .modp2048, 1),
        .windows(.tripleDES, .sha1, .modp1024, 1),
    ]

    private static func windowsESP(_ encapsulation: UInt16) -> [WireTransform] {
        [.aes(256), .aes(128), .tripleDES, .des, .null].map { (payload: WireTransform.Payload) in
            .esp(
                payload, .sha1, encapsulation: encapsulation, seconds: 3600, kilobytes: 250_000, .fourOctets)
        }
    }

    private static func windows(_ inner: Endpoint, _ outer: Endpoint) -> ISAKMPClient {
        ISAKMPClient(
            ISAKMPClient.Opening(
                transforms: windowsTransforms,
                vendors: [
                    ClientVendorID.windowsFirst, ClientVendorID.windows(8), ClientVendorID.rfc3947,
                    ClientVendorID.natDraft02LineFeed, ClientVendorID.fragmentation,
                ] + ClientVendorID.windowsLast, nonceOctets: 48, identity: WireIdentity.address(inner.address)),
            inner: inner, outer: outer)
    }

    private static let windowsSuites = "aes256-sha1-ecp384,aes128-sha1-ecp256,aes256-sha1-modp2048"

    /// Behind a NAT it names its own address as it knows it, and says both addresses once more.
    @Test(arguments: [1: "aes256-sha1-ecp384", 2: "aes128-sha1-ecp256", 3: "aes256-sha1-modp2048"])
    func windowsBehindNAT(number: UInt8, proposals: String) throws {
        var gateway = try Self.gateway(proposals, "aes256-sha1,aes128-sha1")
        var client = Self.windows(Self.hidden, Self.translated)
        #expect(try client.mainMode(.sharedKey(Self.key), port: 64_916, &gateway).isEmpty)
        #expect(client.firstMessage.count == 408 && client.chosen?.number == number)
        #expect(client.gatewayVendors.contains(ClientVendorID.rfc3947))
        // As installed, Windows does not go on where the gateway is behind a NAT as well; a NAT that is there already
        // leaves nothing to claim.
        #expect(client.isBehindNAT && !client.seesGatewayBehindNAT)
        let identities = [
            WireIdentity.address(Self.hidden.address, ipProtocol: 17, port: 1701),
            WireIdentity.address(Gateway.address, ipProtocol: 17, port: 1701),
        ]
        let child = try client.quickMode(
            WireTransform.apart(Self.windowsESP(4), spi: Self.ownSPI), spi: Self.ownSPI, identities: identities,
            originals: [Self.hidden.address, Gateway.address], nonceOctets: 48, &gateway)
        #expect(client.lastRequest.count == 444)
        // It wants its own names back.
        #expect(child.identities == identities)
        #expect(child.transform.identifier == 12 && child.transform.attribute(6)?.number == 256)
        try Self.expectEnds(child, client, port: 1701, gateway, isInUDP: true)
        #expect(gateway.established.first?.remoteIdentity == Identity(Self.hidden.address))
    }

    /// Without a NAT it takes what is bare, and nothing else: a NAT that the gateway claims for itself keeps it away, and
    /// `encap = no` claims none.
    @Test func windowsWithoutNAT() throws {
        var gateway = try Self.gateway(Self.windowsSuites, "aes256-sha1")
        var client = Self.windows(Self.open, Self.open)
        _ = try client.mainMode(.sharedKey(Self.key), &gateway)
        #expect(client.seesGatewayBehindNAT)

        gateway = try Self.gateway(Self.windowsSuites, "aes256-sha1", others: "encap = no")
        client = Self.windows(Self.open, Self.open)
        _ = try client.mainMode(.sharedKey(Self.key), &gateway)
        #expect(!client.isBehindNAT && !client.seesGatewayBehindNAT && client.gatewayPort == 500)
        let child = try client.quickMode(
            WireTransform.apart(Self.windowsESP(2), spi: Self.ownSPI), spi: Self.ownSPI,
            identities: [
                WireIdentity.address(Self.open.address, ipProtocol: 17, port: 1701),
                WireIdentity.address(Gateway.address, ipProtocol: 17, port: 1701),
            ], nonceOctets: 48, &gateway)
        try Self.expectEnds(child, client, port: 1701, gateway, isInUDP: false)
    }

    /// Windows XP and Server 2003 speak of NAT as draft 02 does, and name themselves by their host's name in Quick Mode:
    /// the address is in NAT-OA alone.
    @Test func oldWindowsNamesItself() throws {
        let suites = "3des-sha1-modp2048"
        func client() -> ISAKMPClient {
            ISAKMPClient(
                ISAKMPClient.Opening(
                    transforms: [
                        .windows(.tripleDES, .sha1, .modp2048, 1), .windows(.tripleDES, .sha1, .modp1024, 1),
                        .windows(.tripleDES, .md5, .modp1024, 1), .windows(.des, .sha1, .modp768, 1),
                        .windows(.des, .md5, .modp768, 1),
                    ],
                    vendors: [
                        ClientVendorID.windows(4), ClientVendorID.fragmentation, ClientVendorID.natDraft02LineFeed,
                        ClientVendorID.windowsLast[1],
                    ], nonceOctets: 20, identity: WireIdentity.name("desktop", ipProtocol: 0, port: 0),
                    dialect: .draft02LineFeed), inner: Self.hidden, outer: Self.translated)
        }
        let offer = WireTransform.apart(
            [
                .esp(.tripleDES, .md5, encapsulation: 61_444, seconds: 3600, kilobytes: 250_000, .fourOctets),
                .esp(.tripleDES, .sha1, encapsulation: 61_444, seconds: 3600, kilobytes: 250_000, .fourOctets),
                .esp(.des, .md5, encapsulation: 61_444, seconds: 3600, kilobytes: 250_000, .fourOctets),
            ], spi: Self.ownSPI)
        let identities = [
            WireIdentity.name("desktop", ipProtocol: 17, port: 1701),
            WireIdentity.address(Gateway.address, ipProtocol: 17, port: 1701),
        ]
        var gateway = try Self.gateway(suites, "3des-sha1")
        var first = client()
        _ = try first.mainMode(.sharedKey(Self.key), &gateway)
        #expect(first.chosen?.number == 1)
        let child = try first.quickMode(
            offer, spi: Self.ownSPI, identities: identities, originals: [Self.hidden.address, Gateway.address],
            nonceOctets: 20, &gateway)
        #expect(child.identities == identities && child.transform.attribute(5)?.number == 2)
        try Self.expectEnds(child, first, port: 1701, gateway, isInUDP: true)

        // Without NAT-OA a name says nothing of where packets come from.
        gateway = try Self.gateway(suites, "3des-sha1")
        var second = client()
        _ = try second.mainMode(.sharedKey(Self.key), &gateway)
        #expect(throws: (any Error).self) {
            try second.quickMode(
                offer, spi: Self.ownSPI, identities: identities, nonceOctets: 20, &gateway)
        }
        #expect(gateway.inbound.isEmpty && gateway.outbound.isEmpty)
    }

    /// A name is an end of transport mode behind a NAT alone: elsewhere packets carry addresses of their own.
    @Test func aNameIsNoEndOfATunnel() throws {
        var gateway = try Gateway(
            """
            connections { net {
            version = 1
            proposals = aes256-sha1-modp2048
            local { auth = psk }
            remote { auth = psk }
            children { net {
            esp_proposals = aes256-sha1
            local_ts = 0.0.0.0/0
            remote_ts = 0.0.0.0/0 } } } }
            secrets { ike-all { secret = "between friends" } }
            """)
        var client = Self.windows(Self.hidden, Self.translated)
        _ = try client.mainMode(.sharedKey(Self.key), &gateway)
        #expect(throws: (any Error).self) {
            try client.quickMode(
                WireTransform.apart(Self.windowsESP(3), spi: Self.ownSPI), spi: Self.ownSPI,
                identities: [
                    WireIdentity.name("desktop", ipProtocol: 0, port: 0), WireIdentity.everything,
                ], originals: [Self.hidden.address, Gateway.address], nonceOctets: 48, &gateway)
        }
        #expect(gateway.inbound.isEmpty && gateway.outbound.isEmpty)
    }

    // MARK: macOS, iOS

    /// L2TP, and with another method Cisco IPSec.
    static func appleTransforms(_ method: UInt16) -> [WireTransform] {
        let strong: [(HashID, KeyExchangeID)] = [
            (.sha256, .modp2048), (.sha1, .modp2048), (.md5, .modp2048), (.sha512, .modp2048), (.sha256, .modp1536),
            (.sha1, .modp1536), (.md5, .modp1536), (.sha256, .modp1024), (.sha1, .modp1024), (.md5, .modp1024),
        ]
        return strong.map { .racoon(.aes(256), $0.0, $0.1, method, seconds: 3600) }
            + [HashID.sha1, .md5].map { .racoon(.aes(128), $0, .modp1024, method, seconds: 3600) }
            + [HashID.sha1, .md5].map { .racoon(.tripleDES, $0, .modp1024, method, seconds: 3600) }
    }

    static func appleVendors(isCisco: Bool) throws -> [[UInt8]] {
        let drafts = try (4...7).reversed().map { try ClientVendorID.natDraft($0) }
        return [ClientVendorID.rfc3947, ClientVendorID.natDraft, ClientVendorID.natDraft08] + drafts
            + [ClientVendorID.natDraft03, ClientVendorID.natDraft02, ClientVendorID.natDraft02LineFeed]
            + (isCisco ? [ClientVendorID.extendedAuthentication, ClientVendorID.unity] : [])
            + [ClientVendorID.fragmentation + [0x80, 0, 0, 0], ClientVendorID.deadPeerDetection]
    }

    static func appleESP(_ encapsulation: UInt16) -> [WireTransform] {
        [.aes(256), .aes(128), .tripleDES].flatMap { (payload: WireTransform.Payload) in
            [WireTransform.Authenticator.sha1, .md5].map {
                .esp(payload, $0, encapsulation: encapsulation, seconds: 3600)
            }
        }
    }

    /// L2TP comes from a port of its own, not from 1701.
    @Test func appleFromItsOwnPort() throws {
        var gateway = try Self.gateway("aes256-sha256-modp2048", "aes256-sha1")
        var client = ISAKMPClient(
            ISAKMPClient.Opening(
                transforms: Self.appleTransforms(1), vendors: try Self.appleVendors(isCisco: false), nonceOctets: 16,
                identity: WireIdentity.racoon(1, Self.hidden.address.octets)),
            inner: Self.hidden, outer: Endpoint(Self.translated.address, port: 30_191))
        #expect(try client.mainMode(.sharedKey(Self.key), port: 21_790, &gateway).isEmpty)
        #expect(client.firstMessage.count == 788 && client.chosen?.number == 1)
        let child = try client.quickMode(
            WireTransform.together(Self.appleESP(4), spi: Self.ownSPI), spi: Self.ownSPI,
            identities: [
                WireIdentity.address(Self.hidden.address, ipProtocol: 17, port: 52_387),
                WireIdentity.address(Gateway.address, ipProtocol: 17, port: 1701),
            ], originals: [Self.hidden.address, Gateway.address], nonceOctets: 16, &gateway)
        try Self.expectEnds(child, client, port: 52_387, gateway, isInUDP: true)
    }

    // MARK: Android

    /// The client that Android had up to version 12.
    static func androidTransforms(_ method: UInt16) -> [WireTransform] {
        let hashes: [HashID] = [.sha384, .sha256, .sha512, .sha1, .md5]
        let ciphers: [WireTransform.PhaseOneCipher] = [.aes(256), .aes(128), .tripleDES, .des]
        return ciphers.flatMap { cipher in
            hashes.map { .racoon(cipher, $0, .modp1024, method, seconds: 28_800) }
        }
    }

    static func androidVendors(isCisco: Bool) -> [[UInt8]] {
        [ClientVendorID.rfc3947, ClientVendorID.natDraft02, ClientVendorID.natDraft02LineFeed]
            + (isCisco ? [ClientVendorID.extendedAuthentication, ClientVendorID.unity] : [])
            + [ClientVendorID.fragmentation + [0x80, 0, 0, 0], ClientVendorID.deadPeerDetection]
    }

    static func androidESP(_ encapsulation: UInt16) -> [WireTransform] {
        [.aes(256), .aes(128), .tripleDES, .des].flatMap { (payload: WireTransform.Payload) in
            [WireTransform.Authenticator.sha256, .sha1, .md5].map {
                .esp(payload, $0, encapsulation: encapsulation, seconds: 28_800)
            }
        }
    }

    /// It names no port of its own: any.
    @Test func androidFromAnyPort() throws {
        var gateway = try Self.gateway("aes256-sha256-modp1024", "aes256-sha1")
        var client = ISAKMPClient(
            ISAKMPClient.Opening(
                transforms: Self.androidTransforms(1), vendors: Self.androidVendors(isCisco: false), nonceOctets: 16,
                identity: WireIdentity.racoon(1, Self.hidden.address.octets)),
            inner: Self.hidden, outer: Endpoint(Self.translated.address, port: 38_084))
        #expect(try client.mainMode(.sharedKey(Self.key), &gateway).isEmpty)
        #expect(client.chosen?.number == 2)
        let child = try client.quickMode(
            WireTransform.together(Self.androidESP(4), spi: Self.ownSPI), spi: Self.ownSPI,
            identities: [
                WireIdentity.address(Self.hidden.address, ipProtocol: 17, port: 0),
                WireIdentity.address(Gateway.address, ipProtocol: 17, port: 1701),
            ], originals: [Self.hidden.address, Gateway.address], nonceOctets: 16, &gateway)
        // SHA-256 is offered first, but it was cut to 96 bits there: a gateway should name SHA-1.
        #expect(child.transform.attribute(5)?.number == 2)
        try Self.expectEnds(child, client, port: 0, gateway, isInUDP: true)
    }

    @Test func anotherKeyLetsNobodyIn() throws {
        var gateway = try Self.gateway(Self.windowsSuites, "aes256-sha1")
        var client = Self.windows(Self.hidden, Self.translated)
        #expect(throws: ISAKMPFault.self) {
            try client.mainMode(.sharedKey(Secret(Array("between foes".utf8))), &gateway)
        }
        #expect(gateway.established.isEmpty && gateway.inbound.isEmpty)
    }
}
