import Credentials
import Cryptography
import IPsec
import Primitives

/// Two ends of a connection in one process, joined by nothing but calls: every datagram that one sends the other is
/// handed at once, and every question is answered at once from a pre-shared key.
struct Wire<Session: KeyExchangeSession> {
    private let connection: (initiator: Connection, responder: Connection)
    private let endpoints: (initiator: Endpoint, responder: Endpoint)
    private let keys: SharedKeyStore
    private(set) var initiatorEnvironment: SessionEnvironment
    private(set) var responderEnvironment: SessionEnvironment
    /// What crossed the wire in the last handshake.
    private(set) var datagrams: [Datagram] = []

    /// - Parameter further: a key exchange that follows in IKE_INTERMEDIATE (RFC 9370).
    init(
        group: KeyExchangeID, further: KeyExchangeID? = nil, version: IKEVersion, randomness: Randomness
    ) throws {
        let encryption = Encryption(.aesCBC, keyBits: 256)
        var ike = Proposal(
            .ike, encryption: [encryption], integrity: [.hmacSHA256_128], prf: [.hmacSHA256], keyExchange: [group])
        if let further { ike.additionalKeyExchanges = [[further]] }
        let esp = Proposal(
            .esp, encryption: [Encryption(.aesGCM16, keyBits: 256)], extendedSequenceNumbers: [false])
        guard let left = IPAddress("192.0.2.1"), let right = IPAddress("192.0.2.2"),
            let leftNet = Prefix("10.1.0.0/16"), let rightNet = Prefix("10.2.0.0/16")
        else { throw BenchmarkError("addresses") }
        func connection(_ local: (IPAddress, Prefix), _ remote: (IPAddress, Prefix)) -> Connection {
            let child = ChildPolicy(
                name: "net", proposals: [esp], localSelectors: [.fixed(TrafficSelector(local.1))],
                remoteSelectors: [.fixed(TrafficSelector(remote.1))])
            var connection = Connection(name: "peer", proposals: [ike], children: [child])
            connection.version = version
            connection.localAddresses = [.range(local.0, local.0)]
            connection.remoteAddresses = [.range(remote.0, remote.0)]
            return connection
        }
        let initiator = connection((left, leftNet), (right, rightNet))
        let responder = connection((right, rightNet), (left, leftNet))
        self.connection = (initiator, responder)
        endpoints = (Endpoint(left, port: 500), Endpoint(right, port: 500))
        keys = SharedKeyStore([SharedKey(identities: [], secret: Secret(Array("a shared key for two".utf8)))])
        func environment(_ connection: Connection) -> SessionEnvironment {
            SessionEnvironment(
                now: Instant(nanoseconds: 0), randomness: randomness,
                policies: PolicyDatabase(connections: [connection]))
        }
        initiatorEnvironment = environment(initiator)
        responderEnvironment = environment(responder)
    }

    /// Forgets the SPIs of sessions that were dropped.
    mutating func forget() {
        initiatorEnvironment.spisInUse = []
        responderEnvironment.spisInUse = []
    }

    /// Sets an IKE SA up with one child; both ends must say that it is.
    mutating func handshake() throws -> (initiator: Session, responder: Session) {
        var initiator = Session(
            initiator: initiatorEnvironment.freshSessionID(), connection: connection.initiator,
            local: endpoints.initiator, remote: endpoints.responder, &initiatorEnvironment)
        var responder = Session(
            responder: responderEnvironment.freshSessionID(), local: endpoints.responder,
            remote: endpoints.initiator, &responderEnvironment)
        datagrams = []
        var installed = (initiator: 0, responder: 0)
        var inbox: (initiator: [SessionInput], responder: [SessionInput]) = ([.command(.createChild(name: "net"))], [])
        while true {
            if let input = inbox.initiator.popFirstInput() {
                let effects = initiator.handle(input, &initiatorEnvironment)
                absorb(effects, &inbox.initiator, &inbox.responder, &installed.initiator)
            } else if let input = inbox.responder.popFirstInput() {
                let effects = responder.handle(input, &responderEnvironment)
                absorb(effects, &inbox.responder, &inbox.initiator, &installed.responder)
            } else {
                break
            }
        }
        guard installed == (2, 2) else {
            throw BenchmarkError("the handshake failed: \(initiator.snapshot) \(responder.snapshot)")
        }
        return (initiator, responder)
    }

    private mutating func absorb(
        _ effects: [SessionEffect], _ own: inout [SessionInput], _ other: inout [SessionInput], _ installed: inout Int
    ) {
        for effect in effects {
            switch effect {
            case .send(let datagram):
                datagrams.append(datagram)
                other.append(
                    .datagram(
                        Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)))
            case .ask(let id, let question): own.append(.answer(id, keys.answer(question)))
            case .install: installed += 1
            default: break
            }
        }
    }
}

extension Array where Element == SessionInput {
    fileprivate mutating func popFirstInput() -> SessionInput? { isEmpty ? nil : removeFirst() }
}
