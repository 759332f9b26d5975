import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// TLS 1.2 played by hand: four flights of an octet each.
enum PlayedTunnel {
    static let keys = Secret([UInt8](repeating: 0x5A, count: 128))

    /// - Parameter fault: of the client's certificate, as the server finds it.
    static func answer(_ request: TunnelRequest, fault: TunnelFault?) -> TunnelProgress {
        let facts = TunnelFacts(
            isVersion13: false, peerNames: request.isServer ? [Identity("joe")!] : [request.peerIdentity!], keys: keys)
        switch (request.isServer, request.input) {
        case (false, .open): return TunnelProgress(records: [1])
        case (true, .records([1])): return TunnelProgress(records: [2])
        case (false, .records([2])): return TunnelProgress(records: [3])
        case (true, .records([3])):
            return fault.map { TunnelProgress(records: [21], fault: $0) } ?? TunnelProgress(records: [4], facts: facts)
        case (false, .records([4])): return TunnelProgress(facts: facts)
        case (false, .records([21])): return TunnelProgress(fault: .refused(alert: "unknown CA"))
        default: return TunnelProgress(fault: .broken("out of turn"))
        }
    }
}

/// EAP-TLS in IKE_AUTH: what TLS is asked for, and what comes of it.
@Suite struct TunnelledUserTests {
    private static let joe = Identity("joe")!
    private static let aaa = Identity("aaa.example")!

    private func pair(
        host changeHost: (inout Connection) -> Void = { _ in },
        gateway changeGateway: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var host = Pair.connection(isLeft: true)
        var gateway = Pair.connection(isLeft: false)
        host.local[0].method = .extensible(.tls)
        host.local[0].userIdentity = .exactly(Self.joe)
        gateway.remote[0].method = .extensible(.tls)
        gateway.remote[0].userIdentity = .any
        changeHost(&host)
        changeGateway(&gateway)
        return Pair(host, gateway)
    }

    private static let report = ChainReport(
        wanted: nil, present: [.dns("joe")],
        links: [
            ChainReport.Link(
                subject: DistinguishedName("CN=joe")!, issuer: DistinguishedName("CN=Stranger")!, serialNumber: [1],
                findings: [.init(check: .trust, outcome: .failed(.untrusted))])
        ])

    @Test func itsKeyProvesBothEnds() throws {
        var pair = pair(gateway: { $0.remote[0].certificates.authorityFiles = ["users.pem"] })
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.responder.session.snapshot.remoteUser == Self.joe)
        // The gateway's round binds the user's certificate; the host wants the gateway's name.
        let server = try #require(pair.responder.tunnels.first)
        #expect(server.isServer && server.method == .tls && server.peer.authorityFiles == ["users.pem"])
        #expect(server.peerIdentity == nil && server.ownIdentity == Identity("right.example"))
        let client = try #require(pair.initiator.tunnels.first)
        #expect(!client.isServer && client.peerIdentity == Identity("right.example") && client.ownIdentity == Self.joe)
        #expect(Set((pair.initiator.tunnels + pair.responder.tunnels).map(\.session)).count == 2)
    }

    /// Another server behind the gateway: its name counts, and what the connection wants of the gateway's certificate does not.
    @Test func anotherServerMayBeNamed() throws {
        var pair = pair(host: {
            $0.local[0].serverIdentity = Self.aaa
            $0.remote[0].certificates.authorityFiles = ["gateways.pem"]
        })
        pair.establish()
        let client = try #require(pair.initiator.tunnels.first)
        #expect(client.peerIdentity == Self.aaa && client.peer.authorityFiles == [])
        #expect(pair.initiator.usable.count == 1)
    }

    @Test func aRefusedCertificateIsToldAsOne() {
        var pair = pair()
        pair[.responder].tunnelFault = .distrusted(Self.report)
        pair.establish()
        pair.run(for: .seconds(30))
        #expect(pair.responder.closed == .refused(.certificate(Self.report)))
        #expect(pair.initiator.closed == .refused(.userRefused(user: Self.joe)))
        #expect(pair.responder.installed.isEmpty && !pair.responder.events.contains(.established))
    }

    /// A host that leaves when it has the alert, instead of waiting for EAP-Failure: the reason is told all the same, and once.
    @Test func whoLeavesAtOnceIsRefusedForTheSameReason() throws {
        var pair = pair()
        pair[.responder].tunnelFault = .distrusted(Self.report)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        // Until the alert is on its way to the host.
        while let (side, datagram) = pair.wire.first {
            if pair.responder.tunnels.count == 2 { break }
            pair.wire.removeFirst()
            pair.give(
                .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)), to: side)
        }
        #expect(pair.responder.tunnels.count == 2 && pair.responder.closed == nil)
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(7)
        let delete = Payload(.deleteV2, body: [1, 0, 0, 0])
        let octets = try sa.seal(
            .informationalV2, messageID: sa.nextRequestID, isResponse: false, [delete], &randomness)
        let snapshot = pair.initiator.session.snapshot
        let sent = pair.responder.sent.count
        pair.give(
            .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: octets[0])), to: .responder)
        #expect(pair.responder.closed == .refused(.certificate(Self.report)))
        #expect(pair.responder.sent.count == sent + 1)
        let refusals = pair.responder.events.filter { if case .refused = $0 { true } else { false } }
        #expect(refusals == [.refused(child: nil, .certificate(Self.report))])
    }
}
