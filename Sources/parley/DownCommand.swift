import ArgumentParser
import Control

/// `parley down`: deletes SAs.
struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Delete child SAs, or IKE SAs with all their children.",
        discussion: "A plain NAME means the children of that name; where none is up, the IKE SAs of that name.")

    @OptionGroup var target: AssociationTarget

    @Option(help: "Seconds to wait for the peer; 0 waits as long as it takes.")
    var timeout: Double = 0

    @Flag(name: .shortAndLong, help: "Print the outcome only.")
    var quiet = false

    @Flag(help: "Print the outcome as JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws { try CommandTimeout.validate(timeout) }

    func run() throws {
        try socket.withClient(json: json) { client in
            let answer = try target.request { message in
                var message = message
                message.add("timeout", CommandTimeout.milliseconds(timeout))
                return try LoggedCommand.run("terminate", message, quiet: quiet || json, &client)
            }
            try answer.requireSuccess("down \(target.text)", json: json)
            let count = answer.text("terminated") ?? answer.text("matches") ?? "?"
            answer.print("\(target.text) is down (\(count) deleted)", json: json)
        }
    }
}
