import Certificates
import Cryptography
import IPsec
import Primitives

/// An authority with a certificate for the gateway, one for a machine and one for its user.
struct TestAuthority: Sendable {
    static let now = WallTime(year: 2026, month: 6, day: 1)!

    /// RSA of 2048 bits, as Windows, iOS and Android get their keys from most guides; made once for all tests.
    static let rsa = Result { try TestAuthority(.rsa(modulusOctets: 256)) }
    /// P-384, as CNSA has it and as Apple's profiles of several projects do.
    static let ecdsa = Result { try TestAuthority(.ecdsa(.p384)) }

    struct Holder: Sendable {
        let key: PrivateKey
        let certificate: Certificate
        var subject: Identity { Identity(certificate.subject) }
    }

    let certificate: Certificate
    let gate: Holder
    let machine: Holder
    let user: Holder

    private init(_ kind: KeyKind) throws {
        let key = try PrivateKey.generate(kind)
        let signer = Signer(key)!
        let authority = try Authority.root(
            DistinguishedName("C=CH, O=Parley, CN=Root")!, subjectPublicKeyInfo: key.publicKey.subjectPublicKeyInfo,
            serialNumber: [1], validity: Authority.Validity(now: Self.now, days: 1000), signer: signer)
        func issue(_ serial: UInt8, _ name: String, _ others: [SubjectName]) throws -> Holder {
            let own = try PrivateKey.generate(kind)
            let certificate = try authority.issue(
                Authority.Subject(
                    name: DistinguishedName("C=CH, O=Parley, CN=\(name)")!, alternativeNames: others,
                    subjectPublicKeyInfo: own.publicKey.subjectPublicKeyInfo),
                serialNumber: [serial], validity: Authority.Validity(now: Self.now, days: 300))
            return Holder(key: own, certificate: certificate)
        }
        certificate = authority.certificate
        gate = try issue(2, "gate.example", [.dns("gate.example"), .address(Gateway.address)])
        machine = try issue(3, "laptop.example", [.dns("laptop.example")])
        user = try issue(4, "joe@example.org", [.email("joe@example.org")])
    }
}
