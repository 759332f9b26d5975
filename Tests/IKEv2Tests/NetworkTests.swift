import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Loss, repetition, corruption, NATs and silence.
@Suite struct NetworkTests {
    /// Everything that the scenario of ``scenario(_:)`` sends without loss.
    private static let scenarioLength: Int = {
        var pair = Pair()
        scenario(&pair)
        return pair.sentCount
    }()

    /// Establish, rekey child and IKE SA, delete.
    private static func scenario(_ pair: inout Pair) {
        pair.establish()
        pair.run(for: .seconds(30))
        if let child = pair.initiator.usable.first { pair.give(.command(.rekeyChild(child.id)), to: .initiator) }
        pair.run(for: .seconds(30))
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.run(for: .seconds(30))
        if let child = pair.responder.usable.first { pair.give(.command(.rekeyChild(child.id)), to: .responder) }
        pair.run(for: .seconds(60))
    }

    private func expectEstablished(_ pair: Pair, _ comment: Comment) {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment)
            #expect(pair[side].usable.count == 1, comment)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment)
        }
        #expect(pair.disagreements == [], comment)
    }

    @Test func eachMessageCanBeLost() {
        #expect(Self.scenarioLength == 4 + 4 + 4 + 4)
        for lost in 0..<Self.scenarioLength {
            var pair = Pair()
            pair.network = { _, number, datagram in number == lost ? [] : [datagram] }
            Self.scenario(&pair)
            expectEstablished(pair, "message \(lost) lost")
        }
    }

    @Test func eachMessageCanComeTwice() {
        for repeated in 0..<Self.scenarioLength {
            var pair = Pair()
            pair.network = { _, number, datagram in
                number == repeated ? [datagram, datagram] : [datagram]
            }
            Self.scenario(&pair)
            expectEstablished(pair, "message \(repeated) twice")
        }
    }

    @Test func aRepeatedRequestGetsTheSameOctets() throws {
        var pair = Pair()
        pair.establish()
        let request = try #require(pair.initiator.sent.last)
        let answer = try #require(pair.responder.sent.last)
        pair.give(.datagram(request.mirrored), to: .responder)
        #expect(pair.responder.sent.count == 3)
        #expect(pair.responder.sent.last == answer)
        var forged = request.mirrored
        forged.octets[forged.octets.count - 1] ^= 1
        pair.give(.datagram(forged), to: .responder)
        #expect(pair.responder.sent.count == 3)
    }

    /// A flipped bit is never more than a lost message: nobody crashes, closes, or installs other keys.
    @Test(arguments: [0, 1, 2, 3]) func flippedBitsChangeNothing(message: Int) {
        var sample = Pair()
        sample.establish()
        let length = (message % 2 == 0 ? sample.initiator : sample.responder).sent[message / 2].octets.count
        for octet in stride(from: 0, to: length, by: message < 2 ? 3 : 1) {
            var pair = Pair()
            pair.network = { _, number, datagram in
                guard number == message else { return [datagram] }
                var flipped = datagram
                flipped.octets[octet] ^= 1 << UInt8(octet % 8)
                return [flipped]
            }
            pair.establish()
            // IKE_SA_INIT is not authenticated: a flipped bit in it can end the attempt, never establish it wrongly.
            if message >= 2 {
                pair.run(for: .seconds(20))
                expectEstablished(pair, "octet \(octet) of message \(message)")
            } else {
                #expect(pair.disagreements == [])
                let both = pair.initiator.events.contains(.established) && pair.responder.events.contains(.established)
                #expect(both || pair.initiator.installed.isEmpty)
            }
        }
    }

    @Test func flippedBitsInAnEstablishedSADoNothing() {
        var pair = Pair()
        pair.establish()
        pair.give(.command(.rekeyChild(pair.initiator.children[0].id)), to: .initiator)
        let request = pair.wire.removeLast().datagram.mirrored
        for octet in request.octets.indices {
            var flipped = request
            flipped.octets[octet] ^= 0x10
            let before = pair.responder
            pair.give(.datagram(flipped), to: .responder)
            #expect(pair.responder.sent.count == before.sent.count)
            #expect(pair.responder.session.snapshot == before.session.snapshot)
            #expect(pair.responder.environment.spisInUse == before.environment.spisInUse)
        }
        for count in 0..<request.octets.count {
            var cut = request
            cut.octets.removeLast(request.octets.count - count)
            pair.give(.datagram(cut), to: .responder)
        }
        #expect(pair.responder.sent.count == 2)
        pair.give(.datagram(request), to: .responder)
        pair.settle()
        #expect(pair.disagreements == [])
        #expect(pair.initiator.usable.count == 1)
    }

    @Test func silenceEndsTheNegotiation() {
        var pair = Pair()
        pair.network = { _, _, _ in [] }
        pair.establish()
        pair.run(for: .seconds(200))
        #expect(pair.initiator.closed == .peerUnresponsive)
        // 4 s, then 1.8 times longer each.
        #expect(pair.initiator.sent.count == 6)
        #expect(Set(pair.initiator.sent.map(\.octets)).count == 1)
        #expect(pair.initiator.timers.isEmpty && pair.initiator.claimed.isEmpty)
    }

    @Test func aHalfOpenResponderGivesUp() {
        var pair = Pair()
        pair.network = { side, number, datagram in number == 0 ? [datagram] : [] }
        pair.establish()
        #expect(pair.responder.closed == nil)
        pair.run(for: .seconds(31))
        #expect(pair.responder.closed == .refused(.timeout))
        #expect(pair.responder.claimed.isEmpty && pair.responder.timers.isEmpty)
    }

    @Test func livenessIsAskedForAfterQuiet() {
        var left = Pair.connection(isLeft: true)
        left.deadPeerDelay = .seconds(30)
        var pair = Pair(left, Pair.connection(isLeft: false))
        pair.establish()
        pair.run(for: .seconds(29))
        #expect(pair.initiator.sent.count == 2)
        pair.run(for: .seconds(2))
        #expect(pair.initiator.sent.count == 3)
        // Traffic is life.
        for _ in 0..<20 {
            pair.run(for: .seconds(10))
            pair.give(.inboundTraffic(pair.initiator.children[0].id, at: pair.now), to: .initiator)
        }
        #expect(pair.initiator.sent.count == 3)
        pair.network = { _, _, _ in [] }
        pair.run(for: .seconds(300))
        #expect(pair.initiator.closed == .peerUnresponsive)
        #expect(pair.initiator.inbound.isEmpty && pair.initiator.outbound.isEmpty)
    }

    /// A NAT in front of the initiator: its address and port change on the way.
    private func translate(_ pair: inout Pair, to port: @escaping @Sendable (UInt16) -> UInt16) {
        let outside = IPAddress("203.0.113.9")!
        pair.network = { side, _, datagram in
            var datagram = datagram
            if side == .initiator {
                datagram.local = Endpoint(outside, port: port(datagram.local.port))
            } else {
                guard datagram.remote.address == outside else { return [] }
                datagram.remote = Endpoint(Pair.left, port: datagram.local.port)
            }
            return [datagram]
        }
    }

    private func behindNAT() -> Pair {
        var right = Pair.connection(isLeft: false)
        right.remoteAddresses = [.any(nil)]
        return Pair(Pair.connection(isLeft: true), right)
    }

    @Test func aNATIsSeenAndBothFloat() {
        var pair = behindNAT()
        translate(&pair) { $0 == 500 ? 1024 : 1025 }
        pair.establish()
        let (left, right) = (pair.initiator.session.snapshot, pair.responder.session.snapshot)
        #expect(left.isLocalBehindNAT && !left.isRemoteBehindNAT)
        #expect(!right.isLocalBehindNAT && right.isRemoteBehindNAT)
        #expect(left.local.port == 4500 && left.remote.port == 4500)
        #expect(right.local.port == 4500 && right.remote.port == 1025)
        for side in Pair.Side.allCases {
            #expect(pair[side].outbound.values.allSatisfy { $0.udpEncapsulation })
            #expect(pair[side].outbound.values.allSatisfy { $0.local.port == 4500 })
        }
        #expect(pair.disagreements == [])
        // Keepalives from the end behind the NAT only.
        pair.run(for: .seconds(61))
        #expect(pair.initiator.sent.filter { $0.octets == [0xFF] }.count == 3)
        #expect(pair.responder.sent.allSatisfy { $0.octets != [0xFF] })
    }

    @Test func anAuthenticatedNewMappingIsFollowed() {
        var pair = behindNAT()
        translate(&pair) { $0 == 500 ? 1024 : 1025 }
        pair.establish()
        translate(&pair) { _ in 2222 }
        pair.give(.command(.rekeyIKE), to: .initiator)
        pair.settle()
        #expect(pair.responder.session.snapshot.remote.port == 2222)
        #expect(pair.responder.outbound.values.allSatisfy { $0.remote.port == 2222 })
        #expect(pair.responder.inbound.values.allSatisfy { $0.remote.port == 2222 })
    }

    @Test(arguments: Pair.Side.allCases) func encapsulationCanBeForced(side: Pair.Side) {
        var forced = EngineSettings()
        forced.forceEncapsulation = true
        var pair =
            side == .initiator
            ? Pair(settings: forced, otherSettings: EngineSettings())
            : Pair(settings: EngineSettings(), otherSettings: forced)
        pair.establish()
        #expect(pair.disagreements == [])
        for end in Pair.Side.allCases {
            #expect(pair[end].outbound.values.allSatisfy { $0.udpEncapsulation })
            #expect(pair[end].session.snapshot.local.port == 4500)
            #expect(!pair[end].session.snapshot.isLocalBehindNAT)
        }
    }

    @Test func anotherRemotePortStartsWithTheMarker() {
        var environment = Pair().initiator.environment
        let session = IKESession(
            initiator: SessionID(9), connection: Pair.connection(isLeft: true),
            local: Endpoint(Pair.left, port: 500), remote: Endpoint(Pair.right, port: 4501), &environment)
        #expect(session.snapshot.local.port == 4500 && session.snapshot.remote.port == 4501)
    }

    @Test func tracesShowWhatWasProtected() {
        var settings = EngineSettings()
        settings.traceMessages = true
        var pair = Pair(settings: settings)
        pair.establish()
        let traces = pair.initiator.events.compactMap { event -> MessageTrace? in
            if case .message(let trace) = event { trace } else { nil }
        }
        #expect(traces.map(\.isOutgoing) == [true, false, true, false])
        #expect(traces[0].parts.map(\.type) == [33, 34, 40, 41, 41, 41, 41])
        #expect(traces[0].parts.allSatisfy { !$0.isProtected })
        #expect(traces[2].parts.map(\.type) == [35, 41, 36, 39, 33, 44, 45])
        #expect(traces[3].parts.map(\.type) == [36, 39, 33, 44, 45])
        #expect(traces[2].parts.allSatisfy { $0.isProtected })
        #expect(traces[2].header.count == 28)
    }
}
