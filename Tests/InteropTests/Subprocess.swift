import Dispatch
import Foundation

/// What a finished command left behind.
struct CommandResult: CustomStringConvertible {
    let command: [String]
    let status: Int32
    let output: String

    var succeeded: Bool { status == 0 }
    var description: String { "\(command.joined(separator: " ")) -> \(status)\n\(output)" }
}

/// Why the lab could not do what a test asked of it.
struct LabFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A child process that the lab started and alone may stop, by its process identifier.
final class Subprocess {
    private let process = Process()
    private let ended = DispatchSemaphore(value: 0)
    private let outputPath: URL
    private let command: [String]

    var processIdentifier: Int32 { process.processIdentifier }
    var isRunning: Bool { process.isRunning }
    var output: String { (try? String(decoding: Data(contentsOf: outputPath), as: UTF8.self)) ?? "" }

    /// Starts `command` (found through PATH) with its standard output and error in the file `outputPath`.
    init(_ command: [String], environment: [String: String] = [:], outputPath: URL) throws {
        self.command = command
        self.outputPath = outputPath
        guard FileManager.default.createFile(atPath: outputPath.path, contents: nil) else {
            throw LabFailure("cannot write \(outputPath.path)")
        }
        let sink = try FileHandle(forWritingTo: outputPath)
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        // The threads that tests run on block signals, and a child inherits that: `env` lets them through again.
        process.arguments = ["--default-signal=HUP,INT,TERM,PIPE"] + command
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = sink
        process.standardError = sink
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
        process.terminationHandler = { [ended] _ in ended.signal() }
        try process.run()
        try sink.close()
    }

    /// Waits until the process has ended; nil when it had not after `seconds`.
    func wait(seconds: Double) -> CommandResult? {
        guard ended.wait(timeout: .now() + seconds) == .success else { return nil }
        ended.signal()
        return CommandResult(command: command, status: process.terminationStatus, output: output)
    }

    /// Sends a signal to this process alone.
    func signal(_ number: Int32) {
        if process.isRunning { kill(process.processIdentifier, number) }
    }

    /// Asks the process to end, and after `grace` seconds insists.
    func stop(grace: Double = 5) {
        signal(SIGTERM)
        if wait(seconds: grace) == nil {
            signal(SIGKILL)
            _ = wait(seconds: 5)
        }
    }

    /// Runs a command to its end. Throws when it is still running after `seconds` (it is then killed).
    static func run(_ command: [String], environment: [String: String] = [:], seconds: Double = 30) throws
        -> CommandResult
    {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("parley-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: path) }
        let child = try Subprocess(command, environment: environment, outputPath: path)
        if let result = child.wait(seconds: seconds) { return result }
        child.stop(grace: 1)
        throw LabFailure("still running after \(seconds) s: \(command.joined(separator: " "))\n\(child.output)")
    }

    /// Runs a command that has to succeed.
    @discardableResult
    static func require(_ command: [String], environment: [String: String] = [:], seconds: Double = 30) throws -> String
    {
        let result = try run(command, environment: environment, seconds: seconds)
        guard result.succeeded else { throw LabFailure(result.description) }
        return result.output
    }
}

/// Polls until `condition` gives a value, at most `seconds`; the failure says what was waited for.
func eventually<Value>(_ what: String, seconds: Double = 10, _ condition: () throws -> Value?) throws -> Value {
    let deadline = Date().addingTimeInterval(seconds)
    while true {
        if let value = try condition() { return value }
        if Date() > deadline { throw LabFailure("not within \(seconds) s: \(what)") }
        usleep(20_000)
    }
}

/// Polls until `condition` holds, at most `seconds`.
func eventually(_ what: String, seconds: Double = 10, _ condition: () throws -> Bool) throws {
    try eventually(what, seconds: seconds) { try condition() ? () : nil }
}
