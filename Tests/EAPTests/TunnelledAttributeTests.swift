import Cryptography
import IPsec
import Primitives
import Testing

@testable import EAP

/// Users that prove themselves by attributes inside EAP-TTLS (RFC 5281 §11.2), with TLS played by hand.
@Suite struct TunnelledAttributeTests {
    private let password = Secret(Array("foo bar".utf8))
    private let challenge = [UInt8](1...17)
    private var facts: TunnelFacts {
        TunnelFacts(
            isVersion13: false, keys: Secret([UInt8](repeating: 9, count: 128)), challenge: Secret(challenge))
    }

    /// A server whose tunnel is up, and the identifier of its last request.
    private func server(
        _ method: UserMethod, _ pattern: IdentityPattern, _ randomness: inout Randomness
    ) throws -> (EAPServer, UInt8) {
        var server = EAPServer(method, user: nil, pattern: pattern, &randomness)
        var identifier = server.start(&randomness)[1]
        let name = EAPPacket(.response, identifier: identifier, type: .identity, data: Array("anonymous".utf8))
        guard case .send(let start) = try server.receive(name.octets, &randomness) else { return (server, 0) }
        #expect(start[5] == TunnelFraming.startFlag)
        identifier = start[1]
        guard case .tunnel(.records([22])) = try server.receive(packet(method, identifier, [0, 22]), &randomness),
            case .send(let finished) = server.take(TunnelProgress(records: [20], facts: facts), &randomness)
        else {
            Issue.record("no tunnel")
            return (server, 0)
        }
        return (server, finished[1])
    }

    private func packet(_ method: UserMethod, _ identifier: UInt8, _ data: [UInt8]) -> [UInt8] {
        EAPPacket(.response, identifier: identifier, type: method.tunnelType, data: data).octets
    }

    /// What the server makes of what the user says inside.
    private func hear(
        _ octets: [UInt8], _ server: inout EAPServer, _ identifier: UInt8, _ randomness: inout Randomness
    ) throws -> EAPServer.Step {
        guard case .tunnel(.records) = try server.receive(packet(.ttls, identifier, [0, 23]), &randomness) else {
            throw ParseError.invalid(offset: 0, rule: "TLS is asked")
        }
        return server.take(TunnelProgress(plaintext: Secret(octets)), &randomness)
    }

    private func attributes(_ list: [TunnelAttribute]) -> [UInt8] {
        ([TunnelAttribute(.userName, Array("joe".utf8))] + list).flatMap(\.octets)
    }

    @Test(arguments: [true, false]) func plainPasswords(isRight: Bool) throws {
        var randomness = Randomness.seeded(1)
        var (server, identifier) = try self.server(.ttls, .any, &randomness)
        let step = try hear(
            attributes([TunnelAttribute(.userPassword, password.exposed + [UInt8](repeating: 0, count: 9))]), &server,
            identifier, &randomness)
        guard case .check(password, user: Identity("joe")!) = step else {
            Issue.record("\(step)")
            return
        }
        switch server.judge(isRight ? UserAnswer(response: []) : nil, &randomness) {
        case .succeed(let octets, let user, let key):
            #expect(isRight && octets.first == 3 && user == Identity("joe") && key == facts.keys[0..<64])
        case .fail(let octets, _, let reason):
            #expect(!isRight && octets.first == 4)
            #expect(reason == "the password is not right, or nobody has that name")
        default: Issue.record("neither")
        }
    }

    @Test func whoIsNotWantedHasNoRightPassword() throws {
        var randomness = Randomness.seeded(1)
        var (server, identifier) = try self.server(.ttls, .exactly(Identity("ann")!), &randomness)
        _ = try hear(attributes([TunnelAttribute(.userPassword, [65])]), &server, identifier, &randomness)
        guard case .fail = server.judge(UserAnswer(response: []), &randomness) else {
            Issue.record("let in")
            return
        }
    }

    @Test func challengesAreTLSsOwn() throws {
        var randomness = Randomness.seeded(1)
        var (server, identifier) = try self.server(.ttls, .any, &randomness)
        let own = Array(challenge.prefix(16))
        let exchange = MSCHAPv2.Exchange(
            userName: Array("joe".utf8), authenticatorChallenge: own, peerChallenge: [UInt8](repeating: 3, count: 16))
        let answer = try #require(UserAnswer(.mschapv2(exchange), password: password))
        let value = [17, 0] + exchange.peerChallenge + [UInt8](repeating: 0, count: 8) + answer.response
        let step = try hear(
            attributes([TunnelAttribute(.msCHAPChallenge, own), TunnelAttribute(.msCHAP2Response, value)]), &server,
            identifier, &randomness)
        guard case .judge(let proof, _) = step, proof == UserProof(.mschapv2(exchange), response: answer.response)
        else {
            Issue.record("\(step)")
            return
        }
        // The gateway shows inside that it has the password too, and then the user has the last word.
        guard case .tunnel(.plaintext(let shown)) = server.judge(answer, &randomness) else {
            Issue.record("nothing is shown")
            return
        }
        let success = try TunnelAttribute.parse(shown.exposed)
        #expect(success.map(\.code) == [.msCHAP2Success] && success[0].data == [17] + answer.confirmation)
        guard case .send(let last) = server.take(TunnelProgress(records: [23, 1]), &randomness),
            case .succeed(_, let user, let key) = try server.receive(
                packet(.ttls, last[1], TunnelFraming.empty), &randomness)
        else {
            Issue.record("no success")
            return
        }
        #expect(user == Identity("joe") && key == facts.keys[0..<64])
    }

    @Test func whatIsNoProofFails() throws {
        var randomness = Randomness.seeded(1)
        let stale = TunnelAttribute(.chapChallenge, [UInt8](repeating: 0, count: 16))
        let chap = TunnelAttribute(.chapPassword, [17] + [UInt8](repeating: 0, count: 16))
        for octets: [UInt8] in [
            [1], attributes([]), attributes([stale, chap]), TunnelAttribute(.userPassword, [1]).octets,
            TunnelAttribute(.eapMessage, [1, 1, 0, 4]).octets, TunnelAttribute(.eapMessage, [2]).octets,
        ] {
            var (server, identifier) = try self.server(.ttls, .any, &randomness)
            let step = try hear(octets, &server, identifier, &randomness)
            guard case .fail = step else {
                Issue.record("\(octets): \(step)")
                continue
            }
        }
    }

    /// A user that never says anything inside, and one that changes its method.
    @Test func silenceEnds() throws {
        var randomness = Randomness.seeded(1)
        var (server, identifier) = try self.server(.ttls, .any, &randomness)
        guard
            case .send(let again) = try server.receive(packet(.ttls, identifier, TunnelFraming.empty), &randomness)
        else {
            Issue.record("the user is not asked again")
            return
        }
        guard case .fail = try server.receive(packet(.ttls, again[1], TunnelFraming.empty), &randomness) else {
            Issue.record("asked for ever")
            return
        }
        var (other, last) = try self.server(.ttls, .any, &randomness)
        guard case .fail = try other.receive(packet(.peap, last, TunnelFraming.empty), &randomness) else {
            Issue.record("another method is taken")
            return
        }
    }

    /// However a user goes on and on, it is left.
    @Test func packetsAreCounted() throws {
        var randomness = Randomness.seeded(1)
        var server = EAPServer(.tls, user: Identity("joe")!, pattern: .any, &randomness)
        var identifier = server.start(&randomness)[1]
        for count in 0... {
            let part = packet(.tls, identifier, [TunnelFraming.moreFlag, 1])
            switch try server.receive(part, &randomness) {
            case .send(let octets): identifier = octets[1]
            case .fail(_, _, let reason):
                #expect(count == EAPServer.maximumTunnelPackets && reason == "the user sends packet after packet")
                return
            default:
                Issue.record("something else")
                return
            }
        }
    }
}
