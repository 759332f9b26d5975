import Cryptography
import IPsec
import KeyManagement
import Primitives
import Testing

/// What key management says to messages of IKE SAs that are not here (RFC 6290).
@Suite struct CrashAnswerTests {
    private static func manager(_ secret: Secret?) -> KeyManager {
        var connection = Connection(name: "peer", proposals: [], children: [KeyManagerTests.child()])
        connection.remoteAddresses = [.range(KeyManagerTests.right, KeyManagerTests.right)]
        return KeyManager(
            engines: KeyManager.Engines(v1: ScriptedSession.self, v2: ScriptedSession.self),
            now: Instant(nanoseconds: 0), randomness: .seeded(1), policies: PolicyDatabase(connections: [connection]),
            standingSecret: secret, sourceAddress: { _ in KeyManagerTests.left })
    }

    private static let secret = Secret([UInt8](repeating: 7, count: 32))

    /// A protected INFORMATIONAL request of 80 octets.
    private static func request(initiator: UInt64, responder: UInt64, flags: UInt8 = 0x08) -> Input {
        var octets: [UInt8] = []
        octets.append(bigEndian: initiator)
        octets.append(bigEndian: responder)
        octets += [46, 0x20, 37, flags, 0, 0, 0, 5, 0, 0, 0, 80, 0, 0, 0, 52]
        octets += [UInt8](repeating: 9, count: 80 - octets.count)
        return .datagram(
            Datagram(
                local: Endpoint(KeyManagerTests.left, port: 500), remote: Endpoint(KeyManagerTests.right, port: 500),
                octets: octets))
    }

    @Test func whoKeepsASecretShowsTheToken() throws {
        var manager = Self.manager(Self.secret)
        let answers = KeyManagerTests.sent(
            manager.handle(Self.request(initiator: 1, responder: 2), now: KeyManagerTests.at(1)))
        let answer = try #require(answers.first)
        #expect(answers.count == 1 && answer.octets.count <= 80 && answer.remote.address == KeyManagerTests.right)
        #expect(manager.counters.unknownSPI == 1 && manager.residue.isEmpty)
        // After a restart it is the same.
        var restarted = Self.manager(Self.secret)
        let again = restarted.handle(Self.request(initiator: 1, responder: 2), now: KeyManagerTests.at(9))
        #expect(KeyManagerTests.sent(again) == answers)
        var without = Self.manager(nil)
        #expect(
            KeyManagerTests.sent(
                without.handle(Self.request(initiator: 1, responder: 2), now: KeyManagerTests.at(1))
            ).isEmpty)
    }

    @Test func noTokenOfALivingSAIsShown() throws {
        var manager = Self.manager(Self.secret)
        let accepted = manager.handle(
            .datagram(KeyManagerTests.firstMessage(from: KeyManagerTests.right, initiator: 5)),
            now: KeyManagerTests.at(0))
        let answer = try #require(KeyManagerTests.sent(accepted).first)
        let own = answer.octets[8..<16].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        // As if the SA's initiator were its responder.
        for request in [
            Self.request(initiator: own, responder: 5), Self.request(initiator: 5, responder: own, flags: 0),
        ] {
            let effects = manager.handle(request, now: KeyManagerTests.at(1))
            #expect(KeyManagerTests.sent(effects).isEmpty)
        }
    }

    @Test func answersAreFew() {
        var manager = Self.manager(Self.secret)
        var count = 0
        for number in 1...1000 {
            let request = Self.request(initiator: UInt64(number), responder: 2)
            count += KeyManagerTests.sent(manager.handle(request, now: KeyManagerTests.at(1))).count
        }
        #expect(count == 200)
        let later = manager.handle(Self.request(initiator: 1, responder: 2), now: KeyManagerTests.at(2))
        #expect(KeyManagerTests.sent(later).count == 1)
    }
}
