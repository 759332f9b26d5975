import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Session resumption (RFC 5723) between two sessions that have nothing but what a ticket holds.
@Suite struct ResumptionTests {
    private static let secret = Secret(Array(repeating: 9, count: 32))

    private static func connections(
        gateway change: (inout Connection) -> Void = { _ in }
    ) -> (Connection, Connection) {
        var one = Pair.connection(isLeft: true)
        one.resumes = true
        var other = Pair.connection(isLeft: false)
        other.resumes = true
        change(&other)
        return (one, other)
    }

    private static func pair(_ connections: (Connection, Connection), seed: UInt64 = 1) -> Pair {
        var pair = Pair(connections.0, connections.1, seed: seed)
        pair[.responder].environment.tickets.secret = secret
        return pair
    }

    /// Both ends after `first`, with nothing left but their tickets.
    private static func again(
        _ first: Pair, _ connections: (Connection, Connection)? = nil, at now: Duration = .zero
    ) -> Pair {
        var pair = Self.pair(connections ?? Self.connections(), seed: 99)
        pair.now = first.now + now
        for side in Pair.Side.allCases { pair[side].environment.tickets = first[side].environment.tickets }
        pair.establish()
        pair.reopenResponder()
        return pair
    }

    /// The types of the exchanges that the initiator began.
    private func exchanges(_ pair: Pair) -> [UInt8] {
        var seen: Set<[UInt8]> = []
        return pair.initiator.sent.filter {
            $0.octets.count >= 28 && seen.insert(Array($0.octets[0..<8] + $0.octets[18..<24])).inserted
        }.map { $0.octets[18] }
    }

    private func stands(_ pair: Pair) -> Bool {
        pair.initiator.events.contains(.established) && pair.responder.events.contains(.established)
            && pair.disagreements == [] && pair.initiator.usable.count == 1
    }

    private func isResumed(_ pair: Pair) -> Bool {
        pair.responder.events.contains(.note("resumed with a ticket"))
            && pair.initiator.events.contains(.note("resumed with a ticket"))
    }

    private static func established() -> Pair {
        var pair = Self.pair(Self.connections())
        pair.establish()
        return pair
    }

    @Test func aSessionGoesOn() throws {
        let first = Self.established()
        #expect(stands(first) && exchanges(first) == [34, 35])
        var pair = Self.again(first)
        #expect(stands(pair) && isResumed(pair) && exchanges(pair) == [38, 35])
        #expect(pair.initiator.session.current?.keys.all == pair.responder.session.current?.keys.all)
        #expect(pair.initiator.session.current?.keys.all != first.initiator.session.current?.keys.all)
        // It is a session like any other: rekeyed, and resumed again.
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.run(for: .seconds(30))
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        let third = Self.again(pair)
        #expect(stands(third) && isResumed(third))
    }

    /// Both ends must know of the same further key exchanges, for a rekeying that repeats what was agreed.
    @Test(arguments: [false, true]) func furtherKeyExchangesAreKept(optimizes: Bool) throws {
        var connections = Self.connections()
        let ike = MultipleKeyExchangeTests.proposal(Pair.aes, .curve25519, [[.mlkem768]])
        connections.0.proposals = [ike]
        connections.1.proposals = [ike]
        connections.0.optimizesRekeying = optimizes
        connections.1.optimizesRekeying = optimizes
        var first = Self.pair(connections)
        first.establish()
        var pair = Self.again(first, connections)
        #expect(stands(pair) && isResumed(pair))
        let suite = try #require(pair.initiator.session.current?.suite)
        #expect(suite.furtherKeyExchanges == [.mlkem768] && pair.responder.session.current?.suite == suite)
        for side in Pair.Side.allCases {
            let before = pair[side].session.current?.initiatorSPI
            pair.give(.command(.rekeyIKE), to: side)
            pair.settle()
            #expect(pair[side].session.current?.initiatorSPI != before && stands(pair))
            #expect(pair[side].session.current?.suite == suite)
        }
    }

    @Test func theTicketFollowsTheKeys() throws {
        var first = Self.established()
        let old = first.initiator.environment.tickets
        first.give(.command(.rekeyIKE), to: .initiator)
        first.settle()
        let pair = Self.again(first)
        #expect(stands(pair) && isResumed(pair))
        // The one from before is still good for itself.
        first[.initiator].environment.tickets = old
        #expect(isResumed(Self.again(first)))
    }

    @Test func aTicketIsGoodOnce() {
        let first = Self.established()
        let pair = Self.again(first)
        #expect(isResumed(pair))
        // The client forgot that it used it; the gateway did not.
        var forgetful = pair
        forgetful[.initiator].environment.tickets = first.initiator.environment.tickets
        let again = Self.again(forgetful)
        #expect(stands(again) && !isResumed(again) && exchanges(again) == [38, 34, 35])
    }

    @Test func anotherConnectionIsNotResumed() {
        let first = Self.established()
        let changes: [(inout Connection) -> Void] = [
            { $0.resumes = false }, { $0.name = "other" },
            { $0.proposals[0].encryption = [Encryption(.aesGCM16, keyBits: 256)] },
            { $0.remoteIdentity = .exactly(Identity("another.example")!) },
            { $0.localIdentity = Identity("gateway.example") },
            { $0.remote = [AuthenticationRound(.extensible(.md5))] },
        ]
        for change in changes {
            let pair = Self.again(first, Self.connections(gateway: change))
            #expect(!isResumed(pair) && exchanges(pair).prefix(2) == [38, 34])
        }
    }

    @Test func whoDeletesTheSATakesTheTicketAlong() {
        for side in Pair.Side.allCases {
            var first = Self.established()
            let held = first.initiator.environment.tickets
            first.give(.command(.delete), to: side)
            first.settle()
            let pair = Self.again(first)
            #expect(stands(pair) && exchanges(pair) == [34, 35])
            first[.initiator].environment.tickets = held
            #expect(exchanges(Self.again(first)) == [38, 34, 35])
        }
    }

    @Test func ticketsExpire() {
        let first = Self.established()
        #expect(exchanges(Self.again(first, at: .seconds(Ticket.maximumLifetime + 1))) == [34, 35])
        // A client whose clock stands still.
        var late = first
        late[.responder].environment.tickets.epoch = Ticket.maximumLifetime + 1
        #expect(exchanges(Self.again(late)) == [38, 34, 35])
        var other = first
        other[.responder].environment.tickets.secret = Secret(Array(repeating: 8, count: 32))
        // The pair sets its own secret; the copy brings the other one.
        #expect(exchanges(Self.again(other)) == [38, 34, 35])
    }

    @Test func aGatewayThatDoesNotKnowItIsMetTheOldWay() {
        // It gives no ticket.
        let none = Self.pair(Self.connections { $0.resumes = false })
        var pair = none
        pair.establish()
        #expect(stands(pair) && exchanges(Self.again(pair)) == [34, 35])
        // It does not even answer.
        let first = Self.established()
        var deaf = Self.pair(Self.connections(), seed: 99)
        deaf[.initiator].environment.tickets = first.initiator.environment.tickets
        deaf.network = { _, _, datagram in datagram.octets.count > 18 && datagram.octets[18] == 38 ? [] : [datagram] }
        deaf.establish()
        deaf.run(for: .seconds(60))
        #expect(stands(deaf) && !isResumed(deaf))
        #expect(exchanges(deaf) == [38, 34, 35])
        #expect(deaf.initiator.sent.count { $0.octets[18] == 38 } == ResumptionRequest.maximumTries)
    }

    @Test func aStolenTicketIsNoUse() throws {
        let first = Self.established()
        var thief = first
        var tickets = first.initiator.environment.tickets
        let held = tickets.take("left", now: first.now)
        var ticket = try #require(held)
        ticket.derivation = Secret(Array(repeating: 0, count: 32))
        tickets.hold(ticket, for: "left")
        thief[.initiator].environment.tickets = tickets
        let pair = Self.again(thief)
        #expect(!pair.responder.events.contains(.established) && pair.responder.inbound.isEmpty)
    }

    @Test func everyBitOfATicketCounts() throws {
        let sealed = try Self.ticket.sealed(
            identifier: Array(repeating: 4, count: Ticket.identifierOctets), secret: Self.secret, now: 1000)
        let (opened, identifier) = try Ticket.open(sealed, secret: Self.secret, now: 1000)
        #expect(identifier == Array(repeating: 4, count: 16) && opened.connection == "gw" && opened.expires == 5000)
        #expect(opened.suite == Self.ticket.suite && opened.derivation == Self.ticket.derivation)
        #expect(opened.initiator == Self.ticket.initiator && opened.user == nil && opened.method == "m")
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 0x10
            #expect(throws: Fault.self) { try Ticket.open(changed, secret: Self.secret, now: 1000) }
        }
        for count in 0..<sealed.count {
            #expect(throws: Fault.self) { try Ticket.open(Array(sealed.prefix(count)), secret: Self.secret, now: 1000) }
        }
        #expect(throws: Fault.self) { try Ticket.open(sealed, secret: Self.secret, now: 5000) }
        #expect(throws: Fault.self) { try Ticket.open(sealed, secret: Self.secret, now: 1000 + 2 * 86_400) }
        let text = String(describing: opened)
        #expect(!text.contains("1, 1, 1"))
    }

    private static var ticket: Ticket {
        var suite = Suite(encryption: Encryption(.aesCBC, keyBits: 128))
        suite.integrity = .hmacSHA256_128
        suite.prf = .hmacSHA256
        suite.keyExchange = .curve25519
        suite.additionalKeyExchanges = [.none, .mlkem768]
        return Ticket(
            connection: "gw", suite: suite, derivation: Secret(Array(repeating: 1, count: 32)),
            initiator: Identity("left.example")!, responder: Identity("right.example")!, user: nil, method: "m",
            expires: 5000)
    }

    @Test func spentTicketsAreBounded() {
        var tickets = SessionTickets()
        var refused = 0
        for number in 0..<SessionTickets.maximumSpent {
            if !tickets.spend([UInt8(number >> 8), UInt8(number & 0xFF)], expires: 10, now: 0) { refused += 1 }
        }
        #expect(refused == 0)
        let (full, again) = (
            tickets.spend([1, 2, 3], expires: 10, now: 0), tickets.spend([0, 0], expires: 10, now: 0)
        )
        let later = tickets.spend([1, 2, 3], expires: 20, now: 11)
        #expect(!full && !again && later)
    }

    @Test func aCookieIsReturned() throws {
        let first = Self.established()
        var pair = Self.pair(Self.connections(), seed: 99)
        for side in Pair.Side.allCases { pair[side].environment.tickets = first[side].environment.tickets }
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let request = try #require(pair.wire.popLast()?.datagram.mirrored)
        let challenge = try #require(StatelessCookie.challenge(request, secret: Self.secret))
        pair.give(.datagram(challenge.mirrored), to: .initiator)
        let again = try #require(pair.wire.last?.datagram.mirrored)
        #expect(StatelessCookie.verify(again, secret: Self.secret) == .address && again.octets[18] == 38)
        pair.settle()
        #expect(stands(pair) && isResumed(pair))
    }

    /// Against an implementation of HMAC-SHA-256 and prf+ of its own.
    @Test func keysAreTheRFCs() throws {
        let contributions = KeySchedule.Public(
            initiatorNonce: Array(repeating: 2, count: 32), responderNonce: Array(repeating: 3, count: 32),
            initiatorSPI: 5, responderSPI: 6)
        let (keys, proofs) = try KeySchedule.resumed(
            Self.ticket.suite, derivation: Self.ticket.derivation, contributions)
        func secret(_ text: String) -> Secret { Secret([UInt8](hex: text) ?? []) }
        #expect(
            keys.derivation(Self.ticket.suite)
                == secret("141a0e0454c9161100f5a67f16332d0ba87f2dda4708de293fbd802680c0dafc"))
        #expect(proofs.initiator == secret("25fab50882ea0fea7e08e61f94543a9c97287881e9665c43d0406f11b5ee25dd"))
        #expect(proofs.responder == secret("195de8b0970f1c070c86b1b0a17e968a3128b60fde729b8868e676e8eff34ffa"))
    }
}
