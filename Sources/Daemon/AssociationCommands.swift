import Control
import IPsec
import KeyManagement
import Primitives

/// vici's commands about SAs and the policies that bring them up. Problems are worded as charon words them, since scripts
/// read them.
enum AssociationCommands {
    typealias Reply = ViciCommands.Reply

    static func target(_ message: ViciMessage) -> Target {
        Target(
            connection: message.text("ike"), child: message.text("child"),
            session: message.text("ike-id").flatMap { UInt32($0) }.map { SessionID($0) },
            childID: message.text("child-id").flatMap { UInt32($0) }.map { ChildID($0) })
    }

    /// Longer than anybody waits; larger numbers mean the same.
    private static let longestWaitMilliseconds: Int64 = 30 * 24 * 3600 * 1000

    /// Gives key management a command whose answer comes no later than the message's `timeout` (milliseconds; 0 or
    /// absent: never, -1: at once).
    static func perform(
        _ command: Command, _ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply,
        answer: @escaping (Response) -> ViciMessage
    ) {
        guard loop.hasRoomForCommands else { return reply(Self.answer(problem: "too many commands are under way")) }
        let timeout = message.text("timeout").flatMap { Int64($0) } ?? 0
        var alarm: UInt64?
        if timeout < 0 {
            reply(ViciCommands.outcome(nil))
        } else if timeout > 0 {
            alarm = loop.alarm(after: .milliseconds(min(timeout, longestWaitMilliseconds))) {
                reply(Self.answer(problem: "not done after \(timeout) ms; it goes on in the background"))
            }
        }
        loop.command(command) { [weak loop] response in
            if let alarm { loop?.cancel(alarm: alarm) }
            reply(answer(response))
        }
    }

    static func answer(problem: String?, matches: Int? = nil, terminated: Int? = nil) -> ViciMessage {
        var answer = ViciMessage()
        answer.add("success", flag: problem == nil)
        answer.add("matches", optional: matches)
        answer.add("terminated", optional: terminated)
        answer.add("errmsg", optional: problem)
        return answer
    }

    private static func follow(_ message: ViciMessage, _ client: ViciClient) {
        client.followLog(upTo: message.text("loglevel").flatMap { Int($0) } ?? 1)
    }

    // MARK: Up, down, anew

    static func initiate(_ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply) {
        let (child, ike) = (message.text("child"), message.text("ike"))
        guard child != nil || ike != nil else { return reply(answer(problem: "missing configuration name")) }
        let limit = loop.running.settings.engine.halfOpenLimit
        if message.flag("init-limits"), limit > 0, loop.manager.negotiating >= limit {
            let what = child.map { "CHILD_SA '\($0)'" } ?? "IKE_SA '\(ike ?? "")'"
            return reply(answer(problem: "establishing \(what) not possible at the moment due to limits"))
        }
        follow(message, client)
        perform(.initiate(connection: ike, child: child), message, loop, reply) { response in
            switch response {
            case .done: return answer(problem: nil)
            case .failed(.noSuchConfiguration, _):
                let what = child.map { "CHILD_SA config '\($0)'" } ?? "IKE_SA config '\(ike ?? "")'"
                return answer(problem: "\(what) not found")
            case .failed(let failure, _): return answer(problem: EventLines.text(failure))
            }
        }
    }

    static func terminate(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        let target = target(message)
        guard !target.isEmpty else { return reply(answer(problem: "missing terminate selector")) }
        follow(message, client)
        let command = message.flag("force") && !target.meansChildren ? Command.abandon(target) : .terminate(target)
        perform(command, message, loop, reply) { response in
            switch response {
            case .done(let matches): answer(problem: nil, matches: matches, terminated: matches)
            case .failed(.nothingMatches, let matches):
                answer(problem: "no matching SAs to terminate found", matches: matches, terminated: 0)
            case .failed(let failure, let matches):
                answer(problem: EventLines.text(failure), matches: matches, terminated: 0)
            }
        }
    }

    static func rekey(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply) {
        let target = target(message)
        guard !target.isEmpty else { return reply(answer(problem: "missing rekey selector")) }
        let command = message.flag("reauth") && !target.meansChildren ? Command.reauthenticate(target) : .rekey(target)
        perform(command, ViciMessage(), loop, reply) { response in
            switch response {
            case .done(let matches): answer(problem: nil, matches: matches)
            case .failed(.nothingMatches, let matches):
                answer(problem: "no matching SAs to rekey found", matches: matches)
            case .failed(let failure, let matches): answer(problem: EventLines.text(failure), matches: matches)
            }
        }
    }

    /// RFC 5685.
    static func redirect(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply) {
        guard let text = message.text("gateway") else { return reply(answer(problem: "missing target gateway")) }
        guard let gateway = RedirectGateway(text) else {
            return reply(answer(problem: "'gateway' is neither an address nor a name"))
        }
        let selectors = ["ike", "ike-id", "peer-ip", "peer-id"]
        guard selectors.contains(where: { message.text($0) != nil }) else {
            return reply(answer(problem: "missing redirect selector"))
        }
        let address = message.text("peer-ip").map { AddressPattern(numeric: $0) }
        if case .some(nil) = address { return reply(answer(problem: "'peer-ip' is no address, block or range")) }
        let identity = message.text("peer-id").map { IdentityPattern($0) }
        if case .some(nil) = identity { return reply(answer(problem: "'peer-id' is no identity")) }
        let meant = loop.manager.snapshots.filter {
            isMeant($0, by: message, at: address ?? nil, whose: identity ?? nil)
        }.map(\.id)
        perform(.redirect(meant, to: gateway), ViciMessage(), loop, reply) { response in
            switch response {
            case .done(let matches): answer(problem: nil, matches: matches)
            case .failed(.nothingMatches, _): answer(problem: "no matching SAs to redirect found", matches: 0)
            case .failed(.notRedirectable, let matches):
                answer(problem: "not all matching SAs could be redirected", matches: matches)
            case .failed(let failure, let matches): answer(problem: EventLines.text(failure), matches: matches)
            }
        }
    }

    static func isMeant(
        _ session: SessionSnapshot, by message: ViciMessage, at address: AddressPattern?,
        whose identity: IdentityPattern?
    ) -> Bool {
        if let ike = message.text("ike"), ike != session.connection { return false }
        if let id = message.text("ike-id"), id != "\(session.id)" { return false }
        if let address, !address.matches(session.remote.address) { return false }
        // A user is who it is itself, and not only the group's identity.
        if let identity {
            let names = [session.remoteIdentity, session.remoteUser].compactMap { $0 }
            guard names.contains(where: identity.matches) else { return false }
        }
        return session.state == .established
    }

    // MARK: Policies

    static func install(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply) {
        guard let child = message.text("child") else { return reply(answer(problem: "missing configuration name")) }
        perform(.install(connection: message.text("ike"), child: child), ViciMessage(), loop, reply) { response in
            if case .done = response { return answer(problem: nil) }
            return answer(problem: "configuration name not found")
        }
    }

    static func uninstall(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping Reply) {
        guard let child = message.text("child") else { return reply(answer(problem: "missing configuration name")) }
        perform(.uninstall(connection: message.text("ike"), child: child), ViciMessage(), loop, reply) { response in
            if case .done = response { return answer(problem: nil) }
            return answer(problem: "policy '\(child)' not found")
        }
    }

    static func listPolicies(
        _ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply
    ) {
        let wanted = loop.standing.values.filter { (policy: SecurityPolicy) -> Bool in
            guard message.flag(flag(policy.action)) else { return false }
            if let child = message.text("child"), child != policy.child { return false }
            if let ike = message.text("ike"), ike != policy.connection { return false }
            return true
        }
        var policies = wanted.sorted { ($0.connection, $0.child) < ($1.connection, $1.child) }[...]
        client.stream("list-policy") {
            guard let policy = policies.popFirst() else { return nil }
            var section: ViciMessage = ["child": policy.child, "ike": policy.connection]
            section.add("mode", mode(policy, loop))
            section.add("local-ts", list: policy.localSelectors)
            section.add("remote-ts", list: policy.remoteSelectors)
            var event = ViciMessage()
            event.add("\(policy.connection)/\(policy.child)", section: section)
            return event
        } end: {
            reply(ViciMessage())
        }
    }

    /// The flag of `list-policies` that asks for policies of this kind.
    private static func flag(_ action: SecurityPolicy.Action) -> String {
        switch action {
        case .bypass: "pass"
        case .discard: "drop"
        case .trap: "trap"
        }
    }

    private static func mode(_ policy: SecurityPolicy, _ loop: ControlLoop) -> String {
        switch policy.action {
        case .bypass: return "PASS"
        case .discard: return "DROP"
        case .trap:
            let child = loop.manager.policies.connection(policy.connection)?.child(policy.child)
            return child.map { $0.mode.listed(sharesPayloads: $0.aggregation != nil) } ?? ""
        }
    }

    // MARK: Listing

    static func listSAs(_ message: ViciMessage, _ client: ViciClient, _ loop: ControlLoop, _ reply: @escaping Reply) {
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
}
