import Certificates
import Credentials
import Cryptography
import EAP
import IPsec
import Primitives

/// A user whose password goes inside TLS (PEAP, EAP-TTLS): what the methods say there is this project's own.
struct TunnelScript: UserScript {
    private var peer: EAPPeer
    private let password: Secret
    private let store: CredentialStore
    private let keeper = TunnelKeeper()
    private var randomness = Randomness.seeded(9)
    private var made: Secret?

    init(user: Identity, password: String, _ authority: TestAuthority) {
        peer = EAPPeer(.any, user: user)
        self.password = Secret(Array(password.utf8))
        keeper.versions = .v12 ... .v12
        store = CredentialStore(
            certificates: CertificateStore(authorities: [
                CertificateStore.Filed(file: "ca.pem", path: "/ca.pem", certificate: authority.certificate)
            ]))
    }

    /// The method is over for this end only with Success.
    var key: Secret {
        get throws {
            var copy = peer
            var chance = randomness
            guard case .succeed(let key?) = try copy.receive([3, 0, 0, 4], &chance) else {
                throw ScriptFault.user("no key")
            }
            return key
        }
    }

    mutating func answer(_ request: [UInt8]) throws -> [UInt8] {
        var step = try peer.receive(request, &randomness)
        for _ in 0..<8 {
            switch step {
            case .send(let octets): return octets
            case .prove(let challenge): step = peer.prove(UserAnswer(challenge, password: password))
            case .password: step = peer.give(password)
            case .tunnel(let method, let input):
                let request = TunnelRequest(
                    session: SessionID(1), method: method, isServer: false,
                    own: AuthenticationRound(.extensible(method)), ownIdentity: Gateway.name,
                    peer: CertificateConstraints(), peerIdentity: Gateway.name, input: input)
                guard case .tunnelled(let progress) = keeper.answer(request, store, now: TestAuthority.now) else {
                    throw ScriptFault.user("TLS")
                }
                step = peer.take(progress, &randomness)
            case .succeed: throw ScriptFault.user("over too early")
            case .fail(let reason): throw ScriptFault.user(reason)
            }
        }
        throw ScriptFault.endless
    }
}
