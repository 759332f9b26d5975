import Cryptography
import IPsec
import IPsecDOI
import ISAKMP
import Oakley
import Primitives
import SKEME

/// Phase 1 with public-key encryption (RFC 2409 §5.2) and with its revised mode (§5.3): each end encrypts its nonce, half
/// of a key, to the other's public key, and with it, or with a key that comes of it, its identity.
///
/// Whether a ciphertext's padding held is not told by anything that is done here: what is decrypted always looks like a
/// nonce and an identity, an identity that nobody has is answered like one that somebody has, and all that is wrong
/// shows at the end, when the HASH does not match (Bleichenbacher 1998).
extension IKEv1Session {
    /// Octets of an ID payload's body that is decrypted: its four of type, protocol and port, and something behind them.
    private static let identityRange = 5...1024

    // MARK: Our half

    /// Asks for our half of the key, encrypted for the peer: messages 3 and 4 of Main Mode, 1 and 2 of Aggressive Mode.
    mutating func encryptHalf(_ negotiation: inout Negotiation, _ context: inout Context) throws(Fault) {
        guard let localIdentity, let group = suite?.keyExchange, let key = peerKey(negotiation) else {
            throw .refused(.noCredential(local: seedIdentities.local, remote: seedIdentities.remote), notification: nil)
        }
        if negotiation.keyPair == nil { negotiation.keyPair = try makeKeyPair(group, &context) }
        let half = Secret.random(Negotiation.nonceOctets, &context.environment.randomness)
        negotiation.ownHalf = half
        negotiation.ownIdentityBody = Identification.body(localIdentity)
        var messages = [half]
        if negotiation.method.base == .rsaEncryption { messages.insert(Secret(negotiation.ownIdentityBody), at: 0) }
        guard let longest = key.longestPlaintext, messages.allSatisfy({ $0.count <= longest }) else {
            throw .refused(.policy("our identity is too long for the peer's key"), notification: nil)
        }
        ask(.encrypt(key, messages: messages), for: .encrypting, &negotiation, &context)
    }

    /// The key to which we encrypt. A responder whose peer says that it is somebody whom no connection accepts takes the
    /// first candidate's: to be silent would show that the identity could be read.
    private func peerKey(_ negotiation: Negotiation) -> PublicKey? {
        if isInitiator { return connection?.remote.first?.admittedKeys.first }
        let peer = try? Identification.identity(negotiation.peerIdentityBody)
        let fitting = peer.flatMap { fittingConnection(for: $0, negotiation) } ?? connection
        return fitting?.remote.first?.admittedKeys.first
    }

    /// Our half is encrypted: the message that holds it.
    mutating func sayHalf(
        _ ciphertexts: [[UInt8]], _ current: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        var payloads = try halfPayloads(ciphertexts, negotiation, context)
        if !isInitiator { try deriveEncryptionKeys(&negotiation, &context) }
        if negotiation.isAggressive {
            if isInitiator {
                payloads.insert(contentsOf: openingPayloads(negotiation), at: 0)
                sendPhaseOne(payloads, &negotiation, &context)
                phase = .negotiating(negotiation)
            } else {
                negotiation.halfPayloads = payloads
                try prove(&negotiation, &context)
            }
            return
        }
        sendPhaseOne(payloads, &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// KE, [HASH(1),] ID, N; or in the revised mode [HASH(1),] N, KE, ID, with what follows the nonce encrypted.
    private func halfPayloads(
        _ ciphertexts: [[UInt8]], _ negotiation: Negotiation, _ context: Context
    ) throws(Fault) -> [Payload] {
        guard let pair = negotiation.keyPair, let hash = suite?.prf?.hash else { throw .dropped("no suite yet") }
        let knowsCookies = !(isInitiator && negotiation.isAggressive)
        let discovery = knowsCookies ? try natDiscoveryPayloads(hash, context) : []
        let name = try keyName(hash, negotiation)
        if negotiation.method.base == .rsaEncryption {
            guard ciphertexts.count == 2 else { throw .dropped("an identity and a nonce") }
            let value = [Payload(.keyExchange, body: pair.publicValue)]
            // The two modes' figures place HASH(1) differently.
            return (negotiation.isAggressive ? name + value : value + name) + [
                Payload(.identification, body: ciphertexts[0]), Payload(.nonce, body: ciphertexts[1]),
            ] + discovery
        }
        guard ciphertexts.count == 1 else { throw .dropped("a nonce") }
        var cipher = try ephemeralCipher(negotiation.ownHalf, ownCookie)
        let sealed = try Attempt.cryptography { () throws(CryptographyError) in
            var sealed: [Payload] = []
            for payload in [
                Payload(.keyExchange, body: pair.publicValue),
                Payload(.identification, body: negotiation.ownIdentityBody),
            ] + discovery {
                sealed.append(Payload(payload.type, body: try cipher.seal(payload.body)))
            }
            return sealed
        }
        return name + [Payload(.nonce, body: ciphertexts[0])] + sealed
    }

    /// HASH(1), where the responder has more keys than one and must be told which is meant.
    private func keyName(_ hash: HashID, _ negotiation: Negotiation) throws(Fault) -> [Payload] {
        guard isInitiator, let keys = connection?.remote.first?.admittedKeys, keys.count > 1 else { return [] }
        let name = try Attempt.cryptography { () throws(CryptographyError) in
            try PublicKeyEncryption.keyName(hash, certificate: keys[0].subjectPublicKeyInfo)
        }
        return [Payload(.hash, body: name)]
    }

    private func ephemeralCipher(_ half: Secret?, _ cookie: UInt64) throws(Fault) -> RevisedEncryption {
        guard let half, let suite, let prf = suite.prf else { throw .dropped("no nonce yet") }
        return try Attempt.cryptography { () throws(CryptographyError) in
            try RevisedEncryption.key(prf, cipher: suite.encryption, half: half, cookie: cookie.octets)
        }
    }

    // MARK: The peer's half

    /// Asks for what the peer encrypted for us.
    mutating func decryptHalf(
        _ received: Negotiation.Received, _ negotiation: inout Negotiation, _ context: inout Context
    ) throws(Fault) {
        guard let hash = suite?.prf?.hash, let key = try ownKey(received.payloads, hash, negotiation) else {
            throw .refused(.noCredential(local: seedIdentities.local, remote: seedIdentities.remote), notification: nil)
        }
        func body(_ type: PayloadType) -> [UInt8] { received.payloads.first { $0.type == type }?.body ?? [] }
        var ciphertexts = [Question.Ciphertext(body(.nonce), lengths: Negotiation.nonceRange)]
        if negotiation.method.base == .rsaEncryption {
            ciphertexts.insert(
                Question.Ciphertext(body(.identification), lengths: IKEv1Session.identityRange), at: 0)
        } else {
            try IKEv1Session.checkOrder(received.payloads)
        }
        ask(.decrypt(key, ciphertexts: ciphertexts), for: .decrypting(received), &negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// The key of ours that HASH(1) names; the first without such a name.
    private func ownKey(
        _ payloads: [Payload], _ hash: HashID, _ negotiation: Negotiation
    ) throws(Fault) -> PublicKey? {
        let connections =
            isInitiator
            ? [connection].compactMap { $0 }
            : negotiation.candidates.filter { methods(of: $0).contains(negotiation.method) }
        let keys = connections.flatMap { $0.local.first?.admittedKeys ?? [] }
        // In Aggressive Mode's message 2 HASH is HASH_R.
        guard !isInitiator, let name = payloads.first(where: { $0.type == .hash })?.body else { return keys.first }
        for key in keys {
            let own = try Attempt.cryptography { () throws(CryptographyError) in
                try PublicKeyEncryption.keyName(hash, certificate: key.subjectPublicKeyInfo)
            }
            if own == name { return key }
        }
        return keys.first
    }

    /// "If the HASH payload is not sent, the first payload … MUST be the encrypted nonce" (RFC 2409 §5.3): all that is
    /// encrypted with the nonce's key follows it.
    private static func checkOrder(_ payloads: [Payload]) throws(Fault) {
        let before = payloads.prefix { $0.type != .nonce }.map(\.type)
        let allowed = MessageRule.universal.union([.securityAssociation, .hash])
        guard before.allSatisfy({ allowed.contains($0) }) else {
            throw .dropped("in the revised mode the nonce comes before what is encrypted with its key")
        }
    }

    /// The peer's half of the key, and who it says it is.
    mutating func receiveHalf(
        _ messages: [Secret], _ received: Negotiation.Received, _ current: Negotiation, _ context: inout Context
    ) throws(Fault) {
        var negotiation = current
        var payloads = received.payloads
        negotiation.peerHalf = messages.last
        if negotiation.method.base == .rsaEncryption {
            guard messages.count == 2 else { throw .dropped("an identity and a nonce") }
            negotiation.peerIdentityBody = messages[0].exposed
        } else {
            payloads = try openBehindNonce(payloads, negotiation)
            negotiation.peerIdentityBody = payloads.first { $0.type == .identification }?.body ?? []
        }
        negotiation.peerPublicValue = payloads.first { $0.type == .keyExchange }?.body ?? []
        if !(negotiation.isAggressive && !isInitiator) {
            try detectNAT(payloads, local: local, remote: remote, context)
        }
        if isInitiator {
            try deriveEncryptionKeys(&negotiation, &context)
            try haveKeys(&negotiation, &context)
            return
        }
        // One that cannot be read is nobody's, and answered like any other: what stands in for a broken ciphertext may
        // look like anything.
        let peer = try? Identification.identity(negotiation.peerIdentityBody)
        if let fitting = peer.flatMap({ fittingConnection(for: $0, negotiation) }) {
            connection = fitting
        } else {
            context.note("no connection accepts \(peer.map(\.description) ?? "an identity that cannot be read")")
        }
        localIdentity = connection?.localIdentity ?? Identity(local.address)
        try encryptHalf(&negotiation, &context)
        phase = .negotiating(negotiation)
    }

    /// Decrypts what follows the nonce. With a wrong key that is noise, which is taken for what it should be.
    private func openBehindNonce(_ payloads: [Payload], _ negotiation: Negotiation) throws(Fault) -> [Payload] {
        guard let group = suite?.keyExchange, let nonce = payloads.firstIndex(where: { $0.type == .nonce }) else {
            throw .dropped("a nonce")
        }
        var cipher = try ephemeralCipher(negotiation.peerHalf, isInitiator ? responderCookie : initiatorCookie)
        guard let valueOctets = KeyDetermination.publicValueOctets(group, in: groups.registry) else {
            throw .dropped("no such group")
        }
        var opened = Array(payloads[...nonce])
        for payload in payloads[(nonce + 1)...] {
            // HASH_R stands in the clear (RFC 2409 §5.3).
            if payload.type == .hash {
                opened.append(payload)
                continue
            }
            guard payload.type != .keyExchange || payload.body.count == cipher.sealedOctets(valueOctets) else {
                throw .dropped("a public value of the group, encrypted")
            }
            let body = try Attempt.cryptography { () throws(CryptographyError) in try cipher.open(payload.body) }
            switch payload.type {
            case .keyExchange: opened.append(Payload(.keyExchange, body: Array(body.prefix(valueOctets))))
            case .identification:
                let plain = RevisedEncryption.unpadded(body)
                let isShort = plain.count < IKEv1Session.identityRange.lowerBound
                opened.append(Payload(.identification, body: isShort ? body : plain))
            default: opened.append(Payload(payload.type, body: RevisedEncryption.unpadded(body)))
            }
        }
        return opened
    }

    /// SKEYID of both halves, and the keys.
    private func deriveEncryptionKeys(_ negotiation: inout Negotiation, _ context: inout Context) throws(Fault) {
        guard let own = negotiation.ownHalf, let peer = negotiation.peerHalf, let prf = suite?.prf, let hash = prf.hash
        else { throw .dropped("no nonces yet") }
        let cookies = (initiatorCookie.octets, responderCookie.octets)
        let isFirst = isInitiator
        let seed = try Attempt.cryptography { () throws(CryptographyError) in
            try PublicKeyEncryption.seed(
                prf, hash: hash, initiatorHalf: isFirst ? own : peer, responderHalf: isFirst ? peer : own,
                initiatorCookie: cookies.0, responderCookie: cookies.1)
        }
        try deriveKeys(seed, &negotiation, &context)
        // The halves end with the negotiation: another message 2 may still come and be the true one. What is made of them
        // to encrypt with is made anew for each message (RFC 2409 §5.3: "MUST be discarded after use").
    }
}
