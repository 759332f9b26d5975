package import Cryptography
package import ISAKMP
package import KeyDeterminationModes
import Oakley
package import Primitives

/// Two ends that run one exchange of ISAKMP, Oakley or SKEME with each other: their nodes, what they want, and their keys. Who
/// carries the datagrams is the caller's affair: a hostile network in virtual time, or two sockets.
package struct ExchangePair: Sendable {
    package typealias Node = FrameworkNode<ModeFunctions>
    package typealias Outcome = ExchangeOutcome<Secret>

    package let entry: ModeEntry
    package private(set) var nodes: [Node] = []
    private var holders: [ModeKeyHolder] = []
    private var randomness: [Randomness] = []
    package let parties: [AntiCloggingCookie.Parties]
    /// What each end has come to: the exchange's outcomes, first phase and second.
    package private(set) var outcomes: [[Outcome]] = [[], []]
    /// What each end said and took.
    package private(set) var messages: [[TracedMessage]] = [[], []]
    /// Notices that each end has heard under an SA.
    package private(set) var notices: [[NotificationPayload]] = [[], []]
    package private(set) var failures: [[String]] = [[], []]
    private var session: FrameworkSessionID?
    private var hasBegunSecond = false

    package static func identity(_ name: String) -> [UInt8] {
        IdentificationPayload(type: 2, data: Array(name.utf8)).payload.body
    }
    package static let identities = [identity("left.example"), identity("right.example")]
    /// The responder's well-known identity, whose key hides the real one.
    package static let publicIdentity = identity("gate.example")
    /// A status of the private range (RFC 2408 §3.14.1), to have something to say.
    package static let status: UInt16 = 32_768

    /// - Parameters:
    ///   - endpoints: the initiator's and the responder's.
    ///   - group: for exchanges that need one.
    package init(
        _ entry: ModeEntry, endpoints: [Endpoint], group: UInt16 = 31, settings: FrameworkSettings = .init(),
        _ source: inout Randomness
    ) {
        self.entry = entry
        parties = [
            AntiCloggingCookie.Parties(own: endpoints[0], peer: endpoints[1]),
            AntiCloggingCookie.Parties(own: endpoints[1], peer: endpoints[0]),
        ]
        let shared = Secret.random(32, &source)
        holders = [ModeKeyHolder(sharedKey: shared), ModeKeyHolder(sharedKey: shared)]
        for (own, identity) in [(0, Self.identities[0]), (1, Self.identities[1]), (1, Self.publicIdentity)] {
            if let value = try? holders[own].makeKey(for: identity, &source) {
                holders[1 - own].trust(value, of: identity)
            }
        }
        let first = entry.isSecondPhase ? FrameworkExchanges.identityProtection : entry.description
        for end in 0..<2 {
            var node = Node(
                functions: ModeFunctions(), cookies: AntiCloggingCookie(secret: Secret.random(32, &source)),
                settings: settings)
            if end == 1 { node.phaseOne = [ExchangeOffering(first, policy(1, group))] }
            if entry.isSecondPhase { node.phaseTwo = [ExchangeOffering(entry.description, policy(1, group))] }
            nodes.append(node)
            randomness.append(.buffered(from: &source))
        }
    }

    private func policy(_ end: Int, _ group: UInt16) -> ExchangePolicy<Secret> {
        let needsGroup = entry.isSecondPhase || entry.needsGroup
        let suite = ExchangeSuite(
            cipher: ModeProposal.aesGCM, keyBits: 256, hash: HashID.sha256.rawValue,
            authentication: entry.authentication, group: needsGroup ? UInt32(group) : 0)
        let accepted = Self.identities[1 - end]
        var policy = ExchangePolicy<Secret>(
            offer: ModeProposal.offer([suite]),
            identities: end == 0 ? [Self.identities[0]] : [Self.identities[1], Self.publicIdentity],
            peerIdentity: end == 0 ? Self.identities[1] : nil, accepts: { $0 == accepted })
        if end == 0 { policy.given[OakleyModes.publicIdentity] = .open(Self.publicIdentity) }
        return policy
    }

    /// A datagram that an end sends.
    package struct Parcel: Sendable {
        package var sender: Int
        package var octets: [UInt8]
    }

    // MARK: Driving

    package mutating func begin(group: UInt16 = 31, _ now: Instant) -> [Parcel] {
        let first = entry.isSecondPhase ? FrameworkExchanges.identityProtection : entry.description
        let (id, effects) = nodes[0].begin(first, policy(0, group), with: parties[0], now, &randomness[0])
        session = id
        return perform(effects, at: 0, now)
    }

    package mutating func deliver(_ octets: [UInt8], to end: Int, _ now: Instant) -> [Parcel] {
        perform(nodes[end].receive(octets, from: parties[end], now, &randomness[end]), at: end, now)
    }

    package mutating func fireDeadlines(_ now: Instant) -> [Parcel] {
        var parcels: [Parcel] = []
        for end in nodes.indices { parcels += perform(nodes[end].fireDeadlines(now, &randomness[end]), at: end, now) }
        return parcels
    }

    /// The initiator takes everything down.
    package mutating func end(_ now: Instant) -> [Parcel] {
        guard let session else { return [] }
        return perform(nodes[0].handle(.end, for: session, now, &randomness[0]), at: 0, now)
    }

    package var nextDeadline: Instant? { nodes.compactMap(\.nextDeadline).min() }

    /// Whether both ends have what the exchange is for.
    package var isDone: Bool {
        if entry.description.type == .informational { return !notices[1].isEmpty }
        let wanted = entry.isSecondPhase ? 2 : 1
        return outcomes.allSatisfy { $0.count >= wanted }
    }

    /// The outcome of the exchange itself at an end.
    package func outcome(_ end: Int) -> Outcome? {
        outcomes[end].last { $0.description.type == entry.description.type }
    }

    private mutating func perform(_ effects: [Node.Effect], at end: Int, _ now: Instant) -> [Parcel] {
        var parcels: [Parcel] = []
        for effect in effects {
            switch effect {
            case .send(_, let octets): parcels.append(Parcel(sender: end, octets: octets))
            case .ask(let id, let question, let what):
                let answer = holders[end].answer(what, &randomness[end])
                parcels += perform(
                    nodes[end].handle(.answer(question, answer), for: id, now, &randomness[end]), at: end, now)
            case .report(let id, let event): parcels += note(event, of: id, at: end, now)
            }
        }
        return parcels
    }

    private mutating func note(
        _ event: FrameworkEvent<Secret>, of id: FrameworkSessionID, at end: Int, _ now: Instant
    ) -> [Parcel] {
        switch event {
        case .message(let message): messages[end].append(message)
        case .finished(let outcome):
            outcomes[end].append(outcome)
            if end == 0, entry.isSecondPhase, !hasBegunSecond {
                hasBegunSecond = true
                return perform(
                    nodes[0].handle(second(), for: id, now, &randomness[0]), at: 0, now)
            }
        case .failed(_, let refusal): failures[end].append(refusal.map { "\($0)" } ?? "the peer says nothing more")
        case .notified(let notification, isAuthenticated: true):
            if notification.type != NotificationType.connected { notices[end].append(notification) }
        case .notified, .deleted, .dropped, .closed: break
        }
        return []
    }

    /// What follows the first phase, where the exchange is one of the second.
    private func second() -> FrameworkInput<Secret> {
        if entry.description.type == .informational {
            return .notify(
                NotificationPayload(doi: GenericDOI.identifier, protocolID: 1, type: Self.status, data: [1]))
        }
        var policy = policy(0, 31)
        policy.given[OakleyModes.externalKey] = .secret(Secret(Array("a key from elsewhere, 32 octets.".utf8)))
        if let description = GroupDescription(.modp2048) {
            policy.given[OakleyModes.groupDescriptor] = .open(GroupDescriptor.write(description))
        }
        return .begin(entry.description, policy)
    }
}

extension Randomness {
    /// A generator of its own, seeded from another.
    fileprivate static func buffered(from source: inout Randomness) -> Randomness { .seeded(source.uint64()) }
}
