import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// EAP as all that proves both ends (RFC 5998).
@Suite struct UserAloneTests {
    private static let left = Identity("left.example")!
    private static let right = Identity("right.example")!

    private func pair(
        _ host: (local: UserMethod, remote: AuthenticationMethod),
        _ gateway: (local: AuthenticationMethod, remote: UserMethod),
        change: (inout Connection, inout Connection) -> Void = { _, _ in }
    ) -> Pair {
        var one = Pair.connection(isLeft: true)
        one.local[0].method = .extensible(host.local)
        one.remote[0].method = host.remote
        var other = Pair.connection(isLeft: false)
        other.local[0].method = gateway.local
        other.remote[0].method = .extensible(gateway.remote)
        other.remote[0].userIdentity = .any
        change(&one, &other)
        var pair = Pair(one, other)
        for side in Pair.Side.allCases {
            pair[side].passwords = [Self.left: "password"]
            pair[side].environment.settings.traceMessages = true
        }
        return pair
    }

    /// The payload types of the gateway's first answer in IKE_AUTH.
    private func firstAnswer(_ pair: Pair) -> [UInt8] {
        for case .message(let trace) in pair.responder.events where trace.isOutgoing && trace.header[18] == 35 {
            return trace.parts.map(\.type)
        }
        return []
    }

    private func saysAlone(_ pair: Pair) -> Bool {
        for case .message(let trace) in pair.initiator.events where trace.isOutgoing && trace.header[18] == 35 {
            return trace.parts.contains {
                $0.type == PayloadType.notify.rawValue && $0.body.starts(with: [0, 0, 0x40, 0x21])
            }
        }
        return false
    }

    private func refusals(_ end: Pair.End) -> [Refusal] {
        end.events.compactMap { if case .refused(_, let refusal) = $0 { refusal } else { nil } }
    }

    private func expectNothing(_ pair: inout Pair) {
        pair.run(for: .seconds(300))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil && pair[side].installed.isEmpty && pair[side].claimed.isEmpty)
            #expect(!pair[side].events.contains(.established))
        }
    }

    @Test(arguments: [UserMethod.tls, .any], [(UserMethod.tls, UserMethod.tls), (.any, .tls), (.tls, .any)])
    func itsKeyIsAllThatProvesTheGateway(own: UserMethod, others: (UserMethod, UserMethod)) throws {
        var pair = pair((own, .extensible(others.0)), (.extensible(others.1), .tls))
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(saysAlone(pair))
        #expect(
            firstAnswer(pair) == [
                PayloadType.identityResponder.rawValue, PayloadType.extensibleAuthentication.rawValue,
            ])
        #expect(pair.initiator.session.snapshot.remoteIdentity == Self.right)
        #expect(pair.responder.session.snapshot.remoteIdentity == Self.left)
        // TLS's server must be who the gateway says it is; its certificate is that of its round.
        let client = try #require(pair.initiator.tunnels.first)
        #expect(client.peerIdentity == Self.right && client.method == .tls)
        let server = try #require(pair.responder.tunnels.first)
        #expect(server.isServer && server.ownIdentity == Self.right && server.method == .tls)
        #expect(pair.initiator.verifications.isEmpty && pair.responder.signings.isEmpty)
    }

    /// A gateway that does not leave its own proof out is verified by it (RFC 5998 §3), and by the method besides.
    @Test func aGatewayMayProveItselfBesides() {
        var pair = pair((.tls, .extensible(.tls)), (.publicKey(KeyConstraint()), .tls))
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(pair.initiator.verifications.map(\.identity) == [Self.right])
        #expect(pair.initiator.verifications.first?.round.method == .publicKey(KeyConstraint()))
    }

    /// A host that wants the gateway's own proof hears no less.
    @Test func whoDoesNotAskForItGetsTheProof() {
        var refused = pair((.tls, .preSharedKey), (.extensible(.tls), .tls))
        refused.establish()
        #expect(!saysAlone(refused))
        #expect(
            refusals(refused.responder) == [.rounds(RoundFault(.notAlone, isOurs: true, number: 1, method: "eap-tls"))])
        expectNothing(&refused)
    }

    /// A gateway in the middle that leaves its proof out, to a host that did not allow it.
    @Test func aProofLeftOutUnaskedIsNone() throws {
        var pair = pair((.tls, .preSharedKey), (.extensible(.tls), .tls))
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while let (side, datagram) = pair.wire.first {
            pair.wire.removeFirst()
            pair.give(
                .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)), to: side)
            if pair.initiator.sent.contains(where: { $0.octets.count > 18 && $0.octets[18] == 35 }) { break }
        }
        // The gateway behaves as if it had been asked.
        var sa = try #require(pair.responder.session.current)
        var randomness = Randomness.seeded(7)
        let payloads = [
            Payload(.identityResponder, body: IdentityPayload.body(Self.right)),
            Payload(.extensibleAuthentication, body: [1, 1, 0, 6, 13, 0x20]),
        ]
        let octets = try sa.seal(.ikeAuth, messageID: 1, isResponse: true, payloads, &randomness)
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.local, remote: snapshot.remote, octets: octets[0])), to: .initiator)
        #expect(pair.initiator.closed == .refused(.protocolViolation("IKE_AUTH without proof of identity")))
        #expect(pair.initiator.tunnels.isEmpty)
    }

    /// Methods that make no key, or one that a password can be guessed from, are not answered; nor is another that the gateway
    /// asks for before it has proved anything.
    @Test(arguments: [UserMethod.mschapv2, .md5, .gtc]) func unsafeMethodsAreNotAnswered(_ method: UserMethod) {
        // A gateway with another's configuration; such a one is not to be had by our own checker.
        var pair = pair((.any, .extensible(.any)), (.publicKey(KeyConstraint()), method))
        pair.establish()
        let oneSided = Refusal.rounds(RoundFault(.oneSided, isOurs: false, number: 1, method: "eap"))
        #expect(refusals(pair.initiator) == [oneSided])
        #expect(refusals(pair.responder) == [.userAuthentication(user: Self.left)])
        expectNothing(&pair)
        var alone = self.pair((.any, .extensible(.any)), (.extensible(.any), method))
        alone.establish()
        #expect(
            refusals(alone.responder) == [
                .rounds(RoundFault(.oneSided, isOurs: true, number: 1, method: method.rawValue))
            ])
        expectNothing(&alone)
    }

    /// What an authentication server asks for must be one of them too: here it asks for MD5.
    @Test func aServersMethodMustProveBothEnds() {
        var pair = pair((.any, .extensible(.any)), (.extensible(.any), .radius))
        pair[.responder].grant = UserGrant(masterSessionKey: Secret([UInt8](repeating: 1, count: 64)))
        pair.establish()
        #expect(
            refusals(pair.initiator) == [.rounds(RoundFault(.oneSided, isOurs: false, number: 1, method: "eap"))])
        expectNothing(&pair)
    }

    /// A key round behind it (RFC 4739), and the other way round.
    @Test func furtherRoundsMayFollow() {
        var pair = pair((.tls, .extensible(.tls)), (.extensible(.tls), .tls)) { host, gateway in
            for end in [\Connection.local, \.remote] {
                host[keyPath: end].append(AuthenticationRound(.preSharedKey, identity: .exactly(Identity("second")!)))
                gateway[keyPath: end].append(
                    AuthenticationRound(.preSharedKey, identity: .exactly(Identity("second")!)))
            }
        }
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(pair.initiator.session.snapshot.remoteIdentity == Identity("second"))
        #expect(pair.responder.session.snapshot.remoteIdentity == Identity("second"))
    }

    /// Resumption does not say it again (RFC 5998 §3).
    @Test func aResumedSessionDoesNotAskForIt() throws {
        func make(_ seed: UInt64) -> Pair {
            var pair = pair((.tls, .extensible(.tls)), (.extensible(.tls), .tls)) {
                $0.resumes = true
                $1.resumes = true
            }
            pair[.responder].environment.tickets.secret = Secret(Array(repeating: 9, count: 32))
            return pair
        }
        var first = make(1)
        first.establish()
        var second = make(2)
        second.now = first.now
        for side in Pair.Side.allCases { second[side].environment.tickets = first[side].environment.tickets }
        second.establish()
        #expect(second.initiator.events.contains(.note("resumed with a ticket")))
        #expect(second.initiator.usable.count == 1 && !saysAlone(second) && second.initiator.tunnels.isEmpty)
        #expect(second.initiator.session.snapshot.remoteIdentity == Self.right)
    }
}
