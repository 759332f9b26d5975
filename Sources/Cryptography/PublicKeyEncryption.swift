internal import CLibcrypto

/// RSAES-PKCS1-v1_5 (RFC 2437 §7.2), which RFC 2409 §5.2 and §5.3 prescribe. Its padding tells whoever learns whether it
/// held enough to decrypt, a few hundred thousand questions later (Bleichenbacher 1998). So nobody learns it: where the
/// padding does not hold, decryption yields octets that look like a message and are always the same for the same
/// ciphertext and key (implicit rejection), and what follows fails as it would with any wrong message.
extension PublicKey {
    /// The longest message; `nil` for keys that do not encrypt.
    package var longestPlaintext: Int? {
        if case .rsa(let octets) = kind { octets - PKCS1.overheadOctets } else { nil }
    }

    /// Octets of every ciphertext; `nil` for keys that do not encrypt.
    package var ciphertextOctets: Int? {
        if case .rsa(let octets) = kind { octets } else { nil }
    }

    /// Encrypts a message of ``longestPlaintext`` octets at most.
    package func encrypt(_ message: Secret) throws(CryptographyError) -> [UInt8] {
        guard let longest = longestPlaintext, let width = ciphertextOctets, message.count <= longest else {
            throw .invalidKey
        }
        defer { ERR_clear_error() }
        let context = EVP_PKEY_CTX_new(handle.pointer, nil)
        defer { EVP_PKEY_CTX_free(context) }
        var ciphertext = [UInt8](repeating: 0, count: width)
        var count = width
        guard let context, EVP_PKEY_encrypt_init(context) == 1,
            EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1,
            message.withUnsafeBytes({ bytes in
                EVP_PKEY_encrypt(
                    context, &ciphertext, &count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
            }) == 1, count == width
        else { throw .libraryFailure("EVP_PKEY_encrypt") }
        return ciphertext
    }
}

extension PrivateKey {
    /// Decrypts a message whose length must be in `lengths`. Whether the padding and the length held cannot be told from
    /// the answer, nor from the time that it takes: neither depends on the decrypted octets but for the answer's length.
    /// A ciphertext that is no number below the modulus, or has the wrong length, is treated alike.
    ///
    /// What stands in for a message is made as draft-irtf-cfrg-rsa-guidance does, from the private exponent and the
    /// ciphertext; with lengths from 0 to the longest it is the same.
    ///
    /// - Throws: `invalidKey` where the key is not RSA or no length is possible; nothing that depends on the ciphertext.
    package func decrypt(_ ciphertext: [UInt8], lengths: ClosedRange<Int>) throws(CryptographyError) -> Secret {
        guard case .rsa(let width) = kind, let rejectionKey, lengths.lowerBound >= 0 else { throw .invalidKey }
        let longest = min(lengths.upperBound, width - PKCS1.overheadOctets)
        guard lengths.lowerBound <= longest else { throw .invalidKey }
        let key = try PKCS1.derivationKey(rejectionKey, ciphertext, width)
        let synthetic = try PKCS1.expand(key, "message", count: width)
        let candidates = try PKCS1.expand(key, "length", count: 2 * PKCS1.candidateCount)
        let (block, isUsable) = try rawDecryption(ciphertext, width)
        var length = 0
        let output = Secret(count: width) { target in
            block.withUnsafeBytes { block in
                synthetic.withUnsafeBytes { synthetic in
                    candidates.withUnsafeBytes { candidates in
                        // SAFETY: block, synthetic and target have `width` octets, candidates two for each.
                        length = Int(
                            parley_pkcs1_unpad(
                                block.baseAddress?.assumingMemoryBound(to: UInt8.self),
                                synthetic.baseAddress?.assumingMemoryBound(to: UInt8.self),
                                candidates.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32(width),
                                UInt32(lengths.lowerBound), UInt32(longest), isUsable ? 1 : 0,
                                target.baseAddress?.assumingMemoryBound(to: UInt8.self)))
                    }
                }
            }
        }
        return output[(width - length)..<width]
    }

    /// c^d mod n in `width` octets, with libcrypto's blinding, and whether it is of any use. A ciphertext that has not the
    /// modulus's length or is not below it costs the same operation on another number.
    private func rawDecryption(_ ciphertext: [UInt8], _ width: Int) throws(CryptographyError) -> (Secret, Bool) {
        let padded =
            ciphertext.count == width
            ? ciphertext : [UInt8](repeating: 0, count: width - 1) + [2]
        if let block = power(padded, width) { return (block, ciphertext.count == width) }
        guard let block = power([UInt8](repeating: 0, count: width - 1) + [2], width) else {
            throw .libraryFailure("EVP_PKEY_decrypt")
        }
        return (block, false)
    }

    private func power(_ ciphertext: [UInt8], _ width: Int) -> Secret? {
        defer { ERR_clear_error() }
        let context = EVP_PKEY_CTX_new(handle.pointer, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let context, EVP_PKEY_decrypt_init(context) == 1,
            EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1
        else { return nil }
        var worked = false
        let block = Secret(count: width) { target in
            var count = width
            worked =
                EVP_PKEY_decrypt(
                    context, target.baseAddress?.assumingMemoryBound(to: UInt8.self), &count, ciphertext,
                    ciphertext.count) == 1 && count == width
        }
        return worked ? block : nil
    }
}

/// The parts of implicit rejection.
private enum PKCS1 {
    /// Octets that the padding takes at least: 0, 2, eight of padding, 0.
    static let overheadOctets = 11
    static let candidateCount = Int(PARLEY_PKCS1_CANDIDATES)

    /// HMAC-SHA-256(SHA-256(d), C), with C in `width` octets.
    static func derivationKey(
        _ key: Secret, _ ciphertext: [UInt8], _ width: Int
    ) throws(CryptographyError) -> Secret {
        let padding = [UInt8](repeating: 0, count: max(0, width - ciphertext.count))
        return try PseudorandomFunction.derive(.hmacSHA256, key: key, [.open(padding + ciphertext)])
    }

    /// HMAC-SHA-256(key, n | label | bits) for n = 0, 1, …, with n and the number of bits in two octets.
    static func expand(_ key: Secret, _ label: String, count: Int) throws(CryptographyError) -> Secret {
        let bits = UInt16(truncatingIfNeeded: count * 8)
        var blocks: [Secret] = []
        for number in 0..<UInt16((count + 31) / 32) {
            blocks.append(
                try PseudorandomFunction.derive(
                    .hmacSHA256, key: key,
                    [
                        .open([UInt8(number >> 8), UInt8(number & 0xFF)]), .open(Array(label.utf8)),
                        .open([UInt8(bits >> 8), UInt8(bits & 0xFF)]),
                    ]))
        }
        return Secret(concatenating: blocks)[0..<count]
    }
}
