import ArgumentParser
import Control

/// `parley rehearse`: the first rekeying, now, with what came of it.
struct RehearseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rehearse", abstract: "Rekey children that are up, now, and say whether it works and why not.",
        discussion: """
            Version 2 of IKE negotiates a first child's key exchange (perfect forward secrecy) only at its rekeying, which \
            may be hours away. A plain NAME means the children of that name; where none is up, those of the connection of \
            that name. What is up stays up if the rehearsal fails. Ends with 1 unless every rekeying was agreed on.
            """)

    @Argument(help: "The name of a child or of a connection.")
    var name: String

    @Option(help: "Seconds to wait for the peer.")
    var timeout: Double = 30

    @Flag(help: "Print JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        try CommandTimeout.validate(timeout)
        guard timeout > 0 else { throw ValidationError("a rehearsal waits for more than 0 seconds") }
    }

    func run() throws {
        try socket.withClient(json: json) { client in
            var answer = ViciMessage()
            for key in ["child", "ike"] {
                let message: ViciMessage = [key: name, "timeout": CommandTimeout.milliseconds(timeout)]
                answer = try client.request("rehearse", message)
                if answer.text("matches") != "0" { break }
            }
            if json {
                Console.print(answer.json())
            } else {
                for (_, section) in answer.section("rehearsals")?.sections ?? [] {
                    section.list("lines").forEach { Console.print($0) }
                }
            }
            try answer.requireSuccess("rehearse \(name)")
        }
    }
}
