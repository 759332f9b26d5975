import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives

/// Aggressive Mode (RFC 2409 §5.4, with RFC 3947 §3.2): phase 1 in three messages. What Main Mode says in five is said in
/// two, before anybody has proved anything.
extension IKEv1Session {
    // MARK: Initiator

    /// What message 1 holds besides the SA: KE, Ni, IDii.
    mutating func aggressivePayloads(
        _ proposals: [Proposal], _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) -> [Payload] {
        guard let group = proposals.first?.keyExchange.first, let localIdentity else { throw .dropped("no group") }
        let pair = try makeKeyPair(group, &context)
        negotiation.keyPair = pair
        negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        negotiation.ownIdentityBody = Identification.body(localIdentity)
        return [
            Payload(.keyExchange, body: pair.publicValue), Payload(.nonce, body: negotiation.ownNonce),
            Payload(.identification, body: negotiation.ownIdentityBody),
        ]
    }

    /// Message 2: everything of the responder's at once. Its proof is checked when SKEYID is known.
    private mutating func receiveAnswer(
        _ current: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        guard negotiation.question == nil else { throw .dropped("another message 2 is being looked at") }
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        try check(payloads, of: negotiation.exchange, isEncrypted: false)
        let peer = try IKEv1Session.identity(payloads, &negotiation)
        responderCookie = header.responder.value
        do throws(Fault) {
            try takeChoice(payloads, &negotiation)
            try takeKeyExchange(payloads, &negotiation)
            try detectNAT(payloads, local: local, remote: remote, context)
        } catch {
            guard case .refused(let refusal, let notification) = error else { throw error }
            if let notification { sendClear(notification, &context) }
            failPhaseOne(refusal, &context)
            return
        }
        guard let wanted = connection?.remoteIdentity, wanted.matches(peer) else {
            sendClear(NotificationType.invalidIDInformation, &context)
            failPhaseOne(.identity(wanted: connection.map { [$0.remoteIdentity] } ?? [], seen: peer), &context)
            return
        }
        negotiation.early = datagram
        try askForSeed(
            local: localIdentity ?? Identity(local.address), remote: peer, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// SKEYID is there: see whether message 2 proves what it says, and say message 3.
    private mutating func judgeAnswer(_ current: Negotiation, _ context: inout Context) throws(Fault) {
        var negotiation = current
        guard let datagram = negotiation.early, let keys = negotiation.keys else { throw .dropped("no message 2") }
        negotiation.early = nil
        var reader = ByteReader(datagram.octets)
        let header = try Attempt.parsing { () throws(ParseError) in try Header(from: &reader) }
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        let peer = try IKEv1Session.identity(payloads, &negotiation)
        let expected = try proof(by: .responder, negotiation, identity: negotiation.peerIdentityBody)
        guard ConstantTime.equal(IKEv1Session.hash(payloads), expected) else {
            try suspectAnswer(negotiation, datagram, peer, &context)
            return
        }
        trace(datagram, payloads, isProtected: false, &context)
        let authenticated = PeerAuthenticated(verified: peer)
        negotiation.exchange.accept(datagram.octets)
        negotiation.attempts = 0
        remoteIdentity = peer
        float(context)
        var answer = [
            Payload(.hash, body: try proof(by: .initiator, negotiation, identity: negotiation.ownIdentityBody))
        ]
        answer += try natDiscoveryPayloads(keys.hash, context) + initialContact(context)
        guard var chain = negotiation.chain else { throw .dropped("no keys yet") }
        let octets = try chain.seal(answer, header: self.header(.aggressive), keys: keys)
        negotiation.chain = chain
        sendPhaseOne(octets, answer, isProtected: true, &negotiation, &context)
        try establish(negotiation, keys, authenticated, &context)
    }

    /// Message 2 does not prove what it says: forged, damaged, or made with another pre-shared key. We wait on for the real
    /// one; the very same octets again are meant.
    private mutating func suspectAnswer(
        _ current: Negotiation, _ datagram: Datagram, _ peer: Identity, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        let digest = try Attempt.cryptography { () throws(CryptographyError) in
            try Digest.compute(.sha256, [.open(datagram.octets)])
        }
        guard negotiation.unreadable != digest else {
            sendClear(NotificationType.authenticationFailed, &context)
            failPhaseOne(.authentication(peer: peer), &context)
            return
        }
        context.note("the proof of \(peer) does not hold")
        negotiation.unreadable = digest
        negotiation.failure = .authentication(peer: peer)
        // As before message 2.
        negotiation.seed = nil
        negotiation.keys = nil
        negotiation.chain = nil
        responderCookie = 0
        phase = .negotiating(negotiation)
    }

    // MARK: Responder

    /// Message 1: find a connection for the identity, and ask for its key.
    private mutating func receiveFirst(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = Negotiation(Exchanges.aggressiveMode, role: .responder)
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        try check(payloads, of: negotiation.exchange, isEncrypted: false)
        negotiation.exchange.accept(datagram.octets)
        let peer = try IKEv1Session.identity(payloads, &negotiation)
        trace(datagram, payloads, isProtected: false, &context)
        initiatorCookie = header.initiator.value
        let all = context.environment.policies.candidates(local: local.address, remote: remote.address, version: .v1)
        let willing = all.filter(\.isAggressive)
        if willing.isEmpty, let first = all.first {
            refuseOffer(
                .policy(
                    "Aggressive Mode shows a pre-shared key to whoever can guess it, and connection '\(first.name)' does "
                        + "not say 'aggressive = yes'"), &context)
            return
        }
        let fitting = willing.filter { $0.remoteIdentity.matches(peer) }
        if fitting.isEmpty, !willing.isEmpty {
            sendClear(NotificationType.authenticationFailed, &context)
            let refusal = Refusal.identity(wanted: willing.map(\.remoteIdentity), seen: peer)
            context.report(.refused(child: nil, refusal))
            close(.refused(refusal), &context)
            return
        }
        let closest = fitting.map { $0.remoteIdentity.specificity(for: peer) }.max()
        let candidates = fitting.filter { $0.remoteIdentity.specificity(for: peer) == closest }
        guard let choice = try selectSuite(among: candidates, payloads, &negotiation, &context) else { return }
        negotiation.choice = choice
        localIdentity = connection?.localIdentity ?? Identity(local.address)
        remoteIdentity = peer
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        do throws(Fault) {
            try takeKeyExchange(payloads, &negotiation)
            guard let group = suite?.keyExchange else { throw .dropped("no group") }
            negotiation.keyPair = try makeKeyPair(group, &context)
        } catch {
            guard case .refused(let refusal, let notification) = error else { throw error }
            if let notification { sendClear(notification, &context) }
            failPhaseOne(refusal, &context)
            return
        }
        negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        try askForSeed(
            local: localIdentity ?? Identity(local.address), remote: peer, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// SKEYID is there: message 2, HDR, SA, KE, Nr, IDir, HASH_R.
    private mutating func sayAnswer(_ current: Negotiation, _ context: inout Context) throws(Fault) {
        var negotiation = current
        guard let choice = negotiation.choice, let pair = negotiation.keyPair, let localIdentity,
            let keys = negotiation.keys
        else { throw .dropped("no message 1") }
        negotiation.choice = nil
        negotiation.ownIdentityBody = Identification.body(localIdentity)
        let proof = try proof(by: .responder, negotiation, identity: negotiation.ownIdentityBody)
        let payloads =
            [
                choice, Payload(.keyExchange, body: pair.publicValue), Payload(.nonce, body: negotiation.ownNonce),
                Payload(.identification, body: negotiation.ownIdentityBody), Payload(.hash, body: proof),
            ] + vendorIDs(for: connection) + (try natDiscoveryPayloads(keys.hash, context))
        sendPhaseOne(payloads, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// Message 3: HASH_I, encrypted or in clear.
    private mutating func receiveProof(
        _ current: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        guard let keys = negotiation.keys, var chain = negotiation.chain, let peer = remoteIdentity else {
            throw .dropped("message 3 before message 2")
        }
        let isEncrypted = header.flags.contains(.encryption)
        let payloads =
            isEncrypted
            ? try chain.open(datagram.octets, header: header, keys: keys).payloads
            : try IKEv1Session.clearPayloads(datagram.octets, header)
        try check(payloads, of: negotiation.exchange, isEncrypted: isEncrypted)
        let expected = try proof(by: .initiator, negotiation, identity: negotiation.peerIdentityBody)
        guard ConstantTime.equal(IKEv1Session.hash(payloads), expected) else {
            throw .dropped("the proof of \(peer) does not hold")
        }
        try detectNAT(payloads, local: datagram.local, remote: datagram.remote, context)
        trace(datagram, payloads, isProtected: isEncrypted, &context)
        negotiation.chain = chain
        negotiation.exchange.accept(datagram.octets)
        follow(datagram, &context)
        noteInitialContact(payloads)
        try establish(negotiation, keys, PeerAuthenticated(verified: peer), &context)
    }

    /// Whether we wait for message 3, which the peer may have said long ago.
    var lacksMessageThree: Bool {
        guard case .negotiating(let negotiation) = phase else { return false }
        return negotiation.isAggressive && !isInitiator && negotiation.keys != nil
    }

    /// The peer speaks of phase 2, so it takes phase 1 for done: its message 3 was lost. Message 2 makes it say it again.
    func askForMessageThree(_ datagram: Datagram, _ context: inout Context) {
        guard case .negotiating(let negotiation) = phase else { return }
        repeatAnswer(to: datagram, negotiation, &context)
    }

    // MARK: Either

    /// SKEYID and the keys are there.
    mutating func continueAggressive(_ negotiation: Negotiation, _ context: inout Context) throws(Fault) {
        if isInitiator {
            try judgeAnswer(negotiation, &context)
        } else {
            try sayAnswer(negotiation, &context)
        }
    }

    mutating func receiveAggressive(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        switch phase {
        case .awaitingCommand:
            guard !isInitiator else { throw .dropped("nothing was asked yet") }
            try receiveFirst(datagram, header, &context)
        case .negotiating(let negotiation):
            guard negotiation.isAggressive else { throw .dropped("Aggressive Mode within Main Mode") }
            if negotiation.exchange.isRepetition(datagram.octets) {
                if !isInitiator { repeatAnswer(to: datagram, negotiation, &context) }
                return
            }
            guard header.initiator.value == initiatorCookie, !header.responder.isZero,
                isInitiator || header.responder.value == responderCookie
            else { throw .dropped("the cookies are another exchange's") }
            if isInitiator {
                try receiveAnswer(negotiation, datagram, header, &context)
            } else {
                try receiveProof(negotiation, datagram, header, &context)
            }
        case .established(let phaseOne): try repeatLast(phaseOne, to: datagram, &context)
        case .bereft, .closed: throw .dropped("phase 1 is over")
        }
    }

    /// The peer's identity, whose payload's body goes into its proof.
    private static func identity(_ payloads: [Payload], _ negotiation: inout Negotiation) throws(Fault) -> Identity {
        let body = payloads.first { $0.type == .identification }?.body ?? []
        negotiation.peerIdentityBody = body
        return try Attempt.parsing { () throws(ParseError) in try Identification.identity(body) }
    }

    private static func hash(_ payloads: [Payload]) -> [UInt8] { payloads.first { $0.type == .hash }?.body ?? [] }
}
