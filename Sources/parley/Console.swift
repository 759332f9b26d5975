import ArgumentParser
import Glibc

/// How commands end.
enum EndCode: Int32 {
    /// Refused, or failed.
    case failure = 1
    /// Used wrongly, or no daemon answers.
    case usage = 2

    var exitCode: ExitCode { ExitCode(rawValue) }
}

/// Standard output, line by line and without a buffer, so that what is followed arrives at once.
enum Console {
    static func print(_ line: String) { write(line + "\n", to: STDOUT_FILENO) }

    fileprivate static func write(_ text: String, to descriptor: Int32) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            // SAFETY: the pointer is used within the closure, for the octets that it covers.
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno != EINTR { return }
            rest = rest.dropFirst(max(0, count))
        }
    }
}

/// Standard error.
enum ConsoleError {
    static func print(_ line: String) { Console.write(line + "\n", to: STDERR_FILENO) }
}
