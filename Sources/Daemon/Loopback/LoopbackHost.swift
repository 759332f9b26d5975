import Control
import Credentials
import Cryptography
import IPsec
import KeyManagement
import Platform
import Primitives
import Synchronization

/// What two hosts' workers deliver to the one thread that drives both.
final class LoopbackInbox: Sendable {
    enum Item: Sendable {
        case datagram(Datagram)
        case packet([UInt8])
        case inboundTraffic(ChildID)
    }

    private let items = Mutex<[(host: Int, item: Item)]>([])
    let wakeup = Wakeup()

    func post(_ item: Item, to host: Int) {
        items.withLock { $0.append((host, item)) }
        wakeup.signal()
    }

    func take() -> [(host: Int, item: Item)] {
        wakeup.clear()
        return items.withLock { items in
            defer { items = [] }
            return items
        }
    }
}

/// One of two peers in one process: real key management and the userspace data plane over UDP ports of the loopback
/// interface, with an in-process host behind it instead of a TUN device.
final class LoopbackHost {
    let plane: UserspaceEngine
    private var manager: KeyManager
    private let keys: SharedKeyStore
    private(set) var traces: [MessageTrace] = []
    private(set) var replies: [Response] = []
    private(set) var failures: [String] = []
    private var lastRequest: UInt64 = 0

    /// A data plane on two ports of 127.0.0.1 that the system chooses.
    static func openPlane(_ host: Int, inbox: LoopbackInbox) throws(PlatformError) -> UserspaceEngine {
        var configuration = UserspaceConfiguration()
        configuration.port = 0
        configuration.natPort = 0
        configuration.bindAddress = Loopback.address
        configuration.tunnelName = nil
        configuration.receivePacket = { packet, _ in inbox.post(.packet(packet), to: host) }
        return try UserspaceEngine(
            configuration, receiveIKE: { datagram, _ in inbox.post(.datagram(datagram), to: host) },
            report: { event in
                if case .inboundTraffic(let child, _) = event { inbox.post(.inboundTraffic(child), to: host) }
            })
    }

    init(plane: UserspaceEngine, connection: Connection, key: Secret) {
        self.plane = plane
        keys = SharedKeyStore([SharedKey(name: "loopback", identities: [], secret: key)])
        var settings = EngineSettings()
        settings.port = plane.boundPort
        settings.natPort = plane.boundNATPort
        settings.forceEncapsulation = true
        settings.traceMessages = true
        manager = KeyManager(
            now: Clock.now(), randomness: .buffered, policies: PolicyDatabase(connections: [connection]),
            settings: settings, sourceAddress: { _ in Loopback.address })
    }

    func command(_ command: Command) {
        lastRequest += 1
        feed(.command(command, RequestID(lastRequest)))
    }

    var nextDeadline: Instant? { manager.nextDeadline }

    func fireTimers() {
        if let deadline = manager.nextDeadline, deadline <= Clock.now() { feed(.deadline) }
    }

    var isIdle: Bool { manager.sessionCounts.all == 0 }

    /// The SA table, as `list-sa` shows it.
    var status: [ViciMessage] {
        manager.snapshots.map { session in
            SnapshotMessages.message(session, now: Clock.now()) { [plane] in plane.counters(of: $0) }
        }
    }

    /// ESP packets in both directions.
    var packets: UInt64 {
        manager.snapshots.flatMap(\.children).compactMap { plane.counters(of: $0.id) }
            .reduce(0) { $0 + $1.inbound.packets + $1.outbound.packets }
    }

    func feed(_ input: Input) {
        var inputs = [input]
        while !inputs.isEmpty {
            for effect in manager.handle(inputs.removeFirst(), now: Clock.now()) {
                switch effect {
                case .send(let datagram): _ = plane.sendIKE(datagram)
                case .install(let association): plane.install(association)
                case .remove(let spi, let direction, let child): plane.remove(spi, direction, of: child)
                case .expect(let spi): plane.expect(spi)
                case .addAddress, .removeAddress: break
                case .move(let child, let local, let remote): plane.move(child, local: local, remote: remote)
                case .trap, .disclose: break
                case .ask(let id, let question): inputs.append(.answer(id, keys.answer(question)))
                case .reply(_, let response): replies.append(response)
                case .report(let event): note(event)
                }
            }
        }
    }

    private func note(_ event: Event) {
        switch event.kind {
        case .session(.message(let trace)): traces.append(trace)
        case .session(.refused): failures += EventLines.lines(event).map(\.text)
        case .session, .closed, .dropped, .noticed: break
        }
    }
}
