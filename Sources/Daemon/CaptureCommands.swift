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

    static func message(_ line: (table: AnalyserTables.Table, text: String)) -> ViciMessage {
        ["table": line.table.rawValue, "line": line.text]
    }
}

extension ControlLoop {
    /// A client of the control socket is given the keys of SAs that come, from now on or no longer.
    func shareKeys(_ shares: Bool) {
        if shares {
            note(.daemon, "a client of the control socket gets the keys of all new SAs: who has them reads the traffic")
        } else {
            note(.daemon, "no client of the control socket gets keys any more")
        }
        use(running.settings)
    }

    /// Hands a line of keys to those who may have it.
    func share(_ line: (table: AnalyserTables.Table, text: String)?) {
        guard server.sharesKeys, let line else { return }
        server.publish(CaptureCommands.keyEvent, CaptureCommands.message(line))
    }
}
