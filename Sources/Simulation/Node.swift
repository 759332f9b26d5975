import IPsec
package import KeyManagement
package import Primitives

/// One host: its key management, its keys, its data plane, and what it knows of the outcome of its commands.
package struct Node {
    package let name: String
    package let address: IPAddress
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
}
