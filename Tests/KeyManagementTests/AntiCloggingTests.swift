import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import KeyManagement

/// Main Mode under pressure: no session for an initiator that has not returned its cookie (RFC 2408 §2.5.3).
@Suite struct AntiCloggingTests {
    private static let left = IPAddress(v4: 0xC000_0201)
    private static let right = IPAddress(v4: 0xC000_0202)

    private static func connection(_ own: IPAddress, _ peers: AddressPattern, isAggressive: Bool = false) -> Connection
    {
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128], prf: [.hmacSHA256],
            keyExchange: [.curve25519])
        let esp = Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])
        var connection = Connection(
            name: "peer", proposals: [ike], children: [ChildPolicy(name: "net", proposals: [esp])])
        connection.version = .v1
        connection.localAddresses = [.range(own, own)]
        connection.remoteAddresses = [peers]
        connection.isAggressive = isAggressive
        return connection
    }

    private struct Lab {
        var managers: [KeyManager]
        var now = Instant(nanoseconds: 1_000_000_000_000)
        var wire: [(to: Int, datagram: Datagram)] = []
        /// What the responder sent to addresses that are nobody's.
        var lost: [Datagram] = []
        let key = Secret(Array("a shared key".utf8))

        init(isAggressive: Bool = false) {
            managers = [(left, right, AddressPattern.range(right, right)), (right, left, .any(nil))].map {
                own, _, peers in
                KeyManager(
                    now: Instant(nanoseconds: 1_000_000_000_000), randomness: .seeded(UInt64(own.octets[3])),
                    policies: PolicyDatabase(
                        connections: [AntiCloggingTests.connection(own, peers, isAggressive: isAggressive)]),
                    sourceAddress: { _ in own })
            }
        }

        mutating func give(_ input: Input, to index: Int) {
            var inputs = [input]
            while !inputs.isEmpty {
                for effect in managers[index].handle(inputs.removeFirst(), now: now) {
                    switch effect {
                    case .send(let datagram):
                        let arriving = Datagram(
                            local: datagram.remote, remote: datagram.local, octets: datagram.octets)
                        switch datagram.remote.address {
                        case left: wire.append((0, arriving))
                        case right: wire.append((1, arriving))
                        default: lost.append(datagram)
                        }
                    case .ask(let id, .seed(let prf, _, _, let octets)):
                        let seed = try? PseudorandomFunction.derive(prf, key: key, [.open(octets)])
                        inputs.append(.answer(id, seed.map { .seed($0) } ?? .noCredential))
                    default: break
                    }
                }
            }
        }

        mutating func settle() {
            while !wire.isEmpty {
                let (index, datagram) = wire.removeFirst()
                give(.datagram(datagram), to: index)
            }
        }

        /// The initiator's first message, which does not arrive.
        mutating func firstMessage() -> Datagram? {
            give(.command(.initiate(connection: "peer", child: "net"), RequestID(1)), to: 0)
            return wire.isEmpty ? nil : wire.removeFirst().datagram
        }

        /// The same message from many addresses that do not answer.
        mutating func flood(_ message: Datagram, count: UInt32, from first: UInt32 = 0x0A00_0000) {
            for number in 0..<count {
                var forged = message
                forged.remote = Endpoint(IPAddress(v4: first + number), port: 500)
                forged.octets.overwrite(bigEndian: 0x8000_0000 | number, at: 0)
                give(.datagram(forged), to: 1)
            }
        }
    }

    @Test("a flood of first messages makes no sessions, and an honest initiator gets through it")
    func flood() throws {
        var lab = Lab()
        let message = lab.firstMessage()
        let first = try #require(message)
        lab.flood(first, count: 3000)
        let responder = lab.managers[1]
        #expect(responder.sessionCounts.halfOpen == 30)
        #expect(responder.firstMessages.count == FirstMessages.maximumCount)
        #expect(responder.firstMessages.heldOctets <= FirstMessages.maximumOctets)
        // Everybody is answered once, with no more than three times what came, and never again unasked.
        #expect(lab.lost.count == 3000)
        #expect(lab.lost.allSatisfy { $0.octets.count <= 3 * first.octets.count })
        let answered = lab.lost.count
        lab.now = lab.now + .seconds(20)
        lab.give(.deadline, to: 1)
        #expect(lab.lost.count == answered)
        lab.wire = [(1, first)]
        lab.settle()
        #expect(lab.managers[0].snapshots.map(\.state) == [.established])
        #expect(lab.managers[1].snapshots.count { $0.state == .established } == 1)
        let children = lab.managers.map { manager in manager.snapshots.flatMap(\.children) }
        #expect(children[0].count == 1 && children[1].count == 1)
        #expect(children[0].first?.inboundSPI == children[1].first?.outboundSPI)
        #expect(lab.managers[1].environment.nextIKESPI == nil)
    }

    @Test("a cookie is good for who was given it, for its message, and for a while")
    func cookies() throws {
        var lab = Lab()
        let message = lab.firstMessage()
        let first = try #require(message)
        lab.flood(first, count: 40)
        lab.give(.datagram(first), to: 1)
        let answer = try #require(lab.wire.last).datagram
        lab.wire = []
        lab.give(.datagram(answer), to: 0)
        let third = try #require(lab.wire.last).datagram
        lab.wire = []
        let before = lab.managers[1].sessionCounts.all
        for change in 0..<4 {
            var other = lab
            var forged = third
            switch change {
            case 0: forged.octets[15] ^= 1
            case 1: forged.remote = Endpoint(IPAddress(v4: 0x0A09_0909), port: 500)
            case 2: forged.remote.port = 501
            default: other.now = other.now + .seconds(121)
            }
            other.give(.datagram(forged), to: 1)
            // After two minutes the half-open ones are gone, too.
            if change < 3 { #expect(other.managers[1].sessionCounts.all == before) }
            #expect(other.managers[1].snapshots.allSatisfy { $0.remote.address != AntiCloggingTests.left })
        }
        lab.give(.datagram(third), to: 1)
        #expect(lab.managers[1].sessionCounts.all == before + 1)
        // Played again it finds its session.
        lab.give(.datagram(third), to: 1)
        #expect(lab.managers[1].sessionCounts.all == before + 1)
        lab.settle()
        #expect(lab.managers[0].snapshots.map(\.state) == [.established])
    }

    @Test("who claims one address a lot pushes out nobody else's message")
    func perSource() throws {
        var lab = Lab()
        let message = lab.firstMessage()
        let first = try #require(message)
        lab.flood(first, count: 40)
        lab.give(.datagram(first), to: 1)
        let held = lab.managers[1].firstMessages.count
        for number in 0..<500 as Range<UInt32> {
            var forged = first
            forged.remote = Endpoint(IPAddress(v4: 0x0B00_0001), port: 500)
            forged.octets.overwrite(bigEndian: number, at: 0)
            lab.give(.datagram(forged), to: 1)
        }
        #expect(lab.managers[1].firstMessages.count == held + FirstMessages.maximumPerSource)
        lab.settle()
        #expect(lab.managers[0].snapshots.map(\.state) == [.established])
    }

    @Test("Aggressive Mode needs state and work at once: it is bounded, and leaves room for others")
    func aggressive() throws {
        var lab = Lab(isAggressive: true)
        let message = lab.firstMessage()
        let first = try #require(message)
        #expect(first.octets[18] == 4)
        lab.flood(first, count: 600)
        #expect(lab.managers[1].sessionCounts.halfOpen == AdmissionLimits().unprovenMaximum)
        #expect(lab.lost.allSatisfy { $0.octets.count <= 3 * first.octets.count })
    }

    @Test("an address that proves itself over and over gets so many half-open SAs and no more")
    func proven() throws {
        var lab = Lab()
        let message = lab.firstMessage()
        let first = try #require(message)
        lab.flood(first, count: 40)
        var opened = 0
        for number in 0..<120 as Range<UInt32> {
            var forged = first
            let cookie: UInt32 = 0x4000_0000 | number
            forged.octets.overwrite(bigEndian: cookie, at: 0)
            lab.give(.datagram(forged), to: 1)
            guard let answer = lab.wire.popLast()?.datagram else { continue }
            // A message 3 that says just enough.
            var header = Header(
                initiator: Cookie(UInt64(cookie) << 32 | Self.tail(forged)), responder: Self.responder(answer),
                majorVersion: 1, exchange: .identityProtection)
            header.length = 0
            let octets = Message(
                header: header,
                payloads: [
                    Payload(.keyExchange, body: [UInt8](repeating: 9, count: 32)),
                    Payload(.nonce, body: [UInt8](repeating: 1, count: 16)),
                ]
            ).octets
            lab.give(.datagram(Datagram(local: first.local, remote: first.remote, octets: octets)), to: 1)
            lab.wire = []
            opened += 1
        }
        let own = lab.managers[1].snapshots.count { $0.remote.address == Self.left }
        #expect(opened == 120 && own == FirstMessages.maximumProven)
    }

    private static func tail(_ datagram: Datagram) -> UInt64 {
        datagram.octets[4..<8].reduce(0) { $0 << 8 | UInt64($1) }
    }

    private static func responder(_ datagram: Datagram) -> Cookie {
        Cookie(datagram.octets[8..<16].reduce(0) { $0 << 8 | UInt64($1) })
    }
}
