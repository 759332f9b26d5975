import Cryptography
import Primitives
import Testing
import VectorSupport

@Suite struct MessageCipherTests {
    @Test(arguments: ["aes-gcm", "aes-ccm", "chacha20-poly1305"]) func wycheproof(_ file: String) throws {
        var seen = 0
        for record in VectorFile(file).records {
            let tag = record["tag"]
            let key = record["key"]
            let id: EncryptionID =
                switch (file, tag.count) {
                case ("aes-gcm", _): .aesGCM16
                case ("aes-ccm", 8): .aesCCM8
                case ("aes-ccm", 12): .aesCCM12
                case ("aes-ccm", _): .aesCCM16
                default: .chacha20Poly1305
                }
            let encryption = Encryption(id, keyBits: id == .chacha20Poly1305 ? 0 : key.count * 8)
            let iv = record["iv"]
            let material = Secret(key + iv.prefix(id.saltOctets))
            let explicitIV = Array(iv.dropFirst(id.saltOctets))
            let sealed = record["ct"] + tag
            seen += 1
            if record[text: "result"] == "valid" {
                let ours = try MessageCipher.seal(
                    encryption, key: material, explicitIV: explicitIV, additionalData: record["aad"], record["msg"])
                #expect(ours == sealed, "\(record)")
                let opened = try MessageCipher.open(
                    encryption, key: material, explicitIV: explicitIV, additionalData: record["aad"], sealed)
                #expect(opened == record["msg"], "\(record)")
            } else {
                #expect(throws: CryptographyError.authenticationFailed, "\(record)") {
                    try MessageCipher.open(
                        encryption, key: material, explicitIV: explicitIV, additionalData: record["aad"], sealed)
                }
            }
        }
        #expect(seen >= 18)
    }

    static let combined = [
        Encryption(.aesGCM8, keyBits: 128), Encryption(.aesGCM12, keyBits: 192), Encryption(.aesGCM16, keyBits: 256),
        Encryption(.aesCCM8, keyBits: 128), Encryption(.aesCCM12, keyBits: 192), Encryption(.aesCCM16, keyBits: 256),
        Encryption(.chacha20Poly1305),
    ]

    @Test(arguments: combined) func everyChangedOctetIsNoticed(_ encryption: Encryption) throws {
        let key = Secret((0..<encryption.keyMaterialOctets).map { UInt8($0) })
        let iv: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8]
        let header: [UInt8] = Array(0..<28)
        let message: [UInt8] = Array(0..<50)
        let sealed = try MessageCipher.seal(encryption, key: key, explicitIV: iv, additionalData: header, message)
        #expect(sealed.count == message.count + encryption.id.tagOctets)
        #expect(
            try MessageCipher.open(encryption, key: key, explicitIV: iv, additionalData: header, sealed) == message)
        func refuses(_ iv: [UInt8], _ header: [UInt8], _ sealed: [UInt8]) -> Bool {
            do {
                _ = try MessageCipher.open(encryption, key: key, explicitIV: iv, additionalData: header, sealed)
                return false
            } catch { return error == .authenticationFailed }
        }
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 0x40
            #expect(refuses(iv, header, changed), "octet \(index)")
        }
        for index in header.indices {
            var changed = header
            changed[index] ^= 1
            #expect(refuses(iv, changed, sealed), "header octet \(index)")
        }
        for index in iv.indices {
            var changed = iv
            changed[index] ^= 1
            #expect(refuses(changed, header, sealed), "IV octet \(index)")
        }
        for count in sealed.indices { #expect(refuses(iv, header, Array(sealed.prefix(count))), "cut to \(count)") }
        #expect(refuses(iv, header, sealed + [0]))
    }

    @Test func emptyPlaintexts() throws {
        for encryption in Self.combined {
            let key = Secret([UInt8](repeating: 3, count: encryption.keyMaterialOctets))
            let iv = [UInt8](repeating: 9, count: 8)
            let sealed = try MessageCipher.seal(encryption, key: key, explicitIV: iv, additionalData: [1, 2], [])
            #expect(sealed.count == encryption.id.tagOctets)
            #expect(try MessageCipher.open(encryption, key: key, explicitIV: iv, additionalData: [1, 2], sealed) == [])
            #expect(throws: CryptographyError.authenticationFailed) {
                try MessageCipher.open(encryption, key: key, explicitIV: iv, additionalData: [1, 3], sealed)
            }
        }
    }

    @Test func cipherBlockChaining() throws {
        for record in VectorFile("aes-cbc").records {
            let key = Secret(record["key"])
            let encryption = Encryption(.aesCBC, keyBits: key.count * 8)
            let encrypted = try MessageCipher.encrypt(encryption, key: key, iv: record["iv"], record["plaintext"])
            #expect(encrypted == record["ciphertext"], "\(record)")
            let decrypted = try MessageCipher.decrypt(encryption, key: key, iv: record["iv"], encrypted)
            #expect(decrypted == record["plaintext"], "\(record)")
        }
    }

    /// FIPS 197 Appendix C's blocks for the longer keys: CBC of one block with a zero IV is the block cipher.
    @Test func longerAESKeys() throws {
        let block = try #require([UInt8](hex: "00112233445566778899aabbccddeeff"))
        let zero = [UInt8](repeating: 0, count: 16)
        let known = [
            (192, "dda97ca4864cdfe06eaf70a0ec0d7191"), (256, "8ea2b7ca516745bfeafc49904b496089"),
        ]
        for (bits, expected) in known {
            let key = Secret((0..<UInt8(bits / 8)))
            let encrypted = try MessageCipher.encrypt(Encryption(.aesCBC, keyBits: bits), key: key, iv: zero, block)
            #expect(encrypted.hex == expected)
        }
    }

    /// RFC 3686 §6, test vectors 1, 2 and 7: keys, then nonces.
    @Test(
        arguments: [
            (
                "ae6852f8121067cc4bf7a5765577f39e00000030", "0000000000000000", "53696e676c6520626c6f636b206d7367",
                "e4095d4fb7a7b3792d6175a3261311b8"
            ),
            (
                "7e24067817fae0d743d6ce1f32539163006cb6db", "c0543b59da48d90b",
                "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
                "5104a106168a72d9790d41ee8edad388eb2e1efc46da57c8fce630df9141be28"
            ),
            (
                "776beff2851db06f4c8a0542c8696f6c6a81af1eec96b4d37fc1d689e6c1c10400000060", "db5672c97aa8f0b2",
                "53696e676c6520626c6f636b206d7367", "145ad01dbf824ec7560863dc71e3e0c0"
            ),
        ])
    func counterMode(_ key: String, _ iv: String, _ plaintext: String, _ ciphertext: String) throws {
        let key = Secret(try #require([UInt8](hex: key)))
        let encryption = Encryption(.aesCTR, keyBits: (key.count - 4) * 8)
        let (iv, text) = (try #require([UInt8](hex: iv)), try #require([UInt8](hex: plaintext)))
        #expect(try MessageCipher.encrypt(encryption, key: key, iv: iv, text).hex == ciphertext)
    }

    /// NULL and GMAC leave the text readable: no IKE message goes in them.
    @Test func whatDoesNotHideCarriesNoMessage() {
        let gmac = Encryption(.aesGMAC, keyBits: 128)
        #expect(!MessageCipher.supports(gmac) && !MessageCipher.supports(Encryption(.null)))
        let key = Secret([UInt8](repeating: 3, count: 20))
        let iv = [UInt8](repeating: 0, count: 8)
        #expect(throws: CryptographyError.unsupported("aes128gmac")) {
            try MessageCipher.seal(gmac, key: key, explicitIV: iv, additionalData: [], iv)
        }
        #expect(throws: CryptographyError.unsupported("null")) {
            try MessageCipher.encrypt(Encryption(.null), key: Secret([]), iv: [], iv)
        }
    }

    @Test func wrongLengthsAreRefused() throws {
        let cbc = Encryption(.aesCBC, keyBits: 128)
        let iv = [UInt8](repeating: 0, count: 16)
        let key = Secret(iv)
        #expect(throws: CryptographyError.invalidKey) { try MessageCipher.encrypt(cbc, key: Secret([1]), iv: iv, iv) }
        #expect(throws: CryptographyError.invalidKey) { try MessageCipher.encrypt(cbc, key: key, iv: [1], iv) }
        #expect(throws: CryptographyError.self) { try MessageCipher.decrypt(cbc, key: key, iv: iv, [1, 2, 3]) }
        #expect(try MessageCipher.decrypt(cbc, key: key, iv: iv, []) == [])
        let gcm = Encryption(.aesGCM16, keyBits: 128)
        #expect(throws: CryptographyError.invalidKey) {  // no salt
            try MessageCipher.seal(gcm, key: key, explicitIV: [UInt8](repeating: 0, count: 8), additionalData: [], iv)
        }
        // An AEAD never encrypts without its tag, and a plain cipher never claims to authenticate.
        #expect(throws: CryptographyError.self) { try MessageCipher.encrypt(gcm, key: key, iv: iv, iv) }
        #expect(throws: CryptographyError.self) {
            try MessageCipher.seal(cbc, key: key, explicitIV: iv, additionalData: [], iv)
        }
        #expect(throws: CryptographyError.self) {
            try MessageCipher.encrypt(Encryption(.aesCBC, keyBits: 136), key: key, iv: iv, iv)
        }
    }

    @Test(arguments: [
        Encryption(.aesCBC, keyBits: 256), Encryption(.camelliaCBC, keyBits: 128), Encryption(.tripleDES),
        Encryption(.aesCTR, keyBits: 192),
    ]) func whatIsEncryptedIsDecrypted(_ encryption: Encryption) throws {
        let key = Secret((0..<encryption.keyMaterialOctets).map { UInt8($0 * 7 + 1) })
        let iv = [UInt8](repeating: 0x5a, count: encryption.id.ivOctets)
        let message = [UInt8](0..<96)
        let encrypted = try MessageCipher.encrypt(encryption, key: key, iv: iv, message)
        #expect(encrypted.count == message.count)
        #expect(encrypted != message)
        #expect(try MessageCipher.decrypt(encryption, key: key, iv: iv, encrypted) == message)
    }
}
