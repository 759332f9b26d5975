import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Several rounds of authentication in one IKE_AUTH (RFC 4739), each with its own identity, both ends.
@Suite struct MultipleAuthenticationTests {
    static let psk = AuthenticationMethod.preSharedKey
    static let key = AuthenticationMethod.publicKey(KeyConstraint())
    static let mschapv2 = AuthenticationMethod.extensible(.mschapv2)

    struct Case: Sendable, CustomTestStringConvertible {
        var host: [AuthenticationMethod]
        var gateway: [AuthenticationMethod]
        /// IKE_AUTH requests.
        var requests: Int
        var testDescription: String {
            "\(host.map(\.keyword).joined(separator: " ")) | \(gateway.map(\.keyword).joined(separator: " "))"
        }
    }

    static let cases = [
        // RFC 4739 §2.2 to §2.5.
        Case(host: [mschapv2, .extensible(.md5)], gateway: [key], requests: 5 + 4),
        Case(host: [key, mschapv2], gateway: [key], requests: 1 + 5),
        Case(host: [key, key], gateway: [key], requests: 2),
        Case(host: [key], gateway: [key, key], requests: 2),
        Case(host: [psk, key], gateway: [psk], requests: 2),
        Case(host: [psk, psk, key], gateway: [key, psk], requests: 3),
        Case(host: [psk], gateway: [psk, key, psk], requests: 3),
        Case(host: [mschapv2, psk], gateway: [key], requests: 5 + 1),
        Case(host: [mschapv2], gateway: [key, psk], requests: 5),
        // EAP is over before the gateway's last round is.
        Case(host: [.extensible(.md5)], gateway: [key, psk, key, psk, key], requests: 4 + 2),
        Case(host: [key, .extensible(.gtc)], gateway: [key, psk, key], requests: 1 + 4),
        Case(host: [psk, mschapv2, key], gateway: [psk, key], requests: 1 + 5 + 1),
    ]

    /// A name for the round of an end; a user's for EAP.
    static func name(_ end: String, _ index: Int) -> Identity { Identity("\(end)-\(index + 1).example")! }

    static func rounds(_ methods: [AuthenticationMethod], _ end: String, isOwn: Bool) -> [AuthenticationRound] {
        methods.enumerated().map { index, method in
            var round = AuthenticationRound(method, identity: .exactly(name(end, index)))
            if method.userMethod != nil {
                round.userIdentity = isOwn ? .exactly(Identity("user\(index + 1)")!) : .any
            }
            return round
        }
    }

    private func pair(
        _ each: Case, host changeHost: (inout Connection) -> Void = { _ in },
        gateway changeGateway: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var host = Pair.connection(isLeft: true)
        var gateway = Pair.connection(isLeft: false)
        host.local = Self.rounds(each.host, "left", isOwn: true)
        host.remote = Self.rounds(each.gateway, "right", isOwn: false)
        gateway.local = Self.rounds(each.gateway, "right", isOwn: true)
        gateway.remote = Self.rounds(each.host, "left", isOwn: false)
        changeHost(&host)
        changeGateway(&gateway)
        var pair = Pair(host, gateway)
        for side in Pair.Side.allCases {
            for index in 1...3 { pair[side].passwords[Identity("user\(index)")!] = "password \(index)" }
        }
        return pair
    }

    private func expectNothing(_ pair: inout Pair) {
        pair.run(for: .seconds(300))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil && pair[side].installed.isEmpty && pair[side].claimed.isEmpty)
            #expect(pair[side].environment.spisInUse.isEmpty)
        }
        #expect(!pair.responder.events.contains(.established))
    }

    private func authentications(_ pair: Pair) -> Int {
        Set(
            pair.initiator.sent.filter { $0.octets.count >= 28 && $0.octets[18] == 35 }.map {
                Array($0.octets[20..<24])
            }
        )
        .count
    }

    @Test(arguments: cases) func allRoundsAreDone(_ each: Case) throws {
        var pair = pair(each)
        pair.establish()
        #expect(pair.initiator.events.contains(.established) && pair.responder.events.contains(.established))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        #expect(authentications(pair) == each.requests)
        // Both are who they were last.
        let (left, right) = (Self.name("left", each.host.count - 1), Self.name("right", each.gateway.count - 1))
        let (here, there) = (pair.initiator.session.snapshot, pair.responder.session.snapshot)
        #expect(here.localIdentity == left && here.remoteIdentity == right)
        #expect(there.localIdentity == right && there.remoteIdentity == left)
        // The last user is whom it is about.
        let user = each.host.lastIndex { $0.userMethod != nil }.flatMap { Identity("user\($0 + 1)") }
        #expect(here.localUser == user && there.remoteUser == user)
        // Each round signs by its own section.
        let signed = each.host.indices.filter { each.host[$0] == Self.key }.map { Self.name("left", $0) }
        #expect(pair.initiator.signings.map(\.identity) == signed)
        #expect(pair.responder.verifications.map(\.identity) == signed)
        for side in Pair.Side.allCases {
            pair.give(.command(.rekeyIKE), to: side)
            pair.settle()
            #expect(pair[side].events.contains(.rekeyedIKE) && pair.disagreements == [])
        }
    }

    /// Datagrams that come twice change nothing.
    @Test(arguments: cases) func repeatedMessagesAreAnsweredAlike(_ each: Case) {
        var pair = pair(each)
        pair.network = { _, _, datagram in [datagram, datagram] }
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(pair.responder.session.snapshot.remoteIdentity == Self.name("left", each.host.count - 1))
    }

    /// With further key exchanges all proofs cover IKE_INTERMEDIATE and the number of the first IKE_AUTH (RFC 9242 §3.3.2).
    @Test(arguments: cases) func proofsCoverWhatCameBefore(_ each: Case) throws {
        var further = Pair.aes
        further.additionalKeyExchanges = [[.mlkem768]]
        var pair = pair(each, host: { $0.proposals = [further] }, gateway: { $0.proposals = [further] })
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(pair.initiator.session.rounds.firstMessageID == 2 && pair.responder.session.rounds.firstMessageID == 2)
    }

    /// A post-quantum key that the first round mixes in proves the others too (RFC 8784 §3).
    @Test(arguments: [Case(host: [psk, mschapv2], gateway: [psk, key], requests: 6), cases[5]], [false, true])
    func postquantumKeysStay(_ each: Case, early: Bool) throws {
        func mix(_ connection: inout Connection) {
            connection.postquantumKey = Identity(.keyID, octets: Array("quantum".utf8))
            connection.requiresPostquantumKey = true
            connection.mixesKeyEarly = early
        }
        var pair = pair(each, host: mix, gateway: mix)
        for side in Pair.Side.allCases { pair[side].postquantum = ["quantum": [1, 2, 3]] }
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(pair.initiator.session.hasPostquantumKey && pair.responder.session.hasPostquantumKey)
        let keys = try #require(pair.initiator.session.current?.keys.all)
        #expect(keys == pair.responder.session.current?.keys.all)
    }

    /// The same where the gateway does not have the key: what was proved without it in the first round is without it in all.
    @Test func aKeyThatTheGatewayHasNotIsLeftOut() {
        var pair = pair(
            Self.cases[5],
            host: {
                $0.postquantumKey = Identity(.keyID, octets: Array("quantum".utf8))
                $0.mixesKeyEarly = false
            }, gateway: { $0.mixesKeyEarly = false })
        pair[.initiator].postquantum = ["quantum": [1, 2, 3]]
        pair.establish()
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        #expect(!pair.initiator.session.hasPostquantumKey && !pair.responder.session.hasPostquantumKey)
    }

    // MARK: Ends that do not agree

    private func refusals(_ end: Pair.End) -> [Refusal] {
        end.events.compactMap { if case .refused(_, let refusal) = $0 { refusal } else { nil } }
    }

    /// `multiple_authentication = no`: neither announced nor taken.
    @Test(arguments: [Pair.Side.initiator, .responder])
    func anEndMayKnowOneRoundOnly(side: Pair.Side) {
        var pair = pair(Self.cases[4])
        pair[side].environment.settings.takesFurtherRounds = false
        pair.establish()
        let fault = Refusal.rounds(RoundFault(.unaware, isOurs: true, number: 2, method: "pubkey"))
        #expect(refusals(pair.initiator).first == fault)
        expectNothing(&pair)
    }

    /// Neither end lets the other in by the first round alone.
    @Test func anEndThatKnowsOneRoundOnlyIsRefused() {
        var pair = pair(
            Self.cases[4], gateway: { $0.remote.removeLast() })
        pair.establish()
        #expect(refusals(pair.initiator) == [.rounds(RoundFault(.unaware, isOurs: true, number: 2, method: "pubkey"))])
        expectNothing(&pair)
        var other = self.pair(Self.cases[4], host: { $0.local.removeLast() })
        other.establish()
        #expect(
            refusals(other.responder) == [.rounds(RoundFault(.unaware, isOurs: false, number: 2, method: "pubkey"))])
        #expect(refusals(other.initiator) == [.peer(notification: 24, name: "AUTHENTICATION_FAILED")])
        expectNothing(&other)
        var third = self.pair(Self.cases[3], host: { $0.remote.removeLast() })
        third.establish()
        #expect(refusals(third.responder).contains { if case .rounds = $0 { true } else { false } })
        expectNothing(&third)
    }

    @Test(arguments: [[psk, key, mschapv2], [psk, key, key], [psk, mschapv2, key]])
    func aRoundTooFewOrTooManyIsNamed(_ methods: [AuthenticationMethod]) {
        let each = Case(host: methods, gateway: [Self.psk], requests: 0)
        var few = pair(each, host: { $0.local.removeLast() })
        few.establish()
        let last = methods[2].keyword
        #expect(refusals(few.responder) == [.rounds(RoundFault(.missing, isOurs: false, number: 3, method: last))])
        #expect(refusals(few.initiator) == [.peer(notification: 24, name: "AUTHENTICATION_FAILED")])
        expectNothing(&few)
        var many = pair(each, gateway: { $0.remote.removeLast() })
        many.establish()
        #expect(refusals(many.responder) == [.rounds(RoundFault(.surplus, isOurs: false, number: 3))])
        expectNothing(&many)
    }

    /// The gateway's rounds count as much: the host leaves, and says so.
    @Test func theGatewaysRoundsAreCounted() {
        let each = Case(host: [Self.psk, Self.psk], gateway: [Self.psk, Self.key], requests: 0)
        var few = pair(each, gateway: { $0.local.removeLast() })
        few.establish()
        #expect(refusals(few.initiator) == [.rounds(RoundFault(.missing, isOurs: false, number: 2, method: "pubkey"))])
        #expect(refusals(few.responder) == [.peer(notification: 24, name: "AUTHENTICATION_FAILED")])
        expectNothing(&few)
        var many = pair(each, host: { $0.remote.removeLast() })
        many.establish()
        #expect(refusals(many.initiator) == [.rounds(RoundFault(.surplus, isOurs: false, number: 2))])
        expectNothing(&many)
    }

    @Test func aSecondRoundThatProvesNothingLetsNobodyIn() {
        let wrong = Array("wrong".utf8)
        let keyed = Case(host: [Self.key, Self.psk], gateway: [Self.key, Self.psk], requests: 0)
        var host = pair(keyed)
        host[.initiator].keys = [Self.name("left", 1): wrong]
        host.establish()
        #expect(refusals(host.responder) == [.authentication(peer: Self.name("left", 1))])
        expectNothing(&host)
        var gateway = pair(keyed)
        gateway[.responder].keys = [Self.name("right", 1): wrong]
        gateway.establish()
        #expect(refusals(gateway.initiator) == [.authentication(peer: Self.name("right", 1))])
        gateway.run(for: .seconds(300))
        #expect(gateway.initiator.closed != nil && gateway.initiator.installed.isEmpty)
        var user = pair(Self.cases[1])
        user[.initiator].passwords[Identity("user2")!] = "wrong"
        user.establish()
        #expect(refusals(user.responder) == [.userAuthentication(user: Identity("user2")!)])
        expectNothing(&user)
        var stranger = pair(keyed, host: { $0.local[1].identity = .exactly(Identity("stranger.example")!) })
        stranger.establish()
        #expect(
            refusals(stranger.responder) == [
                .identity(wanted: [.exactly(Self.name("left", 1))], seen: Identity("stranger.example")!)
            ])
        expectNothing(&stranger)
    }

    /// Our second round failed at a gateway that has a third: it hears so between its own rounds.
    @Test func whoLeavesBetweenRoundsIsHeard() {
        let each = Case(host: [Self.psk], gateway: [Self.psk, Self.key, Self.psk], requests: 0)
        var pair = pair(each)
        pair[.responder].keys = [Self.name("right", 0): Array("wrong".utf8)]
        pair.establish()
        #expect(refusals(pair.initiator) == [.authentication(peer: Self.name("right", 0))])
        #expect(refusals(pair.responder) == [.peer(notification: 24, name: "AUTHENTICATION_FAILED")])
        expectNothing(&pair)
    }

    /// What is wrong with the child leaves the IKE SA, also in a last message that has no AUTH.
    @Test(arguments: [cases[2], cases[1]]) func aRefusedChildLeavesTheSA(_ each: Case) {
        var pair = pair(
            each,
            gateway: {
                $0.children[0].localSelectors = [Pair.selector("10.9.0.0/16")]
                $0.children[0].remoteSelectors = [Pair.selector("10.8.0.0/16")]
            })
        pair.establish()
        #expect(pair.initiator.session.isEstablished && pair.responder.session.isEstablished)
        #expect(pair.initiator.children.isEmpty)
        #expect(refusals(pair.initiator) == [.peer(notification: 38, name: "TS_UNACCEPTABLE")])
    }

    /// A peer that offers one round finds a connection with one, and a peer with two finds the other.
    @Test func connectionsAreToldApartByTheirRounds() {
        for isFurther in [false, true] {
            var host = Pair.connection(isLeft: true)
            var gateway = Pair.connection(isLeft: false)
            if isFurther { host.local.append(AuthenticationRound(Self.psk, identity: .exactly(Self.name("left", 1)))) }
            var further = gateway
            further.name = "further"
            further.remote.append(AuthenticationRound(Self.psk, identity: .exactly(Self.name("left", 1))))
            gateway.name = "plain"
            var pair = Pair(host, gateway)
            pair[.responder].environment.policies = PolicyDatabase(connections: [gateway, further])
            pair.establish()
            #expect(pair.responder.session.snapshot.connection == (isFurther ? "further" : "plain"))
            #expect(pair.responder.session.isEstablished)
        }
    }
}
