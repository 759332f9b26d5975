import Cryptography
import DataPlane
import IPsec
import Primitives
import Testing

@testable import Platform

@Suite(.timeLimit(.minutes(1))) struct UserspaceEngineTests {
    private let west: LoopbackEngine
    private let east: LoopbackEngine

    init() throws {
        west = try LoopbackEngine()
        east = try LoopbackEngine()
    }

    private func pair(child: UInt32 = 1, suite: Suite = Suite(encryption: Encryption(.aesGCM16, keyBits: 128)))
        -> ChildPair
    {
        ChildPair(
            suite, child: child, westEnd: west.natEnd, eastEnd: east.natEnd, westNet: [selector("10.1.0.0/16")],
            eastNet: [selector("10.2.0.0/16")])
    }

    private func install(_ pair: ChildPair) {
        pair.west.forEach(west.engine.install)
        pair.east.forEach(east.engine.install)
    }

    @Test func carriesIKEWithAndWithoutTheMarker() async throws {
        #expect(west.engine.boundPort != 0)
        #expect(west.engine.boundNATPort != west.engine.boundPort)
        let plain = Datagram(local: west.end, remote: east.end, octets: [1, 2, 3, 4, 5])
        #expect(west.engine.sendIKE(plain))
        #expect(await east.messages.next() == Datagram(local: east.end, remote: west.end, octets: [1, 2, 3, 4, 5]))
        // A keepalive is not delivered, nor does it disturb what follows.
        #expect(west.engine.sendIKE(Datagram(local: west.natEnd, remote: east.natEnd, octets: [0xFF])))
        #expect(west.engine.sendIKE(Datagram(local: west.natEnd, remote: east.natEnd, octets: [9, 8])))
        #expect(await east.messages.next() == Datagram(local: east.natEnd, remote: west.natEnd, octets: [9, 8]))
        // The marker makes the difference: without it the octets are ESP.
        #expect(west.engine.sendIKE(Datagram(local: west.end, remote: east.natEnd, octets: [9, 8, 7, 6, 5, 4, 3, 2])))
        #expect(west.engine.sendIKE(Datagram(local: west.end, remote: east.end, octets: [1])))
        let unspecified = Endpoint(.any(.v4), port: west.engine.boundPort)
        #expect(west.engine.sendIKE(Datagram(local: unspecified, remote: east.end, octets: [2])))
        #expect(await east.messages.next()?.octets == [1])
        #expect(await east.messages.next() == Datagram(local: east.end, remote: west.end, octets: [2]))
    }

    @Test(arguments: [
        Suite(encryption: Encryption(.aesGCM16, keyBits: 256)), Suite(encryption: Encryption(.chacha20Poly1305)),
        Suite(encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA256_128),
    ])
    func carriesPacketsBothWays(suite: Suite) async throws {
        install(pair(suite: suite))
        for size in [0, 1, 100, 100, 100, 1300, 60] {
            let out = packet(from: "10.1.0.1", to: "10.2.0.1", payload: size)
            let back = packet(from: "10.2.0.1", to: "10.1.0.1", payload: size)
            #expect(west.engine.sendPacket(out))
            #expect(await east.packets.next() == out)
            #expect(east.engine.sendPacket(back))
            #expect(await west.packets.next() == back)
        }
        let counters = try #require(west.engine.counters(of: ChildID(1)))
        #expect(counters.inbound.packets == 7)
        #expect(counters.outbound.packets == 7)
        #expect(counters.inbound.octets == 1661 + 7 * 28)
        #expect(west.engine.dropCounters.nonzero == [:])
        #expect(east.engine.dropCounters.nonzero == [:])
        guard case .inboundTraffic(ChildID(1), _)? = await west.events.next() else {
            Issue.record("traffic is a sign of life")
            return
        }
    }

    @Test func newerSATakesOverAndOlderOneComesBack() async throws {
        install(pair(child: 1))
        let inner = packet(from: "10.1.0.1", to: "10.2.0.1", payload: 10)
        west.engine.sendPacket(inner)
        _ = await east.packets.next()
        install(pair(child: 2))
        west.engine.sendPacket(inner)
        _ = await east.packets.next()
        #expect(west.engine.counters(of: ChildID(1))?.outbound.packets == 1)
        #expect(west.engine.counters(of: ChildID(2))?.outbound.packets == 1)
        for association in pair(child: 2).west {
            west.engine.remove(association.spi, association.direction, of: ChildID(2))
        }
        #expect(west.engine.counters(of: ChildID(2)) == nil)
        west.engine.sendPacket(inner)
        _ = await east.packets.next()
        #expect(west.engine.counters(of: ChildID(1))?.outbound.packets == 2)
    }

    @Test func unknownSPIsAndUncoveredPacketsAreCounted() async throws {
        let pair = pair()
        install(pair)
        let inner = packet(from: "10.1.0.1", to: "10.2.0.1", payload: 10)
        west.engine.sendPacket(packet(from: "10.9.0.1", to: "10.2.0.1", payload: 10))
        west.engine.sendPacket(inner)
        _ = await east.packets.next()
        #expect(west.engine.dropCounters[.noPolicy] == 1)
        east.engine.remove(pair.east[0].spi, .inbound, of: ChildID(1))
        west.engine.sendPacket(inner)
        // What is behind it on the same socket shows that it has been handled.
        #expect(west.engine.sendIKE(Datagram(local: west.natEnd, remote: east.natEnd, octets: [1])))
        while east.engine.dropCounters[.unknownSPI] == 0 { await Task.yield() }
        #expect(east.engine.counters(of: ChildID(1))?.inbound.packets == 0, "counters go with the SA")
    }

    /// A responder may send as soon as it has answered, while the initiator is at work on the answer (RFC 7296 §2.8).
    @Test(arguments: [
        Suite(encryption: Encryption(.aesGCM16, keyBits: 256)),
        Suite(encryption: Encryption(.aesCBC, keyBits: 256), integrity: .hmacSHA256_128),
    ])
    func packetsThatComeBeforeTheirSAWaitForIt(suite: Suite) async throws {
        let pair = pair(suite: suite)
        let inner = (1...3).map { packet(from: "10.1.0.1", to: "10.2.0.1", payload: $0 * 10) }
        pair.west.forEach(west.engine.install)
        east.engine.expect(pair.east[0].spi)
        west.engine.sendPacket(inner[0])
        west.engine.sendPacket(inner[1])
        // What is behind them shows that they have been handled.
        #expect(west.engine.sendIKE(Datagram(local: west.natEnd, remote: east.natEnd, octets: [1])))
        #expect(await east.messages.next()?.octets == [1])
        #expect(east.engine.dropCounters.nonzero == [:])
        pair.east.forEach(east.engine.install)
        #expect(await east.packets.next() == inner[0])
        #expect(await east.packets.next() == inner[1])
        west.engine.sendPacket(inner[2])
        #expect(await east.packets.next() == inner[2])
        #expect(east.engine.dropCounters.nonzero == [:])
        // Once it was there, its going is no reason to wait again.
        east.engine.remove(pair.east[0].spi, .inbound, of: ChildID(1))
        west.engine.sendPacket(inner[0])
        while east.engine.dropCounters[.unknownSPI] == 0 { await Task.yield() }
        #expect(east.engine.dropCounters.nonzero == [.unknownSPI: 1])
    }

    @Test func aPeerThatMovesIsReportedAndFollowed() async throws {
        install(pair())
        let inner = packet(from: "10.1.0.1", to: "10.2.0.1", payload: 10)
        // A third engine speaks with the west's keys, as the west would from behind a NAT whose mapping changed.
        let moved = try LoopbackEngine()
        pair().west.forEach(moved.engine.install)
        moved.engine.move(ChildID(1), local: moved.natEnd, remote: east.natEnd)
        moved.engine.sendPacket(inner)
        #expect(await east.packets.next() == inner)
        #expect(await east.events.next() == .mappingChanged(ChildID(1), moved.natEnd))
        east.engine.move(ChildID(1), local: east.natEnd, remote: moved.natEnd)
        let back = packet(from: "10.2.0.1", to: "10.1.0.1", payload: 10)
        east.engine.sendPacket(back)
        #expect(await moved.packets.next() == back)
    }

    @Test func closesTwice() throws {
        install(pair())
        west.engine.close()
        west.engine.close()
        #expect(west.engine.counters(of: ChildID(1)) == nil)
        install(pair())
        #expect(west.engine.counters(of: ChildID(1)) == nil)
    }

    @Test func refusesAPortInUse() throws {
        var configuration = UserspaceConfiguration()
        configuration.port = west.engine.boundPort
        configuration.bindAddress = loopback
        configuration.tunnelName = nil
        #expect(throws: PlatformError.self) {
            try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
        }
    }

    @Test func knowsTheMachinesAddresses() {
        #expect(west.engine.addresses().contains(loopback))
        #expect(west.engine.sourceAddress(for: loopback) == loopback)
    }
}

@Suite struct RouteTableTests {
    @Test func cutsRangesIntoPrefixes() throws {
        func prefixes(_ first: String, _ last: String) -> [String] {
            let selector = TrafficSelector(first: IPAddress(first)!, last: IPAddress(last)!)!
            return RouteTable.prefixes([selector]).map(\.description)
        }
        #expect(prefixes("10.0.0.0", "10.0.255.255") == ["10.0.0.0/16"])
        #expect(prefixes("10.0.0.1", "10.0.0.1") == ["10.0.0.1/32"])
        #expect(prefixes("10.0.0.1", "10.0.0.6") == ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/31", "10.0.0.6/32"])
        #expect(prefixes("0.0.0.0", "255.255.255.255") == ["0.0.0.0/0"])
        #expect(prefixes("255.255.255.254", "255.255.255.255") == ["255.255.255.254/31"])
        #expect(prefixes("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff") == ["::/0"])
        #expect(prefixes("fd00::", "fd00::1:ffff") == ["fd00::/111"])
        #expect(prefixes("0.0.0.1", "255.255.255.255").count == 32)
    }

    @Test func namesEachPrefixOnce() {
        let twice = [selector("10.0.0.0/8"), selector("10.0.0.0/8"), selector("fd00::/8")]
        #expect(RouteTable.prefixes(twice).map(\.description) == ["10.0.0.0/8", "fd00::/8"])
    }
}
