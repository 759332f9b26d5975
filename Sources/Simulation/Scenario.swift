import Cryptography
import IPsec
import KeyManagement
import Primitives

/// One seeded run: two hosts with tunnels between them live through a bad network, then a good one, then take
/// everything down.
package struct Scenario {
    package let seed: UInt64
    package private(set) var world: World
    /// 1 or 2.
    package let version: UInt8
    private let left = IPAddress(v4: 0x0A00_0001)
    private let right = IPAddress(v4: 0x0A00_0002)
    private let elsewhere = IPAddress(v4: 0x0A00_0003)
    private let options: VersionTwoOptions
    /// What version 2 was seen to do besides, where ``observes`` says to look.
    package private(set) var observations = Observations()
    private let observes: Bool
    private let children: [String]
    /// How many packets each node got through after the network healed.
    package private(set) var deliveredAfterHealing = 0
    /// How many packets left at a steady rate after that, in version 2.
    package private(set) var steadyPackets = 0

    package init(seed: UInt64, keepsLog: Bool = false, observes: Bool = false, hasProcessors: Bool = false) {
        self.observes = observes
        options = VersionTwoOptions(seed: seed, hasProcessors: hasProcessors)
        self.seed = seed
        world = World(seed: seed)
        world.keepsLog = keepsLog
        var chance = Randomness.seeded(seed ^ 0x5EED)
        version = chance.below(3) == 0 ? 1 : 2
        let isVersion1 = version == 1
        children = chance.below(2) == 0 ? ["one"] : ["one", "two"]
        let bothStart = chance.below(3) == 0
        let hasNAT = chance.below(2) == 0
        let hasForwardSecrecy = chance.below(2) == 0
        let isAggressive = isVersion1 && chance.below(3) == 0
        let isBase = isVersion1 && !isAggressive && seed % 5 == 0
        let identification = isVersion1 ? KeyPairs.drawn(&chance) : nil
        for (name, own, other, starts) in [
            ("left", left, right, true), ("right", right, left, bothStart),
        ] {
            var settings = EngineSettings()
            settings.forceEncapsulation = hasNAT
            settings.retransmitTimeout = .seconds(2)
            var connection = Scenario.connection(
                isVersion1 ? .v1 : .v2, isLeft: name == "left", own: own, other: other, children: children,
                starts: starts, hasForwardSecrecy: hasForwardSecrecy, &chance)
            connection.isAggressive = isAggressive
            // Base Mode is spoken with pre-shared keys.
            connection.isBase = isBase && identification == nil
            identification?.apply(to: &connection, isLeft: name == "left")
            // AH does not go through a NAT.
            VersionOneOptions(seed: seed, hasNAT: hasNAT).apply(to: &connection, isLeft: name == "left")
            options.apply(to: &connection, &settings, isLeft: name == "left")
            if !isVersion1 { place(&connection, isLeft: name == "left") }
            world.addNode(
                name, address: own, policies: PolicyDatabase(connections: [connection]),
                key: Array("a shared key for the simulation".utf8),
                pairs: identification.map { [$0.keys[name == "left" ? 0 : 1]] } ?? [], settings: settings)
        }
    }

    /// Where the ends are, and what of them is protected, as the options say.
    private func place(_ connection: inout Connection, isLeft: Bool) {
        if options.moves {
            if isLeft {
                connection.localAddresses = [.any(nil)]
            } else {
                connection.remoteAddresses = [left, elsewhere].map { .range($0, $0) }
            }
        }
        if options.hasTransport {
            connection.children[0].mode = .transport
            connection.children[0].localSelectors = [.fixed(TrafficSelector(isLeft ? left : right))]
            connection.children[0].remoteSelectors = [.fixed(TrafficSelector(isLeft ? right : left))]
        }
    }

    private static func connection(
        _ version: IKEVersion, isLeft: Bool, own: IPAddress, other: IPAddress, children: [String], starts: Bool,
        hasForwardSecrecy: Bool, _ chance: inout Randomness
    ) -> Connection {
        let group: [KeyExchangeID] = [.curve25519]
        // AEADs have no place in IKEv1's first phase.
        let ike =
            version == .v1
            ? Proposal(
                .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128],
                prf: [.hmacSHA256], keyExchange: group)
            : Proposal(
                .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: group)
        let esp = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 128)],
            keyExchange: hasForwardSecrecy ? group : [], extendedSequenceNumbers: [false])
        var policies: [ChildPolicy] = []
        for (index, name) in children.enumerated() {
            var policy = ChildPolicy(
                name: name, proposals: [esp],
                localSelectors: [.fixed(Scenario.selector(isLeft: isLeft, index))],
                remoteSelectors: [.fixed(Scenario.selector(isLeft: !isLeft, index))])
            policy.rekeyTime = .seconds(40 + Int(chance.below(40)))
            policy.randomTime = .seconds(10)
            policy.lifeTime = policy.rekeyTime + .seconds(60)
            policy.startAction = starts ? .start : .none
            policy.deadPeerAction = .start
            policy.closeAction = .none
            policies.append(policy)
        }
        var connection = Connection(name: "peer", proposals: [ike], children: policies)
        connection.version = version
        connection.localAddresses = [.range(own, own)]
        connection.remoteAddresses = [.range(other, other)]
        connection.localIdentity = Identity(own)
        connection.remoteIdentity = .exactly(Identity(other))
        connection.deadPeerDelay = .seconds(10)
        connection.deadPeerTimeout = .seconds(40)
        connection.rekeyTime = .seconds(100 + Int(chance.below(60)))
        connection.randomTime = .seconds(10)
        connection.overTime = .seconds(60)
        return connection
    }

    /// 10.1.INDEX.0/24 behind the left host, 10.2.INDEX.0/24 behind the right one.
    private static func selector(isLeft: Bool, _ index: Int) -> TrafficSelector {
        let base: UInt32 = (isLeft ? 0x0A01_0000 : 0x0A02_0000) + UInt32(index) << 8
        return TrafficSelector(first: IPAddress(v4: base), last: IPAddress(v4: base + 255))
            ?? .everything(.v4)
    }

    private func inner(isLeft: Bool, _ index: Int) -> IPAddress {
        if version == 2, options.hasTransport, index == 0 { return isLeft ? left : right }
        return IPAddress(v4: (isLeft ? 0x0A01_0000 : 0x0A02_0000) + UInt32(index) << 8 + 7)
    }

    /// Runs to the end and returns the violation, if there was one.
    package mutating func run() -> Violation? {
        trouble()
        heal()
        if version == 2 { keepSteady() }
        world.takeDown()
        return world.violation
    }

    // MARK: Acts

    /// A minute or two of faults, partitions and an operator's whims.
    private mutating func trouble() {
        world.faults = NetworkFaults.drawn(from: &world.randomness)
        let end = world.now + .seconds(60 + Int(world.randomness.below(120)))
        while world.violation == nil, world.now < end {
            sendBothWays()
            whim()
            world.run(for: .milliseconds(500 + Int(world.randomness.below(3000))))
        }
    }

    private mutating func whim() {
        let node = Int(world.randomness.below(2))
        switch world.randomness.below(40) {
        case 0: world.partition(for: .seconds(5 + Int(world.randomness.below(60))))
        case 1, 2: world.command(.rekey(Target(connection: "peer", child: children[0])), to: node)
        case 3:
            // Both at once: the collision of RFC 7296 §2.8.1.
            for each in [0, 1] { world.command(.rekey(Target(connection: "peer", child: children[0])), to: each) }
        case 4: world.command(.rekey(Target(connection: "peer")), to: node)
        case 5: for each in [0, 1] { world.command(.rekey(Target(connection: "peer")), to: each) }
        case 6: world.command(.initiate(connection: "peer", child: children[0]), to: node)
        case 7: for each in [0, 1] { world.command(.initiate(connection: "peer", child: children[0]), to: each) }
        default: break
        }
        guard version == 2 else { return }
        if options.moves, world.randomness.below(15) == 0 { moveLeft() }
        if options.hasResources { endOrRekeyOne(at: node, of: 12) }
        guard options.clones else { return }
        switch world.randomness.below(12) {
        case 0: clone(at: node)
        case 1:
            let clone = world.nodes[node].manager.snapshots.last { $0.clonedFrom != nil }
            if let clone { world.command(.terminate(Target(session: clone.id)), to: node) }
        default: break
        }
    }

    /// Of children with the same selectors (RFC 9611), one goes or is rekeyed now and then, whichever it is. Rarely all of a kind
    /// go, to be set up anew.
    private mutating func endOrRekeyOne(at node: Int, of chances: UInt64, ends: Bool = true) {
        let all = world.nodes[node].manager.snapshots.flatMap(\.children).filter { $0.resource != nil }
        guard !all.isEmpty else { return }
        let child = all[Int(world.randomness.below(UInt64(all.count)))]
        switch world.randomness.below(chances) {
        case 0 where ends: world.command(.terminate(Target(childID: child.id)), to: node)
        case 1: world.command(.rekey(Target(childID: child.id)), to: node)
        case 2 where ends && world.randomness.below(4) == 0:
            world.command(.terminate(Target(connection: "peer", child: child.name)), to: node)
        default: break
        }
    }

    /// Checks the children with the same selectors at both ends.
    private mutating func checkSets() {
        for (index, node) in world.nodes.enumerated() {
            for session in node.manager.snapshots {
                for name in children {
                    // Two may share a number while one of them replaces the other.
                    let own = session.children.filter { $0.name == name }
                    let numbers = own.filter { $0.state == .installed }.compactMap(\.resource)
                    let all = Set(own.filter { $0.state == .rekeying }.compactMap(\.resource)).union(numbers)
                    let most = options.mostQueues(at: index)
                    if Set(numbers).count < numbers.count {
                        world.violate(.boundedSet, "\(node.name): \(name) has numbers \(numbers.sorted())")
                    }
                    if all.count > most {
                        world.violate(.boundedSet, "\(node.name): \(all.count) of \(most) \(name)")
                    }
                }
            }
        }
    }

    private mutating func clone(at node: Int) {
        // With a child, that serves the same traffic as one that is there.
        let child = world.randomness.below(2) == 0 ? children[0] : nil
        world.command(.clone(Target(connection: "peer"), local: nil, child: child), to: node)
    }

    /// The left host goes to its other address.
    private mutating func moveLeft() {
        world.move(0, to: world.nodes[0].address == left ? elsewhere : left)
    }

    /// Whether every IKE SA follows the left host: it began them, and both ends know how.
    private var canFollow: Bool {
        let sessions = world.nodes[0].manager.snapshots
        return options.isMobile && sessions.allSatisfy(\.movesItself)
            && Set(world.nodes[1].manager.snapshots.map(\.initiatorSPI)).isSubset(of: Set(sessions.map(\.initiatorSPI)))
    }

    /// The network recovers; a few minutes later everything works.
    private mutating func heal() {
        world.faults = .calm
        world.network.partitionedUntil = nil
        // Asked for once more when old sessions have been given up: what was up at first may run out before, since nothing
        // can be rekeyed on a session that waits for an answer, and nobody has said that it should come back.
        for seconds in [180, 240] {
            for name in children { world.command(.initiate(connection: "peer", child: name), to: 0) }
            let end = world.now + .seconds(seconds)
            while world.violation == nil, world.now < end {
                sendBothWays()
                world.run(for: .seconds(2))
            }
        }
        guard world.violation == nil else { return }
        let before = world.packetsAccepted
        let sent = sendBothWays()
        world.run(for: .seconds(1))
        deliveredAfterHealing = world.packetsAccepted - before
        if sent != children.count * 2 || deliveredAfterHealing != sent {
            world.violate(
                .convergence,
                "\(sent) of \(children.count * 2) packets could be sent, \(deliveredAfterHealing) arrived")
        }
    }

    /// Two minutes of traffic at a steady rate, while both ends rekey when it is time and when somebody says so, and the
    /// network is unkind to messages alone: every packet leaves, and every packet is taken.
    private mutating func keepSteady() {
        guard world.violation == nil else { return }
        world.faults = .uneasy
        world.network.packetFaults = .lossless
        let before = world.packetsAccepted + world.packetsAstray
        let end = world.now + .seconds(120)
        while world.violation == nil, world.now < end {
            let sent = sendBothWays()
            if sent != children.count * 2 {
                world.violate(.steadyTraffic, "\(sent) of \(children.count * 2) packets could be sent")
            }
            steadyPackets += sent
            rekeySomething()
            world.run(for: .milliseconds(100 + Int(world.randomness.below(1500))))
        }
        world.faults = .calm
        world.run(for: .seconds(1))
        // What goes to an address that a host has left is the network's loss.
        let accepted = world.packetsAccepted + world.packetsAstray - before
        if accepted != steadyPackets {
            world.violate(.steadyTraffic, "\(steadyPackets) packets were sent, \(accepted) taken")
        }
    }

    private mutating func rekeySomething() {
        let child = children[Int(world.randomness.below(UInt64(children.count)))]
        let node = Int(world.randomness.below(2))
        switch world.randomness.below(30) {
        case 0: world.command(.rekey(Target(connection: "peer", child: child)), to: node)
        case 1: for each in [0, 1] { world.command(.rekey(Target(connection: "peer", child: child)), to: each) }
        case 2: world.command(.rekey(Target(connection: "peer")), to: node)
        case 3: for each in [0, 1] { world.command(.rekey(Target(connection: "peer")), to: each) }
        default: break
        }
        if options.hasResources { endOrRekeyOne(at: node, of: 20, ends: false) }
        if options.moves, world.randomness.below(20) == 0, canFollow { moveLeft() }
        if options.clones, world.randomness.below(20) == 0 { clone(at: node) }
    }

    @discardableResult
    private mutating func sendBothWays() -> Int {
        if observes, version == 2 { observations.look(at: world) }
        if version == 2, options.hasResources { checkSets() }
        var sent = 0
        for index in children.indices {
            let (leftHost, rightHost) = (inner(isLeft: true, index), inner(isLeft: false, index))
            if world.sendPacket(from: 0, source: leftHost, destination: rightHost) { sent += 1 }
            if world.sendPacket(from: 1, source: rightHost, destination: leftHost) { sent += 1 }
        }
        // What no policy covers never leaves.
        if world.sendPacket(from: 0, source: IPAddress(v4: 0x0A09_0001), destination: inner(isLeft: false, 0)) {
            world.violate(.selectors, "a packet outside every selector was sent")
        }
        return sent
    }
}
