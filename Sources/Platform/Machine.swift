import CPlatform
import Glibc

/// What this machine is, as `uname` says.
package enum Machine {
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
