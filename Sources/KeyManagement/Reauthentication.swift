import IPsec
import Primitives

/// IKEv2's make before break (RFC 7296 §2.8.3): a second session does all that the first one does, and then the first one
/// retires. Its children keep their request IDs, so that traffic passes over when they come up.
extension KeyManager {
    /// Opens a session in place of one, between the same endpoints; once at a time.
    mutating func reauthenticate(_ id: SessionID, _ effects: inout [Effect]) {
        guard let entry = sessions[id], var connection = policies.connection(entry.connection), entry.isEstablished,
            !entries(of: entry.connection).contains(where: { $0.entry.predecessor == id })
        else { return }
        // A clone without children has nothing to authenticate for.
        if entry.isClone, entry.children.isEmpty, entry.requested.isEmpty {
            return feed(.command(.delete), to: id, &effects)
        }
        let snapshot = entry.session.snapshot
        // The address that we have is the one to ask for: a peer knows us by it.
        if !snapshot.localVirtualAddresses.isEmpty { connection.virtualAddresses = snapshot.localVirtualAddresses }
        var (local, remote) = (snapshot.local, snapshot.remote)
        // The first message goes to the port that the connection names, as the first one did.
        if !remote.isStream, remote.port == environment.settings.natPort, connection.remotePort == 500 {
            (local.port, remote.port) = (environment.settings.port, 500)
        }
        let successor = open(connection, local: local, remote: remote, isVersion1: false)
        succeed(id, by: successor, &effects)
    }

    /// Has one session set up all that another has; then that one retires.
    mutating func succeed(_ id: SessionID, by successor: SessionID, _ effects: inout [Effect]) {
        guard let entry = sessions[id] else { return }
        let snapshot = entry.session.snapshot
        let children = entry.children.filter { $0.outbound != nil && !$0.isLingering }
        sessions[successor]?.predecessor = id
        sessions[successor]?.origin = entry.origin ?? id
        for child in children {
            sessions[successor]?.requested.append(child.name)
            let requestID = snapshot.children.first { $0.id == child.id }?.requestID ?? environment.freshRequestID()
            feed(.command(.succeedChild(name: child.name, requestID: requestID)), to: successor, &effects)
        }
        if children.isEmpty { feed(.command(.delete), to: id, &effects) }
    }

    /// Another session is to do what one that came to nothing was opened for: all that was asked of it, in the place of the same
    /// predecessor.
    mutating func requestAgain(_ entry: Entry, of successor: SessionID, _ effects: inout [Effect]) {
        sessions[successor]?.predecessor = entry.predecessor
        sessions[successor]?.origin = entry.origin
        let before =
            entry.version == 2 ? entry.predecessor.flatMap { sessions[$0]?.session.snapshot.children } ?? [] : []
        for name in entry.requested {
            guard let requestID = before.first(where: { $0.name == name })?.requestID else {
                requestChild(name, of: successor, &effects)
                continue
            }
            sessions[successor]?.requested.append(name)
            feed(.command(.succeedChild(name: name, requestID: requestID)), to: successor, &effects)
        }
    }

    /// What a successor was opened for is up, or is refused: the one before it retires.
    mutating func retirePredecessor(of id: SessionID, _ effects: inout [Effect]) {
        guard let entry = sessions[id], entry.version == 2, entry.isEstablished, entry.requested.isEmpty,
            let predecessor = entry.predecessor
        else { return }
        sessions[id]?.predecessor = nil
        if sessions[predecessor]?.version == 2 { feed(.command(.retire), to: predecessor, &effects) }
    }

    /// The machine's addresses or routes are others: sessions that may move do (RFC 4555).
    mutating func followPaths(_ effects: inout [Effect]) {
        for id in sessionIDs {
            guard let entry = sessions[id], entry.version == 2, entry.isEstablished, !entry.isPinned,
                policies.connection(entry.connection)?.isMobile == true
            else { continue }
            let snapshot = entry.session.snapshot
            guard snapshot.isInitiator, let source = sourceAddress(snapshot.remote.address),
                source != snapshot.local.address,
                policies.connection(entry.connection)?.localAddresses.contains(where: { $0.matches(source) }) == true
            else { continue }
            feed(.command(.move(source)), to: id, &effects)
        }
    }
}
