import Certificates
import Configuration
import Credentials
import Cryptography
import IPsec
import KeyManagement
import Primitives

/// A gateway without its sockets: the engine of both key exchanges, made of a text as `swanctl.conf` has it, with the keys,
/// users and TLS that answer its questions.
struct Gateway {
    static let address = IPAddress("198.51.100.1")!
    static let name = Identity("gate.example")!

    private(set) var manager: KeyManager
    private let store: CredentialStore
    private let users: UserStore
    private let tunnels = TunnelKeeper()
    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    /// By the SPI of each.
    private(set) var inbound: [SPI: SecurityAssociation] = [:]
    private(set) var outbound: [SPI: SecurityAssociation] = [:]
    private(set) var events: [Event] = []

    /// - Parameter text: a file with a connection that is for one of the clients, and whatever else belongs to it.
    init(_ text: String, authority: TestAuthority? = nil, settings: EngineSettings? = nil) throws {
        let configuration = try Configuration.read(SourceFile(name: "gateway", text: text))
        var certificates = CertificateStore()
        var keys: [PrivateKey] = []
        if let authority {
            certificates.entities = [
                CertificateStore.Filed(
                    file: "gate.pem", path: "/gate.pem", certificate: authority.gate.certificate)
            ]
            certificates.authorities = [
                CertificateStore.Filed(file: "ca.pem", path: "/ca.pem", certificate: authority.certificate)
            ]
            keys = [authority.gate.key]
        }
        users = UserStore(configuration.users)
        let empty = CredentialStore(privateKeys: keys, certificates: certificates)
        let policies = empty.completing(configuration.policies)
        store = CredentialStore(
            sharedKeys: configuration.secrets, privateKeys: keys, certificates: certificates, policies: policies)
        manager = KeyManager(
            now: now, randomness: .seeded(11), policies: policies, settings: settings ?? configuration.settings.engine)
    }

    /// What the gateway sends upon a datagram that is said as its sender sees it, as the gateway sees it.
    mutating func take(_ datagram: Datagram) -> [Datagram] {
        feed(.datagram(Datagram(local: datagram.remote, remote: datagram.local, octets: datagram.octets)))
    }

    /// Lets time pass, and returns what the gateway sends meanwhile.
    mutating func wait(_ duration: Duration) -> [Datagram] {
        let end = now + duration
        var sent: [Datagram] = []
        while let deadline = manager.nextDeadline, deadline <= end {
            now = max(now, deadline)
            sent += feed(.deadline)
        }
        now = end
        return sent
    }

    private mutating func feed(_ input: Input) -> [Datagram] {
        var inputs = [input]
        var sent: [Datagram] = []
        while !inputs.isEmpty {
            for effect in manager.handle(inputs.removeFirst(), now: now) {
                switch effect {
                case .send(let datagram): sent.append(datagram)
                case .install(let sa):
                    if sa.direction == .inbound { inbound[sa.spi] = sa } else { outbound[sa.spi] = sa }
                case .remove(let spi, let direction, _):
                    if direction == .inbound { inbound[spi] = nil } else { outbound[spi] = nil }
                case .move(let child, let local, let remote):
                    inbound = inbound.mapValues { $0.moved(child, local, remote) }
                    outbound = outbound.mapValues { $0.moved(child, local, remote) }
                case .ask(let id, let question): inputs.append(.answer(id, answer(question)))
                case .report(let event): events.append(event)
                default: break
                }
            }
        }
        return sent
    }

    private func answer(_ question: Question) -> Answer {
        switch question {
        case .checkPassword(let password, let user): users.check(password, of: user)
        case .password(let user, let peer): users.password(of: user, for: peer)
        case .judgeUser(let proof, let user): users.judge(proof, of: user)
        case .proveUser(let challenge, let user, let peer): users.prove(challenge, of: user, for: peer)
        case .relayUser: .relayed(.unreachable)
        case .tunnel(let request): tunnels.answer(request, store, now: TestAuthority.now)
        default: store.answer(question, now: TestAuthority.now)
        }
    }

    // MARK: What a test asks

    var established: [SessionSnapshot] { manager.snapshots.filter { $0.state == .established } }
    var refusals: [Refusal] {
        events.compactMap {
            if case .session(.refused(_, let refusal)) = $0.kind { return refusal }
            if case .closed(.refused(let refusal)) = $0.kind { return refusal }
            return nil
        }
    }
}

extension SecurityAssociation {
    fileprivate func moved(_ child: ChildID, _ local: Endpoint, _ remote: Endpoint) -> SecurityAssociation {
        guard self.child == child else { return self }
        var sa = self
        (sa.local, sa.remote) = (local, remote)
        return sa
    }
}
