import IPsec
import KeyManagement
import Primitives

/// What a run of version 2 was seen to do: a simulation that permits something and never meets it proves nothing of it.
package struct Observations: Sendable {
    package enum Feature: String, Hashable, Sendable, CaseIterable {
        /// RFC 8784 or RFC 9867.
        case postquantumKey
        /// RFC 6023.
        case childless
        /// Several requests under way at once (RFC 7296 §2.3).
        case window
        /// An SA that went on at another address of its peer's (RFC 4555).
        case move
        /// RFC 7383.
        case fragments
        case transportMode
        /// RFC 7791.
        case clone
        /// Several children with the same selectors (RFC 9611), and a peer that took no more of them.
        case resources
        case queueRefusal
    }

    package private(set) var met: Set<Feature> = []
    private var eventsSeen: [Int] = []
    /// Where the peer of each session was, by node and session.
    private var remotes: [[SessionID: IPAddress]] = []

    mutating func look(at world: World) {
        if world.hasFragments { met.insert(.fragments) }
        if eventsSeen.isEmpty {
            eventsSeen = world.nodes.map { _ in 0 }
            remotes = world.nodes.map { _ in [:] }
        }
        for (index, node) in world.nodes.enumerated() {
            for session in node.manager.snapshots where session.established != nil {
                if session.activeExchanges.count > 1 { met.insert(.window) }
                if session.hasPostquantumKey { met.insert(.postquantumKey) }
                if session.clonedFrom != nil { met.insert(.clone) }
                let numbers = session.children.filter { $0.state == .installed }.compactMap(\.resource)
                if numbers.contains(where: { $0 > 0 }) { met.insert(.resources) }
                if session.children.contains(where: { $0.mode == .transport }) { met.insert(.transportMode) }
                let before = remotes[index].updateValue(session.remote.address, forKey: session.id)
                if let before, before != session.remote.address { met.insert(.move) }
            }
            for event in node.events[eventsSeen[index]...] {
                if case .session(.note(let note)) = event.kind, note.contains("TS_MAX_QUEUE") {
                    met.insert(.queueRefusal)
                }
                guard event.kind == .session(.established), let session = event.snapshot else { continue }
                if session.children.isEmpty, session.clonedFrom == nil { met.insert(.childless) }
            }
            eventsSeen[index] = node.events.count
        }
    }
}
