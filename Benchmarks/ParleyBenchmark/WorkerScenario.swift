import Cryptography
import DataPlane
import Foundation
import IPsec
import Primitives
import Synchronization

/// What workers do with packets, each on a thread with an SA of its own: policy, copying, sealing, then SAD, opening and
/// selectors. No device and no socket.
struct WorkerScenario {
    let repetitions: Int
    private static let packets = 32
    private static let octets = 1400
    private static let batches = 4000

    func run() throws -> Report {
        var report = Report(
            scenario: "Workers",
            explanation: """
                Packets of \(Self.octets) octets, sealed and opened again in batches of \(Self.packets), by one thread and by two \
                with an SA each. "by the clock" is packets in a second while both run, which other work on the machine lowers; \
                "by processor time" what the threads did in a second of theirs, added up, which shows what they cost each other.
                """)
        for (name, encryption) in [
            ("aes256gcm16", Encryption(.aesGCM16, keyBits: 256)), ("chacha20poly1305", Encryption(.chacha20Poly1305)),
        ] {
            var rates: [[(clock: Double, processor: Double)]] = [[], []]
            for repetition in 0...repetitions {
                for threads in 1...2 {
                    let rate = try measure(encryption, threads: threads)
                    if repetition > 0 { rates[threads - 1].append(rate) }
                }
            }
            func readings(_ threads: Int, _ path: (((clock: Double, processor: Double)) -> Double)) -> Readings {
                Readings(values: rates[threads - 1].map { path($0) })
            }
            var figures: [Report.Figure] = []
            for (title, path) in [
                ("by the clock", { (rate: (clock: Double, processor: Double)) in rate.clock }),
                ("by processor time", { (rate: (clock: Double, processor: Double)) in rate.processor }),
            ] {
                let (one, two) = (readings(1, path), readings(2, path))
                figures.append(.init("1 thread, \(title)", "k/s", one))
                figures.append(.init("2 threads", "k/s", two))
                figures.append(.init("ratio", "", Stopwatch.ratio(two, one)))
            }
            report.rows.append(Report.Row(name: name, figures: figures))
        }
        return report
    }

    /// Thousands of packets in a second.
    private func measure(_ encryption: Encryption, threads: Int) throws -> (clock: Double, processor: Double) {
        let drops = DropCounters()
        let lanes = try (0..<threads).map { try Lane(UInt32($0), encryption, drops) }
        let rates = Mutex<[Double]>([])
        let start = Date()
        let running = lanes.map { lane in
            let thread = Thread {
                let start = Stopwatch.threadNanoseconds()
                lane.carry(Self.batches)
                let spent = Stopwatch.threadNanoseconds() - start
                rates.withLock { $0.append(Double(Self.batches * Self.packets) / spent * 1e6) }
                lane.isDone.store(true, ordering: .releasing)
            }
            thread.start()
            return thread
        }
        while lanes.contains(where: { !$0.isDone.load(ordering: .acquiring) }) { usleep(200) }
        let elapsed = Date().timeIntervalSince(start)
        withExtendedLifetime(running) {}
        guard lanes.allSatisfy({ $0.opened == Self.batches * Self.packets }) else {
            throw BenchmarkError("lost packets")
        }
        return (
            Double(threads * Self.batches * Self.packets) / elapsed / 1e3, rates.withLock { $0.reduce(0, +) }
        )
    }

    // SAFETY: used by one thread at a time: the one that makes it, then the one that runs it, and after `isDone` the first
    // again.
    private final class Lane: @unchecked Sendable {
        let isDone = Atomic<Bool>(false)
        private(set) var opened = 0
        private let outbound: OutboundPlane
        private let inbound: InboundPlane
        private let inner: [UInt8]
        private let origin: Endpoint
        private let arena = UnsafeMutableRawPointer.allocate(byteCount: 128 * 1024, alignment: 64)
        private let arrived = UnsafeMutableRawPointer.allocate(byteCount: 128 * 1024, alignment: 64)

        init(_ index: UInt32, _ encryption: Encryption, _ drops: DropCounters) throws {
            outbound = OutboundPlane(drops: drops) { _ in }
            inbound = InboundPlane(drops: drops) { _ in }
            let end = Endpoint(IPAddress(v4: 0xC000_0201), port: 4500)
            origin = end
            guard let own = Prefix("10.1.0.0/16"), let other = Prefix("10.2.0.0/16") else {
                throw BenchmarkError("a prefix")
            }
            var random = Randomness.seeded(UInt64(index))
            let suite = Suite(encryption: encryption)
            let keys = KeyMaterial(
                encryption: Secret(random.octets(encryption.keyMaterialOctets)), integrity: nil)
            func association(_ direction: SecurityAssociation.Direction) -> SecurityAssociation {
                let isOut = direction == .outbound
                return SecurityAssociation(
                    direction: direction, child: ChildID(index), name: "net", requestID: index, spi: SPI(0x100 + index),
                    local: end, remote: end, udpEncapsulation: true, suite: suite, keys: keys,
                    localSelectors: [TrafficSelector(isOut ? own : other)],
                    remoteSelectors: [TrafficSelector(isOut ? other : own)], replayWindowPackets: 1024)
            }
            outbound.insert(OutboundAssociation(association(.outbound), counters: AssociationCounters()))
            inbound.insert(InboundAssociation(association(.inbound), counters: AssociationCounters()))
            var packet: [UInt8] = [0x45, 0]
            packet.append(bigEndian: UInt16(WorkerScenario.octets))
            packet += [0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 0x10, 0, 0, 53]
            packet.append(bigEndian: UInt16(WorkerScenario.octets - 20))
            packet += [UInt8](repeating: 0, count: WorkerScenario.octets - packet.count)
            inner = packet
        }

        deinit {
            arena.deallocate()
            arrived.deallocate()
        }

        func carry(_ batches: Int) {
            inner.withUnsafeBytes { inner in
                guard let packet = inner.baseAddress else { return }
                for batch in 0..<batches {
                    let now = Instant(nanoseconds: Int64(batch) * 1_000_000)
                    var used = 0
                    var association: OutboundAssociation?
                    for _ in 0..<WorkerScenario.packets {
                        guard let view = PacketView(packet, count: inner.count),
                            let found = outbound.association(for: view, of: packet, now: now),
                            let placement = found.placement(view, count: view.octets)
                        else { return }
                        (arena + used + placement.offset).copyMemory(from: packet, byteCount: inner.count)
                        used += outbound.seal(arena + used, placement, with: found, deferring: true, now: now).octets
                        association = found
                    }
                    guard association?.sealDeferred() == true else { return }
                    // The wire.
                    arrived.copyMemory(from: arena, byteCount: used)
                    let sealed = used / WorkerScenario.packets
                    for index in 0..<WorkerScenario.packets {
                        let outcome = inbound.open(
                            arrived + index * sealed, count: sealed, from: origin, deferring: true, now: now)
                        if case .opened = outcome { opened += 1 }
                    }
                    inbound.openDeferred(now: now) { outcome in if case .opened = outcome { opened += 1 } }
                    inbound.forgetPackets()
                }
            }
        }
    }
}
