import IPsec
package import KeyManagement
package import Primitives
import Synchronization

/// One host: its key management, its keys, its data plane, and what it knows of the outcome of its commands.
package struct Node {
    package let name: String
    /// Where its packets leave from, unless an SA says otherwise.
    package internal(set) var address: IPAddress {
        get { route.address }
        set { route.address = newValue }
    }
    private let route: Route
    /// Addresses that it has besides.
    package internal(set) var furtherAddresses: Set<IPAddress> = []
    package var manager: KeyManager
    package var engine: SimulatedEngine
    /// Virtual addresses that a peer gave it.
    package var addresses: Set<IPAddress> = []
    var answerer: KeyAnswerer
    /// Whether its peers' users authenticate before anything is installed for them.
    let awaitsUsers: Bool
    /// Replies to commands, by request.
    package var replies: [RequestID: Response] = [:]
    package var events: [Event] = []

    init(
        name: String, manager: KeyManager, answerer: KeyAnswerer, awaitsUsers: Bool, route: Route, workers: Int
    ) {
        self.name = name
        self.route = route
        self.manager = manager
        self.answerer = answerer
        self.awaitsUsers = awaitsUsers
        engine = SimulatedEngine(workers: workers)
    }

    /// Whether what goes to this address arrives here.
    func has(_ address: IPAddress) -> Bool { address == self.address || furtherAddresses.contains(address) }
}

/// The address that a host's routes lead out by; its key management asks for it.
final class Route: Sendable {
    private let current: Mutex<IPAddress>

    init(_ address: IPAddress) { current = Mutex(address) }

    var address: IPAddress {
        get { current.withLock { $0 } }
        set { current.withLock { $0 = newValue } }
    }
}
