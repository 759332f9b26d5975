import Glibc

/// Sockets that systemd opened for us before we ran (sd_listen_fds(3)): descriptors from 3 on, counted by `LISTEN_FDS`, for
/// the process of `LISTEN_PID`, with the names of `LISTEN_FDNAMES`.
package struct ServiceSockets: Sendable {
    private static let first: Int32 = 3
    /// More than this many are no service's of ours.
    private static let maximum = 64

    /// Descriptors with their names, in the order in which they were handed over.
    package let sockets: [(name: String, descriptor: Int32)]

    /// - Parameter environment: the variables, as systemd sets them.
    package init(environment: (String) -> String?) {
        guard environment("LISTEN_PID") == String(getpid()), let count = environment("LISTEN_FDS").flatMap({ Int($0) }),
            (1...ServiceSockets.maximum).contains(count)
        else {
            sockets = []
            return
        }
        let names = (environment("LISTEN_FDNAMES") ?? "").split(separator: ":", omittingEmptySubsequences: false)
        sockets = (0..<count).map { index in
            (names.indices.contains(index) ? String(names[index]) : "", ServiceSockets.first + Int32(index))
        }
    }

    /// From the process's environment. The descriptors are kept from programs that we might start.
    package init() {
        self.init { name in
            // SAFETY: getenv gives a terminated string or nothing; it is copied at once.
            getenv(name).map { String(cString: $0) }
        }
        for socket in sockets { _ = fcntl(socket.descriptor, F_SETFD, FD_CLOEXEC) }
    }

    /// The one that listens for control clients: the one of that name, or the only one.
    package var control: Int32? {
        sockets.first { $0.name == "vici" }?.descriptor ?? (sockets.count == 1 ? sockets[0].descriptor : nil)
    }
}
