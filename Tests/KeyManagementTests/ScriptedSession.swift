import Cryptography
import IPsec
import ISAKMP
import Primitives

/// A toy key exchange of one round trip, to watch key management without a real one: the initiator's request is
/// answered, both are established, and the child that the request stands for is installed. Octet 28 of a message says
/// what it is. A child named "impossible" closes its session before anything is sent; a session with a child named "stuck"
/// cannot say that it ends, since its peer does not answer what it said before.
struct ScriptedSession: KeyExchangeSession {
    enum Message: UInt8 {
        case request = 1
        case answer = 2
        case refusal = 3
        case bye = 4
        case initialContact = 5
        case redirect = 6
    }

    static let otherGateway = IPAddress(v4: 0x0A00_0003)

    private let id: SessionID
    private let isInitiator: Bool
    private var connection: Connection?
    private let local: Endpoint
    private let remote: Endpoint
    private var initiatorSPI: UInt64 = 0
    private var responderSPI: UInt64 = 0
    private var state = SessionSnapshot.State.created
    private var child: (id: ChildID, name: String, inbound: SPI)?
    /// A replaced child whose inbound SA stays for a while.
    private var lingering: (id: ChildID, inbound: SPI)?
    private var attempts = 0

    init(
        initiator id: SessionID, connection: Connection, local: Endpoint, remote: Endpoint,
        _ environment: inout SessionEnvironment
    ) {
        self.id = id
        isInitiator = true
        self.connection = connection
        self.local = local
        self.remote = remote
    }

    init(responder id: SessionID, local: Endpoint, remote: Endpoint, _ environment: inout SessionEnvironment) {
        self.id = id
        isInitiator = false
        self.local = local
        self.remote = remote
    }

    var snapshot: SessionSnapshot {
        var snapshot = SessionSnapshot(
            id: id, connection: connection?.name ?? "", version: 2, state: state, isInitiator: isInitiator,
            local: local,
            remote: remote)
        snapshot.takesRedirects = !isInitiator
        snapshot.localIdentity = Identity(local.address)
        snapshot.remoteIdentity = Identity(remote.address)
        return snapshot
    }

    func disclosedKeys(_ settings: EngineSettings) -> [DisclosedKeys] { [] }

    static func message(_ kind: Message, initiator: UInt64, responder: UInt64, fromInitiator: Bool) -> [UInt8] {
        var octets: [UInt8] = []
        octets.append(bigEndian: initiator)
        octets.append(bigEndian: responder)
        octets += [0, 0x20, 34, (fromInitiator ? 0x08 : 0) | (kind == .answer ? 0x20 : 0)]
        octets.append(bigEndian: UInt32(0))
        octets.append(bigEndian: UInt32(29))
        return octets + [kind.rawValue]
    }

    private func send(_ kind: Message) -> SessionEffect {
        .send(
            Datagram(
                local: local, remote: remote,
                octets: ScriptedSession.message(
                    kind, initiator: initiatorSPI, responder: responderSPI, fromInitiator: isInitiator)))
    }

    private mutating func installed(_ environment: inout SessionEnvironment) -> [SessionEffect] {
        guard let connection, let policy = connection.children.first else { return [] }
        let name = child?.name ?? policy.name
        let inbound = environment.freshSPI()
        let identifier = environment.freshChildID()
        child = (identifier, name, inbound)
        func association(_ direction: SecurityAssociation.Direction, _ spi: SPI) -> SecurityAssociation {
            SecurityAssociation(
                direction: direction, child: identifier, name: name, requestID: 1, spi: spi, local: local,
                remote: remote,
                udpEncapsulation: true,
                suite: Suite(encryption: Encryption(.aesGCM16, keyBits: 128)),
                keys: KeyMaterial(encryption: Secret([UInt8](repeating: 1, count: 20)), integrity: nil),
                localSelectors: [], remoteSelectors: [], replayWindowPackets: 32)
        }
        return [
            .install(association(.inbound, inbound)), .install(association(.outbound, SPI(0xABCD_0000))),
        ]
    }

    private mutating func removed() -> [SessionEffect] {
        guard let gone = child else { return [] }
        child = nil
        return [
            .remove(gone.inbound, .inbound, gone.id), .remove(SPI(0xABCD_0000), .outbound, gone.id),
            .report(.childClosed(gone.id)),
        ]
    }

    mutating func handle(_ input: SessionInput, _ environment: inout SessionEnvironment) -> [SessionEffect] {
        switch input {
        case .command(.createChild(let name)):
            child = (ChildID(0), name, SPI(0))
            if state != .created { return [] }
            if name == "impossible" { return [.closed(.expired)] }
            state = .connecting
            initiatorSPI = environment.freshIKESPI()
            return [.claim(spi: initiatorSPI)] + request(environment)
        case .timer(.retransmit):
            attempts += 1
            if attempts > 2 { return [.closed(.peerUnresponsive)] }
            return request(environment)
        case .command(.succeedChild(let name, _)): return handle(.command(.createChild(name: name)), &environment)
        // As if it were time to authenticate again.
        case .command(.rekeyIKE): return [.renew]
        case .command(.redirect): return [send(.redirect)]
        case .command(.retire):
            state = .deleting
            return removed() + [send(.bye), .closed(.replaced)]
        case .command(.delete) where child?.name == "stuck":
            attempts = 2
            return [.setTimer(.retransmit(spi: initiatorSPI, messageID: 0), at: environment.now + .seconds(1))]
        case .command(.delete):
            state = .deleting
            return removed() + [send(.bye), .closed(.deletedByUs)]
        case .command(.deleteChild) where child?.name == "stuck": return []
        case .command(.deleteChild(let id)): return id == child?.id ? removed() : []
        case .command(.rekeyChild(let id)):
            guard let old = child, old.id == id else { return [] }
            lingering = (old.id, old.inbound)
            let effects = installed(&environment)
            return effects + [
                .remove(SPI(0xABCD_0000), .outbound, old.id),
                .report(.childRekeyed(old: old.id, new: child?.id ?? ChildID(0))),
                .setTimer(.expireChild(old.id), at: environment.now + .seconds(5)),
            ]
        case .timer(.expireChild(let id)):
            guard let old = lingering, old.id == id else { return [] }
            lingering = nil
            return [.remove(old.inbound, .inbound, old.id)]
        case .command(.abandon): return removed() + [.closed(.replaced)]
        case .datagram(let datagram): return receive(datagram, &environment)
        case .timer, .answer, .command, .inboundTraffic, .childExhausted, .childExpired, .adopt, .disown,
            .peerDeleted:
            return []
        }
    }

    private func request(_ environment: SessionEnvironment) -> [SessionEffect] {
        [
            send(.request),
            .setTimer(.retransmit(spi: initiatorSPI, messageID: 0), at: environment.now + .seconds(1)),
        ]
    }

    private mutating func receive(
        _ datagram: Datagram, _ environment: inout SessionEnvironment
    ) -> [SessionEffect] {
        guard let kind = datagram.octets.last.flatMap(Message.init(rawValue:)) else { return [] }
        var reader = ByteReader(datagram.octets)
        guard let header = try? Header(from: &reader) else { return [] }
        switch kind {
        case .request where !isInitiator && state == .created:
            connection =
                environment.policies.candidates(
                    local: datagram.local.address, remote: datagram.remote.address, version: .v2
                ).first
            initiatorSPI = header.initiator.value
            responderSPI = environment.freshIKESPI()
            state = .established
            return [.claim(spi: responderSPI)] + installed(&environment) + [
                send(.answer), .report(.established), .report(.childEstablished(child?.id ?? ChildID(0))),
            ]
        case .answer where isInitiator && state == .connecting:
            responderSPI = header.responder.value
            state = .established
            let effects = installed(&environment)
            return [.cancelTimer(.retransmit(spi: initiatorSPI, messageID: 0))] + effects
                + [.report(.established), .report(.childEstablished(child?.id ?? ChildID(0)))]
        case .refusal:
            return [
                .report(.refused(child: child?.name, .peer(notification: 14, name: "NO_PROPOSAL_CHOSEN"))),
                .closed(.refused(.peer(notification: 14, name: "NO_PROPOSAL_CHOSEN"))),
            ]
        case .bye: return removed() + [.closed(.deletedByPeer)]
        // An unfinished session goes, one that stands waits for its successor.
        case .redirect:
            return [.redirect(to: ScriptedSession.otherGateway)] + (state == .connecting ? [.closed(.replaced)] : [])
        case .initialContact: return [.report(.initialContact)]
        case .request, .answer: return []
        }
    }
}
