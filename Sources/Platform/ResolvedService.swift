import Glibc
package import Primitives
import Synchronization

/// systemd-resolved, which wants to hear of a device's name servers and not to find them in `resolv.conf`: by its program
/// `resolvectl`, one command after the other on a thread of its own, since resolved may take its time. What it knows of a device goes with the
/// device, so that nothing is left of a process that was killed.
package final class ResolvedService: Sendable {
    /// What resolved is to know of one device.
    package struct Servers: Hashable, Sendable {
        package var addresses: [IPAddress]
        /// The names that the servers are for; none: all.
        package var domains: [String]
        /// What to append to short names.
        package var searchDomains: [String]

        package init(_ addresses: [IPAddress], domains: [String], searchDomains: [String]) {
            self.addresses = addresses
            self.domains = domains
            self.searchDomains = searchDomains
        }
    }

    private struct State {
        /// What is to be said next; only the newest is worth it.
        var next: Servers?
        var isBusy = false
    }

    private let state = Mutex(State())
    private let wakeup = Wakeup()
    private let idle = Wakeup()
    /// How long one command may take, in milliseconds.
    private static let patience = 5000
    /// More domains than this are more than a link of resolved takes.
    private static let maximumDomains = 128

    /// - Parameters:
    ///   - device: the name of the device that the servers are reached through.
    ///   - complain: hears of what went wrong, on another thread.
    package init(device: String, complain: @escaping @Sendable (String) -> Void) {
        Threads.start { [self] in work(device, complain) }
    }

    /// Whether a `resolv.conf` is resolved's: a link to one of the files that it keeps (systemd-resolved.service(8)).
    package static func keeps(_ path: String) -> Bool {
        var target = [CChar](repeating: 0, count: 4096)
        let count = readlink(path, &target, target.count)
        guard count > 0 else { return false }
        let text = String(decoding: target.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return [
            "/run/systemd/resolve/stub-resolv.conf", "/run/systemd/resolve/resolv.conf", "/lib/systemd/resolv.conf",
        ]
        .contains { text.hasSuffix($0) }
    }

    /// Makes these a device's servers; without addresses it has none. Does not wait.
    package func put(_ servers: Servers) {
        state.withLock { state in
            state.next = servers
            state.isBusy = true
        }
        wakeup.signal()
    }

    /// Waits until resolved has heard, a few seconds at most.
    package func finish() {
        for _ in 0..<30 where state.withLock(\.isBusy) {
            _ = Poller.wait([Poller.Interest(idle.descriptor)], milliseconds: 100)
            idle.clear()
        }
    }

    /// `resolvectl`'s words. A domain behind `~` is one whose names these servers are asked for, and `~.` is all of them.
    package static func commands(_ servers: Servers, device: String) -> [[String]] {
        guard !servers.addresses.isEmpty else { return [["revert", device]] }
        let routed = servers.domains.isEmpty ? ["~."] : servers.domains.map { "~\($0)" }
        return [
            ["dns", device] + servers.addresses.map(\.description),
            ["domain", device] + Array((servers.searchDomains + routed).prefix(maximumDomains)),
        ]
    }

    private func work(_ device: String, _ complain: (String) -> Void) {
        while true {
            _ = Poller.wait([Poller.Interest(wakeup.descriptor)], milliseconds: -1)
            wakeup.clear()
            while let servers = next() {
                for words in Self.commands(servers, device: device) {
                    if let problem = Self.run(words) {
                        complain("resolvectl \(words.joined(separator: " ")): \(problem)")
                        break
                    }
                }
            }
            idle.signal()
        }
    }

    private func next() -> Servers? {
        state.withLock { state in
            defer { state.next = nil }
            state.isBusy = state.next != nil
            return state.next
        }
    }

    /// Runs `resolvectl`, found by PATH; why it did not do it, or `nil`.
    private static func run(_ words: [String]) -> String? {
        var arguments: [UnsafeMutablePointer<CChar>?] = (["resolvectl"] + words).map { strdup($0) } + [nil]
        defer { for argument in arguments { free(argument) } }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        // Our threads block signals, which a child would inherit.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var process = pid_t()
        let code = posix_spawnp(&process, "resolvectl", &actions, &attributes, &arguments, environ)
        guard code == 0 else { return PlatformError("start", code: code).description }
        var status: Int32 = 0
        for _ in 0..<(patience / 10) {
            let result = waitpid(process, &status, WNOHANG)
            if result < 0, errno != EINTR { return PlatformError("wait", code: errno).description }
            if result == process {
                let isExited = status & 0x7F == 0
                let value = (status >> 8) & 0xFF
                return isExited ? value == 0 ? nil : "ended with \(value)" : "ended by signal \(status & 0x7F)"
            }
            usleep(10_000)
        }
        kill(process, SIGKILL)
        while waitpid(process, &status, 0) < 0, errno == EINTR {}
        return "did not end"
    }
}
