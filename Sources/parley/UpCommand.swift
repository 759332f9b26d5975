import ArgumentParser
import Control

/// `parley up`: sets a child up, with its IKE SA where there is none yet.
struct UpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up", abstract: "Set a child SA up, and show how it goes.",
        discussion: "A child that is up already is left as it is.")

    @Argument(help: "The child's name in the configuration.")
    var child: String

    @Option(help: "The connection that the child belongs to, where several have one of that name.")
    var ike: String?

    @Option(help: "Seconds to wait for success; 0 waits as long as it takes.")
    var timeout: Double = 0

    @Flag(name: .shortAndLong, help: "Print the outcome only.")
    var quiet = false

    @Flag(help: "Print the outcome as JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws { try CommandTimeout.validate(timeout) }

    func run() throws {
        try socket.withClient(json: json) { client in
            var message: ViciMessage = ["child": child, "timeout": CommandTimeout.milliseconds(timeout)]
            message.add("ike", optional: ike)
            let answer = try LoggedCommand.run("initiate", message, quiet: quiet || json, &client)
            try answer.requireSuccess("up \(child)", json: json)
            answer.print("\(child) is up", json: json)
        }
    }
}

/// Timeouts are seconds on the command line and milliseconds on the wire.
enum CommandTimeout {
    static func validate(_ seconds: Double) throws {
        guard (0...1_000_000).contains(seconds) else { throw ValidationError("a timeout is from 0 to 1000000 seconds") }
    }

    static func milliseconds(_ seconds: Double) -> String { String(Int(seconds * 1000)) }
}

/// Commands during which the daemon tells what it does.
enum LoggedCommand {
    static func run(
        _ command: String, _ message: ViciMessage, quiet: Bool, _ client: inout ViciClient
    ) throws(ViciClientError) -> ViciMessage {
        var message = message
        message.add("loglevel", quiet ? -1 : 1)
        return try client.request(command, message, events: quiet ? [] : ["control-log"]) { _, line in
            Console.print(LogText.line(line))
        }
    }
}
