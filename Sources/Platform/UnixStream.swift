import CPlatform
import Glibc

/// A connected UNIX stream socket; closed when the value goes.
package final class UnixStream {
    package let descriptor: Int32

    private init(descriptor: Int32) { self.descriptor = descriptor }
    deinit { close(descriptor) }

    /// What a read came to.
    package enum ReadResult: Sendable {
        case octets([UInt8])
        /// Nothing is there now; only from a socket that does not block.
        case nothingYet
        /// The other end closed, or the socket failed.
        case closed
    }

    /// Connects, and blocks on reads and writes from then on.
    package static func connect(path: String) throws(ControlSocketError) -> UnixStream {
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw .system("socket", errno) }
        let stream = UnixStream(descriptor: descriptor)
        guard let status = withAddress(path, { Glibc.connect(descriptor, $0, $1) }) else { throw .pathTooLong(path) }
        guard status == 0 else { throw .system("connect to \(path)", errno) }
        return stream
    }

    /// Wraps an accepted socket.
    static func accepted(_ descriptor: Int32) -> UnixStream { UnixStream(descriptor: descriptor) }

    /// Reads what is there, at most 64 KiB.
    package func read() -> ReadResult {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count > 0 { return .octets(Array(buffer[..<count])) }
            if count == 0 { return .closed }
            switch errno {
            case EINTR: continue
            case EAGAIN: return .nothingYet
            default: return .closed
            }
        }
    }

    /// Writes a prefix of `octets` and returns its length (0 when the socket takes nothing now); `nil` when the other
    /// end is gone.
    package func write(_ octets: ArraySlice<UInt8>) -> Int? {
        while true {
            // SAFETY: the pointer is used within the closure, for `count` octets that it covers.
            let count = octets.withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count >= 0 { return count }
            switch errno {
            case EINTR: continue
            case EAGAIN: return 0
            default: return nil
            }
        }
    }

    /// Writes everything, blocking; `false` when the other end is gone.
    package func writeAll(_ octets: [UInt8]) -> Bool {
        var rest = octets[...]
        while !rest.isEmpty {
            guard let count = write(rest) else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// The user who runs the other end; `nil` where the system does not say.
    package var peerUser: UInt32? {
        var user: UInt32 = 0
        return parley_peer_user(descriptor, &user) == 0 ? user : nil
    }

    /// Blocks for at most `seconds` until there is something to read; `nil` waits for ever.
    package func waitReadable(seconds: Double?) -> Bool {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, seconds.map { Int32(max(0, $0 * 1000)) } ?? -1) > 0
    }

    /// Calls `body` with the socket address of a path; `nil` where the path is too long for one.
    static func withAddress<Result>(
        _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result? {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let octets = Array(path.utf8)
        guard octets.count < MemoryLayout.size(ofValue: address.sun_path) else { return nil }
        // SAFETY: the copy fits, as checked above, and leaves a terminating zero; the rebound pointer lives in `body`.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: octets) }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
}

/// Why a control socket could not be had.
package enum ControlSocketError: Error, CustomStringConvertible {
    case pathTooLong(String)
    /// Another daemon answers there.
    case inUse(String)
    /// A system call and its `errno`.
    case system(String, Int32)

    package var description: String {
        switch self {
        case .pathTooLong(let path): "the socket path \(path) is too long"
        case .inUse(let path): "another daemon answers at \(path)"
        case .system(let call, let code): "\(call): \(String(cString: strerror(code)))"
        }
    }
}
