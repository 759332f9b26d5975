import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Primitives
import SKEME

/// Base Mode: ISAKMP's Base exchange (RFC 2408 §4.4) as phase 1 with a pre-shared key, in the form of
/// draft-ietf-ipsec-ike-base-mode-02, which other daemons spoke. Identities come first, so the responder finds the key by
/// identity as in Aggressive Mode, and no Diffie-Hellman value is computed for an initiator that has not returned its cookie.
/// Identities are seen by whoever watches, and whoever plays the responder gets HASH_I to guess keys against.
extension IKEv1Session {
    // MARK: Initiator

    /// What message 1 holds besides the SA: IDii, Ni.
    mutating func basePayloads(_ negotiation: inout Negotiation, _ context: inout Context) -> [Payload] {
        negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        negotiation.ownIdentityBody = Identification.body(localIdentity ?? Identity(local.address))
        return [
            Payload(.identification, body: negotiation.ownIdentityBody),
            Payload(.nonce, body: negotiation.ownNonce),
        ]
    }

    /// Message 2: the choice, IDir, Nr.
    private mutating func receiveBaseAnswer(
        _ current: Negotiation, _ datagram: Datagram, _ header: Header, _ payloads: [Payload],
        _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        let peer = try IKEv1Session.baseIdentity(payloads, &negotiation)
        try takeBaseNonce(payloads, &negotiation)
        responderCookie = header.responder.value
        do throws(Fault) {
            try takeChoice(payloads, &negotiation)
            guard let wanted = connection?.remoteIdentity, wanted.matches(peer) else {
                throw .refused(
                    .identity(wanted: connection.map { [$0.remoteIdentity] } ?? [], seen: peer),
                    notification: NotificationType.invalidIDInformation)
            }
            guard let group = suite?.keyExchange else { throw .dropped("no group") }
            negotiation.keyPair = try makeKeyPair(group, &context)
        } catch {
            guard case .refused(let refusal, let notification) = error else { throw error }
            if let notification { sendClear(notification, &context) }
            failPhaseOne(refusal, &context)
            return
        }
        negotiation.exchange.accept(datagram.octets)
        context.noteAnswered(0, attempts: negotiation.attempts)
        negotiation.attempts = 0
        context.cancel(.retransmit(spi: ownCookie, messageID: 0))
        trace(datagram, payloads, isProtected: false, &context)
        remoteIdentity = peer
        try seek(local: localIdentity ?? Identity(local.address), remote: peer, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// SKEYID is there: message 3, KE, HASH_I, in which g^xr can have no part yet:
    ///
    ///     HASH_I = prf(SKEYID, g^xi | CKY-I | CKY-R | SAi_b | IDii_b)
    private mutating func sayBaseProof(_ current: Negotiation, _ context: inout Context) throws(Fault) {
        var negotiation = current
        guard let pair = negotiation.keyPair, let hash = suite?.prf?.hash else { throw .dropped("no message 2") }
        let payloads =
            [
                Payload(.keyExchange, body: pair.publicValue),
                Payload(.hash, body: try baseProof(negotiation, pair.publicValue, negotiation.ownIdentityBody)),
            ] + (try natDiscoveryPayloads(hash, context))
        sendPhaseOne(payloads, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// HASH_I: the responder's value is empty in it.
    private func baseProof(
        _ negotiation: Negotiation, _ publicValue: [UInt8], _ identity: [UInt8]
    ) throws(Fault) -> [UInt8] {
        guard let prf = suite?.prf, let seed = negotiation.seed else { throw .dropped("no seed yet") }
        return try Attempt.cryptography { () throws(CryptographyError) in
            try PreSharedKey.proof(
                prf, seed: seed, own: (publicValue, initiatorCookie.octets), peer: ([], responderCookie.octets),
                offer: negotiation.offer, identity: identity)
        }
    }

    /// Message 4: KE, HASH_R.
    private mutating func receiveBaseEnd(
        _ current: Negotiation, _ datagram: Datagram, _ payloads: [Payload], _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        guard let seed = negotiation.seed, let peer = remoteIdentity else { throw .dropped("no message 3") }
        negotiation.peerPublicValue = payloads.first { $0.type == .keyExchange }?.body ?? []
        try deriveKeys(seed, &negotiation, &context)
        guard let keys = negotiation.keys else { throw .dropped("no keys") }
        let expected = try proof(by: .responder, negotiation, identity: negotiation.peerIdentityBody)
        guard ConstantTime.equal(payloads.first { $0.type == .hash }?.body ?? [], expected) else {
            throw .dropped("the proof of \(peer) does not hold")
        }
        try detectNAT(payloads, local: datagram.local, remote: datagram.remote, context)
        trace(datagram, payloads, isProtected: false, &context)
        negotiation.exchange.accept(datagram.octets)
        float(context)
        try establish(negotiation, keys, PeerAuthenticated(verified: peer), &context)
    }

    // MARK: Responder

    /// Message 1: find a connection for the identity; message 2: HDR, SA, IDir, Nr. Nothing costly has happened yet.
    private mutating func receiveBaseOffer(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = Negotiation(Exchanges.baseMode, role: .responder)
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        try check(payloads, of: negotiation.exchange, isEncrypted: false)
        negotiation.exchange.accept(datagram.octets)
        let peer = try IKEv1Session.baseIdentity(payloads, &negotiation)
        try takeBaseNonce(payloads, &negotiation)
        trace(datagram, payloads, isProtected: false, &context)
        initiatorCookie = header.initiator.value
        let all = context.environment.policies.candidates(local: local.address, remote: remote.address, version: .v1)
        let willing = all.filter(\.isBase)
        if willing.isEmpty, let first = all.first {
            refuseOffer(
                .policy(
                    "Base Mode shows identities, and connection '\(first.name)' does not say 'exchange = base'"),
                &context)
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
        localIdentity = connection?.localIdentity ?? Identity(local.address)
        remoteIdentity = peer
        negotiation.ownIdentityBody = Identification.body(localIdentity ?? Identity(local.address))
        negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        sendPhaseOne(
            [
                choice, Payload(.identification, body: negotiation.ownIdentityBody),
                Payload(.nonce, body: negotiation.ownNonce),
            ] + (connection.map { vendorIDs(for: $0) } ?? []), &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// Message 3 waits for SKEYID.
    private mutating func receiveBaseProof(
        _ current: Negotiation, _ datagram: Datagram, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        guard negotiation.question == nil else { throw .dropped("another message 3 is being looked at") }
        negotiation.early = datagram
        guard let peer = remoteIdentity else { throw .dropped("no message 1") }
        phase = .negotiating(negotiation)
        if negotiation.seed != nil { return try judgeBaseProof(negotiation, &context) }
        try seek(local: localIdentity ?? Identity(local.address), remote: peer, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// SKEYID is there: see whether message 3 proves what message 1 said, and only then compute; message 4: KE, HASH_R.
    private mutating func judgeBaseProof(_ current: Negotiation, _ context: inout Context) throws(Fault) {
        var negotiation = current
        guard let datagram = negotiation.early, let peer = remoteIdentity, let group = suite?.keyExchange,
            let hash = suite?.prf?.hash
        else { throw .dropped("no message 3") }
        negotiation.early = nil
        // Whatever becomes of this message, the seed stays.
        phase = .negotiating(negotiation)
        var reader = ByteReader(datagram.octets)
        let header = try Attempt.parsing { () throws(ParseError) in try Header(from: &reader) }
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        let value = payloads.first { $0.type == .keyExchange }?.body ?? []
        let expected = try baseProof(negotiation, value, negotiation.peerIdentityBody)
        guard ConstantTime.equal(payloads.first { $0.type == .hash }?.body ?? [], expected) else {
            context.note("the proof of \(peer) does not hold")
            if negotiation.failure == nil {
                negotiation.failure = .authentication(peer: peer)
                context.report(.refused(child: nil, .authentication(peer: peer)))
                phase = .negotiating(negotiation)
            }
            return
        }
        negotiation.peerPublicValue = value
        negotiation.keyPair = try makeKeyPair(group, &context)
        guard let seed = negotiation.seed, let pair = negotiation.keyPair else { throw .dropped("no seed") }
        do throws(Fault) {
            try deriveKeys(seed, &negotiation, &context)
        } catch {
            guard case .refused(let refusal, _) = error else { throw error }
            failPhaseOne(refusal, &context)
            return
        }
        guard let keys = negotiation.keys else { throw .dropped("no keys") }
        try detectNAT(payloads, local: datagram.local, remote: datagram.remote, context)
        trace(datagram, payloads, isProtected: false, &context)
        negotiation.exchange.accept(datagram.octets)
        follow(datagram, &context)
        let answer =
            [
                Payload(.keyExchange, body: pair.publicValue),
                Payload(.hash, body: try proof(by: .responder, negotiation, identity: negotiation.ownIdentityBody)),
            ] + (try natDiscoveryPayloads(hash, context))
        sendPhaseOne(answer, &negotiation, &context)
        try establish(negotiation, keys, PeerAuthenticated(verified: peer), &context)
    }

    // MARK: Either

    /// SKEYID is there.
    mutating func continueBase(_ negotiation: Negotiation, _ context: inout Context) throws(Fault) {
        if isInitiator {
            try sayBaseProof(negotiation, &context)
        } else {
            try judgeBaseProof(negotiation, &context)
        }
    }

    mutating func receiveBase(_ datagram: Datagram, _ header: Header, _ context: inout Context) throws(Fault) {
        switch phase {
        case .awaitingCommand:
            guard !isInitiator else { throw .dropped("nothing was asked yet") }
            try receiveBaseOffer(datagram, header, &context)
        case .negotiating(let negotiation):
            guard negotiation.isBase else { throw .dropped("Base Mode within another mode") }
            if negotiation.exchange.isRepetition(datagram.octets) {
                if !isInitiator { repeatAnswer(to: datagram, negotiation, &context) }
                return
            }
            guard header.initiator.value == initiatorCookie, !header.responder.isZero,
                header.responder.value == responderCookie || (isInitiator && responderCookie == 0)
            else { throw .dropped("the cookies are another exchange's") }
            let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
            try check(payloads, of: negotiation.exchange, isEncrypted: false)
            switch negotiation.exchange.passed {
            case 1: try receiveBaseAnswer(negotiation, datagram, header, payloads, &context)
            case 2: try receiveBaseProof(negotiation, datagram, &context)
            default: try receiveBaseEnd(negotiation, datagram, payloads, &context)
            }
        case .established(let phaseOne): try repeatLast(phaseOne, to: datagram, &context)
        case .bereft, .closed: throw .dropped("phase 1 is over")
        }
    }

    private static func baseIdentity(_ payloads: [Payload], _ negotiation: inout Negotiation) throws(Fault) -> Identity
    {
        let body = payloads.first { $0.type == .identification }?.body ?? []
        negotiation.peerIdentityBody = body
        return try Attempt.parsing { () throws(ParseError) in try Identification.identity(body) }
    }

    private func takeBaseNonce(_ payloads: [Payload], _ negotiation: inout Negotiation) throws(Fault) {
        let nonce = payloads.first { $0.type == .nonce }?.body ?? []
        guard Negotiation.nonceRange.contains(nonce.count) else { throw .dropped("a nonce has 8 to 256 octets") }
        negotiation.peerNonce = nonce
    }
}
