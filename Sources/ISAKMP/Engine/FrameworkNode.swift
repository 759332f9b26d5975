package import Primitives

/// How much of others' unfinished business a node bears.
package struct FrameworkLimits: Hashable, Sendable {
    /// Unfinished first phases begun by others from which on nothing is kept for an initiator that has not returned its
    /// cookie, where the exchange and the initiator allow that.
    package var statelessThreshold = 16
    /// Unfinished first phases begun by others beyond which first messages are dropped.
    package var halfOpenMaximum = 256
    /// The same for one source address.
    package var halfOpenMaximumPerSource = 32
    package var sessionMaximum = 4096

    package init() {}
}

/// Names a session of a node; never reused.
package struct FrameworkSessionID: Hashable, Comparable, Sendable {
    package var value: UInt64

    package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// Every ISAKMP SA of one node as a value: finds the session of a datagram, and judges who may begin one.
package struct FrameworkNode<Functions: ExchangeFunctions>: Sendable {
    package typealias Key = Functions.Key
    package typealias Session = FrameworkSession<Functions>
    package typealias Parties = AntiCloggingCookie.Parties

    package enum Effect: Sendable {
        case send(Parties, [UInt8])
        case ask(FrameworkSessionID, UInt64, ExchangeQuestion<Key>)
        case report(FrameworkSessionID, FrameworkEvent<Key>)
    }

    private struct Entry: Sendable {
        var session: Session
        var parties: Parties
        /// Whether somebody else began it, and it is not established yet.
        var isHalfOpen: Bool
    }

    private let functions: Functions
    private let cookies: AntiCloggingCookie
    package var settings: FrameworkSettings
    package var limits = FrameworkLimits()
    /// What a peer may begin: by exchange type, in the first and in the second phase.
    package var phaseOne: [ExchangeOffering<Key>] = []
    package var phaseTwo: [ExchangeOffering<Key>] = []
    private var entries: [FrameworkSessionID: Entry] = [:]
    /// By our own cookie; of several, the peer's tells which.
    private var byCookie: [Cookie: [FrameworkSessionID]] = [:]
    private var lastID: UInt64 = 0
    private var halfOpen = 0
    private var halfOpenPerSource: [IPAddress: Int] = [:]
    /// Messages 2 that were said without keeping anything, and first messages that were turned away.
    package private(set) var statelessAnswers = 0
    package private(set) var turnedAway = 0

    package init(functions: Functions, cookies: AntiCloggingCookie, settings: FrameworkSettings = .init()) {
        self.functions = functions
        self.cookies = cookies
        self.settings = settings
    }

    package var sessionCount: Int { entries.count }
    package var halfOpenCount: Int { halfOpen }
    package func session(_ id: FrameworkSessionID) -> Session? { entries[id]?.session }
    package var sessions: [FrameworkSessionID] { entries.keys.sorted() }
    /// The earliest moment at which ``fireDeadlines(_:_:)`` has something to do.
    package var nextDeadline: Instant? { entries.values.compactMap(\.session.nextDeadline).min() }

    // MARK: Beginning

    /// Begins a first phase.
    package mutating func begin(
        _ description: ExchangeDescription, _ policy: ExchangePolicy<Key>, with parties: Parties, _ now: Instant,
        _ randomness: inout Randomness
    ) -> (FrameworkSessionID, [Effect]) {
        var cookie = Cookie(randomness.uint64())
        while cookie.isZero || byCookie[cookie] != nil { cookie = Cookie(randomness.uint64()) }
        var session = Session(
            initiator: description, policy: policy, cookie: cookie, functions: functions, settings: settings,
            offerings: phaseTwo)
        let id = add(&session, parties, isHalfOpen: false)
        let effects = session.begin(now, &randomness)
        return (id, put(session, id, effects))
    }

    /// Holds a session on a key that both ends have already (RFC 2412 §2.10).
    package mutating func hold(_ session: Session, with parties: Parties) -> FrameworkSessionID? {
        let isTaken = (byCookie[session.ownCookie] ?? []).contains { id in
            entries[id].map { $0.session.initiatorCookie == session.initiatorCookie } == true
        }
        guard !isTaken else { return nil }
        var session = session
        return add(&session, parties, isHalfOpen: false)
    }

    /// An input for a session that is known.
    package mutating func handle(
        _ input: FrameworkInput<Key>, for id: FrameworkSessionID, _ now: Instant, _ randomness: inout Randomness
    ) -> [Effect] {
        guard var entry = entries[id] else { return [] }
        let effects = entry.session.handle(input, now, &randomness)
        return put(entry.session, id, effects)
    }

    package mutating func fireDeadlines(_ now: Instant, _ randomness: inout Randomness) -> [Effect] {
        var effects: [Effect] = []
        for id in sessions {
            guard let deadline = entries[id]?.session.nextDeadline, deadline <= now else { continue }
            effects += handle(.deadline, for: id, now, &randomness)
        }
        return effects
    }

    // MARK: Arriving

    package mutating func receive(
        _ octets: [UInt8], from parties: Parties, _ now: Instant, _ randomness: inout Randomness
    ) -> [Effect] {
        var reader = ByteReader(octets)
        guard let header = try? Header(from: &reader), header.majorVersion == 1 else { return [] }
        if header.initiator.isZero { return receiveCookie(octets, header, parties, now, &randomness) }
        // A message is for the session of the cookie that is ours: the responder's, or the initiator's.
        for cookie in [header.responder, header.initiator] where !cookie.isZero {
            let id = byCookie[cookie]?.first { id in
                guard let entry = entries[id], entry.parties == parties else { return false }
                return entry.session.initiatorCookie == header.initiator
            }
            if let id { return handle(.datagram(octets), for: id, now, &randomness) }
        }
        guard header.messageID == 0, !header.flags.contains(.encryption),
            let offering = phaseOne.first(where: { $0.description.type == header.exchange })
        else { return [] }
        if header.responder.isZero, !offering.description.beginsWithCookies {
            return receiveFirst(octets, header, offering, parties, now, &randomness)
        }
        return receiveReturned(octets, header, offering, parties, now, &randomness)
    }

    /// A request for a cookie, or the answer to ours (RFC 2412 §2.4.3). Nothing is kept for a request, and no more is said
    /// than was heard.
    private mutating func receiveCookie(
        _ octets: [UInt8], _ header: Header, _ parties: Parties, _ now: Instant, _ randomness: inout Randomness
    ) -> [Effect] {
        guard header.messageID == 0, octets.count == Header.octetCount else { return [] }
        if header.responder.isZero {
            guard
                phaseOne.contains(where: { $0.description.type == header.exchange && $0.description.beginsWithCookies })
            else { return [] }
            let cookie = cookies.make(
                for: parties, initiator: .zero, now: now, note: UInt8(truncatingIfNeeded: randomness.uint32()))
            statelessAnswers += 1
            let answer = Header(initiator: .zero, responder: cookie, majorVersion: 1, exchange: header.exchange)
            return [.send(parties, Message(header: answer, payloads: []).octets)]
        }
        let awaiting = sessions.first { id in
            guard let entry = entries[id], entry.parties == parties else { return false }
            return entry.session.awaitsCookie(of: header.exchange)
        }
        guard let awaiting else { return [] }
        return handle(.datagram(octets), for: awaiting, now, &randomness)
    }

    /// Message 1: it makes a session, or is answered without one, or is turned away.
    private mutating func receiveFirst(
        _ octets: [UInt8], _ header: Header, _ offering: ExchangeOffering<Key>, _ parties: Parties, _ now: Instant,
        _ randomness: inout Randomness
    ) -> [Effect] {
        // A repeated message 1 belongs to the session that it began.
        let known = entries.sorted { $0.key < $1.key }.first {
            $0.value.isHalfOpen && $0.value.parties == parties && $0.value.session.initiatorCookie == header.initiator
        }
        if let known { return handle(.datagram(octets), for: known.key, now, &randomness) }
        let canForget = offering.description.allowsStatelessAnswer && StatelessAnswer.isOffered(in: octets)
        if canForget, halfOpen >= limits.statelessThreshold {
            return answerStateless(octets, header, offering, parties, now, &randomness)
        }
        guard mayOpen(parties) else {
            turnedAway += 1
            return []
        }
        var cookie = cookies.make(
            for: parties, initiator: header.initiator, now: now, note: UInt8(truncatingIfNeeded: randomness.uint32()),
            binding: octets)
        while byCookie[cookie] != nil { cookie = Cookie(randomness.uint64() | 1) }
        var session = responder(offering, header, cookie)
        let id = add(&session, parties, isHalfOpen: true)
        return handle(.datagram(octets), for: id, now, &randomness)
    }

    private func mayOpen(_ parties: Parties) -> Bool {
        halfOpen < limits.halfOpenMaximum && entries.count < limits.sessionMaximum
            && halfOpenPerSource[parties.peer.address, default: 0] < limits.halfOpenMaximumPerSource
    }

    private func responder(_ offering: ExchangeOffering<Key>, _ header: Header, _ cookie: Cookie) -> Session {
        Session(
            responder: offering.description, policy: offering.policy, initiatorCookie: header.initiator,
            cookie: cookie, functions: functions, settings: settings, offerings: phaseTwo)
    }

    // MARK: Without a memory

    /// A session that follows from message 1, the policy and the cookies' secret alone.
    private func recomputed(
        _ message: [UInt8], _ header: Header, _ cookie: Cookie, _ offering: ExchangeOffering<Key>, _ parties: Parties
    ) -> Session {
        var offering = offering
        let nonce = cookies.octets(
            32, for: parties, initiator: header.initiator, responder: cookie, binding: message)
        offering.policy.given[.responderNonce] = .open(offering.description.integers.encode(nonce))
        var session = responder(offering, header, cookie)
        session.wantsEcho = true
        return session
    }

    private mutating func answerStateless(
        _ octets: [UInt8], _ header: Header, _ offering: ExchangeOffering<Key>, _ parties: Parties, _ now: Instant,
        _ randomness: inout Randomness
    ) -> [Effect] {
        let cookie = cookies.make(for: parties, initiator: header.initiator, now: now, binding: octets)
        var session = recomputed(octets, header, cookie, offering, parties)
        // Nothing that is said here is drawn.
        let effects = session.handle(.datagram(octets), now, &randomness)
        statelessAnswers += 1
        return effects.compactMap { if case .send(let answer) = $0 { .send(parties, answer) } else { nil } }
    }

    /// A message with a cookie that no session has: message 3 of an exchange that nothing was kept of, perhaps.
    private mutating func receiveReturned(
        _ octets: [UInt8], _ header: Header, _ offering: ExchangeOffering<Key>, _ parties: Parties, _ now: Instant,
        _ randomness: inout Randomness
    ) -> [Effect] {
        if offering.description.beginsWithCookies {
            return receiveWithCookie(octets, header, offering, parties, now, &randomness)
        }
        guard offering.description.allowsStatelessAnswer, let first = StatelessAnswer.echoedMessage(in: octets),
            cookies.note(
                in: header.responder, for: parties, initiator: header.initiator, now: now, binding: first) != nil
        else { return [] }
        guard mayOpen(parties) else {
            turnedAway += 1
            return []
        }
        var session = recomputed(first, header, header.responder, offering, parties)
        _ = session.handle(.datagram(first), now, &randomness)
        guard !session.isClosed else { return [] }
        let id = add(&session, parties, isHalfOpen: true)
        return receiveReturned(octets, for: id, now, &randomness)
    }

    private mutating func receiveReturned(
        _ octets: [UInt8], for id: FrameworkSessionID, _ now: Instant, _ randomness: inout Randomness
    ) -> [Effect] {
        let effects = handle(.datagram(octets), for: id, now, &randomness)
        // Who returned a cookie but said nothing sensible leaves no trace either.
        if let entry = entries[id], entry.session.hasOnlySaidMessageTwo {
            remove(id)
            return []
        }
        return effects
    }

    /// The first message that says something, with a cookie that was asked for before it.
    private mutating func receiveWithCookie(
        _ octets: [UInt8], _ header: Header, _ offering: ExchangeOffering<Key>, _ parties: Parties, _ now: Instant,
        _ randomness: inout Randomness
    ) -> [Effect] {
        guard cookies.note(in: header.responder, for: parties, initiator: .zero, now: now) != nil else { return [] }
        guard mayOpen(parties) else {
            turnedAway += 1
            return []
        }
        var session = responder(offering, header, header.responder)
        let id = add(&session, parties, isHalfOpen: true)
        return receiveReturned(octets, for: id, now, &randomness)
    }

    // MARK: Keeping

    private mutating func add(
        _ session: inout Session, _ parties: Parties, isHalfOpen: Bool
    ) -> FrameworkSessionID {
        lastID += 1
        let id = FrameworkSessionID(value: lastID)
        entries[id] = Entry(session: session, parties: parties, isHalfOpen: isHalfOpen)
        byCookie[session.ownCookie, default: []].append(id)
        if isHalfOpen {
            halfOpen += 1
            halfOpenPerSource[parties.peer.address, default: 0] += 1
        }
        return id
    }

    private mutating func put(
        _ session: Session, _ id: FrameworkSessionID, _ effects: [FrameworkEffect<Key>]
    ) -> [Effect] {
        guard var entry = entries[id] else { return [] }
        entry.session = session
        if entry.isHalfOpen, session.isEstablished || session.isClosed { settle(&entry) }
        entries[id] = entry
        if session.isClosed { remove(id) }
        return effects.map { effect in
            switch effect {
            case .send(let octets): .send(entry.parties, octets)
            case .ask(let question, let what): .ask(id, question, what)
            case .report(let event): .report(id, event)
            }
        }
    }

    private mutating func settle(_ entry: inout Entry) {
        guard entry.isHalfOpen else { return }
        entry.isHalfOpen = false
        halfOpen -= 1
        let source = entry.parties.peer.address
        let count = halfOpenPerSource[source, default: 1] - 1
        halfOpenPerSource[source] = count > 0 ? count : nil
    }

    private mutating func remove(_ id: FrameworkSessionID) {
        guard var entry = entries[id] else { return }
        settle(&entry)
        let rest = byCookie[entry.session.ownCookie]?.filter { $0 != id } ?? []
        byCookie[entry.session.ownCookie] = rest.isEmpty ? nil : rest
        entries[id] = nil
    }
}

extension FrameworkSession {
    /// Whether a responder stands just behind its first message, and waits for no answer.
    var hasOnlySaidMessageTwo: Bool {
        guard let phaseOne, parent == nil else { return false }
        return phaseOne.run.exchange.passed == 2 && phaseOne.question == nil
    }
}
