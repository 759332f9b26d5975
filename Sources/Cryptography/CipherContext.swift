internal import CLibcrypto

/// A cipher that libcrypto found once; looking it up by name for each use would cost more than a short message.
struct FetchedCipher: @unchecked Sendable {
    // SAFETY: an EVP_CIPHER is immutable and reference counted by libcrypto with atomics; this reference is never given
    // back, so the pointer stays valid for the life of the process and may be used from any thread.
    let pointer: OpaquePointer

    private init?(_ name: String) {
        guard let pointer = EVP_CIPHER_fetch(nil, name, nil) else { return nil }
        self.pointer = pointer
    }

    /// The cipher for an algorithm and key length; `nil` where this build lacks it.
    static func find(_ encryption: Encryption) -> FetchedCipher? {
        // The tag length is set at use, so all three of a family share an entry.
        switch encryption.id.base {
        case .aesGCM8, .aesGCM12, .aesGCM16, .aesGMAC: known[Encryption(.aesGCM16, keyBits: encryption.keyBits)]
        case .aesCCM8, .aesCCM12, .aesCCM16: known[Encryption(.aesCCM16, keyBits: encryption.keyBits)]
        case .tripleDES, .chacha20Poly1305: known[Encryption(encryption.id.base)]
        default: known[encryption]
        }
    }

    private static let known: [Encryption: FetchedCipher] = {
        var table: [Encryption: FetchedCipher] = [:]
        for bits in [128, 192, 256] {
            table[Encryption(.aesGCM16, keyBits: bits)] = FetchedCipher("AES-\(bits)-GCM")
            table[Encryption(.aesCCM16, keyBits: bits)] = FetchedCipher("AES-\(bits)-CCM")
            table[Encryption(.aesCBC, keyBits: bits)] = FetchedCipher("AES-\(bits)-CBC")
            table[Encryption(.aesCTR, keyBits: bits)] = FetchedCipher("AES-\(bits)-CTR")
            table[Encryption(.camelliaCBC, keyBits: bits)] = FetchedCipher("CAMELLIA-\(bits)-CBC")
        }
        table[Encryption(.tripleDES)] = FetchedCipher("DES-EDE3-CBC")
        table[Encryption(.chacha20Poly1305)] = FetchedCipher("ChaCha20-Poly1305")
        return table
    }()
}

/// One cipher, one key, one direction: keyed once, then each message sets only the IV. Works in place and allocates
/// nothing after init.
final class CipherContext {
    let id: EncryptionID
    // SAFETY: both are made in init and freed in deinit, and never handed out; the class is not Sendable, so one thread
    // at a time uses them.
    private let context: OpaquePointer
    private let nonce: UnsafeMutablePointer<UInt8>

    /// `key` is key material as it is derived: the cipher key, then the salt.
    init(_ encryption: Encryption, key: Secret, sealing: Bool) throws(CryptographyError) {
        guard let cipher = FetchedCipher.find(encryption) else {
            throw .unsupported(encryption.name.keyword)
        }
        guard key.count == encryption.keyMaterialOctets else { throw .invalidKey }
        guard let context = EVP_CIPHER_CTX_new() else { throw .libraryFailure("EVP_CIPHER_CTX_new") }
        id = encryption.id
        self.context = context
        nonce = .allocate(capacity: 16)
        nonce.initialize(repeating: 0, count: 16)
        let direction: Int32 = sealing ? 1 : 0
        var fine = EVP_CipherInit_ex(context, cipher.pointer, nil, nil, nil, direction) == 1
        switch id.base {
        case .aesCCM8, .aesCCM12, .aesCCM16:
            fine = fine && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, 11, nil) == 1
            fine = fine && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(id.tagOctets), nil) == 1
        case .aesCTR:
            nonce[15] = 1  // RFC 3686 §4: the block counter starts at one.
        default: break
        }
        let keyOctets = encryption.keyOctets
        fine =
            fine
            && key.withUnsafeBytes { material in
                for index in keyOctets..<material.count { nonce[index - keyOctets] = material[index] }
                return EVP_CipherInit_ex(
                    context, nil, nil, material.baseAddress?.assumingMemoryBound(to: UInt8.self), nil, direction) == 1
            }
        fine = fine && EVP_CIPHER_CTX_set_padding(context, 0) == 1
        guard fine else { throw .libraryFailure("EVP_CipherInit_ex") }
    }

    deinit {
        EVP_CIPHER_CTX_free(context)
        OPENSSL_cleanse(nonce, 16)
        nonce.deallocate()
    }

    /// Starts a message: the nonce is the salt, if the algorithm has one, and the IV.
    private func begin(_ iv: UnsafeRawPointer) -> Bool {
        UnsafeMutableRawPointer(nonce + id.saltOctets).copyMemory(from: iv, byteCount: id.nonceIVOctets)
        return EVP_CipherInit_ex(context, nil, nil, nil, nonce, -1) == 1
    }

    private func update(
        _ output: UnsafeMutableRawPointer?, _ input: UnsafeRawPointer?, _ count: Int
    ) -> Bool {
        var written: Int32 = 0
        return EVP_CipherUpdate(
            context, output?.assumingMemoryBound(to: UInt8.self), &written,
            input?.assumingMemoryBound(to: UInt8.self), Int32(truncatingIfNeeded: count)) == 1
    }

    private var isCCM: Bool {
        switch id.base {
        case .aesCCM8, .aesCCM12, .aesCCM16: true
        default: false
        }
    }

    /// Encrypts or decrypts `count` octets in place with a cipher that does not authenticate. `count` must be a whole
    /// number of blocks.
    ///
    /// SAFETY: the caller owns `text` for `count` octets and `iv` for `id.nonceIVOctets`.
    func transform(iv: UnsafeRawPointer, _ text: UnsafeMutableRawPointer, _ count: Int) -> Bool {
        guard count.isMultiple(of: id.blockOctets), count <= Int32.max else { return false }
        return begin(iv) && (count == 0 || update(text, text, count))
    }

    /// Encrypts `count` octets in place and writes the tag, `id.tagOctets` octets. Two stretches of additional data may
    /// come before the text; CCM takes one only.
    ///
    /// SAFETY: the caller owns `text` for `count` octets, `tag` for `id.tagOctets`, and may read `additional` and `iv`.
    func seal(
        iv: UnsafeRawPointer, additional: UnsafeRawPointer?, _ additionalCount: Int,
        further: UnsafeRawPointer? = nil, _ furtherCount: Int = 0, text: UnsafeMutableRawPointer, _ count: Int,
        tag: UnsafeMutableRawPointer
    ) -> Bool {
        guard count <= Int32.max - 64, additionalCount <= Int32.max - 64, furtherCount <= Int32.max - 64, begin(iv),
            furtherCount == 0 || !isCCM
        else { return false }
        if isCCM, !update(nil, nil, count) { return false }
        if additionalCount > 0, !update(nil, additional, additionalCount) { return false }
        if furtherCount > 0, !update(nil, further, furtherCount) { return false }
        if count > 0 || isCCM, !update(text, text, count) { return false }
        var written: Int32 = 0
        return EVP_CipherFinal_ex(context, tag.assumingMemoryBound(to: UInt8.self), &written) == 1
            && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, Int32(id.tagOctets), tag) == 1
    }

    /// Verifies the tag and decrypts `count` octets in place. When the tag does not match, the text is wiped and the
    /// result is false.
    ///
    /// SAFETY: as for ``seal``.
    func open(
        iv: UnsafeRawPointer, additional: UnsafeRawPointer?, _ additionalCount: Int,
        further: UnsafeRawPointer? = nil, _ furtherCount: Int = 0, text: UnsafeMutableRawPointer, _ count: Int,
        tag: UnsafeMutableRawPointer
    ) -> Bool {
        guard count <= Int32.max - 64, additionalCount <= Int32.max - 64, furtherCount <= Int32.max - 64, begin(iv),
            furtherCount == 0 || !isCCM
        else { return false }
        guard EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, Int32(id.tagOctets), tag) == 1 else { return false }
        if isCCM, !update(nil, nil, count) { return false }
        if additionalCount > 0, !update(nil, additional, additionalCount) { return false }
        if furtherCount > 0, !update(nil, further, furtherCount) { return false }
        var fine = true
        if count > 0 || isCCM { fine = update(text, text, count) }
        if fine, !isCCM {  // CCM verifies in the update and has no final step.
            var written: Int32 = 0
            var none: UInt8 = 0
            fine = EVP_CipherFinal_ex(context, &none, &written) == 1
        }
        if !fine, count > 0 { OPENSSL_cleanse(text, count) }
        return fine
    }
}
