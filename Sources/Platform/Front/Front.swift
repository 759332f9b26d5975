import CPlatform
import CStack
import Glibc
package import Primitives
import Synchronization

/// The rootless front: SOCKS5, HTTP CONNECT and port forwards on local TCP ports, whose connections a TCP/IP stack in this
/// process carries over a data plane without a device. May be called from any thread; one thread of its own does the work.
///
/// The stack keeps its state in globals, so a process has one front at a time.
package final class Front: Sendable {
    /// What the worker must know.
    enum News: Sendable {
        case addAddress(IPAddress)
        case removeAddress(IPAddress)
        /// What a name came to, for the connection with this number.
        case resolved(UInt64, [IPAddress])
        case stop
    }

    /// Octets of packets that wait for the worker; TCP repeats what is dropped beyond them.
    private static let maximumWaiting = 2 << 20

    private struct Waiting {
        var packets: [[UInt8]] = []
        var octets = 0
    }

    let configuration: FrontConfiguration
    let wakeup = Wakeup()
    let listeners: [FrontListener]
    private let news = Mutex<[News]>([])
    private let waiting = Mutex<Waiting>(Waiting())
    private let worker = Mutex<Worker?>(nil)
    private static let isTaken = Atomic<Bool>(false)

    /// Binds the ports; connections are accepted from ``start(send:)`` on. Throws what the kernel refused.
    package init(_ configuration: FrontConfiguration) throws(PlatformError) {
        self.configuration = configuration
        var listeners: [FrontListener] = []
        for local in configuration.socks { listeners.append(try FrontListener(local, .proxy(.socks))) }
        for local in configuration.web { listeners.append(try FrontListener(local, .proxy(.web))) }
        for forward in configuration.forwards {
            listeners.append(try FrontListener(forward.local, .forward(forward.target, forward.port)))
        }
        self.listeners = listeners
    }

    /// The ports that are listened on, SOCKS5's first, then HTTP's, then forwards'.
    package var ports: [UInt16] { listeners.map(\.port) }

    /// Begins to work; inner packets go to `send`, which is false where one was dropped. Throws where another front works.
    package func start(send: @escaping @Sendable ([UInt8]) -> Bool) throws(PlatformError) {
        guard !Front.isTaken.exchange(true, ordering: .acquiringAndReleasing) else {
            throw PlatformError("a second front in one process", code: EBUSY)
        }
        do throws(PlatformError) {
            _ = try PlatformError.check(
                parley_stack_start(FrontWorker.mtu, UInt32.random(in: .min ... .max)), "the user-mode TCP/IP stack")
        } catch {
            Front.isTaken.store(false, ordering: .releasing)
            throw error
        }
        worker.withLock { worker in
            worker = Worker { [self] in FrontWorker(self, send: send).run() }
        }
    }

    /// Takes an inner packet that was opened.
    package func receive(_ packet: [UInt8]) {
        let isFirst = waiting.withLock { waiting in
            guard waiting.octets + packet.count <= Front.maximumWaiting else { return false }
            waiting.packets.append(packet)
            waiting.octets += packet.count
            return waiting.packets.count == 1
        }
        if isFirst { wakeup.signal() }
    }

    /// A virtual address is ours: connections leave from it.
    package func addAddress(_ address: IPAddress) { post(.addAddress(address)) }

    package func removeAddress(_ address: IPAddress) { post(.removeAddress(address)) }

    /// Ends all connections. Does nothing the second time.
    package func close() {
        guard let worker = worker.withLock({ $0.take() }) else { return }
        post(.stop)
        worker.join()
        Front.isTaken.store(false, ordering: .releasing)
    }

    func post(_ item: News) {
        news.withLock { $0.append(item) }
        wakeup.signal()
    }

    func takeNews() -> [News] {
        news.withLock { news in
            defer { news = [] }
            return news
        }
    }

    func takePackets() -> [[UInt8]] {
        waiting.withLock { waiting in
            defer { waiting = Waiting() }
            return waiting.packets
        }
    }
}

/// A local port of the front.
final class FrontListener: Sendable {
    enum Purpose: Sendable {
        case proxy(ProxyHandshake.Kind)
        case forward(FrontTarget, UInt16)
    }

    let descriptor: Int32
    let purpose: Purpose
    let port: UInt16

    init(_ local: Endpoint, _ purpose: Purpose) throws(PlatformError) {
        var address = parley_address(local)
        descriptor = try PlatformError.check(
            parley_stream_listen(&address, 0), "listen on \(local.address):\(local.port)")
        self.purpose = purpose
        port = UInt16(clamping: parley_bound_port(descriptor))
    }

    deinit { Glibc.close(descriptor) }
}
