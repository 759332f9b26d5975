import Configuration
import Control
import Credentials
import IPsec

/// vici's commands that put connections in force, take them out, and list them.
enum LoadingCommands {
    /// Every section is a connection; with an error in one of them none of the message is put in force.
    static func loadConnection(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        switch loop.check(ViciSettings.tree("connections", message, from: "load-conn")) {
        case .failure(let refused): return ViciCommands.outcome(refused.reason)
        case .success(let part):
            if let problem = unreadable(part.connections) { return ViciCommands.outcome(problem) }
            loop.put(part.connections)
            for text in part.notes { loop.note(.configuration, text) }
            return ViciCommands.outcome(nil)
        }
    }

    /// What a connection brings along for certificates and is none.
    private static func unreadable(_ connections: [Connection]) -> String? {
        for connection in connections {
            for round in connection.local + connection.remote {
                for (key, values) in [
                    ("certs", round.certificates.certificateFiles), ("cacerts", round.certificates.authorityFiles),
                ] where values.contains(where: { $0.hasPrefix("0x") && CertificateStore().named($0, in: []).isEmpty }) {
                    return
                        "invalid value for '\(key)' in connections.\(connection.name): no certificate that can be read"
                }
            }
        }
        return nil
    }

    static func unloadConnection(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        guard let name = message.text("name") else {
            return ViciCommands.outcome("unload: missing connection name")
        }
        return ViciCommands.outcome(loop.drop(connection: name) ? nil : "unload: connection '\(name)' not found")
    }

    static func listConnections(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping ViciCommands.Reply
    ) {
        let name = message.text("ike")
        var connections = loop.manager.policies.connections.filter { name == nil || name == $0.name }[...]
        client.stream("list-conn") {
            connections.popFirst().map { ConnectionMessages.message($0) }
        } end: {
            reply(ViciMessage())
        }
    }
}
