import IPsec
import KeyManagement
import Simulation
import Testing

/// What is wanted while what was there is on its way out.
@Suite struct EndingTests {
    @Test(
        "a child that is asked for while its Delete is on its way comes up anew",
        arguments: [.v1, .v2] as [IKEVersion])
    func childAgain(version: IKEVersion) throws {
        var world = SuccessionTests.world(version: version)
        let old = try #require(world.nodes[0].manager.snapshots.first?.children.first)
        let down = world.command(.terminate(Target(connection: "peer", child: "net")), to: 0)
        let up = world.command(.initiate(connection: "peer", child: "net"), to: 0)
        world.run(for: .seconds(5))
        #expect(world.nodes[0].replies[down] == .done(matches: 1))
        #expect(world.nodes[0].replies[up] == .done(matches: 1))
        for node in world.nodes {
            let children = node.manager.snapshots.flatMap(\.children)
            #expect(children.count == 1 && children.first?.state == .installed, "\(node.name)")
        }
        #expect(world.nodes[0].manager.snapshots.first?.children.first?.id != old.id)
        #expect(SuccessionTests.passes(&world))
    }

    @Test(
        "a child that is asked for while its IKE SA ends comes up on another",
        arguments: [.v1, .v2] as [IKEVersion])
    func sessionAgain(version: IKEVersion) throws {
        var world = SuccessionTests.world(version: version)
        let old = try #require(world.nodes[0].manager.sessionIDs.first)
        let down = world.command(.terminate(Target(connection: "peer")), to: 0)
        let up = world.command(.initiate(connection: "peer", child: "net"), to: 0)
        world.run(for: .seconds(5))
        #expect(world.nodes[0].replies[down] == .done(matches: 1))
        #expect(world.nodes[0].replies[up] == .done(matches: 1))
        #expect(world.nodes.map { $0.manager.sessionIDs.count } == [1, 1])
        #expect(world.nodes[0].manager.sessionIDs.first != old)
        #expect(SuccessionTests.passes(&world))
    }
}
