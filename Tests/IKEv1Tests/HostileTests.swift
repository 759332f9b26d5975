import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Messages that were changed on the way, cut, or recorded and played again.
@Suite struct HostileTests {
    private func expectEstablished(_ pair: Pair, _ comment: Comment) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment)
            #expect(pair[side].usable.count == 1, comment)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys), comment)
        }
        #expect(pair.disagreements == [], comment)
    }

    private func established() -> Pair {
        var pair = Pair()
        pair.establish()
        return pair
    }

    /// The messages of a negotiation in order: who sends, and which of its messages it is.
    private static let order: [(Pair.Side, Int)] = [
        (.initiator, 0), (.responder, 0), (.initiator, 1), (.responder, 1), (.initiator, 2), (.responder, 2),
        (.initiator, 3), (.responder, 3), (.initiator, 4),
    ]

    /// A flipped bit never makes ends believe in SAs that differ. In an authenticated part it is never more than a lost
    /// message; what HASH_I leaves out of message 5 (RFC 2409 §5.4) can end an attempt, for the next IV comes from it.
    @Test(arguments: 0..<9) func flippedBits(message: Int) {
        var sample = Pair()
        sample.establish()
        let (sender, index) = Self.order[message]
        let length = sample[sender].sent[index].octets.count
        for octet in stride(from: 0, to: length, by: message < 4 ? 7 : 3) {
            var pair = Pair()
            pair.network = { _, number, datagram in
                guard number == message else { return [datagram] }
                var flipped = datagram
                flipped.octets[octet] ^= 1 << UInt8(octet % 8)
                return [flipped]
            }
            pair.establish()
            pair.run(for: .seconds(30))
            #expect(pair.disagreements == [], "octet \(octet) of message \(message)")
            if message > 4 || message == 4 && octet < Header.octetCount + 64 {
                expectEstablished(pair, "octet \(octet) of message \(message)")
            } else {
                let both = Pair.Side.allCases.allSatisfy { pair[$0].usable.count == 1 }
                #expect(both || pair.initiator.installed.isEmpty, "octet \(octet) of message \(message)")
            }
        }
    }

    @Test func cutMessagesChangeNothing() throws {
        for message in 0..<9 {
            let (sender, index) = Self.order[message]
            var pair = Pair()
            pair.give(.command(.createChild(name: "net")), to: .initiator)
            for _ in 0..<message { pair.deliverOne() }
            let whole = try #require(pair.wire.first).datagram.mirrored
            #expect(pair[sender].sent[index].mirrored == whole)
            let receiver = sender.other
            let before = pair[receiver]
            // A responder that is refused its first message is over: it is given whole messages only, or none.
            for count in 0..<whole.octets.count where message > 0 {
                var cut = whole
                cut.octets.removeLast(whole.octets.count - count)
                pair.give(.datagram(cut), to: receiver)
                // Also with a length that says so.
                if count >= Header.octetCount {
                    cut.octets.overwrite(bigEndian: UInt32(count), at: 24)
                    pair.give(.datagram(cut), to: receiver)
                }
            }
            #expect(pair[receiver].installed.count == before.installed.count, "message \(message)")
            #expect(pair[receiver].environment.spisInUse == before.environment.spisInUse, "message \(message)")
            #expect(pair[receiver].closed == nil, "message \(message)")
            pair.settle()
            pair.run(for: .seconds(30))
            expectEstablished(pair, "message \(message)")
        }
    }

    // MARK: Replay

    @Test func aReplayedQuickModeMakesNoSAAndEndsNothing() throws {
        var pair = established()
        let first = pair.initiator.sent[3]
        // Long after: what was kept to answer repetitions is forgotten.
        pair.run(for: .seconds(3000))
        let before = pair.responder.inbound.count
        pair.give(.datagram(first.mirrored), to: .responder)
        pair.settle()
        pair.run(for: .seconds(900))
        #expect(pair.responder.inbound.count == before)
        #expect(pair.responder.closed == nil && pair.initiator.closed == nil)
        #expect(pair.responder.usable.count == 1)
    }

    @Test func recordedMessagesChangeNothingLater() {
        var pair = established()
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.run(for: .seconds(600))
        let snapshots = (pair.initiator.session.snapshot, pair.responder.session.snapshot)
        for side in Pair.Side.allCases {
            for datagram in pair[side].sent {
                pair.give(.datagram(datagram.mirrored), to: side.other)
                pair.wire = []
            }
        }
        pair.run(for: .seconds(300))
        #expect(pair.initiator.session.snapshot == snapshots.0)
        #expect(pair.responder.session.snapshot == snapshots.1)
        #expect(pair.disagreements == [])
    }
}

/// Quick Modes that a peer with the right keys makes wrongly.
@Suite struct WrongQuickModeTests {
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

    private func payloads(value: [UInt8]?, spi: [UInt8] = [1, 2, 3, 4], nonceOctets: Int = 32) -> [Payload] {
        let offer = PhaseTwoProposal.payload(
            [Pair.esp(group: value == nil ? nil : .curve25519)], spi: spi, encapsulation: .tunnel, life: PhaseTwoLife())
        var payloads = [
            Payload(.securityAssociation, body: offer.body),
            Payload(.nonce, body: [UInt8](repeating: 5, count: nonceOctets)),
        ]
        if let value { payloads.append(Payload(.keyExchange, body: value)) }
        for text in ["10.1.0.0/16", "10.2.0.0/16"] {
            let selector = Prefix(text).map { TrafficSelector($0) }
            payloads.append(Payload(.identification, body: selector.map(Identification.body) ?? []))
        }
        return payloads
    }

    private func established(_ group: KeyExchangeID?) -> Pair {
        let esp = [Pair.esp(group: group)]
        var pair = Pair(Pair.connection(isLeft: true, esp: esp), Pair.connection(isLeft: false, esp: esp))
        pair.establish()
        return pair
    }

    @Test func aProperOneIsAnswered() throws {
        var pair = established(nil)
        let count = pair.responder.sent.count
        pair.give(.datagram(try message(pair, messageID: 5, payloads(value: nil))), to: .responder)
        #expect(pair.responder.sent.count == count + 1 && pair.responder.installed.count == 3)
        // Without message 3 the inbound SA goes again, and nothing else.
        pair.wire = []
        pair.run(for: .seconds(300))
        #expect(pair.responder.inbound.count == 1 && pair.responder.closed == nil)
        #expect(pair.responder.environment.spisInUse == Set(pair.responder.inbound.keys))
    }

    @Test(arguments: [
        [UInt8](repeating: 0, count: 32), [UInt8](repeating: 9, count: 31), [UInt8](repeating: 9, count: 33), [],
    ])
    func aWrongPublicValueTakesNothing(value: [UInt8]) throws {
        var pair = established(.curve25519)
        let before = pair.responder
        pair.give(.datagram(try message(pair, messageID: 5, payloads(value: value))), to: .responder)
        #expect(pair.responder.installed.count == before.installed.count)
        #expect(pair.responder.environment.spisInUse == before.environment.spisInUse)
        #expect(pair.responder.closed == nil && pair.responder.usable.count == 1)
        #expect(pair.responder.session.snapshot.activeExchanges == [])
    }

    @Test func missingPartsTakeNothing() throws {
        let cases: [[Payload]] = [
            payloads(value: nil), payloads(value: [UInt8](repeating: 9, count: 32), nonceOctets: 7),
            payloads(value: [UInt8](repeating: 9, count: 32), nonceOctets: 257),
            payloads(value: [UInt8](repeating: 9, count: 32), spi: [0, 0, 0, 200]),
            payloads(value: [UInt8](repeating: 9, count: 32), spi: [1, 2, 3]),
            Array(payloads(value: [UInt8](repeating: 9, count: 32)).dropFirst()),
        ]
        for (index, payloads) in cases.enumerated() {
            var pair = established(.curve25519)
            let before = pair.responder
            pair.give(.datagram(try message(pair, messageID: 5, payloads)), to: .responder)
            #expect(pair.responder.installed.count == before.installed.count, "case \(index)")
            #expect(pair.responder.environment.spisInUse == before.environment.spisInUse, "case \(index)")
            #expect(pair.responder.closed == nil, "case \(index)")
        }
    }

    /// Quick Modes that are over wait for repetitions, and must not stand in the way of those that follow.
    @Test(arguments: Pair.Side.allCases) func manyInARowAllPass(side: Pair.Side) throws {
        var pair = established(nil)
        for _ in 0..<3 * IKEv1Session.maximumQuickModes {
            let child = try #require(pair[side].usable.last)
            pair.give(.command(.rekeyChild(child.id)), to: side)
            pair.run(for: .seconds(1))
            let next = try #require(pair[side].usable.last)
            #expect(next.id != child.id)
        }
        #expect(pair.initiator.session.quickModes.count <= IKEv1Session.maximumQuickModes)
        #expect(pair.responder.session.quickModes.count <= IKEv1Session.maximumQuickModes)
    }

    @Test func manyAtOnceAreBounded() throws {
        var pair = established(nil)
        for messageID in 1...200 as ClosedRange<UInt32> {
            pair.give(.datagram(try message(pair, messageID: messageID, payloads(value: nil))), to: .responder)
        }
        #expect(pair.responder.inbound.count <= 1 + IKEv1Session.maximumQuickModes)
        pair.wire = []
        pair.run(for: .seconds(400))
        #expect(pair.responder.inbound.count == 1 && pair.responder.closed == nil)
    }
}
