import Cryptography
import IPsec
import Primitives
import Testing

@testable import EAP

/// EAP between the two ends, and against peers that do not keep to it.
@Suite struct EAPTests {
    private let user = Identity("joe@example.org")!

    /// What the ends come to, with the packets that passed.
    private struct Outcome {
        var packets: [[UInt8]] = []
        var serverKey: Secret?
        var peerKey: Secret?
        var user: Identity?
        var failure: String?
        var refusal: String?
        var succeeded = false
    }

    private func run(
        _ method: UserMethod, peer peerMethod: UserMethod = .any, password: String = "clientPass",
        right: String = "clientPass", pattern: IdentityPattern = .any, knows: Bool = false, tampering: Int? = nil
    ) throws -> Outcome {
        var randomness = Randomness.seeded(3)
        var server = EAPServer(method, user: knows ? user : nil, pattern: pattern, &randomness)
        var peer = EAPPeer(peerMethod, user: user)
        var outcome = Outcome()
        var packet = server.start(&randomness)
        for _ in 0..<20 {
            outcome.packets.append(packet)
            if outcome.packets.count - 1 == tampering { packet[packet.count - 1] ^= 1; packet[9] ^= 1 }
            var step = try peer.receive(packet, &randomness)
            switch step {
            case .prove(let challenge): step = peer.prove(UserAnswer(challenge, password: Secret(Array(password.utf8))))
            case .password: step = peer.give(Secret(Array(password.utf8)))
            default: break
            }
            guard case .send(let answer) = step else {
                if case .succeed(let key) = step {
                    outcome.succeeded = true
                    outcome.peerKey = key
                }
                if case .fail(let reason) = step { outcome.refusal = reason }
                return outcome
            }
            outcome.packets.append(answer)
            var next = try server.receive(answer, &randomness)
            switch next {
            case .check(let given, _):
                next = server.judge(given == Secret(Array(right.utf8)) ? UserAnswer(response: []) : nil, &randomness)
            case .judge(let proof, _):
                let expected = try #require(UserAnswer(proof.challenge, password: Secret(Array(right.utf8))))
                next = server.judge(expected.response == proof.response ? expected : nil, &randomness)
            default: break
            }
            switch next {
            case .send(let request): packet = request
            case .succeed(let request, let user, let key):
                outcome.user = user
                outcome.serverKey = key
                packet = request
            case .fail(let request, let user, let reason):
                outcome.user = user
                outcome.failure = reason
                packet = request
            case .check, .judge, .relay, .tunnel: Issue.record("asked twice")
            }
        }
        return outcome
    }

    @Test(arguments: [UserMethod.md5, .gtc, .mschapv2], [true, false]) func usersAreKnown(
        _ method: UserMethod, knows: Bool
    ) throws {
        let outcome = try run(method, knows: knows)
        #expect(outcome.succeeded && outcome.user == user && outcome.failure == nil)
        if method == .mschapv2 {
            #expect(outcome.serverKey != nil && outcome.serverKey == outcome.peerKey && outcome.peerKey?.count == 64)
        } else {
            #expect(outcome.serverKey == nil && outcome.peerKey == nil)
        }
    }

    @Test(arguments: [UserMethod.md5, .gtc, .mschapv2]) func aWrongPasswordFails(_ method: UserMethod) throws {
        let outcome = try run(method, password: "another")
        #expect(!outcome.succeeded && outcome.refusal == "the peer refuses the user")
        #expect(outcome.failure == "the password is not right, or nobody has that name" && outcome.user == user)
        #expect(outcome.packets.last?.first == EAPPacket.Code.failure.rawValue)
        // Nothing that passed has the right password in it, nor the wrong one where it is not the method's to show.
        let all = String(decoding: outcome.packets.joined(), as: UTF8.self)
        #expect(!all.contains("clientPass"))
        if method != .gtc { #expect(!all.contains("another")) }
    }

    @Test func whoIsNotWantedFailsLikeWhoIsNotKnown() throws {
        let pattern = IdentityPattern.exactly(try #require(Identity("ann@example.org")))
        let outcome = try run(.mschapv2, pattern: pattern)
        let wrong = try run(.mschapv2, password: "another")
        #expect(!outcome.succeeded && outcome.failure == wrong.failure)
        #expect(outcome.packets.map(\.count) == wrong.packets.map(\.count))
    }

    @Test func aMethodThatIsNotWantedIsNamed() throws {
        let outcome = try run(.md5, peer: .mschapv2)
        #expect(outcome.failure == "the user does not want eap-md5")
        let nak = try #require(outcome.packets.last { $0.first == 2 })
        #expect(try EAPPacket(parsing: nak) == EAPPacket(.response, identifier: nak[1], type: .nak, data: [26]))
    }

    /// A gateway that does not have the password cannot pass for one that has.
    @Test func theGatewaysConfirmationCounts() throws {
        let outcome = try run(.mschapv2, tampering: 4)
        #expect(!outcome.succeeded && outcome.refusal == "the peer does not have the user's password")
    }

    @Test(arguments: [UserMethod.any, .mschapv2, .md5]) func successBeforeProofIsNone(_ method: UserMethod) throws {
        var randomness = Randomness.seeded(1)
        var peer = EAPPeer(method, user: user)
        let step = try peer.receive(EAPPacket(.success, identifier: 1).octets, &randomness)
        guard case .fail = step else {
            Issue.record("\(step)")
            return
        }
        // Behind the challenge, before the gateway has shown that it has the password.
        var second = EAPPeer(.mschapv2, user: user)
        let challenge = MSCHAPv2Packet(1, identifier: 7, [16] + [UInt8](repeating: 9, count: 16))
        let request = EAPPacket(.request, identifier: 7, type: .mschapv2, data: challenge.octets)
        guard case .prove(let asked) = try second.receive(request.octets, &randomness) else {
            Issue.record("no question")
            return
        }
        _ = second.prove(UserAnswer(asked, password: Secret([1, 2])))
        guard case .fail = try second.receive(EAPPacket(.success, identifier: 7).octets, &randomness) else {
            Issue.record("taken for success")
            return
        }
    }

    @Test func brokenPacketsAreErrorsOrFailures() throws {
        for octets: [UInt8] in [[], [1], [1, 2, 0], [9, 1, 0, 4], [1, 1, 0, 4], [1, 1, 0, 9, 1], [3, 1, 0, 3]] {
            #expect(throws: ParseError.self) { try EAPPacket(parsing: octets) }
        }
        // Octets behind the length are padding.
        #expect(try EAPPacket(parsing: [3, 7, 0, 4, 9, 9]) == EAPPacket(.success, identifier: 7))
        var randomness = Randomness.seeded(4)
        // Every cut and every flip of a right answer: no trap, and never success.
        for length in 0..<70 {
            for type: UInt8 in [1, 2, 4, 6, 26] {
                var server = EAPServer(.mschapv2, user: user, pattern: .any, &randomness)
                let identifier = server.start(&randomness)[1]
                let data = [UInt8](repeating: UInt8(length), count: length)
                let packet = EAPPacket(
                    .response, identifier: identifier, type: EAPPacket.MethodType(rawValue: type), data: data)
                if case .succeed = try server.receive(packet.octets, &randomness) { Issue.record("success") }
                var peer = EAPPeer(.any, user: user)
                let request = EAPPacket(
                    .request, identifier: 1, type: EAPPacket.MethodType(rawValue: type), data: data)
                if case .succeed = try peer.receive(request.octets, &randomness) { Issue.record("success") }
            }
        }
    }

    @Test func whoSendsAndSendsIsLeft() throws {
        var randomness = Randomness.seeded(4)
        var peer = EAPPeer(.any, user: user)
        let request = EAPPacket(.request, identifier: 1, type: .identity).octets
        for _ in 0..<EAPPeer.maximumPackets {
            guard case .send = try peer.receive(request, &randomness) else {
                Issue.record("left too early")
                return
            }
        }
        guard case .fail = try peer.receive(request, &randomness) else {
            Issue.record("never left")
            return
        }
    }
}

/// RFC 2759 §9.2 and RFC 3079 §3.5.3.
@Suite struct MSCHAPv2Tests {
    private let exchange = MSCHAPv2.Exchange(
        userName: Array("User".utf8),
        authenticatorChallenge: [
            0x5B, 0x5D, 0x7C, 0x7D, 0x7B, 0x3F, 0x2F, 0x3E, 0x3C, 0x2C, 0x60, 0x21, 0x32, 0x26, 0x26, 0x28,
        ],
        peerChallenge: [
            0x21, 0x40, 0x23, 0x24, 0x25, 0x5E, 0x26, 0x2A, 0x28, 0x29, 0x5F, 0x2B, 0x3A, 0x33, 0x7C, 0x7E,
        ])

    @Test func theRFCsValues() throws {
        let method = try #require(MSCHAPv2(password: Secret(Array("clientPass".utf8))))
        let response = try method.response(exchange)
        #expect(
            response == [
                0x82, 0x30, 0x9E, 0xCD, 0x8D, 0x70, 0x8B, 0x5E, 0xA0, 0x8F, 0xAA, 0x39, 0x81, 0xCD, 0x83, 0x54, 0x42,
                0x33, 0x11, 0x4A, 0x3D, 0x85, 0xD6, 0xDF,
            ])
        let confirmation = try method.confirmation(exchange, response: response)
        #expect(String(decoding: confirmation, as: UTF8.self) == "S=407A5589115FD0D6209F510FE9C04566932CDA56")
        // SendStartKey128 of the server.
        let key = try method.masterSessionKey(response: response).exposed
        #expect(
            key[16..<32] == [
                0x8B, 0x7C, 0xDC, 0x14, 0x9B, 0x99, 0x3A, 0x1B, 0xA1, 0x18, 0xCB, 0x15, 0x3F, 0x56, 0xDC, 0xCB,
            ])
        #expect(key.count == 64 && key[32...].allSatisfy { $0 == 0 })
        // A domain before the name does not count (RFC 2759 §4).
        var domain = exchange
        domain.userName = Array("DOMAIN\\User".utf8)
        #expect(try method.response(domain) == response)
    }

    @Test func passwordsThatCannotBe() {
        #expect(MSCHAPv2(password: Secret([0xC3, 0x28])) == nil)
        #expect(MSCHAPv2(password: Secret([UInt8](repeating: 0x61, count: 257))) == nil)
        #expect(MSCHAPv2(password: Secret(Array("pässwörd".utf8))) != nil)
        #expect(MSCHAPv2(password: Secret([])) != nil)
    }
}
