package import Primitives

/// Saying and judging messages, element by element.
extension ExchangeRun {
    /// Octets of nonces and key shares: 256 bits, more than RFC 2412 §2.3.1's 90.
    static var freshOctets: Int { 32 }
    /// Shortest and longest nonce that is taken (RFC 2412 §2.3.1: 90 bits; RFC 2409 §5: 8 to 256 octets).
    static var nonceOctets: ClosedRange<Int> { 12...256 }

    private var rule: MessageRule? {
        exchange.isFinished ? nil : description.messages[exchange.passed]
    }

    // MARK: Saying

    /// The payloads of our next message. The run is as after it; the caller says how they went out.
    package mutating func say(_ randomness: inout Randomness) throws(Fault) -> [Payload] {
        guard let rule, rule.sender == role else { throw .refused(.grammar(.notAwaited)) }
        var payloads: [Payload] = []
        for element in rule.elements { payloads.append(try payload(element, &randomness)) }
        finishStep()
        return payloads
    }

    private mutating func payload(_ element: Element, _ randomness: inout Randomness) throws(Fault) -> Payload {
        switch element.content {
        case .own(let symbol):
            guard case .open(let octets) = try contribution(symbol, &randomness) else {
                throw .refused(.unprepared(symbol.name))
            }
            return Payload(element.type, body: octets)
        case .known(let value): return Payload(element.type, body: try exposed(value))
        case .proof(let key, let over): return Payload(.hash, body: try exposed(.prf(key, over)))
        case .authentication(_, let key, let over):
            guard suite?.authentication == .signature else {
                return Payload(.hash, body: try exposed(.prf(key, over)))
            }
            guard let identity = ownIdentity else { throw .refused(.unprepared("own identity")) }
            let octets = try exposed(over)
            guard case .octets(let signature) = try ask(.sign(identity: identity, octets: octets)) else {
                throw .refused(.unprepared("no key to sign with"))
            }
            return Payload(.signature, body: signature)
        case .sealed(let sealed): return Payload(element.type, body: try seal(sealed, &randomness))
        case .masked(let symbol, let mask):
            let value = try contribution(symbol, &randomness)
            let plain = functions.exposed(functions.join([value]))
            return Payload(element.type, body: try masked(plain, by: mask))
        }
    }

    private mutating func masked(_ octets: [UInt8], by mask: Expression) throws(Fault) -> [UInt8] {
        let mask = try exposed(mask)
        // RFC 2412 §2.11.1: the key that protects is at least as long as the one that is protected.
        guard !octets.isEmpty, octets.count <= mask.count else { throw .refused(.unprepared("key length")) }
        return zip(octets, mask).map { $0 ^ $1 }
    }

    /// What we contribute: drawn once, or named by policy.
    private mutating func contribution(
        _ symbol: Symbol, _ randomness: inout Randomness
    ) throws(Fault) -> Value<Key> {
        if let known = values[symbol] { return known }
        let value: Value<Key>
        let isEnds = symbol == .initiatorIdentity || symbol == .responderIdentity
        if let given = policy.given[symbol], !isEnds || policy.identities.isEmpty {
            value = given
        } else {
            switch symbol.kind {
            case .nonce:
                value = .open(description.integers.encode(randomness.octets(Self.freshOctets)))
            case .share: value = .secret(functions.random(Self.freshOctets, &randomness))
            case .publicValue: value = .open(try freshPublicValue(symbol, &randomness))
            case .identity:
                let isOwn = (symbol == .initiatorIdentity) == (role == .initiator)
                guard let body = isOwn ? policy.identities.first : policy.peerIdentity else {
                    throw .refused(.unprepared(symbol.name))
                }
                value = .open(body)
            case .association: value = .open(try association(symbol))
            case .cookie, .given: throw .refused(.unprepared(symbol.name))
            }
        }
        values[symbol] = value
        return value
    }

    private mutating func freshPublicValue(
        _ symbol: Symbol, _ randomness: inout Randomness
    ) throws(Fault) -> [UInt8] {
        guard let suite else { throw .refused(.unprepared("no group")) }
        do throws(FunctionFailure) {
            if let pair { return description.integers.encode(functions.publicValue(pair)) }
            let fresh = try functions.makeKeyPair(suite, &randomness)
            pair = fresh
            return description.integers.encode(functions.publicValue(fresh))
        } catch { throw .refused(.unprepared("group \(suite.group)")) }
    }

    private mutating func association(_ symbol: Symbol) throws(Fault) -> [UInt8] {
        if symbol == .choice {
            guard let choice else { throw .refused(.unprepared("nothing chosen")) }
            return choice.body
        }
        guard let offer = policy.offer, !offer.proposals.isEmpty else { throw .refused(.unprepared("no offer")) }
        let said = description.type == .aggressive && description.isEager ? offer.first : offer
        self.offer = said
        if description.isEager { suite = functions.suite(said.first) }
        return said.body
    }

    private mutating func seal(
        _ sealed: Element.Sealed, _ randomness: inout Randomness
    ) throws(Fault) -> [UInt8] {
        var parts: [Value<Key>] = []
        for part in sealed.parts {
            let value: Value<Key>
            switch part {
            case .own(let symbol): value = try contribution(symbol, &randomness)
            case .known(let symbol): value = .secret(try key(.symbol(symbol)))
            case .sealed(let inner): value = .open(try seal(inner, &randomness))
            }
            let body = functions.join([value])
            guard let count = UInt16(exactly: functions.count(body)) else { throw .refused(.unprepared("length")) }
            parts += [.open([UInt8(count >> 8), UInt8(truncatingIfNeeded: count)]), .secret(body)]
        }
        guard case .open(let identity) = try contribution(sealed.identity, &randomness) else {
            throw .refused(.unprepared(sealed.identity.name))
        }
        let question = Question.encrypt(identity: identity, plaintext: functions.join(parts))
        guard case .octets(let ciphertext) = try ask(question) else {
            throw .refused(.unprepared("no public key of the peer"))
        }
        return ciphertext
    }

    // MARK: Judging

    /// Takes the peer's next message, its payloads opened. The run is as after it.
    package mutating func judge(_ payloads: [Payload], isEncrypted: Bool) throws(Fault) {
        do throws(ExchangeError) {
            try exchange.check(payloads, isEncrypted: isEncrypted)
        } catch { throw .refused(.grammar(error)) }
        guard let rule, rule.sender != role else { throw .refused(.grammar(.notAwaited)) }
        var rest = payloads
        for element in rule.elements {
            let types = types(element)
            guard let index = rest.firstIndex(where: { types.contains($0.type) }) else {
                throw .refused(.grammar(.missing(types.first ?? element.type)))
            }
            try take(rest.remove(at: index), as: element)
        }
        // More of a type than the message has elements for.
        if let extra = rest.first(where: { !MessageRule.universal.contains($0.type) && $0.type.rawValue < 128 }) {
            throw .refused(.grammar(.repeated(extra.type)))
        }
        finishStep()
    }

    private func types(_ element: Element) -> Set<PayloadType> {
        guard case .authentication = element.content else { return [element.type] }
        return [suite?.authentication == .signature ? .signature : .hash]
    }

    private mutating func take(_ payload: Payload, as element: Element) throws(Fault) {
        switch element.content {
        case .own(let symbol): try learn(symbol, .open(payload.body))
        case .known(let value):
            guard functions.equal(payload.body, try exposed(value)) else { throw .refused(.contradiction) }
        case .proof(let key, let over):
            guard functions.equal(payload.body, try exposed(.prf(key, over))) else {
                throw .refused(.authentication)
            }
            isPeerProven = true
        case .authentication(_, let key, let over): try verify(payload, key, over)
        case .sealed(let sealed): try open(sealed, payload.body)
        case .masked(let symbol, let mask):
            try learn(symbol, .secret(functions.key(try masked(payload.body, by: mask))))
        }
    }

    private mutating func verify(_ payload: Payload, _ key: Expression, _ over: Expression) throws(Fault) {
        if suite?.authentication == .signature {
            guard let identity = peerIdentity else { throw .refused(.authentication) }
            let octets = try exposed(over)
            guard case .holds = try ask(.verify(identity: identity, octets: octets, signature: payload.body)) else {
                throw .refused(.authentication)
            }
        } else {
            guard functions.equal(payload.body, try exposed(.prf(key, over))) else {
                throw .refused(.authentication)
            }
        }
        isPeerProven = true
    }

    private mutating func open(_ sealed: Element.Sealed, _ ciphertext: [UInt8]) throws(Fault) {
        guard let identity = open(sealed.identity) else { throw .refused(.unprepared(sealed.identity.name)) }
        guard policy.identities.contains(identity) else { throw .refused(.identity(identity)) }
        guard case .key(let plaintext) = try ask(.decrypt(identity: identity, ciphertext: ciphertext)) else {
            throw .refused(.unreadable)
        }
        var offset = 0
        for part in sealed.parts {
            let body = try nextPart(plaintext, &offset)
            switch part {
            case .own(let symbol):
                try learn(symbol, symbol.kind == .share ? .secret(body) : .open(functions.exposed(body)))
            case .known(let symbol):
                guard functions.equal(functions.exposed(body), try exposed(.symbol(symbol))) else {
                    throw .refused(.contradiction)
                }
            case .sealed(let inner): try open(inner, functions.exposed(body))
            }
        }
        guard offset == functions.count(plaintext) else { throw .refused(.unreadable) }
    }

    private func nextPart(_ plaintext: Key, _ offset: inout Int) throws(Fault) -> Key {
        let total = functions.count(plaintext)
        guard offset + 2 <= total else { throw .refused(.unreadable) }
        let head = functions.exposed(functions.part(plaintext, offset..<(offset + 2)))
        let count = Int(head[0]) << 8 | Int(head[1])
        guard offset + 2 + count <= total else { throw .refused(.unreadable) }
        defer { offset += 2 + count }
        return functions.part(plaintext, (offset + 2)..<(offset + 2 + count))
    }

    /// Something that the peer contributes. What is named twice must stay the same.
    private mutating func learn(_ symbol: Symbol, _ value: Value<Key>) throws(Fault) {
        switch (symbol.kind, value) {
        case (.association, .open(let octets)): try learnAssociation(symbol, octets)
        case (.nonce, .open(let octets)):
            guard let digits = try? description.integers.decode(octets), Self.nonceOctets.contains(digits.count) else {
                throw .refused(.invalidValue(symbol))
            }
        case (.share, .secret(let key)):
            guard Self.nonceOctets.contains(functions.count(key)) else { throw .refused(.invalidValue(symbol)) }
        case (.identity, .open(let octets)): try learnIdentity(symbol, octets)
        case (.publicValue, .open(let octets)):
            guard !octets.isEmpty, octets.count <= Int(UInt16.max) else { throw .refused(.invalidValue(symbol)) }
        default: break
        }
        values[symbol] = value
    }

    private mutating func learnIdentity(_ symbol: Symbol, _ octets: [UInt8]) throws(Fault) {
        let isPeers = (symbol == .initiatorIdentity) == (role == .responder)
        let isAcceptable =
            isPeers
            ? policy.accepts(octets) && (policy.peerIdentity == nil || policy.peerIdentity == octets)
            : policy.identities.contains(octets)
        guard isAcceptable else { throw .refused(.identity(octets)) }
    }

    private mutating func learnAssociation(_ symbol: Symbol, _ octets: [UInt8]) throws(Fault) {
        let payload: SecurityAssociationPayload
        do throws(ParseError) {
            payload = try SecurityAssociationPayload(parsing: octets[...], Functions.DOI.self)
        } catch { throw .refused(.malformed(error)) }
        if symbol == .offer {
            offer = payload
            if description.type == .aggressive, description.isEager, !payload.isSingle {
                throw .refused(.noProposalChosen)
            }
            let eager = description.isEager ? functions.suite(payload.first) : nil
            let chosen = policy.offer.flatMap { accepted in
                payload.choice(among: accepted) { proposal, transform in
                    guard description.isEager else { return true }
                    return eager?.isAlike(functions.suite(payload.single(proposal, transform))) == true
                }
            }
            guard let chosen else { throw .refused(.noProposalChosen) }
            choice = chosen
        } else {
            guard let offer, offer.allows(payload) else { throw .refused(.badChoice) }
            choice = payload
        }
        guard let choice, let agreed = functions.suite(choice) else { throw .refused(.noProposalChosen) }
        if let suite, description.isEager, !suite.isAlike(agreed) { throw .refused(.badChoice) }
        suite = agreed
    }
}

extension ExchangeSuite {
    /// Whether what was computed for one is right for the other.
    fileprivate func isAlike(_ other: ExchangeSuite?) -> Bool {
        group == other?.group && authentication == other?.authentication && hash == other?.hash
    }
}

extension SecurityAssociationPayload {
    /// The payload with one protocol and transform of it.
    fileprivate func single(_ proposal: ProposalPayload, _ transform: TransformPayload) -> SecurityAssociationPayload {
        var payload = self
        var only = proposal
        only.transforms = [transform]
        payload.proposals = [only]
        return payload
    }
}
