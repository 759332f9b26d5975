internal import CLibcrypto

/// A key with its certificates in one file, PKCS #12 (RFC 7292).
package struct PKCS12: Sendable {
    package var key: PrivateKey
    /// DER; the key's own first.
    package var certificates: [[UInt8]]

    private static let maximumOctets = 1024 * 1024
    private static let maximumCertificates = 32

    package init(key: PrivateKey, certificates: [[UInt8]]) {
        self.key = key
        self.certificates = certificates
    }

    /// Opens a file in DER.
    package init(parsing octets: [UInt8], passphrase: Secret) throws(KeyDefect) {
        defer { ERR_clear_error() }
        guard octets.count <= PKCS12.maximumOctets else { throw .unreadable }
        // SAFETY: the reader stays within the count that it is handed, and the array outlives the call.
        let file = octets.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            return d2i_PKCS12(nil, &cursor, buffer.count)
        }
        guard let file else { throw .unreadable }
        defer { PKCS12_free(file) }
        var key: OpaquePointer?
        var certificate: OpaquePointer?
        var others: OpaquePointer?
        let terminated = Secret(concatenating: [passphrase, Secret([0])])
        let isOpen = terminated.withUnsafeBytes { phrase -> Bool in
            // SAFETY: the phrase is terminated and outlives the calls.
            let phrase = phrase.baseAddress?.assumingMemoryBound(to: CChar.self)
            return PKCS12_verify_mac(file, phrase, -1) == 1
                && PKCS12_parse(file, phrase, &key, &certificate, &others) == 1
        }
        defer {
            X509_free(certificate)
            parley_free_certificates(UnsafeMutableRawPointer(others))
        }
        guard isOpen else {
            EVP_PKEY_free(key)
            throw .passphrase
        }
        guard let key else { throw .unsupported("a PKCS #12 file without a key") }
        self.key = try PrivateKey(adopting: KeyHandle(key))
        certificates = []
        if let certificate, let octets = PKCS12.octets(certificate) { certificates.append(octets) }
        for index in 0..<min(OPENSSL_sk_num(others), Int32(PKCS12.maximumCertificates)) {
            // SAFETY: the stack holds certificates alone, which live until it is freed.
            guard let other = OPENSSL_sk_value(others, index) else { continue }
            if let octets = PKCS12.octets(OpaquePointer(other)) { certificates.append(octets) }
        }
    }

    private static func octets(_ certificate: OpaquePointer) -> [UInt8]? {
        var encoded: UnsafeMutablePointer<UInt8>?
        let count = i2d_X509(certificate, &encoded)
        defer { CRYPTO_free(encoded, nil, 0) }
        // SAFETY: libcrypto allocated `count` octets and hands them over.
        guard count > 0, let encoded else { return nil }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(count)))
    }

    /// The file in DER, encrypted with AES-256 and PBKDF2 (RFC 8018).
    ///
    /// - Parameter name: what programs show for the key.
    package func octets(passphrase: Secret, name: String) throws(CryptographyError) -> [UInt8] {
        defer { ERR_clear_error() }
        let parsed = certificates.prefix(PKCS12.maximumCertificates).map { octets in
            // SAFETY: the reader stays within the count that it is handed, and the array outlives the call.
            octets.withUnsafeBufferPointer { buffer in
                var cursor = buffer.baseAddress
                return d2i_X509(nil, &cursor, buffer.count)
            }
        }
        let others = OPENSSL_sk_new_null()
        defer {
            for certificate in parsed { X509_free(certificate) }
            OPENSSL_sk_free(others)
        }
        guard let others, let own = parsed.first ?? nil else { throw .libraryFailure("d2i_X509") }
        for certificate in parsed.dropFirst() {
            guard let certificate, OPENSSL_sk_push(others, UnsafeRawPointer(certificate)) > 0 else {
                throw .libraryFailure("OPENSSL_sk_push")
            }
        }
        let terminated = Secret(concatenating: [passphrase, Secret([0])])
        let file = terminated.withUnsafeBytes { phrase in
            // SAFETY: the phrase is terminated and outlives the call.
            PKCS12_create(
                phrase.baseAddress?.assumingMemoryBound(to: CChar.self), name, key.handle.pointer, own, others,
                NID_aes_256_cbc, NID_aes_256_cbc, 10_000, 10_000, 0)
        }
        guard let file else { throw .libraryFailure("PKCS12_create") }
        defer { PKCS12_free(file) }
        var encoded: UnsafeMutablePointer<UInt8>?
        let count = i2d_PKCS12(file, &encoded)
        defer { CRYPTO_free(encoded, nil, 0) }
        // SAFETY: libcrypto allocated `count` octets and hands them over.
        guard count > 0, let encoded else { throw .libraryFailure("i2d_PKCS12") }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(count)))
    }
}
