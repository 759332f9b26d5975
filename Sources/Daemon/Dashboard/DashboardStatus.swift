import Control
import Platform
import Primitives

extension ControlLoop {
    /// What `/status.json` answers, one JSON object (Docs/json.md): what the dashboard shows.
    var dashboardStatus: String {
        let sessions = manager.sessionIDs
        let shown = sessions.prefix(DashboardLimits.sessions).compactMap { manager.snapshot(of: $0) }
        let now = Clock.now()
        let refusals = journal.decisions.records.suffix(DashboardLimits.refusals).reversed().map {
            DecisionMessages.message($0, now: now).jsonValue
        }
        let own: [JSONValue.Member] = [
            .init("uptime", .number((now - started).wholeSeconds)),
            .init("refusals-kept", .number(Int64(journal.decisions.records.count))),
            .init("sas", .array(shown.map { message(of: $0).jsonValue })),
            .init("refusals", .array(refusals)),
        ]
        return JSONValue.object(healthMembers + own).text(indentation: 0) + "\n"
    }
}

/// How much one answer holds: a page with more serves nobody, and the control loop goes on.
enum DashboardLimits {
    static let sessions = 500
    static let refusals = 10
}
