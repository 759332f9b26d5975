package import Cryptography
package import Primitives

/// What a gateway hands on of its peer's user to an authentication server (RFC 3579, RFC 2865), which judges it.
package struct UserRelay: Sendable {
    package enum Message: Sendable {
        /// A response of EAP, whole.
        case packet([UInt8])
        /// XAUTH's password.
        case password(Secret)
    }

    package var session: SessionID
    package var connection: String
    package var local: Endpoint
    package var remote: Endpoint
    package var user: Identity
    package var message: Message
    /// What the server wants to have back of its last answer; empty with the first message.
    package var state: [UInt8]

    package init(
        session: SessionID, connection: String, local: Endpoint, remote: Endpoint, user: Identity, message: Message,
        state: [UInt8] = []
    ) {
        self.session = session
        self.connection = connection
        self.local = local
        self.remote = remote
        self.user = user
        self.message = message
        self.state = state
    }
}

/// What an authentication server says of a user.
package enum UserVerdict: Sendable {
    /// A request of EAP for the user, and what is to come back with its answer.
    case goOn(packet: [UInt8], state: [UInt8])
    /// With the method's last packet, where it has one.
    case accepted(UserGrant, packet: [UInt8]?)
    case refused(packet: [UInt8]?)
    /// No server answers.
    case unreachable
}

/// What an authentication server allows a user.
package struct UserGrant: Sendable {
    /// MSK (RFC 3748 §7.10), where the method made one.
    package var masterSessionKey: Secret?
    /// Addresses that are the user's.
    package var addresses: [IPAddress]
    /// How long the user may stay.
    package var sessionTimeout: Duration?
    /// The groups that the user is in.
    package var groups: [String]

    package init(
        masterSessionKey: Secret? = nil, addresses: [IPAddress] = [], sessionTimeout: Duration? = nil,
        groups: [String] = []
    ) {
        self.groups = groups
        self.masterSessionKey = masterSessionKey
        self.addresses = addresses
        self.sessionTimeout = sessionTimeout
    }

    /// The pool whose addresses are those that the authentication server names.
    package static let poolName = "radius"

    /// The first of a family that is a host's.
    package func address(_ family: IPAddress.Family) -> IPAddress? {
        addresses.first { $0.family == family && $0.isForHost }
    }
}
