import IPsec
import ISAKMP
import Primitives
import Testing

@testable import IKEv2

/// The configuration payload (RFC 7296 §2.19, §3.15) and what hangs on it: leases, selectors, refusals.
@Suite struct VirtualAddressTests {
    private static let four = AddressPool(name: "four", IPAddress("10.3.0.0")!, length: 24)!
    private static let six = AddressPool(name: "six", IPAddress("fd00:3::")!, length: 112)!

    private func address(_ text: String) -> IPAddress { IPAddress(text)! }
    private func selector(_ text: String) -> TrafficSelector { TrafficSelector(Prefix(text)!) }

    private func pair(
        vips: [String] = ["0.0.0.0"], pools: [AddressPool] = [four],
        host changeHost: (inout Connection) -> Void = { _ in },
        gateway changeGateway: (inout Connection) -> Void = { _ in }
    ) -> Pair {
        var host = Pair.connection(isLeft: true)
        var gateway = Pair.connection(isLeft: false)
        host.virtualAddresses = vips.map { IPAddress($0)! }
        gateway.pools = pools.map(\.name)
        host.children[0].localSelectors = [.dynamic]
        gateway.children[0].remoteSelectors = [.dynamic]
        let far = ["10.2.0.0/16", "fd00:2::/64"].map { Pair.selector($0) }
        host.children[0].remoteSelectors = far
        gateway.children[0].localSelectors = far
        changeHost(&host)
        changeGateway(&gateway)
        var pair = Pair(host, gateway)
        pair[.responder].environment.policies.pools = pools
        return pair
    }

    private func expectNothingLeft(_ pair: inout Pair) {
        pair.run(for: .seconds(120))
        for side in Pair.Side.allCases {
            #expect(pair[side].closed != nil && pair[side].inbound.isEmpty && pair[side].outbound.isEmpty)
            #expect(pair[side].claimed.isEmpty && pair[side].environment.spisInUse.isEmpty)
        }
        #expect(pair.initiator.addresses.isEmpty)
    }

    /// The payloads of a message that an end sent, opened by the other.
    private func opened(_ pair: Pair, _ datagram: Datagram, by side: Pair.Side) throws -> [Payload] {
        var sa = try #require(pair[side].session.current)
        var reader = ByteReader(datagram.octets)
        let header = try Header(from: &reader)
        let message = try sa.open(datagram.octets, header)
        return try #require(message).inner
    }

    // MARK: Both ends

    @Test func addressesOfBothFamilies() throws {
        var pair = pair(vips: ["0.0.0.0", "::"], pools: [Self.four, Self.six])
        pair.establish()
        let given = [address("10.3.0.1"), address("fd00:3::1")]
        #expect(pair.initiator.addresses == Set(given))
        #expect(pair.initiator.session.snapshot.localVirtualAddresses == given)
        #expect(pair.responder.session.snapshot.remoteVirtualAddresses == given)
        #expect(pair.disagreements == [] && pair.initiator.usable.count == 1)
        let own = [selector("10.3.0.1/32"), selector("fd00:3::1/128")]
        #expect(pair.initiator.children[0].localSelectors == own)
        #expect(pair.responder.children[0].remoteSelectors == own)
        #expect(pair.responder.environment.leases.addresses(of: SessionID(2)) == given.sorted())
        pair.give(.command(.delete), to: .initiator)
        expectNothingLeft(&pair)
    }

    /// OpenIKED offers 0.0.0.0/32 beside its request for an address, and means any.
    @Test(arguments: [true, false]) func theUnspecifiedAddressIsAnyBesideARequest(isAsked: Bool) throws {
        var pair = pair(
            gateway: {
                if !isAsked { $0.pools = [] }
            })
        pair.give(.command(.createChild(name: "net")), to: .initiator)
        while let (side, datagram) = pair.wire.first, datagram.octets[18] == 34 {
            pair.wire.removeFirst()
            pair.give(.datagram(datagram.mirrored), to: side)
        }
        let request = try #require(pair.wire.first).datagram
        pair.wire.removeAll()
        let payloads = try opened(pair, request, by: .responder).map { payload in
            payload.type == .selectorsInitiator
                ? SelectorPayload.payload(.selectorsInitiator, [selector("0.0.0.0/32")]) : payload
        }
        #expect(payloads.contains { $0.type == .selectorsInitiator } && payloads.contains { $0.type == .configuration })
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(5)
        let octets = try sa.seal(.ikeAuth, messageID: 1, isResponse: false, payloads, &randomness)
        pair.give(
            .datagram(Datagram(local: request.remote, remote: request.local, octets: try #require(octets.first))),
            to: .responder)
        pair.settle()
        if isAsked {
            #expect(pair.responder.usable.first?.remoteSelectors == [selector("10.3.0.1/32")])
            #expect(pair.initiator.usable.first?.localSelectors == [selector("10.3.0.1/32")])
            #expect(pair.disagreements == [])
        } else {
            // Nobody is given an address, so that nobody is meant.
            #expect(pair.responder.usable.isEmpty)
            #expect(pair.responder.events.contains(.noticed(.keptWithoutChild)))
        }
    }

    @Test func anAddressThatIsAskedForIsGiven() {
        var pair = pair(vips: ["10.3.0.77"])
        pair.establish()
        #expect(pair.initiator.addresses == [address("10.3.0.77")] && pair.disagreements == [])
    }

    @Test func protocolsAndPortsOfDynamicStay() {
        var pair = pair(host: {
            $0.children[0].localSelectors = [.dynamicPorts(ipProtocol: 6, firstPort: 22, lastPort: 22)]
        })
        pair.establish()
        let local = pair.initiator.children.first?.localSelectors.first
        #expect(local?.first == address("10.3.0.1") && local?.last == address("10.3.0.1"))
        #expect(local?.ipProtocol == 6 && local?.firstPort == 22 && pair.disagreements == [])
    }

    @Test func whatThePoolSaysIsHeard() {
        var four = Self.four
        four.information.nameServers = [address("10.2.0.53"), address("fd00:2::53")]
        four.information.netBIOSNameServers = [address("10.2.0.137")]
        four.information.netmask = address("255.255.255.0")
        four.information.subnets = [Prefix("10.2.0.0/16")!, Prefix("fd00:2::/64")!]
        four.information.splitInclude = [Prefix("10.2.1.0/24")!, Prefix("10.2.0.0/16")!]
        four.information.splitDomains = ["corp.example", "example.net"]
        four.information.defaultDomain = "example.org"
        var pair = pair(pools: [four])
        pair.establish()
        let heard = pair.initiator.session.virtual.information
        #expect(heard.nameServers == four.information.nameServers)
        #expect(heard.netBIOSNameServers == four.information.netBIOSNameServers)
        #expect(heard.netmask == four.information.netmask)
        #expect(heard.subnets == four.information.subnets + [Prefix("10.2.1.0/24")!])
        #expect(heard.splitDomains == ["corp.example", "example.net", "example.org"])
        #expect(pair.initiator.events.contains { "\($0)".contains("10.2.0.53, fd00:2::53, for corp.example") })
        let names = NameService(
            servers: four.information.nameServers, domains: ["corp.example", "example.net", "example.org"])
        #expect(heard.names == names)
    }

    @Test func domainsAreForWhoAsksAndHasServers() {
        var information = NetworkInformation()
        information.splitDomains = ["corp.example"]
        information.others = [.init(type: 25, value: Array("other.example".utf8)), .init(type: 17_000, value: [1])]
        func types(_ asked: Set<ConfigurationPayload.AttributeType>) -> [UInt16] {
            information.attributes(asked: asked, [.v4]).map(\.type.rawValue)
        }
        #expect(types([.dnsDomain]) == [17_000])
        information.nameServers = [address("10.2.0.53")]
        #expect(types([]) == [3, 17_000])
        #expect(types([.dnsDomain]) == [3, 25, 25, 17_000])
        // And nobody believes in domains without servers, or in what is no name.
        #expect(NetworkInformation([.init(.dnsDomain, Array("corp.example".utf8))]).splitDomains == [])
        let read = NetworkInformation([
            .init(.ip4DNS, [10, 2, 0, 53]), .init(.dnsDomain, Array("a\u{1b}b".utf8)), .init(.dnsDomain, []),
            .init(.dnsDomain, Array("corp.example".utf8)),
        ])
        #expect(read.splitDomains == ["corp.example"])
    }

    @Test func theAddressStaysOverRekeying() {
        var pair = pair()
        pair.establish()
        for _ in 0..<2 {
            pair.give(.command(.rekeyIKE), to: .initiator)
            pair.settle()
            pair.give(.command(.rekeyIKE), to: .responder)
            pair.settle()
            for side in Pair.Side.allCases {
                guard let child = pair[side].usable.first else { continue }
                pair.give(.command(.rekeyChild(child.id)), to: side)
                pair.run(for: .seconds(10))
            }
        }
        #expect(pair.initiator.addresses == [address("10.3.0.1")] && pair.disagreements == [])
        #expect(pair.initiator.usable.map(\.localSelectors) == [[selector("10.3.0.1/32")]])
        #expect(pair.responder.usable.map(\.remoteSelectors) == [[selector("10.3.0.1/32")]])
        #expect(pair.responder.environment.leases.counts(of: "four") == (1, 0))
    }

    @Test func furtherChildrenHaveTheAddressToo() {
        var second = Pair.connection(isLeft: true).children[0]
        second.name = "more"
        second.localSelectors = [.dynamic]
        second.remoteSelectors = [Pair.selector("10.9.0.0/16")]
        var mirrored = second
        mirrored.localSelectors = second.remoteSelectors
        mirrored.remoteSelectors = [.dynamic]
        var pair = pair(host: { $0.children.append(second) }, gateway: { $0.children.append(mirrored) })
        pair.establish()
        pair.give(.command(.createChild(name: "more")), to: .initiator)
        pair.settle()
        let more = pair.responder.usable.first { $0.name == "more" }
        #expect(more?.remoteSelectors == [selector("10.3.0.1/32")] && pair.disagreements == [])
    }

    // MARK: Refusals

    @Test(arguments: [true, false]) func withoutAnAddressTheSAEnds(isExhausted: Bool) {
        let single = AddressPool(name: "four", address("10.3.0.9"), length: 32)!
        var pair = pair(pools: isExhausted ? [single] : [])
        if isExhausted {
            _ = pair[.responder].environment.leases.take(
                from: single, requested: nil, for: Identity("another")!, holder: SessionID(99))
        }
        pair.establish()
        pair.run(for: .seconds(1))
        #expect(
            pair.initiator.closed == .refused(.peer(notification: 36, name: "INTERNAL_ADDRESS_FAILURE")),
            "\(String(describing: pair.initiator.closed))")
        #expect(pair.responder.installed.isEmpty && pair.initiator.installed.isEmpty)
        #expect(
            pair.responder.events.contains(
                .refused(child: nil, .policy("no virtual address is free for the peer"))))
        #expect(pair.responder.environment.leases.addresses(of: SessionID(2)) == [])
        expectNothingLeft(&pair)
    }

    @Test func whoAsksForNothingGetsNoChildFromPools() {
        var pair = pair(vips: [])
        pair.establish()
        let refusal = Refusal.peer(notification: 37, name: "FAILED_CP_REQUIRED")
        #expect(pair.initiator.events.contains(.refused(child: "net", refusal)))
        #expect(pair.responder.installed.isEmpty && pair.responder.closed == nil)
    }

    @Test func aGatewayWithoutOurFamilySaysSo() {
        var pair = pair(vips: ["0.0.0.0", "::"], pools: [Self.six])
        pair.establish()
        #expect(pair.initiator.addresses == [address("fd00:3::1")] && pair.disagreements == [])
        #expect(pair.initiator.events.contains(.note("the peer has virtual addresses of IPv6 alone")))
        #expect(pair.initiator.children.first?.localSelectors == [selector("fd00:3::1/128")])
    }

    @Test func anAnswerWithoutAddressesEndsTheSA() throws {
        // What an implementation without the payload would say.
        let content = try MessageContent([])
        var pair = pair()
        var context = Context(taking: &pair[.initiator].environment)
        #expect {
            try pair[.initiator].session.takeConfiguration(content, &context)
        } throws: {
            if case Fault.noVirtualAddress(isOurs: true) = $0 { true } else { false }
        }
    }

    // MARK: The payload

    @Test func aLaterRequestTellsWhatThereIsAndGivesNoMore() throws {
        var pair = pair(vips: ["0.0.0.0"], pools: [Self.four, Self.six])
        pair.establish()
        var sa = try #require(pair.initiator.session.current)
        var randomness = Randomness.seeded(5)
        let request = ConfigurationPayload(
            .request, [.init(.ip4Address), .init(.ip6Address), .init(.applicationVersion), .init(.supportedAttributes)])
        let octets = try sa.seal(
            .informationalV2, messageID: sa.nextRequestID, isResponse: false, [request.payload], &randomness)
        sa.nextRequestID += 1
        let snapshot = pair.initiator.session.snapshot
        pair.give(
            .datagram(Datagram(local: snapshot.remote, remote: snapshot.local, octets: octets[0])), to: .responder)
        let answer = try opened(pair, try #require(pair.responder.sent.last), by: .initiator)
        let reply = try ConfigurationPayload(parsing: try #require(answer.first { $0.type == .configuration }))
        #expect(reply.kind == .reply)
        #expect(reply.attributes.compactMap(\.address) == [address("10.3.0.1")])
        #expect(reply.attributes.contains(.init(.applicationVersion, Array("Parley".utf8))))
        #expect(reply.attributes.last?.type == .supportedAttributes && reply.attributes.last?.value.count == 26)
        #expect(pair.responder.environment.leases.addresses(of: SessionID(2)) == [address("10.3.0.1")])
    }

    @Test func itIsReadAsItIsWritten() throws {
        let payload = ConfigurationPayload(
            .reply,
            [.init(address("10.3.0.1")), .init(address("fd00::1")), .init(.any(.v6)), .init(.ip4DNS, [1, 2, 3, 4])])
        // RFC 7296 §3.15: the reserved bit counts for nothing.
        var octets = payload.payload.body
        #expect(octets.prefix(12) == [2, 0, 0, 0, 0, 1, 0, 4, 10, 3, 0, 1])
        octets[4] |= 0x80
        #expect(try ConfigurationPayload(parsing: Payload(.configuration, body: octets)) == payload)
        for count in 0..<octets.count where ![4, 12, 33, 37].contains(count) {
            let cut = Payload(.configuration, body: Array(octets.prefix(count)))
            #expect(throws: ParseError.self) { try ConfigurationPayload(parsing: cut) }
        }
        // No host has these; and what has another length is no address.
        #expect(ConfigurationPayload.Attribute(.ip4Address, [10, 3, 0]).address == nil)
        #expect(ConfigurationPayload.Attribute(.ip6Address, [UInt8](repeating: 1, count: 17)).address != nil)
        let many = ConfigurationPayload(.request, Array(repeating: .init(.ip4Address), count: 5000))
        #expect(try ConfigurationPayload(parsing: many.payload).attributes.count == 256)
    }

    @Test func hostileAddressesAreNotTaken() throws {
        for text in ["127.0.0.1", "224.0.0.1", "0.0.0.7", "255.255.255.255"] {
            var content = try MessageContent([ConfigurationPayload(.reply, [.init(address(text))]).payload])
            content.notifications = []
            var pair = pair()
            var context = Context(taking: &pair[.initiator].environment)
            #expect(throws: Fault.self) {
                try pair[.initiator].session.takeConfiguration(content, &context)
            }
            #expect(pair.initiator.session.virtual.own.isEmpty)
        }
    }

    @Test func aPeerCannotDrainThePool() {
        let attributes = [ConfigurationPayload.Attribute](repeating: .init(.ip4Address), count: 200)
        var pair = pair()
        pair.establish()
        var environment = pair.responder.environment
        var session = pair.responder.session
        var context = Context(taking: &environment)
        var content = try! MessageContent([ConfigurationPayload(.request, attributes).payload])
        content.offers = []
        let answer = session.answerConfiguration(content, peer: Identity("left.example")!, &context)
        #expect(answer.fault == nil && session.virtual.assigned.count == VirtualAddresses.maximumCount)
        // The one that it had stays its own until the session ends.
        #expect(context.environment.leases.counts(of: "four").online == VirtualAddresses.maximumCount + 1)
    }
}
