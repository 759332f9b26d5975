import Testing

/// A suite in swanctl's keywords for both key exchanges.
struct Suite: Hashable, Sendable, CustomTestStringConvertible {
    let ike: String
    let esp: String
    /// What the peer must call the child's ciphers: encryption, key bits, integrity.
    let expected: [String]
    var testDescription: String { "\(ike) / \(esp)" }

    private init(_ ike: String, _ esp: String, _ expected: String...) {
        self.ike = ike
        self.esp = esp
        self.expected = expected
    }

    /// Every cipher, hash and group of the list, each at least once in both roles it can play.
    static func table(_ version: Version) -> [Suite] {
        let common = [
            Suite("aes128-sha1-modp2048", "aes128-sha1-modp2048", "AES_CBC", "128", "HMAC_SHA1_96"),
            Suite("aes256-sha256-modp3072", "aes128gcm16-modp3072", "AES_GCM_16", "128"),
            Suite("aes256-sha384-modp4096", "aes256-sha384-modp4096", "AES_CBC", "256", "HMAC_SHA2_384_192"),
            Suite("aes256-sha512-ecp256", "aes256-sha512-ecp256", "AES_CBC", "256", "HMAC_SHA2_512_256"),
            Suite("aes128-sha256-ecp384", "aes256gcm16-ecp384", "AES_GCM_16", "256"),
            Suite("aes256-sha384-ecp521", "aes128-sha256-ecp521", "AES_CBC", "128", "HMAC_SHA2_256_128"),
            Suite("aes256-sha256-curve25519", "aes256-sha256-curve25519", "AES_CBC", "256", "HMAC_SHA2_256_128"),
            Suite("aes256-sha1-ecp256", "aes256-sha1", "AES_CBC", "256", "HMAC_SHA1_96"),
            Suite("aes128-sha384-ecp256", "aes128-sha384", "AES_CBC", "128", "HMAC_SHA2_384_192"),
            Suite("aes128-sha512-ecp256", "aes128-sha512", "AES_CBC", "128", "HMAC_SHA2_512_256"),
        ]
        guard version == .v2 else { return common }
        return common + [
            Suite("aes128gcm16-prfsha1-ecp256", "aes128gcm16", "AES_GCM_16", "128"),
            Suite("aes256gcm16-prfsha384-ecp384", "chacha20poly1305-ecp384", "CHACHA20_POLY1305"),
            Suite("chacha20poly1305-prfsha512-curve25519", "chacha20poly1305", "CHACHA20_POLY1305"),
        ]
    }

    /// What only old peers want, and the groups that few have; the last ones charon lacks.
    static func older(_ scenario: Scenario) -> [Suite] {
        var suites = [
            Suite("3des-md5-modp1024", "3des-md5-modp1024", "3DES_CBC", "HMAC_MD5_96"),
            Suite("3des-sha1-modp768", "null-sha256-modp768", "NULL", "HMAC_SHA2_256_128"),
            Suite("aes192-sha1-modp1536", "aes192-sha1-modp1536", "AES_CBC", "192", "HMAC_SHA1_96"),
            Suite(
                "camellia256-sha256-modp1024s160", "camellia256-sha256-modp1024s160", "CAMELLIA_CBC", "256",
                "HMAC_SHA2_256_128"),
            Suite("aes128-sha256-modp2048s224", "aes128ctr-sha256-modp2048s224", "AES_CTR", "128", "HMAC_SHA2_256_128"),
            Suite("aes128-sha256-modp2048s256", "aes256ccm16-modp2048s256", "AES_CCM_16", "256"),
            Suite("aes128-sha256-ecp192", "aes128ccm8-ecp192", "AES_CCM_8", "128"),
            Suite("aes128-sha256-ecp224", "aes192ccm12-ecp224", "AES_CCM_12", "192"),
            Suite("aes128-sha256-ecp224bp", "aes128gcm8-ecp224bp", "AES_GCM_8", "128"),
            Suite("aes128-sha256-ecp256bp", "aes256gcm12-ecp256bp", "AES_GCM_12", "256"),
            Suite("aes128-sha256-ecp384bp", "aes192gcm16-ecp384bp", "AES_GCM_16", "192"),
            Suite("aes128-sha256-ecp512bp", "aes128-aesxcbc-ecp512bp", "AES_CBC", "128", "AES_XCBC_96"),
            Suite("aes128-sha256-x448", "aes256-aesxcbc-x448", "AES_CBC", "256", "AES_XCBC_96"),
        ]
        if scenario.version == .v2 {
            suites += [
                Suite("aes128-aesxcbc-ecp256", "aes128-aescmac", "AES_CBC", "128", "AES_CMAC_96"),
                Suite("aes256ccm16-prfaescmac-x25519", "aes128-aescmac", "AES_CBC", "128", "AES_CMAC_96"),
                Suite("aes128ctr-aescmac-prfaesxcbc-ecp256", "aes192ctr-sha1", "AES_CTR", "192", "HMAC_SHA1_96"),
                Suite("aes192gcm8-prfmd5-ecp256", "3des-sha1", "3DES_CBC", "HMAC_SHA1_96"),
            ]
        }
        guard scenario.pairing.initiator == .parley, scenario.pairing.responder == .parley else { return suites }
        suites.append(Suite("aes128-sha256-ecp256", "aes128gmac", "NULL_AES_GMAC", "128"))
        guard scenario.version == .v1 else {
            return suites + [
                Suite("aes128-sha256-ecp256", "aes256gcm16iiv-aes256gcm16", "AES_GCM_16_IIV", "256"),
                Suite("aes128-sha256-ecp256", "aes128ccm8iiv-esn", "AES_CCM_8_IIV", "128"),
                Suite("aes128-sha256-ecp256", "chacha20poly1305iiv", "CHACHA20_POLY1305_IIV"),
            ]
        }
        return suites + [
            Suite("3des-sha1-ec2n155", "aes128-sha1-ec2n155", "AES_CBC", "128", "HMAC_SHA1_96"),
            Suite("aes128-sha1-ec2n185", "aes128-sha1-ec2n185", "AES_CBC", "128", "HMAC_SHA1_96"),
        ]
    }
}

extension Interop {
    @Suite struct Suites {
        @Test("a tunnel with each suite carries packets both ways", arguments: Scenario.all)
        func everySuite(_ scenario: Scenario) throws {
            try carry(Suite.table(scenario.version), scenario)
        }

        @Test("a tunnel with each older suite and rarer group carries packets both ways", arguments: Scenario.all)
        func everyOlderSuite(_ scenario: Scenario) throws {
            try carry(Suite.older(scenario), scenario)
        }

        private func carry(_ suites: [Suite], _ scenario: Scenario) throws {
            try Lab.with(scenario) { lab in
                for suite in suites {
                    try lab.load(Link(scenario.version).suite(ike: suite.ike, esp: suite.esp))
                    try lab.up()
                    for side in Side.allCases {
                        let (_, child) = try lab.installed(on: side)
                        let ciphers = ["encr-alg", "encr-keysize", "integ-alg"].compactMap(child.value)
                        #expect(ciphers == suite.expected, "\(suite.testDescription) on the \(side.rawValue)")
                    }
                    let (_, left) = try lab.installed(on: .left)
                    let (_, right) = try lab.installed(on: .right)
                    #expect(left.spiIn == right.spiOut && left.spiOut == right.spiIn)
                    for side in Side.allCases {
                        let result = try lab.ping(from: side)
                        guard result.loss == 0 else {
                            throw LabFailure("\(suite.testDescription) from the \(side.rawValue): \(result)")
                        }
                    }
                    #expect(try lab.left.down(ike: "net").succeeded)
                    try lab.awaitEmpty()
                }
            }
        }
    }
}
