internal import CLibcrypto

/// A private key. Only `Credentials` holds one; everything above asks it to sign or decrypt.
package final class PrivateKey: Sendable {
    package let publicKey: PublicKey
    let handle: KeyHandle
    /// RSA alone: SHA-256 of the private exponent, from which implicit rejection makes its answers.
    let rejectionKey: Secret?

    package var kind: KeyKind { publicKey.kind }

    /// Reads a key in PEM or DER: PKCS#1, PKCS#8 (encrypted or not), SEC1 or DSA's form.
    ///
    /// - Parameter passphrase: opens an encrypted key; nobody is asked for one.
    package convenience init(parsing octets: Secret, passphrase: Secret? = nil) throws(KeyDefect) {
        defer { ERR_clear_error() }
        guard octets.count <= KeyHandle.maximumOctets else { throw .unreadable }
        try self.init(adopting: KeyHandle(try PrivateKey.read(octets, passphrase)))
    }

    /// Takes over a key of libcrypto's.
    init(adopting handle: KeyHandle) throws(KeyDefect) {
        defer { ERR_clear_error() }
        let kind = try handle.kind()
        // A key whose halves do not belong together would answer with nonsense, or leak a factor in doing so.
        let context = EVP_PKEY_CTX_new(handle.pointer, nil)
        defer { EVP_PKEY_CTX_free(context) }
        guard let context, EVP_PKEY_pairwise_check(context) == 1 else { throw .unreadable }
        self.handle = handle
        publicKey = try PrivateKey.publicHalf(handle)
        if case .rsa(let octets) = kind {
            guard let exponent = handle.number(OSSL_PKEY_PARAM_RSA_D),
                let encoded = try? exponent.secret(octets),
                let digest = try? Digest.compute(.sha256, [.secret(encoded)])
            else { throw .unreadable }
            rejectionKey = Secret(digest)
        } else {
            rejectionKey = nil
        }
    }

    /// The key in its public form alone, so that what is handed out holds no private number.
    private static func publicHalf(_ handle: KeyHandle) throws(KeyDefect) -> PublicKey {
        try PublicKey(parsing: try handle.subjectPublicKeyInfo())
    }

    private static func read(_ octets: Secret, _ passphrase: Secret?) throws(KeyDefect) -> OpaquePointer {
        // libcrypto wants a terminated passphrase; with none at all it would ask on the terminal.
        let terminated = Secret(concatenating: [passphrase ?? Secret([UInt8]()), Secret([0])])
        let key = terminated.withUnsafeBytes { phrase -> OpaquePointer? in
            // SAFETY: libcrypto reads the phrase up to its terminating zero, for the time of the calls.
            let phrase = UnsafeMutableRawPointer(mutating: phrase.baseAddress)
            return octets.withUnsafeBytes { bytes -> OpaquePointer? in
                let first = BIO_new_mem_buf(bytes.baseAddress, Int32(bytes.count))
                defer { BIO_free(first) }
                if KeyHandle.isPEM(Array(bytes.prefix(KeyHandle.maximumOctets))) {
                    return PEM_read_bio_PrivateKey(first, nil, nil, phrase)
                }
                var cursor = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
                if let key = d2i_AutoPrivateKey(nil, &cursor, bytes.count) { return key }
                return d2i_PKCS8PrivateKey_bio(first, nil, nil, phrase)
            }
        }
        guard let key else { throw failure() }
        return key
    }

    /// Why libcrypto could not read a key: whether it came as far as a passphrase.
    private static func failure() -> KeyDefect {
        while true {
            let code = ERR_get_error()
            if code == 0 { return .unreadable }
            let reason = Int32(code & 0x7F_FFFF)
            let library = Int32((code >> 23) & 0xFF)
            if library == ERR_LIB_PEM, [PEM_R_BAD_DECRYPT, PEM_R_BAD_PASSWORD_READ].contains(reason) {
                return .passphrase
            }
            if library == ERR_LIB_EVP, reason == EVP_R_BAD_DECRYPT { return .passphrase }
            if library == ERR_LIB_PROV, reason == PROV_R_BAD_DECRYPT { return .passphrase }
            if library == ERR_LIB_PKCS12 { return .passphrase }
        }
    }
}

extension PrivateKey: CustomReflectable {
    /// Shows what anybody may know.
    package var customMirror: Mirror { Mirror(self, children: ["kind": kind.description], displayStyle: .class) }
}
