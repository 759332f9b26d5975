import Control
import Explain
import IPsec
import Platform
import Primitives

/// Parley's own command `explain`: the latest refusals, or what would become of a peer.
enum ExplainCommands {
    /// With `peer`, a forecast; else the newest `count` records (1), the newest first.
    static func explain(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        if let text = message.text("peer") { return forecast(text, message, loop) }
        let count = message.text("count").flatMap { Int($0) } ?? 1
        let records = loop.journal.decisions.records.suffix(max(1, min(count, 200))).reversed()
        var answer = ViciCommands.outcome(records.isEmpty ? "nothing has been refused" : nil)
        let now = Clock.now()
        for (index, record) in records.enumerated() {
            answer.add("\(index + 1)", section: DecisionMessages.message(record, now: now))
        }
        return answer
    }

    private static func forecast(_ peer: String, _ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        guard let remote = IPAddress(peer) else { return ViciCommands.outcome("'\(peer)' is no address") }
        let local = message.text("local").map { IPAddress($0) } ?? loop.plane.sourceAddress(for: remote)
        guard let local else {
            return ViciCommands.outcome("which of our addresses is meant? give local, none of ours leads to \(remote)")
        }
        var identity: Identity?
        if let text = message.text("id") {
            guard let read = Identity(text) else { return ViciCommands.outcome("'\(text)' is no identity") }
            identity = read
        }
        let versions: [UInt8]
        switch message.text("version") {
        case nil: versions = [2, 1]
        case "1"?: versions = [1]
        case "2"?: versions = [2]
        case let other?: return ViciCommands.outcome("'\(other)' is no version of IKE: 1 or 2")
        }
        var answer = ViciCommands.outcome(nil)
        for version in versions {
            let approach = Approach(local: local, remote: remote, version: version, identity: identity)
            let forecast = Forecast(approach, policies: loop.manager.policies) {
                loop.secretName(local: $0, remote: $1)
            }
            answer.add("IKEv\(version)", section: DecisionMessages.message(forecast))
        }
        return answer
    }
}
