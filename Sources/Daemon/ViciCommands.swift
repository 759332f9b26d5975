import Control
import IPsec
import KeyManagement
import Platform
import Primitives

/// vici's commands, as far as they are known.
enum ViciCommands {
    typealias Reply = (ViciMessage) -> Void

    /// Performs a command and calls `reply` once, now or later. `false`: there is no such command.
    static func perform(
        _ command: String, _ message: ViciMessage, client: ViciClient, loop: ControlLoop, reply: @escaping Reply
    ) -> Bool {
        switch command {
        case "version": reply(version)
        case "stats": reply(StatisticsMessage.message(loop))
        case "reload-settings": reply(outcome(loop.reload()))
        case "initiate": initiate(message, client, loop, reply)
        case "terminate": terminate(message, client, loop, reply)
        case "rekey": rekey(message, loop, reply)
        case "list-sas": listSAs(message, client, loop, reply)
        case "list-conns": listConnections(message, client, loop, reply)
        case "get-conns":
            var answer = ViciMessage()
            answer.add("conns", list: loop.manager.policies.connections.map(\.name))
            reply(answer)
        case "get-pools": reply(PoolMessages.pools(message, loop))
        case "load-pool": reply(outcome(PoolMessages.load(message, loop)))
        case "unload-pool": reply(outcome(PoolMessages.unload(message, loop)))
        case "trace": reply(trace(message, loop))
        case "recent-log": reply(recentLog(loop))
        default: return false
        }
        return true
    }

    // MARK: Answers

    private static func outcome(_ problem: String?) -> ViciMessage {
        var answer = ViciMessage()
        answer.add("success", flag: problem == nil)
        answer.add("errmsg", optional: problem)
        return answer
    }

    private static func failure(_ problem: String, _ reply: Reply) { reply(outcome(problem)) }

    private static var version: ViciMessage {
        let machine = Machine.description
        return [
            "daemon": "parley", "version": ParleyVersion.text, "sysname": machine.system, "release": machine.release,
            "machine": machine.architecture,
        ]
    }

    // MARK: SAs

    private static func target(_ message: ViciMessage) -> Target {
        Target(
            connection: message.text("ike"), child: message.text("child"),
            session: message.text("ike-id").flatMap { UInt32($0) }.map { SessionID($0) },
            childID: message.text("child-id").flatMap { UInt32($0) }.map { ChildID($0) })
    }

    /// Longer than anybody waits; larger numbers mean the same.
    private static let longestWaitMilliseconds: Int64 = 30 * 24 * 3600 * 1000

    /// Gives key management a command whose answer comes no later than the message's `timeout` (milliseconds; 0 or
    /// absent: never, -1: at once).
    private static func perform(
        _ command: Command, _ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        guard loop.hasRoomForCommands else { return failure("too many commands are under way", reply) }
        let timeout = message.text("timeout").flatMap { Int64($0) } ?? 0
        var alarm: UInt64?
        if timeout < 0 {
            reply(outcome(nil))
        } else if timeout > 0 {
            alarm = loop.alarm(after: .milliseconds(min(timeout, longestWaitMilliseconds))) {
                failure("not done after \(timeout) ms; it goes on in the background", reply)
            }
        }
        loop.command(command) { [weak loop] response in
            if let alarm { loop?.cancel(alarm: alarm) }
            reply(answer(response))
        }
    }

    private static func answer(_ response: Response) -> ViciMessage {
        var answer: ViciMessage
        switch response {
        case .done(let matches):
            answer = outcome(nil)
            answer.add("matches", matches)
            answer.add("terminated", matches)
        case .failed(let failure, let matches):
            answer = outcome(EventLines.text(failure))
            answer.add("matches", matches)
        }
        return answer
    }

    private static func follow(_ message: ViciMessage, _ client: ViciClient) {
        client.followLog(upTo: message.text("loglevel").flatMap { Int($0) } ?? 1)
    }

    private static func initiate(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        guard message.text("child") != nil || message.text("ike") != nil else {
            return failure("which child is meant? give child or ike", reply)
        }
        follow(message, client)
        perform(.initiate(connection: message.text("ike"), child: message.text("child")), message, loop, reply)
    }

    private static func terminate(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        let target = target(message)
        guard !target.isEmpty else { return failure("which SA is meant? give child, ike, child-id or ike-id", reply) }
        follow(message, client)
        perform(.terminate(target), message, loop, reply)
    }

    private static func rekey(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply) {
        let target = target(message)
        guard !target.isEmpty else { return failure("which SA is meant? give child, ike, child-id or ike-id", reply) }
        perform(.rekey(target), message, loop, reply)
    }

    private static func listSAs(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        let target = target(message)
        var sessions = loop.manager.sessionIDs[...]
        client.stream("list-sa") { [weak loop] in
            while let loop, let id = sessions.popFirst() {
                // Each as it is when its turn comes: one that has gone meanwhile is left out.
                guard var session = loop.manager.snapshot(of: id),
                    target.connection == nil || target.connection == session.connection,
                    target.session == nil || target.session == session.id
                else { continue }
                if target.meansChildren {
                    session.children = session.children.filter {
                        (target.child == nil || $0.name == target.child)
                            && (target.childID == nil || $0.id == target.childID)
                    }
                    if session.children.isEmpty { continue }
                }
                return loop.message(of: session)
            }
            return nil
        } end: {
            reply(ViciMessage())
        }
    }

    private static func listConnections(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        let name = message.text("ike")
        var connections = loop.manager.policies.connections.filter { name == nil || name == $0.name }[...]
        client.stream("list-conn") {
            connections.popFirst().map { ConnectionMessages.message($0) }
        } end: {
            reply(ViciMessage())
        }
    }

    // MARK: Explanations

    private static func trace(_ message: ViciMessage, _ loop: ControlLoop) -> ViciMessage {
        let lines = loop.journal.ladder(
            connection: message.text("ike"),
            session: message.text("ike-id").flatMap { UInt32($0) }.map { SessionID($0) })
        var answer = outcome(lines.isEmpty ? "no messages are kept for that" : nil)
        answer.add("lines", list: lines)
        return answer
    }

    private static func recentLog(_ loop: ControlLoop) -> ViciMessage {
        var answer = ViciMessage()
        answer.add("lines", list: loop.journal.recent.suffix(500).map { "\($0.group.rawValue) \($0.text)" })
        return answer
    }
}
