import Cryptography
import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// A peer that authenticates and yet says what no honest peer says, and one that only opens.
@Suite struct HostilePeerTests {
    private func established() -> Pair {
        var pair = Pair()
        pair.establish()
        return pair
    }

    /// Sends `payloads` as a request of the initiator's, and returns the payloads of the answer; `nil` where none comes.
    private func ask(
        _ pair: inout Pair, _ exchange: ExchangeType, _ payloads: [Payload], messageID: UInt32? = nil
    ) throws -> [Payload]? {
        var sa = try #require(pair.initiator.session.current)
        let id = messageID ?? sa.nextRequestID
        var randomness = Randomness.seeded(99)
        let octets = try sa.seal(exchange, messageID: id, isResponse: false, payloads, &randomness)
        if messageID == nil { sa.nextRequestID += 1 }
        pair.ends[0].session.associations[0] = sa
        let snapshot = pair.initiator.session.snapshot
        let before = pair.responder.sent.count
        for piece in octets {
            pair.give(
                .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: piece)), to: .responder)
        }
        pair.wire = []
        guard pair.responder.sent.count > before, let answer = pair.responder.sent.last else { return nil }
        var reader = ByteReader(answer.octets)
        return try sa.open(answer.octets, try Header(from: &reader))?.inner
    }

    private func notification(_ payloads: [Payload]?) throws -> IKEv2.NotificationType? {
        guard let payload = payloads?.first, payload.type == .notify else { return nil }
        return try NotifyPayload(parsing: payload).type
    }

    @Test func anUnknownCriticalPayloadIsNamed() throws {
        var pair = established()
        let answer = try ask(&pair, .informationalV2, [Payload(PayloadType(rawValue: 200), critical: true, body: [1])])
        #expect(try notification(answer) == .unsupportedCriticalPayload)
        #expect(pair.responder.closed == nil)
        // The window has moved on, and the SA works.
        #expect(try ask(&pair, .informationalV2, []) == [])
    }

    @Test func aMalformedAuthenticRequestEndsTheSA() throws {
        var pair = established()
        let answer = try ask(&pair, .informationalV2, [Payload(.deleteV2, body: [3, 4])])
        #expect(try notification(answer) == .invalidSyntax)
        guard case .refused(.protocolViolation)? = pair.responder.closed else {
            Issue.record("closed: \(String(describing: pair.responder.closed))")
            return
        }
        #expect(pair.responder.inbound.isEmpty && pair.responder.timers.isEmpty && pair.responder.claimed.isEmpty)
    }

    /// Who shares keys with us, and has not shown who it is, hears the same (RFC 7296 §2.21.2).
    @Test func aMalformedIKEAuthIsAnsweredAndLeavesNothing() throws {
        var pair = Pair()
        pair.network = { _, _, datagram in datagram.octets[18] == 35 ? [] : [datagram] }
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        pair.settle()
        let answer = try ask(&pair, .ikeAuth, [Payload(.deleteV2, body: [3, 4])], messageID: 1)
        #expect(try notification(answer) == .invalidSyntax)
        guard case .refused(.protocolViolation)? = pair.responder.closed else {
            Issue.record("closed: \(String(describing: pair.responder.closed))")
            return
        }
        #expect(pair.responder.inbound.isEmpty && pair.responder.timers.isEmpty && pair.responder.claimed.isEmpty)
    }

    @Test func requestsOutsideTheWindowAreDropped() throws {
        var pair = established()
        for id: UInt32 in [0, 3, 4, 100, .max] {
            #expect(try ask(&pair, .informationalV2, [], messageID: id) == nil)
        }
        #expect(try ask(&pair, .informationalV2, []) == [])
    }

    @Test func anotherIKEAuthIsRefused() throws {
        var pair = established()
        #expect(try notification(try ask(&pair, .ikeAuth, [])) == .invalidSyntax)
    }

    @Test func whatIsNotThereIsNotFound() throws {
        var pair = established()
        let payloads = [
            NotifyPayload(.rekeySA, protocol: .esp, spi: [9, 9, 9, 9]).payload,
            ProposalPayload.offer([Pair.esp], spi: [1, 2, 3, 4]),
            Payload(.nonceV2, body: Array(repeating: 5, count: 32)),
            SelectorPayload.payload(.selectorsInitiator, [.everything(.v4)]),
            SelectorPayload.payload(.selectorsResponder, [.everything(.v4)]),
        ]
        #expect(try notification(try ask(&pair, .createChildSA, payloads)) == .childNotFound)
        // Deletes of what is not there have an empty answer, however many.
        let spis = (0..<1000).map { SPI(UInt32($0) + 256) }
        let delete = DeletePayload(securityProtocol: .esp, spis: spis).payload
        #expect(try ask(&pair, .informationalV2, [delete]) == [])
        #expect(pair.responder.children.count == 1)
    }

    @Test func childrenAreLimited() throws {
        var pair = established()
        pair.ends[1].session.children = Array(
            repeating: pair.ends[1].session.children[0], count: IKESession.maximumChildren)
        let payloads = [
            ProposalPayload.offer([Pair.esp], spi: [1, 2, 3, 4]),
            Payload(.nonceV2, body: Array(repeating: 5, count: 32)),
            SelectorPayload.payload(.selectorsInitiator, [.everything(.v4)]),
            SelectorPayload.payload(.selectorsResponder, [.everything(.v4)]),
        ]
        #expect(try notification(try ask(&pair, .createChildSA, payloads)) == .noAdditionalSAs)
        #expect(pair.responder.environment.spisInUse.count == 1)
    }

    @Test func duringARekeyingOfTheIKESAOtherThingsWait() throws {
        var pair = established()
        pair.give(.command(.rekeyIKE), to: .responder)
        pair.wire = []
        let payloads = [
            ProposalPayload.offer([Pair.esp], spi: [1, 2, 3, 4]),
            Payload(.nonceV2, body: Array(repeating: 5, count: 32)),
            SelectorPayload.payload(.selectorsInitiator, [.everything(.v4)]),
            SelectorPayload.payload(.selectorsResponder, [.everything(.v4)]),
        ]
        #expect(try notification(try ask(&pair, .createChildSA, payloads)) == .temporaryFailure)
    }

    /// Long messages cross in pieces, and the negotiation is the same.
    @Test func longMessagesAreCut() {
        func selectors(_ base: Int) -> [DynamicSelector] {
            (0..<120).map { Pair.selector("10.\(base).\($0).0/24") }
        }
        var left = Pair.connection(isLeft: true)
        left.children[0].localSelectors = selectors(1)
        left.children[0].remoteSelectors = selectors(2)
        var right = Pair.connection(isLeft: false)
        right.children[0].localSelectors = selectors(2)
        right.children[0].remoteSelectors = selectors(1)
        var pair = Pair(left, right)
        pair.establish()
        #expect(pair.disagreements == [])
        #expect(pair.initiator.children.first?.localSelectors.count == 120)
        #expect(pair.initiator.sent.count == 1 + 4 && pair.responder.sent.count == 1 + 4)
        #expect(pair.initiator.sent.allSatisfy { $0.octets.count <= 1280 - 20 - 8 - 4 })
        // One lost piece is made good by retransmission, and a repeated first piece gets every piece of the answer.
        var lossy = Pair(left, right)
        lossy.network = { _, number, datagram in number == 3 || number == 9 ? [] : [datagram] }
        lossy.establish()
        lossy.run(for: .seconds(20))
        #expect(lossy.disagreements == [])
        #expect(lossy.initiator.events.contains(.established))
    }

    /// Every truncation and flipped bit of a first message: one answer at most, no state, no trap.
    @Test func brokenFirstMessagesLeaveNothing() throws {
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let first = try #require(pair.initiator.sent.first).mirrored
        var environment = pair.responder.environment
        func meet(_ octets: [UInt8]) -> [SessionEffect] {
            var session = IKESession(responder: SessionID(5), local: first.local, remote: first.remote, &environment)
            let effects = session.handle(
                .datagram(Datagram(local: first.local, remote: first.remote, octets: octets)), &environment)
            return effects
        }
        for count in first.octets.indices {
            var claims = 0
            for case .claim in meet(Array(first.octets[..<count])) { claims += 1 }
            #expect(claims == 0)
        }
        for octet in first.octets.indices {
            for bit in 0..<8 {
                var flipped = first.octets
                flipped[octet] ^= 1 << UInt8(bit)
                var sent = 0
                for case .send(let datagram) in meet(flipped) {
                    sent += 1
                    // Never a larger answer than the request, except for the true one.
                    #expect(datagram.octets.count < 400)
                }
                #expect(sent <= 1)
            }
        }
        #expect(environment.spisInUse.isEmpty)
    }

    /// Forged responses to the first message do not end the attempt, whatever they hold.
    @Test func forgedFirstAnswersAreOutlived() throws {
        var pair = Pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        let first = try #require(pair.initiator.sent.first)
        var reader = ByteReader(first.octets)
        let header = try Header(from: &reader)
        func forge(_ payloads: [Payload]) {
            let answer = Header(
                initiator: header.initiator, responder: Cookie(77), majorVersion: 2, exchange: .ikeSAInit,
                flags: [.response])
            pair.give(
                .datagram(
                    Datagram(
                        local: first.local, remote: first.remote,
                        octets: Message(header: answer, payloads: payloads).octets)), to: .initiator)
        }
        forge([])
        forge([Payload(.nonceV2, body: [1])])
        forge([ProposalPayload.offer([Pair.esp], spi: [])])
        forge([
            ProposalPayload.offer([Pair.aes], spi: []),
            KeyExchangePayload(group: .curve25519, value: Array(repeating: 0, count: 32)).payload,
            Payload(.nonceV2, body: Array(repeating: 5, count: 32)),
        ])
        forge([NotifyPayload(.cookie, data: Array(repeating: 1, count: 65)).payload])
        #expect(pair.initiator.closed == nil)
        var fooled = pair
        pair.settle()
        #expect(pair.initiator.events.contains(.established))
        #expect(pair.disagreements == [])

        // Cookies are echoed only so often.
        let cookie = Message(
            header: Header(
                initiator: header.initiator, responder: .zero, majorVersion: 2, exchange: .ikeSAInit,
                flags: [.response]), payloads: [NotifyPayload(.cookie, data: [1, 2, 3]).payload])
        for _ in 0..<10 {
            fooled.give(
                .datagram(Datagram(local: first.local, remote: first.remote, octets: cookie.octets)), to: .initiator)
        }
        #expect(fooled.initiator.sent.count == 1 + InitialRequest.maximumCookies)
    }
}
