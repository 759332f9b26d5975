import ArgumentParser
import Control

/// `parley reload`: the daemon reads its configuration again.
struct ReloadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reload", abstract: "Read the configuration again; with errors in it, nothing changes.",
        discussion: "SAs that the change does not touch stay as they are. --rollback takes the last reload back.")

    @Flag(help: "Put the configuration in force that was before the last reload.")
    var rollback = false

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient(json: json) { client in
            let answer = try client.request(rollback ? "rollback" : "reload")
            try ChangeReport.print(answer, json: json, heading: rollback ? "rolled back" : "configuration reloaded")
        }
    }
}

/// `parley plan`: what a reload would do.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Show what a reload would change, and what that does to SAs that live.")

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient(json: json) { client in
            try ChangeReport.print(try client.request("plan"), json: json, heading: nil)
        }
    }
}

/// The answers to `plan`, `reload` and `rollback`.
enum ChangeReport {
    /// Ends the command where nothing came of it.
    static func print(_ answer: ViciMessage, json: Bool, heading: String?) throws {
        if json { Console.print(answer.json()) }
        guard answer.flag("success") else {
            // The diagnostics, one a line, as `check` prints them.
            if !json { ConsoleError.print(answer.text("errmsg") ?? "refused without a reason") }
            ConsoleError.print("parley: the configuration stays as it was")
            throw EndCode.failure.exitCode
        }
        if json { return }
        let (changes, effects) = (answer.list("changes"), answer.list("effects"))
        if let heading { Console.print(heading) }
        if changes.isEmpty { Console.print("nothing changes") }
        changes.forEach { Console.print($0) }
        if !changes.isEmpty && !effects.isEmpty {
            Console.print("SAs:")
            effects.forEach { Console.print("  \($0)") }
        }
    }
}
