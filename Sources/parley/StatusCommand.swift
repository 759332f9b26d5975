import ArgumentParser
import Control

/// `parley status`: the SAs that there are.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show IKE SAs and their children.")

    @Option(help: "Only the SAs of this connection.")
    var ike: String?

    @Option(help: "Only children of this name.")
    var child: String?

    @Flag(help: "Print JSON, with vici's keys.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient { client in
            var message: ViciMessage = ["noblock": "yes"]
            message.add("ike", optional: ike)
            message.add("child", optional: child)
            var sessions: [ViciMessage] = []
            let answer = try client.request("list-sas", message, events: ["list-sa"]) { name, session in
                if name == "list-sa" { sessions.append(session) }
            }
            try answer.requireSuccess("status")
            if json {
                Console.print(JSONValue.array(sessions.map(\.jsonValue)).text())
            } else if sessions.isEmpty {
                Console.print("no SAs")
            } else {
                StatusTable.lines(sessions).forEach { Console.print($0) }
            }
        }
    }
}
