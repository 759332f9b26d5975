import Cryptography
import IPsec
import ISAKMP
import Oakley
import Primitives

/// What the initiator knows while it awaits the response to IKE_SA_INIT.
struct InitialRequest: Sendable {
    /// Cookies that are echoed before we take the peer for broken.
    static let maximumCookies = 4

    var spi: UInt64
    var nonce: [UInt8]
    var keyPair: KeyPair
    var triedGroups: [KeyExchangeID]
    var cookie: [UInt8] = []
    var cookiesSeen = 0
    /// A puzzle that came with the cookie (RFC 8019), and its solution.
    var search: PuzzleSearch?
    var solution: [UInt8] = []
    /// RealMessage1.
    var message: [UInt8] = []
}

/// What the initiator knows during IKE_AUTH.
struct Initiation: Sendable {
    var proofs: ProofKeys
    var initiatorNonce: [UInt8]
    var responderNonce: [UInt8]
    /// RealMessage1 and RealMessage2.
    var request: [UInt8]
    var response: [UInt8]
    var localIdentity: Identity
    /// What the responder says of signatures.
    var support: SignatureSupport
    /// Key exchanges that precede IKE_AUTH, and the one under way.
    var remaining: [KeyExchangeID] = []
    var keyPair: KeyPair?
    /// The responder takes post-quantum keys, and SAs without a first child.
    var peerTakesPPK = false
    var peerTakesChildless = false
    var intermediateKey = IntermediateKey.none
    /// What the session is resumed with.
    var ticket: HeldTicket?
    /// Keys with the post-quantum key in them, and our proof with these.
    var mixed: MixedKeys?
    var mixedProof: OwnProof?
    var transcript = IntermediateTranscript()
    /// The first child, or `nil` where its configuration went away meanwhile.
    var child: ChildAttempt?
}

/// IKE_SA_INIT from the initiator's side.
///
///     HDR, SAi1, KEi, Ni  -->
///                         <--  HDR, SAr1, KEr, Nr
extension IKESession {
    static let nonceOctets = 32

    /// Starts the negotiation.
    mutating func initiate(_ context: inout Context) throws(Fault) {
        guard let connection else { return }
        rounds = Rounds()
        if let ticket = usableTicket(connection, &context) { return try resume(with: ticket, &context) }
        let wanted = connection.proposals.flatMap(\.keyExchange).first { KeyDetermination.supports($0) }
        guard let group = wanted else { throw .cryptography("no proposal has a key exchange that is available") }
        let spi = context.environment.freshIKESPI()
        let nonce = context.environment.randomness.octets(IKESession.nonceOctets)
        let keyPair = try generate(group, &context)
        associations = [IKESA(placeholder: spi, nextIV: context.environment.randomness.uint64())]
        context.emit(.claim(spi: spi))
        let state = InitialRequest(spi: spi, nonce: nonce, keyPair: keyPair, triedGroups: [group])
        try sendInitialRequest(state, &context)
    }

    private mutating func sendInitialRequest(_ state: InitialRequest, _ context: inout Context) throws(Fault) {
        guard let connection else { return }
        var state = state
        var payloads: [Payload] = []
        // RFC 7296 §2.6: the cookie comes first, the rest stays as it was.
        if !state.cookie.isEmpty { payloads.append(NotifyPayload(.cookie, data: state.cookie).payload) }
        if !state.solution.isEmpty { payloads.append(Payload(.puzzleSolution, body: state.solution)) }
        payloads.append(ProposalPayload.offer(connection.proposals, spi: []))
        payloads.append(KeyExchangePayload(group: state.keyPair.group, value: state.keyPair.publicValue).payload)
        payloads.append(Payload(.nonceV2, body: state.nonce))
        payloads += try NATTraversal.notifications(
            state.spi, 0, local: local, remote: remote, isForced: isForcingEncapsulation(context))
        if connection.fragmentation != .no { payloads.append(NotifyPayload(.fragmentationSupported).payload) }
        let offersIntermediateKey = connection.postquantumKey != nil && connection.mixesKeyEarly
        if connection.postquantumKey != nil { payloads.append(NotifyPayload(.usePPK).payload) }
        if offersIntermediateKey { payloads.append(NotifyPayload(.usePPKIntermediate).payload) }
        payloads += redirectPayloads(context)
        if connection.offersHashes { payloads.append(SignatureSupport.notification.payload) }
        if offersIntermediateKey || connection.proposals.contains(where: { !$0.additionalKeyExchanges.isEmpty }) {
            payloads.append(NotifyPayload(.intermediateSupported).payload)
        }
        let header = Header(
            initiator: Cookie(state.spi), responder: .zero, majorVersion: 2, exchange: .ikeSAInit, flags: [.initiator])
        state.message = Message(header: header, payloads: payloads).octets
        requestInitial(state.message, payloads, .ikeSAInit, &context)
        phase = .awaitingInitialResponse(state)
    }

    func isForcingEncapsulation(_ context: Context) -> Bool {
        context.settings.claimsNAT(connection)
    }

    /// An IKE_SA_INIT or IKE_SESSION_RESUME message: unprotected, so that it can be anybody's.
    mutating func receiveInitial(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard header.messageID == 0 else { throw .unexpected("IKE_SA_INIT has message ID 0") }
        var reader = ByteReader(datagram.octets[Header.octetCount...])
        let payloads: [Payload]
        do throws(ParseError) {
            payloads = try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        } catch {
            throw .unexpected(error.description)
        }
        switch phase {
        case .awaitingInitialResponse(let state):
            guard header.flags.contains(.response), !header.flags.contains(.initiator),
                header.initiator.value == state.spi, header.exchange == .ikeSAInit
            else { throw .unexpected("not a response to our IKE_SA_INIT") }
            // Anybody could have sent it: what cannot be read is dropped, and the true response may still come.
            let content = try MessageContent(payloads)
            if datagram.remote.isStream, !remote.isStream, connection?.streamUse == .fallback {
                // TCP answered first: the session is TCP's from here on (RFC 9329 §5.1).
                local = datagram.local
                remote = datagram.remote
            }
            try receiveInitial(response: content, payloads, header, datagram, state, &context)
        case .awaitingResumption(let state): try receiveResumption(payloads, header, datagram, state, &context)
        case .awaitingFirstMessage:
            try receiveInitial(request: payloads, header, datagram, &context)
        case .awaitingAuthenticationRequest(let acceptance), .awaitingInitiatorsMixedKeys(let acceptance, _, _),
            .awaitingInitiatorVerified(let acceptance, _, _), .awaitingIntermediateKey(let acceptance, _, _),
            .awaitingResponderProof(let acceptance, _, _, _):
            guard datagram.octets == acceptance.request else { throw .unexpected("another IKE_SA_INIT") }
            context.report(.noticed(.repeatedRequest(messageID: 0)))
            context.send([acceptance.response], from: datagram.local, to: datagram.remote)
        case .checkingUser(let checking):
            guard datagram.octets == checking.acceptance.request else { throw .unexpected("another IKE_SA_INIT") }
            context.report(.noticed(.repeatedRequest(messageID: 0)))
            context.send([checking.acceptance.response], from: datagram.local, to: datagram.remote)
        case .awaitingCommand, .awaitingIntermediateResponse, .awaitingMixedKeys, .awaitingOwnProof, .provingUser,
            .awaitingAuthenticationResponse,
            .awaitingPeerVerified,
            .established, .closed:
            throw .unexpected("IKE_SA_INIT is over")
        }
    }

    private mutating func receiveInitial(
        response content: MessageContent, _ payloads: [Payload], _ header: Header, _ datagram: Datagram,
        _ state: InitialRequest, _ context: inout Context
    ) throws(Fault) {
        guard let connection else { return }
        context.trace(
            outgoing: false, datagram.local, datagram.remote, datagram.octets, clear: payloads, inner: [])
        if content.offers == nil {
            if let cookie = content.notification(.cookie) {
                guard state.search == nil else { throw .unexpected("a puzzle is being worked at") }
                if let puzzle = content.notification(.puzzle) {
                    return try work(on: puzzle, cookie: cookie, state, &context)
                }
                return try echo(cookie, state, &context)
            }
            if let wanted = content.notification(.invalidKeyExchange) { return try retry(wanted, state, &context) }
            if let redirect = content.notification(.redirect) {
                return try follow(initial: redirect, nonce: state.nonce, &context)
            }
            guard let error = content.error else { throw .unexpected("a response without SA payload") }
            let refusal = Refusal.peer(notification: error.type.rawValue, name: error.type.name)
            fail(refusal, &context)
            return
        }
        let offers = try content.required(content.offers, "SA")
        let keyExchange = try content.required(content.keyExchange, "KE")
        let nonce = try content.required(content.nonce, "Nonce")
        guard header.responder != .zero else { throw .unexpected("the responder chose no SPI") }
        guard offers.count == 1, offers[0].isSingular,
            case .success(let selection) = Proposal.select(
                configured: connection.proposals, offered: [offers[0].proposal]),
            selection.suite.keyExchange == state.keyPair.group, keyExchange.group == state.keyPair.group,
            selection.suite.furtherKeyExchanges.isEmpty || content.notification(.intermediateSupported) != nil
        else { throw .unexpected("the responder chose what was not offered") }

        let sharedSecret = try combine(state.keyPair, keyExchange.value)
        let (keys, proofs) = try KeySchedule.initial(
            selection.suite, sharedSecret: sharedSecret,
            KeySchedule.Public(
                initiatorNonce: state.nonce, responderNonce: nonce, initiatorSPI: state.spi,
                responderSPI: header.responder.value))
        if state.search != nil { context.cancel(.puzzle) }
        try protect(selection.suite, keys, responder: header.responder.value, content, connection, &context)
        let identity = identity(of: ownRound)
        localIdentity = identity
        rounds.peerTakesFurther =
            context.settings.takesFurtherRounds && content.notification(.multipleAuthenticationSupported) != nil
        if let fault = roundsOfUnaware { return fail(.rounds(fault), &context) }
        var initiation = Initiation(
            proofs: proofs, initiatorNonce: state.nonce, responderNonce: nonce, request: state.message,
            response: datagram.octets, localIdentity: identity, support: SignatureSupport(content),
            remaining: selection.suite.furtherKeyExchanges)
        initiation.peerTakesPPK = connection.postquantumKey != nil && content.notification(.usePPK) != nil
        if connection.postquantumKey != nil, connection.mixesKeyEarly,
            content.notification(.usePPKIntermediate) != nil, content.notification(.intermediateSupported) != nil
        {
            initiation.intermediateKey = .agreed
            initiation.peerTakesPPK = false
        }
        initiation.peerTakesChildless = content.notification(.childlessSupported) != nil
        if connection.requiresPostquantumKey, !initiation.peerTakesPPK, initiation.intermediateKey == .none {
            return fail(.policy("the peer takes no post-quantum key, and ppk_required wants one"), &context)
        }
        if connection.childless == .force, !initiation.peerTakesChildless {
            return fail(.policy("the peer knows no SA without a child, and childless = force wants one"), &context)
        }
        try proceed(initiation, &context)
    }

    /// The half-open SA has its peer and its keys: what follows is protected.
    mutating func protect(
        _ suite: Suite, _ keys: IKEKeys, responder: UInt64, _ content: MessageContent, _ connection: Connection,
        _ context: inout Context
    ) throws(Fault) {
        let spi = associations[0].initiatorSPI
        associations[0].responderSPI = responder
        associations[0].suite = suite
        associations[0].keys = keys
        associations[0].disclose(&context)
        associations[0].pending.forEach { context.noteAnswered($0) }
        associations[0].pending = []
        associations[0].nextRequestID = 1
        associations[0].peerTakesFragments =
            content.notification(.fragmentationSupported) != nil && connection.cutsMessages
        context.cancel(.retransmit(spi: spi, messageID: 0))
        adopt(
            try NATTraversal.detect(content, spi, responder, local: local, remote: remote),
            isForced: isForcingEncapsulation(context), &context)
    }

    func check(_ cookie: NotifyPayload, seen: Int) throws(Fault) {
        guard (1...64).contains(cookie.data.count) else { throw .unexpected("a cookie has 1 to 64 octets") }
        guard seen < InitialRequest.maximumCookies else { throw .unexpected("one cookie after another") }
    }

    /// Begins again with the cookie.
    mutating func echo(
        _ cookie: NotifyPayload, _ state: InitialRequest, _ context: inout Context
    ) throws(Fault) {
        try check(cookie, seen: state.cookiesSeen)
        var state = state
        state.cookie = cookie.data
        state.cookiesSeen += 1
        try sendInitialRequest(state, &context)
    }

    private mutating func retry(
        _ wanted: NotifyPayload, _ state: InitialRequest, _ context: inout Context
    ) throws(Fault) {
        var state = state
        guard let group = KeyExchangeID(wanted), let connection,
            connection.proposals.contains(where: { $0.keyExchange.contains(group) }),
            KeyDetermination.supports(group), !state.triedGroups.contains(group)
        else {
            // A wrong demand may be forged; the true response may still come.
            throw .unexpected("the responder wants a key exchange that was not offered, or was tried")
        }
        state.triedGroups.append(group)
        state.keyPair = try generate(group, &context)
        try sendInitialRequest(state, &context)
    }

    /// Everything but the proofs of identity is agreed on: the credential store is asked for ours.
    mutating func askOwnProof(_ initiation: Initiation, _ context: inout Context) throws(Fault) {
        guard let sa = current, let prf = sa.suite.prf, let round = ownRound else { return }
        let messageID = rounds.firstMessageID ?? sa.nextRequestID
        rounds.firstMessageID = messageID
        // Our user's turn comes behind the gateway's.
        if round.method.userMethod != nil { return try sendProof(initiation, nil, &context) }
        let identity = initiation.localIdentity
        let octets = try KeySchedule.signedOctets(
            sa.suite, message: initiation.request, otherNonce: initiation.responderNonce,
            proofKey: (initiation.mixedProof == nil ? initiation.mixed?.proofs : nil)?.initiator
                ?? initiation.proofs.initiator, identity: identity,
            intermediate: initiation.transcript.octets(authenticationID: messageID))
        let question = context.environment.freshQuestionID()
        let key =
            (initiation.mixedProof == nil ? initiation.mixed?.proofs : nil)?.initiator ?? initiation.proofs.initiator
        phase = .awaitingOwnProof(initiation, question)
        if let answer = try anonymousProof(round, prf, key, octets) {
            return try receive(answer, to: question, &context)
        }
        context.emit(
            .ask(
                question,
                ownProof(round, prf, identity: identity, remote: expectedRemoteIdentity, octets, initiation.support)))
    }

    /// Whom the initiator expects, to find the key by: the identity that is configured for the peer's round, or who the peer is
    /// known to be, or its address.
    var expectedRemoteIdentity: Identity {
        peerRound?.exactIdentity ?? rounds.authenticated?.identity ?? Identity(remote.address)
    }

    /// Reports a refusal and ends the session.
    mutating func fail(_ refusal: Refusal, _ context: inout Context) {
        context.report(.refused(child: nil, refusal))
        close(.refused(refusal), &context)
    }
}

extension KeyExchangeID {
    /// The group that an INVALID_KE_PAYLOAD notification wants (RFC 7296 §1.3).
    init?(_ notification: NotifyPayload) {
        guard notification.data.count == 2 else { return nil }
        self.init(rawValue: UInt16(notification.data[0]) << 8 | UInt16(notification.data[1]))
    }
}

extension OfferedProposal {
    /// Whether it names at most one transform of each kind, as an answer must (RFC 7296 §2.7).
    var isSingular: Bool {
        // AH has no encryption (RFC 7296 §3.3.3).
        isUnderstood && proposal.encryption.count == (proposal.securityProtocol == .ah ? 0 : 1)
            && proposal.integrity.count <= 1 && proposal.prf.count <= 1
            && proposal.keyExchange.count <= 1 && proposal.extendedSequenceNumbers.count <= 1
            && proposal.additionalKeyExchanges.allSatisfy { $0.count <= 1 }
    }
}

extension IKESA {
    /// The half-open SA of an initiator, before anything is agreed.
    init(placeholder spi: UInt64, nextIV: UInt64) {
        self.init(
            initiatorSPI: spi, responderSPI: 0, isInitiator: true,
            suite: Suite(encryption: Encryption(.null)), keys: .none, nextIV: nextIV, peerTakesFragments: false)
    }
}
