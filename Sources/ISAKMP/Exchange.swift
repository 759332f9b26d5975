import Primitives

/// Which end of an exchange somebody is.
package enum Role: Hashable, Sendable {
    case initiator
    case responder

    package var other: Role { self == .initiator ? .responder : .initiator }
}

/// One message of an exchange, as the grammar of payloads that it follows.
package struct MessageRule: Hashable, Sendable {
    package var sender: Role
    /// Payloads that must be there, once each at least.
    package var required: Set<PayloadType>
    /// Payloads that may be there besides; ``universal`` ones may always.
    package var optional: Set<PayloadType>
    /// Payloads of which there may be more than one.
    package var repeatable: Set<PayloadType>
    /// The type that must come first, where the key exchange says so.
    package var first: PayloadType?
    package var isEncrypted: Bool
    /// Whether the sender may also do otherwise than ``isEncrypted`` says.
    package var isEncryptionOptional: Bool
    /// What each payload holds, where that is data, too; empty where a key exchange above writes its messages itself.
    package var elements: [Element] = []

    package init(
        _ sender: Role, _ required: Set<PayloadType>, optional: Set<PayloadType> = [],
        repeatable: Set<PayloadType> = [], first: PayloadType? = nil, isEncrypted: Bool = false,
        isEncryptionOptional: Bool = false
    ) {
        self.sender = sender
        self.required = required
        self.optional = optional
        self.repeatable = repeatable
        self.first = first
        self.isEncrypted = isEncrypted
        self.isEncryptionOptional = isEncryptionOptional
    }

    /// A message whose payloads are data: what must be there, and how often, follows from them. AUTH may come as HASH or
    /// as SIG.
    package init(_ sender: Role, isEncrypted: Bool = false, _ elements: [Element]) {
        let choices = elements.filter { $0.types.count > 1 }
        let fixed = elements.filter { $0.types.count == 1 }.map(\.type)
        self.init(
            sender, Set(fixed), optional: choices.reduce(into: []) { $0.formUnion($1.types) },
            repeatable: Set(fixed.filter { type in fixed.count { $0 == type } > 1 }),
            first: fixed.contains(.securityAssociation) ? .securityAssociation : nil, isEncrypted: isEncrypted)
        self.elements = elements
    }

    /// What may stand in any message, any number of times (RFC 2408 §3.14, §3.16).
    package static let universal: Set<PayloadType> = [.notification, .vendorID]
}

extension PayloadType {
    /// Of the range for private use (RFC 2408 §3.1): peers that do not know one pass over it.
    fileprivate var isPrivate: Bool { rawValue >= 128 }
}

/// An exchange as data: who says what in which order (RFC 2408 §4), what it proves, and what key comes of it. Ciphers
/// and domains of interpretation have no part in it: they compute what is written here.
package struct ExchangeDescription: Hashable, Sendable {
    package var name: String
    package var type: ExchangeType
    package var messages: [MessageRule]
    /// Values that follow from others.
    package var definitions: [Definition] = []
    /// What encrypts the messages marked so, where no SA of the first phase protects the whole exchange.
    package var protection: Expression?
    /// The key that is left when all is said; `nil` where an exchange only authenticates.
    package var result: Expression?
    /// The name of that key.
    package var resultName: Expression?
    /// Whether its messages protect themselves, so that in the second phase the SA need not encrypt them.
    package var protectsItself = false
    /// Whether the first two messages only bring a cookie to an initiator that has none itself yet: they have no payloads,
    /// and zero in the initiator's cookie (RFC 2412 §2.4.3). The responder keeps nothing for them.
    package var beginsWithCookies = false
    /// How public values and nonces are written.
    package var integers = IntegerEncoding.octets
    /// Whether ``messages`` and the rest say everything, so that the engine can run it.
    package var isComplete: Bool { messages.contains { !$0.elements.isEmpty } }

    package struct Definition: Hashable, Sendable {
        package var symbol: Symbol
        package var expression: Expression

        package init(_ symbol: Symbol, _ expression: Expression) {
            self.symbol = symbol
            self.expression = expression
        }
    }

    package init(name: String, type: ExchangeType, messages: [MessageRule]) {
        self.name = name
        self.type = type
        self.messages = messages
    }

    package init(
        name: String, type: ExchangeType, messages: [MessageRule], definitions: [Definition],
        protection: Expression? = nil, result: Expression? = nil, resultName: Expression? = nil,
        integers: IntegerEncoding = .octets
    ) {
        self.init(name: name, type: type, messages: messages)
        self.definitions = definitions
        self.protection = protection
        self.result = result
        self.resultName = resultName
        self.integers = integers
    }

    package func beginningWithCookies() -> ExchangeDescription {
        var description = self
        description.beginsWithCookies = true
        return description
    }

    package func protectingItself() -> ExchangeDescription {
        var description = self
        description.protectsItself = true
        return description
    }

    /// Whether a responder can say message 2 without keeping anything or computing much: it holds nothing but a choice
    /// and a nonce (see ``AntiCloggingCookie``).
    package var allowsStatelessAnswer: Bool {
        guard !beginsWithCookies, messages.count > 2, messages[0].sender == .initiator,
            messages[1].sender == .responder,
            !messages[1].isEncrypted, !messages[1].elements.isEmpty
        else { return false }
        return messages[1].elements.allSatisfy { element in
            switch element.content {
            case .own(let symbol), .known(.symbol(let symbol)): symbol.kind == .association || symbol.kind == .nonce
            case .known, .proof, .authentication, .sealed, .masked: false
            }
        }
    }

    /// Whether message 1 is made for one group or one way to authenticate, before the responder has chosen.
    package var isEager: Bool {
        guard let first = messages.first(where: { !$0.elements.isEmpty }) else { return false }
        return first.elements.contains { element in
            switch element.content {
            case .own(let symbol): symbol.kind == .publicValue
            case .known, .masked: false
            case .proof, .authentication, .sealed: true
            }
        }
    }
}

/// Why a message does not fit its exchange.
package enum ExchangeError: Error, Hashable, Sendable {
    /// The exchange has no message left, or awaits one of our own.
    case notAwaited
    case wrongProtection(isEncrypted: Bool)
    case missing(PayloadType)
    case repeated(PayloadType)
    case notAllowed(PayloadType)
    case notFirst(PayloadType)
}

/// A running exchange: how far it has come, and what is needed to repeat an answer. A value.
package struct Exchange: Hashable, Sendable {
    package private(set) var description: ExchangeDescription
    package let role: Role
    package let messageID: UInt32
    /// Index of the message that comes next.
    private var next = 0
    /// The peer's last message and our last one, octet by octet.
    private var received: [UInt8]?
    package private(set) var sent: [UInt8]?

    package init(_ description: ExchangeDescription, role: Role, messageID: UInt32 = 0) {
        self.description = description
        self.role = role
        self.messageID = messageID
    }

    package var isFinished: Bool { next >= description.messages.count }
    /// Octets of the peer's last message.
    package var receivedOctets: Int { received?.count ?? 0 }
    /// How many messages have passed.
    package var passed: Int { next }
    /// The rule of the peer's next message; `nil` where it is our turn or all is said.
    package var awaited: MessageRule? {
        guard !isFinished, description.messages[next].sender != role else { return nil }
        return description.messages[next]
    }

    /// Whether the peer has said exactly this last (RFC 2408 §3.1).
    package func isRepetition(_ message: [UInt8]) -> Bool { received == message }

    /// What a repetition of the peer's last message is answered with: our last one, if it came after that. Where the peer
    /// spoke last there is nothing to say, or two ends would repeat themselves at each other for ever.
    package var answerToRepetition: [UInt8]? {
        next > 0 && description.messages[next - 1].sender == role ? sent : nil
    }

    /// Holds a message of the peer against the grammar, its payloads opened.
    package func check(_ payloads: [Payload], isEncrypted: Bool) throws(ExchangeError) {
        guard let rule = awaited else { throw .notAwaited }
        guard rule.isEncrypted == isEncrypted || rule.isEncryptionOptional else {
            throw .wrongProtection(isEncrypted: isEncrypted)
        }
        if let first = rule.first, payloads.first?.type != first { throw .notFirst(first) }
        var seen: Set<PayloadType> = []
        for payload in payloads where !MessageRule.universal.contains(payload.type) && !payload.type.isPrivate {
            guard rule.required.contains(payload.type) || rule.optional.contains(payload.type) else {
                throw .notAllowed(payload.type)
            }
            if !seen.insert(payload.type).inserted, !rule.repeatable.contains(payload.type) {
                throw .repeated(payload.type)
            }
        }
        for type in rule.required where !seen.contains(type) { throw .missing(type) }
    }

    /// Goes on as another description says. Exchanges may begin alike and part once it is known what was agreed: a rule
    /// belongs to a state, not to a position.
    package mutating func proceed(as other: ExchangeDescription) {
        precondition(other.type == description.type && next <= other.messages.count, "the exchanges begin alike")
        description = other
    }

    /// The peer's message has been taken; its octets are kept to know it again.
    package mutating func accept(_ message: [UInt8]) {
        precondition(awaited != nil, "only an awaited message is taken")
        received = message
        next += 1
    }

    /// The first two messages passed without leaving anything to repeat (``ExchangeDescription/beginsWithCookies``).
    package mutating func passCookies() {
        precondition(next == 0 && description.beginsWithCookies, "cookies come first")
        next = 2
    }

    /// Our message goes out.
    package mutating func send(_ message: [UInt8]) {
        precondition(!isFinished && awaited == nil, "it is our turn")
        sent = message
        next += 1
    }
}
