import IPsec
import KeyManagement
import Platform
import Primitives

/// Closes children that carried nothing for as long as their policy's ``ChildPolicy/inactivity``.
///
/// A rekeyed child is a new one: its time begins with its keys, as charon has it.
final class IdleChildren {
    private var alarms: [ChildID: UInt64] = [:]

    /// What is left of a child's quiet time, counted from its last packet in either direction, else from its beginning;
    /// `nil` when it is over.
    static func remaining(
        _ inactivity: Duration, since installed: Instant,
        _ counters: (inbound: TrafficCounters, outbound: TrafficCounters),
        now: Instant
    ) -> Duration? {
        let last =
            [installed, counters.inbound.lastUse, counters.outbound.lastUse].compactMap { $0 }.max() ?? installed
        let rest = last + inactivity - now
        return rest > .zero ? rest : nil
    }

    /// Takes note of children that come and go.
    func record(_ event: Event, loop: ControlLoop) {
        guard case .session(let kind) = event.kind else { return }
        switch kind {
        case .childEstablished(let id): watch(id, of: event, loop: loop)
        case .childRekeyed(let old, let new):
            forget(old, loop: loop)
            watch(new, of: event, loop: loop)
        case .childClosed(let id): forget(id, loop: loop)
        default: break
        }
    }

    private func watch(_ id: ChildID, of event: Event, loop: ControlLoop) {
        guard let session = event.session, let child = event.snapshot?.children.first(where: { $0.id == id }),
            let policy = loop.manager.policies.connection(event.connection)?.child(child.name),
            policy.inactivity > .zero
        else { return }
        set(child, policy.inactivity, of: session, after: policy.inactivity, loop: loop)
    }

    private func set(
        _ child: ChildSnapshot, _ inactivity: Duration, of session: SessionID, after duration: Duration,
        loop: ControlLoop
    ) {
        alarms[child.id] = loop.alarm(after: duration) { [weak self, unowned loop] in
            self?.look(at: child, inactivity, of: session, loop: loop)
        }
    }

    private func look(at child: ChildSnapshot, _ inactivity: Duration, of session: SessionID, loop: ControlLoop) {
        alarms[child.id] = nil
        // Without counters it is gone, or went with its session.
        guard let counters = loop.plane.counters(of: child.id) else { return }
        if let rest = IdleChildren.remaining(
            inactivity, since: child.installed, counters, now: Clock.now())
        {
            return set(child, inactivity, of: session, after: rest, loop: loop)
        }
        let snapshot = loop.manager.snapshot(of: session)
        loop.note(
            .child, "closing \(child.name){\(child.id)}: nothing passed for \(inactivity.wholeSeconds) s", of: snapshot,
            child: child)
        let isLast = snapshot?.children.allSatisfy { $0.id == child.id } ?? false
        let target =
            isLast && loop.running.settings.closesIdleSessions ? Target(session: session) : Target(childID: child.id)
        loop.command(.terminate(target)) { _ in }
    }

    private func forget(_ id: ChildID, loop: ControlLoop) {
        if let alarm = alarms.removeValue(forKey: id) { loop.cancel(alarm: alarm) }
    }
}
