/// An entry of the security policy database that has no SA (RFC 4301 §4.4.1): what happens to packets which its
/// selectors cover. Entries with SAs come with these.
package struct SecurityPolicy: Hashable, Sendable {
    package enum Action: String, Hashable, Sendable {
        /// Goes out as it is, past the tunnel.
        case bypass
        case discard
        /// Starts the negotiation of its child, and waits for that.
        case trap
    }

    package var connection: String
    package var child: String
    package var action: Action
    /// As in ``SecurityAssociation/priority``.
    package var priority: UInt32
    package var localSelectors: [TrafficSelector]
    package var remoteSelectors: [TrafficSelector]

    package init(
        connection: String, child: String, action: Action, priority: UInt32 = 0, localSelectors: [TrafficSelector],
        remoteSelectors: [TrafficSelector]
    ) {
        self.connection = connection
        self.child = child
        self.action = action
        self.priority = priority
        self.localSelectors = localSelectors
        self.remoteSelectors = remoteSelectors
    }
}
