import ArgumentParser
import Control

/// `parley log`: what the daemon says.
struct LogCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "log", abstract: "Show the daemon's latest log lines, and follow them.")

    @Flag(name: .shortAndLong, help: "Go on showing lines as they come.")
    var follow = false

    @Option(help: "The highest level of lines to follow: 0 what matters, 1 the course of things, 2 and up details.")
    var level = 1

    @Flag(help: "Print JSON: an object with the latest lines, and with --follow another for each line that comes.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient(json: json) { client in
            // Registered first, so that no line falls between the old ones and the new ones.
            if follow { try client.register("log") }
            var early: [ViciMessage] = []
            do {
                let recent = try client.request("recent-log") { _, line in early.append(line) }
                // What was said up to the answer is in it.
                early = []
                if json {
                    Console.print(recent.json(indentation: 0))
                } else {
                    recent.list("lines").forEach { Console.print($0) }
                }
            } catch ViciClientError.unknownCommand where follow {
                // charon keeps no lines, but can be followed.
            }
            guard follow else { return }
            for line in early { show(line) }
            while true { show(try client.nextEvent().message) }
        }
    }

    private func show(_ line: ViciMessage) {
        guard line.text("level").flatMap({ Int($0) }) ?? 0 <= level else { return }
        Console.print(json ? line.json(indentation: 0) : LogText.line(line))
    }
}

/// Lines of `log` and `control-log` events.
enum LogText {
    /// `IKE home[1] text`, the name where the text does not say it itself.
    static func line(_ message: ViciMessage) -> String {
        var text = message.text("group") ?? "???"
        let line = message.text("msg") ?? ""
        if let name = message.text("ikesa-name"), !name.isEmpty {
            let session = "\(name)[\(message.text("ikesa-uniqueid") ?? "?")]"
            if !line.contains(session) { text += " \(session)" }
        }
        return text + " " + line
    }
}
