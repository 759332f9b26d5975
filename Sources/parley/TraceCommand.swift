import ArgumentParser
import Control

/// `parley trace`: the messages of a negotiation as a ladder.
struct TraceCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trace", abstract: "Show the messages of the newest negotiation, and what each payload did.")

    @Argument(help: "The newest negotiation of this connection.")
    var name: String?

    @Option(help: "The same as NAME.")
    var ike: String?

    @Option(help: "The negotiation of this IKE SA, by number.")
    var ikeID: UInt32?

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        if name != nil, ike != nil || ikeID != nil { throw ValidationError("give a NAME, or --ike, or --ike-id") }
    }

    func run() throws {
        try socket.withClient(json: json) { client in
            var message = ViciMessage()
            message.add("ike", optional: name ?? ike)
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
