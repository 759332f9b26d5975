import Glibc

/// A listening UNIX socket of the control protocol. Only its owner may connect; the file goes when the value does.
package final class ControlListener {
    package let descriptor: Int32
    /// The file that goes with the value; `nil` where the socket is somebody else's.
    private let path: String?
    /// Clients that may wait to be accepted.
    private static let backlog: Int32 = 1024

    /// Takes over a socket that listens already, as systemd hands it on; it stays where it is when the value goes.
    ///
    /// - Throws: where the descriptor is no listening UNIX socket.
    package init(adopting descriptor: Int32) throws(ControlSocketError) {
        var isListening: Int32 = 0
        var family: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &isListening, &length) == 0,
            getsockopt(descriptor, SOL_SOCKET, SO_DOMAIN, &family, &length) == 0
        else { throw .system("take over descriptor \(descriptor)", errno) }
        guard isListening != 0, family == AF_UNIX else {
            throw .system("descriptor \(descriptor) is no listening UNIX socket", EINVAL)
        }
        path = nil
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
    }

    /// Takes the path over from a daemon that is gone, but not from one that answers.
    package init(path: String) throws(ControlSocketError) {
        self.path = path
        if (try? UnixStream.connect(path: path)) != nil { throw .inUse(path) }
        unlink(path)
        descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard descriptor >= 0 else { throw .system("socket", errno) }
        let descriptor = descriptor
        let previousMask = umask(0o077)
        let status = UnixStream.withAddress(path) { bind(descriptor, $0, $1) }
        umask(previousMask)
        guard let status else { throw .pathTooLong(path) }
        guard status == 0, listen(descriptor, ControlListener.backlog) == 0 else {
            throw .system("bind \(path)", errno)
        }
    }

    deinit {
        close(descriptor)
        if let path { unlink(path) }
    }

    /// The next waiting client, as a socket that does not block; `nil` when none waits.
    package func accept() -> UnixStream? {
        let client = Glibc.accept(descriptor, nil, nil)
        guard client >= 0 else { return nil }
        _ = fcntl(client, F_SETFD, FD_CLOEXEC)
        _ = fcntl(client, F_SETFL, O_NONBLOCK)
        return UnixStream.accepted(client)
    }
}
