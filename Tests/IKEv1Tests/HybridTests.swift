import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// draft-ietf-ipsec-isakmp-hybrid-auth-05: the gateway signs, and the host has nothing but a user.
@Suite struct HybridTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var method: Pair.Method
        /// The end with the user.
        var host: Pair.Side
        var number: UInt16
        var testDescription: String { "\(number), \(method.isAggressive ? "Aggressive" : "Main") Mode" }

        static let all: [Case] = Pair.Method.all.flatMap { method in
            let numbers: [UInt16]
            switch method.number {
            case .rsaSignature: numbers = [64_221, 64_222]
            case .dssSignature: numbers = [64_223, 64_224]
            default: numbers = []
            }
            return zip(numbers, Pair.Side.allCases).map { Case(method: method, host: $1, number: $0) }
        }
    }

    private static let hostName = Identity("laptop.example")!

    private static func pair(
        _ item: Case, password: String = "foobar", known: [Pair.Side: String] = [:],
        gateway change: (inout Connection) -> Void = { _ in }
    ) throws -> Pair {
        func hybrid(_ side: Pair.Side) -> (inout Connection) -> Void {
            { connection in
                if side == item.host {
                    connection.local = [
                        AuthenticationRound(.extendedAuthentication, identity: .exactly(RemoteAccess.user))
                    ]
                    connection.local[0].hostIdentity = hostName
                } else {
                    connection.remote = [AuthenticationRound(.extendedAuthentication)]
                }
            }
        }
        var pair = try Pair.withKeys(
            item.method, known: known,
            initiator: {
                hybrid(.initiator)(&$0)
                if item.host == .responder { change(&$0) }
            },
            responder: {
                hybrid(.responder)(&$0)
                if item.host == .initiator { change(&$0) }
            })
        pair[item.host].passwords = [RemoteAccess.user: password]
        pair[item.host.other].passwords = [RemoteAccess.user: "foobar"]
        return pair
    }

    @Test(arguments: Case.all) func theGatewaySignsAndTheUserFollows(_ item: Case) throws {
        #expect(Case.all.count == 8)
        var pair = try Self.pair(item)
        pair.establish()
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil && pair[side].usable.count == 1)
            #expect(pair[side].events.count { $0 == .established } == 1)
        }
        #expect(pair.disagreements == [])
        let gateway = pair[item.host.other].session.snapshot
        #expect(gateway.remoteUser == RemoteAccess.user && gateway.remoteIdentity == Self.hostName)
        #expect(pair[item.host].session.snapshot.localUser == RemoteAccess.user)
        // One signature was made and one was checked.
        func asks(_ side: Pair.Side) -> [String] {
            pair[side].questions.compactMap {
                switch $0 {
                case .sign: "sign"
                case .verifySignature: "verify"
                default: nil
                }
            }
        }
        #expect(asks(item.host) == ["verify"] && asks(item.host.other) == ["sign"])
        let offered = try #require(pair.initiator.sent.first).octets
        let attribute: [UInt8] = [0x80, 3, UInt8(item.number >> 8), UInt8(item.number & 0xFF)]
        #expect(offered.indices.dropLast(3).contains { Array(offered[$0..<($0 + 4)]) == attribute })
    }

    @Test(arguments: Case.all) func aWrongPasswordLetsNobodyIn(_ item: Case) throws {
        var pair = try Self.pair(item, password: "wrong")
        pair.establish()
        let gateway = pair[item.host.other]
        #expect(gateway.refusals == [.userAuthentication(user: RemoteAccess.user)])
        #expect(!gateway.events.contains(.established) && gateway.installed.isEmpty)
        #expect(pair[item.host].installed.isEmpty)
        RemoteAccess.expectNothingLeft(&pair)
    }

    /// The host gives no password to who signs with another key than the gateway's.
    @Test(arguments: Case.all.filter { $0.method.number == .rsaSignature })
    func aFalseGatewayLearnsNothing(_ item: Case) throws {
        var pair = try Self.pair(item, known: [item.host: "rsa-other"])
        pair.establish()
        pair.run(for: .seconds(600))
        #expect(pair[item.host].asked.isEmpty && pair[item.host.other].asked.isEmpty)
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
    }

    /// A gateway that wants hosts to sign as well takes no host that does not.
    @Test func hybridIsNoWayAroundSignatures() throws {
        for item in Case.all where item.host == .initiator {
            var pair = try Self.pair(item) {
                $0.remote = [
                    AuthenticationRound(item.method.authentication), AuthenticationRound(.extendedAuthentication),
                ]
            }
            pair.establish()
            #expect(pair.responder.installed.isEmpty && pair.responder.asked.isEmpty)
            #expect(!pair.responder.events.contains(.established) && pair.initiator.closed != nil)
        }
    }

    /// While the user has not passed, the host's claim moves nothing: no Quick Mode, no configuration.
    @Test func nothingBeforeTheUser() throws {
        for item in Case.all where item.host == .initiator {
            var pair = try Self.pair(item)
            // The host never answers what it is asked.
            pair.network = { side, _, datagram in
                side == .initiator && datagram.octets[18] == 6 ? [] : [datagram]
            }
            pair.establish()
            #expect(pair.responder.session.phaseOne != nil && !pair.responder.session.isOpenToPeer)
            let request = AttributesPayload(.request, identifier: 7, attributes: [DataAttribute(1, octets: [])])
            let before = pair.responder.sent.count
            pair.give(.datagram(try RemoteAccess.forge(request, from: .initiator, pair)), to: .responder)
            #expect(pair.responder.sent.count == before)
            #expect(!pair.responder.events.contains(.established))
            #expect(pair.responder.environment.leases.leases(of: "pool").isEmpty)
        }
    }
}
