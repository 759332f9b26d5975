import Certificates
import Cryptography
import IPsec
import Primitives

@testable import TLS

/// Keys whose certificates vouch for themselves: here nobody judges them.
enum TestCredentials {
    static func make(_ kind: KeyGenerationKind, _ name: String) throws -> TLSConnection.Credential {
        let key = try PrivateKey.make(kind)
        guard let algorithm = key.signatureAlgorithm, let subject = DistinguishedName("CN=\(name)") else {
            throw TLSFault.broken("no such key")
        }
        let spki = key.publicKey.subjectPublicKeyInfo
        let validity = Authority.Validity(now: WallTime(seconds: 1_780_000_000), days: 30)
        let authority = try Authority.root(
            subject, subjectPublicKeyInfo: spki, serialNumber: [1], validity: validity,
            signer: Signer(algorithm) { try? key.sign(message: $0, algorithm) })
        let own = try authority.issue(
            Authority.Subject(name: subject, alternativeNames: [], subjectPublicKeyInfo: spki), serialNumber: [2],
            validity: validity)
        return TLSConnection.Credential(key: key, certificates: [own.octets])
    }
}
