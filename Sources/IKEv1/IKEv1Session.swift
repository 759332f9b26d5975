import Cryptography
package import IPsec
import ISAKMP
package import Primitives

/// One ISAKMP SA of IKEv1 (RFC 2409) and the IPsec SAs on it, as a value: datagrams, timers, answers and commands go in,
/// effects come out. A successor negotiated by another session adopts the IPsec SAs, which outlive the ISAKMP SA.
package struct IKEv1Session: Sendable {
    /// IPsec SAs, and Quick Modes at a time, that one session holds.
    static let maximumChildren = 256
    static let maximumQuickModes = 32
    /// Between two tries to have a successor.
    static let renewalPause = Duration.seconds(30)

    /// How far phase 1 has come.
    enum Phase: Sendable {
        case awaitingCommand
        case negotiating(Negotiation)
        case established(PhaseOne)
        /// The peer deleted the ISAKMP SA; the IPsec SAs live on.
        case bereft
        case closed
    }

    let id: SessionID
    let isInitiator: Bool
    var local: Endpoint
    var remote: Endpoint
    /// `nil` while a responder does not know whom it talks to.
    var connection: Connection?
    var phase: Phase = .awaitingCommand
    var initiatorCookie: UInt64 = 0
    var responderCookie: UInt64 = 0
    var suite: Suite?
    var localIdentity: Identity?
    var remoteIdentity: Identity?
    var children: [Child] = []
    var quickModes: [QuickMode] = []
    var transactions: [Transaction] = []
    var extended = ExtendedAuthentication()
    var configuration = ModeConfiguration()
    /// The peer said INITIAL-CONTACT in phase 1.
    var heardInitialContact = false
    /// Children to negotiate once phase 1 is done.
    var wanted: [WantedChild] = []
    var nat = NATState()
    var groups = PrivateGroupState()
    var fragmentation = FragmentationState()
    var established: Instant?
    var rekeyAt: Instant?
    var expireAt: Instant?
    /// A sibling has its children.
    var isSucceeded = false
    /// When the peer last gave a sign of life.
    var lastHeard: Instant
    var deadPeerDetection = DeadPeerDetection()

    /// A child to set up, maybe in the place of another.
    struct WantedChild: Hashable, Sendable {
        var name: String
        var replaces: ChildID?
    }

    var role: Role { isInitiator ? .initiator : .responder }
    var ownCookie: UInt64 { isInitiator ? initiatorCookie : responderCookie }

    var phaseOne: PhaseOne? {
        if case .established(let phaseOne) = phase { return phaseOne }
        return nil
    }

    /// The session is over.
    mutating func close(_ reason: ClosureReason, _ context: inout Context) {
        for quickMode in quickModes where !quickMode.exchange.isFinished || quickMode.isPending {
            abandon(quickMode, &context)
        }
        quickModes = []
        for child in children { take(child, away: nil, &context) }
        children = []
        transactions = []
        for address in configuration.addresses { context.emit(.removeAddress(address)) }
        configuration.addresses = []
        if ownCookie != 0 { context.emit(.release(spi: ownCookie)) }
        phase = .closed
        context.emit(.closed(reason))
    }

    private mutating func process(_ input: SessionInput, _ context: inout Context) throws(Fault) {
        switch input {
        case .datagram(let datagram): try receive(datagram, &context)
        case .timer(let timer): try fire(timer, &context)
        case .answer(let question, let answer):
            if try !receiveExtended(answer, to: question, &context) { try receive(answer, to: question, &context) }
        case .command(let command): try perform(command, &context)
        case .inboundTraffic(let child, let instant):
            if children.contains(where: { $0.id == child }) { lastHeard = max(lastHeard, instant) }
            // The peer uses the new SA, so it has heard of it.
            releaseOutbound(where: { $0.pairs.contains { $0.child == child } }, &context)
        case .childExhausted(let child): try rekey(child, &context)
        case .childExpired(let child): expireChild(child, &context)
        case .adopt(let snapshots): adopt(snapshots, &context)
        case .disown: disown(&context)
        case .peerDeleted(let spi): forgetChild(outbound: spi, &context)
        }
    }

    private mutating func perform(_ command: SessionCommand, _ context: inout Context) throws(Fault) {
        switch command {
        case .createChild(let name): try want(WantedChild(name: name), &context)
        case .establish: try begin(&context)
        case .deleteChild(let child): deleteChild(child, &context)
        case .rekeyChild(let child): try rekey(child, &context)
        case .rekeyIKE: renew(&context)
        case .delete:
            sayFarewell(&context)
            close(.deletedByUs, &context)
        case .abandon: close(.replaced, &context)
        // Version 2's alone.
        case .move, .retire, .succeedChild, .cameFrom, .redirect, .clone: break
        }
    }

    /// Asks for a successor that takes the children over.
    func renew(_ context: inout Context) {
        switch phase {
        case .established, .bereft:
            context.emit(.renew)
            // Where that comes to nothing it is wanted again; a successor that stands takes the timer away.
            context.set(.rekeyIKE, after: IKEv1Session.renewalPause)
        case .awaitingCommand, .negotiating, .closed: break
        }
    }

    private mutating func want(_ child: WantedChild, _ context: inout Context) throws(Fault) {
        switch phase {
        case .awaitingCommand:
            wanted.append(child)
            try begin(&context)
        case .negotiating:
            if !wanted.contains(child) { wanted.append(child) }
        case .established: try startQuickMode(child, &context)
        case .bereft:
            wanted.append(child)
            context.emit(.renew)
        case .closed: break
        }
    }

    private mutating func fire(_ timer: SessionTimer, _ context: inout Context) throws(Fault) {
        switch timer {
        case .retransmit(_, DeadPeerDetection.timerID): askForLife(&context)
        case .retransmit(_, 0): retransmitPhaseOne(&context)
        case .retransmit(_, let messageID):
            if transactions.contains(where: { $0.messageID == messageID }) {
                retransmitTransaction(messageID, &context)
            } else if try !retransmitNewGroup(messageID, &context) {
                retransmitQuickMode(messageID, &context)
            }
        case .halfOpen:
            if case .negotiating(let negotiation) = phase {
                close(.refused(negotiation.failure ?? .timeout), &context)
            } else if case .failed(let refusal) = extended.state {
                failPreparation(refusal, &context)
            } else if phase.isFresh, !isInitiator {
                // Fragments of a first message that never became whole.
                close(.refused(.timeout), &context)
            } else if !isReadyForPhaseTwo {
                failPreparation(.timeout, &context)
            }
        case .liveness: checkLiveness(&context)
        case .keepalive: sendKeepalive(&context)
        case .rekeyIKE: renew(&context)
        case .expireIKE: expire(&context)
        case .rekeyChild(let child): try rekey(child, &context)
        case .expireChild(let child): expireChild(child, &context)
        case .linger: forgetFinishedExchanges(&context)
        case .renewAddress: try renewAddress(&context)
        // Puzzles are version 2's.
        case .puzzle, .probePath, .releaseChild: break
        case .reauthenticate, .retry: break
        }
    }

    private mutating func expire(_ context: inout Context) {
        sayFarewell(&context)
        close(.expired, &context)
    }

    mutating func receive(_ datagram: Datagram, _ context: inout Context) throws(Fault) {
        var reader = ByteReader(datagram.octets)
        let header = try Attempt.parsing { () throws(ParseError) in try Header(from: &reader) }
        guard header.majorVersion == 1, Int(header.length) == datagram.octets.count else {
            throw .dropped("a version 1 message of the length that it says")
        }
        if header.nextPayload == .fragment, !header.flags.contains(.encryption) {
            try receiveFragment(datagram, header, &context)
            return
        }
        switch header.exchange {
        case .identityProtection where header.messageID == 0: try receiveMainMode(datagram, header, &context)
        case .base where header.messageID == 0: try receiveBase(datagram, header, &context)
        case .aggressive where header.messageID == 0: try receiveAggressive(datagram, header, &context)
        case .quickMode, .transaction, .newGroupMode:
            guard header.messageID != 0 else { throw .dropped("a phase 2 exchange has a message ID") }
            try receivePhaseTwo(datagram, header, &context)
        case .informational: try receiveInformational(datagram, header, &context)
        default:
            let isFirst = phase.isFresh
            guard isFirst else { throw .dropped("exchange \(header.exchange.rawValue) is not awaited") }
            // Nothing is known of the peer, and nothing is owed to it.
            let refusal = Refusal.policy("exchange \(header.exchange.rawValue) of IKEv1 is not spoken here")
            context.report(.refused(child: nil, refusal))
            close(.refused(refusal), &context)
        }
    }

    private mutating func receivePhaseTwo(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        if lacksMessageThree {
            askForMessageThree(datagram, header, &context)
            return
        }
        switch header.exchange {
        case .transaction: try receiveTransaction(datagram, header, &context)
        case .newGroupMode: try receiveNewGroup(datagram, header, &context)
        default: try receiveQuickMode(datagram, header, &context)
        }
    }
}

extension IKEv1Session.Phase {
    var isFresh: Bool {
        if case .awaitingCommand = self { return true }
        return false
    }

    var isClosed: Bool {
        if case .closed = self { return true }
        return false
    }
}

extension IKEv1Session: KeyExchangeSession {
    package init(
        initiator id: SessionID, connection: Connection, local: Endpoint, remote: Endpoint,
        _ environment: inout SessionEnvironment
    ) {
        self.id = id
        isInitiator = true
        self.connection = connection
        self.local = local
        self.remote = remote
        // A peer on another port than 500 listens for the non-ESP marker from the start, as charon has it.
        if remote.port != NATState.plainPort { self.local.port = environment.settings.natPort }
        lastHeard = environment.now
        localIdentity = connection.localIdentity ?? Identity(local.address)
    }

    package init(
        responder id: SessionID, local: Endpoint, remote: Endpoint, _ environment: inout SessionEnvironment
    ) {
        self.id = id
        isInitiator = false
        self.local = local
        self.remote = remote
        lastHeard = environment.now
    }

    package mutating func handle(
        _ input: SessionInput, _ environment: inout SessionEnvironment
    ) -> [SessionEffect] {
        guard !phase.isClosed else { return [] }
        var context = Context(taking: &environment)
        var next = self
        do throws(Fault) {
            try next.process(input, &context)
            self = next
        } catch {
            context.rollBack()
            switch error {
            case .dropped(let rule): context.note("dropped: \(rule)")
            case .refused(let refusal, _): context.note("refused: \(refusal)")
            }
            // Nobody else will end a responder that its first message did not begin.
            if phase.isFresh, !isInitiator, fragmentation.collection.isEmpty {
                close(.refused(.protocolViolation("its first message")), &context)
            }
        }
        environment = context.environment
        return fragmented(context.effects, environment.settings)
    }
}
