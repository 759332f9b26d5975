import Control
import IPsec
import KeyManagement
import Platform

/// vici's commands: who performs which, and what they share.
enum ViciCommands {
    typealias Reply = (ViciMessage) -> Void

    /// Performs a command and calls `reply` once, now or later. `false`: there is no such command.
    static func perform(
        _ command: String, _ message: ViciMessage, client: ViciClient, loop: ControlLoop, reply: @escaping Reply
    ) -> Bool {
        switch command {
        case "version": reply(version)
        case "stats": reply(StatisticsMessage.message(loop))
        case "reload-settings": reply(outcome(loop.reloadSettings()))
        case "initiate": AssociationCommands.initiate(message, client, loop, reply)
        case "terminate": AssociationCommands.terminate(message, client, loop, reply)
        case "rekey": AssociationCommands.rekey(message, loop, reply)
        case "rehearse": RehearsalCommand.rehearse(message, loop, reply)
        case "redirect": AssociationCommands.redirect(message, loop, reply)
        case "clone": CloneCommand.clone(message, loop, reply)
        case "install": AssociationCommands.install(message, loop, reply)
        case "uninstall": AssociationCommands.uninstall(message, loop, reply)
        case "list-sas": AssociationCommands.listSAs(message, client, loop, reply)
        case "list-policies": AssociationCommands.listPolicies(message, client, loop, reply)
        case "list-conns": LoadingCommands.listConnections(message, client, loop, reply)
        case "get-conns": reply(names("conns", loop.manager.policies.connections.map(\.name)))
        case "load-conn": reply(LoadingCommands.loadConnection(message, loop))
        case "unload-conn": reply(LoadingCommands.unloadConnection(message, loop))
        case "get-algorithms": reply(AlgorithmsMessage.message)
        case "get-counters": reply(loop.messageCounters.message(message, loop.manager.counters))
        case "reset-counters":
            loop.messageCounters.reset(message, loop.manager.counters)
            reply(outcome(nil))
        case "get-pools": reply(PoolMessages.pools(message, loop))
        case "load-pool": reply(outcome(PoolMessages.load(message, loop)))
        case "unload-pool": reply(outcome(PoolMessages.unload(message, loop)))
        case "explain": reply(ExplainCommands.explain(message, loop))
        case "capture-scope": reply(CaptureCommands.scope(message, loop))
        case "list-keys": CaptureCommands.listKeys(client, loop, reply)
        case "trace": reply(trace(message, loop))
        case "recent-log": reply(recentLog(loop))
        default:
            return CredentialCommands.perform(command, message, client: client, loop: loop, reply: reply)
                || ChangeCommands.perform(command, message, loop: loop, reply: reply)
        }
        return true
    }

    // MARK: Answers

    /// `success`, with the reason where there is a problem.
    ///
    /// A problem of several lines becomes one: strongSwan's `libvici` takes a text with line breaks for data, and `swanctl`
    /// would print none of it.
    static func outcome(_ problem: String?) -> ViciMessage {
        var answer = ViciMessage()
        answer.add("success", flag: problem == nil)
        answer.add("errmsg", optional: problem.map { $0.split(separator: "\n").joined(separator: "; ") })
        return answer
    }

    static func names(_ key: String, _ names: [String]) -> ViciMessage {
        var answer = ViciMessage()
        answer.add(key, list: names)
        return answer
    }

    private static var version: ViciMessage {
        let machine = Machine.description
        return [
            "daemon": "parley", "version": ParleyVersion.text, "sysname": machine.system, "release": machine.release,
            "machine": machine.architecture,
        ]
    }

    // MARK: What was said and sent

    private static func trace(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        let lines = loop.journal.ladder(
            connection: message.text("ike"),
            session: message.text("ike-id").flatMap { UInt32($0) }.map { SessionID($0) })
        var answer = outcome(lines.isEmpty ? "no messages are kept for that" : nil)
        answer.add("lines", list: lines)
        return answer
    }

    private static func recentLog(_ loop: ControlLoop) -> ViciMessage {
        names("lines", loop.journal.recent.suffix(500).map { "\($0.group.rawValue) \($0.text)" })
    }
}
