import IPsec
import KeyManagement
import Primitives

// What is in force for children that have no SA: traps, and shunts that never have one.
extension ControlLoop {
    /// Puts the policies of children without SA into force, or takes one back.
    func setStanding(_ connection: String, _ child: ChildPolicy, isSet: Bool) {
        let key = ChildKey(connection: connection, child: child.name)
        if let old = standing.removeValue(forKey: key) { plane.remove(old) }
        guard isSet, let action = child.standingAction,
            let ends = ends(of: manager.policies.connection(connection), for: child)
        else { return }
        let policy = SecurityPolicy(
            connection: connection, child: child.name, action: action, priority: child.priority,
            localSelectors: child.localSelectors.map { $0.resolved(ends.local) },
            remoteSelectors: child.remoteSelectors.map { $0.resolved(ends.remote) })
        standing[key] = policy
        plane.install(policy)
    }

    /// The addresses that `dynamic` selectors stand for before there is an SA; `nil` where the peer could be anyone, and a
    /// selector needs to know.
    private func ends(
        of connection: Connection?, for child: ChildPolicy
    ) -> (local: IPAddress, remote: IPAddress)? {
        let isFixed = (child.localSelectors + child.remoteSelectors).allSatisfy { selector in
            if case .fixed = selector { true } else { false }
        }
        guard let remote = connection?.remoteAddresses.flatMap(\.concrete).first else {
            return isFixed ? (.any(.v4), .any(.v4)) : nil
        }
        let local =
            connection?.localAddresses.flatMap(\.concrete).first { $0.family == remote.family }
            ?? plane.sourceAddress(for: remote)
        guard let local else { return isFixed ? (.any(.v4), .any(.v4)) : nil }
        return (local, remote)
    }
}
