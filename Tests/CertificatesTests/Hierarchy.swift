import Certificates
import Crypto
import Cryptography
import Foundation
import IPsec
import Primitives

/// A P-256 key pair of the tests.
struct TestKey: Sendable {
    private let key = P256.Signing.PrivateKey()

    var subjectPublicKeyInfo: [UInt8] { [UInt8](key.publicKey.derRepresentation) }
    var identifier: [UInt8] { KeyIdentifier.of(subjectPublicKeyInfo: subjectPublicKeyInfo)! }

    func signer(_ algorithm: SignatureAlgorithm = .ecdsa(.sha256)) -> Signer {
        Signer(algorithm) { [key] message in
            let made =
                algorithm.hash == .sha1
                ? try? key.signature(for: Insecure.SHA1.hash(data: Data(message)))
                : try? key.signature(for: Data(message))
            guard let signature = made else { return nil }
            return [UInt8](signature.derRepresentation)
        }
    }

    static let root = TestKey()
    static let middle = TestKey()
    static let leaf = TestKey()
    static let stranger = TestKey()
}

func name(_ text: String) -> DistinguishedName { DistinguishedName(text)! }
func identity(_ text: String) -> Identity { Identity(text)! }

/// A root, an authority below it, and an end entity: good as they stand, and each part can be spoilt.
struct Hierarchy {
    static let now = WallTime(year: 2026, month: 6, day: 1, hours: 12)!
    static let rootName = name("C=CH, O=Parley, CN=Root")
    static let middleName = name("C=CH, O=Parley, CN=Issuing")
    static let leafName = name("C=CH, O=Parley, CN=gate")

    var root: CertificateTemplate
    var middle: CertificateTemplate
    var leaf: CertificateTemplate
    var rootSigner = TestKey.root.signer()
    var middleSigner = TestKey.root.signer()
    var leafSigner = TestKey.middle.signer()
    /// More certificates that come along.
    var others: [Certificate] = []
    var presentsMiddle = true
    var trustsRoot = true
    var authorities: [Certificate] = []
    /// Changes the end entity's certificate once it is signed.
    var mangle: ([UInt8]) -> [UInt8] = { $0 }
    var wanted: Identity? = identity("gate.example")
    var now = Hierarchy.now
    var policy = CertificatePolicy()
    var lists: [RevocationListTemplate] = []
    var listSigner = TestKey.middle.signer()
    var responses: [OCSPResponse] = []

    init() {
        func template(
            _ serial: UInt8, _ issuer: DistinguishedName, _ subject: DistinguishedName, _ key: TestKey
        ) -> CertificateTemplate {
            CertificateTemplate(
                serialNumber: [serial], issuer: issuer, subject: subject,
                notBefore: WallTime(year: 2026, month: 1, day: 1)!, notAfter: WallTime(year: 2027, month: 1, day: 1)!,
                subjectPublicKeyInfo: key.subjectPublicKeyInfo)
        }
        let authority: [EncodedExtension] = [
            .basicConstraints(isAuthority: true), .keyUsage([.certificateSigning, .revocationListSigning]),
        ]
        root = template(1, Hierarchy.rootName, Hierarchy.rootName, .root)
        root.extensions = authority + [.subjectKeyIdentifier(TestKey.root.identifier)]
        middle = template(2, Hierarchy.rootName, Hierarchy.middleName, .middle)
        middle.extensions =
            authority + [
                .subjectKeyIdentifier(TestKey.middle.identifier), .authorityKeyIdentifier(TestKey.root.identifier),
            ]
        leaf = template(3, Hierarchy.middleName, Hierarchy.leafName, .leaf)
        leaf.extensions = [
            .basicConstraints(isAuthority: false), .keyUsage([.digitalSignature]),
            .authorityKeyIdentifier(TestKey.middle.identifier),
            .names([
                .dns("gate.example"), .email("Gate@Example.org"), .address(IPAddress("192.0.2.1")!),
                .address(IPAddress("2001:db8::1")!),
            ]),
        ]
    }

    var rootCertificate: Certificate { get throws { try root.signed(by: rootSigner) } }
    var middleCertificate: Certificate { get throws { try middle.signed(by: middleSigner) } }
    var leafCertificate: Certificate {
        get throws { try Certificate(parsing: mangle(try leaf.signed(by: leafSigner).octets)) }
    }

    func judge() throws -> Result<ValidatedPath, ChainReport> {
        let builder = PathBuilder(
            anchors: trustsRoot ? [try rootCertificate] : [],
            revocation: RevocationStore(lists: try lists.map { try $0.signed(by: listSigner) }, responses: responses),
            policy: policy)
        return builder.path(
            for: try leafCertificate, presented: (presentsMiddle ? [try middleCertificate] : []) + others,
            identity: wanted, authorities: authorities, now: now)
    }

    /// A list of the issuing authority, fresh, with these serial numbers.
    static func list(
        _ serials: [UInt8], number: Int = 7, base: Int? = nil, reason: RevocationList.Reason = .keyCompromise,
        issuer: DistinguishedName = Hierarchy.middleName
    ) -> RevocationListTemplate {
        let entry = RevocationList.Entry(date: WallTime(year: 2026, month: 5, day: 1)!, reason: reason)
        return RevocationListTemplate(
            issuer: issuer, thisUpdate: WallTime(year: 2026, month: 5, day: 30)!,
            nextUpdate: WallTime(year: 2026, month: 6, day: 30)!,
            entries: Dictionary(uniqueKeysWithValues: serials.map { ([$0], entry) }), number: number, baseNumber: base)
    }
}

extension [EncodedExtension] {
    /// Puts an extension in place of the one with the same identifier.
    mutating func replace(_ new: EncodedExtension) {
        removeAll { $0.identifier == new.identifier }
        append(new)
    }

    mutating func remove(_ identifier: String) { removeAll { $0.identifier == identifier } }
}
