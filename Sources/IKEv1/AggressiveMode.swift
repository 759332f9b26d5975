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

    /// Message 1: HDR, SA, KE, Ni, IDii; or what of it can be seen once it is encrypted.
    mutating func beginAggressive(_ current: Negotiation, _ context: inout Context) throws(Fault) {
        var negotiation = current
        guard let connection, let localIdentity else { throw .dropped("no connection") }
        let offered = offered(by: connection)
        guard case .success(let selection) = Proposal.select(configured: offered, offered: offered),
            let group = selection.suite.keyExchange
        else { throw .dropped("no group") }
        if negotiation.method.isEncryption {
            // There is one transform, so it will be the suite.
            suite = selection.suite
            try encryptHalf(&negotiation, &context)
            phase = .negotiating(negotiation)
            return
        }
        let pair = try makeKeyPair(group, &context)
        negotiation.keyPair = pair
        negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
        negotiation.ownIdentityBody = Identification.body(localIdentity)
        let payloads = [
            Payload(.securityAssociation, body: negotiation.offer), Payload(.keyExchange, body: pair.publicValue),
            Payload(.nonce, body: negotiation.ownNonce),
            Payload(.identification, body: negotiation.ownIdentityBody),
        ]
        sendPhaseOne(
            payloads + certificateRequests(negotiation) + vendorIDs(for: connection), &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// What stands before the encrypted payloads of message 1. Behind the nonce nothing may stand in the clear
    /// (RFC 2409 §5.3).
    func openingPayloads(_ negotiation: Negotiation) -> [Payload] {
        [Payload(.securityAssociation, body: negotiation.offer)] + vendorIDs(for: connection)
    }

    /// Message 2: everything of the responder's at once. Its proof is checked when SKEYID is known.
    private mutating func receiveAnswer(
        _ current: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        guard negotiation.question == nil else { throw .dropped("another message 2 is being looked at") }
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        try check(payloads, of: negotiation.exchange, isEncrypted: false)
        responderCookie = header.responder.value
        negotiation.early = datagram
        let peer: Identity
        do throws(Fault) {
            try takeChoice(payloads, &negotiation)
            if negotiation.method.isEncryption {
                try decryptHalf(Negotiation.Received(datagram: datagram, payloads: payloads), &negotiation, &context)
                return
            }
            peer = try IKEv1Session.identity(payloads, &negotiation)
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
        try seek(local: localIdentity ?? Identity(local.address), remote: peer, &negotiation, &context)
    }

    /// SKEYID is there: see whether message 2 proves what it says.
    private mutating func judgeAnswer(_ current: Negotiation, _ context: inout Context) throws(Fault) {
        var negotiation = current
        guard let datagram = negotiation.early else { throw .dropped("no message 2") }
        negotiation.early = nil
        var reader = ByteReader(datagram.octets)
        let header = try Attempt.parsing { () throws(ParseError) in try Header(from: &reader) }
        var received = Negotiation.Received(
            datagram: datagram, payloads: try IKEv1Session.clearPayloads(datagram.octets, header))
        do throws(Fault) {
            try judge(&received, negotiation, &context)
        } catch {
            try suspect(received, negotiation, &context)
        }
    }

    /// The proof in message 2 or 3 holds.
    mutating func takeAggressive(
        _ received: Negotiation.Received, _ peer: PeerAuthenticated, _ current: Negotiation,
        _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        if !isInitiator {
            try detectNAT(
                received.payloads, local: received.datagram.local, remote: received.datagram.remote, context)
        }
        trace(received.datagram, received.payloads, isProtected: received.chain != nil, &context)
        negotiation.exchange.accept(received.datagram.octets)
        guard choose(peer, negotiation) else {
            sendClear(NotificationType.invalidIDInformation, &context)
            failPhaseOne(.identity(wanted: wantedIdentities(negotiation), seen: peer.identity), &context)
            return
        }
        remoteIdentity = peer.identity
        if isInitiator {
            context.noteAnswered(0, attempts: negotiation.attempts)
            negotiation.attempts = 0
            float(context)
            try prove(&negotiation, &context)
        } else {
            if let chain = received.chain { negotiation.chain = chain }
            follow(received.datagram, &context)
            try conclude(negotiation, &context)
        }
    }

    /// Message 3: HDR*, HASH_I or SIG_I.
    private mutating func sayLast(
        _ proof: Payload, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard let keys = negotiation.keys, var chain = negotiation.chain else { throw .dropped("no keys yet") }
        let answer =
            negotiation.ownCertificates + [proof] + (try natDiscoveryPayloads(keys.hash, context))
            + initialContact(context)
        let octets = try chain.seal(answer, header: self.header(.aggressive), keys: keys)
        negotiation.chain = chain
        sendPhaseOne(octets, answer, isProtected: true, &negotiation, &context)
        try conclude(negotiation, &context)
    }

    /// Message 2 does not prove what it says: forged, damaged, or made with another pre-shared key. We wait on for the real
    /// one; the very same octets again are meant.
    mutating func suspectAnswer(
        _ received: Negotiation.Received, _ current: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        let digest = try IKEv1Session.digest(received.datagram)
        let peer = received.peer ?? wantedIdentity
        guard negotiation.unreadable != digest else {
            sendClear(NotificationType.authenticationFailed, &context)
            failPhaseOne(received.judgement ?? .authentication(peer: peer), &context)
            return
        }
        context.note("the proof of \(peer) does not hold")
        negotiation.unreadable = digest
        negotiation.failure = received.judgement ?? .authentication(peer: peer)
        // As before message 2.
        negotiation.seed = nil
        negotiation.keys = nil
        negotiation.chain = nil
        negotiation.peerIdentityBody = []
        negotiation.peerHalf = nil
        responderCookie = 0
        phase = .negotiating(negotiation)
    }

    // MARK: Responder

    /// Message 1: find a connection for the identity, and ask for its key.
    private mutating func receiveFirst(
        _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        let payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        let encrypted = try IKEv1Session.encryptionMethod(payloads)
        var negotiation = Negotiation(Exchanges.aggressiveMode(encrypted ?? .preSharedKey), role: .responder)
        try check(payloads, of: negotiation.exchange, isEncrypted: false)
        negotiation.exchange.accept(datagram.octets)
        let peer = encrypted == nil ? try IKEv1Session.identity(payloads, &negotiation) : nil
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
        var candidates = willing
        if let peer {
            let fitting = willing.filter { $0.remoteIdentity.matches(peer) }
            if fitting.isEmpty, !willing.isEmpty {
                sendClear(NotificationType.authenticationFailed, &context)
                let refusal = Refusal.identity(wanted: willing.map(\.remoteIdentity), seen: peer)
                context.report(.refused(child: nil, refusal))
                close(.refused(refusal), &context)
                return
            }
            let closest = fitting.map { $0.remoteIdentity.specificity(for: peer) }.max()
            candidates = fitting.filter { $0.remoteIdentity.specificity(for: peer) == closest }
        }
        guard let choice = try selectSuite(among: candidates, payloads, &negotiation, &context) else { return }
        negotiation.choice = choice
        localIdentity = connection?.localIdentity ?? Identity(local.address)
        remoteIdentity = peer
        context.set(.halfOpen, after: context.settings.halfOpenTimeout)
        do throws(Fault) {
            guard let group = suite?.keyExchange else { throw .dropped("no group") }
            if negotiation.method.isEncryption {
                try decryptHalf(Negotiation.Received(datagram: datagram, payloads: payloads), &negotiation, &context)
                return
            }
            try takeKeyExchange(payloads, &negotiation)
            negotiation.keyPair = try makeKeyPair(group, &context)
            negotiation.ownNonce = context.environment.randomness.octets(Negotiation.nonceOctets)
            try seek(
                local: localIdentity ?? Identity(local.address), remote: peer ?? Identity(remote.address),
                &negotiation, &context)
        } catch {
            guard case .refused(let refusal, let notification) = error else { throw error }
            if let notification { sendClear(notification, &context) }
            failPhaseOne(refusal, &context)
            return
        }
    }

    /// The encryption method that message 1 offers; its identity cannot be read before it is decrypted. Offers do not mix
    /// such methods with others, whose message 1 looks different (RFC 2409 §5).
    private static func encryptionMethod(_ payloads: [Payload]) throws(Fault) -> PhaseOneMethod? {
        let offer = try securityAssociation(payloads)
        let methods = offer.proposals.filter { $0.protocolID == IPsecDOI.protocolISAKMP }.flatMap(\.transforms)
            .compactMap { PhaseOneProposal.method($0) }
        guard let encrypted = methods.first(where: \.isEncryption) else { return nil }
        guard methods.allSatisfy({ $0 == encrypted }) else {
            throw .dropped("an offer of Aggressive Mode has one form of message")
        }
        return encrypted
    }

    /// Message 2: HDR, SA, KE, Nr, IDir, HASH_R or SIG_R.
    private mutating func sayAnswer(
        _ proof: Payload, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard let choice = negotiation.choice, let pair = negotiation.keyPair, let keys = negotiation.keys else {
            throw .dropped("no message 1")
        }
        negotiation.choice = nil
        var payloads = [choice]
        if negotiation.method.isEncryption {
            payloads += vendorIDs(for: connection) + negotiation.halfPayloads + [proof]
        } else {
            payloads += [
                Payload(.keyExchange, body: pair.publicValue), Payload(.nonce, body: negotiation.ownNonce),
                Payload(.identification, body: negotiation.ownIdentityBody),
            ]
            payloads += negotiation.ownCertificates + [proof] + certificateRequests(negotiation)
            payloads += vendorIDs(for: connection) + (try natDiscoveryPayloads(keys.hash, context))
        }
        sendPhaseOne(payloads, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// Message 3: HASH_I or SIG_I, encrypted or in clear.
    private mutating func receiveProof(
        _ negotiation: Negotiation, _ datagram: Datagram, _ header: Header, _ context: inout Context
    ) throws(Fault) {
        guard let keys = negotiation.keys, var chain = negotiation.chain, negotiation.question == nil else {
            throw .dropped("message 3 before message 2")
        }
        let isEncrypted = header.flags.contains(.encryption)
        var received = Negotiation.Received(datagram: datagram, payloads: [])
        if isEncrypted {
            received.payloads = try chain.open(datagram.octets, header: header, keys: keys).payloads
            received.chain = chain
        } else {
            received.payloads = try IKEv1Session.clearPayloads(datagram.octets, header)
        }
        try check(received.payloads, of: negotiation.exchange, isEncrypted: isEncrypted)
        do throws(Fault) {
            try judge(&received, negotiation, &context)
        } catch {
            try suspect(received, negotiation, &context)
        }
    }

    /// Whether we wait for message 3, which the peer may have said long ago.
    var lacksMessageThree: Bool {
        guard case .negotiating(let negotiation) = phase else { return false }
        return negotiation.isAggressive && !isInitiator && negotiation.keys != nil
    }

    /// The peer speaks of phase 2, so it takes phase 1 for done: its message 3 was lost. Message 2 makes it say it again.
    func askForMessageThree(_ datagram: Datagram, _ header: Header, _ context: inout Context) {
        guard case .negotiating(let negotiation) = phase else { return }
        let isProven =
            header.initiator.value == initiatorCookie && header.responder.value == responderCookie
            && datagram.remote.address == remote.address
        repeatAnswer(to: datagram, isProven: isProven, negotiation, &context)
    }

    // MARK: Either

    /// SKEYID and the keys are there.
    mutating func continueAggressive(_ negotiation: Negotiation, _ context: inout Context) throws(Fault) {
        if isInitiator {
            try judgeAnswer(negotiation, &context)
        } else {
            var negotiation = negotiation
            try prove(&negotiation, &context)
        }
    }

    /// Our proof is there: the message that it belongs in.
    mutating func sayAggressive(
        _ proof: Payload, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        if isInitiator {
            try sayLast(proof, &negotiation, &context)
        } else {
            try sayAnswer(proof, &negotiation, &context)
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
}
