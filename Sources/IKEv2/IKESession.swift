import Cryptography
package import IPsec
import ISAKMP
import Oakley
package import Primitives

/// One IKEv2 peer relationship (RFC 7296): the IKE SA, its successors, and the children on it. A value without input or
/// output of its own: datagrams, timers, answers and commands go in, effects come out.
package struct IKESession: Sendable {
    /// Children that one session may hold; a peer that wants more hears NO_ADDITIONAL_SAS (RFC 7296 §1.3).
    static let maximumChildren = 256
    /// Exchanges that may wait for the window.
    static let maximumPlanned = 256

    /// How far the negotiation has come: named for what it awaits.
    indirect enum Phase: Sendable {
        case awaitingCommand
        case awaitingFirstMessage
        case awaitingInitialResponse(InitialRequest)
        case awaitingResumption(ResumptionRequest)
        case awaitingIntermediateResponse(Initiation)
        /// The credential store mixes the post-quantum key in.
        case awaitingMixedKeys(Initiation, QuestionID)
        /// The credential store makes our proof for IKE_AUTH's request.
        case awaitingOwnProof(Initiation, QuestionID)
        case awaitingAuthenticationResponse(Initiation)
        /// The credential store judges the peer's proof, while our user may be authenticating.
        case awaitingPeerVerified(Initiation, QuestionID, MessageContent, ProvingUser?)
        case awaitingAuthenticationRequest(Acceptance)
        /// The credential store judges the post-quantum keys that the initiator offers in IKE_INTERMEDIATE.
        case awaitingIntermediateKey(Acceptance, QuestionID, PendingIntermediate)
        case awaitingInitiatorsMixedKeys(Acceptance, QuestionID, PendingAuthentication)
        case awaitingInitiatorVerified(Acceptance, QuestionID, PendingAuthentication)
        case awaitingResponderProof(Acceptance, QuestionID, PendingAuthentication, PeerAuthenticated)
        /// Our user authenticates over EAP, or the peer's does.
        case provingUser(ProvingUser)
        case checkingUser(CheckingUser)
        case established(PeerAuthenticated)
        case closed
    }

    var id: SessionID
    /// The session of the IKE SA that this one's is a clone of (RFC 7791), over several if need be; itself where it is none.
    var origin: SessionID
    let isInitiator: Bool
    var local: Endpoint
    var remote: Endpoint
    /// `nil` while a responder does not know whom it talks to.
    var connection: Connection?
    var phase: Phase
    /// The first is the one in use; others are candidates, replaced or deleted.
    var associations: [IKESA] = []
    var children: [Child] = []
    var probing = PathProbing()
    var planned: [PlannedExchange] = []
    /// Refused for a while by the peer: planned again when the timer fires.
    var postponed: [PlannedExchange] = []
    /// Exchanges of the peer whose further key exchanges are still to come.
    var followUps: [PendingFollowUp] = []
    var mobility = Mobility()
    var virtual = VirtualAddresses()
    var redirection = Redirection()
    /// The last ticket that we gave the peer.
    var issued: IssuedTicket?
    /// What a ticket that we hold says of the peer.
    var takesChildless = false
    /// A post-quantum pre-shared key is in the keys.
    var hasPostquantumKey = false
    /// Both ends can clone the IKE SA (RFC 7791).
    var takesClones = false
    var optimizedRekey = OptimizedRekey()
    /// Request IDs of an older session's children, for those that succeed them here, by name.
    var inheritedRequestIDs: [String: [UInt32]] = [:]
    /// Another session does what this one did.
    var isRetiring = false
    var isLocalBehindNAT = false
    var isRemoteBehindNAT = false
    /// ESP goes inside UDP: a NAT was seen, or one of the ends claims one.
    var isEncapsulating = false
    var localIdentity: Identity?
    var rounds = Rounds()
    /// Users that authenticated over EAP.
    var localUser: Identity?
    var remoteUser: Identity?
    /// What an authentication server allows it.
    var grant: UserGrant?
    var established: Instant?
    var rekeyAt: Instant?
    var reauthenticateAt: Instant?
    var expireAt: Instant?
    /// When the peer last gave a sign of life.
    var lastHeard: Instant

    /// The SA in use, or the half-open one.
    var current: IKESA? { associations.first }

    var isEstablished: Bool {
        if case .established = phase { return true }
        return false
    }

    var isClosed: Bool {
        if case .closed = phase { return true }
        return false
    }

    private mutating func process(_ input: SessionInput, _ context: inout Context) throws(Fault) {
        switch input {
        case .datagram(let datagram): try receive(datagram, &context)
        case .timer(let timer): try fire(timer, &context)
        case .answer(let question, let answer): try receive(answer, to: question, &context)
        case .command(let command): try perform(command, &context)
        case .inboundTraffic(let child, let instant):
            guard children.contains(where: { $0.id == child }) else { return }
            lastHeard = max(lastHeard, instant)
            // A peer that sends on a new child has our response, and takes what we send on it.
            releaseOutbound(of: child, &context)
        case .childExhausted(let child): plan(.rekeyChild(child))
        case .childExpired(let id):
            if let child = child(id), child.state != .lingering { plan(.deleteChild(id), first: true) }
        // Children stay with their session here: rekeying never needs another one.
        case .adopt, .disown, .peerDeleted: break
        }
        try pursuePlans(&context)
    }
}

extension IKESession: KeyExchangeSession {
    package init(
        initiator id: SessionID, connection: Connection, local: Endpoint, remote: Endpoint,
        _ environment: inout SessionEnvironment
    ) {
        self.id = id
        origin = id
        isInitiator = true
        self.connection = connection
        self.local = local
        self.remote = remote
        // A peer on another port than 500 listens for the non-ESP marker from the start, as charon has it.
        if remote.port != NATTraversal.plainPort { self.local.port = environment.settings.natPort }
        phase = .awaitingCommand
        lastHeard = environment.now
    }

    package init(
        responder id: SessionID, local: Endpoint, remote: Endpoint, _ environment: inout SessionEnvironment
    ) {
        self.id = id
        origin = id
        isInitiator = false
        self.local = local
        self.remote = remote
        phase = .awaitingFirstMessage
        lastHeard = environment.now
    }

    package mutating func handle(
        _ input: SessionInput, _ environment: inout SessionEnvironment
    ) -> [SessionEffect] {
        guard !isClosed else { return [] }
        var context = Context(taking: &environment)
        var next = self
        do throws(Fault) {
            try next.process(input, &context)
            self = next
        } catch {
            context.rollBack()
            context.note("dropped: \(error.summary)")
        }
        environment = context.environment
        return context.effects
    }
}

extension Fault {
    /// A line for a note: what was wrong, without what the peer sent.
    var summary: String {
        switch self {
        case .malformed(let error): error.description
        case .unauthentic: "the integrity check fails"
        case .violation(let rule), .unexpected(let rule), .temporary(let rule), .cryptography(let rule): rule
        case .unknownCriticalPayload(let type): "critical payload of unknown type \(type.rawValue)"
        case .noConnection: "no connection fits these addresses"
        case .noProposal: "no proposal matches"
        case .selectors: "the traffic selectors have nothing in common"
        case .identity: "no connection fits this identity"
        case .authentication: "the proof of identity does not hold"
        case .method(_, let wanted, let seen): "auth = \(wanted) is wanted, and \(seen) came"
        case .certificate: "the certificate is none to rely on"
        case .rounds(let fault): "authentication round \(fault.section): \(fault.kind.rawValue)"
        case .groups: "the user is in none of the connection's groups"
        case .noCredential: "no key is known for this pair of identities"
        case .otherGroup(let group): "key exchange \(group.name.keyword) is wanted"
        case .childNotFound(let spi): "no child with SPI \(spi)"
        case .tooManyQueues: "too many children with the same selectors"
        case .tooManyChildren: "too many children"
        case .notCloned(let why): why
        case .noVirtualAddress: "there is no virtual address"
        case .configurationRequired: "the peer asks for no virtual address"
        case .refusedByPeer(let error): "the peer answers \(error.type.name)"
        case .ticket(let why): "the ticket is not taken: \(why)"
        case .redirected(let gateway, _): "sent on to \(gateway)"
        case .stateNotFound: "the peer follows up on what is not here"
        }
    }
}
