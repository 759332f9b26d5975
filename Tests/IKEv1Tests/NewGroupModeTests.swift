import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Groups of two ends' own: New Group Mode (RFC 2409 §5.6), and phase 1 with a group in full.
@Suite struct NewGroupModeTests {
    /// A safe prime of 1024 bits that no standard numbers.
    static let prime = [UInt8](
        hex: "be0b1d3f0a1c003652159ab99da5c2e46623db7dea06c9740247f8e0957c0f8fe94c11cabf3e1cc76e1be77e3564e47d"
            + "c9333639408e3fe16d5c0d561c48b8407d05d62b51a4cd0a55d0b8d1935c3fd06711f34e98dda5c88fd609daf48457c6"
            + "aa46e3ca67842a02c477308b24d155c528b7d0f8ce7b0d5077f02f41bc116157")!

    static let number = KeyExchangeID(rawValue: 40_000)

    static func group(_ number: KeyExchangeID = number, generator: UInt8 = 2) throws -> PrivateGroup {
        var randomness = Randomness.seeded(1)
        return try PrivateGroup(
            number, checking: PrimeGroup.Parameters(prime: prime, generator: [generator]), .authenticated, &randomness)
    }

    private static func connection(
        isLeft: Bool, groups: [PrivateGroup], accepts: Bool = false, isPhaseOne: Bool = false
    ) -> Connection {
        var connection = Pair.connection(
            isLeft: isLeft, ike: isPhaseOne ? [Pair.ike(128, .hmacSHA256_128, .hmacSHA256, number)] : [Pair.ike()],
            esp: [Pair.esp(group: number)])
        connection.privateGroups = groups
        connection.acceptsNewGroups = accepts
        return connection
    }

    private func exchanges(_ datagrams: [Datagram]) -> [UInt8] { datagrams.map { $0.octets[18] } }

    private func expectTunnel(_ pair: Pair, _ place: SourceLocation = #_sourceLocation) {
        for side in Pair.Side.allCases {
            #expect(pair[side].refusals == [], sourceLocation: place)
            #expect(pair[side].usable.map(\.suite.keyExchange) == [Self.number], sourceLocation: place)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, sourceLocation: place)
        }
        #expect(pair.disagreements == [], sourceLocation: place)
    }

    @Test("a group that both are configured with is offered, accepted and used for PFS")
    func configured() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]),
            Self.connection(isLeft: false, groups: [try Self.group()]))
        pair.establish()
        expectTunnel(pair)
        #expect(exchanges(pair.initiator.sent) == [2, 2, 2, 33, 32, 32])
        #expect(exchanges(pair.responder.sent) == [2, 2, 2, 33, 32])
        for side in Pair.Side.allCases { #expect(pair[side].environment.agreedGroups.count == 1) }
        #expect(pair.initiator.timers.keys.allSatisfy { if case .retransmit = $0 { false } else { true } })
    }

    @Test("a group that the responder learns is checked, and used by number afterwards")
    func learned() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]),
            Self.connection(isLeft: false, groups: [], accepts: true))
        pair.establish()
        expectTunnel(pair)
        #expect(pair.responder.session.groups.checks == 1)
        #expect(pair.responder.environment.agreedGroups.groups(with: Pair.left) == [try Self.group()])
    }

    @Test("the responder of phase 1 asks, too, when it wants the group first")
    func responderOffers() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [], accepts: true),
            Self.connection(isLeft: false, groups: [try Self.group()]))
        pair.give(.command(.establish), to: .initiator)
        pair.settle()
        #expect(exchanges(pair.initiator.sent) == [2, 2, 2])
        pair.give(.command(.createChild(name: "net")), to: .responder)
        pair.settle()
        expectTunnel(pair)
        #expect(exchanges(pair.responder.sent) == [2, 2, 2, 33, 32, 32])
    }

    @Test("a group that is not configured is refused with ATTRIBUTES-NOT-SUPPORTED, and the SA lives on")
    func refused() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]), Self.connection(isLeft: false, groups: []))
        pair.establish()
        #expect(pair.initiator.refusals == [.peer(notification: 13, name: "ATTRIBUTES-NOT-SUPPORTED")])
        #expect(pair.responder.refusals.count == 1)
        #expect(pair.initiator.closed == nil && pair.responder.closed == nil)
        #expect(pair.initiator.children.isEmpty && pair.responder.children.isEmpty)
        #expect(pair.responder.environment.agreedGroups.count == 0)
        // Asked again, it does not ask the peer again.
        let sent = pair.initiator.sent.count
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        #expect(pair.initiator.sent.count == sent && pair.initiator.refusals.count == 2)
    }

    @Test("one number does not stand for two groups")
    func taken() throws {
        let other = try Self.group(generator: 3)
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]),
            Self.connection(isLeft: false, groups: [other], accepts: true))
        pair.establish()
        #expect(pair.initiator.refusals == [.peer(notification: 13, name: "ATTRIBUTES-NOT-SUPPORTED")])
        #expect(pair.responder.session.groups.checks == 0)
        #expect(pair.responder.session.groups.registry[Self.number]?.description == other.description)
    }

    @Test("an unsound group is refused, and only so many are looked at", arguments: [false, true])
    func unsound(isNumberWrong: Bool) throws {
        let bad = PrimeGroup.Parameters(prime: [UInt8](repeating: 0xFF, count: 128), generator: [2])
        let sound = try Self.group()
        guard case .modp(_, let arithmetic) = sound.form else { return }
        // Only here: a group under a false flag, as a hostile peer would send it.
        let hostile = (0..<12).map { index in
            PrivateGroup(
                KeyExchangeID(rawValue: (isNumberWrong ? 100 : 50_000) + UInt16(index)), vetted: .modp(bad, arithmetic))
        }
        var pair = Pair(
            Self.connection(isLeft: true, groups: hostile + [sound]),
            Self.connection(isLeft: false, groups: [], accepts: true))
        pair.establish()
        #expect(pair.responder.session.groups.checks == (isNumberWrong ? 1 : PrivateGroupState.maximumChecks))
        #expect(pair.responder.session.groups.registry.numbers == (isNumberWrong ? [Self.number] : []))
        #expect(pair.responder.closed == nil && pair.initiator.closed == nil)
    }

    @Test("phase 1 carries the group in full, and by number once it is agreed on")
    func phaseOne() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()], isPhaseOne: true),
            Self.connection(isLeft: false, groups: [try Self.group()], isPhaseOne: true))
        pair.establish()
        expectTunnel(pair)
        let prime = Self.prime[0..<32]
        func holdsPrime(_ datagram: Datagram) -> Bool {
            (0..<max(0, datagram.octets.count - prime.count)).contains {
                datagram.octets[$0] == prime[0] && datagram.octets[$0..<($0 + prime.count)].elementsEqual(prime)
            }
        }
        #expect(holdsPrime(pair.initiator.sent[0]))
        #expect(pair.initiator.session.snapshot.suite?.keyExchange == Self.number)
        // Both computed in it: there is nothing to ask.
        #expect(exchanges(pair.initiator.sent) == [2, 2, 2, 32, 32])

        var later = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()], isPhaseOne: true),
            Self.connection(isLeft: false, groups: [], accepts: true, isPhaseOne: true))
        // The responder has not heard of it.
        later.establish()
        #expect(later.responder.closed != nil && later.initiator.children.isEmpty)
        var known = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()], isPhaseOne: true),
            Self.connection(isLeft: false, groups: [], accepts: true, isPhaseOne: true))
        known[.initiator].environment.agreedGroups.add(try Self.group(), with: Pair.right)
        known[.responder].environment.agreedGroups.add(try Self.group(), with: Pair.left)
        known.establish()
        expectTunnel(known)
        #expect(!known.initiator.sent.contains(where: holdsPrime))
    }

    @Test("a lost message is said again, and its repetition is answered with the same octets", arguments: [6, 7])
    func lost(message: Int) throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]),
            Self.connection(isLeft: false, groups: [try Self.group()]))
        pair.network = { _, number, datagram in number == message ? [] : [datagram] }
        pair.establish()
        pair.run(for: .seconds(10))
        expectTunnel(pair)
        let answers = pair.responder.sent.filter { $0.octets[18] == 33 }
        #expect(Set(answers.map(\.octets)).count == 1)
        #expect(answers.count == (message == 7 ? 2 : 1))
    }

    @Test("a peer without New Group Mode costs the child, not the ISAKMP SA")
    func silent() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]), Self.connection(isLeft: false, groups: []))
        pair.network = { side, _, datagram in datagram.octets[18] == 33 ? [] : [datagram] }
        pair.establish()
        pair.run(for: .seconds(300))
        #expect(pair.initiator.refusals == [.policy("the peer does not answer New Group Mode")])
        #expect(pair.initiator.closed == nil && pair.initiator.session.groups.offered == nil)
    }

    @Test("flipped, cut, reflected and replayed messages change nothing")
    func hostile() throws {
        var pair = Pair(
            Self.connection(isLeft: true, groups: [try Self.group()]),
            Self.connection(isLeft: false, groups: [], accepts: true))
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        for _ in 0..<6 { pair.deliverOne() }
        let offer = try #require(pair.wire.first).datagram
        #expect(offer.octets[18] == 33)
        pair.wire.removeAll()
        for octet in stride(from: 16, to: offer.octets.count, by: 5) {
            var flipped = offer
            flipped.octets[octet] ^= 0x10
            pair.give(.datagram(flipped.mirrored), to: .responder)
        }
        for count in stride(from: 0, to: offer.octets.count, by: 3) {
            var cut = offer
            cut.octets.removeLast(offer.octets.count - count)
            if count >= Header.octetCount { cut.octets.overwrite(bigEndian: UInt32(count), at: 24) }
            pair.give(.datagram(cut.mirrored), to: .responder)
        }
        #expect(pair.responder.session.groups.checks == 0 && pair.responder.session.groups.registry.numbers.isEmpty)
        // Its own offer is no answer, although HASH(1) and HASH(2) are the same equation.
        pair.give(.datagram(Datagram(local: offer.local, remote: offer.remote, octets: offer.octets)), to: .initiator)
        #expect(pair.initiator.session.groups.confirmed.isEmpty && pair.initiator.session.groups.offered != nil)
        pair.wire = [(.responder, offer)]
        pair.settle()
        expectTunnel(pair)
        pair.run(for: .seconds(400))
        let spent = pair.responder.sent.count
        pair.give(.datagram(offer.mirrored), to: .responder)
        #expect(pair.responder.sent.count == spent && pair.responder.session.groups.checks == 1)
    }

    @Test("New Group Mode before phase 1 is done is not for anybody")
    func early() throws {
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.deliverOne()
        var header = Header(
            initiator: Cookie(pair.initiator.session.initiatorCookie),
            responder: Cookie(pair.responder.session.responderCookie), majorVersion: 1, exchange: .newGroupMode,
            messageID: 7)
        header.flags = .encryption
        header.length = UInt32(Header.octetCount + 64)
        var octets: [UInt8] = []
        header.write(to: &octets)
        let sent = pair.responder.sent.count
        pair.give(
            .datagram(
                Datagram(
                    local: Endpoint(Pair.right, port: 500), remote: Endpoint(Pair.left, port: 500),
                    octets: octets + [UInt8](repeating: 3, count: 64))), to: .responder)
        #expect(pair.responder.sent.count == sent)
        pair.settle()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
    }

    @Test("the oldest agreement is forgotten first")
    func bounded() throws {
        var agreed = AgreedGroups()
        let group = try Self.group()
        for index in 0..<UInt32(AgreedGroups.maximumCount + 5) { agreed.add(group, with: IPAddress(v4: index)) }
        #expect(agreed.count == AgreedGroups.maximumCount)
        #expect(agreed.groups(with: IPAddress(v4: 4)).isEmpty && agreed.groups(with: IPAddress(v4: 5)) == [group])
        let other = try Self.group(generator: 3)
        agreed.add(other, with: IPAddress(v4: 5))
        #expect(agreed.groups(with: IPAddress(v4: 5)) == [other])
    }
}
