import Certificates
import Cryptography
import IPsec
import Primitives

enum Faults {
    static let all =
        time + signatures + issuers + authorities + usages + criticals + names + identities + revocations + demands

    static let july = WallTime(year: 2026, month: 7, day: 1)!
    static let may = WallTime(year: 2026, month: 5, day: 1)!

    static let time: [Fault] = {
        @Sendable func expired(_ problem: CertificateProblem) -> Bool {
            if case .expired(may, _) = problem { true } else { false }
        }
        @Sendable func early(_ problem: CertificateProblem) -> Bool {
            if case .notYetValid(july, _) = problem { true } else { false }
        }
        return [
            Fault("expired end entity", 0, .validity, { $0.leaf.notAfter = may }, expect: expired),
            Fault("expired intermediate", 1, .validity, { $0.middle.notAfter = may }, expect: expired),
            Fault("expired root", 2, .validity, { $0.root.notAfter = may }, expect: expired),
            Fault("end entity from the future", 0, .validity, { $0.leaf.notBefore = july }, expect: early),
            Fault("intermediate from the future", 1, .validity, { $0.middle.notBefore = july }, expect: early),
            Fault("root from the future", 2, .validity, { $0.root.notBefore = july }, expect: early),
            Fault(
                "a second too late", 0, .validity,
                {
                    $0.leaf.notAfter = WallTime(seconds: Hierarchy.now.seconds - 1)
                }
            ) { if case .expired = $0 { true } else { false } },
            Fault(
                "a second too early", 0, .validity,
                {
                    $0.leaf.notBefore = WallTime(seconds: Hierarchy.now.seconds + 1)
                }
            ) { if case .notYetValid = $0 { true } else { false } },
            Fault(
                "never valid", 0, .validity,
                {
                    $0.leaf.notBefore = july
                    $0.leaf.notAfter = may
                }, expect: early),
        ]
    }()

    /// What a connection demands besides.
    static let demands: [Fault] = {
        let wanted = "1.3.6.1.4.1.99999.1"
        let pattern = IdentityPattern.exactly(Identity(Hierarchy.leafName))
        @Sendable func issue(_ hierarchy: inout Hierarchy, _ middle: [String], _ leaf: [String]) {
            hierarchy.policy.certificatePolicies = [wanted]
            if !middle.isEmpty { hierarchy.middle.extensions.append(.policies(middle)) }
            if !leaf.isEmpty { hierarchy.leaf.extensions.append(.policies(leaf)) }
        }
        return [
            Fault("end entity without policy", 0, .policies, { issue(&$0, [wanted], []) }) {
                $0 == .policiesAbsent([wanted])
            },
            Fault("end entity of another policy", 0, .policies, { issue(&$0, [wanted], ["1.2.3"]) }) {
                $0 == .policiesAbsent([wanted])
            },
            Fault("intermediate without policy", 1, .policies, { issue(&$0, [], [wanted]) }) {
                $0 == .policiesAbsent([wanted])
            },
            Fault(
                "one of two policies", 0, .policies,
                {
                    issue(&$0, [CertificateExtensions.anyPolicy], [wanted])
                    $0.policy.certificatePolicies = [wanted, "1.2.3"]
                }
            ) { $0 == .policiesAbsent(["1.2.3"]) },
            Fault("no authority of that name", 2, .trust, { $0.policy.authorityIdentity = pattern }) {
                $0 == .authorityIdentityAbsent(pattern)
            },
        ]
    }()

    static let signatures: [Fault] = [
        Fault(
            "flipped bit in the signature", 0, .signature,
            { $0.mangle = { Array($0.dropLast()) + [$0[$0.count - 1] ^ 1] } }
        ) { $0 == .badSignature },
        Fault("signed by a stranger", 0, .signature, { $0.leafSigner = TestKey.stranger.signer() }) {
            $0 == .badSignature
        },
        Fault("signed by the root in the intermediate's name", 0, .signature, { $0.leafSigner = TestKey.root.signer() })
        {
            $0 == .badSignature
        },
        Fault("intermediate signed by a stranger", 1, .signature, { $0.middleSigner = TestKey.stranger.signer() }) {
            $0 == .badSignature
        },
        Fault("intermediate signed by itself", 1, .signature, { $0.middleSigner = TestKey.middle.signer() }) {
            $0 == .badSignature
        },
        Fault(
            "body changed after signing", 0, .signature,
            { hierarchy in
                hierarchy.mangle = { octets in
                    let old = Array("gate.example".utf8)
                    let start = octets.indices.last { Array(octets[$0...].prefix(old.count)) == old }!
                    var octets = octets
                    octets.replaceSubrange(start..<start + old.count, with: Array("fake.example".utf8))
                    return octets
                }
                hierarchy.wanted = Identity("fake.example")
            }
        ) { $0 == .badSignature },
        Fault("no signature", 0, .signature, { $0.leafSigner = Signer(.ecdsa(.sha256)) { _ in [] } }) {
            $0 == .badSignature
        },
        Fault(
            "zeros for a signature", 0, .signature,
            { $0.leafSigner = Signer(.ecdsa(.sha256)) { _ in [0x30, 6, 2, 1, 0, 2, 1, 0] } }
        ) {
            $0 == .badSignature
        },
        Fault(
            "Ed25519's name on another key's signature", 0, .signature,
            { $0.leafSigner = TestKey.middle.signer(.ed25519) }
        ) {
            $0 == .badSignature
        },
        Fault(
            "RSA's name on another key's signature", 0, .signature,
            { $0.leafSigner = TestKey.middle.signer(.rsa(.sha256)) }
        ) {
            $0 == .badSignature
        },
        Fault("another hash's name", 0, .signature, { $0.leafSigner = TestKey.middle.signer(.ecdsa(.sha384)) }) {
            $0 == .badSignature
        },
        Fault("SHA-1 at the end", 0, .signature, { $0.leafSigner = TestKey.middle.signer(.ecdsa(.sha1)) }) {
            $0 == .weakAlgorithm(.ecdsa(.sha1))
        },
        Fault("SHA-1 in between", 1, .signature, { $0.middleSigner = TestKey.root.signer(.ecdsa(.sha1)) }) {
            $0 == .weakAlgorithm(.ecdsa(.sha1))
        },
        Fault("MD5", 0, .signature, { $0.leafSigner = TestKey.middle.signer(.rsa(.md5)) }) {
            $0 == .weakAlgorithm(.rsa(.md5))
        },
        Fault(
            "an unknown algorithm", 0, .signature,
            { hierarchy in
                // 1.2.840.10045.4.3.2 becomes 1.2.840.10045.4.3.9, inside and outside.
                hierarchy.mangle = { octets in
                    let old: [UInt8] = [0x06, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 4, 3, 2]
                    var octets = octets
                    for index in octets.indices.dropLast(old.count)
                    where Array(octets[index..<index + old.count]) == old {
                        octets[index + old.count - 1] = 9
                    }
                    return octets
                }
            }
        ) { $0 == .unknownAlgorithm },
        Fault("RSA of 1024 bits", 0, .key, { $0.leaf.subjectPublicKeyInfo = Keys.rsa1024 }) {
            if case .weakKey(let key) = $0 { key.bits == 1024 } else { false }
        },
        Fault("P-192", 0, .key, { $0.leaf.subjectPublicKeyInfo = Keys.p192 }) {
            if case .weakKey(let key) = $0 { key.bits == 192 } else { false }
        },
        Fault("a key that cannot sign", 0, .key, { $0.leaf.subjectPublicKeyInfo = Keys.x25519 }) { $0 == .unknownKey },
        Fault(
            "a weak key in between", 1, .key, besides: ["0 issuer", "0 signature"],
            {
                $0.middle.subjectPublicKeyInfo = Keys.rsa1024
                $0.middle.extensions.replace(.subjectKeyIdentifier([1]))
            }
        ) { if case .weakKey = $0 { true } else { false } },
    ]

    static let issuers: [Fault] = [
        Fault("missing intermediate", 0, .issuer, besides: ["0 trust"], { $0.presentsMiddle = false }) {
            $0 == .issuerMissing(Hierarchy.middleName)
        },
        Fault("unknown root", 1, .issuer, besides: ["1 trust"], { $0.trustsRoot = false }) {
            $0 == .issuerMissing(Hierarchy.rootName)
        },
        Fault(
            "self-signed and unknown", 0, .trust,
            {
                $0.leaf.issuer = Hierarchy.leafName
                $0.leafSigner = TestKey.leaf.signer()
                $0.leaf.extensions.remove("2.5.29.35")
            }
        ) { $0 == .untrusted },
        Fault(
            "the peer's own root", 2, .trust,
            {
                $0.trustsRoot = false
                $0.others = [try $0.rootCertificate]
            }
        ) { $0 == .untrusted },
        Fault(
            "another key named for the issuer", 0, .issuer, { $0.leaf.extensions.replace(.authorityKeyIdentifier([9])) }
        ) {
            $0 == .otherIssuerKey(wanted: [9], found: TestKey.middle.identifier)
        },
        Fault(
            "another key named for the root", 1, .issuer, { $0.middle.extensions.replace(.authorityKeyIdentifier([9])) }
        ) {
            if case .otherIssuerKey = $0 { true } else { false }
        },
        Fault(
            "an issuer's name with one part more", 0, .issuer, besides: ["0 trust"],
            { $0.leaf.issuer = name("C=CH, O=Parley, OU=x, CN=Issuing") }
        ) { if case .issuerMissing = $0 { true } else { false } },
        Fault(
            "an issuer's name in another order", 0, .issuer, besides: ["0 trust"],
            { $0.leaf.issuer = name("O=Parley, C=CH, CN=Issuing") }
        ) { if case .issuerMissing = $0 { true } else { false } },
        Fault(
            "an authority that the connection does not name", 2, .trust,
            {
                var other = Hierarchy().root
                other.subject = name("CN=Other")
                other.issuer = other.subject
                $0.authorities = [try other.signed(by: TestKey.stranger.signer())]
            }
        ) { $0 == .authorityNotNamed },
        Fault(
            "a root of the right name and the wrong key", 1, .issuer, besides: ["1 signature"],
            {
                $0.root.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
                $0.root.extensions.replace(.subjectKeyIdentifier(TestKey.stranger.identifier))
                $0.rootSigner = TestKey.stranger.signer()
            }
        ) { if case .otherIssuerKey = $0 { true } else { false } },
    ]

    static let authorities: [Fault] = [
        Fault("intermediate without basicConstraints", 1, .authority, { $0.middle.extensions.remove("2.5.29.19") }) {
            $0 == .notAuthority
        },
        Fault(
            "intermediate that is none", 1, .authority,
            { $0.middle.extensions.replace(.basicConstraints(isAuthority: false)) }
        ) {
            $0 == .notAuthority
        },
        Fault("root without basicConstraints", 2, .authority, { $0.root.extensions.remove("2.5.29.19") }) {
            $0 == .notAuthority
        },
        Fault(
            "intermediate of version 1", 1, .authority,
            {
                $0.middle.version = 1
                $0.middle.extensions = []
            }
        ) { $0 == .notAuthority },
        Fault(
            "an end entity as issuer", 1, .authority, besides: ["1 keyUsage"],
            {
                $0.middle.extensions.replace(.basicConstraints(isAuthority: false))
                $0.middle.extensions.replace(.keyUsage([.digitalSignature]))
            }
        ) { $0 == .notAuthority },
        Fault(
            "root's path length", 2, .pathLength,
            { $0.root.extensions.replace(.basicConstraints(isAuthority: true, pathLength: 0)) }
        ) {
            $0 == .pathTooLong(allowed: 0, found: 1)
        },
        Fault(
            "intermediate's path length", 2, .pathLength,
            { try insertAuthority(into: &$0, middlePathLength: 0) }
        ) { $0 == .pathTooLong(allowed: 0, found: 1) },
        Fault(
            "two authorities where one may be", 3, .pathLength,
            {
                try insertAuthority(into: &$0, middlePathLength: nil)
                $0.root.extensions.replace(.basicConstraints(isAuthority: true, pathLength: 1))
            }
        ) { $0 == .pathTooLong(allowed: 1, found: 2) },
    ]

    /// One more authority between the intermediate and the end entity.
    @Sendable private static func insertAuthority(into hierarchy: inout Hierarchy, middlePathLength: Int?) throws {
        var sub = hierarchy.middle
        sub.issuer = Hierarchy.middleName
        sub.subject = name("C=CH, O=Parley, CN=Sub")
        sub.subjectPublicKeyInfo = TestKey.stranger.subjectPublicKeyInfo
        sub.extensions.replace(.subjectKeyIdentifier(TestKey.stranger.identifier))
        sub.extensions.replace(.authorityKeyIdentifier(TestKey.middle.identifier))
        hierarchy.others = [try sub.signed(by: TestKey.middle.signer())]
        hierarchy.middle.extensions.replace(.basicConstraints(isAuthority: true, pathLength: middlePathLength))
        hierarchy.leaf.issuer = sub.subject
        hierarchy.leaf.extensions.replace(.authorityKeyIdentifier(TestKey.stranger.identifier))
        hierarchy.leafSigner = TestKey.stranger.signer()
    }

    static let usages: [Fault] = [
        Fault(
            "intermediate may not sign certificates", 1, .keyUsage,
            { $0.middle.extensions.replace(.keyUsage([.revocationListSigning])) }
        ) {
            $0 == .keyUsageLacks("keyCertSign")
        },
        Fault(
            "root may not sign certificates", 2, .keyUsage,
            { $0.root.extensions.replace(.keyUsage([.digitalSignature])) }
        ) {
            $0 == .keyUsageLacks("keyCertSign")
        },
        Fault("key for encryption of keys", 0, .keyUsage, { $0.leaf.extensions.replace(.keyUsage([.keyEncipherment])) })
        {
            $0 == .keyUsageLacks("digitalSignature")
        },
        Fault("key for key agreement", 0, .keyUsage, { $0.leaf.extensions.replace(.keyUsage([.keyAgreement])) }) {
            $0 == .keyUsageLacks("digitalSignature")
        },
        Fault(
            "key for data", 0, .keyUsage, { $0.leaf.extensions.replace(.keyUsage([.dataEncipherment, .decipherOnly])) }
        ) {
            $0 == .keyUsageLacks("digitalSignature")
        },
        Fault("key for certificates", 0, .keyUsage, { $0.leaf.extensions.replace(.keyUsage([.certificateSigning])) }) {
            $0 == .keyUsageLacks("digitalSignature")
        },
        Fault("for code", 0, .purpose, { $0.leaf.extensions.replace(.purposes([.codeSigning])) }) {
            $0 == .purposes([.codeSigning])
        },
        Fault("for e-mail", 0, .purpose, { $0.leaf.extensions.replace(.purposes([.emailProtection])) }) {
            $0 == .purposes([.emailProtection])
        },
        Fault("for OCSP", 0, .purpose, { $0.leaf.extensions.replace(.purposes([.ocspSigning])) }) {
            $0 == .purposes([.ocspSigning])
        },
        Fault(
            "for an unknown purpose", 0, .purpose,
            { $0.leaf.extensions.replace(.purposes([.init("1.3.6.1.4.1.99999.1")])) }
        ) {
            if case .purposes = $0 { true } else { false }
        },
        Fault(
            "for servers where IKE is wanted", 0, .purpose,
            {
                $0.policy.wantsIKEPurpose = true
                $0.leaf.extensions.replace(.purposes([.serverAuthentication, .ikeIntermediate]))
            }
        ) { if case .purposes = $0 { true } else { false } },
        Fault("an authority for code", 1, .purpose, { $0.middle.extensions.replace(.purposes([.codeSigning])) }) {
            $0 == .purposes([.codeSigning])
        },
    ]

    static let criticals: [Fault] = {
        let unknown = EncodedExtension("1.3.6.1.4.1.99999.7", isCritical: true, value: [5, 0])
        @Sendable func isUnknown(_ problem: CertificateProblem) -> Bool {
            problem == .unknownCriticalExtensions(["1.3.6.1.4.1.99999.7"])
        }
        return [
            Fault(
                "critical and unknown, at the end", 0, .criticalExtensions, { $0.leaf.extensions.append(unknown) },
                expect: isUnknown),
            Fault(
                "critical and unknown, in between", 1, .criticalExtensions, { $0.middle.extensions.append(unknown) },
                expect: isUnknown),
            Fault(
                "critical and unknown, in the root", 2, .criticalExtensions, { $0.root.extensions.append(unknown) },
                expect: isUnknown),
            Fault(
                "policy constraints that nothing keeps", 0, .policies,
                {
                    $0.middle.extensions.append(
                        EncodedExtension("2.5.29.36", isCritical: true, value: [0x30, 3, 0x80, 1, 0]))
                }
            ) { $0 == .policyMissing },
        ]
    }()
}
