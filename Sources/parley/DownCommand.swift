import ArgumentParser
import Control

/// `parley down`: deletes SAs.
struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Delete child SAs, or IKE SAs with all their children.",
        discussion: "A plain NAME means the children of that name; where none is up, the IKE SAs of that name.")

    @Argument(help: "The name of a child or of a connection.")
    var name: String?

    @Option(help: "The name of a child.")
    var child: String?

    @Option(help: "The name of a connection.")
    var ike: String?

    @Option(help: "The number of one child SA, as status shows it in braces.")
    var childID: UInt32?

    @Option(help: "The number of one IKE SA, as status shows it in brackets.")
    var ikeID: UInt32?

    @Option(help: "Seconds to wait for the peer; 0 waits as long as it takes.")
    var timeout: Double = 0

    @Flag(name: .shortAndLong, help: "Print the outcome only.")
    var quiet = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        try CommandTimeout.validate(timeout)
        let hasOption = child != nil || ike != nil || childID != nil || ikeID != nil
        guard (name != nil) != hasOption else {
            throw ValidationError("give a NAME, or some of --child, --ike, --child-id and --ike-id")
        }
    }

    /// The requests to try, in order, until one finds something.
    var targets: [ViciMessage] {
        if let name { return [["child": name], ["ike": name]] }
        var message = ViciMessage()
        message.add("child", optional: child)
        message.add("ike", optional: ike)
        message.add("child-id", optional: childID)
        message.add("ike-id", optional: ikeID)
        return [message]
    }

    func run() throws {
        try socket.withClient { client in
            var answer = ViciMessage()
            for target in targets {
                var message = target
                message.add("timeout", CommandTimeout.milliseconds(timeout))
                answer = try LoggedCommand.run("terminate", message, quiet: quiet, &client)
                if answer.flag("success") || answer.text("matches") ?? "0" != "0" { break }
            }
            let what = targets[0].entries.compactMap { targets[0].text($0.name) }.joined(separator: " ")
            try answer.requireSuccess("down \(what)")
            let count = answer.text("terminated") ?? answer.text("matches") ?? "?"
            Console.print("\(what) is down (\(count) deleted)")
        }
    }
}
