import Cryptography
import IPsec
import KeyManagement
import Primitives
import Testing

@testable import Simulation

/// Clones of IKE SAs (RFC 7791) under key management: SAs of their own, of the same connection.
@Suite struct CloningTests {
    private static let hosts = [IPAddress(v4: 0xC000_0201), IPAddress(v4: 0xC000_0202)]
    private static let second = IPAddress(v4: 0xC000_0211)
    private static let inner: [UInt32] = [0x0A01_0000, 0x0A02_0000]

    private static func selector(_ host: Int, _ index: UInt32) -> TrafficSelector {
        let base = inner[host] + index << 8
        return TrafficSelector(first: IPAddress(v4: base), last: IPAddress(v4: base + 255)) ?? .everything(.v4)
    }

    /// Two hosts with a tunnel for the first of two networks, and a second address of the first host's.
    private static func world(clones: [Int] = [2, 2], change: (inout Connection) -> Void = { _ in }) -> World {
        var world = World(seed: 11)
        for host in 0..<2 {
            let esp = Proposal(
                .esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])
            let children = ["one", "two"].enumerated().map { index, name in
                ChildPolicy(
                    name: name, proposals: [esp], localSelectors: [.fixed(selector(host, UInt32(index)))],
                    remoteSelectors: [.fixed(selector(1 - host, UInt32(index)))])
            }
            let ike = Proposal(
                .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128],
                prf: [.hmacSHA256], keyExchange: [.curve25519])
            var connection = Connection(name: "peer", proposals: [ike], children: children)
            connection.version = .v2
            connection.maximumClones = clones[host]
            connection.isMobile = true
            connection.localAddresses = host == 0 ? [.any(nil)] : [.range(hosts[1], hosts[1])]
            connection.remoteAddresses = host == 0 ? [.range(hosts[1], hosts[1])] : [.any(nil)]
            connection.localIdentity = Identity(hosts[host])
            connection.remoteIdentity = .exactly(Identity(hosts[1 - host]))
            change(&connection)
            world.addNode(
                "host \(host)", address: hosts[host], policies: PolicyDatabase(connections: [connection]),
                key: Array("a shared key".utf8), settings: EngineSettings())
        }
        world.addAddress(second, ofHost: 0)
        world.command(.initiate(connection: "peer", child: "one"), to: 0)
        world.run(for: .seconds(2))
        return world
    }

    private static func passes(_ world: inout World, _ network: UInt32) -> Bool {
        let before = world.packetsAccepted
        for host in 0..<2 {
            _ = world.sendPacket(
                from: host, source: IPAddress(v4: inner[host] + network << 8 + 7),
                destination: IPAddress(v4: inner[1 - host] + network << 8 + 7))
        }
        world.run(for: .seconds(1))
        return world.packetsAccepted == before + 2
    }

    @Test(
        "a clone goes to another address, has a child, and outlives what it was made of",
        arguments: [.no, .replace, .keep] as [Connection.Uniqueness])
    func outlives(unique: Connection.Uniqueness) throws {
        var world = CloningTests.world { $0.unique = unique }
        let old = world.nodes.map { $0.manager.sessionIDs }
        let request = world.command(
            .clone(Target(connection: "peer"), local: CloningTests.second, child: "two"), to: 0)
        world.run(for: .seconds(5))
        #expect(world.nodes[0].replies[request] == .done(matches: 1))
        for (node, old) in zip(world.nodes, old) {
            let clone = try #require(node.manager.snapshots.last)
            #expect(node.manager.snapshots.count == 2 && clone.clonedFrom == old[0], "\(node.name)")
            #expect(clone.connection == "peer" && clone.children.map(\.name) == ["two"], "\(node.name)")
            #expect(node.manager.snapshots[0].children.map(\.name) == ["one"], "\(node.name)")
        }
        #expect(world.nodes[0].manager.snapshots.map(\.local.address) == [CloningTests.hosts[0], CloningTests.second])
        #expect(world.nodes[1].manager.snapshots.map(\.remote.address) == [CloningTests.hosts[0], CloningTests.second])
        #expect(world.nodes[0].engine.inbound.values.map(\.local.address).contains(CloningTests.second))
        #expect(CloningTests.passes(&world, 0) && CloningTests.passes(&world, 1))
        // What comes up by name comes up on the first one, and routes that change leave the clone where it is.
        world.move(0, to: CloningTests.hosts[0])
        #expect(world.nodes[0].manager.snapshots[1].local.address == CloningTests.second)
        world.command(.terminate(Target(session: old[0][0])), to: 0)
        world.run(for: .seconds(5))
        #expect(world.nodes.map { $0.manager.snapshots.map { $0.children.map(\.name) } } == [[["two"]], [["two"]]])
        #expect(CloningTests.passes(&world, 1))
        // Clones count: when one is gone, there is room again.
        let clone = try #require(world.nodes[0].manager.sessionIDs.last)
        let again = (0..<2).map { _ in world.command(.clone(Target(session: clone), local: nil, child: nil), to: 0) }
        world.run(for: .seconds(5))
        #expect(again.map { world.nodes[0].replies[$0] }[0] == .done(matches: 1))
        #expect(world.nodes.map { $0.manager.sessionIDs.count } == [2, 2])
        world.takeDown()
        #expect(world.violation == nil)
    }

    @Test func childrenThatAreAskedForComeUpOnTheFirstOne() throws {
        var world = CloningTests.world()
        world.command(.clone(Target(connection: "peer"), local: nil, child: nil), to: 1)
        world.run(for: .seconds(2))
        world.command(.initiate(connection: "peer", child: "two"), to: 0)
        world.run(for: .seconds(2))
        for node in world.nodes {
            #expect(node.manager.snapshots.map { $0.children.map(\.name).sorted() } == [["one", "two"], []])
        }
        world.takeDown()
        #expect(world.violation == nil)
    }

    @Test("a peer that does not know clones loses nothing", arguments: [[2, 0], [0, 2]])
    func unknown(clones: [Int]) throws {
        var world = CloningTests.world(clones: clones)
        let before = world.nodes.map { $0.manager.snapshots.map(\.initiatorSPI) }
        let requests = (0..<2).map { world.command(.clone(Target(connection: "peer"), local: nil, child: nil), to: $0) }
        world.run(for: .seconds(30))
        for (node, request) in zip(world.nodes, requests) {
            #expect(node.replies[request] == .failed(.notClonable, matches: 0))
        }
        #expect(world.nodes.map { $0.manager.snapshots.map(\.initiatorSPI) } == before)
        #expect(CloningTests.passes(&world, 0))
        world.takeDown()
        #expect(world.violation == nil)
    }

    @Test func whatCannotBeIsRefused() throws {
        var world = CloningTests.world()
        func reply(_ command: Command, _ node: Int) -> Response? {
            let request = world.command(command, to: node)
            world.run(for: .seconds(3))
            return world.nodes[node].replies[request]
        }
        #expect(
            reply(.clone(Target(connection: "nobody"), local: nil, child: nil), 0)
                == .failed(.nothingMatches, matches: 0))
        #expect(
            reply(.clone(Target(connection: "peer"), local: nil, child: "three"), 0)
                == .failed(.noSuchConfiguration("three"), matches: 0))
        // The initiator decides on addresses.
        #expect(
            reply(.clone(Target(connection: "peer"), local: CloningTests.second, child: nil), 1)
                == .failed(.notMovable, matches: 0))
        #expect(reply(.clone(Target(connection: "peer"), local: nil, child: nil), 0) == .done(matches: 1))
        #expect(reply(.clone(Target(connection: "peer"), local: nil, child: nil), 0) == .done(matches: 1))
        guard case .failed(.refused, matches: 1)? = reply(.clone(Target(connection: "peer"), local: nil, child: nil), 0)
        else {
            Issue.record("a third clone came about")
            return
        }
        world.takeDown()
        #expect(world.violation == nil)
    }

    // MARK: Children beside others

    /// Outbound SAs in use at the host that answers.
    private static func outboundCount(_ world: World) -> Int {
        world.residue(of: 1).count { $0.contains("outbound SA") && !$0.contains("held") }
    }

    /// Packets of both hosts, every 10 ms.
    private static func steady(_ world: inout World, for seconds: Int) -> (sent: Int, accepted: Int) {
        let before = world.packetsAccepted
        var sent = 0
        func send() {
            for host in 0..<2 {
                let left = world.sendPacket(
                    from: host, source: IPAddress(v4: inner[host] + 7), destination: IPAddress(v4: inner[1 - host] + 7))
                if left { sent += 1 }
            }
        }
        for _ in 0..<seconds * 100 {
            send()
            world.run(for: .milliseconds(10))
        }
        world.run(for: .seconds(1))
        return (sent, world.packetsAccepted - before)
    }

    private static func slow(_ change: (inout Connection) -> Void = { _ in }) -> World {
        var world = world(change: change)
        world.faults.delay = .milliseconds(100)...(.milliseconds(100))
        // Packets overtake messages: what is sent too early meets an end that has not got the answer.
        world.network.packetFaults = .calm
        return world
    }

    @Test func aSecondChildWithTheSameSelectorsLosesNothing() throws {
        var world = CloningTests.slow()
        world.command(.clone(Target(connection: "peer"), local: nil, child: "one"), to: 0)
        let (sent, accepted) = CloningTests.steady(&world, for: 3)
        #expect(world.nodes.map { $0.manager.snapshots.map { $0.children.count } } == [[1, 1], [1, 1]])
        #expect(sent == 600 && accepted == sent)
        #expect(CloningTests.outboundCount(world) == 2)
        world.takeDown()
        #expect(world.violation == nil)
    }

    @Test func reauthenticationLosesNothing() throws {
        var world = CloningTests.slow()
        let before = world.nodes[0].manager.sessionIDs
        world.command(.reauthenticate(Target(connection: "peer")), to: 0)
        let (sent, accepted) = CloningTests.steady(&world, for: 10)
        #expect(world.nodes[0].manager.sessionIDs != before && world.nodes[0].manager.sessionIDs.count == 1)
        #expect(sent == 2000 && accepted == sent)
        world.takeDown()
        #expect(world.violation == nil)
    }

    /// What holds a new child's packets back ends with a packet of the peer's, with the child that serves meanwhile, or when
    /// the peer would have asked again.
    @Test func whatIsHeldGoesToWork() throws {
        func held() -> World {
            var world = CloningTests.slow()
            world.command(.clone(Target(connection: "peer"), local: nil, child: "one"), to: 0)
            world.run(for: .seconds(5))
            return world
        }
        var byTraffic = held()
        #expect(CloningTests.outboundCount(byTraffic) == 1)
        _ = byTraffic.sendPacket(
            from: 0, source: IPAddress(v4: CloningTests.inner[0] + 7),
            destination: IPAddress(v4: CloningTests.inner[1] + 7))
        byTraffic.run(for: .seconds(1))
        #expect(CloningTests.outboundCount(byTraffic) == 2)

        var byEnd = held()
        let first = try #require(byEnd.nodes[0].manager.sessionIDs.first)
        byEnd.command(.terminate(Target(session: first)), to: 0)
        byEnd.run(for: .seconds(5))
        #expect(CloningTests.outboundCount(byEnd) == 1)
        #expect(CloningTests.passes(&byEnd, 0))

        var byTime = held()
        byTime.run(for: .seconds(100))
        #expect(CloningTests.outboundCount(byTime) == 1)
        byTime.run(for: .seconds(100))
        #expect(CloningTests.outboundCount(byTime) == 2)
        for var world in [byTraffic, byEnd, byTime] {
            world.takeDown()
            #expect(world.violation == nil)
        }
    }

    /// Where nothing else serves, nothing waits.
    @Test func aChildOfItsOwnIsUsedAtOnce() throws {
        var world = CloningTests.slow()
        world.command(.clone(Target(connection: "peer"), local: nil, child: "two"), to: 0)
        world.run(for: .seconds(5))
        #expect(CloningTests.outboundCount(world) == 2)
        #expect(world.residue(of: 1).allSatisfy { !$0.contains("held") })
        world.takeDown()
        #expect(world.violation == nil)
    }
}
