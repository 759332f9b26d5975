import ArgumentParser
import Control

/// `parley clone`: a second IKE SA beside one that is up.
struct CloneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "clone", abstract: "Make another IKE SA of one that is up, without authenticating anew.",
        discussion: """
            RFC 7791, version 2 of IKE: both ends must say 'clones' in their connection. The clone begins without children and \
            goes on for itself, whatever becomes of the IKE SA that it was made of. Its initiator can have it go to another \
            address at once (MOBIKE), so that each of a host's interfaces has an IKE SA.
            """)

    @Argument(help: "The name of a connection.")
    var name: String?

    @Option(help: "The number of one IKE SA, as status shows it in brackets.")
    var ikeID: UInt32?

    @Option(help: "The address of ours that the clone goes to.")
    var local: String?

    @Option(help: "The name of a child to set up on the clone.")
    var child: String?

    @Option(help: "Seconds to wait for it; 0 for as long as it takes.")
    var timeout: Double = 0

    @Flag(help: "Print the outcome as JSON.")
    var json = false

    @OptionGroup var socket: ControlSocketOption

    func validate() throws {
        guard (name != nil) != (ikeID != nil) else { throw ValidationError("give a NAME or --ike-id") }
        try CommandTimeout.validate(timeout)
    }

    func run() throws {
        try socket.withClient(json: json) { client in
            var message: ViciMessage = ["timeout": CommandTimeout.milliseconds(timeout)]
            message.add("ike", optional: name)
            message.add("ike-id", optional: ikeID)
            message.add("local-host", optional: local)
            message.add("child", optional: child)
            let what = name ?? ikeID.map { "[\($0)]" } ?? ""
            let answer = try client.request("clone", message)
            try answer.requireSuccess("clone \(what)", json: json)
            answer.print("\(what) is cloned", json: json)
        }
    }
}
