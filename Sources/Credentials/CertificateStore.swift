package import Certificates
import Cryptography
package import IPsec
import Primitives

/// Certificates and revocation lists of this node, and the judgement over signatures that rest on certificates. A value.
package struct CertificateStore: Sendable {
    /// A certificate with the file that it comes from.
    package struct Filed: Hashable, Sendable {
        /// The file's name in its directory.
        package var file: String
        package var path: String
        package var certificate: Certificate

        package init(file: String, path: String, certificate: Certificate) {
            self.file = file
            self.path = path
            self.certificate = certificate
        }

        func isNamed(_ name: String) -> Bool { name == file || name == path }
    }

    /// Of `x509`: end entities', which are trusted as they are.
    package var entities: [Filed]
    /// Of `x509ca`: trusted where each issued itself, else good to stand in between.
    package var authorities: [Filed]
    package var lists: [RevocationList]
    /// Of files elsewhere, which connections name by their paths: good for these connections alone.
    package var elsewhere: [Filed] = []
    /// Where to ask about what authorities issued, by the ``Certificate/keyHash`` of each.
    package var locations: [[UInt8]: RevocationLocations] = [:]
    /// Where what authorities issued can be fetched, by the same: a URI in front of the SHA-1 in hexadecimal.
    package var uriBases: [[UInt8]: String] = [:]

    package init(entities: [Filed] = [], authorities: [Filed] = [], lists: [RevocationList] = []) {
        self.entities = entities
        self.authorities = authorities
        self.lists = lists
    }

    var anchors: [Certificate] { authorities.map(\.certificate).filter(\.isSelfIssued) }

    /// Names in a configuration that no file answers to.
    package func missingFiles(_ policies: PolicyDatabase) -> [String] {
        policies.connections.flatMap { connection in
            (connection.local + connection.remote).flatMap { round in
                round.certificates.certificateFiles.filter { named($0, in: entities).isEmpty }
                    + round.certificates.authorityFiles.filter { named($0, in: authorities).isEmpty }
            }.map { name in
                name.hasPrefix(CertificateStore.inlinePrefix)
                    ? "connection \(connection.name) brings something along that is no certificate"
                    : "connection \(connection.name) names the certificate \(name), which is not there"
            }
        }
    }

    private static let inlinePrefix = "0x"

    /// The certificates that a name stands for: a file's, or the one that stands there in hexadecimal itself.
    package func named(_ name: String, in filed: [Filed]) -> [Certificate] {
        if name.hasPrefix(CertificateStore.inlinePrefix) {
            guard let octets = [UInt8](hex: name.dropFirst(2)) else { return [] }
            return Array(((try? Certificate.read(file: octets)) ?? []).prefix(1))
        }
        return (filed + elsewhere).filter { $0.isNamed(name) }.map(\.certificate)
    }

    private func named(_ names: [String], in filed: [Filed]) -> [Certificate] {
        names.flatMap { named($0, in: filed) }
    }

    /// Our own round with the certificates that it can use: those that it names, or all whose keys are here; where it has
    /// no identity, the first one's subject, as charon does.
    func completing(local round: AuthenticationRound, keys: [PrivateKey]) -> AuthenticationRound {
        guard case .publicKey = round.method, round.publicKeyFiles.isEmpty else { return round }
        var round = round
        let named = round.certificates.certificateFiles
        let pool =
            named.isEmpty
            ? entities.map(\.certificate) : self.named(named, in: entities)
        let usable = pool.filter { certificate in
            guard let key = keys.first(where: { $0.isKey(of: certificate) }), round.method.admits(key.kind) else {
                return false
            }
            return round.exactIdentity.map { !named.isEmpty || certificate.names($0) } ?? true
        }
        round.certificates.certificates = usable.map(\.octets)
        if round.exactIdentity == nil, let first = usable.first, !first.subject.isEmpty {
            round.identity = .exactly(first.identity)
        }
        return round
    }

    /// Of our own keys those that a completed round may sign with: where certificates speak for some, no others.
    func keys(of round: AuthenticationRound, among own: [PublicKey]) -> [PublicKey] {
        let certified = round.certificates.certificates.compactMap {
            try? Certificate(parsing: $0).subjectPublicKeyInfo
        }
        let isCertified = !certified.isEmpty || !round.certificates.certificateFiles.isEmpty
        return own.filter { key in
            round.method.admits(key.kind) && (!isCertified || certified.contains(key.subjectPublicKeyInfo))
        }
    }

    /// The peer's round with the certificates of the files that it names, and the authorities to ask it for.
    func completing(remote round: AuthenticationRound) -> AuthenticationRound {
        switch round.method {
        case .publicKey where round.publicKeyFiles.isEmpty, .extensible: break
        default: return round
        }
        var round = round
        let constraints = round.certificates
        round.certificates.certificates = named(constraints.certificateFiles, in: entities).map(\.octets)
        let named = named(constraints.authorityFiles, in: authorities)
        round.certificates.authorities = named.map(\.octets)
        let asked = named.isEmpty ? anchors : named
        round.certificates.authorityHashes = asked.map(\.keyHash)
        round.certificates.authorityNames = asked.map(\.subject.octets)
        return round
    }
}

extension PrivateKey {
    func isKey(of certificate: Certificate) -> Bool {
        publicKey.subjectPublicKeyInfo == certificate.subjectPublicKeyInfo
    }
}
