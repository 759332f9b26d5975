import CPlatform
import CStack
import Glibc
import Primitives

/// A client's connection and the stream inside the tunnel that it is joined to. Belongs to the front's worker.
final class FrontConnection {
    enum Stage {
        case greeting(ProxyHandshake)
        case resolving
        case connecting
        case open
        /// The client is told something, and that is the end.
        case parting
        case over
    }

    /// How long a client may take to say what it wants, and a peer to answer.
    private static let patience = Duration.seconds(30)
    /// Octets that are moved at a time.
    static let chunk = 65_536

    let number: UInt64
    let client: Int32
    private(set) var stage: Stage
    private var handshake: ProxyHandshake?
    private let deadline: Instant
    private var port: UInt16 = 0
    // SAFETY: the stack's, made by ``connect(_:)`` and given back once, by ``end()``, on the worker's thread.
    private var stream: OpaquePointer?
    /// What the client has not taken yet.
    private var toClient: [UInt8] = []
    /// What the stream has not taken yet.
    private var toStream: [UInt8] = []
    private var clientHasEnded = false
    private var clientIsTold = false

    init(number: UInt64, client: Int32, stage: Stage, now: Instant) {
        self.number = number
        self.client = client
        self.stage = stage
        deadline = now + Self.patience
        if case .greeting(let handshake) = stage { self.handshake = handshake }
    }

    deinit { end() }

    var isOver: Bool { if case .over = stage { true } else { false } }

    /// What to wait for.
    var interest: Poller.Interest {
        var wantsToRead = false
        switch stage {
        case .greeting: wantsToRead = true
        case .open:
            wantsToRead = !clientHasEnded && toStream.isEmpty && stream.map { parley_stack_room($0) > 0 } == true
        case .resolving, .connecting, .parting, .over: break
        }
        return Poller.Interest(client, wantsToRead: wantsToRead, wantsToWrite: !toClient.isEmpty)
    }

    /// When patience ends; `nil` once the stream is open.
    var waitsUntil: Instant? { if case .open = stage { nil } else { deadline } }

    /// Gives everything back, without a word.
    func end() {
        if case .over = stage { return }
        stage = .over
        if let stream { parley_stack_close(stream) }
        stream = nil
        Glibc.close(client)
    }

    // MARK: Before the stream

    /// Goes where it is told to. A name that must be resolved first comes back.
    func go(to target: FrontTarget, port: UInt16) -> String? {
        self.port = port
        switch target {
        case .address(let address):
            connect([address])
            return nil
        case .name(let name):
            stage = .resolving
            return name
        }
    }

    /// Begins to connect to the first address that there is a way to.
    func connect(_ addresses: [IPAddress]) {
        guard !addresses.isEmpty else { return part(.unreachable) }
        for address in addresses {
            let octets = address.octets
            let family: UInt8 = address.family == .v4 ? 4 : 6
            // Links' own addresses mean nothing behind a tunnel (RFC 4291 §2.5.6).
            let isLinkLocal = octets.count == 16 && octets[0] == 0xFE && octets[1] & 0xC0 == 0x80
            guard parley_stack_has_address(family) != 0, !isLinkLocal else { continue }
            stream = parley_stack_connect(family, octets, port)
            if stream != nil {
                stage = .connecting
                return
            }
        }
        part(.noRoute)
    }

    /// Tells the client what came of it, if it speaks a protocol that can, and ends.
    private func part(_ outcome: ProxyHandshake.Outcome) { part(saying: handshake?.reply(outcome) ?? []) }

    private func part(saying reply: [UInt8]) {
        if let stream { parley_stack_close(stream) }
        stream = nil
        toClient += reply
        stage = .parting
    }

    // MARK: Work

    /// Does what can be done now. A name that must be resolved comes back.
    func work(_ buffer: UnsafeMutableRawPointer, isReadable: Bool, now: Instant) -> String? {
        if let waitsUntil, waitsUntil <= now {
            if case .connecting = stage { part(.unreachable) } else { end() }
        }
        var name: String?
        switch stage {
        case .greeting(let handshake): if isReadable { name = greet(handshake, buffer) }
        case .connecting: awaitStream()
        case .resolving, .open, .parting, .over: break
        }
        if case .open = stage { carry(buffer) }
        flush()
        if case .parting = stage, toClient.isEmpty { end() }
        return name
    }

    private func greet(_ handshake: ProxyHandshake, _ buffer: UnsafeMutableRawPointer) -> String? {
        let count = parley_stream_receive(client, buffer, 4096)
        guard count > 0 else {
            if count != -Int(EAGAIN) { end() }
            return nil
        }
        var handshake = handshake
        // SAFETY: the call wrote `count` octets.
        var octets = Array(UnsafeRawBufferPointer(start: buffer, count: count))
        while true {
            switch handshake.take(octets) {
            case .proceed(let reply):
                toClient += reply
                stage = .greeting(handshake)
                guard !reply.isEmpty else { return nil }
                octets = []
            case .refuse(let reply):
                part(saying: reply)
                return nil
            case .connect(let target, let port, let early):
                self.handshake = handshake
                toStream = early
                return go(to: target, port: port)
            }
        }
    }

    private func awaitStream() {
        guard let stream else { return part(.failed) }
        switch parley_stack_state(stream) {
        case PARLEY_STACK_CONNECTING: return
        case PARLEY_STACK_OPEN:
            toClient += handshake?.reply(.open) ?? []
            stage = .open
        case PARLEY_STACK_REFUSED: part(.refused)
        default: part(.unreachable)
        }
    }

    /// Moves octets both ways, until neither has any or there is no room.
    private func carry(_ buffer: UnsafeMutableRawPointer) {
        guard let stream else { return end() }
        for _ in 0..<4 {
            var moved = 0
            // 1. From the client.
            if !toStream.isEmpty {
                let taken = parley_stack_write(stream, toStream, toStream.count)
                toStream.removeFirst(taken)
                moved += taken
            }
            let room = toStream.isEmpty ? min(parley_stack_room(stream), Self.chunk) : 0
            if room > 0, !clientHasEnded {
                let count = parley_stream_receive(client, buffer, room)
                if count > 0 {
                    let taken = parley_stack_write(stream, buffer, count)
                    if taken < count {
                        toStream = Array(UnsafeRawBufferPointer(start: buffer + taken, count: count - taken))
                    }
                    moved += count
                } else if count == 0 {
                    clientHasEnded = true
                } else if count != -Int(EAGAIN) {
                    return end()
                }
            }
            // 2. To the client.
            if toClient.isEmpty {
                let count = parley_stack_read(stream, buffer, Self.chunk)
                if count > 0 {
                    toClient = Array(UnsafeRawBufferPointer(start: buffer, count: count))
                    moved += count
                }
            }
            flush()
            if isOver { return }
            if moved == 0 { break }
        }
        finish(stream)
    }

    /// Passes ends on: each direction by itself.
    private func finish(_ stream: OpaquePointer) {
        let isFinished = clientHasEnded && toStream.isEmpty && parley_stack_finish(stream) != 0
        let hasEnded = toClient.isEmpty && parley_stack_is_ended(stream) != 0
        if hasEnded, !clientIsTold {
            clientIsTold = true
            shutdown(client, Int32(SHUT_WR))
        }
        if isFinished && hasEnded { return end() }
        // A reset: what came before it has been passed on.
        if parley_stack_state(stream) == PARLEY_STACK_FAILED, toClient.isEmpty { end() }
    }

    private func flush() {
        guard !toClient.isEmpty else { return }
        let count = parley_stream_send(client, toClient, toClient.count)
        if count > 0 {
            toClient.removeFirst(count)
        } else if count != -Int(EAGAIN) {
            end()
        }
    }
}
