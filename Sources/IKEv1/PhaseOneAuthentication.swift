import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import SKEME

extension IKEv1Session {
    /// HASH_I or HASH_R (RFC 2409 §5), by the hash that the signature is tied to where it is tied to one (§5.1).
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
        let (proving, other) = prover == role ? (own, peer) : (peer, own)
        let function = negotiation.method.proofFunction(of: prover) ?? keys.prf
        let offer = negotiation.offer
        return try Attempt.cryptography { () throws(CryptographyError) in
            try PreSharedKey.proof(function, seed: seed, own: proving, peer: other, offer: offer, identity: identity)
        }
    }

    /// Our turn to prove who we are: with HASH_I or HASH_R, or a signature over it, for which we ask.
    mutating func prove(_ negotiation: inout Negotiation, _ context: inout Context) throws(Fault) {
        guard let localIdentity, let connection else { throw .dropped("nobody to be yet") }
        if negotiation.ownIdentityBody.isEmpty { negotiation.ownIdentityBody = Identification.body(localIdentity) }
        let proof = try proof(by: role, negotiation, identity: negotiation.ownIdentityBody)
        guard let scheme = negotiation.method.signature(of: role) else {
            try say(Payload(.hash, body: proof), &negotiation, &context)
            return
        }
        ask(signing(proof, scheme, connection, negotiation), for: .signing, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// The message that our proof belongs in.
    mutating func say(
        _ proof: Payload, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        if negotiation.isAggressive {
            try sayAggressive(proof, &negotiation, &context)
        } else {
            try sendIdentity(proof, &negotiation, &context)
        }
    }

    /// Messages 5 and 6: HDR*, ID, and HASH or SIG; without the ID where that has been said already. With INITIAL-CONTACT
    /// where we have no other SA with the peer.
    private mutating func sendIdentity(
        _ proof: Payload, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard let keys = negotiation.keys, var chain = negotiation.chain else { throw .dropped("no keys yet") }
        var payloads = negotiation.ownCertificates + [proof]
        if !negotiation.method.isEncryption {
            payloads.insert(Payload(.identification, body: negotiation.ownIdentityBody), at: 0)
        }
        if isInitiator { payloads += initialContact(context) }
        if isInitiator { float(context) }
        negotiation.earlierIV = chain.iv
        let octets = try chain.seal(payloads, header: header(.identityProtection), keys: keys)
        negotiation.chain = chain
        sendPhaseOne(octets, payloads, isProtected: true, &negotiation, &context)
        phase = .negotiating(negotiation)
        if !isInitiator { try conclude(negotiation, &context) }
    }

    /// Both have proved who they are.
    mutating func conclude(_ negotiation: Negotiation, _ context: inout Context) throws(Fault) {
        guard let keys = negotiation.keys, let peer = negotiation.authenticated else {
            throw .dropped("the peer has proved nothing yet")
        }
        noteInitialContact(negotiation.provedWith)
        try establish(negotiation, keys, peer, &context)
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
        _ negotiation: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard let keys = negotiation.keys, var chain = negotiation.chain else { throw .dropped("no keys yet") }
        guard negotiation.question == nil else { throw .dropped("a message before is still being looked at") }
        var received = Negotiation.Received(datagram: datagram, payloads: [])
        do throws(Fault) {
            received.payloads = try chain.open(datagram.octets, header: header, keys: keys).payloads
            try check(received.payloads, of: negotiation.exchange, isEncrypted: true)
            received.chain = chain
            try judge(&received, negotiation, &context)
        } catch {
            // With another pre-shared key the other keys differ too: nothing that can be read arrives.
            try suspect(received, negotiation, &context)
        }
    }

    /// Whether a message proves who its sender is. Throws where it does not; where that takes a question, the answer goes
    /// on.
    mutating func judge(
        _ received: inout Negotiation.Received, _ current: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        func body(_ type: PayloadType) -> [UInt8] { received.payloads.first { $0.type == type }?.body ?? [] }
        let identity =
            negotiation.peerIdentityBody.isEmpty ? body(.identification) : negotiation.peerIdentityBody
        let peer = try Attempt.parsing { () throws(ParseError) in try Identification.identity(identity) }
        received.peer = peer
        let expected = try proof(by: role.other, negotiation, identity: identity)
        guard let scheme = negotiation.method.signature(of: role.other) else {
            // In Hybrid the hash shows no more than that the sender of the other messages sent this one: until the user
            // has authenticated, the identity is a claim, for which nothing is done but to ask the user.
            guard ConstantTime.equal(body(.hash), expected) else { throw .dropped("the proof does not hold") }
            try take(received, provedBy: PeerAuthenticated(verified: peer), negotiation, &context)
            return
        }
        guard let fitting = fittingConnection(for: peer, negotiation) else {
            throw .dropped("no connection accepts \(peer)")
        }
        let question = try verification(expected, scheme, of: peer, fitting, received.payloads)
        ask(question, for: .verifying(received), &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// The proof in a message holds: it is taken, and whoever has not proved itself yet does so.
    mutating func take(
        _ received: Negotiation.Received, provedBy peer: PeerAuthenticated, _ current: Negotiation,
        _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        negotiation.authenticated = peer
        negotiation.provedWith = received.payloads
        if negotiation.isAggressive {
            try takeAggressive(received, peer, negotiation, &context)
            return
        }
        guard let keys = negotiation.keys, let chain = received.chain else { throw .dropped("no keys yet") }
        trace(received.datagram, received.payloads, isProtected: true, &context)
        negotiation.chain = chain
        negotiation.exchange.accept(received.datagram.octets)
        guard choose(peer, negotiation) else {
            sendProtectedNotification(
                NotificationType.authenticationFailed, keys: keys, lastBlock: chain.iv, &context)
            failPhaseOne(.identity(wanted: wantedIdentities(negotiation), seen: peer.identity), &context)
            return
        }
        remoteIdentity = peer.identity
        follow(received.datagram, &context)
        if isInitiator {
            try conclude(negotiation, &context)
        } else {
            try prove(&negotiation, &context)
        }
    }

    func wantedIdentities(_ negotiation: Negotiation) -> [IdentityPattern] {
        isInitiator
            ? (connection.map { [$0.remoteIdentity] } ?? []) : negotiation.candidates.map { $0.remoteIdentity }
    }

    /// A message that does not prove what it says: damaged, forged, or made with another key than we know. We wait on, so
    /// that the first two cost the real peer nothing. An initiator that comes with the very same octets again means them.
    mutating func suspect(
        _ received: Negotiation.Received, _ current: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        if negotiation.isAggressive {
            if isInitiator {
                try suspectAnswer(received, negotiation, &context)
            } else {
                context.note("dropped: the proof of \(received.peer.map { "\($0)" } ?? "the peer") does not hold")
                phase = .negotiating(negotiation)
            }
            return
        }
        let refusal = suspicion(received, negotiation)
        let digest = try IKEv1Session.digest(received.datagram)
        if negotiation.unreadable == digest, negotiation.failure == nil {
            negotiation.failure = refusal
            context.report(.refused(child: nil, refusal))
            if !isInitiator { sendClear(NotificationType.authenticationFailed, &context) }
        } else if negotiation.unreadable == nil {
            context.note(
                received.peer.map { "the proof of \($0) does not hold" } ?? "the peer's identity cannot be read")
        }
        negotiation.unreadable = digest
        phase = .negotiating(negotiation)
    }

    static func digest(_ datagram: Datagram) throws(Fault) -> [UInt8] {
        try Attempt.cryptography { () throws(CryptographyError) in
            try Digest.compute(.sha256, [.open(datagram.octets)])
        }
    }

    /// What most likely is wrong with a message that proves nothing.
    func suspicion(_ received: Negotiation.Received, _ negotiation: Negotiation) -> Refusal {
        if let judgement = received.judgement { return judgement }
        guard let peer = received.peer, negotiation.method.signature(of: role.other) != nil else {
            return .authentication(peer: isInitiator ? wantedIdentity : Identity(remote.address))
        }
        return fittingConnection(for: peer, negotiation) == nil
            ? .identity(wanted: wantedIdentities(negotiation), seen: peer) : .authentication(peer: peer)
    }

    /// The connection that accepts the identity: an initiator's own, or of a responder's candidates the closest that also
    /// has the suite and the authentication method.
    func fittingConnection(for peer: Identity, _ negotiation: Negotiation) -> Connection? {
        if isInitiator { return connection?.remoteIdentity.matches(peer) == true ? connection : nil }
        let chosen = negotiation.transform.flatMap { IKEv1Session.phaseOneProposal($0, groups.registry) }
        let fitting = negotiation.candidates.filter { candidate in
            guard candidate.remoteIdentity.matches(peer),
                methods(of: candidate).contains(negotiation.method)
            else { return false }
            let configured = PhaseOneProposal.expressible(candidate.proposals)
            if case .success = Proposal.select(configured: configured, offered: chosen.map { [$0] } ?? []) {
                return true
            }
            return false
        }
        let best = fitting.map { $0.remoteIdentity.specificity(for: peer) }.max()
        return fitting.first { $0.remoteIdentity.specificity(for: peer) == best }
    }

    /// Whether a connection accepts the identity; a responder takes it.
    mutating func choose(_ peer: PeerAuthenticated, _ negotiation: Negotiation) -> Bool {
        guard let fitting = fittingConnection(for: peer.identity, negotiation) else { return false }
        if !isInitiator {
            connection = fitting
            localIdentity = fitting.localIdentity ?? Identity(local.address)
        }
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
