import Cryptography
import IPsec
import KeyManagement
import Primitives
import Simulation
import Testing

/// Which of a responder's connections an SA is on, where its peer's identity tells.
@Suite struct ConnectionChoiceTests {
    private static let hosts = [IPAddress(v4: 0xC000_0201), IPAddress(v4: 0xC000_0202)]

    private static func connection(
        _ name: String, host: Int, _ version: IKEVersion, peer: IdentityPattern, isAggressive: Bool
    ) -> Connection {
        let esp = Proposal(.esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128],
            prf: [.hmacSHA256], keyExchange: [.curve25519])
        let networks = [0, 1].map { IPAddress(v4: 0x0A01_0000 + UInt32($0) << 16) }
        let selectors = networks.compactMap { Prefix($0, length: 24) }.map {
            DynamicSelector.fixed(TrafficSelector($0))
        }
        var child = ChildPolicy(
            name: "net", proposals: [esp], localSelectors: [selectors[host]], remoteSelectors: [selectors[1 - host]])
        child.closeAction = name == "other" ? .start : .none
        var connection = Connection(name: name, proposals: [ike], children: [child])
        connection.version = version
        connection.isAggressive = isAggressive
        connection.localAddresses = [.range(hosts[host], hosts[host])]
        connection.remoteAddresses = [.range(hosts[1 - host], hosts[1 - host])]
        connection.localIdentity = Identity(host == 0 ? "left.example" : "right.example")
        connection.remoteIdentity = peer
        return connection
    }

    /// In Main Mode the first connection between the addresses is a guess, until message 5 says who the peer is: what is asked of the
    /// right one must find the SA, and the other one's intent must not count.
    @Test(arguments: [(IKEVersion.v1, false), (.v1, true), (.v2, false)])
    func theIdentityDecides(_ version: IKEVersion, isAggressive: Bool) throws {
        let left = try #require(Identity("left.example"))
        let other = try #require(Identity("other.example"))
        var world = World(seed: 5)
        for host in [0, 1] {
            let connections =
                host == 0
                ? [Self.connection("peer", host: 0, version, peer: .any, isAggressive: isAggressive)]
                : [("other", IdentityPattern.exactly(other)), ("right", .exactly(left))].map {
                    Self.connection($0.0, host: 1, version, peer: $0.1, isAggressive: isAggressive)
                }
            world.addNode(
                "host \(host)", address: Self.hosts[host], policies: PolicyDatabase(connections: connections),
                key: Array("a shared key".utf8), settings: EngineSettings())
        }
        world.command(.initiate(connection: "peer", child: "net"), to: 0)
        world.run(for: .seconds(2))
        #expect(world.nodes[1].manager.snapshots.map(\.connection) == ["right"])
        world.command(.rekey(Target(connection: "right", child: "net")), to: 1)
        world.run(for: .seconds(2))
        #expect(world.nodes[1].manager.snapshots.first?.children.filter { $0.state == .installed }.count == 1)
        world.command(.terminate(Target(connection: "other")), to: 1)
        world.run(for: .seconds(2))
        #expect(world.nodes.map { $0.manager.snapshots.count } == [1, 1])
        world.command(.terminate(Target(connection: "right")), to: 1)
        world.run(for: .seconds(30))
        #expect(world.nodes.map { $0.manager.snapshots.count } == [0, 0])
        #expect(world.violation == nil)
    }
}
