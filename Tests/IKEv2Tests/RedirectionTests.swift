import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// Redirects (RFC 5685) between two sessions; where the client goes next is key management's affair.
@Suite struct RedirectionTests {
    static let other = IPAddress("203.0.113.9")!

    private static func pair(
        _ moment: RedirectPolicy.Moment?, gateway: RedirectGateway = .address(other), follows: Bool = true,
        _ left: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var client = Pair.connection(isLeft: true)
        left(&client)
        var server = Pair.connection(isLeft: false)
        server.redirect = moment.map { RedirectPolicy(gateway: gateway, moment: $0) }
        var settings = EngineSettings()
        settings.followsRedirects = follows
        return Pair(client, server, settings: settings, otherSettings: EngineSettings())
    }

    @Test func theFirstResponseSendsTheClientOn() {
        var pair = Self.pair(.initial)
        pair.establish()
        #expect(pair.initiator.redirects == [Self.other])
        #expect(pair.initiator.closed == .replaced && pair.initiator.claimed.isEmpty)
        // The gateway did no work for it and keeps nothing.
        #expect(pair.responder.closed == .refused(.policy("sent on to \(Self.other)")))
        #expect(pair.responder.claimed.isEmpty && pair.responder.sent.count == 1)
        #expect(pair.responder.sent[0].octets.count < pair.initiator.sent[0].octets.count)
    }

    @Test func withAnotherNonceItIsNoRedirect() {
        var pair = Self.pair(.initial)
        // The nonce ends the message.
        pair.network = { side, _, datagram in
            guard side == .responder else { return [datagram] }
            var forged = datagram
            forged.octets[forged.octets.count - 1] ^= 1
            return [forged]
        }
        pair.establish()
        #expect(pair.initiator.redirects.isEmpty && pair.initiator.closed == nil)
    }

    @Test func aTruncatedOneIsNoRedirect() {
        for count in 0..<8 {
            #expect(RedirectData(Array([1, 4, 203, 0, 113, 9].prefix(count)))?.nonce == (count < 6 ? nil : []))
        }
        #expect(RedirectData([2, 4, 203, 0, 113, 9]) == nil && RedirectData([3, 0]) == nil)
        #expect(RedirectData([3, 2, 0x61, 0x0A]) == nil && RedirectData([4, 1, 0x61]) == nil)
        for gateway in [RedirectGateway.address(Self.other), .address(IPAddress("2001:db8::1")!), .name("gw.example")] {
            let data = RedirectData(gateway, nonce: [7, 8])
            #expect(RedirectData(data.octets) == data)
        }
    }

    @Test func theSecondResponseSendsOnWhoIsKnown() {
        var pair = Self.pair(.authentication)
        pair.establish()
        #expect(pair.initiator.redirects == [Self.other])
        #expect(pair.initiator.closed == .replaced && pair.responder.closed == .deletedByPeer)
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        // IKE_SA_INIT, IKE_AUTH, and the Delete.
        #expect(pair.initiator.sent.map(\.octets[18]) == [34, 35, 37])
    }

    @Test func theProofWithAPostquantumKeyHoldsToo() {
        var pair = Self.pair(.authentication) {
            $0.postquantumKey = Identity(.keyID, octets: Array("quantum".utf8))
            $0.requiresPostquantumKey = true
        }
        for side in Pair.Side.allCases { pair[side].postquantum = ["quantum": [1, 2, 3]] }
        pair.establish()
        #expect(pair.initiator.redirects == [Self.other] && pair.initiator.closed == .replaced)
    }

    @Test func aClientThatDoesNotGoIsDeleted() {
        var pair = Self.pair(.authentication)
        pair.network = { side, _, datagram in side == .initiator && datagram.octets[18] == 37 ? [] : [datagram] }
        pair.establish()
        #expect(pair.responder.closed == nil)
        pair.run(for: .seconds(61))
        #expect(pair.responder.session.current?.pending.isEmpty == false || pair.responder.closed == .replaced)
        pair.run(for: .seconds(600))
        #expect(pair.responder.closed == .replaced)
    }

    @Test(arguments: [RedirectPolicy.Moment.initial, .authentication]) func whoDoesNotKnowItStays(
        moment: RedirectPolicy.Moment
    ) {
        var pair = Self.pair(moment, follows: false)
        pair.establish()
        #expect(pair.initiator.redirects.isEmpty && pair.initiator.usable.count == 1 && pair.disagreements == [])
        #expect(!pair.responder.session.snapshot.takesRedirects)
        // Nor can it be sent on later.
        pair.give(.command(.redirect(.address(Self.other))), to: .responder)
        pair.settle()
        #expect(pair.initiator.redirects.isEmpty && pair.responder.sent.count == 2)
    }

    @Test func anEstablishedClientIsSentOnAndKeepsItsChildren() {
        var pair = Self.pair(nil)
        pair.establish()
        #expect(pair.responder.session.snapshot.takesRedirects)
        pair.give(.command(.redirect(.address(Self.other))), to: .responder)
        pair.settle()
        #expect(pair.initiator.redirects == [Self.other])
        #expect(pair.initiator.usable.count == 1 && pair.initiator.closed == nil)
        // The successor elsewhere is up.
        pair.give(.command(.retire), to: .initiator)
        pair.run(for: .seconds(30))
        #expect(pair.initiator.closed == .replaced && pair.responder.closed == .deletedByPeer)
    }

    @Test func onlyAGatewayRedirects() {
        var pair = Self.pair(nil)
        pair.establish()
        let before = pair.initiator.sent.count
        pair.give(.command(.redirect(.address(Self.other))), to: .initiator)
        pair.settle()
        #expect(pair.initiator.sent.count == before && pair.responder.redirects.isEmpty)
    }

    @Test func aNameIsFollowedWhereTheConfigurationKnowsIt() {
        var unknown = Self.pair(.initial, gateway: .name("gw.example"))
        unknown.establish()
        guard case .refused(.policy)? = unknown.initiator.closed else {
            Issue.record("\(String(describing: unknown.initiator.closed))")
            return
        }
        var known = Self.pair(.initial, gateway: .name("GW.example")) {
            $0.remoteAddresses.append(.name("gw.example", [Self.other]))
        }
        known.establish()
        #expect(known.initiator.redirects == [Self.other])
    }

    // MARK: With EAP

    /// A pair with a user, whose gateway says REDIRECT in the `number`-th response of IKE_AUTH.
    private static func userPair(
        redirectingIn number: UInt32, follows: Bool = true, forging: ([Payload]) -> [Payload] = { $0 }
    ) throws -> Pair {
        let joe = Identity("joe")!
        var client = Pair.connection(isLeft: true)
        client.local[0].method = .extensible(.any)
        client.local[0].userIdentity = .exactly(joe)
        var server = Pair.connection(isLeft: false)
        server.remote[0].method = .extensible(.mschapv2)
        server.remote[0].userIdentity = .any
        var settings = EngineSettings()
        settings.followsRedirects = follows
        var pair = Pair(client, server, settings: settings, otherSettings: EngineSettings())
        for side in Pair.Side.allCases { pair[side].passwords = [joe: "foobar"] }
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while !pair.wire.isEmpty {
            let (side, datagram) = pair.wire.removeFirst()
            var octets = datagram.octets
            var reader = ByteReader(octets)
            let header = try Header(from: &reader)
            if side == .initiator, header.exchange == .ikeAuth, header.messageID == number {
                var opener = try #require(pair.initiator.session.current)
                var sealer = try #require(pair.responder.session.current)
                var randomness = Randomness.seeded(99)
                let payloads = try #require(try opener.open(octets, header)).inner
                octets = try #require(
                    try sealer.seal(
                        .ikeAuth, messageID: number, isResponse: true,
                        forging(payloads) + [
                            NotifyPayload(.redirect, data: RedirectData(.address(other)).octets).payload
                        ],
                        &randomness
                    ).first)
            }
            pair.give(
                .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: octets)), to: side)
        }
        return pair
    }

    /// The first response, with the gateway's proof: the client's user need not say anything.
    @Test func theFirstResponseOfSeveralSendsOn() throws {
        for withoutEAP in [false, true] {
            let pair = try Self.userPair(redirectingIn: 1) { payloads in
                payloads.filter { !withoutEAP || $0.type != .extensibleAuthentication }
            }
            #expect(pair.initiator.redirects == [Self.other] && pair.initiator.closed == .replaced)
            #expect(pair.initiator.sent.map(\.octets[18]) == [34, 35, 37])
            #expect(pair.initiator.installed.isEmpty && pair.initiator.claimed.isEmpty)
            #expect(!pair.initiator.events.contains(.established) && pair.responder.closed != nil)
            #expect(pair.responder.installed.isEmpty)
        }
    }

    /// Before the gateway has proved who it is it sends nobody anywhere.
    @Test func withoutTheProofNobodyIsSentOn() throws {
        let pair = try Self.userPair(redirectingIn: 1) { payloads in
            payloads.map { payload in
                guard payload.type == .authentication else { return payload }
                var forged = payload
                forged.body[forged.body.count - 1] ^= 1
                return forged
            }
        }
        #expect(pair.initiator.redirects.isEmpty && pair.initiator.installed.isEmpty)
        guard case .refused(.authentication)? = pair.initiator.closed else {
            Issue.record("\(String(describing: pair.initiator.closed))")
            return
        }
    }

    /// The first response or the last (RFC 5685 §6), and none between.
    @Test func aResponseBetweenSendsNobodyOn() throws {
        let pair = try Self.userPair(redirectingIn: 2)
        #expect(pair.initiator.redirects.isEmpty && pair.initiator.usable.count == 1 && pair.disagreements == [])
        let requests = UInt32(pair.initiator.sent.count - 1)
        #expect(requests > 3)
        let last = try Self.userPair(redirectingIn: requests)
        #expect(last.initiator.redirects == [Self.other] && last.initiator.closed == .replaced)
        #expect(last.initiator.installed.isEmpty)
    }

    @Test func whoFollowsNobodyGoesOnWithItsUser() throws {
        let pair = try Self.userPair(redirectingIn: 1, follows: false)
        #expect(pair.initiator.redirects.isEmpty && pair.initiator.usable.count == 1 && pair.disagreements == [])
    }

    @Test func fiveInFiveMinutesAreFollowed() {
        var history = RedirectHistory()
        let start = Instant(nanoseconds: 0)
        let admitted = (0..<5).map { history.admit("left", at: start + .seconds($0)) }
        #expect(!admitted.contains(false))
        let sixth = history.admit("left", at: start + .seconds(5))
        let otherConnection = history.admit("right", at: start + .seconds(5))
        let later = history.admit("left", at: start + .seconds(300))
        #expect(!sixth && otherConnection && later)
        var pair = Self.pair(.initial)
        for _ in 0..<5 { _ = pair.ends[0].environment.redirects.admit("left", at: pair.now) }
        pair.establish()
        #expect(pair.initiator.redirects.isEmpty)
        guard case .refused(.policy)? = pair.initiator.closed else {
            Issue.record("\(String(describing: pair.initiator.closed))")
            return
        }
    }

    @Test func whoWasSentOnSaysFromWhere() throws {
        // The old gateway's address is this one's own redirect: the client is not sent back.
        var pair = Self.pair(.initial)
        pair.give(.command(.cameFrom(Self.other)), to: .initiator)
        pair.establish()
        #expect(pair.initiator.redirects.isEmpty && pair.initiator.usable.count == 1)
        var reader = ByteReader(pair.initiator.sent[0].octets[...])
        let header = try Header(from: &reader)
        let payloads = try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        let content = try MessageContent(payloads)
        #expect(content.notification(.redirectSupported) == nil)
        #expect(content.notification(.redirectedFrom)?.data == [1, 4, 203, 0, 113, 9])
    }
}
