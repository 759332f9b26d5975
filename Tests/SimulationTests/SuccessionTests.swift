import Cryptography
import IPsec
import KeyManagement
import Primitives
import Simulation
import Testing

/// IKEv1 has no rekeying of an ISAKMP SA: another one takes its place.
@Suite struct SuccessionTests {
    private static let hosts = [IPAddress(v4: 0xC000_0201), IPAddress(v4: 0xC000_0202)]
    private static let inner: [UInt32] = [0x0A01_0000, 0x0A02_0000]

    private static func selector(_ host: Int) -> TrafficSelector {
        TrafficSelector(first: IPAddress(v4: inner[host]), last: IPAddress(v4: inner[host] + 255)) ?? .everything(.v4)
    }

    /// Two hosts with a tunnel between them that the first one set up, on a network that only takes its time.
    static func world(
        _ unique: Connection.Uniqueness = .no, version: IKEVersion = .v1
    ) -> World {
        var world = World(seed: 11)
        for host in 0..<2 {
            let esp = Proposal(
                .esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])
            let child = ChildPolicy(
                name: "net", proposals: [esp], localSelectors: [.fixed(selector(host))],
                remoteSelectors: [.fixed(selector(1 - host))])
            let ike = Proposal(
                .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128],
                prf: [.hmacSHA256], keyExchange: [.curve25519])
            var connection = Connection(name: "peer", proposals: [ike], children: [child])
            connection.version = version
            connection.unique = unique
            connection.localAddresses = [.range(hosts[host], hosts[host])]
            connection.remoteAddresses = [.range(hosts[1 - host], hosts[1 - host])]
            connection.localIdentity = Identity(hosts[host])
            connection.remoteIdentity = .exactly(Identity(hosts[1 - host]))
            world.addNode(
                "host \(host)", address: hosts[host], policies: PolicyDatabase(connections: [connection]),
                key: Array("a shared key".utf8), settings: EngineSettings())
        }
        world.command(.initiate(connection: "peer", child: "net"), to: 0)
        world.run(for: .seconds(2))
        return world
    }

    static func passes(_ world: inout World) -> Bool {
        let before = world.packetsAccepted
        for host in 0..<2 {
            _ = world.sendPacket(
                from: host, source: IPAddress(v4: inner[host] + 7), destination: IPAddress(v4: inner[1 - host] + 7))
        }
        world.run(for: .seconds(1))
        return world.packetsAccepted == before + 2
    }

    @Test(
        "a successor has the children, whoever asked for it", arguments: [0, 1],
        [.no, .keep, .replace] as [Connection.Uniqueness])
    func successor(host: Int, unique: Connection.Uniqueness) throws {
        var world = SuccessionTests.world(unique)
        let before = world.nodes.map { $0.manager.snapshots.map(\.id) }
        #expect(before.map(\.count) == [1, 1])
        #expect(SuccessionTests.passes(&world))
        world.command(.rekey(Target(connection: "peer")), to: host)
        // The peer may take its time to hand children on: the old ISAKMP SA is not deleted under its hands.
        world.run(for: .seconds(5))
        for (node, old) in zip(world.nodes, before) {
            let states = node.manager.snapshots
            #expect(states.count == 2, "\(node.name)")
            #expect(
                states.allSatisfy { $0.state == (old.contains($0.id) ? .rekeyed : .established) }, "\(node.name)")
            #expect(states.filter { old.contains($0.id) }.allSatisfy { $0.children.isEmpty }, "\(node.name)")
            #expect(states.filter { !old.contains($0.id) }.map(\.children.count) == [1], "\(node.name)")
        }
        #expect(SuccessionTests.passes(&world))
        world.run(for: .seconds(30))
        for (node, old) in zip(world.nodes, before) {
            #expect(node.manager.snapshots.count == 1, "\(node.name)")
            #expect(
                node.manager.snapshots.allSatisfy { !old.contains($0.id) && $0.children.count == 1 }, "\(node.name)")
        }
        #expect(SuccessionTests.passes(&world))
        #expect(world.violation == nil)
    }
}
