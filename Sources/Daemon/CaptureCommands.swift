import Control
import Explain
import IPsec
import KeyManagement
import Primitives

/// What `parley capture` asks: which packets of the wire are this daemon's, and the keys that open them.
enum CaptureCommands {
    /// Parley's own command `capture-scope`: the ports of the daemon, and with `ike` the peers of a connection.
    static func scope(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        let policies = loop.manager.policies
        var answer = ViciCommands.outcome(nil)
        var peers: [IPAddress]?
        if let name = message.text("ike") {
            let sessions = loop.manager.snapshots.filter { $0.connection == name }
            let connection = policies.connection(name)
            guard connection != nil || !sessions.isEmpty else {
                return ViciCommands.outcome("no connection is named '\(name)'")
            }
            peers = sessions.map(\.remote.address) + (connection?.remoteAddresses.flatMap(\.concrete) ?? [])
        }
        answer.add("udp-ports", list: unique([loop.plane.boundPort, loop.plane.boundNATPort].filter { $0 != 0 }))
        answer.add(
            "tcp-ports", list: unique(loop.plane.streamPorts + policies.connections.prefix(1000).map(\.streamPort)))
        if let peers { answer.add("peers", list: unique(peers)) }
        return answer
    }

    private static func unique<Value: Hashable>(_ values: [Value]) -> [Value] {
        var seen: Set<Value> = []
        return values.filter { seen.insert($0).inserted }
    }

    /// The event whose listeners are given keys: a line of a table of Wireshark's each. Root and the daemon's own user may
    /// listen, nobody else.
    static let keyEvent = "capture-keys"

    static func message(_ keys: KeyLine) -> ViciMessage {
        guard let line = keys.line else { return ["missing": "\(keys.what)"] }
        return ["table": "\(line.table.rawValue)", "line": "\(line.text)"]
    }

    /// Parley's own command `list-keys`: the event `capture-keys` for every SA that lives, to a client that listens for it.
    static func listKeys(_ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping ViciCommands.Reply) {
        guard client.isSubscribed(to: keyEvent) else {
            return reply(ViciCommands.outcome("keys are given to who has registered for the event '\(keyEvent)' alone"))
        }
        loop.server.noteListeners(loop)
        var sessions = loop.manager.sessionIDs[...]
        var children = loop.livingKeys.children[...]
        var lines: [KeyLine] = []
        var count = 0
        client.stream(keyEvent) { [weak loop] in
            while let loop, lines.isEmpty {
                // What has gone meanwhile is left out.
                if let session = sessions.popFirst() {
                    lines = loop.manager.disclosedKeys(of: session).map { KeyLine($0) }
                } else if let child = children.popFirst() {
                    lines = loop.livingKeys[child].map { KeyLine($0) }
                } else {
                    return nil
                }
            }
            count += 1
            return lines.popLast().map(message)
        } end: {
            var answer = ViciCommands.outcome(nil)
            answer.add("count", count)
            reply(answer)
        }
    }
}

extension ControlLoop {
    /// A client of the control socket is given the keys of SAs, from now on or no longer.
    func shareKeys(_ shares: Bool) {
        if shares {
            note(
                .daemon,
                "a client of the control socket gets the keys of all SAs, living and new: who has them reads the traffic"
            )
        } else {
            note(.daemon, "no client of the control socket gets keys any more")
        }
        use(running.settings)
    }

    /// Hands keys to those who may have them.
    func share(_ keys: KeyLine) {
        if server.sharesKeys { server.publish(CaptureCommands.keyEvent, CaptureCommands.message(keys)) }
    }
}
