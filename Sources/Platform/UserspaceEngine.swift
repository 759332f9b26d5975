import CPlatform
package import DataPlane
package import IPsec
package import Primitives
import Synchronization

/// The data plane at work: sockets, a TUN device, routes and worker threads around the cores of `DataPlane`.
///
/// Each direction has as many workers as the device has queues. An outbound SA belongs to one of them, which all SAs of the
/// same policy share, unless it has several in use together; an inbound SA to the one that its SPI names.
///
/// May be called from any thread. IKE messages and events come on the workers' threads; handlers should pass them on and
/// return.
package final class UserspaceEngine: IPsecEngine, Sendable {
    private struct Installed {
        var spi: SPI
        var direction: SecurityAssociation.Direction
        var remote: Endpoint
        var remoteSelectors: [TrafficSelector]
        var requestID: UInt32
        var owner: Int
        var counters: AssociationCounters
        /// Of an outbound SA.
        var size: PathSize?
        var overhead: Overhead
        /// The configured size of packets whose payloads are shared, 0 for the path's; `nil` for other SAs.
        var sharedPacketOctets: Int?
    }

    private struct State: ~Copyable {
        var mtu: Int
        /// What packets of TCP's segments may have; less than the device where a path is narrower than IPv6 allows.
        var segmentLimit: Int
        var installed: [ChildID: [Installed]] = [:]
        /// Of children whose ends tell each other of congestion.
        var meters: [ChildID: CongestionMeter] = [:]
        var routes: RouteTable?
        var workers: [Worker] = []
        var owners: WorkerShares
        /// Octets of packets that were seen to reach an address, where larger ones were not.
        var measured: [IPAddress: Int] = [:]
        var isClosed = false
    }

    /// Dropped packets by reason.
    package let dropCounters = DropCounters()
    private let configuration: UserspaceConfiguration
    private let sockets: SocketSet
    private let streams: StreamSet
    private let sender: ExchangeSender
    /// The outbound worker whose SA for a policy was last succeeded by another; -1 once it knows.
    private let successor = Atomic<Int>(-1)
    private let tunnel: TunnelDevice
    /// One for each worker.
    private let inbound: [Mailbox]
    private let outbound: [Mailbox]
    private let state: Mutex<State>

    /// Binds sockets, creates the device and starts the workers. Throws what the kernel refused.
    ///
    /// `receiveIKE` gets each IKE message without its non-ESP marker; `report` hears of what key management must know.
    package init(
        _ configuration: UserspaceConfiguration, receiveIKE: @escaping @Sendable (Datagram, Instant) -> Void,
        report: @escaping @Sendable (PlaneEvent) -> Void
    ) throws(PlatformError) {
        self.configuration = configuration
        let wanted =
            configuration.workers
            ?? min(Int(parley_processors()), UserspaceConfiguration.mostUsefulWorkers)
        if let name = configuration.tunnelName {
            tunnel = try TunnelDevice(
                name: name, mtu: configuration.mtu, queues: max(1, min(wanted, UserspaceConfiguration.mostWorkers)))
        } else {
            tunnel = try TunnelDevice()
        }
        let workers = tunnel.descriptors.count
        sockets = try SocketSet(configuration, workers: workers)
        streams = try StreamSet(configuration)
        inbound = (0..<workers).map { _ in Mailbox() }
        outbound = (0..<workers).map { _ in Mailbox() }
        let (inbound, outbound, tunnel, sockets, drops) = (inbound, outbound, tunnel, sockets, dropCounters)
        let streams = streams
        sender = ExchangeSender(sockets: sockets, streams: streams)
        let sender = sender
        var receivePacket = configuration.receivePacket
        if let front = configuration.front {
            receivePacket = { packet, _ in front.receive(packet) }
            try front.start { [tunnel] in tunnel.put($0) }
        }
        let deliver = receivePacket
        let (mtu, mark) = (configuration.mtu, configuration.firewallMark)
        var state = State(mtu: mtu, segmentLimit: mtu, owners: WorkerShares(workers: workers))
        if let interface = tunnel.interface {
            state.routes = RouteTable(
                table: configuration.routingTable, interface: interface.index, mark: configuration.firewallMark,
                installsRoutes: configuration.installsRoutes)
        }
        let (inboundRings, outboundRings) = (HandOver(inbound), HandOver(outbound))
        for index in 0..<workers {
            state.workers.append(
                Worker {
                    InboundWorker(
                        mailbox: inbound[index], desk: inboundRings.desk(of: index), tunnel: tunnel, mtu: mtu,
                        sockets: sockets, streams: streams, drops: drops, receiveIKE: receiveIKE,
                        receivePacket: deliver, report: report)?.run()
                })
            state.workers.append(
                Worker {
                    OutboundWorker(
                        mailbox: outbound[index], desk: outboundRings.desk(of: index), tunnel: tunnel, mtu: mtu,
                        mark: mark, sockets: sockets, streams: streams, sender: sender, drops: drops, report: report
                    ).run()
                })
        }
        self.state = Mutex(state)
    }

    deinit { close() }

    /// The port that IKE is bound to.
    package var boundPort: UInt16 { sockets.port }
    /// The port that IKE and ESP behind NAT are bound to.
    package var boundNATPort: UInt16 { sockets.natPort }
    /// Whether ESP and AH can go bare, without UDP around: the process may open raw sockets.
    package var carriesBarePackets: Bool { sockets.carriesBare }
    /// The TCP ports that are listened on (RFC 9329).
    package var streamPorts: [UInt16] { streams.ports }
    /// Connections of TCP now.
    package var streamCount: Int { streams.count }
    /// Threads that carry packets.
    package var workerCount: Int { state.withLock { $0.workers.count } }
    /// Threads that seal packets, and as many that open them.
    package var workersEachWay: Int { outbound.count }
    /// The TUN device's name; `nil` without a device.
    package var tunnelName: String? { tunnel.interface?.name }

    /// Stops the workers, wipes all keys and takes routes, rules and the device back. Does nothing the second time.
    package func close() {
        let workers = state.withLock { state -> [Worker] in
            guard !state.isClosed else { return [] }
            state.isClosed = true
            state.installed = [:]
            state.routes = nil
            defer { state.workers = [] }
            return state.workers
        }
        configuration.front?.close()
        post(.stop)
        for worker in workers { worker.join() }
    }

    // MARK: IPsecEngine

    package func install(_ association: SecurityAssociation) {
        let counters = AssociationCounters()
        let measured = state.withLock { $0.measured[association.remote.address] }
        let size = association.direction == .outbound ? pathSize(association, measured: measured) : nil
        state.withLock { state in
            guard !state.isClosed else { return }
            let isOutbound = association.direction == .outbound
            let share = state.owners.take(association.requestID, isOutbound: isOutbound)
            let owner = (share.worker + association.resource) % outbound.count
            if isOutbound, share.isShared { successor.store(owner, ordering: .relaxed) }
            state.installed[association.child, default: []].append(
                Installed(
                    spi: association.spi, direction: association.direction, remote: association.remote,
                    remoteSelectors: association.remoteSelectors, requestID: association.requestID, owner: owner,
                    counters: counters, size: size, overhead: Overhead(association),
                    sharedPacketOctets: association.aggregation?.packetOctets))
            streams.retain(association.remote)
            adapt(&state)
            let association = association.padded(toMTU: state.mtu).aggregated(for: size)
            if association.aggregation?.tellsOfCongestion == true, state.meters[association.child] == nil {
                state.meters[association.child] = CongestionMeter(association.aggregation)
            }
            let change = PlaneChange.install(association, counters, owner: owner, state.meters[association.child])
            switch association.direction {
            case .inbound: inbound[inboundOwner(association)].post(change)
            case .outbound:
                // The owner knows the SA before anybody hands packets over for it.
                outbound[owner].post(change)
                for index in outbound.indices where index != owner { outbound[index].post(change) }
                state.routes?.add(association)
            }
        }
    }

    package func expect(_ spi: SPI) {
        inbound[InboundWorker.owner(of: spi, among: inbound.count)].post(.expect(spi), quietly: true)
        if sockets.carriesBare { inbound[0].post(.expectHeader(spi), quietly: true) }
    }

    package func remove(_ spi: SPI, _ direction: SecurityAssociation.Direction, of child: ChildID) {
        state.withLock { state in
            guard
                let index = state.installed[child]?.firstIndex(where: { $0.spi == spi && $0.direction == direction }),
                let removed = state.installed[child]?.remove(at: index)
            else { return }
            if state.installed[child]?.isEmpty == true {
                state.installed[child] = nil
                state.meters[child] = nil
            }
            let isShared = state.owners.release(removed.requestID, isOutbound: direction == .outbound)
            if direction == .outbound, isShared { successor.store(removed.owner, ordering: .relaxed) }
            switch direction {
            case .inbound: for mailbox in inbound { mailbox.post(.remove(spi, child)) }
            case .outbound:
                // Nobody hands packets over any more when the owner forgets the SA.
                for index in outbound.indices where index != removed.owner { outbound[index].post(.remove(spi, child)) }
                outbound[removed.owner].post(.remove(spi, child))
            }
            streams.release(removed.remote)
            if direction == .outbound { adapt(&state) }
            if direction == .outbound { state.routes?.remove(removed.remoteSelectors) }
        }
    }

    package func install(_ policy: SecurityPolicy) {
        state.withLock { state in
            guard !state.isClosed else { return }
            for mailbox in outbound { mailbox.post(.setPolicy(policy)) }
            state.routes?.add(policy)
        }
    }

    package func remove(_ policy: SecurityPolicy) {
        state.withLock { state in
            for mailbox in outbound { mailbox.post(.clearPolicy(policy)) }
            state.routes?.remove(policy)
        }
    }

    package func move(_ child: ChildID, local: Endpoint, remote: Endpoint) {
        state.withLock { state in
            guard let entries = state.installed[child] else { return }
            for index in entries.indices {
                streams.succeed(entries[index].remote, by: remote)
                streams.retain(remote)
                streams.release(entries[index].remote)
                state.installed[child]?[index].remote = remote
            }
        }
        post(.move(child, local: local, remote: remote))
    }

    /// A virtual address is this host's: the tunnel device gets it, or the front that is there instead.
    package func addAddress(_ address: IPAddress) {
        configuration.front?.addAddress(address)
        state.withLock { $0.routes?.addAddress(address) }
    }

    package func removeAddress(_ address: IPAddress) {
        configuration.front?.removeAddress(address)
        state.withLock { $0.routes?.removeAddress(address) }
    }

    package func counters(of child: ChildID) -> (inbound: TrafficCounters, outbound: TrafficCounters)? {
        guard let installed = state.withLock({ $0.installed[child] }) else { return nil }
        return installed.reduce(into: (inbound: TrafficCounters(), outbound: TrafficCounters())) { sum, entry in
            switch entry.direction {
            case .inbound: sum.inbound = sum.inbound + entry.counters.snapshot
            case .outbound: sum.outbound = sum.outbound + entry.counters.snapshot
            }
        }
    }

    /// Tells all workers.
    private func post(_ change: PlaneChange) {
        for mailbox in inbound + outbound { mailbox.post(change) }
    }

    /// The worker that opens an SA's packets. AH comes to a socket that the first one has alone.
    private func inboundOwner(_ association: SecurityAssociation) -> Int {
        guard association.securityProtocol == .esp, association.authenticationHeader == nil else { return 0 }
        return InboundWorker.owner(of: association.spi, among: inbound.count)
    }

    // MARK: Sizes

    /// What a path takes, and what of that is left for inner packets.
    package struct PathSize: Hashable, Sendable {
        package enum Source: String, Sendable {
            /// The interface's MTU, or what ICMP said of the path since.
            case kernel
            /// What larger packets did not do.
            case probing
        }

        /// Octets of the largest outer packet.
        package var path: Int
        /// Octets of the largest inner packet that goes into it.
        package var inner: Int
        package var source = Source.kernel
    }

    private func pathSize(_ association: SecurityAssociation, measured: Int? = nil) -> PathSize? {
        var remote = parley_address(association.remote)
        let path = Int(parley_path_mtu(&remote, configuration.firewallMark))
        guard path > 0 else { return nil }
        if let measured, measured < path {
            return PathSize(path: measured, inner: association.innerLimit(pathMTU: measured), source: .probing)
        }
        return PathSize(path: path, inner: association.innerLimit(pathMTU: path))
    }

    /// The least that an interface with IPv6 takes (RFC 8200 §5). Smaller paths get fragments, or ICMP is sent.
    private static let leastMTU = 1280
    /// Every path takes IPv4's packets of 576 octets with what goes around them (RFC 1122 §3.3.3).
    private static let leastSegmentLimit = 500

    /// Gives the device the MTU that fits all SAs (RFC 4301 §8.2): with one larger than that, packets would be cut or
    /// refused.
    private func adapt(_ state: inout State) {
        let sizes = state.installed.values.flatMap { $0.compactMap(\.size?.inner) }
        guard configuration.adaptsMTU, let interface = tunnel.interface, let least = sizes.min() else { return }
        // TCP's segments fit where the device itself may not be so narrow.
        let segmentLimit = min(max(least, Self.leastSegmentLimit), 65_535)
        if segmentLimit != state.segmentLimit {
            state.segmentLimit = segmentLimit
            post(.limitSegments(segmentLimit))
        }
        let mtu = max(segmentLimit, Self.leastMTU)
        guard mtu != state.mtu, parley_tunnel_mtu(interface.name, UInt32(mtu)) == 0 else { return }
        state.mtu = mtu
    }

    /// Most addresses of which is kept what was measured.
    private static let mostMeasured = 65_536

    /// Packets of `octets` reach this address, and larger ones seem not to: SAs to it, and the device's MTU, follow.
    package func learn(path octets: Int, to address: IPAddress) {
        var remote = parley_address(Endpoint(address, port: 0))
        let kernel = Int(parley_path_mtu(&remote, configuration.firewallMark))
        state.withLock { state in
            if octets >= kernel, kernel > 0 {
                state.measured[address] = nil
            } else if state.measured[address] != nil || state.measured.count < Self.mostMeasured {
                state.measured[address] = octets
            }
            let path = kernel > 0 ? min(octets, kernel) : octets
            for (child, entries) in state.installed {
                for index in entries.indices
                where entries[index].remote.address == address && entries[index].direction == .outbound {
                    state.installed[child]?[index].size = PathSize(
                        path: path, inner: entries[index].overhead.innerLimit(pathMTU: path),
                        source: path == kernel ? .kernel : .probing)
                    if let wanted = entries[index].sharedPacketOctets {
                        outbound[entries[index].owner].post(
                            .resize(child, octets: wanted == 0 ? path : min(wanted, path)))
                    }
                }
            }
            adapt(&state)
        }
    }

    /// What the paths of a child's outbound SAs take, the narrowest; `nil` where nothing is known.
    package func pathSize(of child: ChildID) -> PathSize? {
        state.withLock { $0.installed[child]?.compactMap(\.size).min { $0.inner < $1.inner } }
    }

    /// The device's MTU now.
    package var mtu: Int { state.withLock { $0.mtu } }

    // MARK: IKE

    /// Sends an IKE message, or a keepalive of the one octet 0xFF (``ExchangeSender/send(_:)``). False where the kernel did not
    /// take it; IKE retransmits.
    ///
    /// A message that follows a change of who carries a policy's traffic leaves behind the last packet of who carried it
    /// before: it may be the Delete of that SA, which the peer is rid of as soon as it has it (RFC 7296 §2.8).
    @discardableResult
    package func sendIKE(_ datagram: Datagram) -> Bool {
        let owner = successor.load(ordering: .relaxed)
        if owner >= 0 {
            if !outbound[owner].isEmpty {
                outbound[owner].post(.send(datagram))
                return true
            }
            successor.store(-1, ordering: .relaxed)
        }
        return sender.send(datagram)
    }

    /// Seals and sends an inner packet of this process. Only without a TUN device; false where the channel is full.
    @discardableResult
    package func sendPacket(_ packet: [UInt8]) -> Bool { tunnel.put(packet) }

    // MARK: The machine

    /// Addresses of interfaces that are up.
    package func addresses() -> [IPAddress] { LocalAddresses.all() }

    /// The address from which the kernel would send to `remote`; `nil` where there is no route.
    package func sourceAddress(for remote: IPAddress) -> IPAddress? {
        LocalAddresses.source(for: remote, mark: configuration.firewallMark)
    }

    /// Routes and rules that the kernel refused, the last few.
    package var routeFailures: [PlatformError] {
        state.withLock { state in
            if state.routes == nil { return [] }
            return state.routes?.failures ?? []
        }
    }
}

extension SecurityAssociation {
    /// The same SA, with the size of its aggregated packets where the configuration leaves that to the path.
    fileprivate func aggregated(for size: UserspaceEngine.PathSize?) -> SecurityAssociation {
        guard let path = size?.path, var aggregation else { return self }
        aggregation.packetOctets = aggregation.packetOctets == 0 ? path : min(aggregation.packetOctets, path)
        var association = self
        association.aggregation = aggregation
        return association
    }
}
