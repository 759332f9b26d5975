import Cryptography
import IPsec
import Primitives
import Testing

@testable import IKEv2

/// Announced authentication methods (RFC 9593).
@Suite struct AuthenticationAnnouncementTests {
    private func rounds(_ methods: [AuthenticationMethod]) -> [AuthenticationRound] {
        methods.map { AuthenticationRound($0) }
    }

    @Test func whatIsSaidIsWhatTheRoundsTake() throws {
        #expect(AuthenticationAnnouncement.data(rounds([.preSharedKey])) == [2, 2])
        #expect(AuthenticationAnnouncement.data(rounds([.null])) == [2, 13])
        let data = AuthenticationAnnouncement.data(rounds([.publicKey(KeyConstraint())]))
        let methods = try #require(AuthenticationAnnouncement.parse(data))
        #expect(Set(methods.map(\.method.rawValue)) == [14, 1, 9, 10, 11])
        // RFC 8420's identifier of Ed25519 in DER, behind length, method and no CA.
        let edwards: [UInt8] = [10, 14, 0, 0x30, 5, 6, 3, 0x2B, 0x65, 0x70]
        #expect(data.indices.contains { data[$0...].starts(with: edwards) })
        #expect(methods.contains(AnnouncedMethod(method: .digitalSignature, algorithmIdentifier: Array(edwards[3...]))))
    }

    @Test func brokenListsSayNothing() {
        #expect(AuthenticationAnnouncement.parse([]) == [])
        #expect(AuthenticationAnnouncement.parse([3, 9, 1]) == [AnnouncedMethod(method: .ecdsa256)])
        for data: [UInt8] in [[0], [1], [2], [3, 9], [2, 2, 200, 14], [0, 0, 0]] {
            #expect(AuthenticationAnnouncement.parse(data) == nil)
        }
        let many = [UInt8](repeating: 2, count: 2000)
        #expect(AuthenticationAnnouncement.parse(many)?.count == AuthenticationAnnouncement.maximumCount)
    }

    @Test(arguments: [false, true], [false, true]) func eachSideSaysItWhereItShall(_ left: Bool, _ right: Bool) {
        var connections = [Pair.connection(isLeft: true), Pair.connection(isLeft: false)]
        for (index, says) in [left, right].enumerated() {
            connections[index].announcesMethods = says
            connections[index].local[0].method = .publicKey(KeyConstraint())
            connections[index].remote[0].method = .publicKey(KeyConstraint())
        }
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(pair.initiator.signings.map { $0.announced != nil } == [right])
        #expect(pair.responder.signings.map { $0.announced != nil } == [left])
    }
}
