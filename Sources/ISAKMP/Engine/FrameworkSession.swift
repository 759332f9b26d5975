package import Primitives

/// How an end of an ISAKMP SA behaves in time.
package struct FrameworkSettings: Hashable, Sendable {
    /// Until a message is said again for the first time; doubled each time.
    package var retransmitTimeout = Duration.seconds(2)
    /// How often a message is said again.
    package var retransmissions = 5
    /// Until an exchange that came to nothing is given up.
    package var exchangeTimeout = Duration.seconds(60)
    /// How long a finished exchange of the second phase is remembered, to answer repetitions.
    package var linger = Duration.seconds(60)
    /// How long an SA lives.
    package var lifetime = Duration.seconds(3600)
    /// Whether to set the Commit bit where we answer: the peer then waits for CONNECTED (RFC 2408 §3.1), and a lost last
    /// message is said again.
    package var commits = false
    /// Exchanges of the second phase at a time.
    package var maximumExchanges = 32

    package init() {}
}

/// What one exchange came to.
package struct ExchangeOutcome<Key: Sendable>: Sendable {
    package var description: ExchangeDescription
    package var role: Role
    /// 0 in the first phase.
    package var messageID: UInt32
    /// `nil` where the exchange only authenticates.
    package var key: Key?
    package var keyName: [UInt8]
    package var suite: ExchangeSuite?
    /// What was agreed upon; `nil` where nothing was negotiated.
    package var choice: SecurityAssociationPayload?
    /// The peer's, which it has proved.
    package var peerIdentity: [UInt8]?
    package var ownIdentity: [UInt8]?
    /// Values that the exchange delivers besides its key, by name.
    package var delivered: [Symbol: Value<Key>]

    package init(
        description: ExchangeDescription, role: Role, messageID: UInt32, key: Key?, keyName: [UInt8],
        suite: ExchangeSuite?, choice: SecurityAssociationPayload?, peerIdentity: [UInt8]?, ownIdentity: [UInt8]?,
        delivered: [Symbol: Value<Key>]
    ) {
        self.description = description
        self.role = role
        self.messageID = messageID
        self.key = key
        self.keyName = keyName
        self.suite = suite
        self.choice = choice
        self.peerIdentity = peerIdentity
        self.ownIdentity = ownIdentity
        self.delivered = delivered
    }
}

/// One message as it was understood, for a ladder.
package struct TracedMessage: Hashable, Sendable {
    package var isSent: Bool
    package var exchange: String
    /// Which message of the exchange it is, from 1.
    package var number: Int
    package var header: Header
    package var payloads: [Payload]
    package var isEncrypted: Bool
    /// What each payload of ``payloads`` is for; as many as the description has elements.
    package var elements: [Element]
    package var octets: [UInt8]
}

package enum FrameworkEvent<Key: Sendable>: Sendable {
    case message(TracedMessage)
    case finished(ExchangeOutcome<Key>)
    /// An exchange ended without success. `nil`: nothing came from the peer any more.
    case failed(messageID: UInt32, ExchangeRefusal?)
    /// A Notification. One that is not authenticated changes nothing.
    case notified(NotificationPayload, isAuthenticated: Bool)
    /// A Delete for SAs of the protocols above; always authenticated.
    case deleted(DeletePayload)
    case dropped(String)
    case closed(Closure)

    package enum Closure: Hashable, Sendable {
        case failed
        case expired
        case deletedByPeer
        case deletedByUs
    }
}

package enum FrameworkInput<Key: Sendable>: Sendable {
    case datagram([UInt8])
    case deadline
    case answer(UInt64, ExchangeAnswer<Key>)
    /// Begin an exchange of the second phase.
    case begin(ExchangeDescription, ExchangePolicy<Key>)
    case notify(NotificationPayload)
    case delete(DeletePayload)
    /// Delete the SA itself.
    case end
}

package enum FrameworkEffect<Key: Sendable>: Sendable {
    case send([UInt8])
    case ask(UInt64, ExchangeQuestion<Key>)
    case report(FrameworkEvent<Key>)
}

/// Exchanges that are accepted from a peer, each with what is wanted of it. At most one of a type.
package struct ExchangeOffering<Key: Sendable>: Sendable {
    package var description: ExchangeDescription
    package var policy: ExchangePolicy<Key>

    package init(_ description: ExchangeDescription, _ policy: ExchangePolicy<Key>) {
        self.description = description
        self.policy = policy
    }
}

/// One ISAKMP SA between two ends as a value: the exchange that makes it (phase 1), and the exchanges under it (phase 2).
/// Inputs and `now` go in, effects come out; a refused input leaves it as it was.
package struct FrameworkSession<Functions: ExchangeFunctions>: Sendable {
    package typealias Key = Functions.Key
    package typealias Run = ExchangeRun<Functions>

    /// An exchange under way, or kept to answer repetitions.
    struct Live: Sendable {
        var run: Run
        /// The peer's message whose judgement waits for an answer.
        var pending: Arrival?
        /// The question that is out.
        var question: UInt64?
        var resendAt: Instant?
        var resends = 0
        var answersToRepetition = 0
        var deadline: Instant?
        var peerCommits = false
        var weCommit = false
        /// All is said; only CONNECTED is missing.
        var awaitsConnected = false
        var heardConnected = false
        /// Our CONNECTED, to be said again with the answer to a repetition.
        var connected: [UInt8]?
        var outcome: ExchangeOutcome<Key>?
    }

    /// A message of the peer, opened.
    struct Arrival: Sendable {
        var octets: [UInt8]
        var header: Header
        var payloads: [Payload]
        var isEncrypted: Bool
    }

    /// What protects messages, from the moment it is known.
    struct Protection: Sendable {
        var key: Key
        var suite: ExchangeSuite
        /// Our next number.
        var next: UInt64 = 1
        /// The peer's numbers that were seen: the highest, and those just below it.
        var highest: UInt64 = 0
        var seen: UInt64 = 0
    }

    package let functions: Functions
    package let role: Role
    package let settings: FrameworkSettings
    package internal(set) var initiatorCookie: Cookie
    package internal(set) var responderCookie: Cookie
    /// What a peer may begin in the second phase.
    let offerings: [ExchangeOffering<Key>]
    var phaseOne: Live?
    var phaseTwo: [UInt32: Live] = [:]
    var protection: Protection?
    /// The key of the SA, and who the ends are.
    package internal(set) var parent: ExchangeOutcome<Key>?
    var expiresAt: Instant?
    package internal(set) var isClosed = false
    var lastQuestion: UInt64 = 0
    /// Message 1, which the responder asked us to repeat in message 3.
    var echo: [UInt8]?
    /// Whether we ask the initiator for that.
    package var wantsEcho = false

    package var isEstablished: Bool { parent != nil }
    /// Our own cookie.
    package var ownCookie: Cookie { role == .initiator ? initiatorCookie : responderCookie }
    /// Exchanges that are not finished.
    package var openExchanges: Int {
        ([phaseOne].compactMap(\.self) + phaseTwo.values).count { $0.outcome == nil }
    }

    package init(
        initiator description: ExchangeDescription, policy: ExchangePolicy<Key>, cookie: Cookie,
        functions: Functions, settings: FrameworkSettings, offerings: [ExchangeOffering<Key>]
    ) {
        self.init(
            description, .initiator, policy, cookie, .zero, functions: functions, settings: settings,
            offerings: offerings)
    }

    package init(
        responder description: ExchangeDescription, policy: ExchangePolicy<Key>, initiatorCookie: Cookie,
        cookie: Cookie, functions: Functions, settings: FrameworkSettings, offerings: [ExchangeOffering<Key>]
    ) {
        self.init(
            description, .responder, policy, initiatorCookie, cookie, functions: functions, settings: settings,
            offerings: offerings)
    }

    private init(
        _ description: ExchangeDescription, _ role: Role, _ policy: ExchangePolicy<Key>, _ initiatorCookie: Cookie,
        _ responderCookie: Cookie, functions: Functions, settings: FrameworkSettings,
        offerings: [ExchangeOffering<Key>]
    ) {
        self.functions = functions
        self.role = role
        self.settings = settings
        self.offerings = offerings
        self.initiatorCookie = initiatorCookie
        self.responderCookie = responderCookie
        var live = Live(run: Run(description, role: role, functions: functions, policy: policy))
        if role == .responder, description.beginsWithCookies { live.run.exchange.passCookies() }
        phaseOne = live
    }

    /// A session on a key that both ends hold already, under the name that the cookies are (RFC 2412 §2.10). It has no
    /// first phase and no end of its own.
    package init(
        named outcome: ExchangeOutcome<Key>, role: Role, initiatorCookie: Cookie, responderCookie: Cookie,
        functions: Functions, settings: FrameworkSettings, offerings: [ExchangeOffering<Key>]
    ) {
        self.functions = functions
        self.role = role
        self.settings = settings
        self.offerings = offerings
        self.initiatorCookie = initiatorCookie
        self.responderCookie = responderCookie
        parent = outcome
    }

    /// When ``FrameworkInput/deadline`` is due.
    package var nextDeadline: Instant? {
        guard !isClosed else { return nil }
        let lives = [phaseOne].compactMap(\.self) + phaseTwo.values
        return (lives.flatMap { [$0.resendAt, $0.deadline] } + [expiresAt]).compactMap(\.self).min()
    }

    /// The first message of an initiator.
    package mutating func begin(_ now: Instant, _ randomness: inout Randomness) -> [FrameworkEffect<Key>] {
        var context = Context(now: now, randomness: randomness)
        if let phaseOne, phaseOne.run.exchange.passed == 0, role == .initiator {
            var live = phaseOne
            live.deadline = now + settings.exchangeTimeout
            advance(&live, &context)
            store(live)
        }
        randomness = context.randomness
        return context.effects
    }

    package mutating func handle(
        _ input: FrameworkInput<Key>, _ now: Instant, _ randomness: inout Randomness
    ) -> [FrameworkEffect<Key>] {
        guard !isClosed else { return [] }
        var context = Context(now: now, randomness: randomness)
        switch input {
        case .datagram(let octets): receive(octets, &context)
        case .deadline: fireDeadlines(&context)
        case .answer(let question, let answer): receive(answer, to: question, &context)
        case .begin(let description, let policy): begin(description, policy, &context)
        case .notify(let notification): inform([notification.payload], &context)
        case .delete(let delete): inform([delete.payload], &context)
        case .end: end(&context)
        }
        randomness = context.randomness
        return context.effects
    }

    /// What one input leads to.
    struct Context {
        let now: Instant
        var randomness: Randomness
        var effects: [FrameworkEffect<Key>] = []

        mutating func send(_ octets: [UInt8]) { effects.append(.send(octets)) }
        mutating func report(_ event: FrameworkEvent<Key>) { effects.append(.report(event)) }
        mutating func drop(_ rule: String) { report(.dropped(rule)) }
    }

    mutating func store(_ live: Live) {
        guard !isClosed else { return }
        if live.run.exchange.messageID == 0 {
            phaseOne = live
        } else {
            phaseTwo[live.run.exchange.messageID] = live
        }
    }

    mutating func close(_ reason: FrameworkEvent<Key>.Closure, _ context: inout Context) {
        isClosed = true
        phaseOne = nil
        phaseTwo = [:]
        protection = nil
        parent = nil
        context.report(.closed(reason))
    }
}
