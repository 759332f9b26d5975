import IPsec
import Primitives

/// Which session has which children, as their SAs come and go.
extension KeyManager {
    mutating func noteInstalled(_ association: SecurityAssociation, of id: SessionID) {
        // A child that a sibling has taken over meanwhile is that one's.
        let id = byChild[association.child] ?? id
        guard var children = sessions[id]?.children else { return }
        var child = Entry.Child(id: association.child, name: association.name)
        let index = children.firstIndex { $0.id == association.child }
        if let index { child = children[index] }
        switch association.direction {
        case .inbound: child.inbound = association.spi
        case .outbound: child.outbound = association.spi
        }
        if let index { children[index] = child } else { children.append(child) }
        sessions[id]?.children = children
        byChild[association.child] = id
    }

    mutating func noteRemoved(
        _ spi: SPI, _ direction: SecurityAssociation.Direction, _ child: ChildID, of id: SessionID
    ) {
        if direction == .inbound { environment.spisInUse.remove(spi) }
        guard let index = sessions[id]?.children.firstIndex(where: { $0.id == child }) else { return }
        switch direction {
        case .inbound: sessions[id]?.children[index].inbound = nil
        case .outbound:
            sessions[id]?.children[index].outbound = nil
            sessions[id]?.children[index].isLingering = true
        }
        if let left = sessions[id]?.children[index], left.inbound == nil, left.outbound == nil {
            sessions[id]?.children.remove(at: index)
            sessions[id]?.removed.append(left)
            byChild[child] = nil
            // A replaced child goes without an event of its own.
            pending.childIsGone(child)
        }
    }
}
