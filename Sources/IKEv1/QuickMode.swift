import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives

/// Phase 2 under way: the negotiation of IPsec SAs, one pair for each SA payload.
struct QuickMode: Sendable {
    var exchange: Exchange
    let policy: ChildPolicy
    let requestID: UInt32
    /// In the order of the SA payloads; at least one.
    var pairs: [Pair]
    var chain: CipherChain
    var localSelector: TrafficSelector
    var remoteSelector: TrafficSelector
    /// What the SA lets through, where that is less than the selectors that are said.
    var narrowed: NarrowedSelectors?
    var keyPair: KeyPair?
    var ownNonce: [UInt8] = []
    var peerNonce: [UInt8] = []
    /// The peer set the Commit bit: it says when its SAs are in place (RFC 2408 §3.1).
    var awaitsConnected = false
    /// Our own CONNECTED, to say it again when message 3 is repeated.
    var connected: [UInt8]?
    var attempts = 0

    /// What one SA payload negotiates.
    struct Pair: Sendable {
        let child: ChildID
        let inboundSPI: SPI
        var outboundSPI: SPI?
        var replaces: ChildID?
        /// The outbound SA that the peer may not know yet: a responder's waits for message 3, an initiator's that
        /// replaces another for the peer to have heard message 3.
        var outbound: SecurityAssociation?
        var suite: Suite?
        var securityProtocol = SecurityProtocol.esp
        /// The peer's SPI of AH around this SA; ours is the same as ESP's.
        var headerSPI: SPI?
        /// What the two ends agreed on.
        var life = PhaseTwoLife()
    }

    /// SA payloads in one exchange.
    static let maximumPairs = 8

    var messageID: UInt32 { exchange.messageID }
    var localSelectors: [TrafficSelector] { narrowed?.local ?? [localSelector] }
    var remoteSelectors: [TrafficSelector] { narrowed?.remote ?? [remoteSelector] }
    /// Whether no SA is installed for it yet.
    var isPending: Bool { pairs.allSatisfy { $0.suite == nil } }
    var holdsOutbound: Bool { pairs.contains { $0.outbound != nil } }
    /// Only kept to answer repetitions.
    var isOver: Bool { exchange.isFinished && !holdsOutbound }
}

extension IKEv1Session {
    func connectionPolicy(_ name: String) -> ChildPolicy? { connection?.child(name) }

    /// The identifications as the exchange orders them: the initiator's side first.
    private func identifications(_ quickMode: QuickMode) -> [Payload] {
        let ours = Payload(.identification, body: Identification.body(quickMode.localSelector))
        let theirs = Payload(.identification, body: Identification.body(quickMode.remoteSelector))
        return quickMode.exchange.role == .initiator ? [ours, theirs] : [theirs, ours]
    }

    private func encapsulation(_ policy: ChildPolicy) -> PhaseTwoProposal.Encapsulation {
        PhaseTwoProposal.Encapsulation(
            policy.mode, inUDP: nat.isEncapsulating, isDraft: nat.dialect?.isDraft == true)
    }

    /// What a child can offer or accept here: AH does not pass a NAT (RFC 3715 §2.1), nor does it go inside UDP.
    func usable(_ proposals: [Proposal]) -> [Proposal] {
        nat.isEncapsulating ? proposals.filter { $0.securityProtocol != .ah } : proposals
    }

    /// Why a child cannot be negotiated here whatever its proposals are.
    func obstacle(to policy: ChildPolicy) -> Refusal? {
        guard policy.isBundle, nat.isEncapsulating else { return nil }
        return .policy("AH around ESP does not go through the NAT between the two ends (RFC 3715 §2.1)")
    }

    /// HASH payload, then what it covers.
    private func authenticated(
        _ payloads: [Payload], prefix: [[UInt8]], keys: PhaseOneKeys
    ) throws(Fault) -> [Payload] {
        var rest: [UInt8] = []
        PayloadChain.write(payloads, to: &rest)
        return [Payload(.hash, body: try keys.authenticator(prefix + [rest]))] + payloads
    }

    // MARK: Message 1

    /// HDR*, HASH(1), SA, Ni [, KE], IDci, IDcr.
    mutating func startQuickMode(_ wanted: WantedChild, _ context: inout Context) throws(Fault) {
        guard let phaseOne, let policy = connectionPolicy(wanted.name),
            !quickModes.contains(where: {
                $0.policy.name == wanted.name && $0.exchange.role == .initiator && $0.isPending
            })
        else { return }
        guard isReadyForPhaseTwo else {
            if !self.wanted.contains(wanted) { self.wanted.append(wanted) }
            return
        }
        makeRoom()
        guard hasRoom,
            children.count + policy.parallelPairs <= IKEv1Session.maximumChildren
        else {
            context.report(.refused(child: wanted.name, .policy("too many IPsec SAs on one ISAKMP SA")))
            return
        }
        guard let sides = selectors(of: policy) else {
            context.report(
                .refused(child: policy.name, .policy("the peer's split tunnel leaves nothing of 'remote_ts'")))
            return
        }
        if let obstacle = obstacle(to: policy) {
            context.report(.refused(child: policy.name, obstacle))
            return
        }
        // One KE payload serves all proposals: the group of the first that has one.
        let group = policy.proposals.first?.keyExchange.first { $0 != .none }
        if let group, try !mayUse(group, for: wanted, &context) { return }
        let proposals = PhaseTwoProposal.expressible(usable(policy.proposals), group: group)
        let messageID = freshMessageID(&context)
        let pairs = (0..<policy.parallelPairs).map { lane in
            QuickMode.Pair(
                child: context.environment.freshChildID(), inboundSPI: context.offerSPI(),
                replaces: wanted.replaces.flatMap { child(inLaneOf: $0, lane) })
        }
        var quickMode = QuickMode(
            exchange: Exchange(Exchanges.quickMode, role: .initiator, messageID: messageID), policy: policy,
            requestID: requestID(for: policy, &context), pairs: pairs,
            chain: CipherChain(iv: try phaseOne.keys.firstIV(lastBlock: phaseOne.lastBlock, messageID: messageID)),
            localSelector: sides.local, remoteSelector: sides.remote, narrowed: sides.narrowed)
        quickMode.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        let situation = IPsecDOI.octets(situation)
        let offers = pairs.map { pair in
            var offer = PhaseTwoProposal.payload(
                proposals, isBundle: policy.isBundle, spi: pair.inboundSPI.value.octets,
                encapsulation: encapsulation(policy),
                life: PhaseTwoLife(policy))
            offer.situation = situation
            return offer
        }
        guard offers[0].proposals.isEmpty == false else {
            for pair in pairs { context.giveBack(pair.inboundSPI) }
            context.report(
                .refused(
                    child: policy.name, .policy("none of the child's proposals can be expressed in IKEv1")))
            return
        }
        var payloads = offers.map { Payload(.securityAssociation, body: $0.body) }
        payloads.append(Payload(.nonce, body: quickMode.ownNonce))
        if let group {
            let pair = try makeKeyPair(group, &context)
            quickMode.keyPair = pair
            payloads.append(Payload(.keyExchange, body: pair.publicValue))
        }
        payloads += identifications(quickMode) + originalAddresses(policy)
        try sendQuickMode(payloads, prefix: [messageID.octets], &quickMode, phaseOne.keys, &context)
        quickModes.append(quickMode)
    }

    /// A message ID for an exchange of ours: no other that runs has it.
    func freshMessageID(_ context: inout Context) -> UInt32 {
        var messageID: UInt32 = 0
        while messageID == 0 || messageID == DeadPeerDetection.timerID || isInUse(messageID: messageID) {
            messageID = context.environment.randomness.uint32()
        }
        return messageID
    }

    /// Children of one policy share a request, so that a newer SA takes the traffic over.
    private func requestID(for policy: ChildPolicy, _ context: inout Context) -> UInt32 {
        if policy.requestID != 0 { return policy.requestID }
        return children.first { $0.name == policy.name }?.requestID ?? context.environment.freshRequestID()
    }

    private func sendQuickMode(
        _ payloads: [Payload], prefix: [[UInt8]], _ quickMode: inout QuickMode, _ keys: PhaseOneKeys,
        _ context: inout Context
    ) throws(Fault) {
        let all = try authenticated(payloads, prefix: prefix, keys: keys)
        let octets = try quickMode.chain.seal(
            all, header: header(.quickMode, messageID: quickMode.messageID), keys: keys)
        quickMode.exchange.send(octets)
        quickMode.attempts = 0
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        trace(datagram, all, isProtected: true, isOutgoing: true, &context)
        context.emit(.send(datagram))
        let timer = SessionTimer.retransmit(spi: ownCookie, messageID: quickMode.messageID)
        if quickMode.exchange.isFinished {
            context.cancel(timer)
        } else {
            context.set(timer, after: context.settings.retransmitDelay(attempt: 0))
        }
    }

    mutating func retransmitQuickMode(_ messageID: UInt32, _ context: inout Context) {
        guard let index = quickModes.firstIndex(where: { $0.messageID == messageID }) else { return }
        if quickModes[index].exchange.isFinished, quickModes[index].awaitsConnected {
            awaitConnected(index, &context)
            return
        }
        releaseOutbound(where: { $0.messageID == messageID }, &context)
        guard !quickModes[index].exchange.isFinished, let sent = quickModes[index].exchange.sent else { return }
        quickModes[index].attempts += 1
        let attempts = quickModes[index].attempts
        guard attempts <= context.settings.retransmitTries else {
            if quickModes[index].exchange.role == .responder {
                // Nothing was agreed. Whether the peer lives is for dead peer detection to say. One that lives may have
                // installed its half.
                let quickMode = quickModes.remove(at: index)
                if let phaseOne {
                    for pair in quickMode.pairs {
                        for each in IKEv1Session.protocols(pair.securityProtocol, pair.suite) {
                            sayDeleted([pair.inboundSPI], each, phaseOne, &context)
                        }
                    }
                }
                abandon(quickMode, &context)
                context.note("a Quick Mode of the peer's was never confirmed")
            } else {
                // A peer that answers nothing through the whole schedule is gone.
                close(.peerUnresponsive, &context)
            }
            return
        }
        context.report(.retransmitting(messageID: messageID, attempt: attempts))
        context.emit(.send(Datagram(local: local, remote: remote, octets: sent)))
        context.set(
            .retransmit(spi: ownCookie, messageID: messageID),
            after: context.settings.retransmitDelay(attempt: attempts))
    }

    // MARK: Receiving

    mutating func receiveQuickMode(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard let phaseOne, header.initiator.value == initiatorCookie, header.responder.value == responderCookie,
            header.flags.contains(.encryption)
        else { throw .dropped("Quick Mode needs the ISAKMP SA of its cookies") }
        guard let index = quickModes.firstIndex(where: { $0.messageID == header.messageID }) else {
            try receiveFirst(datagram, header, phaseOne, &context)
            return
        }
        var quickMode = quickModes[index]
        if quickMode.exchange.isRepetition(datagram.octets) {
            guard let answer = quickMode.exchange.answerToRepetition ?? quickMode.connected else { return }
            context.report(.noticed(.repeatedRequest(messageID: header.messageID)))
            context.emit(.send(Datagram(local: local, remote: remote, octets: answer)))
            return
        }
        guard quickMode.exchange.awaited != nil else { throw .dropped("this Quick Mode awaits nothing") }
        let opened = try quickMode.chain.open(datagram.octets, header: header, keys: phaseOne.keys)
        try check(opened.payloads, of: quickMode.exchange, isEncrypted: true)
        let hash = opened.payloads[0].body
        if quickMode.exchange.role == .initiator {
            let expected = try phaseOne.keys.authenticator(
                [header.messageID.octets, quickMode.ownNonce, opened.restOfFirst])
            guard ConstantTime.equal(hash, expected) else { throw .dropped("HASH(2) does not hold") }
        } else {
            let expected = try phaseOne.keys.authenticator(
                [[0], header.messageID.octets, quickMode.peerNonce, quickMode.ownNonce])
            guard ConstantTime.equal(hash, expected) else { throw .dropped("HASH(3) does not hold") }
        }
        follow(datagram, &context)
        trace(datagram, opened.payloads, isProtected: true, &context)
        quickMode.exchange.accept(datagram.octets)
        context.noteAnswered(header.messageID, attempts: quickMode.attempts)
        if header.flags.contains(.commit) { quickMode.awaitsConnected = true }
        if quickMode.exchange.role == .initiator {
            do throws(Fault) {
                try conclude(&quickMode, opened.payloads, phaseOne, &context)
                quickModes[index] = quickMode
            } catch {
                guard case .refused(let refusal, let notification) = error else { throw error }
                quickModes.remove(at: index)
                refuse(quickMode, refusal, notification, phaseOne, &context)
            }
        } else {
            quickMode.attempts = 0
            let timer = SessionTimer.retransmit(spi: ownCookie, messageID: quickMode.messageID)
            if quickMode.awaitsConnected {
                context.set(timer, after: context.settings.retransmitDelay(attempt: 0))
            } else {
                for pair in quickMode.pairs.indices {
                    if let outbound = quickMode.pairs[pair].outbound { context.emit(.install(outbound)) }
                    quickMode.pairs[pair].outbound = nil
                }
                context.cancel(timer)
            }
            if connection?.asksCommit == true { try sayConnected(&quickMode, phaseOne, &context) }
            quickModes[index] = quickMode
            finish(quickMode, &context)
        }
    }

    /// Message 2 at the initiator: install all SAs, then message 3.
    private mutating func conclude(
        _ quickMode: inout QuickMode, _ payloads: [Payload], _ phaseOne: PhaseOne, _ context: inout Context
    ) throws(Fault) {
        let choices = payloads.filter { $0.type == .securityAssociation }
        guard choices.count == quickMode.pairs.count else {
            throw .refused(
                .protocolViolation("the responder answers \(quickMode.pairs.count) SAs with \(choices.count)"),
                notification: NotificationType.noProposalChosen)
        }
        let sides = try selectors(payloads, role: .initiator)
        guard sides.local.map({ $0 == quickMode.localSelector }) ?? true,
            sides.remote.map({ $0 == quickMode.remoteSelector }) ?? true
        else {
            throw .refused(
                .protocolViolation("the responder changed the identities of the SA"),
                notification: NotificationType.invalidIDInformation)
        }
        try takeNonceAndKey(payloads, &quickMode)
        let shared = try sharedSecret(quickMode, payloads)
        var suites: [Suite] = []
        for (index, choice) in choices.enumerated() {
            suites.append(try takeChoice(choice, of: index, &quickMode))
        }
        guard Set(quickMode.pairs.compactMap(\.outboundSPI)).count == quickMode.pairs.count else {
            throw .refused(
                .protocolViolation("the responder gives two SAs one SPI"),
                notification: NotificationType.noProposalChosen)
        }
        noteNotifications(payloads, &quickMode, &context)
        let isHeld = quickMode.awaitsConnected || children.contains { $0.name == quickMode.policy.name }
        for (index, suite) in suites.enumerated() {
            let pair = try associations(&quickMode, index, suite, shared, phaseOne, &context)
            context.emit(.install(pair.inbound))
            if isHeld { quickMode.pairs[index].outbound = pair.outbound } else { context.emit(.install(pair.outbound)) }
        }
        let hash = try phaseOne.keys.authenticator(
            [[0], quickMode.messageID.octets, quickMode.ownNonce, quickMode.peerNonce])
        let payload = Payload(.hash, body: hash)
        let octets = try quickMode.chain.seal(
            [payload], header: header(.quickMode, messageID: quickMode.messageID), keys: phaseOne.keys)
        quickMode.exchange.send(octets)
        quickMode.attempts = 0
        let datagram = Datagram(local: local, remote: remote, octets: octets)
        trace(datagram, [payload], isProtected: true, isOutgoing: true, &context)
        context.emit(.send(datagram))
        let timer = SessionTimer.retransmit(spi: ownCookie, messageID: quickMode.messageID)
        if quickMode.awaitsConnected {
            context.set(timer, after: context.settings.retransmitDelay(attempt: 0))
        } else if isHeld {
            context.set(timer, after: IKEv1Session.outboundHold)
        } else {
            context.cancel(timer)
        }
        finish(quickMode, &context)
    }

    /// How long an initiator goes on sending under the old SA: some peers, strongSwan among them, install a new one only
    /// when they have heard message 3, which nothing acknowledges.
    static let outboundHold = Duration.seconds(1)

    /// Puts the outbound SAs to work that are held back.
    mutating func releaseOutbound(where isMeant: (QuickMode) -> Bool, _ context: inout Context) {
        for index in quickModes.indices
        where quickModes[index].exchange.isFinished && quickModes[index].holdsOutbound && isMeant(quickModes[index]) {
            for pair in quickModes[index].pairs.indices {
                guard var outbound = quickModes[index].pairs[pair].outbound else { continue }
                // The peer may have moved meanwhile.
                outbound.local = local
                outbound.remote = remote
                quickModes[index].pairs[pair].outbound = nil
                context.emit(.install(outbound))
            }
            quickModes[index].awaitsConnected = false
            context.cancel(.retransmit(spi: ownCookie, messageID: quickModes[index].messageID))
        }
    }

    /// The child is gone before its outbound SA was put to work.
    mutating func forgetOutbound(of child: ChildID, _ context: inout Context) {
        for index in quickModes.indices {
            for pair in quickModes[index].pairs.indices
            where quickModes[index].pairs[pair].child == child && quickModes[index].pairs[pair].outbound != nil {
                quickModes[index].pairs[pair].outbound = nil
                if !quickModes[index].holdsOutbound {
                    context.cancel(.retransmit(spi: ownCookie, messageID: quickModes[index].messageID))
                }
            }
        }
    }

    private func takeNonceAndKey(_ payloads: [Payload], _ quickMode: inout QuickMode) throws(Fault) {
        guard let nonce = payloads.first(where: { $0.type == .nonce })?.body,
            Negotiation.nonceRange.contains(nonce.count)
        else { throw .dropped("a nonce has 8 to 256 octets") }
        quickMode.peerNonce = nonce
    }

    /// The two sides that the payloads name; `nil` where they name none: then the ends' own addresses are meant.
    func selectors(
        _ payloads: [Payload], role: Role
    ) throws(Fault) -> (local: TrafficSelector?, remote: TrafficSelector?) {
        let bodies = payloads.filter { $0.type == .identification }.map(\.body)
        guard bodies.count >= 2 else { return (nil, nil) }
        let (first, second) = try Attempt.parsing { () throws(ParseError) in
            (try Identification.selector(bodies[0]), try Identification.selector(bodies[1]))
        }
        return role == .initiator ? (first, second) : (second, first)
    }

    /// A Quick Mode comes to nothing; the peer is told.
    mutating func refuse(
        _ quickMode: QuickMode, _ refusal: Refusal, _ notification: UInt16?, _ phaseOne: PhaseOne,
        _ context: inout Context
    ) {
        abandon(quickMode, &context)
        if let notification {
            sendProtectedNotification(notification, keys: phaseOne.keys, lastBlock: phaseOne.lastBlock, &context)
        }
        context.report(.refused(child: quickMode.policy.name, refusal))
    }

    /// Gives back what an unfinished Quick Mode holds.
    func abandon(_ quickMode: QuickMode, _ context: inout Context) {
        context.cancel(.retransmit(spi: ownCookie, messageID: quickMode.messageID))
        for pair in quickMode.pairs {
            if pair.suite == nil {
                context.giveBack(pair.inboundSPI)
            } else if pair.outbound != nil, !quickMode.exchange.isFinished {
                context.emit(.remove(pair.inboundSPI, .inbound, pair.child))
            }
        }
    }

    /// Whether another Quick Mode may begin. Those that are over do not count: they only wait for repetitions.
    var hasRoom: Bool { quickModes.count { !$0.isOver } < IKEv1Session.maximumQuickModes }

    /// Of Quick Modes that are over, the oldest go first; what they took stays spent, so that no repetition begins another.
    mutating func makeRoom() {
        while quickModes.count >= IKEv1Session.maximumQuickModes, let index = quickModes.firstIndex(where: \.isOver) {
            quickModes.remove(at: index)
        }
    }

    mutating func forgetFinishedExchanges(_ context: inout Context) {
        if case .established(var phaseOne) = phase {
            phaseOne.finished = nil
            phase = .established(phaseOne)
        }
        quickModes.removeAll(where: \.isOver)
        groups.answered = nil
        forgetFinishedTransactions()
        // RFC 2409 §8: for perfect forward secrecy of identities, an ISAKMP SA protects one negotiation.
        if isInitiator, connection?.hasIdentityForwardSecrecy == true, phaseOne != nil, quickModes.isEmpty,
            groups.offered == nil, !children.isEmpty
        {
            abandonISAKMP(&context)
        }
    }
}
