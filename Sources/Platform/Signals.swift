import Glibc

/// Termination and reload signals, delivered to a closure on a thread of their own.
package enum Signals {
    package enum Kind: Sendable {
        /// SIGINT or SIGTERM.
        case terminate
        /// SIGHUP.
        case reload
    }

    /// Blocks the signals for the calling thread and all that it starts from now on, and delivers them to `deliver`.
    /// Call it before any other thread is started.
    package static func watch(_ deliver: @escaping @Sendable (Kind) -> Void) {
        var set = sigset_t()
        sigemptyset(&set)
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        // systemd's watchdog aborts a daemon that hangs. The runtime's handler would only show where it was, and let it go on.
        signal(SIGABRT, SIG_DFL)
        Threads.start {
            var set = sigset_t()
            sigemptyset(&set)
            for number in [SIGINT, SIGTERM, SIGHUP] { sigaddset(&set, number) }
            while true {
                var number: Int32 = 0
                guard sigwait(&set, &number) == 0 else { return }
                deliver(number == SIGHUP ? .reload : .terminate)
            }
        }
    }
}
