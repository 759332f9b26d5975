import Control

extension ControlLoop {
    /// What `/health` answers, one JSON object: that the loop turns, and how much of what is wanted is there.
    var health: String { JSONValue.object(healthMembers).text(indentation: 0) + "\n" }

    var healthMembers: [JSONValue.Member] {
        let snapshots = manager.snapshots
        let up = Set(
            snapshots.flatMap { session in session.children.map { "\(session.connection)/\($0.name)" } })
        let wanted = manager.policies.connections.flatMap { connection in
            connection.children.filter { $0.startAction == .start }.map { "\(connection.name)/\($0.name)" }
        }
        let missing = wanted.filter { !up.contains($0) }
        return [
            .init("status", .string(missing.isEmpty ? "ok" : "degraded")),
            .init("version", .string(ParleyVersion.text)),
            .init("connections", .number(Int64(manager.policies.connections.count))),
            .init("ike-sas", .number(Int64(snapshots.count))),
            .init("children", .number(Int64(up.count))),
            .init("wanted-but-down", .array(missing.map { .string($0) })),
        ]
    }
}
