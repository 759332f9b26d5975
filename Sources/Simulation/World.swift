import Credentials
package import Cryptography
package import IPsec
package import KeyManagement
package import Primitives

/// Several hosts and the network between them, in virtual time. Everything that happens follows from the seed.
package struct World {
    package private(set) var now = Instant(nanoseconds: 0)
    package private(set) var nodes: [Node] = []
    package var randomness: Randomness
    var network = Network()
    /// The messages that crossed the wire, newest last, for the report of a failure.
    package private(set) var log: [String] = []
    package var keepsLog = false
    package private(set) var violation: Violation?
    private var lastRequest: UInt64 = 0
    /// Of processors.
    private var turn = 0
    /// Packets sent and accepted, over all nodes.
    package private(set) var packetsSent = 0
    package private(set) var packetsAccepted = 0
    /// Packets that came to an address that is nobody's, or left from one that was the sender's before.
    package private(set) var packetsAstray = 0
    /// Whether a message came in pieces (RFC 7383).
    package private(set) var hasFragments = false

    package init(seed: UInt64) { randomness = .seeded(seed) }

    package var faults: NetworkFaults {
        get { network.faults }
        set { network.faults = newValue }
    }

    /// Nothing passes for `duration` from now.
    package mutating func partition(for duration: Duration) { network.partitionedUntil = now + duration }

    package mutating func addNode(
        _ name: String, address: IPAddress, policies: PolicyDatabase, key: [UInt8],
        pairs: [PrivateKey] = [], settings: EngineSettings, hasWrongPassword: Bool = false, awaitsUsers: Bool = false
    ) {
        let route = Route(address)
        let manager = KeyManager(
            now: now, randomness: .seeded(randomness.uint64()), policies: policies, settings: settings,
            sourceAddress: { _ in route.address })
        nodes.append(
            Node(
                name: name, manager: manager,
                answerer: KeyAnswerer(
                    key: .init(key), pairs: CredentialStore(privateKeys: pairs), hasWrongPassword: hasWrongPassword),
                awaitsUsers: awaitsUsers, route: route, workers: settings.packetWorkers))
    }

    /// Gives a node another address besides.
    package mutating func addAddress(_ address: IPAddress, ofHost index: Int) {
        nodes[index].furtherAddresses.insert(address)
    }

    /// A node leaves its address for another one, and its key management is told that paths have changed.
    package mutating func move(_ index: Int, to address: IPAddress) {
        nodes[index].address = address
        feed(.pathsChanged, to: index)
    }

    /// Gives a node a command; its reply turns up in ``Node/replies``.
    @discardableResult
    package mutating func command(_ command: Command, to node: Int) -> RequestID {
        lastRequest += 1
        let request = RequestID(lastRequest)
        if keepsLog { log.append("\(seconds) \(nodes[node].name) is told: \(command)") }
        feed(.command(command, request), to: node)
        return request
    }

    /// Runs until `deadline`; stops at the first violation.
    package mutating func run(until deadline: Instant) {
        while violation == nil, let next = nextMoment, next <= deadline {
            now = max(now, next)
            step()
        }
        if violation == nil { now = max(now, deadline) }
    }

    package mutating func run(for duration: Duration) { run(until: now + duration) }

    private var nextMoment: Instant? {
        var next = network.nextArrival
        for node in nodes {
            guard let deadline = node.manager.nextDeadline else { continue }
            next = next.map { min($0, deadline) } ?? deadline
        }
        return next
    }

    private mutating func step() {
        if let parcel = network.popArrived(at: now) {
            deliver(parcel)
            return
        }
        for index in nodes.indices {
            if let deadline = nodes[index].manager.nextDeadline, deadline <= now {
                feed(.deadline, to: index)
                return
            }
        }
    }

    private func node(at address: IPAddress) -> Int? { nodes.firstIndex { $0.has(address) } }

    private mutating func deliver(_ parcel: Parcel) {
        switch parcel {
        case .message(let datagram):
            guard let index = node(at: datagram.local.address) else { return }
            if datagram.octets.count > 17, datagram.octets[16] == 53, datagram.octets[17] == 0x20 {
                hasFragments = true
            }
            feed(.datagram(datagram), to: index)
        case .packet(let datagram):
            guard let index = node(at: datagram.local.address) else {
                packetsAstray += 1
                return
            }
            receive(datagram, at: index)
        }
    }

    // MARK: Key management

    private mutating func feed(_ input: Input, to index: Int) {
        if keepsLog, case .datagram(let datagram) = input { log.append(line(datagram, arrivingAt: index)) }
        var inputs = [input]
        while !inputs.isEmpty {
            for effect in nodes[index].manager.handle(inputs.removeFirst(), now: now) {
                switch effect {
                // An address that is the host's no more leads nowhere.
                case .send(let datagram) where !nodes[index].has(datagram.local.address): break
                case .send(let datagram):
                    // The receiver sees the two ends exchanged.
                    let arriving = Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)
                    network.send(.message(arriving), now: now, &randomness)
                case .install(let association):
                    for opened in install(association, at: index) {
                        accept(opened, at: index)
                        inputs.append(.traffic(.inbound(opened.association.child)))
                    }
                case .remove(let spi, let direction, let child):
                    nodes[index].engine.remove(spi, direction, of: child)
                case .move(let child, let local, let remote):
                    nodes[index].engine.move(child, local: local, remote: remote)
                case .addAddress(let address): addAddress(address, to: index)
                case .removeAddress(let address): nodes[index].addresses.remove(address)
                case .expect(let spi): nodes[index].engine.expect(spi)
                case .trap, .disclose: break
                case .ask(let id, let question): inputs.append(.answer(id, nodes[index].answerer.answer(question)))
                case .reply(let request, let response): nodes[index].replies[request] = response
                case .report(let event):
                    if keepsLog { log.append("\(seconds) \(nodes[index].name): \(event.kind.summary)") }
                    if event.kind.isMemorable { nodes[index].events.append(event) }
                }
            }
        }
        checkBounds(of: index)
    }

    /// Packets that came before the SA come out of it.
    private mutating func install(_ association: SecurityAssociation, at index: Int) -> [SimulatedEngine.Opened] {
        if association.direction == .inbound, nodes[index].engine.inbound[association.spi] != nil {
            violate(.uniqueSPI, "\(nodes[index].name) installed \(association.spi) twice")
        }
        if nodes[index].awaitsUsers {
            let isKnown = nodes[index].manager.snapshots.contains {
                $0.remote.address == association.remote.address && $0.established != nil && $0.remoteUser != nil
            }
            if !isKnown {
                violate(.authenticatedFirst, "\(nodes[index].name) installed \(association.spi) for nobody's user")
            }
        }
        let early = nodes[index].engine.install(association, now: now)
        checkAgreement(of: association, at: index)
        return early
    }

    /// A virtual address is one node's at a time.
    private mutating func addAddress(_ address: IPAddress, to index: Int) {
        if let other = nodes.indices.first(where: { $0 != index && nodes[$0].addresses.contains(address) }) {
            violate(.uniqueAddress, "\(address) of \(nodes[index].name) is \(nodes[other].name)'s")
        }
        nodes[index].addresses.insert(address)
    }

    // MARK: Traffic

    /// Sends a packet of 64 octets from a node, if an SA there covers it. Returns whether it left. Its processors take turns.
    @discardableResult
    package mutating func sendPacket(from index: Int, source: IPAddress, destination: IPAddress) -> Bool {
        let packet = InternetPacket(probe: UInt64(packetsSent), from: source, to: destination)
        let engine = nodes[index].engine
        turn &+= 1
        let worker = turn % engine.workers
        guard let datagram = engine.seal(packet, worker: worker, now: now) else {
            let other = (0..<engine.workers).first { engine.seal(packet, worker: $0, now: now) != nil }
            if let other { violate(.fallback, "\(nodes[index].name): processor \(other) sends, but not \(worker)") }
            return false
        }
        packetsSent += 1
        guard nodes[index].has(datagram.local.address) else {
            packetsAstray += 1
            return true
        }
        let arriving = Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)
        network.send(.packet(arriving), now: now, &randomness)
        return true
    }

    private mutating func receive(_ datagram: Datagram, at index: Int) {
        guard let opened = nodes[index].engine.open(datagram, now: now) else { return }
        accept(opened, at: index)
        feed(.traffic(.inbound(opened.association.child)), to: index)
    }

    private mutating func accept(_ opened: SimulatedEngine.Opened, at index: Int) {
        packetsAccepted += 1
        let covers =
            opened.association.remoteSelectors.contains {
                $0.matches(opened.packet.source, ipProtocol: 17, port: 9)
            }
            && opened.association.localSelectors.contains {
                $0.matches(opened.packet.destination, ipProtocol: 17, port: 9)
            }
        if !covers {
            violate(
                .selectors,
                "\(nodes[index].name) accepted a packet from \(opened.packet.source) to \(opened.packet.destination)")
        }
    }

    // MARK: Checks

    package mutating func violate(_ invariant: Invariant, _ detail: String) {
        if violation == nil { violation = Violation(invariant: invariant, time: now, detail: detail) }
    }

    /// Whoever else holds this SA must hold the same keys. Checked when the later of the two ends installs.
    private mutating func checkAgreement(of association: SecurityAssociation, at index: Int) {
        guard let peer = node(at: association.remote.address) else { return }
        let other: SecurityAssociation? =
            association.direction == .inbound
            ? nodes[peer].engine.outboundAssociation(association.spi, to: association.local.address)
            : nodes[peer].engine.inbound[association.spi]
        guard let other else { return }
        let agrees =
            other.keys.encryption == association.keys.encryption
            && other.keys.integrity == association.keys.integrity
            && other.suite.encryption == association.suite.encryption
            && other.suite.integrity == association.suite.integrity
            && other.suite.extendedSequenceNumbers == association.suite.extendedSequenceNumbers
            && other.localSelectors == association.remoteSelectors
            && other.remoteSelectors == association.localSelectors
        if !agrees {
            violate(.equalKeys, "SPI \(association.spi) between \(nodes[index].name) and \(nodes[peer].name)")
        }
    }

    private mutating func checkBounds(of index: Int) {
        if nodes[index].manager.sessionCounts.halfOpen > AdmissionLimits().halfOpenMaximum {
            violate(.boundedState, "\(nodes[index].name): too many half-open SAs")
        }
    }

    /// Deletes everything on all nodes and waits until the last timer has gone; then nothing may be left.
    package mutating func takeDown() {
        guard violation == nil else { return }
        for node in nodes.indices { command(.shutDown, to: node) }
        run(for: .seconds(300))
        guard violation == nil else { return }
        for node in nodes.indices {
            let running = nodes[node].manager.snapshots.flatMap(\.activeExchanges)
            if !running.isEmpty {
                violate(.exchangesEnd, "\(nodes[node].name): \(running.joined(separator: ", "))")
            }
            let left = residue(of: node)
            if !left.isEmpty { violate(.noResidue, left.joined(separator: "; ")) }
        }
    }

    /// Everything that a node still holds, in words; empty when it holds nothing.
    package func residue(of index: Int) -> [String] {
        let node = nodes[index]
        return node.addresses.map { "\(node.name): virtual address \($0)" }
            + node.manager.residue.map { "\(node.name): \($0)" }
            + node.engine.residue.map { "\(node.name): \($0)" }
    }

    private var seconds: String {
        let tenths = now.nanoseconds / 100_000_000
        return "\(tenths / 10).\(tenths % 10)s"
    }

    private func line(_ datagram: Datagram, arrivingAt index: Int) -> String {
        let from = node(at: datagram.remote.address).map { nodes[$0].name } ?? "?"
        let header = datagram.octets.prefix(28)
        guard header.count == 28 else { return "\(seconds) \(from) -> \(nodes[index].name) \(header.count) octets" }
        return "\(seconds) \(from) -> \(nodes[index].name) exchange \(header[18]) flags \(header[19]) "
            + "id \(Array(header[20..<24]).hex) spis \(Array(header[0..<8]).hex)/\(Array(header[8..<16]).hex) "
            + "\(datagram.octets.count) octets"
    }
}

extension Event.Kind {
    /// A line for a failure's report, without message bodies.
    fileprivate var summary: String {
        if case .session(.message) = self { return "message" }
        return String(describing: self)
    }

    fileprivate var isMemorable: Bool {
        if case .session(.message) = self { return false }
        return true
    }
}
