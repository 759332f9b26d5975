import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// Loss, repetition, corruption, NATs.
@Suite struct NetworkTests {
    private func expectEstablished(_ pair: Pair, _ comment: Comment) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment)
            #expect(pair[side].usable.count == 1, comment)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment)
            #expect(pair[side].environment.spisInUse == Set(pair[side].inbound.keys), comment)
        }
        #expect(pair.disagreements == [], comment)
    }

    @Test func eachMessageCanBeLost() {
        for lost in 0..<9 {
            var pair = Pair()
            pair.network = { _, number, datagram in number == lost ? [] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(30))
            expectEstablished(pair, "message \(lost) lost")
        }
    }

    @Test func twoMessagesInARowCanBeLost() {
        for lost in 0..<9 {
            var pair = Pair()
            pair.network = { _, number, datagram in number == lost || number == lost + 1 ? [] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(60))
            expectEstablished(pair, "messages \(lost) and \(lost + 1) lost")
        }
    }

    @Test func eachMessageCanComeTwice() {
        for repeated in 0..<9 {
            var pair = Pair()
            pair.network = { _, number, datagram in number == repeated ? [datagram, datagram] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(30))
            expectEstablished(pair, "message \(repeated) twice")
            // Quick Mode's second and third message once more at most: repetitions do not answer each other for ever.
            #expect(pair.sentCount <= 11, "message \(repeated) twice")
            #expect(pair.initiator.installed.count == 2 && pair.responder.installed.count == 2)
        }
    }

    @Test func aRepeatedRequestGetsTheSameOctets() throws {
        for request in 0..<4 {
            var pair = Pair()
            pair.give(.command(.createChild(name: "net")), to: .initiator)
            // Deliver up to the responder's answer, and lose that.
            for _ in 0..<(2 * request + 1) { pair.deliverOne() }
            let answer = try #require(pair.wire.first?.datagram)
            pair.wire = []
            let count = pair.responder.sent.count
            pair.give(.datagram(pair.initiator.sent[request].mirrored), to: .responder)
            #expect(pair.responder.sent.count == count + 1 && pair.responder.sent.last == answer, "message \(request)")
            #expect(pair.responder.installed.count <= 1)
            pair.settle()
            expectEstablished(pair, "message \(request)")
        }
    }

    @Test func theLastMessageOfMainModeIsRepeatedEvenLater() {
        var pair = Pair()
        pair.establish()
        let count = pair.responder.sent.count
        pair.give(.datagram(pair.initiator.sent[2].mirrored), to: .responder)
        #expect(pair.responder.sent.count == count + 1 && pair.responder.sent.last == pair.responder.sent[2])
    }

    @Test func forgedClearNotificationsDoNothingOnceEstablished() {
        var pair = Pair()
        pair.establish()
        let snapshot = pair.initiator.session.snapshot
        for type: UInt16 in [14, 16, 24, 24_578, 36_136] {
            let notification = NotificationPayload(doi: 1, protocolID: 1, type: type)
            let deletion = DeletePayload(
                doi: 1, protocolID: 3, spis: pair.initiator.outbound.keys.map { $0.value.octets })
            let header = Header(
                initiator: Cookie(snapshot.initiatorSPI), responder: Cookie(snapshot.responderSPI), majorVersion: 1,
                exchange: .informational, messageID: 99)
            let message = Message(header: header, payloads: [notification.payload, deletion.payload])
            for side in Pair.Side.allCases {
                let sent = pair[side].sent.count
                pair.give(
                    .datagram(
                        Datagram(
                            local: pair[side].session.local, remote: pair[side].session.remote, octets: message.octets)),
                    to: side)
                #expect(pair[side].sent.count == sent && pair[side].usable.count == 1)
            }
        }
        #expect(pair.initiator.session.snapshot == snapshot)
    }

    // MARK: NAT

    /// In front of the initiator: its addresses and ports become others.
    private static let outside = IPAddress("203.0.113.7")!

    private static func translate(_ side: Pair.Side, _ datagram: Datagram) -> Datagram {
        var datagram = datagram
        if side == .initiator {
            datagram.local = Endpoint(outside, port: 40_000 + datagram.local.port)
        } else {
            guard datagram.remote.address == outside else { return datagram }
            datagram.remote = Endpoint(Pair.left, port: datagram.remote.port - 40_000)
        }
        return datagram
    }

    private func behindNAT() -> Pair {
        var right = Pair.connection(isLeft: false)
        right.remoteAddresses = [.any(nil)]
        var pair = Pair(Pair.connection(isLeft: true), right, seenFrom: Endpoint(Self.outside, port: 40_500))
        pair.network = { side, _, datagram in [Self.translate(side, datagram)] }
        pair.establish()
        return pair
    }

    @Test func anInitiatorBehindNATFloatsToPort4500() {
        let pair = behindNAT()
        expectEstablished(pair, "behind NAT")
        #expect(pair.initiator.sent.map(\.local.port) == [500, 500, 4500, 4500, 4500])
        #expect(pair.initiator.sent.map(\.remote.port) == [500, 500, 4500, 4500, 4500])
        let left = pair.initiator.session.snapshot
        let right = pair.responder.session.snapshot
        #expect(left.isLocalBehindNAT && !left.isRemoteBehindNAT)
        #expect(right.isRemoteBehindNAT && !right.isLocalBehindNAT)
        #expect(right.local == Endpoint(Pair.right, port: 4500))
        #expect(right.remote == Endpoint(Self.outside, port: 44_500))
        for association in pair.initiator.installed + pair.responder.installed {
            #expect(association.udpEncapsulation && association.mode == .tunnel)
        }
        #expect(pair.responder.outbound.values.first?.remote == Endpoint(Self.outside, port: 44_500))
        #expect(pair.initiator.outbound.values.first?.local.port == 4500)
    }

    @Test func theEndBehindNATKeepsItsMappingAlive() {
        var pair = behindNAT()
        pair.run(for: .seconds(65))
        let keepalives = pair.initiator.sent.filter { $0.octets == [0xFF] }
        #expect(keepalives.count == 3)
        #expect(keepalives.allSatisfy { $0.local.port == 4500 && $0.remote == Endpoint(Pair.right, port: 4500) })
        #expect(!pair.responder.sent.contains { $0.octets == [0xFF] })
    }

    @Test func everyMessageBehindNATCanBeLost() {
        for lost in 0..<9 {
            var right = Pair.connection(isLeft: false)
            right.remoteAddresses = [.any(nil)]
            var pair = Pair(Pair.connection(isLeft: true), right, seenFrom: Endpoint(Self.outside, port: 40_500))
            pair.network = { side, number, datagram in number == lost ? [] : [Self.translate(side, datagram)] }
            pair.establish()
            pair.run(for: .seconds(20))
            expectEstablished(pair, "message \(lost) lost")
            #expect(pair.responder.session.remote == Endpoint(Self.outside, port: 44_500))
        }
    }

    @Test func aNewMappingIsFollowedOnlyOnceAuthentic() throws {
        var pair = behindNAT()
        // The NAT forgets and chooses another port.
        pair.network = { side, _, datagram in
            var datagram = Self.translate(side, datagram)
            if side == .initiator { datagram.local.port += 1 }
            return [datagram]
        }
        var forged = try #require(pair.initiator.sent.last { $0.octets.count > 1 }).mirrored
        forged.remote = Endpoint(IPAddress("203.0.113.99")!, port: 1)
        forged.octets[forged.octets.count - 1] ^= 1
        pair.give(.datagram(forged), to: .responder)
        #expect(pair.responder.session.remote == Endpoint(Self.outside, port: 44_500))
        pair.network = { side, _, datagram in
            var datagram = datagram
            guard side == .initiator else {
                datagram.remote = Endpoint(Pair.left, port: 4500)
                return [datagram]
            }
            datagram.local = Endpoint(Self.outside, port: 44_777)
            return [datagram]
        }
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        pair.settle()
        #expect(pair.responder.session.remote == Endpoint(Self.outside, port: 44_777))
        #expect(pair.responder.outbound.values.allSatisfy { $0.remote == Endpoint(Self.outside, port: 44_777) })
        #expect(pair.disagreements == [])
    }

    @Test(arguments: Pair.Side.allCases) func oneEndCanClaimANAT(side: Pair.Side) {
        var connections = [Pair.connection(isLeft: true), Pair.connection(isLeft: false)]
        connections[side.rawValue].forceEncapsulation = true
        var pair = Pair(connections[0], connections[1])
        pair.establish()
        expectEstablished(pair, "claimed by \(side)")
        for association in pair.initiator.installed + pair.responder.installed {
            #expect(association.udpEncapsulation)
            #expect(association.local.port == 4500 && association.remote.port == 4500)
        }
    }

    @Test func withoutNATNothingFloats() {
        var pair = Pair()
        pair.establish()
        #expect(pair.initiator.sent.allSatisfy { $0.local.port == 500 && $0.remote.port == 500 })
        #expect(pair.initiator.installed.allSatisfy { !$0.udpEncapsulation })
        pair.run(for: .seconds(100))
        #expect(!pair.initiator.sent.contains { $0.octets == [0xFF] })
    }

    @Test func anotherPortThan500IsMetWithTheMarkerFromTheStart() {
        var left = Pair.connection(isLeft: true)
        left.remotePort = 4500
        var environment = SessionEnvironment(
            now: Instant(nanoseconds: 0), randomness: .seeded(1), policies: PolicyDatabase(connections: [left]))
        var session = IKEv1Session(
            initiator: SessionID(1), connection: left, local: Endpoint(Pair.left, port: 500),
            remote: Endpoint(Pair.right, port: 4500), &environment)
        let sent = session.handle(.command(.createChild(name: "net")), &environment).compactMap {
            if case .send(let datagram) = $0 { datagram } else { nil }
        }
        #expect(sent.count == 1 && sent[0].local.port == 4500 && sent[0].remote.port == 4500)
    }
}
