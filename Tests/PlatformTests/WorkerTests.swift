import CPlatform
import Cryptography
import DataPlane
import Glibc
import IPsec
import Primitives
import Testing

@testable import Platform

extension NamespaceTests {
    /// Several workers on both hosts, several SAs between them.
    @Suite struct WorkerTests {
        private static let children = 4

        private func engine(_ hosts: TwoHosts, _ host: Int, workers: Int) throws -> UserspaceEngine {
            try hosts.on(host) {
                var configuration = UserspaceConfiguration()
                configuration.tunnelName = "plane%d"
                configuration.workers = workers
                return try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
            }
        }

        /// Each child has a network of its own behind the east; the SPIs of one direction lie with alternating workers.
        private func pair(_ child: UInt32, number: UInt32, encapsulated: Bool) -> ChildPair {
            ChildPair(
                child: number, westEnd: Endpoint(IPAddress("192.0.2.1")!, port: 4500),
                eastEnd: Endpoint(IPAddress("192.0.2.2")!, port: 4500), westNet: [selector("10.1.0.0/16")],
                eastNet: [selector("10.2.\(child).0/24")], encapsulated: encapsulated, requestID: child,
                firstSPI: 0x1000_0000 + number * 3)
        }

        /// Sends `count` UDP datagrams of 1,000 octets to each child's network, each from one of 16 ports: their flows lie
        /// in all queues of the device, wherever their SA is at home.
        private func flood(_ hosts: TwoHosts, _ count: Int, between: @escaping @Sendable (Int) -> Void) throws {
            try hosts.on(0) {
                let sockets = try (0..<16).map { _ in
                    try DatagramSocket(.exchange, IPAddress("10.1.0.1")!, port: 0, mark: 0)
                }
                let payload = [UInt8](repeating: 7, count: 1000)
                for number in 0..<count {
                    for child in 1...Self.children {
                        var to = parley_address(IPAddress("10.2.\(child).1")!, port: 9)
                        let code = parley_send(
                            sockets[number % 16].descriptor, nil, &to, payload, payload.count, 0, 0, 0)
                        precondition(code == 0, "the device takes the packet")
                    }
                    // Few enough at a time for any queue.
                    if number % 8 == 7 { between(number) }
                }
            }
        }

        private func received(_ engine: UserspaceEngine, _ children: ClosedRange<UInt32>) -> UInt64 {
            children.reduce(0) { $0 + (engine.counters(of: ChildID($1))?.inbound.packets ?? 0) }
        }

        @Test(arguments: [true, false])
        func everyPacketGoesThroughItsOwnWorker(encapsulated: Bool) throws {
            guard let hosts = TwoHosts() else { return }
            let west = try engine(hosts, 0, workers: 2)
            defer { west.close() }
            let east = try engine(hosts, 1, workers: 3)
            defer { east.close() }
            #expect(west.workerCount == 4)
            #expect(east.workerCount == 6)
            let pairs = (1...UInt32(Self.children)).map { pair($0, number: $0, encapsulated: encapsulated) }
            try hosts.on(0) { for pair in pairs { pair.west.forEach(west.install) } }
            try hosts.on(1) { for pair in pairs { pair.east.forEach(east.install) } }
            let count = 800
            try flood(hosts, count) { [east] number in
                while (1...UInt32(Self.children)).contains(where: {
                    (east.counters(of: ChildID($0))?.inbound.packets ?? 0) < UInt64(number + 1)
                }) {
                    usleep(100)
                }
            }
            for child in 1...UInt32(Self.children) {
                #expect(west.counters(of: ChildID(child))?.outbound.packets == UInt64(count))
                #expect(east.counters(of: ChildID(child))?.inbound.packets == UInt64(count))
            }
            for engine in [west, east] {
                // Devices that come up announce themselves over IPv6, and no answer comes from where nobody listens.
                #expect(engine.dropCounters.nonzero.filter { $0.key != .noPolicy } == [:])
            }
        }

        /// RFC 9611: SAs of one policy, one for each worker. Flows lie in both queues of the device, so both SAs are used, and
        /// nothing is handed over or lost.
        @Test func eachWorkerUsesItsOwnSAOfAPolicy() throws {
            guard let hosts = TwoHosts() else { return }
            let west = try engine(hosts, 0, workers: 2)
            defer { west.close() }
            let east = try engine(hosts, 1, workers: 2)
            defer { east.close() }
            let ends = ["192.0.2.1", "192.0.2.2"].map { Endpoint(IPAddress($0)!, port: 4500) }
            for number in 0..<2 {
                let pair = ChildPair(
                    child: UInt32(number) + 1, westEnd: ends[0], eastEnd: ends[1], westNet: [selector("10.1.0.0/16")],
                    eastNet: [selector("10.2.0.0/16")], window: 64, resource: number)
                try hosts.on(0) { pair.west.forEach(west.install) }
                try hosts.on(1) { pair.east.forEach(east.install) }
            }
            let count = 400
            try flood(hosts, count) { number in
                while received(east, 1...2) < UInt64((number + 1) * Self.children) { usleep(100) }
            }
            let sent = (1...2).map { west.counters(of: ChildID($0))?.outbound.packets ?? 0 }
            #expect(sent.reduce(0, +) == UInt64(count * Self.children))
            #expect(sent.allSatisfy { $0 > 0 })
            #expect(west.dropCounters.nonzero.filter { $0.key != .noPolicy } == [:])
            #expect(east.dropCounters.nonzero.filter { $0.key != .noPolicy } == [:])
        }

        /// RFC 9347: packets that share payloads all come, as they are there and at a constant rate.
        @Test(arguments: [0, 400]) func packetsShareAPayload(rate: Int) throws {
            guard let hosts = TwoHosts() else { return }
            let west = try engine(hosts, 0, workers: 1)
            defer { west.close() }
            let east = try engine(hosts, 1, workers: 2)
            defer { east.close() }
            var aggregation = Aggregation()
            aggregation.packetRate = rate
            let ends = ["192.0.2.1", "192.0.2.2"].map { Endpoint(IPAddress($0)!, port: 4500) }
            let pair = ChildPair(
                child: 1, westEnd: ends[0], eastEnd: ends[1], westNet: [selector("10.1.0.0/16")],
                eastNet: [selector("10.2.0.0/16")], window: 4096, aggregation: aggregation)
            // A constant rate begins at once, and meets who can open it.
            for direction in [SecurityAssociation.Direction.inbound, .outbound] {
                try hosts.on(1) { pair.east.filter { $0.direction == direction }.forEach(east.install) }
                try hosts.on(0) { pair.west.filter { $0.direction == direction }.forEach(west.install) }
            }
            let count = 200
            try flood(hosts, count) { number in
                while received(east, 1...1) < UInt64((number + 1) * Self.children) { usleep(100) }
            }
            #expect(west.counters(of: ChildID(1))?.outbound.packets == UInt64(count * Self.children))
            #expect(west.dropCounters.nonzero.filter { $0.key != .noPolicy } == [:])
            #expect(east.dropCounters.nonzero.filter { $0.key != .noPolicy } == [:])
        }

        /// What probing found of a path is what the device and the SAs keep to, until the path takes more again.
        @Test func theDeviceFollowsWhatWasMeasured() throws {
            guard let hosts = TwoHosts() else { return }
            let west = try hosts.on(0) {
                var configuration = UserspaceConfiguration()
                configuration.tunnelName = "plane%d"
                configuration.adaptsMTU = true
                return try UserspaceEngine(configuration, receiveIKE: { _, _ in }, report: { _ in })
            }
            defer { west.close() }
            let pairs = (1...2).map { pair($0, number: $0, encapsulated: true) }
            try hosts.on(0) { pairs[0].west.forEach(west.install) }
            let whole = try #require(west.pathSize(of: ChildID(1)))
            #expect(whole.path == 1500 && whole.source == .kernel && west.mtu == whole.inner)
            let east = IPAddress("192.0.2.2")!
            try hosts.on(0) { west.learn(path: 1400, to: IPAddress("192.0.2.9")!) }
            #expect(west.pathSize(of: ChildID(1)) == whole, "another peer's path")
            try hosts.on(0) { west.learn(path: 1400, to: east) }
            let narrow = UserspaceEngine.PathSize(path: 1400, inner: whole.inner - 100, source: .probing)
            #expect(west.pathSize(of: ChildID(1)) == narrow)
            #expect(west.mtu == narrow.inner)
            try hosts.on(0) { pairs[1].west.forEach(west.install) }
            #expect(west.pathSize(of: ChildID(2)) == narrow, "a new SA on the same path")
            // More than the interface takes means nothing.
            try hosts.on(0) { west.learn(path: 9000, to: east) }
            #expect(west.pathSize(of: ChildID(1)) == whole && west.pathSize(of: ChildID(2)) == whole)
            #expect(west.mtu == whole.inner)
        }

        /// SAs are replaced while packets run: none is lost, none is sealed by two workers (which the replay window, here
        /// of 64 packets, would show).
        @Test func rekeyingLosesNothing() throws {
            guard let hosts = TwoHosts() else { return }
            let west = try engine(hosts, 0, workers: 2)
            defer { west.close() }
            let east = try engine(hosts, 1, workers: 2)
            defer { east.close() }
            let children = UInt32(Self.children)
            @Sendable func install(_ number: UInt32) throws {
                let new = pair((number - 1) % children + 1, number: number, encapsulated: true)
                try hosts.on(1) { new.east.forEach(east.install) }
                try hosts.on(0) { new.west.forEach(west.install) }
            }
            for child in 1...children { try install(child) }
            let count = 400
            nonisolated(unsafe) var newest = children
            try flood(hosts, count) { number in
                while received(east, 1...newest) < UInt64((number + 1) * Self.children) { usleep(100) }
                newest += 1
                do { try install(newest) } catch { preconditionFailure("\(error)") }
                // The one before the last of this child goes from the sender.
                if newest > 2 * children {
                    let old = newest - 2 * children
                    let spi = SPI(0x1000_0000 + old * 3)
                    try? hosts.on(0) { west.remove(spi, .outbound, of: ChildID(old)) }
                }
            }
            #expect(newest == children + 50)
            #expect(received(east, 1...newest) == UInt64(count) * UInt64(Self.children))
            for engine in [west, east] {
                #expect(engine.dropCounters.nonzero.filter { $0.key != .noPolicy } == [:])
            }
        }
    }
}
