import Cryptography
import Primitives
import Testing
import VectorSupport

/// Keys of `Tests/Vectors/test-keys.txt`.
enum TestKeys {
    static let records = VectorFile("test-keys").records

    static func record(_ name: String) throws -> VectorFile.Record {
        try #require(records.first { $0[text: "name"] == name })
    }

    static func privateKey(_ name: String) throws -> PrivateKey {
        try PrivateKey(parsing: Secret(try record(name)["private"]))
    }
}

/// Reading keys in the forms that files have.
@Suite struct PublicKeyTests {
    @Test(arguments: TestKeys.records)
    func everyFormIsTheSameKey(_ record: VectorFile.Record) throws {
        let expected = try PublicKey(parsing: record["public"])
        #expect(expected.subjectPublicKeyInfo == record["public"])
        #expect(try PublicKey(parsing: record["publicPEM"]) == expected)
        for form in ["private", "traditional", "traditionalPEM", "privatePEM"] {
            let key = try PrivateKey(parsing: Secret(record[form]))
            #expect(key.publicKey == expected, "\(form)")
            #expect(key.kind == expected.kind)
        }
        let phrase = Secret(Array("open sesame".utf8))
        for form in ["encrypted", "encryptedPEM", "encryptedTraditionalPEM"] {
            #expect(try PrivateKey(parsing: Secret(record[form]), passphrase: phrase).publicKey == expected, "\(form)")
        }
        if case .rsa = expected.kind {
            #expect(try PublicKey(parsing: record["publicPKCS1"]) == expected)
            #expect(try PublicKey(parsing: record["publicPKCS1PEM"]) == expected)
        }
    }

    @Test func kindsAreTold() throws {
        let kinds = try TestKeys.records.map { try PublicKey(parsing: $0["public"]).kind }
        #expect(
            kinds == [
                .rsa(modulusOctets: 256), .rsa(modulusOctets: 256), .rsa(modulusOctets: 384), .rsa(modulusOctets: 129),
                .dsa(orderOctets: 20), .dsa(orderOctets: 32), .ecdsa(.p256), .ecdsa(.p256), .ecdsa(.p384),
                .ecdsa(.p384), .ecdsa(.p521), .ecdsa(.p521),
            ])
    }

    @Test(arguments: ["encrypted", "encryptedPEM", "encryptedTraditionalPEM"])
    func aPassphraseMustBeRight(_ form: String) throws {
        let octets = Secret(try TestKeys.record("rsa-left")[form])
        #expect(throws: KeyDefect.passphrase) { try PrivateKey(parsing: octets) }
        #expect(throws: KeyDefect.passphrase) {
            try PrivateKey(parsing: octets, passphrase: Secret(Array("open barley".utf8)))
        }
    }

    @Test func damagedKeysAreRefused() throws {
        let record = try TestKeys.record("ecdsa-256-left")
        for form in ["private", "traditional", "privatePEM"] {
            let octets = record[form]
            #expect(throws: KeyDefect.unreadable) { try PrivateKey(parsing: Secret(octets.dropLast(9))) }
        }
        let octets = record["public"]
        #expect(throws: KeyDefect.unreadable) { try PublicKey(parsing: Array(octets.dropLast())) }
        #expect(throws: KeyDefect.unreadable) { try PublicKey(parsing: octets + [0]) }
        #expect(throws: KeyDefect.unreadable) { try PublicKey(parsing: []) }
        #expect(throws: KeyDefect.unreadable) { try PublicKey(parsing: Array("-----BEGIN PUBLIC KEY-----".utf8)) }
        // A point that is not on the curve.
        var offCurve = octets
        offCurve[offCurve.count - 1] ^= 1
        #expect(throws: KeyDefect.self) { try PublicKey(parsing: offCurve) }
        #expect(throws: KeyDefect.unreadable) { try PrivateKey(parsing: Secret(octets)) }
        #expect(throws: KeyDefect.unreadable) {
            try PublicKey(parsing: [UInt8](repeating: 0x30, count: 65 * 1024))
        }
    }

    @Test func aPrivateKeyShowsNothing() throws {
        let key = try TestKeys.privateKey("ecdsa-256-left")
        var text = ""
        dump(key, to: &text)
        #expect(text.contains("ECDSA P-256") && !text.contains("pointer") && text.count < 200)
    }
}

/// Signatures over digests, as IKEv1 makes them.
@Suite struct SignatureTests {
    private static let digest = [UInt8](repeating: 0x5A, count: 32)

    private static let schemes: [(String, SignatureScheme, Int)] = [
        ("rsa-left", .rsa, 256), ("rsa-odd", .rsa, 129), ("dsa-left", .dss, 40), ("dsa-right", .dss, 64),
        ("ecdsa-256-left", .ecdsa(.p256), 64), ("ecdsa-384-left", .ecdsa(.p384), 96),
        ("ecdsa-521-left", .ecdsa(.p521), 132),
    ]

    @Test(arguments: schemes)
    func whatIsSignedVerifiesAndNothingElse(_ name: String, _ scheme: SignatureScheme, _ octets: Int) throws {
        let key = try TestKeys.privateKey(name)
        // DSS is defined with SHA's 160 bits (RFC 2409 §5.1).
        let digest = Array(Self.digest.prefix(scheme == .dss ? 20 : 32))
        let signature = try key.sign(digest, scheme)
        #expect(signature.count == octets)
        #expect(key.publicKey.verifies(signature, over: digest, scheme))
        var other = digest
        other[0] ^= 1
        #expect(!key.publicKey.verifies(signature, over: other, scheme))
        for index in [0, octets / 2, octets - 1] {
            var damaged = signature
            damaged[index] ^= 1
            #expect(!key.publicKey.verifies(damaged, over: digest, scheme))
        }
        for wrong in [[], Array(signature.dropLast()), signature + [0], [UInt8](repeating: 0, count: octets)] {
            #expect(!key.publicKey.verifies(wrong, over: digest, scheme))
        }
        let stranger = try TestKeys.privateKey(name == "rsa-left" ? "rsa-right" : "rsa-left").publicKey
        #expect(!stranger.verifies(signature, over: digest, scheme))
    }

    @Test func schemesAndKeysMustFit() throws {
        for (name, scheme, _) in Self.schemes {
            let key = try TestKeys.privateKey(name)
            for (_, other, _) in Self.schemes where other != scheme {
                #expect(throws: CryptographyError.invalidKey) { try key.sign(Self.digest, other) }
                #expect(!key.publicKey.verifies([1], over: Self.digest, other))
            }
        }
    }

    /// The block holds the digest alone: a signature with the hash's object identifier inside is another one.
    @Test func rsaSignaturesHoldNoObjectIdentifier() throws {
        let key = try TestKeys.privateKey("rsa-left")
        let digest = Self.digest
        let information = [UInt8](hex: "3031300d060960864801650304020105000420")! + digest
        let wrapped = try key.sign(information, .rsa)
        #expect(key.publicKey.verifies(wrapped, over: information, .rsa))
        #expect(!key.publicKey.verifies(wrapped, over: digest, .rsa))
    }

    @Test func digestsThatDoNotFitAreRefused() throws {
        let key = try TestKeys.privateKey("rsa-left")
        #expect(throws: CryptographyError.self) { try key.sign([UInt8](repeating: 1, count: 246), .rsa) }
    }
}
