import CPlatform
import Glibc
package import Primitives

/// What this machine is, as `uname` says.
package enum Machine {
    /// Lets the process open as many descriptors as it may: a control client each needs one.
    package static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0, limit.rlim_cur < limit.rlim_max
        else { return }
        limit.rlim_cur = min(limit.rlim_max, 65_536)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    }

    /// The name of the interface that has an address; `nil` where none has.
    package static func interface(of address: IPAddress) -> String? {
        var target = parley_address(address)
        var name = [CChar](repeating: 0, count: 16)
        guard parley_interface_of(&target, &name) == 0 else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// Where the operator's commands look for programs.
    package static var searchPath: String {
        getenv("PATH").map { String(cString: $0) } ?? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    }

    /// Keeps the process's memory to itself, in which keys and passwords are: no core is dumped, not even into a program's pipe, which asks no
    /// limit, and nobody without root's rights attaches to it or reads its memory (prctl(2), ptrace(2)).
    package static func keepMemoryPrivate() throws(PlatformError) {
        _ = try PlatformError.check(parley_keep_memory_private(), "keep memory out of core dumps")
    }

    /// Whether the kernel may dump the process's memory.
    package static var isDumpable: Bool { parley_is_dumpable() != 0 }

    /// The user whose rights this process has.
    package static var user: UInt32 { geteuid() }

    package static var description: (system: String, release: String, architecture: String) {
        var name = utsname()
        guard uname(&name) == 0 else { return ("", "", "") }
        // SAFETY: uname fills each field with a terminated string.
        func text<Field>(_ field: Field) -> String {
            withUnsafeBytes(of: field) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        }
        return (text(name.sysname), text(name.release), text(name.machine))
    }

    /// What the C library's allocator holds, in octets.
    package struct Memory: Sendable {
        /// Grown from the heap's end.
        package var grown: UInt64
        /// Mapped for large blocks.
        package var mapped: UInt64
        /// Of what was grown, in use.
        package var used: UInt64
        /// Of what was grown, given back and kept.
        package var free: UInt64
    }

    package static var memory: Memory {
        var heap = parley_heap()
        parley_heap(&heap)
        return Memory(grown: heap.grown, mapped: heap.mapped, used: heap.used, free: heap.free)
    }

    /// Nanoseconds since 1970.
    package static func nanoseconds() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        return UInt64(max(0, now.tv_sec)) * 1_000_000_000 + UInt64(max(0, now.tv_nsec))
    }

    /// The date and time in UTC, to the microsecond, as RFC 3339 writes them.
    package static func timestamp() -> String {
        var now = timespec()
        clock_gettime(CLOCK_REALTIME, &now)
        var seconds = now.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ value: some BinaryInteger, _ count: Int) -> String {
            let text = String(value)
            return String(repeating: "0", count: max(0, count - text.count)) + text
        }
        let date = "\(digits(parts.tm_year + 1900, 4))-\(digits(parts.tm_mon + 1, 2))-\(digits(parts.tm_mday, 2))"
        let time = "\(digits(parts.tm_hour, 2)):\(digits(parts.tm_min, 2)):\(digits(parts.tm_sec, 2))"
        return "\(date)T\(time).\(digits(now.tv_nsec / 1000, 6))Z"
    }

    /// The local date and time, as `ctime` writes it without the day of the week.
    package static func date() -> String {
        var seconds = time(nil)
        var parts = tm()
        localtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 64)
        let count = strftime(&text, text.count, "%b %d %H:%M:%S %Y", &parts)
        return String(decoding: text[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
