import Cryptography
import IPsec
import Oakley
import Primitives

/// An exchange that waits for its turn in the window.
enum PlannedExchange: Hashable, Sendable {
    case createChild(String)
    /// A child with some of its selectors alone.
    case createSelected(String, local: [TrafficSelector], remote: [TrafficSelector])
    /// Another child with the selectors of this one (RFC 9611).
    case createSibling(ChildID)
    case rekeyChild(ChildID)
    case deleteChild(ChildID)
    /// A child that only the peer has: its SPI towards us.
    case deleteSPI(SPI, SecurityProtocol)
    case rekeyIKE
    /// Another IKE SA beside this one (RFC 7791), for the `tries`-th time.
    case cloneIKE(tag: UInt64, tries: Int)
    case liveness
    /// The peer must hear of our new address (RFC 4555).
    case updateAddresses
    /// Whether the peer receives at its new address.
    case checkRoutability
    /// The peer is to go to another gateway (RFC 5685).
    case redirect(RedirectGateway)
    /// The peer must know the token of a new IKE SA (RFC 6290).
    case announceToken
    /// A new ticket is wanted (RFC 5723).
    case requestTicket
    /// The next size of packets is to be tried (RFC 8899).
    case probePath
    case deleteIKE(ClosureReason)

    /// charon's names, for ``SessionSnapshot/queuedExchanges``.
    var name: String {
        switch self {
        case .createChild, .createSelected, .createSibling: "CHILD_CREATE"
        case .rekeyChild: "CHILD_REKEY"
        case .deleteChild, .deleteSPI: "CHILD_DELETE"
        case .rekeyIKE: "IKE_REKEY"
        case .cloneIKE: "IKE_CLONE"
        case .liveness, .probePath: "IKE_DPD"
        case .updateAddresses, .checkRoutability: "IKE_MOBIKE"
        case .redirect: "IKE_REDIRECT"
        case .announceToken: "IKE_TOKEN"
        case .requestTicket: "IKE_TICKET"
        case .deleteIKE: "IKE_DELETE"
        }
    }
}

/// What a request of ours was sent for: what its response must be read as.
enum Exchange: Sendable {
    case initial
    case intermediate
    case authentication
    case child(ChildAttempt)
    case rekeyIKE(IKEAttempt)
    case cloneIKE(CloneAttempt)
    case deleteChild(ChildID)
    case liveness
    case updateAddresses(local: Endpoint, remote: Endpoint, cookie: [UInt8])
    case checkRoutability(local: Endpoint, remote: Endpoint, cookie: [UInt8])
    case redirect
    /// A packet for this size, of so many octets, was sent, in one piece so far or not.
    case probe(size: Int, octets: Int, isWhole: Bool)
    /// The IKE SA's own Delete.
    case deleteIKE(ClosureReason)
    /// Tells the peer that its proof was wrong; the session ends with the answer.
    case farewell(Refusal)

    var name: String {
        switch self {
        case .initial: "IKE_INIT"
        case .intermediate: "IKE_INTERMEDIATE"
        case .authentication: "IKE_AUTH"
        case .child(let attempt): attempt.replaces == nil ? "CHILD_CREATE" : "CHILD_REKEY"
        case .rekeyIKE: "IKE_REKEY"
        case .cloneIKE: "IKE_CLONE"
        case .deleteChild: "CHILD_DELETE"
        case .liveness, .probe: "IKE_DPD"
        case .updateAddresses, .checkRoutability: "IKE_MOBIKE"
        case .redirect: "IKE_REDIRECT"
        case .deleteIKE, .farewell: "IKE_DELETE"
        }
    }
}

extension Exchange {
    /// Whether the IKE SA is replaced or ends with it: nothing else begins beside it.
    var endsIKESA: Bool {
        switch self {
        case .rekeyIKE, .deleteIKE, .farewell: true
        case .initial, .intermediate, .authentication, .child, .cloneIKE, .deleteChild, .liveness, .updateAddresses,
            .checkRoutability, .redirect, .probe:
            false
        }
    }

    var isProbe: Bool {
        if case .probe = self { true } else { false }
    }

    var createsChild: Bool {
        if case .child = self { true } else { false }
    }

    /// Whether it creates a child of this policy that replaces none.
    func isNewChild(of policy: String) -> Bool {
        if case .child(let attempt) = self { attempt.policy == policy && attempt.replaces == nil } else { false }
    }

    /// Whether it replaces or deletes the child.
    func concerns(_ id: ChildID) -> Bool {
        switch self {
        case .child(let attempt): attempt.replaces == id
        case .deleteChild(let child): child == id
        case .initial, .intermediate, .authentication, .rekeyIKE, .cloneIKE, .liveness, .updateAddresses,
            .checkRoutability,
            .redirect, .probe, .deleteIKE, .farewell:
            false
        }
    }
}

/// A CREATE_CHILD_SA exchange of ours for a child, or the part of IKE_AUTH that creates the first one.
struct ChildAttempt: Sendable {
    /// The name of the child's configuration.
    var policy: String
    /// The child that the new one takes over from.
    var replaces: ChildID?
    var requestID: UInt32
    /// Its number among children with the same selectors, and the one beside which it is made (RFC 9611).
    var resource: Int?
    var sibling: ChildID?
    var spi: SPI
    var offeredLocal: [TrafficSelector]
    var offeredRemote: [TrafficSelector]
    /// Empty in IKE_AUTH, where the IKE SA's nonces serve.
    var nonce: [UInt8] = []
    var keyPair: KeyPair?
    /// Groups that were tried; each is tried once (RFC 7296 §1.3).
    var triedGroups: [KeyExchangeID] = []
    /// SPIs that the peer deleted while its response was on its way; one of them may be the new child's.
    var deletedMeanwhile: [SPI] = []
    /// The peer rekeyed the same child meanwhile (RFC 7296 §2.8.1).
    var collision: ChildCollision?
    /// Further key exchanges of it.
    var followUp: FollowUp?
    /// What the request left out.
    var inheritance: Boxed<Inheritance>?
}

/// A child that the peer's simultaneous rekeying made here.
struct ChildCollision: Sendable {
    var child: ChildID
    /// The lower nonce of the peer's exchange.
    var lowestNonce: [UInt8]
    /// The peer deleted it again before our own exchange was over.
    var wasDeleted = false
}

/// A CREATE_CHILD_SA exchange of ours that rekeys the IKE SA.
struct IKEAttempt: Sendable {
    var spi: UInt64
    var nonce: [UInt8]
    var keyPair: KeyPair
    var triedGroups: [KeyExchangeID]
    var collision: IKECollision?
    /// Further key exchanges of it.
    var followUp: FollowUp?
    /// Whether the request left out what stays the same.
    var isOptimized = false
}

/// An IKE SA that the peer's simultaneous rekeying made here.
struct IKECollision: Sendable {
    var spi: UInt64
    var lowestNonce: [UInt8]
}

/// The nonce rule of RFC 7296 §2.8.1: the exchange that used the lowest of four nonces loses.
enum NonceRule {
    /// The lower of two nonces, compared octet by octet; a prefix is lower.
    static func lower(_ left: [UInt8], _ right: [UInt8]) -> [UInt8] {
        left.lexicographicallyPrecedes(right) ? left : right
    }

    /// Whether the exchange with `own` as its lowest nonce survives against the one with `other`.
    static func survives(_ own: [UInt8], against other: [UInt8]) -> Bool {
        other.lexicographicallyPrecedes(own)
    }
}

/// A child SA pair as the session keeps it. Its keys went to the data plane and are not here.
struct Child: Sendable {
    enum State: Hashable, Sendable {
        case installed
        /// Our own rekeying of it is under way.
        case rekeying
        /// Another child took over; a Delete will end it.
        case rekeyed
        /// Our Delete is planned or sent.
        case deleting
        /// The Delete exchange is over; the inbound SA waits for stragglers.
        case lingering
    }

    var id: ChildID
    /// The name of its configuration.
    var policy: String
    var requestID: UInt32
    var state = State.installed
    var securityProtocol: SecurityProtocol
    var mode: SecurityMode
    /// Whether the peer takes padding behind inner packets, and whether both ends compress and carry
    /// later fragments.
    var takesPadding = true
    var isCompressed = false
    var carriesFragments = false
    var aggregation: Aggregation?
    /// Its number among children with the same selectors, where both ends know of such (RFC 9611).
    var resource: Int?
    var inboundSPI: SPI
    var outboundSPI: SPI
    var suite: Suite
    var udpEncapsulation: Bool
    var installed: Instant
    var rekeyAt: Instant?
    var expireAt: Instant?
    var localSelectors: [TrafficSelector]
    var remoteSelectors: [TrafficSelector]
    /// The outbound SA of a child that the peer made to replace another: it goes to work once the peer is known to
    /// have the response.
    var heldOutbound: Boxed<SecurityAssociation>?
    /// Whether the outbound SA was never installed: nothing to remove.
    var outboundIsIdle = false
    /// The child that this one replaces, while its outbound SA is held.
    var replaces: ChildID?
    /// Whether the peer was told, or told us, that another child replaces it: its end is no loss.
    var isReplaced = false

    /// Another child serves in its place, and its outbound SA is never needed.
    mutating func becomeRedundant() {
        if state == .installed { state = .rekeyed }
        if heldOutbound != nil { outboundIsIdle = true }
        heldOutbound = nil
        replaces = nil
        isReplaced = true
    }

    /// Whether its outbound SA is installed.
    var hasOutbound: Bool { heldOutbound == nil && !outboundIsIdle }
}
