import Configuration
import Cryptography
import IPsec
import Testing

@Suite struct ProposalKeywordTests {
    private func ike(_ text: String) throws -> Proposal { try ProposalKeywords.parse(text, for: .ike) }
    private func esp(_ text: String) throws -> Proposal { try ProposalKeywords.parse(text, for: .esp) }

    @Test func thePRFFollowsFromIntegrity() throws {
        let proposal = try ike("aes128-aes256-sha1-sha384-modp2048-ecp521")
        #expect(proposal.encryption == [Encryption(.aesCBC, keyBits: 128), Encryption(.aesCBC, keyBits: 256)])
        #expect(proposal.integrity == [.hmacSHA1_96, .hmacSHA384_192])
        #expect(proposal.prf == [.hmacSHA1, .hmacSHA384])
        #expect(proposal.keyExchange == [.modp2048, .ecp521])
        #expect(proposal.extendedSequenceNumbers.isEmpty)
        #expect(try ike("aes128-sha1-prfsha512-x25519").prf == [.hmacSHA512])
    }

    @Test func integrityBesideAnAEADOnlyNamesThePRF() throws {
        let proposal = try ike("aes256gcm16-sha512-curve25519")
        #expect(proposal.integrity.isEmpty)
        #expect(proposal.prf == [.hmacSHA512])
        #expect(proposal.keyExchange == [.curve25519])
    }

    @Test func espHasNoPRFAndShortNumbers() throws {
        let proposal = try esp("AES256-SHA256-prfsha256")
        #expect(proposal.prf.isEmpty)
        #expect(proposal.extendedSequenceNumbers == [false])
        #expect(proposal.keyExchange.isEmpty)
        #expect(try esp("chacha20poly1305-esn").extendedSequenceNumbers == [true])
        #expect(try esp("aes128gcm16-noesn-esn-x25519-none").keyExchange == [.curve25519, .none])
    }

    @Test(
        arguments: [
            ("3des-md5", Encryption(.tripleDES), IntegrityID.hmacMD5_96),
            ("null-aesxcbc", Encryption(.null), .aesXCBC_96),
            ("aes192-aescmac", Encryption(.aesCBC, keyBits: 192), .aesCMAC_96),
            ("aes128ctr-sha1", Encryption(.aesCTR, keyBits: 128), .hmacSHA1_96),
            ("camellia256-sha256", Encryption(.camelliaCBC, keyBits: 256), .hmacSHA256_128),
            ("camellia-sha256", Encryption(.camelliaCBC, keyBits: 128), .hmacSHA256_128),
            ("aes256ccm16", Encryption(.aesCCM16, keyBits: 256), nil),
            ("aes192ccm64", Encryption(.aesCCM8, keyBits: 192), nil),
            ("aes128ccm96", Encryption(.aesCCM12, keyBits: 128), nil),
            ("aes128gcm8", Encryption(.aesGCM8, keyBits: 128), nil),
            ("aes256gcm96", Encryption(.aesGCM12, keyBits: 256), nil),
            ("aes128gmac", Encryption(.aesGMAC, keyBits: 128), nil),
        ] as [(String, Encryption, IntegrityID?)])
    func olderSuitesForESP(_ text: String, _ encryption: Encryption, _ integrity: IntegrityID?) throws {
        let proposal = try esp(text)
        #expect(proposal.encryption == [encryption])
        #expect(proposal.integrity == (integrity.map { [$0] } ?? []))
    }

    /// charon derives the prf of an AES-based integrity algorithm too.
    @Test func olderSuitesForIKE() throws {
        let old = try ike("3des-md5-modp768-modp1024-modp1536")
        #expect(old.encryption == [Encryption(.tripleDES)] && old.integrity == [.hmacMD5_96] && old.prf == [.hmacMD5])
        #expect(old.keyExchange == [.modp768, .modp1024, .modp1536])
        let blocks = try ike("aes128-aesxcbc-aescmac-x25519")
        #expect(blocks.integrity == [.aesXCBC_96, .aesCMAC_96] && blocks.prf == [.aesXCBC, .aesCMAC])
        #expect(try ike("aes128-sha1-prfaescmac-x25519").prf == [.aesCMAC])
        let groups = try ike(
            "aes128-sha1-modp1024s160-modp2048s224-modp2048s256-ecp192-ecp224-ecp224bp-ecp256bp-ecp384bp-ecp512bp"
                + "-curve448-x448-ec2n155-ec2n185-modp6144-modp8192")
        #expect(groups.keyExchange.map(\.rawValue) == [22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 3, 4, 17, 18])
    }

    /// What a line of the log or of `parley status` prints can be written into a configuration.
    @Test func everyKeywordReadsBack() throws {
        for bits in [128, 192, 256] {
            let combined: [EncryptionID] = [
                .aesGCM8, .aesGCM12, .aesGCM16, .aesCCM8, .aesCCM12, .aesCCM16, .aesGMAC,
                .aesCCM8ImplicitIV, .aesGCM16ImplicitIV,
            ]
            for id in combined {
                let encryption = Encryption(id, keyBits: bits)
                #expect(try esp(encryption.name.keyword).encryption == [encryption])
            }
        }
        let implicit = Encryption(.chacha20Poly1305ImplicitIV)
        #expect(try esp(implicit.name.keyword).encryption == [implicit])
        for number: UInt16 in 1...32 {
            let group = KeyExchangeID(rawValue: number)
            guard !group.name.keyword.hasPrefix("ke-") else { continue }
            #expect(try ike("aes128-sha256-\(group.name.keyword)").keyExchange == [group])
        }
    }

    /// RFC 8750 §4 gives them to ESP alone: IKE's messages have no sequence number to take an IV from.
    @Test(arguments: ["aes128gcm16iiv", "aes256ccm8iiv", "chacha20poly1305iiv"])
    func implicitIVsAreNotForIKE(_ keyword: String) throws {
        #expect(throws: ProposalKeywords.Failure.self) { try ike("\(keyword)-prfsha256-x25519") }
        #expect(try esp("\(keyword)-x25519").encryption.first?.id.hasImplicitIV == true)
    }

    @Test func defaultsAreReadableAndSound() throws {
        for securityProtocol in [SecurityProtocol.ike, .esp] {
            for proposal in ProposalKeywords.defaults(for: securityProtocol) {
                #expect(try ProposalKeywords.parse(proposal.description, for: securityProtocol) == proposal)
            }
        }
        #expect(!ProposalKeywords.defaults(for: .ike).flatMap(\.integrity).contains(.hmacSHA1_96))
        // The weak and the old stand nowhere by default.
        let all = [SecurityProtocol.ike, .esp].flatMap { ProposalKeywords.defaults(for: $0) }
        let ciphers: Set<EncryptionID> = [.aesGCM16, .aesCBC, .chacha20Poly1305]
        #expect(Set(all.flatMap(\.encryption).map(\.id)) == ciphers)
        #expect(all.flatMap(\.encryption).allSatisfy { $0.keyBits != 192 })
        #expect(Set(all.flatMap(\.prf)) == [.hmacSHA256, .hmacSHA384, .hmacSHA512])
        #expect(Set(all.flatMap(\.keyExchange).map(\.rawValue)) == [14, 15, 16, 19, 20, 21, 31])
    }

    @Test func additionalKeyExchangesHaveTheirPlaces() throws {
        let text = "aes256gcm16-prfsha384-x25519-ke1_mlkem768-ke1_mlkem1024-ke3_ecp384-ke3_none"
        let proposal = try ProposalKeywords.parse(text, for: .ike)
        #expect(proposal.keyExchange == [.curve25519])
        #expect(proposal.additionalKeyExchanges == [[.mlkem768, .mlkem1024], [], [.ecp384, .none]])
        #expect(proposal.description == text)
        #expect(try ProposalKeywords.parse(proposal.description, for: .ike) == proposal)
        let child = try ProposalKeywords.parse("aes256gcm16-x25519-ke1_mlkem768", for: .esp)
        #expect(child.additionalKeyExchanges == [[.mlkem768]])
        #expect(child.withoutKeyExchange.additionalKeyExchanges == [])
        let failure = #expect(throws: ProposalKeywords.Failure.self) {
            try ProposalKeywords.parse("aes256gcm16-ke1_mlkem768", for: .esp)
        }
        #expect(
            failure?.message
                == "proposal 'aes256gcm16-ke1_mlkem768' names additional key exchanges without a first one, such as x25519"
        )
        #expect(try ProposalKeywords.parse("aes256gcm16-prfsha256-mlkem1024", for: .ike).keyExchange == [.mlkem1024])
    }

    @Test(
        arguments: [
            ("aes128-shaa256-x25519", "unknown algorithm 'shaa256' in proposal 'aes128-shaa256-x25519'", "sha256"),
            ("cast128-sha1-modp2048", "algorithm 'cast128' is known to swanctl, not supported by this version", nil),
            ("aes128-sha256-modpnull", "algorithm 'modpnull' is known to swanctl, not supported by this version", nil),
            ("null-sha256-modp2048", "'null' hides nothing: it is for ESP, not for IKE", nil),
            ("aes256gmac-sha256-modp2048", "'aes256gmac' hides nothing: it is for ESP, not for IKE", nil),
            (
                "aes128-sha256-x25519-ke1_mlkem512",
                "algorithm 'mlkem512' is known to swanctl, not supported by this version", nil
            ),
            (
                "aes128-sha256-x25519-ke1_sha256",
                "'ke1_sha256' in proposal 'aes128-sha256-x25519-ke1_sha256' names no key exchange", nil
            ),
            (
                "aes128-sha256-x25519-ke8_mlkem768",
                "unknown algorithm 'ke8_mlkem768' in proposal 'aes128-sha256-x25519-ke8_mlkem768'", nil
            ),
            ("aes128--sha256", "proposal 'aes128--sha256' holds an empty keyword", nil),
            (
                "aes128-aes128gcm16-sha256-x25519",
                "proposal 'aes128-aes128gcm16-sha256-x25519' mixes ciphers with and without built-in integrity; "
                    + "write two proposals", nil
            ),
            ("sha256-x25519", "proposal 'sha256-x25519' names no encryption algorithm", nil),
            ("aes128-prfsha256-x25519", "proposal 'aes128-prfsha256-x25519' names no integrity algorithm", nil),
            (
                "aes128gcm16-x25519", "proposal 'aes128gcm16-x25519' names no pseudorandom function, such as prfsha256",
                nil
            ),
            ("aes128-sha256", "proposal 'aes128-sha256' names no key exchange group, such as x25519", nil),
            ("aes128-sha256-none", "proposal 'aes128-sha256-none' names no key exchange group, such as x25519", nil),
            (
                "aes128-sha256-x25519-esn",
                "proposal 'aes128-sha256-x25519-esn': sequence numbers belong to ESP, not to IKE", nil
            ),
        ] as [(String, String, String?)])
    func refusesWithAReason(_ text: String, _ message: String, _ suggestion: String?) {
        let failure = #expect(throws: ProposalKeywords.Failure.self) { try ProposalKeywords.parse(text, for: .ike) }
        #expect(failure?.message == message)
        #expect(failure?.suggestion == suggestion)
    }
}
