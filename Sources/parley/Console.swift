import ArgumentParser
import Control
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

/// How a command says that it failed: a line on standard error, and, where it was to print JSON, an object on standard
/// output as `Docs/schemas/error.json` has it.
enum Failure {
    static func print(_ reason: String, json: Bool) {
        ConsoleError.print("parley: \(reason)")
        if json { Console.print(Failure.message(reason).json()) }
    }

    /// `success` and `errmsg`, as the daemon's own refusals have them.
    static func message(_ reason: String) -> ViciMessage { ["success": "no", "errmsg": "\(reason)"] }

    /// Says it, and gives what the command ends with.
    static func end(_ reason: String, json: Bool, _ code: EndCode = .failure) -> ExitCode {
        print(reason, json: json)
        return code.exitCode
    }
}
