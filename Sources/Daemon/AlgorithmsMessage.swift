import Configuration
import Control
import Cryptography

/// The algorithms that there are, as vici's `get-algorithms` lists them: each with the library that computes it.
enum AlgorithmsMessage {
    private static let provider = "libcrypto"

    static let message: ViciMessage = {
        let known = ProposalKeywords.algorithms
        func names(_ ids: [EncryptionID]) -> [String] { ids.map { Encryption($0, keyBits: 128).name.listed } }
        var message = ViciMessage()
        message.add("encryption", section: section(names(known.encryption.filter { !$0.isAEAD })))
        message.add("integrity", section: section(known.integrity.map(\.name.listed)))
        message.add("aead", section: section(names(known.encryption.filter(\.isAEAD))))
        message.add(
            "hasher",
            section: section([
                "HASH_MD5", "HASH_SHA1", "HASH_SHA2_256", "HASH_SHA2_384", "HASH_SHA2_512",
            ]))
        message.add("prf", section: section(known.prf.map(\.name.listed)))
        message.add("xof", section: ViciMessage())
        message.add("kdf", section: section(["KDF_PRF", "KDF_PRF_PLUS"]))
        message.add("drbg", section: ViciMessage())
        message.add("ke", section: section(known.keyExchange.map(\.name.listed)))
        message.add("rng", section: section(["RNG_STRONG"]))
        message.add("nonce-gen", section: section(["NONCE_GEN"]))
        return message
    }()

    private static func section(_ names: [String]) -> ViciMessage {
        var section = ViciMessage()
        for name in names { section.add(name, provider) }
        return section
    }
}
