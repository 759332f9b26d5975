import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import SKEME

extension IKEv1Session {
    /// HASH_I or HASH_R (RFC 2409 §5).
    func proof(
        by prover: Role, _ negotiation: Negotiation, identity: [UInt8]
    ) throws(Fault) -> [UInt8] {
        guard let keys = negotiation.keys, let seed = negotiation.seed, let pair = negotiation.keyPair else {
            throw .dropped("no keys yet")
        }
        let own = (publicValue: pair.publicValue, cookie: ownCookie.octets)
        let peer = (
            publicValue: negotiation.peerPublicValue,
            cookie: (isInitiator ? responderCookie : initiatorCookie).octets
        )
        let isOurs = prover == role
        return try Attempt.cryptography { () throws(CryptographyError) in
            try PreSharedKey.proof(
                keys.prf, seed: seed, own: isOurs ? own : peer, peer: isOurs ? peer : own, offer: negotiation.offer,
                identity: identity)
        }
    }

    /// Messages 5 and 6: HDR*, ID, HASH, and INITIAL-CONTACT where we have no other SA with the peer.
    mutating func sendIdentity(_ negotiation: inout Negotiation, _ context: inout Context) throws(Fault) {
        guard let keys = negotiation.keys, var chain = negotiation.chain, let localIdentity else {
            throw .dropped("no keys yet")
        }
        let identity = Identification.body(localIdentity)
        var payloads = [
            Payload(.identification, body: identity),
            Payload(.hash, body: try proof(by: role, negotiation, identity: identity)),
        ]
        if isInitiator { payloads += initialContact(context) }
        if isInitiator { float(context) }
        let octets = try chain.seal(payloads, header: header(.identityProtection), keys: keys)
        negotiation.chain = chain
        sendPhaseOne(octets, payloads, isProtected: true, &negotiation, &context)
    }

    /// INITIAL-CONTACT, where we have no other SA with the peer (RFC 2407 §4.6.3.3).
    func initialContact(_ context: Context) -> [Payload] {
        guard let name = connection?.name, context.environment.establishedConnections[name] == nil else { return [] }
        return [
            NotificationPayload(
                doi: IPsecDOI.identifier, protocolID: IPsecDOI.protocolISAKMP, spi: cookies,
                type: IPsecDOI.initialContact
            ).payload
        ]
    }

    /// Whether the peer begins anew. It is reported when the SA stands: before its user has proved who it is, the peer
    /// speaks for nobody.
    mutating func noteInitialContact(_ payloads: [Payload]) {
        for payload in payloads where payload.type == .notification {
            guard let notification = try? NotificationPayload(parsing: payload.body) else { continue }
            if notification.type == IPsecDOI.initialContact { heardInitialContact = true }
        }
    }

    /// The children that were asked for meanwhile.
    mutating func startWanted(_ context: inout Context) throws(Fault) {
        guard isReadyForPhaseTwo else { return }
        let queued = wanted
        wanted = []
        try offerGroups(&context)
        for child in queued { try startQuickMode(child, &context) }
    }

    /// CKY-I | CKY-R, which names the ISAKMP SA in notifications.
    var cookies: [UInt8] { initiatorCookie.octets + responderCookie.octets }

    /// Messages 5 and 6, received: who the peer is, and the proof of it.
    mutating func receiveIdentity(
        _ current: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        guard let keys = negotiation.keys, var chain = negotiation.chain else { throw .dropped("no keys yet") }
        let opened: CipherChain.Opened
        let peer: Identity
        do throws(Fault) {
            opened = try chain.open(datagram.octets, header: header, keys: keys)
            try check(opened.payloads, of: negotiation.exchange, isEncrypted: true)
            let identity = opened.payloads.first { $0.type == .identification }?.body ?? []
            let hash = opened.payloads.first { $0.type == .hash }?.body ?? []
            peer = try Attempt.parsing { () throws(ParseError) in try Identification.identity(identity) }
            guard ConstantTime.equal(hash, try proof(by: role.other, negotiation, identity: identity)) else {
                throw .dropped("the proof does not hold")
            }
        } catch {
            // With another pre-shared key the other keys differ too: nothing that can be read arrives.
            try suspect(negotiation, datagram, &context)
            return
        }
        trace(datagram, opened.payloads, isProtected: true, &context)
        let authenticated = PeerAuthenticated(verified: peer)
        negotiation.chain = chain
        negotiation.exchange.accept(datagram.octets)
        guard choose(authenticated, negotiation) else {
            let wanted = isInitiator ? [connection?.remoteIdentity] : negotiation.candidates.map { $0.remoteIdentity }
            let refusal = Refusal.identity(wanted: wanted.compactMap { $0 }, seen: peer)
            sendProtectedNotification(
                NotificationType.authenticationFailed, keys: keys, lastBlock: chain.iv, &context)
            failPhaseOne(refusal, &context)
            return
        }
        remoteIdentity = peer
        follow(datagram, &context)
        if !isInitiator { try sendIdentity(&negotiation, &context) }
        noteInitialContact(opened.payloads)
        try establish(negotiation, keys, authenticated, &context)
    }

    /// A message 5 or 6 that does not hold: damaged, forged, or made with another pre-shared key. We wait on, so that the
    /// first two cost the real peer nothing. An initiator that comes with the very same octets again means them.
    private mutating func suspect(
        _ current: Negotiation, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        let refusal = Refusal.authentication(peer: isInitiator ? wantedIdentity : Identity(remote.address))
        let digest = try Attempt.cryptography { () throws(CryptographyError) in
            try Digest.compute(.sha256, [.open(datagram.octets)])
        }
        var negotiation = current
        if negotiation.unreadable == digest, negotiation.failure == nil {
            negotiation.failure = refusal
            context.report(.refused(child: nil, refusal))
            if !isInitiator { sendClear(NotificationType.authenticationFailed, &context) }
        } else if negotiation.unreadable == nil {
            context.note("the peer's identity cannot be read")
        }
        negotiation.unreadable = digest
        phase = .negotiating(negotiation)
    }

    /// Whether a connection accepts the identity; a responder takes the closest candidate that also has the suite.
    private mutating func choose(_ peer: PeerAuthenticated, _ negotiation: Negotiation) -> Bool {
        if isInitiator { return connection?.remoteIdentity.matches(peer.identity) == true }
        let fitting = negotiation.candidates.filter { candidate in
            guard candidate.remoteIdentity.matches(peer.identity) else { return false }
            let chosen = negotiation.transform.flatMap {
                IKEv1Session.phaseOneProposal($0, groups.registry, method: method(of: candidate))
            }
            let configured = PhaseOneProposal.expressible(candidate.proposals)
            if case .success = Proposal.select(configured: configured, offered: chosen.map { [$0] } ?? []) {
                return true
            }
            return false
        }
        let best = fitting.map { $0.remoteIdentity.specificity(for: peer.identity) }.max()
        guard let connection = fitting.first(where: { $0.remoteIdentity.specificity(for: peer.identity) == best })
        else { return false }
        self.connection = connection
        localIdentity = connection.localIdentity ?? Identity(local.address)
        return true
    }

    /// Phase 1 is done.
    mutating func establish(
        _ negotiation: Negotiation, _ keys: PhaseOneKeys, _ peer: PeerAuthenticated, _ context: inout Context
    ) throws(Fault) {
        // Whoever spoke last says it again when asked.
        let repeats = negotiation.exchange.answerToRepetition != nil
        phase = .established(
            PhaseOne(
                keys: keys, lastBlock: negotiation.chain?.iv ?? [], peer: peer,
                finished: repeats ? negotiation.exchange : nil,
                supportsDeadPeerDetection: negotiation.supportsDeadPeerDetection))
        context.cancel(.retransmit(spi: ownCookie, messageID: 0))
        if repeats { context.set(.linger(spi: ownCookie), after: IKEv1Session.lingerTime(context.settings)) }
        guard let connection else { return }
        let agreed = context.environment.agreedGroups.groups(with: remote.address)
        groups.registry = IKEv1Session.registry(connection, agreed)
        // Both ends have computed in it.
        if let group = suite?.keyExchange, group.isPrivate { groups.confirmed.insert(group) }
        let renewal = IKEv1Session.renewalTime(connection)
        if let delay = context.jittered(renewal, by: connection.randomTime) {
            rekeyAt = context.now + delay
            context.set(.rekeyIKE, after: delay)
            var life = renewal + connection.overTime
            // The peer's own limit counts where it is shorter.
            if let seconds = negotiation.transform.flatMap({ PhaseOneProposal.lifeSeconds($0) }), seconds > 0 {
                life = min(life, .seconds(Int(seconds)))
            }
            expireAt = context.now + life
            context.set(.expireIKE, after: life)
        }
        if nat.isLocalBehindNAT { context.set(.keepalive, after: context.settings.keepaliveInterval) }
        try prepare(&context)
    }

    /// How long finished exchanges are kept to answer repetitions: the peer's whole schedule, taken for like ours.
    static func lingerTime(_ settings: EngineSettings) -> Duration {
        (0...settings.retransmitTries).reduce(.zero) { $0 + settings.retransmitDelay(attempt: $1) }
    }
}
