import CPlatform
import DataPlane
import Glibc
import Primitives

/// The receiving half of a ``StreamSet``: what has come of each connection, cut into frames. Belongs to the inbound worker.
final class StreamReceiver {
    private final class Reader {
        // SAFETY: allocated in init, freed in deinit; the first `filled` of its octets have come.
        let buffer = UnsafeMutableRawPointer.allocate(byteCount: Reader.capacity, alignment: 64)
        static let capacity = 65_536
        var filled = 0
        var framing: StreamFraming

        init(fromOriginator: Bool) { framing = StreamFraming(fromOriginator: fromOriginator) }
        deinit { buffer.deallocate() }
    }

    private let streams: StreamSet
    private var readers: [UInt64: Reader] = [:]
    private var tokens = [UInt64](repeating: 0, count: 64)
    /// Reads of one connection, and connections of one listener, before the others have their turn.
    private static let readsAtOnce = 4
    private static let acceptsAtOnce = 16
    private var lastLook = Instant(nanoseconds: 0)
    private var hasUnused = false

    init(_ streams: StreamSet) { self.streams = streams }

    var descriptor: Int32 { streams.watch }

    /// For how long the worker may sleep; `nil` for ever.
    var patience: Duration? { hasUnused ? .seconds(1) : nil }

    /// Takes what has come. `take` gets each frame without its length, and the connection; it may write into it, until
    /// `release`, after which the octets are others.
    ///
    /// SAFETY: `take` gets as many octets as it is told.
    func serve(
        now: Instant, take: (UnsafeMutableRawPointer, Int, StreamSet.Connection) -> Void, release: () -> Void
    ) {
        let count = Int(parley_watch_ready(streams.watch, &tokens, UInt32(tokens.count)))
        for index in 0..<max(0, count) {
            let token = tokens[index]
            if token < UInt64(streams.listeners.count) {
                accept(streams.listeners[Int(token)])
            } else if let connection = streams.flush(token), !receive(token, connection, take, release) {
                readers[token] = nil
                streams.end(token)
            }
        }
        if count > 0 { hasUnused = true }
        guard hasUnused, now - lastLook >= .seconds(1) else { return }
        lastLook = now
        let unused = streams.unused(now: now)
        hasUnused = unused.exist
        for token in unused.expired {
            readers[token] = nil
            streams.end(token)
        }
    }

    private func accept(_ listener: Int32) {
        for _ in 0..<Self.acceptsAtOnce {
            var (from, to) = (parley_address(), parley_address())
            let descriptor = parley_stream_accept(listener, &from, &to, streams.firewallMark)
            guard descriptor >= 0 else { return }
            guard var remote = from.endpoint, let local = to.endpoint else {
                close(descriptor)
                return
            }
            remote.isStream = true
            streams.accept(descriptor, from: remote, to: local)
        }
    }

    /// False where the connection has ended.
    private func receive(
        _ token: UInt64, _ connection: StreamSet.Connection,
        _ take: (UnsafeMutableRawPointer, Int, StreamSet.Connection) -> Void, _ release: () -> Void
    ) -> Bool {
        let reader = readers[token] ?? Reader(fromOriginator: !connection.isOriginator)
        readers[token] = reader
        for _ in 0..<Self.readsAtOnce {
            let count = parley_stream_receive(
                connection.descriptor, reader.buffer + reader.filled, Reader.capacity - reader.filled)
            if count == -Int(EAGAIN) || count == -Int(EINTR) { return true }
            guard count > 0 else { return false }
            reader.filled += Int(count)
            var start = 0
            reading: while true {
                switch reader.framing.next(reader.buffer + start, count: reader.filled - start) {
                case .prefix(let octets): start += octets
                case .frame(let octets):
                    let head = StreamFraming.lengthOctets
                    if octets > head { take(reader.buffer + start + head, octets - head, connection) }
                    start += octets
                case .incomplete: break reading
                case .broken:
                    release()
                    return false
                }
            }
            release()
            // SAFETY: both ranges lie in the buffer; the move allows them to overlap.
            if start > 0 { memmove(reader.buffer, reader.buffer + start, reader.filled - start) }
            reader.filled -= start
        }
        return true
    }
}
