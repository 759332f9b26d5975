import ArgumentParser
import Control

/// Which SAs a command means: a plain name, or what its options say.
struct AssociationTarget: ParsableArguments {
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

    func validate() throws {
        let hasOption = child != nil || ike != nil || childID != nil || ikeID != nil
        guard (name != nil) != hasOption else {
            throw ValidationError("give a NAME, or some of --child, --ike, --child-id and --ike-id")
        }
    }

    /// The requests to try, in order, until one finds something.
    var messages: [ViciMessage] {
        if let name { return [["child": name], ["ike": name]] }
        var message = ViciMessage()
        message.add("child", optional: child)
        message.add("ike", optional: ike)
        message.add("child-id", optional: childID)
        message.add("ike-id", optional: ikeID)
        return [message]
    }

    /// What is meant, in words.
    var text: String { messages[0].entries.compactMap { messages[0].text($0.name) }.joined(separator: " ") }

    /// The answer of the first request that finds something, of the last one where none does.
    func request(_ ask: (ViciMessage) throws -> ViciMessage) throws -> ViciMessage {
        var answer = ViciMessage()
        for message in messages {
            answer = try ask(message)
            if answer.flag("success") || answer.text("matches") ?? "0" != "0" { break }
        }
        return answer
    }
}
