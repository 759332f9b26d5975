import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// draft-beaulieu-ike-xauth-02: users by name and password, between phase 1 and phase 2.
@Suite struct ExtendedAuthenticationTests {
    private typealias Attribute = ConfigurationAttribute

    private func expectEstablished(_ pair: Pair, _ comment: Comment = "") {
        for side in Pair.Side.allCases {
            #expect(pair[side].closed == nil, comment)
            #expect(pair[side].usable.count == 1, comment)
            #expect(pair[side].inbound.count == 1 && pair[side].outbound.count == 1, comment)
            #expect(pair[side].events.count { $0 == .established } == 1, comment)
        }
        #expect(pair.disagreements == [], comment)
    }

    @Test(arguments: [false, true]) func userThenAddressThenQuickMode(isAggressive: Bool) {
        var pair = RemoteAccess.pair(isAggressive: isAggressive)
        pair.establish()
        expectEstablished(pair)
        let phaseOne: [UInt8] = isAggressive ? [4] : [2, 2, 2]
        #expect(pair.responder.sent.map(\.octets[18]) == phaseOne + [6, 6, 6, 32])
        #expect(pair.initiator.sent.map(\.octets[18]) == (isAggressive ? [4, 4] : phaseOne) + [6, 6, 6, 32, 32])
        // Every exchange has a message ID of its own, and the two of one pair share it.
        let identifiers = pair.responder.sent.filter { $0.octets[18] == 6 }.map { Array($0.octets[20..<24]) }
        #expect(Set(identifiers).count == 3)
        #expect(pair.responder.session.snapshot.remoteUser == RemoteAccess.user)
        #expect(pair.initiator.session.snapshot.localUser == RemoteAccess.user)
        #expect(pair.responder.asked == [RemoteAccess.user] && pair.initiator.asked == [RemoteAccess.user])
        let address = IPAddress("10.3.0.1")!
        #expect(pair.initiator.session.snapshot.localVirtualAddresses == [address])
        #expect(pair.responder.session.snapshot.remoteVirtualAddresses == [address])
        #expect(pair.initiator.addresses == [address])
        #expect(pair.initiator.usable[0].localSelectors == [TrafficSelector(address)])
        #expect(pair.responder.usable[0].remoteSelectors == [TrafficSelector(address)])
    }

    private static let keyPairMethods = Pair.Method.all.filter { $0.number.extended(.initiator) != nil }

    private static func withKeys(_ method: Pair.Method, password: String = "foobar") throws -> Pair {
        var pair = try Pair.withKeys(method) {
            $0.local.append(AuthenticationRound(.extendedAuthentication, identity: .exactly(RemoteAccess.user)))
        } responder: {
            $0.remote.append(AuthenticationRound(.extendedAuthentication))
        }
        pair[.initiator].passwords = [RemoteAccess.user: password]
        pair[.responder].passwords = [RemoteAccess.user: "foobar"]
        return pair
    }

    /// The password goes to an authentication server, which says whose it is.
    @Test(arguments: ["foobar", "wrong"]) func anAuthenticationServerKnowsTheUser(_ password: String) throws {
        let method = try #require(Self.keyPairMethods.first)
        var pair = try Pair.withKeys(method) {
            $0.local.append(AuthenticationRound(.extendedAuthentication, identity: .exactly(RemoteAccess.user)))
        } responder: {
            var round = AuthenticationRound(.extendedAuthentication)
            round.asksServer = true
            $0.remote.append(round)
        }
        pair[.initiator].passwords = [RemoteAccess.user: password]
        pair[.responder].passwords = [RemoteAccess.user: "foobar"]
        pair[.responder].grant = UserGrant()
        pair.establish()
        let isRight = password == "foobar"
        #expect(pair.responder.session.snapshot.remoteUser == (isRight ? RemoteAccess.user : nil))
        #expect(pair.responder.usable.count == (isRight ? 1 : 0))
    }

    /// Where no server answers, the user is not asked for another password; where one refuses, it is.
    @Test(arguments: [true, false]) func whoIsNotJudgedIsAskedOnce(isThere: Bool) {
        var pair = RemoteAccess.pair(gateway: {
            $0.remote.removeAll { $0.method == .extendedAuthentication }
            var round = AuthenticationRound(.extendedAuthentication)
            round.asksServer = true
            $0.remote.append(round)
        })
        pair[.initiator].passwords = [RemoteAccess.user: "wrong"]
        pair[.responder].grant = isThere ? UserGrant() : nil
        pair.establish()
        #expect(pair.responder.refusals == [.userAuthentication(user: RemoteAccess.user)])
        #expect(pair.responder.installed.isEmpty && pair.initiator.installed.isEmpty)
        #expect(pair.initiator.asked.count == (isThere ? ExtendedAuthentication.maximumAttempts : 1))
    }

    /// XAUTHInitRSA, XAUTHInitDSS and those with encryption (§7.2): phase 1 with key pairs, then the user.
    @Test(arguments: keyPairMethods) func keyPairsThenTheUser(_ method: Pair.Method) throws {
        #expect(Self.keyPairMethods.count == 8)
        var pair = try Self.withKeys(method)
        pair.establish()
        expectEstablished(pair)
        #expect(pair.responder.session.snapshot.remoteUser == RemoteAccess.user)
        #expect(pair.initiator.session.snapshot.localUser == RemoteAccess.user)
        #expect(pair.responder.asked == [RemoteAccess.user])
        // The offer names the method with the user in it and no other.
        let number = try #require(method.number.extended(.initiator)).rawValue
        let offered = try #require(pair.initiator.sent.first).octets
        func holds(_ value: UInt16) -> Bool {
            let attribute: [UInt8] = [0x80, 3, UInt8(value >> 8), UInt8(value & 0xFF)]
            return offered.indices.dropLast(3).contains { Array(offered[$0..<($0 + 4)]) == attribute }
        }
        #expect(holds(number) && !holds(method.number.rawValue))
    }

    @Test(arguments: keyPairMethods) func keyPairsAloneLetNobodyIn(_ method: Pair.Method) throws {
        var pair = try Self.withKeys(method, password: "wrong")
        pair.establish()
        #expect(pair.responder.refusals == [.userAuthentication(user: RemoteAccess.user)])
        #expect(!pair.responder.events.contains(.established) && pair.responder.installed.isEmpty)
        #expect(pair.initiator.installed.isEmpty)
        RemoteAccess.expectNothingLeft(&pair)
    }

    /// XAUTHRespPreShared: the gateway begins phase 1, and the host that it reaches has the user.
    @Test func theGatewayMayBegin() {
        var pair = RemoteAccess.pair(vips: [], pools: [], hostBegins: false) {
            $0.children[0].localSelectors = [Pair.selector("10.2.0.0/16")]
        } gateway: {
            $0.children[0].remoteSelectors = [Pair.selector("10.2.0.0/16")]
        }
        pair.establish()
        expectEstablished(pair)
        #expect(pair.initiator.session.snapshot.remoteUser == RemoteAccess.user)
        #expect(pair.initiator.sent.filter { $0.octets[18] == 6 }.count == 2)
    }

    @Test func whoSpeaksNoExtendedAuthenticationIsRefused() {
        for missing in Pair.Side.allCases {
            var pair = RemoteAccess.pair(
                host: {
                    if missing == .initiator { $0.local.removeLast() }
                },
                gateway: {
                    if missing == .responder { $0.remote.removeLast() }
                })
            pair.establish()
            #expect(pair.initiator.refusals == [.peer(notification: 14, name: "NO-PROPOSAL-CHOSEN")])
            #expect(pair.responder.installed.isEmpty && pair.initiator.installed.isEmpty)
            RemoteAccess.expectNothingLeft(&pair)
        }
    }

    @Test func aWrongPasswordIsTriedThreeTimes() {
        var pair = RemoteAccess.pair(password: "wrong")
        pair.establish()
        #expect(pair.responder.asked.count == ExtendedAuthentication.maximumAttempts)
        #expect(pair.responder.refusals == [.userAuthentication(user: RemoteAccess.user)])
        #expect(pair.initiator.refusals == [.userRefused(user: RemoteAccess.user)])
        #expect(!pair.responder.events.contains(.established) && !pair.initiator.events.contains(.established))
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        #expect(pair.responder.environment.leases.leases(of: "pool").isEmpty)
        RemoteAccess.expectNothingLeft(&pair)
    }

    /// Libreswan deletes the ISAKMP SA when it hears the verdict, and acknowledges nothing: the reason stays the password.
    @Test func aDeleteInsteadOfAnAcknowledgement() {
        var pair = RemoteAccess.pair(password: "wrong")
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        func hasFailed() -> Bool { if case .failed = pair.responder.session.extended.state { true } else { false } }
        while !hasFailed(), !pair.wire.isEmpty { pair.deliverOne() }
        #expect(hasFailed())
        pair.wire = []
        pair.give(.command(.delete), to: .initiator)
        pair.settle()
        #expect(pair.responder.refusals == [.userAuthentication(user: RemoteAccess.user)])
        #expect(pair.responder.closed == .refused(.userAuthentication(user: RemoteAccess.user)))
        RemoteAccess.expectNothingLeft(&pair)
    }

    /// A user who types the right password the second time is in.
    @Test func aSecondTryMayPass() {
        var pair = RemoteAccess.pair(password: "wrong")
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while pair.responder.asked.isEmpty, !pair.wire.isEmpty { pair.deliverOne() }
        pair[.initiator].passwords = [RemoteAccess.user: "foobar"]
        pair.settle()
        #expect(pair.responder.asked.count == 2)
        expectEstablished(pair)
    }

    @Test func anUnknownUserLooksLikeAWrongPassword() {
        var known = RemoteAccess.pair(password: "wrong")
        var unknown = RemoteAccess.pair(password: "wrong")
        unknown[.responder].passwords = [:]
        known.establish()
        unknown.establish()
        #expect(known.responder.sent.map(\.octets.count) == unknown.responder.sent.map(\.octets.count))
        #expect(known.responder.sent.map(\.octets[18]) == unknown.responder.sent.map(\.octets[18]))
        #expect(unknown.responder.refusals == [.userAuthentication(user: RemoteAccess.user)])
    }

    @Test func aHostWithoutAPasswordSaysSo() {
        var pair = RemoteAccess.pair()
        pair[.initiator].passwords = [:]
        pair.establish()
        #expect(pair.responder.asked.isEmpty)
        #expect(pair.responder.refusals == [.userAuthentication(user: nil)])
        RemoteAccess.expectNothingLeft(&pair)
    }

    @Test func onlyTheConnectionsUsersAreLetIn() {
        var pair = RemoteAccess.pair(gateway: { $0.remote[1].identity = .exactly(Identity("jane")!) })
        pair.establish()
        #expect(pair.responder.asked.isEmpty)
        #expect(pair.responder.refusals == [.userAuthentication(user: RemoteAccess.user)])
        #expect(!pair.responder.events.contains(.established))
        RemoteAccess.expectNothingLeft(&pair)
    }

    /// A gateway that has proved who it is still gets no password where the connection has none for it.
    @Test func noPasswordForAPeerThatMayNotAsk() throws {
        var pair = Pair()
        pair.establish()
        pair[.initiator].passwords = [Identity("left.example")!: "secret"]
        let request = AttributesPayload(
            .request, identifier: 7,
            attributes: [
                DataAttribute(Attribute.xauthUserName, octets: []),
                DataAttribute(Attribute.xauthUserPassword, octets: []),
            ])
        let before = pair.initiator.sent.count
        pair.give(.datagram(try RemoteAccess.forge(request, from: .responder, pair)), to: .initiator)
        #expect(pair.initiator.asked.isEmpty)
        #expect(pair.initiator.sent.count == before + 1)
        #expect(pair.initiator.closed == nil && pair.initiator.usable.count == 1)
    }

    /// XAUTH-TYPE other than Generic, and what only a person can answer.
    @Test(arguments: [ConfigurationAttribute.xauthType, 16_525, 16_528, 16_529])
    func whatCannotBeGivenFails(type: UInt16) throws {
        var pair = RemoteAccess.pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        // Up to message 6: the responder's request is held back.
        while pair.initiator.session.phaseOne == nil { pair.deliverOne() }
        pair.wire = []
        let request = AttributesPayload(
            .request, identifier: 7,
            attributes: [
                type == Attribute.xauthType ? DataAttribute(type, 2) : DataAttribute(type, octets: []),
                DataAttribute(Attribute.xauthUserName, octets: []),
                DataAttribute(Attribute.xauthUserPassword, octets: []),
            ])
        pair.give(.datagram(try RemoteAccess.forge(request, from: .responder, pair)), to: .initiator)
        #expect(pair.initiator.asked.isEmpty)
        #expect(pair.initiator.sent.last?.octets[18] == 6)
    }

    // MARK: Order

    /// Before the user has authenticated the peer gets nothing, whatever it says.
    @Test func nothingBeforeTheUserHasAuthenticated() throws {
        var pair = RemoteAccess.pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while pair.responder.session.phaseOne == nil { pair.deliverOne() }
        pair.wire = []
        #expect(pair.responder.session.snapshot.state == .connecting)
        let sent = pair.responder.sent.count
        let attributes = [DataAttribute(Attribute.ip4Address, octets: [])]
        for type in [AttributesPayload.MessageType.request, .set, .reply, .acknowledge] {
            let datagram = try RemoteAccess.forge(
                AttributesPayload(type, identifier: 1, attributes: attributes), from: .responder, pair)
            // Made with the responder's keys, as the initiator will have them; sent the other way round.
            let forged = Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)
            pair.give(.datagram(forged), to: .responder)
        }
        // The host claims that it has passed.
        let claim = AttributesPayload(.set, identifier: 1, attributes: [DataAttribute(Attribute.xauthStatus, 1)])
        let datagram = try RemoteAccess.forge(claim, from: .responder, pair)
        pair.give(
            .datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)), to: .responder
        )
        #expect(pair.responder.sent.count == sent)
        #expect(!pair.responder.events.contains(.established))
        #expect(pair.responder.environment.leases.isEmpty && pair.responder.installed.isEmpty)
    }

    @Test func quickModeBeforeTheUserHasAuthenticatedIsDropped() throws {
        var pair = RemoteAccess.pair()
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while pair.initiator.session.phaseOne == nil { pair.deliverOne() }
        pair.wire = []
        // A host that is in a hurry.
        pair[.initiator].session.extended.state = .passed
        pair[.initiator].session.connection?.virtualAddresses = []
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        #expect(pair.initiator.sent.last?.octets[18] == 32)
        pair.settle()
        #expect(pair.responder.installed.isEmpty)
        #expect(pair.responder.events.contains { $0.isNote("Quick Mode before Extended Authentication") })
    }

    @Test func aUserWhoNeverAnswersIsForgotten() {
        var pair = RemoteAccess.pair()
        pair.network = { side, number, datagram in side == .initiator && datagram.octets[18] == 6 ? [] : [datagram] }
        pair.establish()
        RemoteAccess.expectNothingLeft(&pair)
        #expect(pair.responder.asked.isEmpty)
        #expect(!pair.responder.events.contains(.established))
    }

    @Test func theHostWaitsNoLongerThanItsTime() {
        var pair = RemoteAccess.pair()
        pair.network = { side, _, datagram in side == .responder && datagram.octets[18] == 6 ? [] : [datagram] }
        pair.establish()
        RemoteAccess.expectNothingLeft(&pair)
        #expect(!pair.initiator.events.contains(.established))
    }

    // MARK: Bad network

    @Test func eachMessageCanBeLostTwice() {
        for lost in 0..<16 {
            var pair = RemoteAccess.pair()
            pair.network = { _, number, datagram in (lost..<lost + 2).contains(number) ? [] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(60))
            expectEstablished(pair, "messages lost from \(lost)")
        }
    }

    @Test func eachMessageCanComeTwice() {
        for repeated in 0..<16 {
            var pair = RemoteAccess.pair()
            pair.network = { _, number, datagram in number == repeated ? [datagram, datagram] : [datagram] }
            pair.establish()
            pair.run(for: .seconds(30))
            expectEstablished(pair, "message \(repeated) twice")
            #expect(pair.responder.asked.count == 1, "message \(repeated) twice")
        }
    }

    /// A flipped bit in any message of the Transaction exchanges is a lost message, and no more.
    @Test(arguments: 6..<12) func flippedBits(message: Int) {
        var sample = RemoteAccess.pair()
        var lengths: [Int] = []
        sample.network = { _, _, datagram in
            [datagram]
        }
        sample.establish()
        let all = sample.initiator.sent + sample.responder.sent
        lengths = all.filter { $0.octets[18] == 6 }.map(\.octets.count)
        for octet in stride(from: 0, to: lengths.max() ?? 0, by: 3) {
            var pair = RemoteAccess.pair()
            pair.network = { _, number, datagram in
                guard number == message, octet < datagram.octets.count else { return [datagram] }
                var flipped = datagram
                flipped.octets[octet] ^= 1 << UInt8(octet % 8)
                return [flipped]
            }
            pair.establish()
            pair.run(for: .seconds(60))
            expectEstablished(pair, "octet \(octet) of message \(message)")
        }
    }

    @Test func recordedMessagesChangeNothing() {
        var pair = RemoteAccess.pair()
        pair.establish()
        pair.run(for: .seconds(100))
        let before = (pair.initiator.session.snapshot, pair.responder.session.snapshot)
        let asked = (pair.initiator.asked.count, pair.responder.asked.count)
        let leases = pair.responder.environment.leases.leases(of: "pool").map(\.address)
        for side in Pair.Side.allCases {
            for datagram in pair[side].sent where datagram.octets[18] == 6 {
                // To its receiver again, and back to its sender.
                pair.give(.datagram(datagram.mirrored), to: side.other)
                pair.give(.datagram(datagram), to: side)
            }
        }
        pair.settle()
        #expect(pair.initiator.session.snapshot == before.0 && pair.responder.session.snapshot == before.1)
        #expect(pair.initiator.asked.count == asked.0 && pair.responder.asked.count == asked.1)
        #expect(pair.responder.environment.leases.leases(of: "pool").map(\.address) == leases)
    }

    @Test func aFloodOfRequestsIsBounded() throws {
        var pair = RemoteAccess.pair()
        pair.establish()
        for number in 0..<5000 {
            let request = AttributesPayload(
                .request, identifier: UInt16(number & 0xFFFF),
                attributes: [DataAttribute(Attribute.ip4Address, octets: [])])
            let datagram = try RemoteAccess.forge(request, from: .initiator, pair, messageID: UInt32(number + 1))
            pair.give(.datagram(datagram), to: .responder)
            pair.wire = []
        }
        #expect(pair.responder.session.transactions.count <= 2 * Transaction.maximumFromPeer)
        #expect(pair.responder.session.phaseOne?.spentMessageIDs.count ?? 0 <= PhaseOne.maximumMessageIDs)
        // One session has one address of a family, however often it asks.
        #expect(pair.responder.environment.leases.counts(of: "pool").online == 1)
    }

    // MARK: Secrets

    /// A trace shows the exchange and hides what was typed.
    @Test func tracesShowNoPassword() {
        var pair = RemoteAccess.pair()
        for side in Pair.Side.allCases { pair[side].environment.settings.traceMessages = true }
        pair.establish()
        for side in Pair.Side.allCases {
            let parts = pair[side].events.flatMap { event -> [MessageTrace.Part] in
                if case .message(let trace) = event { trace.parts } else { [] }
            }
            let bodies = parts.filter { $0.type == PayloadType.attributes.rawValue }.map(\.body)
            #expect(bodies.count >= 6)
            #expect(bodies.contains { String(decoding: $0, as: UTF8.self).contains("joe") })
            #expect(!bodies.contains { String(decoding: $0, as: UTF8.self).contains("foobar") })
            #expect(!"\(pair[side].events)".contains("foobar"))
        }
    }

    /// What a peer's text does to a terminal or a log.
    @Test func textOfThePeersIsTamed() {
        let text = NetworkInformation.text(Array("Welcome\u{1B}[2J\r\nroot: all is well\u{202E}\u{0}".utf8))
        #expect(!text.unicodeScalars.contains { $0.value < 0x20 || $0.value == 0x202E })
        #expect(text.contains("Welcome") && text.contains("root: all is well"))
        #expect(NetworkInformation.text([UInt8](repeating: 65, count: 70_000)).count == 1024)
    }
}

extension SessionEvent {
    func isNote(_ part: String) -> Bool {
        if case .note(let text) = self { text.contains(part) } else { false }
    }
}

extension ExtendedAuthenticationTests {
    /// The host's last message of Aggressive Mode is lost, and it is the gateway that has the word: the host says it again, since
    /// the gateway would wait for ever.
    @Test(arguments: [true, false]) func theLastMessageOfAggressiveModeIsLost(hasUser: Bool) {
        for lost in 1...3 {
            var pair = RemoteAccess.pair(isAggressive: true, extended: hasUser, isPulling: false)
            var seen = 0
            pair.network = { side, _, datagram in
                guard side == .initiator, datagram.octets[18] == 4 else { return [datagram] }
                seen += 1
                return (2..<2 + lost).contains(seen) ? [] : [datagram]
            }
            pair.establish()
            pair.run(for: .seconds(60))
            for side in Pair.Side.allCases {
                #expect(pair[side].closed == nil && pair[side].usable.count == 1, "\(lost) lost")
            }
            // Once the gateway has spoken, nothing is said again.
            #expect(seen == 2 + lost)
        }
    }

    /// A gateway that never speaks is not called upon for ever.
    @Test func theLastMessageIsRepeatedAsOftenAsAnyOther() {
        var pair = RemoteAccess.pair(isAggressive: true)
        var seen = 0
        pair.network = { side, _, datagram in
            guard side == .initiator, datagram.octets[18] == 4 else { return [datagram] }
            seen += 1
            return seen == 1 ? [datagram] : []
        }
        pair.establish()
        RemoteAccess.expectNothingLeft(&pair)
        #expect(seen == 2 + pair.initiator.environment.settings.retransmitTries)
    }
}
