import Configuration
import Control
import IPsec

/// Parley's own commands about the configuration as a whole: what a change would do, doing it, and taking it back.
enum ChangeCommands {
    /// `false`: the command is none of these.
    static func perform(
        _ command: String, _ message: ViciMessage, loop: ControlLoop, reply: @escaping ViciCommands.Reply
    ) -> Bool {
        switch command {
        case "plan":
            switch loop.readFiles() {
            case .failure(let refused): reply(ViciCommands.outcome(refused.reason))
            case .success(let loaded):
                reply(answer(nil, ConfigurationChange.between(loop.configuration, loaded.configuration), loop))
            }
        case "reload":
            let effects = loop.manager.snapshots
            let outcome = loop.reload()
            reply(answer(outcome.problem, outcome.changes, loop, sessions: effects))
        case "rollback":
            let effects = loop.manager.snapshots
            let outcome = loop.rollBack()
            reply(answer(outcome.problem, outcome.changes, loop, sessions: effects))
        default: return false
        }
        return true
    }

    /// `changes`, one line each, and `effects` on the SAs that live: `sessions`, or those of now.
    private static func answer(
        _ problem: String?, _ changes: [ConfigurationChange], _ loop: ControlLoop, sessions: [SessionSnapshot]? = nil
    ) -> ViciMessage {
        var answer = ViciCommands.outcome(problem)
        answer.add("changes", list: changes)
        answer.add("effects", list: ChangeEffects.lines(changes, sessions ?? loop.manager.snapshots))
        return answer
    }
}

/// What changes of the configuration do to SAs that live.
enum ChangeEffects {
    /// A line for each IKE SA, and for each child that fares otherwise than its IKE SA.
    static func lines(_ changes: [ConfigurationChange], _ sessions: [SessionSnapshot]) -> [String] {
        let byConnection = Dictionary(grouping: changes.filter { $0.connection != nil }) { $0.connection ?? "" }
        return sessions.flatMap { session -> [String] in
            let name = "\(session.connection)[\(session.id)]"
            guard let own = byConnection[session.connection] else { return ["\(name): untouched"] }
            if own.contains(where: { $0.kind == .removed && $0.key == session.connection && $0.child == nil }) {
                return ["\(name): deleted, with \(session.children.count) children: its connection is gone"]
            }
            let keys = own.filter { $0.child == nil }.map(\.key)
            var lines = [
                keys.isEmpty
                    ? "\(name): stays" : "\(name): stays as negotiated; \(list(keys)) count from the next IKE SA on"
            ]
            for child in session.children {
                let touching = own.filter { $0.child == child.name }
                let label = "\(name) \(child.name){\(child.id)}"
                if touching.contains(where: { $0.kind == .removed && $0.key == child.name }) {
                    lines.append("\(label): deleted: its child section is gone")
                } else if !touching.isEmpty {
                    lines.append(
                        "\(label): stays as negotiated; \(list(touching.map(\.key))) count from its rekeying on")
                }
            }
            return lines
        }
    }

    private static func list(_ keys: [String]) -> String {
        var seen: Set<String> = []
        return keys.filter { seen.insert($0).inserted }.joined(separator: ", ")
    }
}
