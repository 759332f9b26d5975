import Certificates
import Credentials
import Cryptography
import IPsec
import Primitives
import TLS

@testable import EAP

/// Two ends of a method that runs TLS, with keys and certificates of one authority, in one process.
struct TunnelLab {
    static let now = WallTime(year: 2026, month: 6, day: 1)!
    static let gate = Identity("gate.example")!

    /// Who may be wrong, and how.
    struct Setting {
        var method = UserMethod.tls
        var versions: ClosedRange<TLSConnection.Version> = .v12 ... .v12
        var peerMethod = UserMethod.any
        var user = "joe@example.org"
        /// The name in the user's certificate.
        var certified = "joe@example.org"
        var pattern = IdentityPattern.any
        var isAsked = true
        var password = "clientPass"
        var right = "clientPass"
        var wantedServer = TunnelLab.gate
        /// Days after which the certificates end, from a day before `now`.
        var userDays = 100
        var serverDays = 100
        var userPurposes: [CertificatePurpose] = [.clientAuthentication]
        var serverPurposes: [CertificatePurpose] = [.serverAuthentication]
        var userHasOtherAuthority = false
        var serverHasOtherAuthority = false
        var userHasCertificate = true
        /// What the server wants of the user's certificate besides, and the user of the server's.
        var userConstraints = CertificateConstraints()
        var serverConstraints = CertificateConstraints()
        /// The user's certificate carries this much more, so that there are many fragments.
        var extraNames = 0
        /// PEAP: the server asks for crypto-binding.
        var asksBinding = false
        /// Certificates say where a list is, and what comes of asking for it.
        var isLocated = false
        var word = Word.nobody
        /// Changes the data of the packet of a number.
        var tampering: (number: Int, change: ([UInt8]) -> [UInt8])?
    }

    enum Word: CaseIterable {
        /// No answer.
        case nobody
        case good
        case revoked
    }

    static let listURI = "http://crl.example/ca.crl"

    struct Outcome {
        var packets: [[UInt8]] = []
        var serverKey: Secret?
        var peerKey: Secret?
        var user: Identity?
        /// Why the server, and the user, gave up.
        var failure: String?
        var refusal: String?
        var serverReport: ChainReport?
        var peerReport: ChainReport?
        var kept = 0
        /// What was asked for, by either end.
        var inquiries: [RevocationInquiry] = []
    }

    private struct Issuer {
        var key: PrivateKey
        var authority: Authority

        init(_ name: String) throws {
            let key = try PrivateKey.generate(.ecdsa(.p256))
            self.key = key
            authority = try Authority.root(
                DistinguishedName("CN=\(name)")!, subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo,
                serialNumber: [1], validity: Authority.Validity(now: TunnelLab.now, days: 1000),
                signer: Signer(.ecdsa(.sha256)) { try? key.sign(message: $0, .ecdsa(.sha256)) })
        }

        func issue(
            _ names: [SubjectName], _ commonName: String, days: Int, _ purposes: [CertificatePurpose],
            isLocated: Bool
        ) throws -> (PrivateKey, Certificate) {
            let own = try PrivateKey.generate(.ecdsa(.p256))
            let begin = WallTime(seconds: TunnelLab.now.seconds - 86_400)
            return (
                own,
                try authority.issue(
                    Authority.Subject(
                        name: DistinguishedName("CN=\(commonName)")!, alternativeNames: names,
                        subjectPublicKeyInfo: own.publicKey.subjectPublicKeyInfo, purposes: purposes),
                    serialNumber: [7], validity: Authority.Validity(now: begin, days: days),
                    locations: (isLocated ? [TunnelLab.listURI] : [], []))
            )
        }
    }

    private static func store(
        _ own: (PrivateKey, Certificate)?, trusting authority: Certificate
    ) -> CredentialStore {
        func filed(_ certificate: Certificate) -> CertificateStore.Filed {
            CertificateStore.Filed(file: "one.pem", path: "/one.pem", certificate: certificate)
        }
        return CredentialStore(
            privateKeys: own.map { [$0.0] } ?? [],
            certificates: CertificateStore(
                entities: own.map { [filed($0.1)] } ?? [], authorities: [filed(authority)]))
    }

    private static func name(_ text: String) -> SubjectName {
        text.contains("@") ? .email(text) : .dns(text)
    }

    static func run(_ setting: Setting) throws -> Outcome {
        let (issuer, other) = (try Issuer("Root"), try Issuer("Other"))
        let extra = (0..<setting.extraNames).map {
            SubjectName.dns("name-\($0).of.the.user.example.org")
        }
        let user = try (setting.userHasOtherAuthority ? other : issuer).issue(
            [name(setting.certified)] + extra, "joe", days: setting.userDays, setting.userPurposes,
            isLocated: setting.isLocated)
        let gate = try (setting.serverHasOtherAuthority ? other : issuer).issue(
            [.dns("gate.example")], "gate", days: setting.serverDays, setting.serverPurposes,
            isLocated: setting.isLocated)
        let trust = issuer.authority.certificate
        var lab = TunnelRun(setting)
        if setting.word != .nobody {
            let serial: [UInt8] = setting.word == .revoked ? [7] : [9]
            lab.lists = [
                try issuer.authority.revocationList(
                    adding: [serial: .init(date: now, reason: .keyCompromise)], to: nil,
                    validity: Authority.Validity(now: now, days: 3), now: now)
            ]
        }
        lab.serverStore = store(gate, trusting: trust)
        lab.peerStore = store(setting.userHasCertificate ? user : nil, trusting: trust)
        return try lab.run()
    }
}

/// One run; answers what the ends ask for.
private struct TunnelRun {
    let setting: TunnelLab.Setting
    var serverStore = CredentialStore()
    var peerStore = CredentialStore()
    var lists: [RevocationList] = []
    private let serverKeeper = TunnelKeeper()
    private let peerKeeper = TunnelKeeper()
    private let session = SessionID(1)
    private var randomness = Randomness.seeded(3)
    private var outcome = TunnelLab.Outcome()

    init(_ setting: TunnelLab.Setting) {
        self.setting = setting
        serverKeeper.versions = .v12 ... .v13
        peerKeeper.versions = setting.versions
    }

    mutating func run() throws -> TunnelLab.Outcome {
        let user = Identity(setting.user)!
        var server = EAPServer(
            setting.method, user: setting.isAsked ? nil : user, pattern: setting.pattern,
            asksBinding: setting.asksBinding, &randomness)
        var peer = EAPPeer(setting.peerMethod, user: user)
        var packet = server.start(&randomness)
        var isOver = false
        for _ in 0..<600 where !isOver {
            note(&packet)
            guard var answer = try respond(&peer, packet) else { break }
            note(&answer)
            (packet, isOver) = try request(&server, answer)
        }
        if isOver {
            note(&packet)
            _ = try respond(&peer, packet)
        }
        outcome.serverReport = server.report
        outcome.peerReport = peer.report
        outcome.kept = serverKeeper.count + peerKeeper.count
        return outcome
    }

    private mutating func note(_ packet: inout [UInt8]) {
        if let (number, change) = setting.tampering, number == outcome.packets.count {
            packet = change(packet)
        }
        outcome.packets.append(packet)
    }

    private func request(
        _ input: TunnelRequest.Input, _ method: UserMethod, isServer: Bool
    ) -> TunnelRequest {
        TunnelRequest(
            session: session, method: method, isServer: isServer,
            own: AuthenticationRound(.extensible(method)),
            ownIdentity: isServer ? TunnelLab.gate : Identity(setting.certified)!,
            peer: isServer ? setting.userConstraints : setting.serverConstraints,
            peerIdentity: isServer ? nil : setting.wantedServer, input: input)
    }

    /// What TLS answers, with what is learned of revocation before that.
    private mutating func progress(_ request: TunnelRequest) -> TunnelProgress? {
        let (keeper, store) = request.isServer ? (serverKeeper, serverStore) : (peerKeeper, peerStore)
        var judgement = keeper.judge(request, store, now: TunnelLab.now)
        if !judgement.inquiries.isEmpty {
            outcome.inquiries += judgement.inquiries
            judgement = keeper.judge(
                request, store, now: TunnelLab.now, fetched: RevocationStore(lists: lists),
                asked: Set(judgement.inquiries))
        }
        guard judgement.inquiries.isEmpty, case .tunnelled(let progress) = judgement.answer else { return nil }
        return progress
    }

    /// `nil`: the user is done.
    private mutating func respond(_ peer: inout EAPPeer, _ packet: [UInt8]) throws -> [UInt8]? {
        let password = Secret(Array(setting.password.utf8))
        var step = try peer.receive(packet, &randomness)
        for _ in 0..<8 {
            switch step {
            case .send(let octets): return octets
            case .prove(let challenge): step = peer.prove(UserAnswer(challenge, password: password))
            case .password: step = peer.give(password)
            case .tunnel(let method, let input):
                guard let progress = progress(request(input, method, isServer: false)) else { return nil }
                step = peer.take(progress, &randomness)
            case .succeed(let key):
                outcome.peerKey = key
                return nil
            case .fail(let reason):
                outcome.refusal = reason
                return nil
            }
        }
        return nil
    }

    /// The next request, and whether it is the last.
    private mutating func request(_ server: inout EAPServer, _ packet: [UInt8]) throws -> (
        [UInt8], Bool
    ) {
        let right = Secret(Array(setting.right.utf8))
        var step = try server.receive(packet, &randomness)
        for _ in 0..<8 {
            switch step {
            case .send(let octets): return (octets, false)
            case .check(let given, _):
                step = server.judge(given == right ? UserAnswer(response: []) : nil, &randomness)
            case .judge(let proof, _):
                let expected = UserAnswer(proof.challenge, password: right)
                step = server.judge(expected?.response == proof.response ? expected : nil, &randomness)
            case .tunnel(let input):
                guard let progress = progress(request(input, setting.method, isServer: true)) else {
                    return (packet, true)
                }
                step = server.take(progress, &randomness)
            case .relay: return (packet, true)
            case .succeed(let octets, let user, let key):
                outcome.user = user
                outcome.serverKey = key
                return (octets, true)
            case .fail(let octets, _, let reason):
                outcome.failure = reason
                return (octets, true)
            }
        }
        return (packet, true)
    }
}
