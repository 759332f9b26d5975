import ArgumentParser
import Control
import Platform

/// `parley status`: the SAs that there are.
struct StatusCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Show IKE SAs and their children.")

    @Argument(help: "Only the SAs of this connection.")
    var name: String?

    @Option(help: "The same as NAME.")
    var ike: String?

    @Option(help: "Only children of this name.")
    var child: String?

    @Flag(help: "Print JSON, with vici's keys.")
    var json = false

    @Flag(name: .shortAndLong, help: "Show the table again and again, with rates, until interrupted.")
    var watch = false

    @Option(help: "With --watch: seconds between two tables.")
    var interval: Double = 1

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        guard (0.1...3600).contains(interval) else { throw ValidationError("--interval is from 0.1 to 3600 seconds") }
        if name != nil, ike != nil { throw ValidationError("give a NAME, or --ike") }
        if watch && json { throw ValidationError("--watch draws a table: it does not go with --json") }
    }

    private func sessions(_ client: inout ViciClient) throws -> [ViciMessage] {
        var message: ViciMessage = ["noblock": "yes"]
        message.add("ike", optional: name ?? ike)
        message.add("child", optional: child)
        var sessions: [ViciMessage] = []
        let answer = try client.request("list-sas", message, events: ["list-sa"]) { name, session in
            if name == "list-sa" { sessions.append(session) }
        }
        try answer.requireSuccess("status", json: json)
        return sessions
    }

    func run() throws {
        try socket.withClient(json: json) { client in
            if watch {
                var rates = TrafficRates()
                while true {
                    let sessions = try sessions(&client)
                    let lines = rates.lines(sessions, at: Clock.now())
                    // Home, each line with the rest of it cleared, then all below.
                    Console.print("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\n") + "\u{1B}[J")
                    _ = Poller.wait([], milliseconds: Int32(interval * 1000))
                }
            }
            let sessions = try sessions(&client)
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
