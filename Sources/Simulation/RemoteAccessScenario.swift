import Cryptography
import IPsec
import KeyManagement
import Primitives

/// One seeded run of IKEv1's remote access: users at two hosts come to a gateway by Extended Authentication, with key pairs, a
/// shared key or nothing of their hosts' own in front (Hybrid), and get addresses by Mode Config; a third host has no right
/// password. First over a bad network, then over a good one.
package struct RemoteAccessScenario {
    package let seed: UInt64
    package private(set) var world: World
    private let gateway = 3
    private let users = [Identity("joe"), Identity("ann"), Identity("mallory")]
    private let hasUsers: Bool
    /// The hosts that may come in.
    private let honest: [Int]
    /// How the ends prove who they are, for a line about the run.
    package let method: String

    private static let outer = (1...4).map { IPAddress(v4: 0x0A00_0000 + UInt32($0)) }
    private static let inner = IPAddress(v4: 0x0A02_0007)
    private static let pool = AddressPool(name: "pool", IPAddress(v4: 0x0A03_0000), length: 24)

    package init(seed: UInt64, keepsLog: Bool = false) {
        self.seed = seed
        world = World(seed: seed)
        world.keepsLog = keepsLog
        var chance = Randomness.seeded(seed ^ 0xACCE55)
        let pairs = KeyPairs.drawn(&chance)
        hasUsers = chance.below(4) > 0
        let isHybrid = hasUsers && chance.below(2) == 0 && pairs?.isFitForHybrid == true
        // There is no number for ECDSA with a user behind it.
        let keys = hasUsers && pairs?.isFitForUsers == false ? nil : pairs
        let isAggressive = chance.below(3) == 0
        let isPulling = chance.below(2) == 0
        let hasNAT = chance.below(2) == 0
        honest = hasUsers ? [0, 1] : [0, 1, 2]
        method =
            (isHybrid ? "Hybrid" : keys.map(\.name) ?? "pre-shared key") + (hasUsers ? " and users" : "")
            + (isPulling ? ", pulled" : ", pushed") + (isAggressive ? ", Aggressive Mode" : "")
        for index in 0...gateway {
            var connection = RemoteAccessScenario.connection(index, isGateway: index == gateway, &chance)
            connection.isAggressive = isAggressive
            connection.isPulling = isPulling
            keys?.apply(to: &connection, isLeft: index != gateway)
            if hasUsers {
                let round = AuthenticationRound(.extendedAuthentication, identity: .any)
                if index == gateway {
                    connection.remote = isHybrid ? [round] : connection.remote + [round]
                } else if let user = users[index] {
                    let own = AuthenticationRound(.extendedAuthentication, identity: .exactly(user))
                    connection.local = isHybrid ? [own] : connection.local + [own]
                }
            }
            var settings = EngineSettings()
            settings.forceEncapsulation = hasNAT
            settings.retransmitTimeout = .seconds(2)
            let pools = index == gateway ? RemoteAccessScenario.pool.map { [$0] } ?? [] : []
            world.addNode(
                index == gateway ? "gateway" : "host \(index)", address: RemoteAccessScenario.outer[index],
                policies: PolicyDatabase(connections: [connection], pools: pools),
                key: Array("a shared key for the simulation".utf8),
                pairs: keys.map { [$0.keys[index == gateway ? 1 : 0]] } ?? [], settings: settings,
                hasWrongPassword: hasUsers && index == 2, awaitsUsers: hasUsers && index == gateway)
        }
    }

    private static func connection(_ index: Int, isGateway: Bool, _ chance: inout Randomness) -> Connection {
        let esp = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], keyExchange: [.curve25519],
            extendedSequenceNumbers: [false])
        let network = DynamicSelector.fixed(
            TrafficSelector(first: IPAddress(v4: 0x0A02_0000), last: IPAddress(v4: 0x0A02_00FF)) ?? .everything(.v4))
        var policy = ChildPolicy(
            name: "net", proposals: [esp], localSelectors: [isGateway ? network : .dynamic],
            remoteSelectors: [isGateway ? .dynamic : network])
        policy.rekeyTime = .seconds(40 + Int(chance.below(40)))
        policy.randomTime = .seconds(10)
        policy.lifeTime = policy.rekeyTime + .seconds(60)
        policy.startAction = isGateway ? .none : .start
        policy.deadPeerAction = isGateway ? .none : .start
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128],
            prf: [.hmacSHA256], keyExchange: [.curve25519])
        var connection = Connection(name: "access", proposals: [ike], children: [policy])
        connection.version = .v1
        connection.localAddresses = [.range(outer[index], outer[index])]
        connection.localIdentity = Identity(outer[index])
        if isGateway {
            connection.pools = ["pool"]
        } else {
            connection.remoteAddresses = [.range(outer[3], outer[3])]
            connection.remoteIdentity = .exactly(Identity(outer[3]))
            connection.virtualAddresses = [IPAddress(v4: 0)]
        }
        connection.deadPeerDelay = .seconds(10)
        connection.deadPeerTimeout = .seconds(40)
        connection.rekeyTime = .seconds(100 + Int(chance.below(60)))
        connection.randomTime = .seconds(10)
        connection.overTime = .seconds(60)
        return connection
    }

    /// Runs to the end and returns the violation, if there was one.
    package mutating func run() -> Violation? {
        trouble()
        heal()
        world.takeDown()
        return world.violation
    }

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
        let node = Int(world.randomness.below(UInt64(gateway + 1)))
        let child = Target(connection: "access", child: "net")
        switch world.randomness.below(40) {
        case 0: world.partition(for: .seconds(5 + Int(world.randomness.below(60))))
        case 1: world.command(.rekey(child), to: node)
        case 2: for each in 0...gateway { world.command(.rekey(child), to: each) }
        case 3: world.command(.rekey(Target(connection: "access")), to: node)
        case 4: for each in 0...gateway { world.command(.rekey(Target(connection: "access")), to: each) }
        case 5: world.command(.terminate(Target(connection: "access")), to: node)
        case 6: world.command(.abandon(Target(connection: "access")), to: node)
        case 7...9: if node != gateway { world.command(.initiate(connection: "access", child: "net"), to: node) }
        default: break
        }
    }

    /// The network recovers; a few minutes later every host that may come in has an address of its own, and traffic.
    private mutating func heal() {
        world.faults = .calm
        world.network.partitionedUntil = nil
        // Whatever a host believed in goes the way of dead peers before it is asked for again; and users ask once more: an ISAKMP SA
        // that was agreed on in the bad network may have its two ends disagree on a NAT, since nothing protects NAT-D.
        for attempt in 0..<4 {
            let end = world.now + .seconds(60)
            while world.violation == nil, world.now < end {
                sendBothWays()
                world.run(for: .seconds(2))
            }
            guard attempt < 3 else { break }
            for host in honest { world.command(.initiate(connection: "access", child: "net"), to: host) }
        }
        guard world.violation == nil else { return }
        // One address, or a second one where a tampered NAT-D payload had two sessions between different ports.
        let addresses = honest.map { world.nodes[$0].addresses }
        let all = Set(addresses.flatMap { $0 })
        let leased = world.nodes[gateway].manager.leases.counts(of: "pool").online
        if addresses.contains(where: \.isEmpty) || all.count != addresses.map(\.count).reduce(0, +)
            || leased != all.count
        {
            world.violate(.uniqueAddress, "the hosts have \(addresses), and \(leased) are leased")
        }
        let before = world.packetsAccepted
        let sent = sendBothWays()
        world.run(for: .seconds(1))
        let delivered = world.packetsAccepted - before
        if honest.contains(where: { sent[$0, default: 0] < 2 }) || delivered != sent.values.reduce(0, +) {
            world.violate(.convergence, "packets by host: \(sent); \(delivered) arrived")
        }
    }

    /// Returns how many packets could be sent, by host.
    @discardableResult
    private mutating func sendBothWays() -> [Int: Int] {
        var sent: [Int: Int] = [:]
        let inner = RemoteAccessScenario.inner
        for host in 0..<gateway {
            for address in world.nodes[host].addresses.sorted() {
                if world.sendPacket(from: host, source: address, destination: inner) { sent[host, default: 0] += 1 }
                if world.sendPacket(from: gateway, source: inner, destination: address) { sent[host, default: 0] += 1 }
            }
        }
        return sent
    }
}

extension KeyPairs {
    fileprivate var name: String {
        switch method {
        case .publicKey(let constraint):
            "\(constraint == KeyConstraint() ? "ECDSA" : "\(constraint)".uppercased()) signatures"
        case .revisedPublicKeyEncryption: "revised encrypted nonces"
        default: "encrypted nonces"
        }
    }

    /// Whether a user may follow (draft-beaulieu-ike-xauth-02 §7.2).
    fileprivate var isFitForUsers: Bool {
        if case .publicKey(let constraint) = method { return constraint != KeyConstraint() }
        return true
    }

    /// Whether one end may sign alone (draft-ietf-ipsec-isakmp-hybrid-auth-05 §3.2.1).
    fileprivate var isFitForHybrid: Bool {
        if case .publicKey = method { return isFitForUsers }
        return false
    }
}
