import ArgumentParser
import Control

/// `parley rekey`: replaces the keys of SAs that are up.
struct RekeyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rekey", abstract: "Replace the keys of child SAs or of IKE SAs, now.",
        discussion: """
            A plain NAME means the children of that name; where none is up, the IKE SAs of that name. \
            The daemon answers when it has begun; parley rehearse waits for the outcome.
            """)

    @OptionGroup var target: AssociationTarget

    @Flag(help: "Print the outcome as JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func run() throws {
        try socket.withClient(json: json) { client in
            let answer = try target.request { try client.request("rekey", $0) }
            try answer.requireSuccess("rekey \(target.text)", json: json)
            answer.print("\(target.text): rekeying of \(answer.text("matches") ?? "?") has begun", json: json)
        }
    }
}
