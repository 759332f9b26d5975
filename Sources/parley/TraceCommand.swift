import ArgumentParser
import Control

/// `parley trace`: the messages of a negotiation as a ladder.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Show the messages of the newest negotiation, and what each payload did.")

    @Option(help: "The newest negotiation of this connection.")
    var ike: String?

    @Option(help: "The negotiation of this IKE SA, by number.")
    var ikeID: UInt32?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient(json: json) { client in
            var message = ViciMessage()
            message.add("ike", optional: ike)
            message.add("ike-id", optional: ikeID)
            let answer = try client.request("trace", message)
            try answer.requireSuccess("trace", json: json)
            if json {
                Console.print(answer.json())
            } else {
                answer.list("lines").forEach { Console.print($0) }
            }
        }
    }
}
