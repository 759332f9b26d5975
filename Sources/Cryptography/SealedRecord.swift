internal import CLibcrypto

/// A record with a secret behind it, sealed with AES-256-GCM for whoever has the key. Each record needs a key of its own.
///
///     sealed = AES-256-GCM(count of the record | record | secret)
package enum SealedRecord {
    private static let cipher = Encryption(.aesGCM16, keyBits: 256)
    private static let iv = [UInt8](repeating: 0, count: cipher.id.ivOctets)
    /// Octets of key.
    package static var keyOctets: Int { cipher.keyMaterialOctets }

    /// - Parameter record: at most 65,535 octets.
    package static func seal(
        key: Secret, associated: [UInt8], _ record: [UInt8], secret: Secret
    ) throws(CryptographyError) -> [UInt8] {
        guard record.count <= UInt16.max else { throw .libraryFailure("a record is too long") }
        var content = [UInt8(record.count >> 8), UInt8(record.count & 0xFF)] + record
        // Once, so that the array does not leave a copy behind where it grew.
        content.reserveCapacity(content.count + secret.count)
        secret.withUnsafeBytes { content.append(contentsOf: $0) }
        defer { wipe(&content) }
        return try MessageCipher.seal(cipher, key: key, explicitIV: iv, additionalData: associated, content)
    }

    /// - Throws: `authenticationFailed` for what ``seal(key:associated:_:secret:)`` did not make.
    package static func open(
        key: Secret, associated: [UInt8], _ sealed: [UInt8]
    ) throws(CryptographyError) -> (record: [UInt8], secret: Secret) {
        var content = try MessageCipher.open(cipher, key: key, explicitIV: iv, additionalData: associated, sealed)
        defer { wipe(&content) }
        guard content.count >= 2 else { throw .authenticationFailed }
        let end = 2 + (Int(content[0]) << 8 | Int(content[1]))
        guard end <= content.count else { throw .authenticationFailed }
        return (Array(content[2..<end]), Secret(content[end...]))
    }

    private static func wipe(_ octets: inout [UInt8]) {
        octets.withUnsafeMutableBytes { buffer in
            if let base = buffer.baseAddress { OPENSSL_cleanse(base, buffer.count) }
        }
    }
}
