import CPlatform
import DataPlane
import Glibc
import Primitives
import Synchronization

/// Connections of TCP that carry IKE and ESP (RFC 9329), by the peer's end. Any thread sends; the inbound worker alone
/// receives and closes, through a ``StreamReceiver``.
final class StreamSet: Sendable {
    struct Connection {
        let descriptor: Int32
        let local: Endpoint
        let remote: Endpoint
        let isOriginator: Bool
        /// Octets that the socket did not take yet.
        var backlog: ArraySlice<UInt8> = []
        /// Since when no SA uses it.
        var unusedSince: Instant
    }

    private struct State {
        var connections: [UInt64: Connection] = [:]
        var byRemote: [Endpoint: UInt64] = [:]
        var lastToken: UInt64 = 1000
        /// SAs by the end that they send to.
        var uses: [Endpoint: Int] = [:]
        /// Ends whose connection broke, and the end that an authenticated packet has come from since.
        var successors: [Endpoint: Endpoint] = [:]
        /// When a connection to there was begun.
        var attempts: [Endpoint: Instant] = [:]
    }

    /// Connections that peers may hold, and those of them that carry no SA: together, and from one address.
    static let connectionMaximum = 4096
    static let unusedMaximum = 256
    static let unusedPerSource = 16
    /// How long a connection without an SA is kept.
    static let unusedTime = Duration.seconds(60)
    /// Between two attempts to connect to one peer.
    private static let attemptInterval = Duration.seconds(1)
    private static let attemptMaximum = 1024
    private static let successorMaximum = 4096
    /// Octets that wait for a slow peer; ESP beyond them is dropped, as a full queue on a path does.
    private static let backlogMaximum = 1 << 18
    private static let unusedBacklogMaximum = 1 << 16

    /// Can be read when a connection wants the inbound worker.
    let watch: Int32
    let listeners: [Int32]
    /// The ports that are listened on.
    let ports: [UInt16]
    private let mark: UInt32
    private let state = Mutex(State())

    init(_ configuration: UserspaceConfiguration) throws(PlatformError) {
        mark = configuration.firewallMark
        watch = try PlatformError.check(parley_watch_create(), "epoll")
        var listeners: [Int32] = []
        var ports: [UInt16] = []
        for wanted in configuration.streamPorts {
            var port = wanted
            for address in configuration.bindAddress.map({ [$0] }) ?? [.any(.v4), .any(.v6)] {
                var local = parley_address(address, port: port)
                let descriptor = parley_stream_listen(&local, mark)
                if address == .any(.v6), port != 0, [-EAFNOSUPPORT, -EADDRNOTAVAIL].contains(descriptor) { continue }
                guard descriptor >= 0 else {
                    for each in listeners { close(each) }
                    close(watch)
                    throw PlatformError("TCP socket on \(address)[\(port)]", code: -descriptor)
                }
                if port == 0 { port = UInt16(clamping: parley_bound_port(descriptor)) }
                _ = parley_watch(watch, descriptor, UInt64(listeners.count), 1, 0)
                listeners.append(descriptor)
            }
            ports.append(port)
        }
        self.listeners = listeners
        self.ports = ports
    }

    deinit {
        for descriptor in listeners { close(descriptor) }
        state.withLock { state in
            for connection in state.connections.values { close(connection.descriptor) }
        }
        close(watch)
    }

    // MARK: Use

    /// An SA sends to this end: its connection stays.
    func retain(_ remote: Endpoint) {
        guard remote.isStream else { return }
        state.withLock { $0.uses[remote, default: 0] += 1 }
    }

    /// One SA less sends to this end.
    func release(_ remote: Endpoint) {
        guard remote.isStream else { return }
        let now = Clock.now()
        state.withLock { state in
            guard let count = state.uses[remote] else { return }
            state.uses[remote] = count > 1 ? count - 1 : nil
            if count == 1, let token = state.byRemote[remote] { state.connections[token]?.unusedSince = now }
        }
    }

    /// An SA's peer has come back over another connection: what is for the old one's end goes there, until its sender
    /// knows better.
    func succeed(_ old: Endpoint, by new: Endpoint) {
        guard old.isStream, new.isStream, old != new else { return }
        state.withLock { state in
            if state.successors.count >= Self.successorMaximum { state.successors = [:] }
            for (end, successor) in state.successors where successor == old { state.successors[end] = new }
            state.successors[new] = nil
            state.successors[old] = new
        }
    }

    // MARK: Sending

    /// Sends `count` octets as frames of `segment` octets each (the last may be shorter), behind a non-ESP marker with
    /// `isMarked`. Where there is no connection and `local` opens connections, one is begun. False where nothing was taken.
    ///
    /// SAFETY: the caller vouches for `count` readable octets.
    func send(
        _ octets: UnsafeRawPointer, count: Int, segment: Int, isMarked: Bool, from local: Endpoint, to remote: Endpoint
    ) -> Bool {
        var frames: [UInt8] = []
        frames.reserveCapacity(count + 8 * (count / max(1, segment) + 1))
        var offset = 0
        while offset < count {
            let part = min(segment, count - offset)
            let length = StreamFraming.lengthOctets + (isMarked ? 4 : 0) + part
            guard length <= StreamFraming.frameOctets else { return false }
            frames.append(UInt8(truncatingIfNeeded: length >> 8))
            frames.append(UInt8(truncatingIfNeeded: length))
            if isMarked { frames += [0, 0, 0, 0] }
            frames += UnsafeRawBufferPointer(start: octets + offset, count: part)
            offset += part
        }
        let now = Clock.now()
        return state.withLock { state in
            guard let token = token(from: local, to: remote, now, &state) else { return false }
            return put(frames, into: token, &state)
        }
    }

    /// The connection to an end; from another address of ours than the SA's now it is of no use (RFC 4555).
    private func token(from local: Endpoint, to wanted: Endpoint, _ now: Instant, _ state: inout State) -> UInt64? {
        let remote = state.byRemote[wanted] == nil ? state.successors[wanted] ?? wanted : wanted
        if let token = state.byRemote[remote], let connection = state.connections[token] {
            if !connection.isOriginator || !local.isStream || connection.local.address == local.address { return token }
            state.byRemote[remote] = nil
            state.attempts[remote] = nil
            _ = shutdown(connection.descriptor, Int32(SHUT_RDWR))
        }
        guard local.isStream else { return nil }
        if let last = state.attempts[remote], now - last < Self.attemptInterval { return nil }
        if state.attempts.count >= Self.attemptMaximum { state.attempts = [:] }
        state.attempts[remote] = now
        var (own, peer) = (parley_address(local.address), parley_address(remote))
        let descriptor = parley_stream_connect(&own, &peer, mark)
        guard descriptor >= 0 else { return nil }
        var connection = Connection(
            descriptor: descriptor, local: local, remote: remote, isOriginator: true, unusedSince: now)
        connection.backlog = StreamFraming.prefix[...]
        return insert(connection, &state)
    }

    private func insert(_ connection: Connection, _ state: inout State) -> UInt64? {
        state.lastToken += 1
        let token = state.lastToken
        guard parley_watch(watch, connection.descriptor, token, 1, connection.backlog.isEmpty ? 0 : 1) == 0 else {
            close(connection.descriptor)
            return nil
        }
        state.connections[token] = connection
        state.byRemote[connection.remote] = token
        return token
    }

    private func put(_ frames: [UInt8], into token: UInt64, _ state: inout State) -> Bool {
        guard let connection = state.connections[token] else { return false }
        if !connection.backlog.isEmpty {
            let maximum = state.uses[connection.remote] == nil ? Self.unusedBacklogMaximum : Self.backlogMaximum
            guard connection.backlog.count + frames.count <= maximum else { return false }
            state.connections[token]?.backlog += frames
            return true
        }
        let sent = frames.withUnsafeBytes { parley_stream_send(connection.descriptor, $0.baseAddress, $0.count) }
        if sent < 0, sent != -Int(EAGAIN) {
            // The receiver sees the end and closes.
            _ = shutdown(connection.descriptor, Int32(SHUT_RDWR))
            return false
        }
        let taken = max(0, Int(sent))
        guard taken < frames.count else { return true }
        state.connections[token]?.backlog = frames[taken...]
        _ = parley_watch(watch, connection.descriptor, token, 0, 1)
        return true
    }

    // MARK: The inbound worker's

    /// What a ready connection is; what waited is sent on.
    func flush(_ token: UInt64) -> Connection? {
        state.withLock { state in
            guard let connection = state.connections[token] else { return nil }
            guard !connection.backlog.isEmpty else { return connection }
            let sent = connection.backlog.withUnsafeBytes {
                parley_stream_send(connection.descriptor, $0.baseAddress, $0.count)
            }
            if sent > 0 { state.connections[token]?.backlog.removeFirst(Int(sent)) }
            if sent == connection.backlog.count { _ = parley_watch(watch, connection.descriptor, token, 0, 0) }
            return connection
        }
    }

    /// Takes a connection that a peer opened; it is closed where there are too many.
    func accept(_ descriptor: Int32, from remote: Endpoint, to local: Endpoint) {
        let now = Clock.now()
        state.withLock { state in
            let unused = state.connections.values.filter { !$0.isOriginator && state.uses[$0.remote] == nil }
            guard state.connections.count < Self.connectionMaximum, unused.count < Self.unusedMaximum,
                unused.count(where: { $0.remote.address == remote.address }) < Self.unusedPerSource,
                state.byRemote[remote] == nil
            else {
                close(descriptor)
                return
            }
            _ = insert(
                Connection(
                    descriptor: descriptor, local: local, remote: remote, isOriginator: false, unusedSince: now),
                &state)
        }
    }

    /// Closes a connection.
    func end(_ token: UInt64) {
        state.withLock { state in
            guard let connection = state.connections.removeValue(forKey: token) else { return }
            if state.byRemote[connection.remote] == token { state.byRemote[connection.remote] = nil }
            close(connection.descriptor)
        }
    }

    /// Connections without an SA, and those of them whose time is over.
    func unused(now: Instant) -> (exist: Bool, expired: [UInt64]) {
        state.withLock { state in
            let unused = state.connections.filter { state.uses[$0.value.remote] == nil }
            return (!unused.isEmpty, unused.filter { now - $0.value.unusedSince >= Self.unusedTime }.map(\.key))
        }
    }

    var count: Int { state.withLock { $0.connections.count } }
    var firewallMark: UInt32 { mark }
}
