import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// What Quick Mode does beside one plain pair of SAs (RFC 2409 §5.5, RFC 2407 §4.5 and §4.6.3, RFC 2408 §3.1).
@Suite struct QuickModeTests {
    private static func pair(
        _ left: (inout Connection) -> Void = { _ in }, _ right: (inout Connection) -> Void = { _ in },
        isEstablished: Bool = true
    ) -> Pair {
        var one = Pair.connection(isLeft: true)
        var two = Pair.connection(isLeft: false)
        left(&one)
        right(&two)
        var pair = Pair(one, two)
        if isEstablished { pair.establish() }
        return pair
    }

    /// Message 1 of a Quick Mode as the initiator of `pair` would protect it.
    private func message(_ pair: Pair, messageID: UInt32, _ payloads: [Payload]) throws -> Datagram {
        let session = pair.initiator.session
        let phaseOne = try #require(session.phaseOne)
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        let hash = Payload(.hash, body: try phaseOne.keys.authenticator([messageID.octets, rest]))
        var chain = CipherChain(iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: messageID))
        let octets = try chain.seal(
            [hash] + payloads, header: session.header(.quickMode, messageID: messageID), keys: phaseOne.keys)
        return Datagram(local: session.remote, remote: session.local, octets: octets)
    }

    private func offer(_ proposals: [Proposal], spi: UInt8) -> Payload {
        Payload(
            .securityAssociation,
            body: PhaseTwoProposal.payload(
                proposals, spi: [1, 2, 3, spi], encapsulation: .tunnel, life: PhaseTwoLife()
            ).body)
    }

    private func rest() -> [Payload] {
        [Payload(.nonce, body: [UInt8](repeating: 5, count: 32))]
            + ["10.1.0.0/16", "10.2.0.0/16"].map { text in
                Payload(.identification, body: Identification.body(TrafficSelector(Prefix(text)!)))
            }
    }

    // MARK: Several SAs

    @Test(
        "several SAs in one exchange, each with keys of its own", arguments: [2, 8], [nil, KeyExchangeID.curve25519])
    func severalSAs(count: Int, group: KeyExchangeID?) throws {
        func several(_ connection: inout Connection) {
            connection.children[0].parallelPairs = count
            connection.children[0].proposals = [Pair.esp(group: group)]
        }
        var pair = Self.pair(several, { $0.children[0].proposals = [Pair.esp(group: group)] })
        #expect(pair.initiator.sent.count == 5 && pair.responder.sent.count == 4)
        for side in Pair.Side.allCases {
            #expect(pair[side].usable.count == count && pair[side].usable.map(\.lane) == Array(0..<count))
            #expect(pair[side].inbound.count == count && pair[side].outbound.count == count)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys))
            let keys = pair[side].installed.map(\.keys.encryption)
            for (index, key) in keys.enumerated() { #expect(!keys[(index + 1)...].contains(key)) }
        }
        #expect(pair.disagreements == [])
        // All of them are replaced together.
        let old = pair.initiator.usable
        pair.give(.command(.rekeyChild(old[1].id)), to: .initiator)
        pair.settle()
        pair.run(for: .seconds(10))
        for side in Pair.Side.allCases { #expect(pair[side].children.count == count) }
        #expect(Set(pair.initiator.usable.map(\.inboundSPI)).isDisjoint(with: old.map(\.inboundSPI)))
        #expect(pair.disagreements == [])
    }

    @Test("one SA that is not acceptable, or one too many, and nothing is made")
    func togetherOrNotAtAll() throws {
        let good = [Pair.esp()]
        let bad = [Pair.esp(Encryption(.tripleDES), [.hmacMD5_96])]
        let offers: [[Payload]] = [
            [offer(good, spi: 1), offer(bad, spi: 2)],
            [offer(bad, spi: 1), offer(good, spi: 2)],
            [offer(good, spi: 1), offer(good, spi: 1)],
            (1...9).map { offer(good, spi: UInt8($0)) },
            // Groups differ, and there is one KE payload for all.
            [offer(good, spi: 1), offer([Pair.esp(group: .curve25519)], spi: 2)],
        ]
        for (index, offers) in offers.enumerated() {
            var pair = Self.pair()
            let before = pair.responder
            pair.give(.datagram(try message(pair, messageID: 5, offers + rest())), to: .responder)
            #expect(pair.responder.installed.count == before.installed.count, "case \(index)")
            #expect(pair.responder.environment.spisInUse == before.environment.spisInUse, "case \(index)")
            #expect(pair.responder.closed == nil && pair.responder.session.quickModes.count == 1, "case \(index)")
        }
        var pair = Self.pair()
        pair.give(
            .datagram(try message(pair, messageID: 5, [offer(good, spi: 1), offer(good, spi: 2)] + rest())),
            to: .responder)
        #expect(pair.responder.inbound.count == 3)
    }

    @Test("proposals that are meant together are not taken apart")
    func logicalAnd() throws {
        let esp = PhaseTwoProposal.payload(
            [Pair.esp()], spi: [1, 2, 3, 4], encapsulation: .tunnel, life: PhaseTwoLife())
        var both = esp
        both.proposals.append(
            ProposalPayload(
                number: 1, protocolID: 4, spi: [0, 9],
                transforms: [TransformPayload(number: 1, identifier: 2, attributes: [])]))
        var alternatives = both
        alternatives.proposals.append(esp.proposals[0])
        alternatives.proposals[2].number = 2
        for (offer, isTaken) in [(both, false), (alternatives, true)] {
            var pair = Self.pair()
            pair.give(
                .datagram(
                    try message(pair, messageID: 5, [Payload(.securityAssociation, body: offer.body)] + rest())),
                to: .responder)
            #expect(pair.responder.inbound.count == (isTaken ? 2 : 1))
        }
    }

    // MARK: Lifetimes

    @Test("the shorter lifetime counts at both ends, in seconds and in kilobytes", arguments: [true, false])
    func lifetimes(isResponderShorter: Bool) throws {
        func limit(_ connection: inout Connection, _ isShort: Bool) {
            connection.children[0].lifeTime = .seconds(isShort ? 60 : 600)
            connection.children[0].octetLifetime = CountedLifetime(rekey: 0, life: isShort ? 1_000_000 : 80_000_000)
        }
        let pair = Self.pair({ limit(&$0, !isResponderShorter) }, { limit(&$0, isResponderShorter) })
        for side in Pair.Side.allCases {
            let child = try #require(pair[side].usable.first)
            #expect(child.expireAt == child.installed + .seconds(60), "\(side)")
            for association in pair[side].installed {
                #expect(association.limits.hardOctets <= 977 * 1024 && association.limits.hardOctets >= 1_000_000)
                #expect(association.limits.softOctets < association.limits.hardOctets)
                #expect(association.limits.softOctets > 0)
            }
        }
    }

    @Test("a lifetime that a peer shortens afterwards is kept")
    func shortenedLater() throws {
        var pair = Self.pair { $0.children[0].lifeTime = .seconds(3600) }
        let child = try #require(pair.initiator.usable.first)
        let session = pair.responder.session
        let phaseOne = try #require(session.phaseOne)
        func say(_ protocolID: UInt8, _ spi: [UInt8], _ data: [UInt8]) throws {
            var environment = pair.responder.environment
            var context = Context(taking: &environment)
            let notification = NotificationPayload(
                doi: 1, protocolID: protocolID, spi: spi, type: IPsecDOI.responderLifetime, data: data)
            let octets = try session.sendProtected(
                [notification.payload], keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
            pair.give(
                .datagram(Datagram(local: session.remote, remote: session.local, octets: octets)), to: .initiator)
        }
        try say(3, child.outboundSPI.value.octets, PhaseTwoLife(seconds: 100).octets)
        #expect(pair.initiator.usable.first?.expireAt == child.installed + .seconds(100))
        // It does not grow again, and an SPI of nobody's means nothing.
        try say(3, child.outboundSPI.value.octets, PhaseTwoLife(seconds: 900).octets)
        try say(3, [9, 9, 9, 9], PhaseTwoLife(seconds: 1).octets)
        try say(3, child.outboundSPI.value.octets, [0x80])
        #expect(pair.initiator.usable.first?.expireAt == child.installed + .seconds(100))
        try say(1, session.cookies, [DataAttribute(11, 1), DataAttribute(12, number: 500)].flatMap(\.octets))
        let established = try #require(pair.initiator.session.established)
        #expect(pair.initiator.session.expireAt == established + .seconds(500))
        #expect(pair.initiator.session.rekeyAt == established + .seconds(450))
    }

    @Test("a responder that does not check for replay says so")
    func replayStatus() {
        let pair = Self.pair({ _ in }, { $0.children[0].replayWindowPackets = 0 })
        #expect(pair.initiator.events.contains(.note("the peer does not check its SA for replay")))
        let other = Self.pair()
        #expect(!other.initiator.events.contains { "\($0)".contains("replay") })
    }

    // MARK: The Commit bit

    @Test("an initiator sends nothing on an SA before the responder says CONNECTED")
    func commit() throws {
        var pair = Self.pair({ _ in }, { $0.asksCommit = true }, isEstablished: false)
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        for _ in 0..<8 { pair.deliverOne() }
        // Message 2 is here, message 3 is under way.
        #expect(pair.initiator.inbound.count == 1 && pair.initiator.outbound.isEmpty)
        pair.deliverOne()
        #expect(pair.responder.outbound.count == 1 && pair.initiator.outbound.isEmpty)
        pair.settle()
        #expect(pair.initiator.outbound.count == 1 && pair.disagreements == [])
        let answer = pair.responder.sent[3].octets
        let connected = pair.responder.sent[4].octets
        #expect(answer[18] == 32 && answer[19] == 3)
        // The Informational has the Quick Mode's message ID.
        #expect(connected[18] == 5 && connected[20..<24] == answer[20..<24])
        #expect(pair.initiator.timers.keys.allSatisfy { if case .retransmit = $0 { false } else { true } })
    }

    @Test("a lost message 3 or CONNECTED is made good", arguments: [8, 9])
    func lostConnected(message: Int) {
        var pair = Self.pair({ _ in }, { $0.asksCommit = true }, isEstablished: false)
        pair.network = { _, number, datagram in number == message ? [] : [datagram] }
        pair.establish()
        #expect(pair.initiator.outbound.isEmpty)
        pair.run(for: .seconds(5))
        #expect(pair.initiator.outbound.count == 1 && pair.responder.outbound.count == 1)
        #expect(pair.disagreements == [])
        let connected = pair.responder.sent.filter { $0.octets[18] == 5 }.map(\.octets)
        #expect(Set(connected).count == 1)
    }

    @Test("a Commit bit that nobody answers for, such as one set on the way, holds traffic up for a while only")
    func forgedCommit() {
        var pair = Self.pair(isEstablished: false)
        pair.network = { side, number, datagram in
            var datagram = datagram
            if side == .responder, datagram.octets[18] == 32 { datagram.octets[19] |= 2 }
            return [datagram]
        }
        pair.establish()
        #expect(pair.initiator.outbound.isEmpty && pair.initiator.usable.count == 1)
        pair.run(for: .seconds(300))
        #expect(pair.initiator.outbound.count == 1 && pair.initiator.closed == nil)
        #expect(pair.disagreements == [])
        // Traffic of the peer's says the same as CONNECTED.
        var other = Self.pair(isEstablished: false)
        other.network = pair.network
        other.establish()
        if let child = other.initiator.usable.first {
            other.give(.inboundTraffic(child.id, at: other.now), to: .initiator)
        }
        #expect(other.initiator.outbound.count == 1)
    }

    // MARK: Identities

    @Test("perfect forward secrecy of identities: the ISAKMP SA goes, its IPsec SAs stay")
    func identityForwardSecrecy() throws {
        var pair = Self.pair({ $0.hasIdentityForwardSecrecy = true }, { $0.hasIdentityForwardSecrecy = true })
        let phaseOne = pair.initiator.session.phaseOne
        #expect(phaseOne != nil)
        pair.run(for: .seconds(400))
        for side in Pair.Side.allCases {
            #expect(pair[side].session.phaseOne == nil && pair[side].closed == nil)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1)
            #expect(pair[side].claimed.isEmpty)
        }
        // The next negotiation needs another ISAKMP SA.
        pair.give(.command(.rekeyChild(try #require(pair.initiator.usable.first).id)), to: .initiator)
        #expect(pair.initiator.order.contains { $0.contains("renew") })
    }

    // MARK: Transport mode behind NAT

    @Test("NAT-OA tells a responder which address the NAT replaced")
    func originalAddresses() throws {
        let outside = IPAddress("203.0.113.9")!
        var left = Pair.connection(isLeft: true)
        var right = Pair.connection(isLeft: false)
        right.remoteAddresses = [.any(nil)]
        for isLeft in [true, false] {
            var child = ChildPolicy(name: "net", proposals: [Pair.esp()])
            child.mode = .transport
            if isLeft { left.children = [child] } else { right.children = [child] }
        }
        var pair = Pair(left, right, seenFrom: Endpoint(outside, port: 40_500))
        pair.network = { side, _, datagram in
            var datagram = datagram
            if side == .initiator {
                datagram.local = Endpoint(outside, port: datagram.local.port == 500 ? 40_500 : 44_500)
            } else {
                datagram.remote = Endpoint(Pair.left, port: datagram.remote.port == 40_500 ? 500 : 4500)
            }
            return [datagram]
        }
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        let child = try #require(pair.responder.usable.first)
        #expect(child.mode == .transport && child.udpEncapsulation)
        #expect(child.remoteSelectors == [TrafficSelector(outside)])
        #expect(child.localSelectors == [TrafficSelector(Pair.right)])
        #expect(pair.initiator.usable.first?.localSelectors == [TrafficSelector(Pair.left)])
    }

    @Test("an encapsulation is named as the dialect of both ends has it", arguments: [false, true])
    func encapsulationNumbers(isDraft: Bool) {
        #expect(
            PhaseTwoProposal.Encapsulation(.tunnel, inUDP: true, isDraft: isDraft).rawValue == (isDraft ? 61_443 : 3))
        #expect(
            PhaseTwoProposal.Encapsulation(.transport, inUDP: true, isDraft: isDraft).rawValue == (isDraft ? 61_444 : 4)
        )
        #expect(PhaseTwoProposal.Encapsulation(.tunnel, inUDP: false, isDraft: isDraft).rawValue == 1)
    }
}
