import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// "Cisco IPSec" of iOS and macOS, and Android's client of the same kind up to version 12: Extended Authentication, Mode
/// Config with Unity's attributes, and a tunnel for the address that it gives.
///
/// Sources: Apple's "VPN proxy and certificate configuration" in its deployment guide and its racoon as published; racoon as
/// Android published it; strongSwan's "iOS and macOS" with logs of gateways; issue 2023 of libreswan.
@Suite struct CiscoClientTests {
    private static let key = Secret(Array("between friends".utf8))
    private static let ownSPI = SPI(0x0C0F_FEE1)
    private static let inner = Endpoint(IPAddress("192.168.0.31")!, port: 500)
    private static let outer = Endpoint(IPAddress("203.0.113.5")!, port: 36_785)

    /// What iOS asks for: address, mask, name servers, how long, version, banner, domain, split DNS, split networks, local
    /// LAN, PFS, whether the password may be kept, firewall, other gateways.
    private static let appleAttributes: [UInt16] = [
        1, 2, 3, 4, 5, 7, 28_672, 28_674, 28_675, 28_676, 28_678, 28_679, 28_673, 28_680, 28_681,
    ]
    /// What Android asks for.
    private static let androidAttributes: [UInt16] = [1, 2, 3, 4, 28_672, 7, 28_674, 28_675, 28_676, 28_678]

    private static func gateway(
        _ rounds: String, _ proposals: String, pool: String = "", local: String = "0.0.0.0/0",
        _ authority: TestAuthority? = nil
    ) throws -> Gateway {
        try Gateway(
            """
            connections { phone {
            version = 1
            proposals = \(proposals)
            pools = pool4
            \(rounds)
            remote-xauth { auth = xauth }
            children { net {
            esp_proposals = aes256-sha1,aes128-sha1
            local_ts = \(local) } } } }
            pools { pool4 { addrs = 10.9.0.0/24
            dns = 10.9.0.53
            netmask = 255.255.255.0
            28672 = "Welcome"
            28674 = corp.example
            28675 = corp.example
            \(pool) } }
            secrets { xauth-joe { id = joe
            secret = foobar }
            ike-group { secret = "between friends" } }
            """, authority: authority)
    }

    private static let shared = "local { auth = psk }\nremote { auth = psk }"
    private static let certified = """
        local { auth = pubkey
        certs = gate.pem
        id = gate.example }
        remote { auth = pubkey
        cacerts = ca.pem }
        """

    private static func apple(_ transforms: [WireTransform], _ identity: [UInt8]) throws -> ISAKMPClient {
        ISAKMPClient(
            ISAKMPClient.Opening(
                transforms: transforms, vendors: try LayerTwoClientTests.appleVendors(isCisco: true), nonceOctets: 16,
                identity: identity), inner: inner, outer: outer)
    }

    private static func android(_ transforms: [WireTransform], _ identity: [UInt8]) -> ISAKMPClient {
        ISAKMPClient(
            ISAKMPClient.Opening(
                transforms: transforms, vendors: LayerTwoClientTests.androidVendors(isCisco: true), nonceOctets: 16,
                identity: identity), inner: inner, outer: outer)
    }

    /// Aggressive Mode has one group, and iOS takes the old one.
    private static func aggressiveTransforms(_ method: UInt16) -> [WireTransform] {
        [.aes(256), .aes(128), .tripleDES].flatMap { (cipher: WireTransform.PhaseOneCipher) in
            [HashID.sha1, .md5].map { .racoon(cipher, $0, .modp1024, method, seconds: 3600) }
        }
    }

    private static let address = IPAddress("10.9.0.1")!

    /// From the question who the user is to the tunnel for its address.
    private static func finish(
        _ client: inout ISAKMPClient, _ said: [ISAKMPClient.Exchanged], isApple: Bool, _ gateway: inout Gateway
    ) throws {
        #expect(try client.authenticate(said, user: "joe", password: "foobar", &gateway) == 1)
        let (address, reply) = try client.configure(
            isApple ? appleAttributes : androidAttributes, version: isApple ? "iOS" : nil, &gateway)
        #expect(address == Self.address)
        #expect(reply.attributes.contains(DataAttribute(3, octets: [10, 9, 0, 53])))
        #expect(reply.attributes.contains(DataAttribute(2, octets: [255, 255, 255, 0])))
        #expect(reply.attributes.contains(DataAttribute(28_672, octets: Array("Welcome".utf8))))
        #expect(reply.attributes.contains(DataAttribute(28_675, octets: Array("corp.example".utf8))))
        let child = try client.quickMode(
            WireTransform.together(
                isApple ? LayerTwoClientTests.appleESP(3) : LayerTwoClientTests.androidESP(3), spi: ownSPI),
            spi: ownSPI, identities: [WireIdentity.address(address), WireIdentity.everything], nonceOctets: 16,
            &gateway)
        try client.expect(child, at: gateway, mode: .tunnel, isInUDP: true)
        let inbound = try #require(gateway.inbound[child.gatewaySPI])
        #expect(inbound.remoteSelectors == [TrafficSelector(address)])
        #expect(inbound.localSelectors == [.everything(.v4)])
        let session = try #require(gateway.established.first)
        #expect(gateway.established.count == 1 && gateway.refusals.isEmpty)
        #expect(session.remoteUser == Identity("joe") && session.remoteVirtualAddresses == [address])
    }

    // MARK: iOS and macOS

    /// A group's name and its key: Aggressive Mode, and the name is a key ID.
    @Test func appleWithAGroup() throws {
        let rounds = """
            aggressive = yes
            local { auth = psk }
            remote { auth = psk
            id = keyid:vpnusers }
            """
        var gateway = try Self.gateway(rounds, "aes256-sha1-modp1024")
        var client = try Self.apple(
            Self.aggressiveTransforms(65_001), WireIdentity.racoon(11, Array("vpnusers".utf8)))
        let said = try client.aggressiveMode(.sharedKey(Self.key), &gateway)
        #expect(client.chosen?.number == 1 && client.gatewayPort == 4500)
        #expect(client.gatewayVendors.contains(ClientVendorID.extendedAuthentication))
        #expect(client.gatewayVendors.contains(ClientVendorID.unity))
        try Self.finish(&client, said, isApple: true, &gateway)

        // The name of another group is nobody's here.
        gateway = try Self.gateway(rounds, "aes256-sha1-modp1024")
        client = try Self.apple(Self.aggressiveTransforms(65_001), WireIdentity.racoon(11, Array("others".utf8)))
        #expect(throws: ISAKMPFault.self) { try client.aggressiveMode(.sharedKey(Self.key), &gateway) }
        #expect(gateway.established.isEmpty)
    }

    /// Without a group's name it is Main Mode, and the address stands for it.
    @Test func appleWithAKeyAlone() throws {
        var gateway = try Self.gateway(Self.shared, "aes256-sha256-modp2048")
        var client = try Self.apple(
            LayerTwoClientTests.appleTransforms(65_001), WireIdentity.racoon(1, Self.inner.address.octets))
        let said = try client.mainMode(.sharedKey(Self.key), &gateway)
        #expect(client.chosen?.number == 1)
        try Self.finish(&client, said, isApple: true, &gateway)
    }

    /// XAUTHInitRSA: the identity is the certificate's subject.
    @Test func appleWithACertificate() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.certified, "aes256-sha256-modp2048", authority)
        var client = try Self.apple(
            LayerTwoClientTests.appleTransforms(65_005),
            WireIdentity.racoon(9, authority.machine.certificate.subject.octets))
        let said = try client.mainMode(.certificate(authority.machine, authority), &gateway)
        #expect(client.gatewayIdentity == [2, 0, 0, 0] + Array("gate.example".utf8))
        try Self.finish(&client, said, isApple: true, &gateway)
        #expect(gateway.established.first?.remoteIdentity == authority.machine.subject)
    }

    /// With a split tunnel it asks for each network by itself.
    @Test func appleWithASplitTunnel() throws {
        var gateway = try Self.gateway(
            Self.shared, "aes256-sha256-modp2048", pool: "split_include = 10.1.0.0/16, 10.2.3.0/24",
            local: "10.1.0.0/16, 10.2.3.0/24")
        var client = try Self.apple(
            LayerTwoClientTests.appleTransforms(65_001), WireIdentity.racoon(1, Self.inner.address.octets))
        let said = try client.mainMode(.sharedKey(Self.key), &gateway)
        #expect(try client.authenticate(said, user: "joe", password: "foobar", &gateway) == 1)
        let (address, reply) = try client.configure(Self.appleAttributes, version: "iOS", &gateway)
        let split = try #require(reply.attributes.first { $0.type == 28_676 }).value
        // Each: address, mask, and six octets that nobody fills.
        #expect(split.count == 28 && Array(split[14..<22]) == [10, 2, 3, 0, 255, 255, 255, 0])
        for (number, network) in ["10.1.0.0/16", "10.2.3.0/24"].map({ Prefix($0)! }).enumerated() {
            let spi = SPI(0x0C0F_FEE1 + UInt32(number))
            let child = try client.quickMode(
                WireTransform.together(LayerTwoClientTests.appleESP(3), spi: spi), spi: spi,
                identities: [WireIdentity.address(address), WireIdentity.network(network)], nonceOctets: 16, &gateway)
            try client.expect(child, at: gateway, mode: .tunnel, isInUDP: true)
            #expect(gateway.inbound[child.gatewaySPI]?.localSelectors == [TrafficSelector(network)])
        }
        #expect(gateway.inbound.count == 2 && gateway.outbound.count == 2)
    }

    /// A wrong password: it may try again, and then the phone's SA goes.
    @Test func aWrongPassword() throws {
        var gateway = try Self.gateway(Self.shared, "aes256-sha256-modp2048")
        var client = try Self.apple(
            LayerTwoClientTests.appleTransforms(65_001), WireIdentity.racoon(1, Self.inner.address.octets))
        let said = try client.mainMode(.sharedKey(Self.key), &gateway)
        // The gateway does not judge, it asks again.
        #expect(throws: ISAKMPFault.self) {
            try client.authenticate(said, user: "joe", password: "guess", &gateway)
        }
        #expect(gateway.established.isEmpty && gateway.inbound.isEmpty)
        // Before the user is known there is neither an address nor a tunnel.
        #expect(throws: (any Error).self) { try client.configure(Self.appleAttributes, &gateway) }
        #expect(throws: (any Error).self) {
            try client.quickMode(
                WireTransform.together(LayerTwoClientTests.appleESP(3), spi: Self.ownSPI), spi: Self.ownSPI,
                identities: [WireIdentity.address(Self.address), WireIdentity.everything], nonceOctets: 16, &gateway)
        }
        #expect(gateway.inbound.isEmpty)
    }

    // MARK: Android

    /// "IPSec Xauth PSK" with an identifier: Aggressive Mode, and a key ID.
    @Test func androidWithAnIdentifier() throws {
        var gateway = try Self.gateway(
            """
            aggressive = yes
            local { auth = psk }
            remote { auth = psk
            id = keyid:vpnusers }
            """, "aes256-sha256-modp1024")
        var client = Self.android(
            LayerTwoClientTests.androidTransforms(65_001), WireIdentity.racoon(11, Array("vpnusers".utf8)))
        let said = try client.aggressiveMode(.sharedKey(Self.key), &gateway)
        #expect(client.chosen?.number == 2)
        try Self.finish(&client, said, isApple: false, &gateway)
    }

    /// "IPSec Xauth PSK" without one.
    @Test func androidWithAKey() throws {
        var gateway = try Self.gateway(Self.shared, "aes256-sha256-modp1024")
        var client = Self.android(
            LayerTwoClientTests.androidTransforms(65_001), WireIdentity.racoon(1, Self.inner.address.octets))
        let said = try client.mainMode(.sharedKey(Self.key), &gateway)
        try Self.finish(&client, said, isApple: false, &gateway)
    }

    /// "IPSec Xauth RSA".
    @Test func androidWithACertificate() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(Self.certified, "aes256-sha256-modp1024", authority)
        var client = Self.android(
            LayerTwoClientTests.androidTransforms(65_005),
            WireIdentity.racoon(9, authority.machine.certificate.subject.octets))
        let said = try client.mainMode(.certificate(authority.machine, authority), &gateway)
        try Self.finish(&client, said, isApple: false, &gateway)
        #expect(gateway.established.first?.remoteIdentity == authority.machine.subject)
    }

    /// "IPSec Hybrid RSA": the gateway alone signs, and the user is all that there is of the phone.
    @Test func androidWithAUserAlone() throws {
        let authority = try TestAuthority.rsa.get()
        var gateway = try Self.gateway(
            """
            local { auth = pubkey
            certs = gate.pem
            id = gate.example }
            """, "aes256-sha256-modp1024", authority)
        var client = Self.android(
            LayerTwoClientTests.androidTransforms(64_221), WireIdentity.racoon(1, Self.inner.address.octets))
        let said = try client.mainMode(.gatewayAlone(authority), &gateway)
        try Self.finish(&client, said, isApple: false, &gateway)
    }
}
