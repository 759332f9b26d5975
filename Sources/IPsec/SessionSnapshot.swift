package import Primitives

/// A child as an observer sees it.
package struct ChildSnapshot: Hashable, Sendable {
    /// charon's names for a child's states, which `list-sas` prints.
    package enum State: String, Hashable, Sendable {
        case created = "CREATED"
        case installed = "INSTALLED"
        case rekeying = "REKEYING"
        case rekeyed = "REKEYED"
        case deleting = "DELETING"
    }
    package var id: ChildID
    package var name: String
    package var requestID: UInt32
    package var state: State
    package var securityProtocol = SecurityProtocol.esp
    /// Which of a policy's parallel pairs it is, from 0.
    package var lane = 0
    package var mode: SecurityMode
    package var inboundSPI: SPI
    package var outboundSPI: SPI
    package var suite: Suite
    package var udpEncapsulation: Bool
    package var installed: Instant
    package var rekeyAt: Instant?
    package var expireAt: Instant?
    package var localSelectors: [TrafficSelector]
    package var remoteSelectors: [TrafficSelector]
    /// Whether its packets share payloads (RFC 9347).
    package var sharesPayloads = false
    /// Its place among those with the same selectors (RFC 9611): 0 serves whoever has none; `nil` for one that stands alone.
    package var resource: Int?

    /// charon's name for the mode.
    package var listedMode: String { mode.listed(sharesPayloads: sharesPayloads) }

    package init(
        id: ChildID, name: String, requestID: UInt32, state: State, mode: SecurityMode, inboundSPI: SPI,
        outboundSPI: SPI, suite: Suite, udpEncapsulation: Bool, installed: Instant, rekeyAt: Instant?,
        expireAt: Instant?, localSelectors: [TrafficSelector], remoteSelectors: [TrafficSelector]
    ) {
        self.id = id
        self.name = name
        self.requestID = requestID
        self.state = state
        self.mode = mode
        self.inboundSPI = inboundSPI
        self.outboundSPI = outboundSPI
        self.suite = suite
        self.udpEncapsulation = udpEncapsulation
        self.installed = installed
        self.rekeyAt = rekeyAt
        self.expireAt = expireAt
        self.localSelectors = localSelectors
        self.remoteSelectors = remoteSelectors
    }
}

/// A session as an observer sees it.
package struct SessionSnapshot: Hashable, Sendable {
    /// charon's names for an IKE SA's states.
    package enum State: String, Hashable, Sendable {
        case created = "CREATED"
        case connecting = "CONNECTING"
        case established = "ESTABLISHED"
        case rekeying = "REKEYING"
        /// Another one took its place, and it stays for a while.
        case rekeyed = "REKEYED"
        case deleting = "DELETING"
    }
    package var id: SessionID
    /// The connection's name; empty while a responder does not know it yet.
    package var connection: String
    /// 1 or 2.
    package var version: UInt8
    package var state: State
    package var isInitiator: Bool
    package var local: Endpoint
    package var remote: Endpoint
    package var localIdentity: Identity?
    package var remoteIdentity: Identity?
    /// The users that authenticated besides (XAUTH): ours, and the peer's.
    package var localUser: Identity?
    package var remoteUser: Identity?
    /// Virtual addresses that the peer gave us, and that we gave the peer.
    package var localVirtualAddresses: [IPAddress] = []
    package var remoteVirtualAddresses: [IPAddress] = []
    /// Whether the peer may be sent on to another gateway (RFC 5685).
    package var takesRedirects = false
    /// A post-quantum pre-shared key is in the keys (RFC 8784, RFC 9867).
    package var hasPostquantumKey = false
    /// The session whose IKE SA this one's is a clone of (RFC 7791).
    package var clonedFrom: SessionID?
    /// Whether both ends can clone the IKE SA, and whether it can go to another address of ours (RFC 4555).
    package var takesClones = false
    package var movesItself = false
    package var initiatorSPI: UInt64
    package var responderSPI: UInt64
    package var suite: Suite?
    package var isLocalBehindNAT: Bool
    package var isRemoteBehindNAT: Bool
    package var established: Instant?
    package var rekeyAt: Instant?
    package var reauthenticateAt: Instant?
    package var expireAt: Instant?
    package var children: [ChildSnapshot]
    /// Names of exchanges that run or wait, e.g. `IKE_AUTH`, `QUICK_MODE`.
    package var activeExchanges: [String]
    package var queuedExchanges: [String]

    package init(
        id: SessionID, connection: String, version: UInt8, state: State, isInitiator: Bool, local: Endpoint,
        remote: Endpoint
    ) {
        self.id = id
        self.connection = connection
        self.version = version
        self.state = state
        self.isInitiator = isInitiator
        self.local = local
        self.remote = remote
        initiatorSPI = 0
        responderSPI = 0
        isLocalBehindNAT = false
        isRemoteBehindNAT = false
        children = []
        activeExchanges = []
        queuedExchanges = []
    }
}
