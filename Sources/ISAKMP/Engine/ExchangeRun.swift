package import Primitives

/// Why a message of an exchange was not taken, or could not be said.
package enum ExchangeRefusal: Error, Hashable, Sendable {
    case grammar(ExchangeError)
    case malformed(ParseError)
    /// None of the offers is acceptable.
    case noProposalChosen
    /// The answer is none of the offers, or an eager first message was made for another one.
    case badChoice
    /// The peer's public value, nonce or key share is not to be used.
    case invalidValue(Symbol)
    /// The peer repeats something that was not said.
    case contradiction
    /// The peer names an identity that is not ours, or claims one that it may not have.
    case identity([UInt8])
    /// A proof or signature does not hold, or no key is known to check it.
    case authentication
    /// A public-key ciphertext cannot be read.
    case unreadable
    /// Something is missing on our side: a key, an offer, a function.
    case unprepared(String)
}

/// One exchange at one end, as a value: what is known so far, and how the next message is said or judged. It is driven by
/// an ``ExchangeDescription`` alone.
///
/// A step that needs an answer throws ``Fault/needs(_:)`` and has changed nothing but what was drawn; with the answer
/// in ``answers`` the same step is taken again from its start. All else of a step follows from the run, the message and the
/// answers, so it comes to the same place.
package struct ExchangeRun<Functions: ExchangeFunctions>: Sendable {
    package typealias Key = Functions.Key
    package typealias Question = ExchangeQuestion<Key>
    package typealias Answer = ExchangeAnswer<Key>

    package enum Fault: Error, Sendable {
        case needs(Question)
        case refused(ExchangeRefusal)
    }

    let functions: Functions
    let policy: ExchangePolicy<Key>
    /// Order, grammar and repetition.
    package internal(set) var exchange: Exchange
    package var description: ExchangeDescription { exchange.description }
    package var role: Role { exchange.role }
    /// What was said and learnt, and what was drawn to be said.
    var values: [Symbol: Value<Key>] = [:]
    var pair: Functions.KeyPair?
    package internal(set) var suite: ExchangeSuite?
    var offer: SecurityAssociationPayload?
    package internal(set) var choice: SecurityAssociationPayload?
    /// To the questions of the current step, in order.
    package var answers: [Answer] = []
    var answered = 0
    /// Whether the peer has proved its identity, or that it holds the key from before.
    package internal(set) var isPeerProven = false

    package init(
        _ description: ExchangeDescription, role: Role, messageID: UInt32 = 0, functions: Functions,
        policy: ExchangePolicy<Key>
    ) {
        self.functions = functions
        self.policy = policy
        exchange = Exchange(description, role: role, messageID: messageID)
        suite = policy.suite
    }

    /// The two cookies, as soon as both are known.
    package mutating func setCookies(initiator: Cookie, responder: Cookie) {
        values[.initiatorCookie] = .open(octets(initiator))
        values[.responderCookie] = .open(octets(responder))
    }

    private func octets(_ cookie: Cookie) -> [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: cookie.value)
        return octets
    }

    /// The peer's identity: known as soon as it was named, proved when ``isPeerProven``.
    package var peerIdentity: [UInt8]? { open(role == .initiator ? .responderIdentity : .initiatorIdentity) }
    package var ownIdentity: [UInt8]? { open(role == .initiator ? .initiatorIdentity : .responderIdentity) }

    func open(_ symbol: Symbol) -> [UInt8]? {
        if case .open(let octets) = values[symbol] { return octets }
        return nil
    }

    /// A value that was given or learnt, for who is to have it when all is done (an external key, say).
    package func value(_ symbol: Symbol) -> Value<Key>? { values[symbol] }

    /// The fault of an interrupted step keeps what it drew: a signature that comes back must be over the same nonce.
    package mutating func keepDraws(of attempt: ExchangeRun) {
        for (symbol, value) in attempt.values where values[symbol] == nil && isOwnDraw(symbol) {
            values[symbol] = value
        }
        if pair == nil { pair = attempt.pair }
    }

    private func isOwnDraw(_ symbol: Symbol) -> Bool {
        guard symbol.kind == .nonce || symbol.kind == .share || symbol.kind == .publicValue else { return false }
        return description.messages.contains { rule in
            rule.sender == role && rule.elements.contains { $0.contributions.contains(symbol) }
        }
    }

    /// Our message has gone out, as these octets.
    package mutating func sent(_ octets: [UInt8]) { exchange.send(octets) }
    /// The peer's message has been judged, and came as these octets.
    package mutating func accepted(_ octets: [UInt8]) { exchange.accept(octets) }

    /// An answered step is over: its answers mean nothing to the next one.
    mutating func finishStep() {
        answers = []
        answered = 0
    }

    mutating func ask(_ question: Question) throws(Fault) -> Answer {
        guard answered < answers.count else { throw .needs(question) }
        answered += 1
        return answers[answered - 1]
    }
}

// MARK: Computing

extension ExchangeRun {
    /// The octets of an expression, as parts of a whole.
    mutating func evaluate(_ expression: Expression) throws(Fault) -> [Value<Key>] {
        switch expression {
        case .octets(let octets): return [.open(octets)]
        case .join(let parts):
            var values: [Value<Key>] = []
            for part in parts { values += try evaluate(part) }
            return values
        case .framed(let symbol):
            let value = try value(of: symbol)
            let count =
                switch value {
                case .open(let octets): octets.count
                case .secret(let key): functions.count(key)
                }
            var length: [UInt8] = []
            length.append(bigEndian: UInt32(truncatingIfNeeded: count))
            return [.open(length), value]
        case .symbol(let symbol): return [try value(of: symbol)]
        case .prf(let key, let data): return [.secret(try prf(try evaluate(key), try evaluate(data)))]
        }
    }

    /// An expression as one key.
    mutating func key(_ expression: Expression) throws(Fault) -> Key {
        let values = try evaluate(expression)
        if values.count == 1, case .secret(let key) = values[0] { return key }
        return functions.join(values)
    }

    /// An expression as octets that anybody may see.
    mutating func exposed(_ expression: Expression) throws(Fault) -> [UInt8] {
        functions.exposed(try key(expression))
    }

    private func prf(_ key: [Value<Key>], _ data: [Value<Key>]) throws(Fault) -> Key {
        guard let suite else { throw .refused(.unprepared("no suite")) }
        do throws(FunctionFailure) {
            return try functions.prf(suite, key: key, data)
        } catch { throw .refused(.unprepared("prf")) }
    }

    private mutating func value(of symbol: Symbol) throws(Fault) -> Value<Key> {
        if let known = values[symbol] ?? policy.given[symbol] { return known }
        if let definition = description.definitions.first(where: { $0.symbol == symbol }) {
            let value = Value<Key>.secret(try key(definition.expression))
            values[symbol] = value
            return value
        }
        switch symbol {
        case .sharedSecret: return try sharedSecret()
        case .sharedKey: return .secret(try sharedKey())
        case .group:
            guard let suite else { throw .refused(.unprepared("no suite")) }
            var name: [UInt8] = []
            name.append(bigEndian: suite.group)
            return .open(name)
        default: throw .refused(.unprepared(symbol.name))
        }
    }

    private mutating func sharedSecret() throws(Fault) -> Value<Key> {
        let peer = role == .initiator ? Symbol.responderValue : .initiatorValue
        guard let pair, let suite, let encoded = open(peer) else { throw .refused(.unprepared("g^xy")) }
        do throws(FunctionFailure) {
            let octets = try description.integers.decode(encoded, count: functions.publicValue(pair).count)
            let secret = Value<Key>.secret(try functions.sharedSecret(pair, peer: octets))
            guard suite.group != 0 else { throw FunctionFailure() }
            values[.sharedSecret] = secret
            return secret
        } catch { throw .refused(.invalidValue(peer)) }
    }

    private mutating func sharedKey() throws(Fault) -> Key {
        guard let own = ownIdentity ?? policy.identities.first else { throw .refused(.unprepared("own identity")) }
        let peer = peerIdentity ?? policy.peerIdentity ?? []
        guard case .key(let key) = try ask(.sharedKey(own: own, peer: peer)) else { throw .refused(.authentication) }
        values[.sharedKey] = .secret(key)
        return key
    }

    // MARK: What is left

    /// The key that protects marked messages, from the moment it can be known.
    package mutating func protectionKey() throws(Fault) -> Key {
        guard let protection = description.protection else { throw .refused(.unprepared("no protection")) }
        return try key(protection)
    }

    /// The key that the finished exchange leaves, and its name; `nil` where it only authenticates.
    package mutating func result() throws(Fault) -> (key: Key, name: [UInt8])? {
        guard let result = description.result else { return nil }
        return (try key(result), try resultName())
    }

    /// The name of what the exchange leaves: a key, or a group (RFC 2412 §2.8.1).
    package mutating func resultName() throws(Fault) -> [UInt8] {
        guard let name = description.resultName else { return [] }
        return try exposed(name)
    }
}
