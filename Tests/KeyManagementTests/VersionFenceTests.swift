import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import KeyManagement

/// What a connection does not name is not answered: version 1, and Aggressive Mode with its exposed hash.
@Suite struct VersionFenceTests {
    private static let left = IPAddress(v4: 0xC000_0201)
    private static let right = IPAddress(v4: 0xC000_0202)

    private static func manager(
        _ own: IPAddress, _ peer: IPAddress, _ version: IKEVersion, isAggressive: Bool
    ) -> KeyManager {
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128], prf: [.hmacSHA256],
            keyExchange: [.curve25519])
        let esp = Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])
        var connection = Connection(
            name: "peer", proposals: [ike], children: [ChildPolicy(name: "net", proposals: [esp])])
        connection.version = version
        connection.localAddresses = [.range(own, own)]
        connection.remoteAddresses = [.range(peer, peer)]
        connection.isAggressive = isAggressive
        return KeyManager(
            now: Instant(nanoseconds: 1_000_000_000_000), randomness: .seeded(UInt64(own.octets[3])),
            policies: PolicyDatabase(connections: [connection]), sourceAddress: { _ in own })
    }

    /// The exchange of an initiator's first message, and what a responder sends in answer to it.
    private static func answers(
        _ initiator: (IKEVersion, isAggressive: Bool), _ responder: (IKEVersion, isAggressive: Bool)
    ) throws -> (asked: ExchangeType, answers: [Datagram]) {
        let now = Instant(nanoseconds: 1_000_000_000_000)
        let key = Secret(Array("a shared key".utf8))
        func sent(_ manager: inout KeyManager, _ first: Input) -> [Datagram] {
            var inputs = [first]
            var sent: [Datagram] = []
            while !inputs.isEmpty {
                for effect in manager.handle(inputs.removeFirst(), now: now) {
                    switch effect {
                    case .send(let datagram): sent.append(datagram)
                    case .ask(let id, .seed(let prf, _, _, let octets)):
                        let seed = try? PseudorandomFunction.derive(prf, key: key, [.open(octets)])
                        inputs.append(.answer(id, seed.map { .seed($0) } ?? .noCredential))
                    default: break
                    }
                }
            }
            return sent
        }
        var asking = manager(left, right, initiator.0, isAggressive: initiator.isAggressive)
        var answering = manager(right, left, responder.0, isAggressive: responder.isAggressive)
        let message = sent(&asking, .command(.initiate(connection: "peer", child: "net"), RequestID(1))).first
        let first = try #require(message)
        let answers = sent(
            &answering, .datagram(Datagram(local: first.remote, remote: first.local, octets: first.octets)))
        return (exchange(first), answers)
    }

    private static func exchange(_ datagram: Datagram) -> ExchangeType { ExchangeType(rawValue: datagram.octets[18]) }

    /// Whether it is an Informational Exchange whose first payload is a notification.
    private static func isNotification(_ datagram: Datagram) -> Bool {
        exchange(datagram) == .informational && datagram.octets[16] == PayloadType.notification.rawValue
    }

    @Test("version 1 is answered where the connection says 1 or 0, and not where it says 2")
    func versions() throws {
        for isAggressive in [false, true] {
            for version in [IKEVersion.v1, .any, .v2] {
                let (asked, answers) = try Self.answers((.v1, isAggressive), (version, isAggressive))
                #expect(asked == (isAggressive ? .aggressive : .identityProtection))
                #expect(answers.contains { Self.exchange($0) == asked } == (version != .v2))
                if version == .v2 { #expect(answers.allSatisfy(Self.isNotification)) }
            }
        }
    }

    @Test("Aggressive Mode is answered where the connection names it, and not otherwise")
    func aggressive() throws {
        #expect(try Self.answers((.v1, true), (.v1, true)).answers.contains { Self.exchange($0) == .aggressive })
        let refused = try Self.answers((.v1, true), (.v1, false)).answers
        #expect(refused.allSatisfy(Self.isNotification))
    }
}
