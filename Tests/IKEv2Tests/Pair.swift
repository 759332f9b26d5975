import Cryptography
import IPsec
import Primitives

@testable import IKEv2

/// Two sessions joined by a network in memory, in virtual time, with a credential store that holds one pre-shared key
/// an end.
struct Pair {
    enum Side: Int, CaseIterable {
        case initiator, responder
        var other: Side { self == .initiator ? .responder : .initiator }
    }

    /// One end with all that a node would keep for it.
    struct End {
        var session: IKESession
        var environment: SessionEnvironment
        var key: [UInt8]
        /// Of identities that prove themselves by others.
        var keys: [Identity: [UInt8]] = [:]
        var timers: [SessionTimer: Instant] = [:]
        var claimed: Set<UInt64> = []
        var inbound: [SPI: SecurityAssociation] = [:]
        var outbound: [SPI: SecurityAssociation] = [:]
        /// Everything that was ever installed, in order.
        var installed: [SecurityAssociation] = []
        var events: [SessionEvent] = []
        var closed: ClosureReason?
        /// Of users.
        var passwords: [Identity: String] = [:]
        /// What its authentication server allows users; `nil`: no server answers.
        var grant: UserGrant?
        var relays: [UserRelay] = []
        /// What TLS inside EAP was asked for, and what is wrong with the user's certificate there.
        var tunnels: [TunnelRequest] = []
        var tunnelFault: TunnelFault?
        /// Virtual addresses that the machine has.
        var addresses: Set<IPAddress> = []
        /// How often another session was asked for.
        var renewals = 0
        /// The gateways that it was sent on to.
        var redirects: [IPAddress] = []
        /// Clones of its IKE SA, each with what it wants done first, and the refusals of others.
        var clones: [(session: IKESession, tag: UInt64?, effects: [SessionEffect])] = []
        var notCloned: [(tag: UInt64, refusal: Refusal)] = []
        /// Post-quantum keys by name.
        var postquantum: [String: [UInt8]] = [:]
        var sent: [Datagram] = []
        /// SPIs that it has offered, with how many datagrams it had sent before.
        var offered: [(spi: SPI, sent: Int)] = []
        var disclosed: [DisclosedKeys] = []
        /// Signatures that it was asked to verify.
        var verifications: [MessageVerification] = []
        /// Signatures that it was asked to make.
        var signings: [MessageSigning] = []
        var children: [ChildSnapshot] { session.snapshot.children }
        /// The earliest timer; of equals always the same, so that a seed tells the whole story.
        var nextTimer: (at: Instant, timer: SessionTimer)? {
            timers.min { ($0.value, "\($0.key)") < ($1.value, "\($1.key)") }.map { ($0.value, $0.key) }
        }
        var usable: [ChildSnapshot] { children.filter { $0.state == .installed } }
    }

    var ends: [End]
    var now = Instant(nanoseconds: 1_000_000_000)
    /// In flight: the receiving side, and what it will see.
    var wire: [(to: Side, datagram: Datagram)] = []
    /// Decides what becomes of a datagram that `from` sends: what arrives, with what delay. Numbered from 0.
    var network: (Side, Int, Datagram) -> [Datagram] = { _, _, datagram in [datagram] }
    var sentCount = 0
    var isHeld = false

    /// Where its store says that a certificate is.
    static let place = CertificateLocation(hash: [UInt8](repeating: 5, count: 20), uri: "http://x/05")
    static let left = IPAddress("192.0.2.1")!
    static let right = IPAddress("198.51.100.2")!

    static let aes = Proposal(
        .ike, encryption: [Encryption(.aesCBC, keyBits: 128)], integrity: [.hmacSHA256_128], prf: [.hmacSHA256],
        keyExchange: [.curve25519])
    static let esp = Proposal(
        .esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], extendedSequenceNumbers: [false])

    static func selector(_ text: String) -> DynamicSelector { .fixed(TrafficSelector(Prefix(text)!)) }

    static func connection(isLeft: Bool, ike: [Proposal] = [aes], esp: [Proposal] = [Pair.esp]) -> Connection {
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
        connection.version = .v2
        return connection
    }

    init(
        _ initiator: Connection = connection(isLeft: true), _ responder: Connection = connection(isLeft: false),
        key: String = "secret", otherKey: String? = nil, settings: EngineSettings = EngineSettings(),
        otherSettings: EngineSettings? = nil, seed: UInt64 = 1
    ) {
        let start = Endpoint(Pair.left, port: 500)
        let peer = Endpoint(Pair.right, port: 500)
        var first = SessionEnvironment(
            now: now, randomness: .seeded(seed), policies: PolicyDatabase(connections: [initiator]), settings: settings)
        var second = SessionEnvironment(
            now: now, randomness: .seeded(seed &+ 7777), policies: PolicyDatabase(connections: [responder]),
            settings: otherSettings ?? settings)
        let one = IKESession(
            initiator: SessionID(1), connection: initiator, local: start, remote: peer, &first)
        let two = IKESession(responder: SessionID(2), local: peer, remote: start, &second)
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
        ends[side.rawValue].environment.now = now
        var end = ends[side.rawValue]
        let effects = end.session.handle(input, &end.environment)
        ends[side.rawValue] = end
        var answers: [(QuestionID, Answer)] = []
        for effect in effects {
            switch effect {
            case .send(let datagram):
                ends[side.rawValue].sent.append(datagram)
                for arriving in network(side, sentCount, datagram) { wire.append((side.other, arriving)) }
                sentCount += 1
            case .setTimer(let timer, let instant): ends[side.rawValue].timers[timer] = instant
            case .cancelTimer(let timer): ends[side.rawValue].timers[timer] = nil
            case .ask(let id, let question): answers.append((id, answer(question, side)))
            case .expect(let spi):
                ends[side.rawValue].offered.append((spi, ends[side.rawValue].sent.count))
            case .claim(let spi): ends[side.rawValue].claimed.insert(spi)
            case .release(let spi): ends[side.rawValue].claimed.remove(spi)
            case .install(let sa):
                ends[side.rawValue].installed.append(sa)
                if sa.direction == .inbound {
                    ends[side.rawValue].inbound[sa.spi] = sa
                } else {
                    ends[side.rawValue].outbound[sa.spi] = sa
                }
            case .remove(let spi, .inbound, _): ends[side.rawValue].inbound[spi] = nil
            case .remove(let spi, .outbound, _): ends[side.rawValue].outbound[spi] = nil
            case .move(let child, let local, let remote):
                for spi in ends[side.rawValue].inbound.keys where ends[side.rawValue].inbound[spi]?.child == child {
                    ends[side.rawValue].inbound[spi]?.local = local
                    ends[side.rawValue].inbound[spi]?.remote = remote
                }
                for spi in ends[side.rawValue].outbound.keys where ends[side.rawValue].outbound[spi]?.child == child {
                    ends[side.rawValue].outbound[spi]?.local = local
                    ends[side.rawValue].outbound[spi]?.remote = remote
                }
            case .report(let event): ends[side.rawValue].events.append(event)
            case .disclose(let keys): ends[side.rawValue].disclosed.append(keys)
            case .addAddress(let address): ends[side.rawValue].addresses.insert(address)
            case .removeAddress(let address): ends[side.rawValue].addresses.remove(address)
            case .renew: ends[side.rawValue].renewals += 1
            case .redirect(let gateway): ends[side.rawValue].redirects.append(gateway)
            case .begin(let session, _, let tag, let effects):
                ends[side.rawValue].clones.append((session as! IKESession, tag, effects))
            case .notCloned(let tag, let refusal): ends[side.rawValue].notCloned.append((tag, refusal))
            case .peerDeleted: preconditionFailure("IKEv2's children stay with their session")
            case .closed(let reason): ends[side.rawValue].closed = reason
            }
        }
        for (id, answer) in answers { give(.answer(id, answer), to: side) }
    }

    /// An authentication server that asks for EAP-MD5 (RFC 3748 §5.4).
    private func verdict(_ relay: UserRelay, _ end: End) -> UserVerdict {
        guard let grant = end.grant, case .packet(let packet) = relay.message else { return .unreachable }
        let challenge = [UInt8](1...16)
        if relay.state.isEmpty { return .goOn(packet: [1, 77, 0, 22, 4, 16] + challenge, state: [7]) }
        guard relay.state == [7], packet.count > 22, packet[4] == 4, let password = end.passwords[relay.user],
            let right = UserAnswer(.md5(identifier: 77, challenge: challenge), password: Secret(Array(password.utf8))),
            right.response == Array(packet[6..<22])
        else { return .refused(packet: [4, 77, 0, 4]) }
        return .accepted(grant, packet: [3, 77, 0, 4])
    }

    private mutating func answer(_ question: Question, _ side: Side) -> Answer {
        func proof(_ prf: PRFID, _ octets: [UInt8], of prover: Identity? = nil) -> [UInt8] {
            let padded = try! PseudorandomFunction.derive(
                prf, key: Secret(prover.flatMap { self[side].keys[$0] } ?? self[side].key),
                [.open(Array("Key Pad for IKEv2".utf8))])
            return try! PseudorandomFunction.compute(prf, key: padded, [.open(octets)])
        }
        if self[side].key.isEmpty { return .noCredential }
        switch question {
        case .prove(let prf, let local, _, let octets): return .proof(proof(prf, octets, of: local))
        case .verify(let prf, _, let remote, let octets, let seen):
            return proof(prf, octets, of: remote) == seen ? .verified(PeerAuthenticated(verified: remote)) : .refuted
        case .seed, .sign, .verifySignature, .encrypt, .decrypt, .signDigest, .verifyDigest: return .noCredential
        case .checkPassword(let password, let user):
            return self[side].passwords[user].map { Secret(Array($0.utf8)) } == password
                ? .verified(PeerAuthenticated(verified: user)) : .refuted
        case .relayUser(let relay):
            self[side].relays.append(relay)
            return .relayed(verdict(relay, self[side]))
        case .tunnel(let request):
            self[side].tunnels.append(request)
            return .tunnelled(PlayedTunnel.answer(request, fault: self[side].tunnelFault))
        case .password(let user, _):
            return self[side].passwords[user].map { .password(Secret(Array($0.utf8))) } ?? .noCredential
        case .judgeUser(let proof, let user):
            guard let password = self[side].passwords[user],
                let answer = UserAnswer(proof.challenge, password: Secret(Array(password.utf8)))
            else { return .noCredential }
            return answer.response == proof.response ? .user(answer) : .refuted
        case .proveUser(let challenge, let user, _):
            return self[side].passwords[user]
                .flatMap { UserAnswer(challenge, password: Secret(Array($0.utf8))) }.map { .user($0) } ?? .noCredential
        // A signature is the key's proof of the octets; what it rests on, the credential store's tests judge.
        case .signMessage(let signing):
            self[side].signings.append(signing)
            var made = MessageProof(
                method: .digitalSignature, data: proof(.hmacSHA256, signing.octets),
                certificates: signing.round.certificates.certificates,
                statuses: signing.wantsStatuses ? [[0x30, 9]] : [])
            if signing.saysLocations { made.locations = [Pair.place] }
            if signing.saysPublicKey { made.publicKeys = [[0x30, 15]] }
            return .signedMessage(made)
        case .verifyMessage(let verification):
            self[side].verifications.append(verification)
            return proof(.hmacSHA256, verification.octets) == verification.proof.data
                ? .verified(PeerAuthenticated(verified: verification.identity)) : .refuted
        case .mix(let prf, let name, let keys, let confirming):
            guard let key = self[side].postquantum[String(decoding: name.octets, as: UTF8.self)] else {
                return .noCredential
            }
            return .mixed(
                keys.map {
                    try! PseudorandomFunction.expand(prf, key: Secret(key), seed: [.secret($0)], count: $0.count)
                }, confirmation: try! PseudorandomFunction.compute(prf, key: Secret(key), [.open(confirming)]))
        }
    }

    /// A responder that refused a first message is gone: key management has another session for the next one, which the
    /// initiator sends again.
    mutating func reopenResponder() {
        guard responder.closed != nil, initiator.closed == nil else { return }
        let old = responder.session
        self[.responder].closed = nil
        self[.responder].session = IKESession(
            responder: SessionID(3), local: old.local, remote: old.remote, &ends[Side.responder.rawValue].environment)
        run(for: .seconds(10))
    }

    /// The newest clones of both ends, as a pair of their own that shares this one's environments.
    var clone: Pair? {
        var pair = self
        for side in Side.allCases {
            guard let clone = self[side].clones.last else { return nil }
            pair[side] = End(session: clone.session, environment: self[side].environment, key: self[side].key)
            pair[side].postquantum = self[side].postquantum
            for effect in clone.effects {
                switch effect {
                case .claim(let spi): pair[side].claimed.insert(spi)
                case .setTimer(let timer, let instant): pair[side].timers[timer] = instant
                case .report(let event): pair[side].events.append(event)
                case .addAddress(let address): pair[side].addresses.insert(address)
                default: break
                }
            }
        }
        return pair
    }

    /// Delivers until nothing is in flight.
    mutating func settle() {
        var steps = 0
        while !wire.isEmpty, steps < 10_000 {
            let (side, datagram) = wire.removeFirst()
            // Each end sees the datagram from its own side.
            let seen = Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)
            if datagram.octets != [0xFF] { give(.datagram(seen), to: side) }
            steps += 1
        }
    }

    /// Lets virtual time pass: timers fire in order, and every datagram arrives at once.
    mutating func run(for duration: Duration) {
        let end = now + duration
        settle()
        while true {
            var due: (side: Side, timer: SessionTimer, at: Instant)?
            for side in Side.allCases {
                if let (at, timer) = self[side].nextTimer, at <= end, at < due?.at ?? end + .seconds(1) {
                    due = (side, timer, at)
                }
            }
            guard let due else { break }
            now = max(now, due.at)
            ends[due.side.rawValue].timers[due.timer] = nil
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
                if other.suite != sa.suite { found.append("suites of \(spi) differ") }
                if other.udpEncapsulation != sa.udpEncapsulation { found.append("encapsulation of \(spi) differs") }
            }
        }
        return found
    }
}
