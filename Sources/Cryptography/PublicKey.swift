internal import CLibcrypto

/// What kind of key a public or private key is.
package enum KeyKind: Hashable, Sendable, CustomStringConvertible {
    /// With the octets of its modulus.
    case rsa(modulusOctets: Int)
    /// With the octets of its subgroup's order.
    case dsa(orderOctets: Int)
    case ecdsa(SignatureCurve)
    /// RFC 8032.
    case ed25519
    case ed448

    package var description: String {
        switch self {
        case .rsa(let octets): "RSA-\(octets * 8)"
        case .dsa: "DSA"
        case .ecdsa(let curve): "ECDSA P-\(curve.rawValue)"
        case .ed25519: "Ed25519"
        case .ed448: "Ed448"
        }
    }
}

/// The curves on which IKE signs (RFC 4754 §4), by the bits of their fields.
package enum SignatureCurve: Int, Hashable, Sendable, CaseIterable {
    case p256 = 256
    case p384 = 384
    case p521 = 521

    /// Octets of a coordinate, and of each half of a signature.
    package var octets: Int { (rawValue + 7) / 8 }
}

/// Why octets are no key that can be used.
package enum KeyDefect: Error, Hashable, Sendable {
    /// No form of key that is known, or a damaged one.
    case unreadable
    /// The file is encrypted and the passphrase is missing or wrong.
    case passphrase
    /// A kind of key, or a size, that is not used here; the text names it.
    case unsupported(String)
}

/// A public key, told from others by its SubjectPublicKeyInfo (RFC 5280 §4.1.2.7).
package struct PublicKey: Hashable, Sendable {
    /// DER.
    package let subjectPublicKeyInfo: [UInt8]
    package let kind: KeyKind
    let handle: KeyHandle

    /// Reads a key in PEM (`PUBLIC KEY`, `RSA PUBLIC KEY`) or in DER (SubjectPublicKeyInfo, or RFC 2437's RSAPublicKey).
    package init(parsing octets: [UInt8]) throws(KeyDefect) {
        defer { ERR_clear_error() }
        guard octets.count <= KeyHandle.maximumOctets else { throw .unreadable }
        let handle = PublicKey.read(octets)
        guard let handle else { throw .unreadable }
        try self.init(adopting: KeyHandle(handle))
    }

    init(adopting handle: KeyHandle) throws(KeyDefect) {
        kind = try handle.kind()
        subjectPublicKeyInfo = try handle.subjectPublicKeyInfo()
        self.handle = handle
    }

    private static func read(_ octets: [UInt8]) -> OpaquePointer? {
        if KeyHandle.isPEM(octets) {
            let source = BIO_new_mem_buf(octets, Int32(octets.count))
            defer { BIO_free(source) }
            if let key = PEM_read_bio_PUBKEY(source, nil, nil, nil) { return key }
            let again = BIO_new_mem_buf(octets, Int32(octets.count))
            defer { BIO_free(again) }
            guard let rsa = PEM_read_bio_RSAPublicKey(again, nil, nil, nil) else { return nil }
            defer { RSA_free(rsa) }
            return KeyHandle.wrap(rsa)
        }
        // SAFETY: both readers stay within the count that they are handed, and the array outlives the calls.
        return octets.withUnsafeBufferPointer { buffer in
            var cursor = buffer.baseAddress
            if let key = d2i_PUBKEY(nil, &cursor, buffer.count) {
                if cursor == buffer.baseAddress.map({ $0 + buffer.count }) { return key }
                EVP_PKEY_free(key)
                return nil
            }
            cursor = buffer.baseAddress
            guard let rsa = d2i_RSAPublicKey(nil, &cursor, buffer.count) else { return nil }
            defer { RSA_free(rsa) }
            return KeyHandle.wrap(rsa)
        }
    }

    package static func == (left: PublicKey, right: PublicKey) -> Bool {
        left.subjectPublicKeyInfo == right.subjectPublicKeyInfo
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(subjectPublicKeyInfo) }

    /// The key's SHA-1 identifier over subjectPublicKeyInfo, which peers send as an ID_KEY_ID.
    package var identifier: [UInt8] { (try? Digest.compute(.sha1, [.open(subjectPublicKeyInfo)])) ?? [] }
}

/// libcrypto's key, freed with its last reference.
final class KeyHandle: @unchecked Sendable {
    // SAFETY: set once; libcrypto counts references and only reads a key whose operations have contexts of their own.
    let pointer: OpaquePointer

    /// Files larger than this hold no key.
    static let maximumOctets = 64 * 1024
    /// Moduli: shorter ones are broken, longer ones cost too much time for a stranger's first message.
    static let modulusBits: ClosedRange<Int32> = 1024...8192

    init(_ pointer: OpaquePointer) { self.pointer = pointer }

    deinit { EVP_PKEY_free(pointer) }

    static func isPEM(_ octets: [UInt8]) -> Bool {
        String(decoding: octets.prefix(KeyHandle.maximumOctets), as: UTF8.self).contains("-----BEGIN ")
    }

    static func wrap(_ rsa: OpaquePointer) -> OpaquePointer? {
        guard let key = EVP_PKEY_new() else { return nil }
        if EVP_PKEY_set1_RSA(key, rsa) == 1 { return key }
        EVP_PKEY_free(key)
        return nil
    }

    func kind() throws(KeyDefect) -> KeyKind {
        switch EVP_PKEY_get_base_id(pointer) {
        case EVP_PKEY_RSA:
            let bits = EVP_PKEY_get_bits(pointer)
            guard KeyHandle.modulusBits.contains(bits) else { throw .unsupported("RSA of \(bits) bits") }
            return .rsa(modulusOctets: (Int(bits) + 7) / 8)
        case EVP_PKEY_DSA:
            let bits = EVP_PKEY_get_bits(pointer)
            guard (1024...3072).contains(bits), let order = number(OSSL_PKEY_PARAM_FFC_Q),
                [160, 224, 256].contains(order.bits)
            else { throw .unsupported("DSA of \(bits) bits") }
            return .dsa(orderOctets: order.bits / 8)
        case EVP_PKEY_EC:
            var name = [CChar](repeating: 0, count: 80)
            var count = 0
            guard EVP_PKEY_get_group_name(pointer, &name, name.count, &count) == 1 else {
                throw .unsupported("a curve without a name")
            }
            let text = String(decoding: name.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
            switch text {
            case "prime256v1", "P-256": return .ecdsa(.p256)
            case "secp384r1", "P-384": return .ecdsa(.p384)
            case "secp521r1", "P-521": return .ecdsa(.p521)
            default: throw .unsupported("curve \(text)")
            }
        case EVP_PKEY_ED25519: return .ed25519
        case EVP_PKEY_ED448: return .ed448
        default: throw .unsupported("a key that is neither RSA, DSA, ECDSA nor EdDSA")
        }
    }

    func subjectPublicKeyInfo() throws(KeyDefect) -> [UInt8] {
        var encoded: UnsafeMutablePointer<UInt8>?
        let count = i2d_PUBKEY(pointer, &encoded)
        defer { CRYPTO_free(encoded, nil, 0) }
        // SAFETY: libcrypto allocated `count` octets and hands them over.
        guard count > 0, let encoded else { throw .unreadable }
        return Array(UnsafeBufferPointer(start: encoded, count: Int(count)))
    }

    /// A number of the key's by libcrypto's name.
    func number(_ name: String) -> BigNumber? {
        var number: OpaquePointer?
        guard EVP_PKEY_get_bn_param(pointer, name, &number) == 1 else {
            ERR_clear_error()
            return nil
        }
        return try? BigNumber(adopting: number)
    }
}
