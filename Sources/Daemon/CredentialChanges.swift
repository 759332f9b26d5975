import Certificates
import Credentials
import Cryptography
import IPsec
import KeyManagement

/// The rounds of a connection as they were configured: what its certificates and keys are depends on those that are here.
struct DeclaredRounds: Hashable, Sendable {
    var local: [AuthenticationRound]
    var remote: [AuthenticationRound]

    init(_ connection: Connection) {
        local = connection.local
        remote = connection.remote
    }

    /// Whether keys and certificates have a part in them.
    var restOnKeys: Bool { (local + remote).contains { $0.method.usesPublicKeys } }

    static func of(_ connections: [Connection]) -> [String: DeclaredRounds] {
        Dictionary(connections.map { ($0.name, DeclaredRounds($0)) }) { _, last in last }
    }
}

/// Keys, certificates and authorities that come and go one by one. They are in the same store as those of the files, and
/// a reload of the files goes back to what these hold.
extension ControlLoop {
    /// A connection with the keys and certificates that its rounds can use.
    func completed(_ connection: Connection) -> Connection {
        var connection = connection
        if let rounds = declared[connection.name] {
            (connection.local, connection.remote) = (rounds.local, rounds.remote)
        }
        let policies = PolicyDatabase(connections: [connection])
        return keyFiles.completing(policies, running.authorities).connections.first ?? connection
    }

    /// All certificates that are in force.
    var certificates: CertificateStore { keyFiles.store(PolicyDatabase(), running.authorities) }

    /// Changes keys, certificates or authorities; connections that rest on them see it at once, and SAs stay.
    func changeCredentials(_ body: (inout KeyFiles.Found) -> Void) {
        forgetKeys()
        body(&keyFiles)
        for connection in manager.policies.connections where declared[connection.name]?.restOnKeys != false {
            let completed = completed(connection)
            if completed != connection { command(.put(completed)) { _ in } }
        }
        forgetKeys()
    }

    // What is there already changes nothing: clients send all that they have again and again.

    func load(_ key: PrivateKey) {
        guard !keyFiles.privateKeys.contains(where: { $0.publicKey == key.publicKey }) else { return }
        changeCredentials { $0.privateKeys.append(key) }
    }

    func load(_ key: PublicKey) {
        guard !keyFiles.publicKeys.contains(key) else { return }
        changeCredentials { $0.publicKeys.append(key) }
    }

    func load(_ certificate: Certificate, asAuthority isAuthority: Bool) {
        let path = isAuthority ? \CertificateStore.authorities : \.entities
        guard !keyFiles.certificates[keyPath: path].contains(where: { $0.certificate == certificate }) else { return }
        changeCredentials { keys in
            keys.certificates[keyPath: path].append(.init(file: "", path: "", certificate: certificate))
        }
    }

    /// Takes a list in; an older one of the same scope goes.
    func load(_ list: RevocationList) {
        changeCredentials { keys in
            let lists = keys.certificates.lists
            let twins = lists.filter { $0.isAbout(sameAs: list) }
            if twins.contains(where: { $0.thisUpdate >= list.thisUpdate }) { return }
            keys.certificates.lists = lists.filter { !$0.isAbout(sameAs: list) } + [list]
        }
    }
}

extension PublicKey {
    /// SHA-1 over the key alone, as charon names keys; hexadecimal.
    var viciName: String {
        let bits = try? Certificate.keyBits(parsing: subjectPublicKeyInfo)
        return bits.flatMap { try? Digest.compute(.sha1, [.open($0)]) }?.hex ?? ""
    }
}
