internal import CLibcrypto

/// Ciphers over whole messages, for the key exchanges (RFC 7296 §3.14, RFC 5282, RFC 7634 §2.1, RFC 2409 Appendix B).
/// Keys are key material as it is derived: cipher key, then salt.
package enum MessageCipher {
    /// Whether this build computes the algorithm with that key length.
    package static func supports(_ encryption: Encryption) -> Bool {
        encryption.id.protectsIKE && FetchedCipher.find(encryption) != nil
    }

    /// CBC or CTR encryption without padding: `plaintext` is a whole number of blocks. Throws `invalidKey` for a key or
    /// IV of the wrong length.
    package static func encrypt(
        _ e: Encryption, key: Secret, iv: [UInt8], _ plaintext: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        try transform(e, key: key, iv: iv, plaintext, sealing: true)
    }

    /// The inverse of ``encrypt(_:key:iv:_:)``. Says nothing about authenticity: check that first.
    package static func decrypt(
        _ e: Encryption, key: Secret, iv: [UInt8], _ ciphertext: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        try transform(e, key: key, iv: iv, ciphertext, sealing: false)
    }

    /// Authenticated encryption; the result is the ciphertext, then the tag. The nonce is salt, then `explicitIV`.
    package static func seal(
        _ e: Encryption, key: Secret, explicitIV: [UInt8], additionalData: [UInt8], _ plaintext: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        guard e.id.isAEAD, e.id.protectsIKE else { throw .unsupported(e.name.keyword) }
        let cipher = try CipherContext(e, key: key, sealing: true)
        guard explicitIV.count == e.id.ivOctets else { throw .invalidKey }
        var message = plaintext
        message.append(contentsOf: repeatElement(0, count: e.id.tagOctets))
        let fine = message.withUnsafeMutableBytes { buffer in
            guard let text = buffer.baseAddress else { return false }
            return additionalData.withUnsafeBytes { additional in
                cipher.seal(
                    iv: explicitIV, additional: additional.baseAddress, additional.count, text: text, plaintext.count,
                    tag: text + plaintext.count)
            }
        }
        guard fine else { throw .libraryFailure("seal") }
        return message
    }

    /// Verifies and decrypts what ``seal(_:key:explicitIV:additionalData:_:)`` made. Throws `authenticationFailed` when
    /// anything was changed or is too short.
    package static func open(
        _ e: Encryption, key: Secret, explicitIV: [UInt8], additionalData: [UInt8], _ sealed: [UInt8]
    ) throws(CryptographyError) -> [UInt8] {
        guard e.id.isAEAD, e.id.protectsIKE else { throw .unsupported(e.name.keyword) }
        let cipher = try CipherContext(e, key: key, sealing: false)
        guard explicitIV.count == e.id.ivOctets else { throw .invalidKey }
        let count = sealed.count - e.id.tagOctets
        guard count >= 0 else { throw .authenticationFailed }
        var message = sealed
        let fine = message.withUnsafeMutableBytes { buffer in
            guard let text = buffer.baseAddress else { return false }
            return additionalData.withUnsafeBytes { additional in
                cipher.open(
                    iv: explicitIV, additional: additional.baseAddress, additional.count, text: text, count,
                    tag: text + count)
            }
        }
        guard fine else { throw .authenticationFailed }
        message.removeLast(e.id.tagOctets)
        return message
    }

    private static func transform(
        _ e: Encryption, key: Secret, iv: [UInt8], _ text: [UInt8], sealing: Bool
    ) throws(CryptographyError) -> [UInt8] {
        guard !e.id.isAEAD else { throw .unsupported(e.name.keyword) }
        let cipher = try CipherContext(e, key: key, sealing: sealing)
        guard iv.count == e.id.ivOctets else { throw .invalidKey }
        guard text.count.isMultiple(of: e.id.blockOctets) else {
            throw .libraryFailure("the text is not a whole number of blocks")
        }
        guard !text.isEmpty else { return [] }
        var message = text
        let fine = message.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return false }
            return cipher.transform(iv: iv, base, buffer.count)
        }
        guard fine else { throw .libraryFailure("EVP_CipherUpdate") }
        return message
    }
}
