import ArgumentParser
import Control

/// `parley version`: what the daemon says of itself.
struct VersionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "version", abstract: "Show the running daemon's version and machine.")

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient(json: json) { client in
            let answer = try client.request("version")
            try answer.requireSuccess("version", json: json)
            if json {
                Console.print(answer.json())
                return
            }
            func text(_ key: String) -> String { answer.text(key) ?? "?" }
            Console.print(
                "\(text("daemon")) \(text("version")) on \(text("sysname")) \(text("release")), \(text("machine"))")
        }
    }
}
