import CPlatform
import CStack
import Glibc
import Primitives

/// The thread of the rootless front: the stack and all connections are its own.
///
/// 1. Wait for clients, packets, news and the stack's timers.
/// 2. Give the stack what came out of the tunnel.
/// 3. Accept clients, and move octets between each and its stream.
/// 4. Send what the stack has for the tunnel.
final class FrontWorker {
    /// The least that IPv6 promises (RFC 8200 §5): it fits into ESP on all paths that carry Ethernet's frames or nearly.
    static let mtu: UInt16 = 1280
    /// Names that are being resolved at a time, each on a thread.
    private static let maximumQuestions = 16

    private let front: Front
    private let send: @Sendable ([UInt8]) -> Bool
    private var connections: [FrontConnection] = []
    private var lastNumber: UInt64 = 0
    private var questions = 0
    /// No client is accepted before, since the machine had no descriptor for one.
    private var restsUntil: Instant?
    /// Ours inside the tunnel: what was configured, then virtual addresses, of which the newest of a family is used.
    private var addresses: [IPAddress]
    // SAFETY: allocated in init, freed in deinit, used by this worker's thread alone.
    private let buffer: UnsafeMutableRawPointer

    init(_ front: Front, send: @escaping @Sendable ([UInt8]) -> Bool) {
        self.front = front
        self.send = send
        addresses = front.configuration.addresses
        buffer = .allocate(byteCount: FrontConnection.chunk, alignment: 64)
        buffer.initializeMemory(as: UInt8.self, repeating: 0, count: FrontConnection.chunk)
    }

    deinit { buffer.deallocate() }

    func run() {
        setAddresses()
        while true {
            let due = parley_stack_tick()
            drain()
            let ready = Poller.wait(interests, milliseconds: pause(due))
            if ready.contains(front.wakeup.descriptor) { front.wakeup.clear() }
            guard takeNews() else { break }
            for packet in front.takePackets() { parley_stack_input(packet, packet.count) }
            accept(ready)
            let now = Clock.now()
            for connection in connections {
                work(connection, isReadable: ready.contains(connection.client), now)
                drain()
            }
            connections.removeAll(where: \.isOver)
        }
        // Peers hear of it: a stream that is given up is reset.
        connections.forEach { $0.end() }
        drain()
        parley_stack_clear_address(4)
        parley_stack_clear_address(6)
    }

    private var interests: [Poller.Interest] {
        var interests = [Poller.Interest(front.wakeup.descriptor)]
        if restsUntil == nil, connections.count < front.configuration.maximumConnections {
            interests += front.listeners.map { Poller.Interest($0.descriptor) }
        }
        for connection in connections {
            let interest = connection.interest
            if interest.wantsToRead || interest.wantsToWrite { interests.append(interest) }
        }
        return interests
    }

    private func pause(_ due: UInt32) -> Int32 {
        var pause = Int32(clamping: min(due, 60_000))
        if let next = (connections.compactMap(\.waitsUntil) + [restsUntil].compactMap { $0 }).min() {
            let left = ((next - Clock.now()).wholeNanoseconds + 999_999) / 1_000_000
            pause = min(pause, Int32(clamping: max(0, left)))
        }
        return pause
    }

    /// False where the worker should stop.
    private func takeNews() -> Bool {
        for item in front.takeNews() {
            switch item {
            case .addAddress(let address):
                addresses.append(address)
                setAddresses()
            case .removeAddress(let address):
                if let index = addresses.lastIndex(of: address) { addresses.remove(at: index) }
                setAddresses()
            case .resolved(let number, let found):
                questions -= 1
                guard let connection = connections.first(where: { $0.number == number }), !connection.isOver else {
                    break
                }
                connection.connect(found)
            case .stop: return false
            }
        }
        return true
    }

    private func setAddresses() {
        for family in [IPAddress.Family.v4, .v6] {
            let number: UInt8 = family == .v4 ? 4 : 6
            if let address = addresses.last(where: { $0.family == family }) {
                parley_stack_set_address(number, address.octets)
            } else {
                parley_stack_clear_address(number)
            }
        }
    }

    private func accept(_ ready: Set<Int32>) {
        if let restsUntil, restsUntil <= Clock.now() { self.restsUntil = nil }
        for listener in front.listeners where ready.contains(listener.descriptor) {
            while connections.count < front.configuration.maximumConnections {
                var (from, to) = (parley_address(), parley_address())
                let client = parley_stream_accept(listener.descriptor, &from, &to, 0)
                guard client >= 0 else {
                    if [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(-client) {
                        restsUntil = Clock.now() + .milliseconds(100)
                    }
                    break
                }
                lastNumber += 1
                let now = Clock.now()
                switch listener.purpose {
                case .proxy(let kind):
                    connections.append(
                        FrontConnection(
                            number: lastNumber, client: client, stage: .greeting(ProxyHandshake(kind)), now: now))
                case .forward(let target, let port):
                    let connection = FrontConnection(
                        number: lastNumber, client: client, stage: .resolving, now: now)
                    connections.append(connection)
                    resolve(connection.go(to: target, port: port), for: connection)
                }
            }
        }
    }

    private func work(_ connection: FrontConnection, isReadable: Bool, _ now: Instant) {
        resolve(connection.work(buffer, isReadable: isReadable, now: now), for: connection)
    }

    /// Asks the machine's resolver, which blocks, on a thread of its own.
    private func resolve(_ name: String?, for connection: FrontConnection) {
        guard let name else { return }
        guard questions < Self.maximumQuestions else { return connection.connect([]) }
        questions += 1
        let (front, number) = (front, connection.number)
        Threads.start { front.post(.resolved(number, Resolver.addresses(of: name))) }
    }

    private func drain() {
        while true {
            let count = parley_stack_take(buffer, FrontConnection.chunk)
            guard count > 0 else { return }
            // SAFETY: the call wrote `count` octets.
            _ = send(Array(UnsafeRawBufferPointer(start: buffer, count: count)))
        }
    }
}
