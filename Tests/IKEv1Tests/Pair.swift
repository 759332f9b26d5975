import Credentials
import Cryptography
import IPsec
import Primitives

@testable import IKEv1

/// Two IKEv1 sessions joined by a network in memory, in virtual time, with a store that holds one pre-shared key an end.
struct Pair {
    enum Side: Int, CaseIterable {
        case initiator, responder
        var other: Side { self == .initiator ? .responder : .initiator }
    }

    /// One end with all that a node would keep for it.
    struct End {
        var session: IKEv1Session
        var environment: SessionEnvironment
        var key: [UInt8]
        /// Users' passwords: those that it checks, and those that its own users have.
        var passwords: [Identity: String] = [:]
        /// What its authentication server allows users; `nil`: no server answers.
        var grant: UserGrant?
        /// What it was asked for a user, in order.
        var asked: [Identity] = []
        var addresses: Set<IPAddress> = []
        /// Answers what the pre-shared key does not.
        var credentials = CredentialStore()
        /// Questions, in the order in which they were asked.
        var questions: [Question] = []
        var timers: [SessionTimer: Instant] = [:]
        var claimed: Set<UInt64> = []
        var inbound: [SPI: SecurityAssociation] = [:]
        var outbound: [SPI: SecurityAssociation] = [:]
        /// Everything that was ever installed, in order.
        var installed: [SecurityAssociation] = []
        /// Sends, installations and removals in the order in which they were asked for.
        var order: [String] = []
        var events: [SessionEvent] = []
        var closed: ClosureReason?
        var sent: [Datagram] = []
        /// SPIs that it has offered, with how many datagrams it had sent before.
        var offered: [(spi: SPI, sent: Int)] = []
        var disclosed: [DisclosedKeys] = []
        var children: [ChildSnapshot] { session.snapshot.children }
        var usable: [ChildSnapshot] { children.filter { $0.state == .installed } }
        var refusals: [Refusal] {
            events.compactMap { if case .refused(_, let refusal) = $0 { refusal } else { nil } }
        }
    }

    var ends: [End]
    var now = Instant(nanoseconds: 1_000_000_000)
    /// In flight: the receiving side, and the datagram as its sender sees it.
    var wire: [(to: Side, datagram: Datagram)] = []
    /// What becomes of the datagram that a side sends; datagrams are numbered from 0.
    var network: (Side, Int, Datagram) -> [Datagram] = { _, _, datagram in [datagram] }
    var sentCount = 0

    /// What certificates are held to.
    static let date = WallTime(year: 2026, month: 6, day: 1)!
    static let left = IPAddress("192.0.2.1")!
    static let right = IPAddress("198.51.100.2")!

    static func ike(
        _ bits: Int = 128, _ integrity: IntegrityID = .hmacSHA256_128, _ prf: PRFID = .hmacSHA256,
        _ group: KeyExchangeID = .curve25519
    ) -> Proposal {
        Proposal(
            .ike, encryption: [Encryption(.aesCBC, keyBits: bits)], integrity: [integrity], prf: [prf],
            keyExchange: [group])
    }

    static func esp(
        _ encryption: Encryption = Encryption(.aesGCM16, keyBits: 128), _ integrity: [IntegrityID] = [],
        group: KeyExchangeID? = nil, extended: [Bool] = [false]
    ) -> Proposal {
        Proposal(
            .esp, encryption: [encryption], integrity: integrity, keyExchange: group.map { [$0] } ?? [],
            extendedSequenceNumbers: extended)
    }

    static func selector(_ text: String) -> DynamicSelector { .fixed(TrafficSelector(Prefix(text)!)) }

    static func connection(isLeft: Bool, ike: [Proposal] = [ike()], esp: [Proposal] = [esp()]) -> Connection {
        var child = ChildPolicy(
            name: "net", proposals: esp, localSelectors: [selector(isLeft ? "10.1.0.0/16" : "10.2.0.0/16")],
            remoteSelectors: [selector(isLeft ? "10.2.0.0/16" : "10.1.0.0/16")])
        child.rekeyTime = .zero
        child.lifeTime = .zero
        var connection = Connection(name: isLeft ? "left" : "right", proposals: ike, children: [child])
        connection.localAddresses = [.range(isLeft ? left : right, isLeft ? left : right)]
        connection.remoteAddresses = [.range(isLeft ? right : left, isLeft ? right : left)]
        connection.localIdentity = Identity(isLeft ? "left.example" : "right.example")
        connection.remoteIdentity = .exactly(Identity(isLeft ? "right.example" : "left.example")!)
        connection.rekeyTime = .zero
        connection.version = .v1
        return connection
    }

    init(
        _ initiator: Connection = connection(isLeft: true), _ responder: Connection = connection(isLeft: false),
        key: String = "secret", otherKey: String? = nil, settings: EngineSettings = EngineSettings(),
        otherSettings: EngineSettings? = nil, others: [Connection] = [], seenFrom outside: Endpoint? = nil,
        seed: UInt64 = 1
    ) {
        let start = Endpoint(Pair.left, port: 500)
        let peer = Endpoint(Pair.right, port: 500)
        var first = SessionEnvironment(
            now: now, randomness: .seeded(seed), policies: PolicyDatabase(connections: [initiator]), settings: settings)
        var second = SessionEnvironment(
            now: now, randomness: .seeded(seed &+ 7777), policies: PolicyDatabase(connections: [responder] + others),
            settings: otherSettings ?? settings)
        let one = IKEv1Session(initiator: SessionID(1), connection: initiator, local: start, remote: peer, &first)
        let two = IKEv1Session(responder: SessionID(2), local: peer, remote: outside ?? start, &second)
        ends = [
            End(session: one, environment: first, key: Array(key.utf8)),
            End(session: two, environment: second, key: Array((otherKey ?? key).utf8)),
        ]
    }

    subscript(side: Side) -> End {
        get { ends[side.rawValue] }
        set { ends[side.rawValue] = newValue }
    }
    var initiator: End { self[.initiator] }
    var responder: End { self[.responder] }

    /// Hands an input to one end and carries its effects out, answers to its questions included.
    mutating func give(_ input: SessionInput, to side: Side) {
        var end = self[side]
        end.environment.now = now
        let effects = end.session.handle(input, &end.environment)
        var answers: [(QuestionID, Answer)] = []
        for effect in effects {
            switch effect {
            case .send(let datagram):
                end.sent.append(datagram)
                end.order.append("send")
                for arriving in network(side, sentCount, datagram) { wire.append((side.other, arriving)) }
                sentCount += 1
            case .setTimer(let timer, let instant): end.timers[timer] = instant
            case .cancelTimer(let timer): end.timers[timer] = nil
            case .ask(let id, let question):
                end.questions.append(question)
                answers.append((id, answer(question, &end)))
            case .addAddress(let address): end.addresses.insert(address)
            case .removeAddress(let address): end.addresses.remove(address)
            case .expect(let spi): end.offered.append((spi, end.sent.count))
            case .claim(let spi): end.claimed.insert(spi)
            case .release(let spi): end.claimed.remove(spi)
            case .install(let association):
                end.installed.append(association)
                end.order.append(association.direction == .inbound ? "install in" : "install out")
                if association.direction == .inbound {
                    end.inbound[association.spi] = association
                } else {
                    end.outbound[association.spi] = association
                }
            case .remove(let spi, .inbound, _):
                end.inbound[spi] = nil
                end.environment.spisInUse.remove(spi)
                end.order.append("remove in")
            case .remove(let spi, .outbound, _):
                end.outbound[spi] = nil
                end.order.append("remove out")
            case .move(let child, let local, let remote):
                for spi in end.inbound.keys where end.inbound[spi]?.child == child {
                    end.inbound[spi]?.local = local
                    end.inbound[spi]?.remote = remote
                }
                for spi in end.outbound.keys where end.outbound[spi]?.child == child {
                    end.outbound[spi]?.local = local
                    end.outbound[spi]?.remote = remote
                }
            case .report(let event): end.events.append(event)
            case .disclose(let keys): end.disclosed.append(keys)
            case .closed(let reason):
                end.closed = reason
                end.environment.leases.release(end.session.id)
            default: end.order.append("\(effect)")
            }
        }
        self[side] = end
        for (id, answer) in answers { give(.answer(id, answer), to: side) }
    }

    private func answer(_ question: Question, _ end: inout End) -> Answer {
        let key = end.key
        switch question {
        case .checkPassword(let password, let user):
            end.asked.append(user)
            guard let right = end.passwords[user] else { return .noCredential }
            return Secret(Array(right.utf8)) == password ? .verified(PeerAuthenticated(verified: user)) : .refuted
        case .relayUser(let relay):
            guard let grant = end.grant, case .password(let password) = relay.message else {
                return .relayed(.unreachable)
            }
            let isRight = end.passwords[relay.user].map { Secret(Array($0.utf8)) } == password
            return .relayed(isRight ? .accepted(grant, packet: nil) : .refused(packet: nil))
        case .password(let user, _):
            end.asked.append(user)
            return end.passwords[user].map { .password(Secret(Array($0.utf8))) } ?? .noCredential
        case .prove, .verify, .seed, .mix: break
        case .sign, .verifySignature, .encrypt, .decrypt, .signMessage, .verifyMessage, .signDigest, .verifyDigest,
            .judgeUser, .proveUser, .tunnel:
            return end.credentials.answer(question, now: Pair.date)
        }
        guard case .seed(let prf, _, _, let octets) = question, !key.isEmpty,
            let seed = try? PseudorandomFunction.derive(prf, key: Secret(key), [.open(octets)])
        else { return .noCredential }
        return .seed(seed)
    }

    /// Delivers until nothing is in flight.
    mutating func settle() {
        var steps = 0
        while !wire.isEmpty, steps < 10_000 {
            deliverOne()
            steps += 1
        }
    }

    /// Delivers what was sent first.
    mutating func deliverOne() {
        guard !wire.isEmpty else { return }
        let (side, datagram) = wire.removeFirst()
        if datagram.octets != [0xFF] { give(.datagram(datagram.mirrored), to: side) }
    }

    /// Lets virtual time pass: timers fire in order, and every datagram arrives at once.
    mutating func run(for duration: Duration) {
        let end = now + duration
        settle()
        while true {
            var due: (side: Side, timer: SessionTimer, at: Instant)?
            for side in Side.allCases {
                for (timer, instant) in self[side].timers where instant <= end {
                    if due.map({ instant < $0.at }) ?? true { due = (side, timer, instant) }
                }
            }
            guard let due else { break }
            now = max(now, due.at)
            self[due.side].timers[due.timer] = nil
            give(.timer(due.timer), to: due.side)
            settle()
        }
        now = end
    }

    /// The whole negotiation up to the first child.
    mutating func establish() {
        give(.command(.createChild(name: "net")), to: .initiator)
        settle()
    }

    /// What is wrong with the SAs that both ends hold: an outbound SA without the inbound SA with the same keys and
    /// mirrored selectors at the other end.
    var disagreements: [String] {
        var found: [String] = []
        for side in Side.allCases {
            for (spi, sa) in self[side].outbound {
                guard let other = self[side.other].inbound[spi] else {
                    found.append("\(side) sends on \(spi), which the other end does not have")
                    continue
                }
                if other.keys.encryption != sa.keys.encryption || other.keys.integrity != sa.keys.integrity {
                    found.append("keys of \(spi) differ")
                }
                if other.localSelectors != sa.remoteSelectors || other.remoteSelectors != sa.localSelectors {
                    found.append("selectors of \(spi) are not mirrored")
                }
                if other.suite.encryption != sa.suite.encryption || other.suite.integrity != sa.suite.integrity
                    || other.suite.extendedSequenceNumbers != sa.suite.extendedSequenceNumbers
                {
                    found.append("suites of \(spi) differ")
                }
                if other.udpEncapsulation != sa.udpEncapsulation { found.append("encapsulation of \(spi) differs") }
            }
        }
        return found
    }
}

extension Datagram {
    /// The datagram as its receiver sees it.
    var mirrored: Datagram { Datagram(local: remote, remote: local, octets: octets) }
}
