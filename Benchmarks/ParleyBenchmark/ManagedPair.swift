import Credentials
import Cryptography
import IPsec
import KeyManagement
import Primitives

/// Key management of a gateway and of all its peers in one process, joined by nothing but calls; and the processor time
/// that either side took. Each peer has a connection, an address and an identity of its own.
struct ManagedPair {
    enum End: Int { case initiator, responder }

    private var managers: [KeyManager]
    private let keys = SharedKeyStore([SharedKey(identities: [], secret: Secret(Array("a shared key for two".utf8)))])
    private(set) var now = Instant(nanoseconds: 1_000_000_000_000)
    /// Nanoseconds of processor time within each end's ``KeyManager/handle(_:now:)``.
    private(set) var spent: [Double] = [0, 0]
    private(set) var rekeyedIKE = 0
    private(set) var rekeyedChildren = 0
    private(set) var lost: [String] = []

    /// - Parameter rekeyTime: of IKE SAs and of children, at the initiator alone; each draws its own from the last five
    ///   sixths before it.
    init(count: Int, rekeyTime: Duration) throws {
        guard let right = IPAddress("192.0.2.2") else { throw BenchmarkError("addresses") }
        let ike = Proposal(
            .ike, encryption: [Encryption(.aesGCM16, keyBits: 128)], prf: [.hmacSHA256], keyExchange: [.curve25519])
        let esp = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 128)], keyExchange: [.curve25519],
            extendedSequenceNumbers: [false])
        func connection(_ number: Int, isInitiator: Bool) throws -> Connection {
            let nets = [1, 2].compactMap { Prefix("10.\($0).\(number / 256).\(number % 256)/32") }
            guard nets.count == 2 else { throw BenchmarkError("networks") }
            let ends = ["host\(number).example", "gateway\(number).example"].compactMap(Identity.init(_:))
            guard ends.count == 2 else { throw BenchmarkError("identities") }
            let (here, there) = isInitiator ? (0, 1) : (1, 0)
            let left = IPAddress(v4: 0x0A03_0000 + UInt32(number))
            var child = ChildPolicy(
                name: "net", proposals: [esp], localSelectors: [.fixed(TrafficSelector(nets[here]))],
                remoteSelectors: [.fixed(TrafficSelector(nets[there]))])
            var connection = Connection(name: "peer\(number)", proposals: [ike], children: [])
            connection.version = .v2
            connection.localAddresses = [isInitiator ? .range(left, left) : .range(right, right)]
            connection.remoteAddresses = [isInitiator ? .range(right, right) : .range(left, left)]
            connection.localIdentity = ends[here]
            connection.remoteIdentity = .exactly(ends[there])
            if isInitiator {
                (child.rekeyTime, child.randomTime, child.lifeTime) = (rekeyTime, rekeyTime * 5 / 6, rekeyTime * 2)
                (connection.rekeyTime, connection.randomTime) = (rekeyTime, rekeyTime * 5 / 6)
                connection.overTime = rekeyTime
            } else {
                (child.rekeyTime, child.lifeTime) = (.zero, .zero)
                connection.rekeyTime = .zero
            }
            connection.children = [child]
            return connection
        }
        managers = []
        for isInitiator in [true, false] {
            let connections = try (0..<count).map { try connection($0, isInitiator: isInitiator) }
            var limits = AdmissionLimits()
            limits.cookieThreshold = .max
            limits.cookieThresholdPerSource = .max
            limits.blockThresholdPerSource = .max
            managers.append(
                KeyManager(
                    now: now, randomness: .buffered, policies: PolicyDatabase(connections: connections), limits: limits)
            )
        }
    }

    func established(_ end: End) -> Int { managers[end.rawValue].sessionCounts.all }

    mutating func forgetTimes() { spent = [0, 0] }

    mutating func initiate(_ number: Int) {
        give(.command(.initiate(connection: "peer\(number)", child: "net"), RequestID(UInt64(number))), to: .initiator)
    }

    /// Everything that falls due within `duration`, at the time that it falls due.
    mutating func pass(_ duration: Duration) {
        let end = now + duration
        while true {
            let due = managers.enumerated().compactMap { index, manager in manager.nextDeadline.map { ($0, index) } }
            guard let first = due.min(by: { $0.0 < $1.0 }), first.0 <= end, let side = End(rawValue: first.1) else {
                break
            }
            now = max(now, first.0)
            give(.deadline, to: side)
        }
        now = end
    }

    private mutating func give(_ input: Input, to end: End) {
        var inbox: [(End, Input)] = [(end, input)]
        var next = 0
        while next < inbox.count {
            let (end, input) = inbox[next]
            next += 1
            let start = Stopwatch.threadNanoseconds()
            let effects = managers[end.rawValue].handle(input, now: now)
            spent[end.rawValue] += Stopwatch.threadNanoseconds() - start
            let other: End = end == .initiator ? .responder : .initiator
            for effect in effects {
                switch effect {
                case .send(let datagram):
                    inbox.append(
                        (
                            other,
                            .datagram(
                                Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets))
                        ))
                case .ask(let id, let question): inbox.append((end, .answer(id, keys.answer(question))))
                case .report(let event): note(event, end)
                default: break
                }
            }
        }
    }

    private mutating func note(_ event: Event, _ end: End) {
        switch event.kind {
        case .session(.rekeyedIKE) where end == .initiator: rekeyedIKE += 1
        case .session(.childRekeyed) where end == .initiator: rekeyedChildren += 1
        case .session(.refused(_, let refusal)): lost.append("\(refusal)")
        case .closed(let reason): lost.append("\(reason)")
        default: break
        }
    }
}
