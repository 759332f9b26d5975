import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv1

/// draft-dukes-ike-mode-cfg-02 and Cisco Unity.
@Suite struct ModeConfigurationTests {
    private typealias Attribute = ConfigurationAttribute

    private static func pool(_ change: (inout NetworkInformation) -> Void = { _ in }) -> AddressPool {
        var pool = RemoteAccess.pool
        change(&pool.information)
        return pool
    }

    private func prefix(_ text: String) -> Prefix { Prefix(text)! }
    private func address(_ text: String) -> IPAddress { IPAddress(text)! }

    private func expectUp(_ pair: Pair, _ comment: Comment = "") {
        for side in Pair.Side.allCases { #expect(pair[side].usable.count == 1, comment) }
        #expect(pair.disagreements == [], comment)
    }

    @Test func withoutUsers() {
        var pair = RemoteAccess.pair(extended: false)
        pair.establish()
        expectUp(pair)
        #expect(pair.responder.sent.map(\.octets[18]) == [2, 2, 2, 6, 32])
        #expect(pair.initiator.addresses == [address("10.3.0.1")])
        // The address is there before the SA that uses it.
        pair.give(.command(.delete), to: .initiator)
        pair.settle()
        RemoteAccess.expectNothingLeft(&pair)
        // The next time the same peer has the same address.
        #expect(pair.responder.environment.leases.counts(of: "pool") == (0, 1))
    }

    @Test(arguments: [true, false]) func bothFamiliesAndAllThatAPoolSays(isPulling: Bool) {
        let six = AddressPool(name: "six", address("fd00:3::"), length: 112)!
        let four = Self.pool {
            $0.nameServers = [self.address("10.2.0.53"), self.address("10.2.0.54")]
            $0.netBIOSNameServers = [self.address("10.2.0.137")]
            $0.netmask = self.address("255.255.255.0")
            $0.subnets = [self.prefix("10.2.0.0/16")]
            $0.others = [.init(type: 16_999, value: [1, 2, 3])]
        }
        var pair = RemoteAccess.pair(
            extended: false, vips: ["0.0.0.0", "::"], pools: [four, six], isPulling: isPulling)
        pair.establish()
        expectUp(pair)
        #expect(pair.initiator.addresses == [address("10.3.0.1"), address("fd00:3::1")])
        let heard = pair.initiator.session.configuration.information
        #expect(heard.nameServers == four.information.nameServers)
        #expect(heard.netBIOSNameServers == four.information.netBIOSNameServers)
        #expect(heard.netmask == four.information.netmask && heard.subnets == four.information.subnets)
        if !isPulling {
            // SET from the gateway, ACKNOWLEDGE from the host.
            #expect(pair.responder.sent.map(\.octets[18]) == [2, 2, 2, 6, 32])
            #expect(pair.initiator.sent.map(\.octets[18]) == [2, 2, 2, 6, 32, 32])
        }
        pair.give(.command(.delete), to: .responder)
        pair.settle()
        RemoteAccess.expectNothingLeft(&pair)
    }

    @Test(arguments: [true, false]) func theBadNetwork(isPulling: Bool) {
        for lost in 5..<12 {
            for count in 1...2 {
                var pair = RemoteAccess.pair(extended: false, isPulling: isPulling)
                pair.network = { _, number, datagram in (lost..<lost + count).contains(number) ? [] : [datagram] }
                pair.establish()
                pair.run(for: .seconds(60))
                expectUp(pair, "\(count) lost from \(lost)")
                #expect(pair.responder.environment.leases.counts(of: "pool").online == 1)
            }
        }
    }

    @Test func aRequestedAddressIsGivenWhereItIsFree() {
        var pair = RemoteAccess.pair(extended: false, vips: ["10.3.0.77"])
        pair.establish()
        #expect(pair.initiator.addresses == [address("10.3.0.77")])
        var other = RemoteAccess.pair(extended: false, vips: ["10.9.0.77"])
        other.establish()
        #expect(other.initiator.addresses == [address("10.3.0.1")])
    }

    @Test func noAddressNoTunnel() {
        let single = AddressPool(name: "single", address("10.3.0.1"), length: 32)!
        var pair = RemoteAccess.pair(extended: false, pools: [single])
        _ = pair[.responder].environment.leases.take(
            from: single, requested: nil, for: Identity("other.example")!, holder: SessionID(99))
        pair.establish()
        guard case .policy(let why)? = pair.initiator.refusals.first else {
            Issue.record("\(pair.initiator.refusals)")
            return
        }
        #expect(why.contains("virtual address"))
        #expect(pair.initiator.installed.isEmpty && pair.responder.installed.isEmpty)
        #expect(pair.responder.environment.leases.counts(of: "single") == (1, 0))
    }

    /// The host is no gateway: it gives nothing, and what is set unasked it does not take.
    @Test func aSettingThatNobodyWanted() throws {
        var pair = RemoteAccess.pair(
            extended: false, vips: [], pools: [],
            host: {
                $0.children[0].localSelectors = [Pair.selector("10.1.0.0/16")]
            },
            gateway: {
                $0.children[0].remoteSelectors = [Pair.selector("10.1.0.0/16")]
            })
        pair.establish()
        expectUp(pair)
        for type in [AttributesPayload.MessageType.set, .request] {
            let message = AttributesPayload(
                type, identifier: 9, attributes: [DataAttribute(Attribute.ip4Address, octets: [10, 9, 9, 9])])
            let before = pair.initiator.sent.count
            pair.give(
                .datagram(
                    try RemoteAccess.forge(message, from: .responder, pair, messageID: UInt32(type.rawValue) + 50)),
                to: .initiator)
            #expect(pair.initiator.sent.count == before + 1)
            #expect(pair.initiator.addresses.isEmpty)
        }
        #expect(pair.initiator.session.snapshot.localVirtualAddresses.isEmpty)
    }

    /// Libreswan pushes the address under the message ID of its verdict on the user, with that exchange's IV.
    @Test func aSettingBehindTheVerdict() throws {
        var pair = RemoteAccess.pair(host: { $0.isPulling = false })
        pair.establish()
        // The gateway waits to be asked, and the host to be told.
        #expect(pair.initiator.addresses.isEmpty && pair.initiator.installed.isEmpty)
        let verdict = try #require(pair.initiator.session.transactions.last)
        #expect(verdict.exchange.isFinished && verdict.purpose == nil)
        func forge(_ type: AttributesPayload.MessageType, behind transaction: Transaction?, breaksHash: Bool = false)
            throws -> Datagram
        {
            try RemoteAccess.forge(
                AttributesPayload(
                    type, identifier: 3, attributes: [DataAttribute(Attribute.ip4Address, octets: [10, 3, 0, 9])]),
                from: .responder, pair, messageID: verdict.messageID, breaksHash: breaksHash, behind: transaction)
        }
        let sent = pair.initiator.sent.count
        // With the IV that began the exchange, with another hash, or as a question it is none.
        for datagram in [
            try forge(.set, behind: nil), try forge(.set, behind: verdict, breaksHash: true),
            try forge(.request, behind: verdict), try forge(.acknowledge, behind: verdict),
        ] { pair.give(.datagram(datagram), to: .initiator) }
        #expect(pair.initiator.addresses.isEmpty && pair.initiator.sent.count == sent)
        let setting = try forge(.set, behind: verdict)
        pair.give(.datagram(setting), to: .initiator)
        #expect(pair.initiator.addresses == [address("10.3.0.9")])
        // The acknowledgement, and Quick Mode.
        let answers = pair.initiator.sent.dropFirst(sent).map(\.octets)
        #expect(answers.map { $0[18] } == [6, 32])
        #expect(answers.first.map { Array($0[20..<24]) } == verdict.messageID.octets)
        // Repeated, it is answered by the same once more.
        pair.give(.datagram(setting), to: .initiator)
        #expect(pair.initiator.sent.last?.octets == answers.first)
    }

    /// Only what can be a host's address becomes one, and only of a family that was asked for.
    @Test(arguments: ["0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "fd00:3::1"])
    func addressesThatNoHostHas(text: String) {
        var pair = RemoteAccess.pair(extended: false)
        pair[.initiator].session.configuration.state = .requested
        var context = Context(taking: &pair[.initiator].environment)
        let value = address(text)
        let attribute = DataAttribute(
            value.family == .v4 ? Attribute.ip4Address : Attribute.ip6Address, octets: value.octets)
        _ = try? pair[.initiator].session.receiveConfiguration([attribute], &context)
        #expect(pair.initiator.session.configuration.addresses.isEmpty)
        #expect(!context.effects.contains { if case .addAddress = $0 { true } else { false } })
    }

    @Test func malformedAttributesAreRefusedWhole() throws {
        var pair = RemoteAccess.pair(extended: false)
        pair.establish()
        for cut in 2..<8 {
            var payload = AttributesPayload(
                .request, identifier: 3, attributes: [DataAttribute(Attribute.ip4Address, octets: [10, 3, 0, 9])]
            ).payload
            payload.body.removeLast(cut)
            #expect(throws: ParseError.self) { try AttributesPayload(parsing: payload.body + [0x40]) }
        }
        let many = [DataAttribute](repeating: DataAttribute(Attribute.ip4Address, octets: []), count: 257)
        #expect(throws: ParseError.self) {
            try AttributesPayload(parsing: AttributesPayload(.request, identifier: 1, attributes: many).payload.body)
        }
        // A HASH that does not hold costs a note.
        let message = AttributesPayload(.request, identifier: 1, attributes: Array(many.prefix(4)))
        let before = pair.responder.sent.count
        pair.give(
            .datagram(try RemoteAccess.forge(message, from: .initiator, pair, breaksHash: true)), to: .responder)
        #expect(pair.responder.sent.count == before)
        #expect(pair.responder.events.contains { $0.isNote("HASH does not hold") })
        pair.give(.datagram(try RemoteAccess.forge(message, from: .initiator, pair)), to: .responder)
        #expect(pair.responder.sent.count == before + 1)
    }

    /// Libreswan's Mode Config messages end in zeros that align their payload, inside its length.
    @Test(arguments: 0...3) func anAlignedEndIsNoAttribute(length: Int) throws {
        let value = [UInt8](repeating: 7, count: 4 + length)
        let payload = AttributesPayload(
            .reply, identifier: 3, attributes: [DataAttribute(ConfigurationAttribute.xauthMessage, octets: value)])
        let body = payload.payload.body
        let padding = [UInt8](repeating: 0, count: (4 - length) % 4)
        #expect(try AttributesPayload(parsing: body + padding) == payload)
        // Neither another octet nor an end elsewhere; four octets of zero would be an attribute.
        if !padding.isEmpty {
            #expect(throws: ParseError.self) { try AttributesPayload(parsing: body + padding.dropLast() + [1]) }
        }
        if padding.count < 3 {
            #expect(throws: ParseError.self) { try AttributesPayload(parsing: body + padding + [0]) }
        }
    }

    /// A trace shows nothing of attributes that cannot be read: one of them may be a password.
    @Test func brokenAttributesAreNotShown() {
        let payload = AttributesPayload(
            .reply, identifier: 3,
            attributes: [DataAttribute(ConfigurationAttribute.xauthUserPassword, octets: Array("foobar".utf8))]
        ).payload
        let broken = Payload(.attributes, body: payload.body + [0x40])
        #expect(IKEv1Session.withoutSecrets([broken]) == [Payload(.attributes, body: [])])
        let shown = IKEv1Session.withoutSecrets([payload]).flatMap(\.body)
        #expect(!shown.isEmpty && !String(decoding: shown, as: UTF8.self).contains("foobar"))
    }

    /// The address is asked for again before it expires, and stays.
    @Test func anAddressThatExpiresIsRenewed() {
        var pair = RemoteAccess.pair(extended: false)
        pair.establish()
        let before = pair.initiator.sent.count
        pair[.initiator].timers[.renewAddress] = pair.now + .seconds(10)
        pair.run(for: .seconds(12))
        #expect(pair.initiator.sent.count == before + 1 && pair.initiator.sent.last?.octets[18] == 6)
        #expect(pair.initiator.addresses == [address("10.3.0.1")])
        #expect(pair.responder.environment.leases.counts(of: "pool").online == 1)
        expectUp(pair)
    }

    // MARK: Unity

    @Test func splitTunnel() {
        let pool = Self.pool {
            $0.splitInclude = [self.prefix("10.2.1.0/24"), self.prefix("10.2.3.0/24")]
            $0.banner = "Welcome"
            $0.defaultDomain = "example.org"
            $0.splitDomains = ["example.org", "example.net"]
            $0.maySavePassword = true
            $0.backupServers = [self.address("198.51.100.9")]
        }
        var pair = RemoteAccess.pair(pools: [pool])
        pair.establish()
        #expect(pair.initiator.usable.count == 1 && pair.responder.usable.count == 1)
        let heard = pair.initiator.session.configuration.information
        #expect(heard.banner == "Welcome" && heard.defaultDomain == "example.org")
        #expect(heard.splitDomains == ["example.org", "example.net"] && heard.maySavePassword == true)
        #expect(heard.backupServers == pool.information.backupServers)
        #expect(pair.initiator.events.contains { $0.isNote("Welcome") })
        // The host lets only the split through, the gateway what its policy says.
        #expect(
            pair.initiator.usable[0].remoteSelectors == pool.information.splitInclude.map { TrafficSelector($0) })
        #expect(pair.responder.usable[0].localSelectors == [TrafficSelector(prefix("10.2.0.0/16"))])
        #expect(pair.responder.usable[0].remoteSelectors == [TrafficSelector(address("10.3.0.1"))])
        // What either end rekeys has the same selectors again.
        for side in Pair.Side.allCases {
            let old = pair[side].usable[0]
            pair.give(.command(.rekeyChild(old.id)), to: side)
            pair.run(for: .seconds(20))
            #expect(pair[side].usable.count == 1 && pair[side].usable[0].id != old.id, "\(side)")
            #expect(pair[side].usable[0].localSelectors == old.localSelectors, "\(side)")
            #expect(pair[side].usable[0].remoteSelectors == old.remoteSelectors, "\(side)")
        }
    }

    @Test func localNetworksStayOut() {
        let pool = Self.pool { $0.splitExclude = [self.prefix("10.2.4.0/22")] }
        var pair = RemoteAccess.pair(pools: [pool])
        pair.establish()
        #expect(
            pair.initiator.usable.first?.remoteSelectors.map(\.description)
                == ["10.2.0.0/22", "10.2.8.0..10.2.255.255"])
    }

    /// 0.0.0.0/0 is for Unity's clients with an address alone.
    @Test func everythingIsNotForOthers() {
        var pair = RemoteAccess.pair(
            extended: false, host: { $0.children[0].remoteSelectors = [.fixed(.everything(.v4))] })
        pair.network = { side, number, datagram in
            // The vendor ID is in the first message of either side.
            guard number < 2, let start = datagram.octets.firstRange(of: Unity.vendorID.prefix(14))?.lowerBound else {
                return [datagram]
            }
            var changed = datagram
            changed.octets[start] ^= 1
            return [changed]
        }
        pair.establish()
        #expect(pair.responder.usable.isEmpty)
        #expect(pair.responder.refusals.contains { if case .selectors = $0 { true } else { false } })
        var known = RemoteAccess.pair(
            extended: false, host: { $0.children[0].remoteSelectors = [.fixed(.everything(.v4))] })
        known.establish()
        #expect(known.responder.usable.first?.localSelectors == [TrafficSelector(prefix("10.2.0.0/16"))])
    }

    @Test func networksOfASplitAreReadWithCare() {
        var information = NetworkInformation()
        let good = address("10.2.1.0").octets + address("255.255.255.0").octets + [0, 0, 0, 0, 0, 0]
        let hole = address("10.2.1.0").octets + address("255.0.255.0").octets + [0, 0, 0, 0, 0, 0]
        let taken = information.take([
            DataAttribute(Attribute.unitySplitInclude, octets: good + hole + good),
            DataAttribute(Attribute.unitySplitInclude, octets: Array(good.dropLast())),
            DataAttribute(Attribute.ip4Netmask, octets: [255, 255]), DataAttribute(Attribute.ip4DNS, octets: [1]),
            DataAttribute(Attribute.ip4DNS, octets: []), DataAttribute(999, octets: [1, 2, 3, 4]),
        ])
        #expect(taken == [0])
        #expect(information.splitInclude == [prefix("10.2.1.0/24")])
        #expect(information.netmask == nil && information.nameServers.isEmpty)
    }

    /// strongSwan says each of its pool's networks in eight octets, and those of its children in fourteen.
    @Test func networksOfASplitMayBeShort() {
        var information = NetworkInformation()
        let short = address("10.2.0.0").octets + address("255.255.255.128").octets
        let hole = address("10.2.0.0").octets + address("255.0.255.0").octets
        let long = address("10.2.3.0").octets + address("255.255.255.0").octets + [0, 0, 0, 0, 0, 0]
        let taken = information.take([
            DataAttribute(Attribute.unitySplitInclude, octets: long),
            DataAttribute(Attribute.unitySplitInclude, octets: short),
            DataAttribute(Attribute.unitySplitInclude, octets: hole),
            DataAttribute(Attribute.unitySplitInclude, octets: short + short),
            DataAttribute(Attribute.unitySplitExclude, octets: short),
        ])
        #expect(taken == [0, 1, 4])
        #expect(information.splitInclude == [prefix("10.2.3.0/24"), prefix("10.2.0.0/25")])
        #expect(information.splitExclude == [prefix("10.2.0.0/25")])
    }

    @Test func selectorsWithoutABlock() {
        let all = TrafficSelector.everything(.v4)
        #expect(all.without(prefix("0.0.0.0/0")).isEmpty)
        #expect(all.without(prefix("128.0.0.0/1")).map(\.description) == ["0.0.0.0/1"])
        #expect(all.without(prefix("0.0.0.0/1")).map(\.description) == ["128.0.0.0/1"])
        #expect(all.without(prefix("fd00::/8")) == [all])
        #expect(TrafficSelector(prefix("10.0.0.0/24")).without(prefix("10.0.1.0/24")).count == 1)
        let narrow = Unity.narrow([all], to: [prefix("10.0.0.0/8")], without: [prefix("10.1.0.0/16")])
        #expect(narrow.allSatisfy { !$0.matches(address("10.1.2.3"), ipProtocol: 6, port: 80) })
        #expect(narrow.contains { $0.matches(address("10.2.2.3"), ipProtocol: 6, port: 80) })
    }
}
