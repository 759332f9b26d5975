import Control
import Cryptography
import Explain
import IPsec
import KeyManagement

/// Parley's own command `rehearse`: rekeys children that are up, now, and says what came of each. What is refused now would
/// have been refused at the first rekeying.
enum RehearsalCommand {
    /// How long the peer has where the message's `timeout` (milliseconds) does not say, and at most.
    private static let patience: Int64 = 30_000
    private static let longestPatience: Int64 = 3_600_000

    static func rehearse(_ message: ViciMessage, _ loop: ControlLoop, _ reply: @escaping ViciCommands.Reply) {
        let (ike, child) = (message.text("ike"), message.text("child"))
        guard ike != nil || child != nil else { return reply(ViciCommands.outcome("missing configuration name")) }
        guard loop.rehearsals.hasRoom, loop.hasRoomForCommands else {
            return reply(ViciCommands.outcome("too many commands are under way"))
        }
        let parts = loop.manager.snapshots.filter { ike == nil || $0.connection == ike }.flatMap { session in
            session.children.filter {
                (child == nil || $0.name == child) && [.installed, .rekeying].contains($0.state)
            }
            .map {
                Rehearsals.Part(
                    connection: session.connection, session: session.id, version: session.version, child: $0)
            }
        }
        guard !parts.isEmpty else {
            var answer = ViciCommands.outcome("no child of \(child ?? ike ?? "") is up to be rekeyed: parley up first")
            answer.add("matches", 0)
            return reply(answer)
        }
        let asked = message.text("timeout").flatMap { Int64($0) } ?? 0
        let patience = asked > 0 ? min(asked, longestPatience) : patience
        var alarm: UInt64?
        // Before key management hears of it: a rekeying may fail within the call.
        let number = loop.rehearsals.begin(parts) { [weak loop] parts in
            if let alarm { loop?.cancel(alarm: alarm) }
            let policies = loop?.manager.policies ?? PolicyDatabase(connections: [])
            reply(answer(parts, policies: policies))
        }
        alarm = loop.alarm(after: .milliseconds(patience)) { [weak loop] in
            let done = loop?.rehearsals.end(number)
            done?()
        }
        for part in parts where part.child.state == .installed {
            loop.command(.rekey(Target(session: part.session, childID: part.child.id))) { _ in }
        }
    }

    // MARK: The answer

    static func answer(_ parts: [Rehearsals.Part], policies: PolicyDatabase) -> ViciMessage {
        let failures = parts.filter { if case .agreed? = $0.outcome { false } else { true } }.count
        var answer = ViciCommands.outcome(
            failures == 0 ? nil : "\(failures) of \(parts.count) rekeyings did not succeed")
        answer.add("matches", parts.count)
        var sections = ViciMessage()
        for part in parts {
            let verdict = RehearsalVerdict(part, policies: policies)
            var section: ViciMessage = [
                "ike": part.connection, "ike-id": "\(part.session)", "outcome": verdict.outcome,
            ]
            section.add("new", optional: verdict.new)
            section.add("dh-group", optional: verdict.group)
            section.add("summary", verdict.summary)
            section.add("remedies", section: DecisionMessages.remedies(verdict.remedies))
            section.add("lines", list: verdict.lines)
            sections.add("\(part.child.name)-\(part.child.id)", section: section)
        }
        answer.add("rehearsals", section: sections)
        return answer
    }
}

/// What came of one rehearsal, in words.
struct RehearsalVerdict {
    /// `agreed`, `refused`, `ended` or `unanswered`.
    let outcome: String
    private(set) var new: ChildID?
    /// The key exchange of the new keys, as `list-sas` names it.
    private(set) var group: String?
    let summary: String
    private(set) var remedies: [Remedy] = []
    /// What lies behind it.
    private(set) var details: [String] = []

    private let label: String

    init(_ part: Rehearsals.Part, policies: PolicyDatabase) {
        label = "\(part.connection)[\(part.session)] \(part.child.name){\(part.child.id)}"
        switch part.outcome {
        case .agreed(let new, let suite)?:
            outcome = "agreed"
            self.new = new
            group = suite.keyExchange?.name.listed
            summary =
                suite.keyExchange.map { "rekeyed as {\(new)} with a fresh key exchange in \($0.name.keyword)" }
                ?? "rekeyed as {\(new)} without a key exchange of its own: there is no perfect forward secrecy"
        case .refused(let refusal, let record)?:
            outcome = "refused"
            summary = RefusalText.explain(refusal)
            if let remedy = RehearsalVerdict.keyExchangeRemedy(part, refusal, policies) {
                remedies = [remedy]
                details = [
                    "IKE_AUTH agreed on this child without a key exchange (RFC 7296 section 1.2); everything else was "
                        + "taken then, so that it is the key exchange that differs"
                ]
            } else {
                remedies = record?.remedies ?? []
            }
            details += record?.facts ?? []
        case .ended?:
            outcome = "ended"
            summary = "the child, or its IKE SA, went before the peer answered"
        case nil:
            outcome = "unanswered"
            summary = "no outcome yet; it goes on in the background"
        }
    }

    /// Where a child that came with IKE_AUTH is refused at its rekeying, only its key exchange can be to blame.
    private static func keyExchangeRemedy(
        _ part: Rehearsals.Part, _ refusal: Refusal, _ policies: PolicyDatabase
    ) -> Remedy? {
        // NO_PROPOSAL_CHOSEN and INVALID_KE_PAYLOAD.
        guard part.version == 2, part.child.suite.keyExchange == nil, case .peer(let number, _) = refusal,
            [14, 17].contains(number), let policy = policies.connection(part.connection)?.child(part.child.name)
        else { return nil }
        let groups = policy.proposals.flatMap(\.keyExchange).filter { $0 != .none }
        guard !groups.isEmpty else { return nil }
        var names: [String] = []
        for name in groups.map(\.name.keyword) where !names.contains(name) { names.append(name) }
        let key = part.child.securityProtocol == .ah ? "ah_proposals" : "esp_proposals"
        return Remedy(
            .either, "connections.\(part.connection).children.\(part.child.name).\(key)",
            current: names.joined(separator: ", "),
            wanted: "a key exchange that both sides name, or none on either side")
    }

    /// As a person reads it.
    var lines: [String] {
        var lines = ["\(label): \(outcome): \(summary)"] + details.map { "  \($0)" }
        if !remedies.isEmpty { lines += ["  what would help:"] + remedies.map { "    \($0.line)" } }
        if outcome == "refused" {
            lines.append("  the child that is up goes on; unless this is mended, it ends with its lifetime")
        }
        return lines
    }
}
