import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// EAP in IKE_AUTH (RFC 7296 §2.16), both ends.
@Suite struct UserAuthenticationTests {
    private static let joe = Identity("joe")!
    private static let pool = AddressPool(name: "pool", IPAddress("10.3.0.0")!, length: 24)!

    private func pair(
        _ method: UserMethod, password: String = "foobar", right: String = "foobar", asks: Bool = true,
        vips: Bool = true, host changeHost: (inout Connection) -> Void = { _ in },
        gateway changeGateway: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var host = Pair.connection(isLeft: true)
        var gateway = Pair.connection(isLeft: false)
        host.local[0].method = .extensible(.any)
        host.local[0].userIdentity = .exactly(Self.joe)
        gateway.remote[0].method = .extensible(method)
        gateway.remote[0].userIdentity = asks ? .any : nil
        if vips {
            host.virtualAddresses = [.any(.v4)]
            host.children[0].localSelectors = [.dynamic]
            gateway.pools = ["pool"]
            gateway.children[0].remoteSelectors = [.dynamic]
        }
        changeHost(&host)
        changeGateway(&gateway)
        var pair = Pair(host, gateway)
        pair[.initiator].passwords = [Self.joe: password]
        pair[.responder].passwords = [Self.joe: right]
        pair[.responder].environment.policies.pools = [Self.pool]
        return pair
    }

    private func expectNothing(_ pair: inout Pair) {
        pair.run(for: .seconds(200))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil && pair[side].installed.isEmpty && pair[side].claimed.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty && pair[side].addresses.isEmpty)
            #expect(!pair[side].events.contains(.established))
        }
    }

    @Test(arguments: [UserMethod.md5, .gtc, .mschapv2]) func usersGetAnAddress(_ method: UserMethod) {
        var pair = pair(method)
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.initiator.addresses == [IPAddress("10.3.0.1")!])
        #expect(pair.responder.session.snapshot.remoteUser == Self.joe)
        #expect(pair.initiator.session.snapshot.localUser == Self.joe)
        // The address is the user's, not the host's.
        #expect(pair.responder.environment.leases.leases(of: "pool").map(\.lease.identity) == [Self.joe])
        #expect(Set(pair.initiator.sent.map(\.octets[18])) == [34, 35])
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.settle()
        #expect(pair.initiator.events.contains(.rekeyedIKE) && pair.disagreements == [])
        #expect(pair.responder.session.snapshot.remoteUser == Self.joe)
    }

    /// RFC 3579 §2: the server asks and judges, and what it allows the user counts.
    @Test func anAuthenticationServerKnowsTheUser() {
        var pair = pair(.radius, gateway: { $0.pools = [UserGrant.poolName] })
        pair[.responder].grant = UserGrant(addresses: [IPAddress("10.9.0.7")!], sessionTimeout: .seconds(500))
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.initiator.addresses == [IPAddress("10.9.0.7")!])
        #expect(pair.responder.session.snapshot.remoteUser == Self.joe)
        #expect(pair.responder.relays.map(\.state) == [[], [7]])
        #expect(pair.responder.relays.map(\.user) == [Self.joe, Self.joe])
        // AUTH_LIFETIME tells the host when to come again (RFC 4478).
        #expect(pair.initiator.session.snapshot.reauthenticateAt != nil)
    }

    /// Whom a server allowed comes back by the server alone, not by a ticket (RFC 5723).
    @Test(arguments: [UserMethod.md5, .radius]) func serversUsersGetNoTicket(_ method: UserMethod) {
        var pair = pair(method, host: { $0.resumes = true }, gateway: { $0.resumes = true })
        pair[.responder].grant = UserGrant()
        pair.establish()
        #expect(pair.initiator.usable.count == 1)
        var tickets = pair.initiator.environment.tickets
        let held = tickets.take(pair.initiator.session.snapshot.connection, now: pair.now)
        #expect((held == nil) == (method == .radius))
    }

    @Test func anAuthenticationServersRefusalLetsNobodyIn() {
        var wrong = pair(.radius, password: "wrong")
        wrong[.responder].grant = UserGrant()
        wrong.establish()
        #expect(wrong.initiator.closed == .refused(.userRefused(user: Self.joe)))
        #expect(wrong.responder.closed == .refused(.userAuthentication(user: Self.joe)))
        expectNothing(&wrong)
        var alone = pair(.radius)
        alone.establish()
        #expect(alone.responder.closed == .refused(.userAuthentication(user: Self.joe)))
        expectNothing(&alone)
        var other = pair(.radius, gateway: { $0.remote[0].userIdentity = .exactly(Identity("jane")!) })
        other[.responder].grant = UserGrant()
        other.establish()
        #expect(other.responder.closed == .refused(.userAuthentication(user: Self.joe)))
        expectNothing(&other)
    }

    /// The key that the server made is not the one that the host has: no SA.
    @Test func aKeyThatTheHostHasNotProvesNothing() {
        var pair = pair(.radius)
        pair[.responder].grant = UserGrant(masterSessionKey: Secret([UInt8](repeating: 1, count: 64)))
        pair.establish()
        #expect(pair.responder.usable.isEmpty && !pair.responder.events.contains(.established))
    }

    @Test func withoutAskingTheUserIsWhoTheHostIs() {
        var pair = pair(.mschapv2, asks: false, host: { $0.local[0].userIdentity = nil })
        let left = Identity("left.example")!
        pair[.initiator].passwords = [left: "foobar"]
        pair[.responder].passwords = [left: "foobar"]
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.session.snapshot.remoteUser == left)
    }

    @Test(arguments: [UserMethod.md5, .gtc, .mschapv2]) func aWrongPasswordLetsNobodyIn(_ method: UserMethod) {
        var pair = pair(method, password: "wrong")
        pair.establish()
        #expect(pair.initiator.closed == .refused(.userRefused(user: Self.joe)))
        #expect(pair.responder.closed == .refused(.userAuthentication(user: Self.joe)))
        expectNothing(&pair)
    }

    @Test func aGatewayThatIsNobodyHearsNoPassword() {
        var pair = pair(.gtc)
        pair[.initiator].key = Array("another key".utf8)
        pair.establish()
        #expect(pair.initiator.closed == .refused(.authentication(peer: Identity("right.example")!)))
        // IKE_SA_INIT, the first of IKE_AUTH, and the farewell: no packet of EAP.
        #expect(pair.initiator.sent.map(\.octets[18]) == [34, 35, 37])
        expectNothing(&pair)
    }

    @Test func aSharedKeyIsNoUser() {
        // Whoever has the gateway's pre-shared key must not get in as a user without password.
        var pair = pair(
            .mschapv2,
            host: {
                $0.local[0].method = .preSharedKey
                $0.local[0].userIdentity = nil
            })
        pair.establish()
        let host = Identity("left.example")!
        #expect(
            pair.responder.closed == .refused(.method(peer: host, wanted: ["eap-mschapv2"], seen: ["psk"])))
        expectNothing(&pair)
    }

    @Test func aUserIsNoSharedKey() {
        var pair = pair(
            .mschapv2,
            gateway: {
                $0.remote[0].method = .preSharedKey
                $0.remote[0].userIdentity = nil
            })
        pair.establish()
        let host = Identity("left.example")!
        #expect(pair.responder.closed == .refused(.method(peer: host, wanted: ["psk"], seen: ["eap"])))
        expectNothing(&pair)
    }

    @Test func whoTheConnectionDoesNotWantIsRefused() {
        var pair = pair(.md5, gateway: { $0.remote[0].userIdentity = .exactly(Identity("ann")!) })
        pair.establish()
        #expect(pair.responder.closed == .refused(.userAuthentication(user: Self.joe)))
        expectNothing(&pair)
    }

    @Test func lossAndRepetitionDoNoHarm() {
        for lost in 0..<14 {
            var pair = pair(.mschapv2)
            pair.network = { _, number, datagram in number == lost ? [] : [datagram, datagram] }
            pair.establish()
            pair.run(for: .seconds(20))
            #expect(pair.disagreements == [] && pair.initiator.usable.count == 1, "lost \(lost)")
            #expect(pair.responder.environment.leases.counts(of: "pool").online == 1, "lost \(lost)")
        }
    }

    /// GTC's password is the packet itself.
    @Test(arguments: [UserMethod.md5, .gtc, .mschapv2]) func noTraceShowsTheProof(_ method: UserMethod) {
        var pair = pair(method, password: "foobar")
        for side in Pair.Side.allCases { pair[side].environment.settings.traceMessages = true }
        pair.establish()
        var packets = 0
        for case .message(let trace) in pair.initiator.events + pair.responder.events {
            for part in trace.parts where part.type == PayloadType.extensibleAuthentication.rawValue {
                packets += 1
                let data = part.body.dropFirst(5)
                #expect(part.body.count < 5 || part.body[4] < 4 || data.allSatisfy { $0 == 0 })
            }
        }
        #expect(packets >= 8 && pair.initiator.usable.count == 1)
    }

    /// AUTH must be there at the end, and by the key that EAP made.
    @Test func theLastProofCounts() throws {
        var pair = pair(.mschapv2)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while let (side, datagram) = pair.wire.first {
            pair.wire.removeFirst()
            if case .checkingUser(let checking) = pair.responder.session.phase,
                case .awaitingProof = checking.state, side == .responder
            {
                break
            }
            pair.give(
                .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)), to: side)
        }
        guard case .provingUser(let proving) = pair.initiator.session.phase else {
            Issue.record("the user is not proved")
            return
        }
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(7)
        let payload = AuthenticationPayload(proof: [UInt8](repeating: 0, count: 32)).payload
        let octets = try sa.seal(
            .ikeAuth, messageID: sa.nextRequestID - 1, isResponse: false, [payload], &randomness)
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: octets[0])), to: .responder)
        #expect(pair.responder.closed == .refused(.authentication(peer: proving.initiation.localIdentity)))
        #expect(pair.responder.installed.isEmpty && !pair.responder.events.contains(.established))
    }
}
