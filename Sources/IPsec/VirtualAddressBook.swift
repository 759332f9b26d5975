package import Primitives

/// The virtual addresses that sessions have and gave, by the connection and the peer's endpoint. A session that is negotiated beside
/// another between the same two hosts asks for the addresses that the other has, and gives those that the other gave: with
/// others, the traffic of the one could not pass over to it.
package struct VirtualAddressBook: Sendable {
    private struct Place: Hashable {
        var connection: String
        var remote: Endpoint
    }
    private struct Entry {
        var session: SessionID
        var ours: [IPAddress]
        var theirs: [IPAddress]
    }
    private var entries: [Place: [Entry]] = [:]
    private var places: [SessionID: Place] = [:]

    package init() {}

    package var isEmpty: Bool { entries.isEmpty && places.isEmpty }

    /// - Parameters:
    ///   - ours: addresses that the peer gave us.
    ///   - theirs: addresses that we gave the peer.
    package mutating func note(
        _ session: SessionID, connection: String, remote: Endpoint, ours: [IPAddress], theirs: [IPAddress]
    ) {
        forget(session)
        let place = Place(connection: connection, remote: remote)
        places[session] = place
        entries[place, default: []].append(Entry(session: session, ours: ours, theirs: theirs))
    }

    package mutating func forget(_ session: SessionID) {
        guard let place = places.removeValue(forKey: session) else { return }
        entries[place]?.removeAll { $0.session == session }
        if entries[place]?.isEmpty == true { entries[place] = nil }
    }

    /// What the newest of the other sessions has; empty where there is none.
    package func ours(_ connection: String, _ remote: Endpoint) -> [IPAddress] {
        entries[Place(connection: connection, remote: remote)]?.last { !$0.ours.isEmpty }?.ours ?? []
    }

    /// What the newest of the other sessions gave; empty where there is none.
    package func theirs(_ connection: String, _ remote: Endpoint) -> [IPAddress] {
        entries[Place(connection: connection, remote: remote)]?.last { !$0.theirs.isEmpty }?.theirs ?? []
    }
}
