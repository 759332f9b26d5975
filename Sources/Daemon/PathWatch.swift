import Platform

/// Posts changes of the machine's addresses and routes, from a thread of its own.
enum PathWatch {
    /// Changes come in bursts, when an interface goes up or down: one look behind a burst is enough.
    private static let burstMilliseconds: Int32 = 100

    /// Watches until the process ends. Without route netlink addresses stay as they are.
    static func start(_ inbox: Inbox) {
        guard let monitor = try? PathMonitor() else { return }
        Threads.start {
            while true {
                _ = Poller.wait([Poller.Interest(monitor.descriptor)], milliseconds: -1)
                var hasChanged = monitor.takeChanges()
                while !Poller.wait([Poller.Interest(monitor.descriptor)], milliseconds: burstMilliseconds).isEmpty {
                    hasChanged = monitor.takeChanges() || hasChanged
                }
                if hasChanged { inbox.post(.pathsChanged) }
            }
        }
    }
}
