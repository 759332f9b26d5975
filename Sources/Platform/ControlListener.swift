import Glibc

/// A listening UNIX socket of the control protocol. Only its owner may connect; the file goes when the value does.
package final class ControlListener {
    package let descriptor: Int32
    private let path: String

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
        guard status == 0, listen(descriptor, 16) == 0 else { throw .system("bind \(path)", errno) }
    }

    deinit {
        close(descriptor)
        unlink(path)
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
