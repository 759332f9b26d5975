import CPlatform
import Glibc
import Primitives
import Synchronization

/// A command of the operator's with its environment.
package struct Script: Sendable {
    package var command: String
    package var environment: [(name: String, value: String)]

    package init(command: String, environment: [(name: String, value: String)]) {
        self.command = command
        self.environment = environment
    }
}

/// Runs commands of the operator's one after the other, by a thread that lasts as long as there are any: whoever asks waits for
/// none of them.
package final class ScriptRunner: Sendable {
    /// More than this do not wait.
    static let maximumWaiting = 1024
    /// Lines of what one says that are passed on, and octets of each.
    static let maximumLines = 64
    static let maximumOctets = 512

    private struct State {
        var waiting: [Script] = []
        var isRunning = false
    }

    private let state = Mutex(State())
    /// Octets come here when the thread has nothing left to run.
    private let rest = Wakeup()
    private let patience: Duration
    private let report: @Sendable (String) -> Void

    /// - Parameters:
    ///   - patience: how long one may take before it is killed.
    ///   - report: told, by another thread, what the commands say, line by line, and how they failed.
    package init(patience: Duration = .seconds(60), report: @escaping @Sendable (String) -> Void) {
        self.patience = patience
        self.report = report
    }

    /// Has a command run when those before it have ended; `false` where too many wait already.
    package func run(_ script: Script) -> Bool {
        let (isTaken, isFirst) = state.withLock { state in
            guard state.waiting.count < Self.maximumWaiting else { return (false, false) }
            state.waiting.append(script)
            defer { state.isRunning = true }
            return (true, !state.isRunning)
        }
        if isFirst { Threads.start { [self] in work() } }
        return isTaken
    }

    /// Waits until every command has ended, but no longer than so many milliseconds.
    package func finish(milliseconds: Int32) {
        let end = Clock.now() + .milliseconds(Int64(milliseconds))
        while state.withLock({ $0.isRunning }) {
            let left = (end - Clock.now()).wholeNanoseconds / 1_000_000
            guard left > 0 else { return }
            _ = Poller.wait([Poller.Interest(rest.descriptor)], milliseconds: Int32(clamping: left))
            rest.clear()
        }
    }

    private func work() {
        while true {
            let next: Script? = state.withLock { state in
                if state.waiting.isEmpty { state.isRunning = false }
                return state.waiting.isEmpty ? nil : state.waiting.removeFirst()
            }
            guard let next else { return rest.signal() }
            execute(next)
        }
    }

    private func execute(_ script: Script) {
        var output: Int32 = -1
        let child = Self.start(script, &output)
        guard child >= 0 else {
            return report("\(PlatformError("cannot run '\(script.command.prefix(80))'", code: -child))")
        }
        let isPatient = listen(to: output)
        close(output)
        let status = parley_script_end(child, isPatient ? 0 : 1)
        if !isPatient {
            report("'\(script.command.prefix(80))' took longer than \(patience.wholeSeconds) s and was ended")
        } else if status != 0 {
            report("'\(script.command.prefix(80))' ended with \(status)")
        }
    }

    private static func start(_ script: Script, _ output: inout Int32) -> Int32 {
        // SAFETY: the copies last until the call has returned, and the array ends with NULL as the call wants it.
        var environment: [UnsafeMutablePointer<CChar>?] = script.environment.map { strdup("\($0.name)=\($0.value)") }
        environment.append(nil)
        defer { for pointer in environment { free(pointer) } }
        return parley_script_start(script.command, environment, &output)
    }

    /// Passes on what a command says until it has closed its output; `false` where that takes too long.
    private func listen(to descriptor: Int32) -> Bool {
        let end = Clock.now() + patience
        var line: [UInt8] = []
        var lines = 0
        var buffer = [UInt8](repeating: 0, count: 4096)
        func pass() {
            lines += 1
            if lines <= Self.maximumLines, !line.isEmpty { report(String(decoding: line, as: UTF8.self)) }
            line = []
        }
        while true {
            let left = (end - Clock.now()).wholeNanoseconds / 1_000_000
            guard left > 0 else { return false }
            if Poller.wait([Poller.Interest(descriptor)], milliseconds: Int32(clamping: left)).isEmpty { continue }
            let count = read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            for octet in buffer.prefix(count) {
                if octet == UInt8(ascii: "\n") {
                    pass()
                } else if line.count < Self.maximumOctets {
                    line.append(octet)
                }
            }
        }
        pass()
        return true
    }
}
