internal import CLibcrypto

/// The integrity algorithms over whole messages, truncated to what travels (RFC 2403, RFC 2404, RFC 4868, RFC 3566, RFC
/// 4494).
package enum IntegrityCheck {
    /// Whether this build computes the algorithm.
    package static func supports(_ id: IntegrityID) -> Bool {
        HashFunction(id) != nil || blockKind(id) != nil
    }

    private static func blockKind(_ id: IntegrityID) -> BlockAuthenticator.Kind? {
        switch id {
        case .aesXCBC_96: .xcbc
        case .aesCMAC_96: .cmac
        default: nil
        }
    }

    /// The algorithm with its key. Throws `unsupported`, and `invalidKey` where the length is fixed and another.
    static func keyed(_ id: IntegrityID, _ key: Secret) throws(CryptographyError) -> any MessageAuthenticator {
        if let function = HashFunction(id) { return KeyedHash(function, key: key) }
        guard let kind = blockKind(id) else { throw .unsupported("integrity \(id.rawValue)") }
        return try BlockAuthenticator(kind, key: key)
    }

    /// The check value of `id.tagOctets` octets. An HMAC's key may have any length.
    package static func compute(
        _ id: IntegrityID, key: Secret, _ data: ArraySlice<UInt8>
    ) throws(CryptographyError) -> [UInt8] {
        let mac = try keyed(id, key)
        data.withUnsafeBytes { mac.update($0.baseAddress, $0.count) }
        var full = [UInt8](unsafeUninitializedCapacity: mac.outputOctets) { output, count in
            if let target = output.baseAddress { mac.finish(into: target) }
            count = mac.outputOctets
        }
        full.removeLast(mac.outputOctets - id.tagOctets)
        return full
    }

    /// Whether `tag` is the check value of `data`, compared in constant time. A tag of another length never is.
    package static func verify(
        _ id: IntegrityID, key: Secret, _ data: ArraySlice<UInt8>, tag: ArraySlice<UInt8>
    ) throws(CryptographyError) -> Bool {
        ConstantTime.equal(try compute(id, key: key, data), Array(tag))
    }
}
