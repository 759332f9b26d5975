import CPlatform
import DataPlane
import Glibc
import IPsec
import Primitives
import Testing

@testable import Platform

/// IKE and ESP in TCP (RFC 9329), on loopback.
@Suite(.serialized, .timeLimit(.minutes(1))) struct StreamTests {
    private let west: LoopbackEngine
    private let east: LoopbackEngine
    /// West opens connections to east.
    private let westEnd: Endpoint
    private let eastEnd: Endpoint

    init() throws {
        west = try LoopbackEngine()
        east = try LoopbackEngine(streamPorts: [0])
        westEnd = Endpoint(loopback, port: west.engine.boundNATPort, isStream: true)
        eastEnd = Endpoint(loopback, port: try #require(east.engine.streamPorts.first), isStream: true)
    }

    /// Sends until the connection takes it: a new one may be begun once a second.
    private func send(_ octets: [UInt8]) async throws {
        let datagram = Datagram(local: westEnd, remote: eastEnd, octets: octets)
        while !west.engine.sendIKE(datagram) { try await Task.sleep(for: .milliseconds(20)) }
    }

    private func pair(_ westFromEast: Endpoint) -> ChildPair {
        let local = Endpoint(loopback, port: eastEnd.port)
        var pair = ChildPair(
            westEnd: westEnd, eastEnd: eastEnd, westNet: [selector("10.1.0.0/16")], eastNet: [selector("10.2.0.0/16")])
        for index in pair.east.indices {
            pair.east[index].local = local
            pair.east[index].remote = westFromEast
        }
        return pair
    }

    @Test func carriesMessagesAndPacketsBothWays() async throws {
        try await send([1, 2, 3, 4, 5])
        let message = try #require(await east.messages.next())
        #expect(message.octets == [1, 2, 3, 4, 5])
        #expect(message.remote.isStream)
        #expect(message.local == Endpoint(loopback, port: eastEnd.port))
        #expect(east.engine.sendIKE(Datagram(local: message.local, remote: message.remote, octets: [9, 8])))
        #expect(await west.messages.next() == Datagram(local: westEnd, remote: eastEnd, octets: [9, 8]))
        let pair = pair(message.remote)
        pair.west.forEach(west.engine.install)
        pair.east.forEach(east.engine.install)
        for size in [0, 1, 100, 100, 1300, 60] {
            let out = packet(from: "10.1.0.1", to: "10.2.0.1", payload: size)
            #expect(west.engine.sendPacket(out))
            #expect(await east.packets.next() == out)
            let back = packet(from: "10.2.0.1", to: "10.1.0.1", payload: size)
            #expect(east.engine.sendPacket(back))
            #expect(await west.packets.next() == back)
        }
        #expect(west.engine.streamCount == 1)
        #expect(east.engine.streamCount == 1)
        // Keepalives have no place in TCP, and disturb nothing.
        try await send([0xFF])
        try await send([7])
        #expect(await east.messages.next()?.octets == [7])
    }

    @Test func anotherAddressGetsAnotherConnectionAndTheSAFollows() async throws {
        try await send([1])
        let first = try #require(await east.messages.next())
        let pair = pair(first.remote)
        pair.west.forEach(west.engine.install)
        pair.east.forEach(east.engine.install)
        let other = Endpoint(IPAddress(v4: 0x7F00_0002), port: westEnd.port, isStream: true)
        west.engine.move(ChildID(1), local: other, remote: eastEnd)
        let out = packet(from: "10.1.0.1", to: "10.2.0.1", payload: 10)
        #expect(west.engine.sendPacket(out))
        #expect(await east.packets.next() == out)
        var found: (child: ChildID, end: Endpoint)?
        while found == nil, let event = await east.events.next() {
            if case .mappingChanged(let child, let end) = event { found = (child, end) }
        }
        let (child, moved) = try #require(found)
        #expect(moved.address == other.address)
        #expect(moved.isStream)
        #expect(moved != first.remote)
        east.engine.move(child, local: first.local, remote: moved)
        // A message for where the peer was finds it.
        #expect(east.engine.sendIKE(Datagram(local: first.local, remote: first.remote, octets: [3])))
        #expect(await west.messages.next()?.octets == [3])
        let back = packet(from: "10.2.0.1", to: "10.1.0.1", payload: 11)
        #expect(east.engine.sendPacket(back))
        #expect(await west.packets.next() == back)
    }

    /// A client that speaks `octets`; whether the daemon closed the connection.
    private func isClosed(after octets: [UInt8]) throws -> Bool {
        var (own, peer) = (parley_address(loopback), parley_address(eastEnd))
        let descriptor = parley_stream_connect(&own, &peer, 0)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var entry = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        try #require(poll(&entry, 1, 5000) == 1)
        try #require(parley_stream_send(descriptor, octets, octets.count) == octets.count)
        entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        guard poll(&entry, 1, 5000) == 1 else { return false }
        var octet: UInt8 = 0
        return parley_stream_receive(descriptor, &octet, 1) <= 0
    }

    @Test(arguments: ["GET / HTTP/1.1\r\n\r\n", "IKETCP\0\u{1}", "IKETCP\0\0", "IKETCP\0\u{3}a\0\u{1}"])
    func whatIsNoSuchStreamIsClosed(text: String) throws {
        #expect(try isClosed(after: Array(text.utf8)))
    }

    @Test func oneAddressHoldsFewConnectionsWithoutAnSA() throws {
        var (own, peer) = (parley_address(loopback), parley_address(eastEnd))
        var descriptors: [Int32] = []
        defer { for descriptor in descriptors { close(descriptor) } }
        for _ in 0..<(StreamSet.unusedPerSource + 4) {
            let descriptor = parley_stream_connect(&own, &peer, 0)
            try #require(descriptor >= 0)
            descriptors.append(descriptor)
        }
        // The kernel completes connections in order, so the last are the ones that are closed.
        var last = pollfd(fd: descriptors[descriptors.count - 1], events: Int16(POLLIN), revents: 0)
        #expect(poll(&last, 1, 5000) == 1)
        var octet: UInt8 = 0
        #expect(parley_stream_receive(last.fd, &octet, 1) <= 0)
        #expect(east.engine.streamCount == StreamSet.unusedPerSource)
        var first = pollfd(fd: descriptors[0], events: Int16(POLLIN), revents: 0)
        #expect(poll(&first, 1, 0) == 0)
    }

    @Test func nobodyIsConnectedToUnasked() {
        // Our end does not say that it opens connections: an answer to a peer that has gone away goes nowhere.
        let gone = Datagram(local: Endpoint(loopback, port: 4500), remote: eastEnd, octets: [1])
        #expect(!west.engine.sendIKE(gone))
        #expect(west.engine.streamCount == 0)
    }
}
