package import Cryptography
package import IPsec

/// Reads proposals as `swanctl.conf` writes them: keywords joined by hyphens, with charon's conventions.
package enum ProposalKeywords {
    /// Why a proposal cannot be used.
    package struct Failure: Error, Hashable, Sendable {
        package var message: String
        /// The nearest keyword, where one was not known.
        package var suggestion: String?
    }

    private enum Meaning {
        case encryption(Encryption)
        case integrity(IntegrityID, PRFID)
        case prf(PRFID)
        case keyExchange(KeyExchangeID)
        case additionalKeyExchange(KeyExchangeID, slot: Int)
        case sequenceNumbers(extended: Bool)
    }

    private static let keywords: [(String, Meaning)] =
        ciphers + hashes + groups + [
            ("esn", .sequenceNumbers(extended: true)), ("noesn", .sequenceNumbers(extended: false)),
        ]

    private static let ciphers: [(String, Meaning)] =
        [128, 192, 256].flatMap { bits -> [(String, Meaning)] in
            // Tags in octets, and in bits as charon also takes them.
            let combined: [(String, EncryptionID)] = [
                ("gcm8", .aesGCM8), ("gcm64", .aesGCM8), ("gcm12", .aesGCM12), ("gcm96", .aesGCM12),
                ("gcm16", .aesGCM16), ("gcm128", .aesGCM16), ("ccm8", .aesCCM8), ("ccm64", .aesCCM8),
                ("ccm12", .aesCCM12), ("ccm96", .aesCCM12), ("ccm16", .aesCCM16), ("ccm128", .aesCCM16),
                ("ccm8iiv", .aesCCM8ImplicitIV), ("gcm16iiv", .aesGCM16ImplicitIV), ("gmac", .aesGMAC),
                ("ctr", .aesCTR), ("", .aesCBC),
            ]
            return combined.map { ("aes\(bits)\($0.0)", .encryption(Encryption($0.1, keyBits: bits))) } + [
                ("camellia\(bits)", .encryption(Encryption(.camelliaCBC, keyBits: bits)))
            ]
        } + [
            ("aes", .encryption(Encryption(.aesCBC, keyBits: 128))),
            ("aesgcm16", .encryption(Encryption(.aesGCM16, keyBits: 128))),
            ("camellia", .encryption(Encryption(.camelliaCBC, keyBits: 128))),
            ("chacha20poly1305", .encryption(Encryption(.chacha20Poly1305))),
            ("chacha20poly1305iiv", .encryption(Encryption(.chacha20Poly1305ImplicitIV))),
            ("3des", .encryption(Encryption(.tripleDES))), ("null", .encryption(Encryption(.null))),
        ]

    private static let hashes: [(String, Meaning)] = [
        ("md5", .integrity(.hmacMD5_96, .hmacMD5)),
        ("sha1", .integrity(.hmacSHA1_96, .hmacSHA1)), ("sha", .integrity(.hmacSHA1_96, .hmacSHA1)),
        ("sha256", .integrity(.hmacSHA256_128, .hmacSHA256)),
        ("sha2_256", .integrity(.hmacSHA256_128, .hmacSHA256)),
        ("sha384", .integrity(.hmacSHA384_192, .hmacSHA384)),
        ("sha2_384", .integrity(.hmacSHA384_192, .hmacSHA384)),
        ("sha512", .integrity(.hmacSHA512_256, .hmacSHA512)),
        ("sha2_512", .integrity(.hmacSHA512_256, .hmacSHA512)),
        ("aesxcbc", .integrity(.aesXCBC_96, .aesXCBC)), ("aescmac", .integrity(.aesCMAC_96, .aesCMAC)),
        ("prfmd5", .prf(.hmacMD5)), ("prfsha1", .prf(.hmacSHA1)), ("prfsha256", .prf(.hmacSHA256)),
        ("prfsha384", .prf(.hmacSHA384)), ("prfsha512", .prf(.hmacSHA512)), ("prfaesxcbc", .prf(.aesXCBC)),
        ("prfaescmac", .prf(.aesCMAC)),
    ]

    private static let groups: [(String, Meaning)] = {
        let named: [KeyExchangeID] = [
            .modp2048, .modp3072, .modp4096, .ecp256, .ecp384, .ecp521, .curve25519, .curve448, .modp768, .modp1024,
            .modp1536, .modp6144, .modp8192, .modp1024s160, .modp2048s224, .modp2048s256, .ecp192, .ecp224,
            .brainpool224, .brainpool256, .brainpool384, .brainpool512, .ec2n155, .ec2n185, .mlkem768, .mlkem1024,
            .none,
        ]
        return named.map { ($0.name.keyword, .keyExchange($0)) } + [
            ("curve25519", .keyExchange(.curve25519)), ("curve448", .keyExchange(.curve448)),
            ("modpnone", .keyExchange(.none)),
        ]
    }()

    /// Every algorithm that a keyword stands for, each once, in the order of the tables.
    package static let algorithms:
        (
            encryption: [EncryptionID], integrity: [IntegrityID], prf: [PRFID], keyExchange: [KeyExchangeID]
        ) = {
            var encryption: [EncryptionID] = []
            var integrity: [IntegrityID] = []
            var prfs: [PRFID] = []
            var groups: [KeyExchangeID] = []
            for (_, meaning) in keywords {
                switch meaning {
                case .encryption(let cipher): encryption.appendOnce(cipher.id)
                case .integrity(let check, let prf):
                    integrity.appendOnce(check)
                    prfs.appendOnce(prf)
                case .prf(let prf): prfs.appendOnce(prf)
                case .keyExchange(let group), .additionalKeyExchange(let group, _): groups.appendOnce(group)
                case .sequenceNumbers: break
                }
            }
            groups.removeAll { $0 == .none }
            return (encryption, integrity, prfs, groups)
        }()

    /// Keywords of swanctl that this version has no algorithm for.
    private static let unsupported: Set<String> = {
        var words: Set<String> = [
            "des", "chacha20poly1305compat", "cast128", "md5_128", "sha1_160", "sha256_96", "sha2_256_96",
            "camelliaxcbc", "prfcamelliaxcbc", "modpnull", "gost256", "gost512", "mlkem512", "aesgmac",
        ]
        for bits in ["128", "192", "256"] {
            for tail in ["ctr", "ccm8", "ccm12", "ccm16", "ccm64", "ccm96", "ccm128"] {
                words.insert("camellia\(bits)\(tail)")
            }
            for cipher in ["blowfish", "serpent", "twofish"] { words.formUnion([cipher, cipher + bits]) }
        }
        return words
    }()

    /// One proposal. For IKE the prf follows from the integrity algorithms where none is named, and these go away
    /// beside an AEAD; for ESP prfs are left out, and sequence numbers are 32 bits where nothing else is said.
    package static func parse(_ text: String, for securityProtocol: SecurityProtocol) throws(Failure) -> Proposal {
        var proposal = Proposal(securityProtocol, encryption: [])
        var derivedPRFs: [PRFID] = []
        for part in text.split(separator: "-", omittingEmptySubsequences: false) {
            switch try meaning(of: part.lowercased(), in: text) {
            case .encryption(let encryption): proposal.encryption.appendOnce(encryption)
            case .integrity(let integrity, let prf):
                proposal.integrity.appendOnce(integrity)
                derivedPRFs.appendOnce(prf)
            case .prf(let prf): proposal.prf.appendOnce(prf)
            case .keyExchange(let group): proposal.keyExchange.appendOnce(group)
            case .additionalKeyExchange(let group, let slot):
                while proposal.additionalKeyExchanges.count <= slot { proposal.additionalKeyExchanges.append([]) }
                proposal.additionalKeyExchanges[slot].appendOnce(group)
            case .sequenceNumbers(let extended): proposal.extendedSequenceNumbers.appendOnce(extended)
            }
        }
        try complete(&proposal, derivedPRFs: derivedPRFs, text: text)
        return proposal
    }

    private static func meaning(of keyword: String, in text: String) throws(Failure) -> Meaning {
        if keyword.isEmpty { throw Failure(message: "proposal '\(text.excerpt)' holds an empty keyword") }
        if let meaning = keywords.first(where: { $0.0 == keyword })?.1 { return meaning }
        if keyword.hasPrefix("group"), let number = UInt16(keyword.dropFirst(5)), PrivateGroup.numbers.contains(number)
        {
            return .keyExchange(KeyExchangeID(rawValue: number))
        }
        if unsupported.contains(keyword) {
            throw Failure(message: "algorithm '\(keyword.excerpt)' is known to swanctl, not supported by this version")
        }
        if let further = try additional(keyword, in: text) { return further }
        throw Failure(
            message: "unknown algorithm '\(keyword.excerpt)' in proposal '\(text.excerpt)'",
            suggestion: NearestName.find(keyword, in: keywords.map(\.0)))
    }

    /// `ke1_mlkem768` to `ke7_…`: a key exchange behind the first, by its place.
    private static func additional(_ keyword: String, in text: String) throws(Failure) -> Meaning? {
        guard keyword.hasPrefix("ke"), let place = keyword.dropFirst(2).first?.wholeNumberValue,
            (1...Proposal.maximumAdditional).contains(place), keyword.dropFirst(3).first == "_"
        else { return nil }
        guard case .keyExchange(let group) = try meaning(of: String(keyword.dropFirst(4)), in: text) else {
            throw Failure(message: "'\(keyword.excerpt)' in proposal '\(text.excerpt)' names no key exchange")
        }
        return .additionalKeyExchange(group, slot: place - 1)
    }

    private static func complete(
        _ proposal: inout Proposal, derivedPRFs: [PRFID], text: String
    ) throws(Failure) {
        let aeads = proposal.encryption.filter(\.id.isAEAD).count
        if proposal.securityProtocol == .ah, let cipher = proposal.encryption.first {
            throw Failure(message: "'\(cipher.name.keyword)' encrypts, which AH does not: it is for ESP")
        }
        if proposal.encryption.isEmpty, proposal.securityProtocol != .ah {
            throw Failure(message: "proposal '\(text.excerpt)' names no encryption algorithm")
        }
        if aeads > 0 && aeads < proposal.encryption.count {
            throw Failure(
                message:
                    "proposal '\(text.excerpt)' mixes ciphers with and without built-in integrity; write two proposals")
        }
        if aeads == 0 && proposal.integrity.isEmpty {
            throw Failure(message: "proposal '\(text.excerpt)' names no integrity algorithm")
        }
        if proposal.securityProtocol == .ike {
            if let implicit = proposal.encryption.first(where: \.id.hasImplicitIV) {
                throw Failure(
                    message:
                        "'\(implicit.name.keyword)' takes its IV from ESP's sequence number: it is for ESP, not for IKE"
                )
            }
            if let readable = proposal.encryption.first(where: { !$0.id.isConfidential }) {
                throw Failure(message: "'\(readable.name.keyword)' hides nothing: it is for ESP, not for IKE")
            }
            if proposal.prf.isEmpty { proposal.prf = derivedPRFs }
            if proposal.prf.isEmpty {
                throw Failure(message: "proposal '\(text.excerpt)' names no pseudorandom function, such as prfsha256")
            }
            proposal.keyExchange.removeAll { $0 == .none }
            if proposal.keyExchange.isEmpty {
                throw Failure(message: "proposal '\(text.excerpt)' names no key exchange group, such as x25519")
            }
            if !proposal.extendedSequenceNumbers.isEmpty {
                throw Failure(message: "proposal '\(text.excerpt)': sequence numbers belong to ESP, not to IKE")
            }
        } else {
            proposal.prf = []
            if proposal.extendedSequenceNumbers.isEmpty { proposal.extendedSequenceNumbers = [false] }
        }
        if aeads > 0 { proposal.integrity = [] }
        // RFC 9370 §2.2.4: they come behind one in CREATE_CHILD_SA itself.
        if !proposal.additionalKeyExchanges.isEmpty, proposal.keyExchange.allSatisfy({ $0 == .none }) {
            throw Failure(
                message: "proposal '\(text.excerpt)' names additional key exchanges without a first one, such as x25519"
            )
        }
    }

    /// What `default` stands for: everything that is sound, authenticated ciphers first.
    package static func defaults(for securityProtocol: SecurityProtocol) -> [Proposal] {
        if securityProtocol == .ah {
            // charon's order, without what is weak.
            return [
                Proposal(
                    .ah, encryption: [],
                    integrity: [.hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256, .hmacSHA1_96],
                    extendedSequenceNumbers: [false])
            ]
        }
        let aeads = [
            Encryption(.aesGCM16, keyBits: 128), Encryption(.aesGCM16, keyBits: 256), Encryption(.chacha20Poly1305),
        ]
        let ciphers = [Encryption(.aesCBC, keyBits: 128), Encryption(.aesCBC, keyBits: 256)]
        let groups: [KeyExchangeID] = [.curve25519, .ecp256, .ecp384, .ecp521, .modp3072, .modp4096, .modp2048]
        let prfs: [PRFID] = [.hmacSHA256, .hmacSHA384, .hmacSHA512]
        let integrity: [IntegrityID] = [.hmacSHA256_128, .hmacSHA384_192, .hmacSHA512_256]
        if securityProtocol == .ike {
            return [
                Proposal(.ike, encryption: aeads, prf: prfs, keyExchange: groups),
                Proposal(.ike, encryption: ciphers, integrity: integrity, prf: prfs, keyExchange: groups),
            ]
        }
        return [
            Proposal(securityProtocol, encryption: aeads, extendedSequenceNumbers: [false]),
            Proposal(
                securityProtocol, encryption: ciphers, integrity: integrity + [.hmacSHA1_96],
                extendedSequenceNumbers: [false]),
        ]
    }
}

extension Array where Element: Equatable {
    fileprivate mutating func appendOnce(_ element: Element) {
        if !contains(element) { append(element) }
    }
}
