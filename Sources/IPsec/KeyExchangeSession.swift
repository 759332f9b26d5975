package import Cryptography
package import Primitives

/// Names a session (an IKE SA with its children, over its rekeyings) on this node; never reused while the daemon runs.
package struct SessionID: Hashable, Sendable, CustomStringConvertible {
    package var value: UInt32
    package init(_ value: UInt32) { self.value = value }
    package var description: String { String(value) }
}

/// A timer of one session. Setting a key that is set already moves it.
package enum SessionTimer: Hashable, Sendable {
    /// Send the request with this message ID again; `spi` is our own SPI or cookie of the IKE SA it belongs to.
    case retransmit(spi: UInt64, messageID: UInt32)
    /// The SA must be established by now.
    case halfOpen
    /// Look whether the peer has been heard.
    case liveness
    /// Send a NAT keepalive (RFC 3948 §4).
    case keepalive
    case rekeyIKE
    case reauthenticate
    case expireIKE
    case rekeyChild(ChildID)
    case expireChild(ChildID)
    /// Try a refused or collided exchange again.
    case retry
    /// Forget what was kept to answer late retransmissions.
    case linger(spi: UInt64)
    /// Ask for our virtual address again before it expires.
    case renewAddress
    /// Go on with the work that a responder wants to be shown (RFC 8019).
    case puzzle
    /// Look how large packets may be.
    case probePath
    /// The child's outbound SA has waited long enough for a sign that the peer knows it. Key management's own.
    case releaseChild(ChildID)
}

/// What an operator or the intent behind a connection wants of a session.
package enum SessionCommand: Hashable, Sendable {
    /// Set the child up; negotiates the IKE SA first where it is not there yet.
    case createChild(name: String)
    /// Negotiate the IKE SA alone: a successor that will take children over (IKEv1).
    case establish
    case deleteChild(ChildID)
    case rekeyChild(ChildID)
    case rekeyIKE
    /// Delete the IKE SA with everything on it.
    case delete
    /// The same without a word to the peer, which has forgotten it.
    case abandon
    /// Another session does what it did: it ends soon, when no packet of it is on its way any more.
    case retire
    /// The child of another session's, whose request ID stays, so that its traffic passes over (IKEv2).
    case succeedChild(name: String, requestID: UInt32)
    /// Our own address is another from now on (RFC 4555).
    case move(IPAddress)
    /// This gateway sent us to where the session goes (RFC 5685 §3); before anything else.
    case cameFrom(IPAddress)
    /// Tell the peer to go to another gateway (RFC 5685 §5).
    case redirect(RedirectGateway)
    /// Make another IKE SA of this one, without children (RFC 7791). The tag comes back with ``SessionEffect/begin`` or
    /// ``SessionEffect/notCloned``.
    case clone(tag: UInt64)
}

package enum SessionInput: Sendable {
    case datagram(Datagram)
    case timer(SessionTimer)
    case answer(QuestionID, Answer)
    case command(SessionCommand)
    /// Protected traffic of this child arrived lately: a sign of life (RFC 7296 §2.4, RFC 3706 §5.5).
    case inboundTraffic(ChildID, at: Instant)
    /// The child's SA has nearly used up its numbers, octets or packets and must be replaced.
    case childExhausted(ChildID)
    /// One of the child's SAs has carried all that it may: it carries nothing more and must end.
    case childExpired(ChildID)
    /// These children of an older session between the same two identities are this one's from now on (IKEv1, whose
    /// IPsec SAs outlive the ISAKMP SA that made them).
    case adopt([ChildSnapshot])
    /// Another session has taken all children over; what runs on is the IKE SA alone.
    case disown
    /// The peer deleted the SA with this outbound SPI on another session between the same two identities.
    case peerDeleted(SPI)
}

package enum SessionEffect: Sendable {
    case send(Datagram)
    case setTimer(SessionTimer, at: Instant)
    case cancelTimer(SessionTimer)
    case ask(QuestionID, Question)
    /// From now on messages with this SPI (or cookie) of ours belong to the session.
    case claim(spi: UInt64)
    case release(spi: UInt64)
    /// In the order given, and before any `send` that follows: a peer may use an SA as soon as it hears of it.
    indirect case install(SecurityAssociation)
    /// The peer is offered this inbound SPI, and may send on it before its answer has been worked on.
    case expect(SPI)
    case remove(SPI, SecurityAssociation.Direction, ChildID)
    case move(ChildID, local: Endpoint, remote: Endpoint)
    /// A virtual address is ours from now on, before any SA that uses it is installed; or is so no more.
    case addAddress(IPAddress)
    case removeAddress(IPAddress)
    indirect case report(SessionEvent)
    /// An IKE SA has these keys from now on. Only where ``EngineSettings/disclosesKeys`` asks for it.
    indirect case disclose(DisclosedKeys)
    /// The IKE SA ages: a successor is wanted, which adopts the children (IKEv1).
    case renew
    /// The peer sends us on to another gateway: what the session did is to be done there (RFC 5685).
    case redirect(to: IPAddress)
    /// The peer deleted an SA with this outbound SPI that this session does not have; a sibling may.
    case peerDeleted(SPI)
    /// Another session begins, established from the start: a clone of this one's IKE SA (RFC 7791), with what it wants done
    /// first. `tag` names the command that asked for it; `nil` where the peer did.
    indirect case begin(any KeyExchangeSession, id: SessionID, tag: UInt64?, effects: [SessionEffect])
    /// The clone that was asked for under this tag does not come.
    indirect case notCloned(tag: UInt64, Refusal)
    /// The session is over and holds nothing any more. Always the last effect.
    case closed(ClosureReason)
}

/// Why a session ended.
package enum ClosureReason: Hashable, Sendable {
    /// Asked for here.
    case deletedByUs
    case deletedByPeer
    /// Requests went unanswered through the whole retransmission schedule.
    case peerUnresponsive
    case refused(Refusal)
    case expired
    case replaced
}

/// Why something was not agreed, as data, for logs, events and explanations.
package enum Refusal: Hashable, Sendable {
    /// No connection fits these addresses in this version.
    case noConnection(local: IPAddress, remote: IPAddress)
    case noProposal(SecurityProtocol, Mismatch)
    /// The peer's and our selectors have nothing in common; `local` and `remote` as seen from here.
    case selectors(
        offeredLocal: [TrafficSelector], offeredRemote: [TrafficSelector], configuredLocal: [TrafficSelector],
        configuredRemote: [TrafficSelector])
    /// The peer's identity is not the one that was wanted.
    case identity(wanted: [IdentityPattern], seen: Identity)
    /// A key is known for the peer, and its proof does not hold: most likely the pre-shared keys differ.
    case authentication(peer: Identity)
    /// The peer proves itself by other methods than the connection wants, before anybody looks at the proof: values of `auth`, those
    /// that would do and those that came. In version 1 `peer` is its address, since the method comes before the identity.
    case method(peer: Identity, wanted: [String], seen: [String])
    case noCredential(local: Identity, remote: Identity)
    /// The peer's user did not prove who it is by its password; `nil` where it named nobody.
    case userAuthentication(user: Identity?)
    /// The peer's user proved who it is, and is in none of the groups that the connection is for.
    case groups(user: Identity, wanted: [String], has: [String])
    /// The peer does not accept our user's name and password.
    case userRefused(user: Identity?)
    /// The peer's certificate is none to rely on.
    case certificate(ChainReport)
    /// The ends do not agree on how often each of them proves itself.
    case rounds(RoundFault)
    /// The peer refused with this notify number; `name` is its registered name.
    case peer(notification: UInt16, name: String)
    /// The same in version 1 before phase 1 is over, in a message that only who has the same pre-shared key can make.
    case peerWithKey(notification: UInt16, name: String)
    /// The peer broke the protocol; the rule that it broke.
    case protocolViolation(String)
    case timeout
    /// Our own limit or policy, in words.
    case policy(String)
}

/// One message as it crossed the wire, opened: for traces and explanations. Made only where
/// ``EngineSettings/traceMessages`` asks for it.
package struct MessageTrace: Hashable, Sendable {
    package struct Part: Hashable, Sendable {
        /// The payload's type number.
        package var type: UInt8
        package var body: [UInt8]
        /// Whether it travelled encrypted.
        package var isProtected: Bool

        package init(type: UInt8, body: [UInt8], isProtected: Bool) {
            self.type = type
            self.body = body
            self.isProtected = isProtected
        }
    }
    package var isOutgoing: Bool
    package var local: Endpoint
    package var remote: Endpoint
    /// The 28 octets of the header.
    package var header: [UInt8]
    package var parts: [Part]
    package var isRetransmission: Bool

    package init(
        isOutgoing: Bool, local: Endpoint, remote: Endpoint, header: [UInt8], parts: [Part],
        isRetransmission: Bool = false
    ) {
        self.isOutgoing = isOutgoing
        self.local = local
        self.remote = remote
        self.header = header
        self.parts = parts
        self.isRetransmission = isRetransmission
    }
}

/// What a session says about itself; never a secret.
package enum SessionEvent: Hashable, Sendable {
    case message(MessageTrace)
    case established
    /// The authenticated peer says that it has no other SA with us (RFC 2407 §4.6.3.3, RFC 7296 §2.4); reported after
    /// `established`.
    case initialContact
    case rekeyedIKE
    /// Virtual addresses in use now: those that the peer gave us, with its name servers, and those that we gave it.
    case configured(local: [IPAddress], remote: [IPAddress], names: NameService = NameService())
    case childEstablished(ChildID)
    case childRekeyed(old: ChildID, new: ChildID)
    case childClosed(ChildID)
    /// IP packets of this size reach the peer, and larger ones seem not to.
    case pathMeasured(octets: Int)
    /// A child, or the whole SA, was refused; `child` names the configuration where one was meant.
    case refused(child: String?, Refusal)
    /// A request goes out again, the `attempt`-th time.
    case retransmitting(messageID: UInt32, attempt: Int)
    case noticed(SessionNotice)
    /// An authenticated notification that changes nothing, or a message that was dropped; in words.
    case note(String)
}

/// What hinders no session and may yet tell an operator something.
package enum SessionNotice: Hashable, Sendable {
    /// The peer sent a request again that we have answered.
    case repeatedRequest(messageID: UInt32)
    /// The answer to a request came after so many retransmissions.
    case answeredLate(messageID: UInt32, retransmissions: Int)
    /// The child has a part of the selectors that were offered (RFC 7296 §2.9).
    case selectorsNarrowed(ChildID)
    /// A child was refused, and the IKE SA stands without it (RFC 7296 §1.2).
    case keptWithoutChild
    /// The peer has another IKE SA, which stays, so that this one ends (`unique = keep`).
    case olderKept
    /// The peer has another IKE SA, which ends (`unique = replace`).
    case olderReplaced(SessionID)
}

/// The values of `strongswan.conf` that shape every session.
package struct EngineSettings: Hashable, Sendable {
    /// Our own UDP ports: without and with the non-ESP marker.
    package var port: UInt16 = 500
    package var natPort: UInt16 = 4500
    /// Retransmission n goes out `retransmitTimeout * retransmitBase^n` after the one before it.
    package var retransmitTimeout: Duration = .seconds(4)
    /// No delay is longer, where there is a limit.
    package var retransmitLimit: Duration?
    package var retransmitBase: Double = 1.8
    package var retransmitTries: Int = 5
    package var keepaliveInterval: Duration = .seconds(20)
    package var halfOpenTimeout: Duration = .seconds(30)
    /// The data plane can carry ESP only inside UDP: claim a NAT in every negotiation.
    package var forceEncapsulation = false
    /// ESP goes inside UDP better than bare: claim a NAT where the connection does not ask for the contrary.
    package var preferEncapsulation = false
    package var traceMessages = false
    /// Threads of the data plane that seal packets: pairs of SAs of a child that has one for each (RFC 9611).
    package var packetWorkers = 1
    /// Children with the same selectors that there may be, for whichever end they are (RFC 9611); no more than the session's own
    /// limit.
    package var mostQueues = 32
    /// Learn by probing how large packets may be (RFC 8899); version 2.
    package var probesPaths = false
    /// After this a path is measured anew (RFC 8899 §5.1.1: PMTU_RAISE_TIMER, whose default this is).
    package var probingInterval = Duration.seconds(600)
    /// Hand out the keys of every IKE SA, for a protocol analyser. Who has them reads and forges everything.
    package var disclosesKeys = false
    /// Several rounds of authentication are announced and taken (RFC 4739).
    package var takesFurtherRounds = true
    /// Requests of a peer that we take at once (RFC 7296 §2.3); 1 announces nothing.
    package var window: UInt32 = 1
    /// Octets of the IP packets that long messages of IKEv2 are cut to fit (RFC 7383), by family.
    package var fragmentOctetsV4 = 1280
    package var fragmentOctetsV6 = 1280
    /// Half-open SAs, of all sources and of one, from which on an IKEv2 initiator must show that it can be reached; and
    /// those of one source beyond which a first message of version 1 is dropped.
    package var cookieThreshold = 30
    package var cookieThresholdPerSource = 3
    package var blockThreshold = 5
    /// Half-open SAs from which on an IKEv2 initiator must show work, and of how many bits (RFC 8019).
    package var puzzleThreshold = 1000
    package var puzzleDifficulty: UInt8 = 16
    /// Half-open SAs, and SAs in all, from which on no peer begins another; 0 without limit.
    package var halfOpenLimit = 0
    package var sessionLimit = 0
    /// Peers begin nothing.
    package var initiatesOnly = false
    /// Octets of an IKE message beyond which it is dropped unread.
    package var messageOctets = 65_535
    /// Let gateways send us on to others (RFC 5685).
    package var followsRedirects = true

    package func fragmentOctets(_ family: IPAddress.Family) -> Int {
        family == .v4 ? fragmentOctetsV4 : fragmentOctetsV6
    }

    package init() {}

    /// Whether to claim a NAT, so that both ends put ESP inside UDP (RFC 7296 §2.23, RFC 3947 §3.2).
    package func claimsNAT(_ connection: Connection?) -> Bool {
        if forceEncapsulation || connection?.forceEncapsulation == true { return true }
        return preferEncapsulation && connection?.avoidsEncapsulation != true
    }

    /// How long a request is sent again before its peer is given up.
    package var retransmissionSchedule: Duration {
        (0...max(0, min(retransmitTries, 100))).reduce(.zero) { $0 + retransmitDelay(attempt: $1) }
    }

    /// How long to wait after sending for the `attempt`-th time (0 for the first).
    package func retransmitDelay(attempt: Int) -> Duration {
        var delay = retransmitTimeout
        for _ in 0..<min(attempt, 60) { delay = delay * retransmitBase }
        return min(delay, retransmitLimit ?? delay)
    }
}

/// What a session is handed at every input: the time, chance, the policies, and names that must be unique on the node.
package struct SessionEnvironment: Sendable {
    package var now: Instant
    package var randomness: Randomness
    package var policies: PolicyDatabase
    package var settings: EngineSettings
    /// Inbound SPIs in use on this node; ``freshSPI()`` adds to it and the owner removes.
    package var spisInUse: Set<SPI> = []
    /// How many established SAs each connection has: a session that finds none for its own says INITIAL_CONTACT.
    package var establishedConnections: [String: Int] = [:]
    /// What IKEv1's New Group Mode has agreed on.
    package var agreedGroups = AgreedGroups()
    /// Virtual addresses of peers. Sessions take; the owner gives back what a session held when that is closed.
    package var leases = AddressLeases()
    package var redirects = RedirectHistory()
    /// Tickets of session resumption.
    package var tickets = SessionTickets()
    /// A secret that outlives a restart of this node; `nil`: nothing does.
    package var standingSecret: Secret?
    /// How many clones each IKE SA has.
    package var clones = CloneBook()
    /// Which session has or gave which.
    package var virtualAddresses = VirtualAddressBook()
    /// The SPI or cookie that the next ``freshIKESPI()`` gives: one that was promised before the session was there.
    package var nextIKESPI: UInt64?
    private var lastName: UInt32 = 0
    private var lastQuestion: UInt64 = 0
    private var lastRequestID: UInt32 = 0

    package init(
        now: Instant, randomness: Randomness, policies: PolicyDatabase = PolicyDatabase(),
        settings: EngineSettings = EngineSettings()
    ) {
        self.now = now
        self.randomness = randomness
        self.policies = policies
        self.settings = settings
    }

    /// An inbound ESP SPI that nobody on this node uses, above the reserved range.
    package mutating func freshSPI() -> SPI {
        while true {
            let spi = SPI(randomness.uint32())
            if spi.value > 255, spisInUse.insert(spi).inserted { return spi }
        }
    }

    /// A non-zero IKE SPI or cookie.
    package mutating func freshIKESPI() -> UInt64 {
        if let promised = nextIKESPI {
            nextIKESPI = nil
            return promised
        }
        while true {
            let spi = randomness.uint64()
            if spi != 0 { return spi }
        }
    }

    package mutating func freshChildID() -> ChildID {
        lastName += 1
        return ChildID(lastName)
    }

    package mutating func freshSessionID() -> SessionID {
        lastName += 1
        return SessionID(lastName)
    }

    package mutating func freshQuestionID() -> QuestionID {
        lastQuestion += 1
        return QuestionID(lastQuestion)
    }

    package mutating func freshRequestID() -> UInt32 {
        lastRequestID += 1
        return lastRequestID
    }
}

/// One peer relationship: an IKE SA, its successors after rekeying, and the children on it. IKEv1 and IKEv2 conform; key
/// management drives either without knowing which.
///
/// A conforming type is a value. ``handle(_:_:)`` leaves it unchanged where the input is refused.
package protocol KeyExchangeSession: Sendable {
    /// Starts as initiator; nothing is sent before the first `.command(.createChild)`.
    init(
        initiator id: SessionID, connection: Connection, local: Endpoint, remote: Endpoint,
        _ environment: inout SessionEnvironment)
    /// Starts as responder, with nothing known; the first datagram follows as an input. Where that datagram is refused
    /// the session answers as the RFC allows and closes in the same call.
    init(responder id: SessionID, local: Endpoint, remote: Endpoint, _ environment: inout SessionEnvironment)

    mutating func handle(_ input: SessionInput, _ environment: inout SessionEnvironment) -> [SessionEffect]

    var snapshot: SessionSnapshot { get }

    /// The keys of the IKE SAs that live on this session; none unless ``EngineSettings/disclosesKeys`` asks for them.
    func disclosedKeys(_ settings: EngineSettings) -> [DisclosedKeys]
}
