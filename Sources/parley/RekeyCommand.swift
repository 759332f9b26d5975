import ArgumentParser
import Control

/// `parley rekey`: replaces the keys of SAs that are up.
struct RekeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rekey", abstract: "Replace the keys of child SAs or of IKE SAs, now.",
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

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
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
                answer = try client.request("rekey", target)
                if answer.flag("success") { break }
            }
            let what = targets[0].entries.compactMap { targets[0].text($0.name) }.joined(separator: " ")
            try answer.requireSuccess("rekey \(what)")
            Console.print("\(what) is rekeyed")
        }
    }
}
