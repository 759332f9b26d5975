import Glibc

/// Tells systemd how the service is: datagrams to the socket that `NOTIFY_SOCKET` names, as sd_notify(3) describes.
/// Without that variable every call does nothing.
package struct ServiceNotifier: Sendable {
    private let path: String?
    /// How often a sign of life is due, at half of what `WATCHDOG_USEC` allows; `nil` where nobody watches.
    package let watchdogInterval: Duration?

    /// - Parameter environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID` as systemd sets them.
    package init(environment: (String) -> String?) {
        let path = environment("NOTIFY_SOCKET").flatMap { $0.isEmpty ? nil : $0 }
        self.path = path
        let isOurs = environment("WATCHDOG_PID").map { $0 == String(getpid()) } ?? true
        let microseconds = environment("WATCHDOG_USEC").flatMap { Int64($0) } ?? 0
        watchdogInterval = path != nil && isOurs && microseconds > 1 ? .microseconds(microseconds / 2) : nil
    }

    /// From the process's environment.
    package init() {
        self.init { name in
            // SAFETY: getenv gives a terminated string or nothing; it is copied at once.
            getenv(name).map { String(cString: $0) }
        }
    }

    package func ready(_ status: String) { send("READY=1\nSTATUS=\(status)") }
    package func alive() { send("WATCHDOG=1") }
    package func stopping() { send("STOPPING=1") }

    private func send(_ text: String) {
        guard let path else { return }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var octets = Array(path.utf8)
        // `@` stands for the zero octet of an abstract name.
        if octets[0] == UInt8(ascii: "@") { octets[0] = 0 }
        let capacity = MemoryLayout.size(ofValue: address.sun_path)
        guard octets.count < capacity else { return }
        // SAFETY: at most `capacity` octets are copied into the field that is that long.
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: octets) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + octets.count)
        let message = Array(text.utf8)
        // SAFETY: both pointers are used within the closures, for the octets that they cover.
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { name in
                message.withUnsafeBytes {
                    sendto(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL), name, length)
                }
            }
        }
    }
}
