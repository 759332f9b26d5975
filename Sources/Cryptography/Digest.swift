internal import CLibcrypto

/// One part of an input that is hashed: octets that anybody may see, or a secret.
package enum Octets: Sendable {
    case open([UInt8])
    case secret(Secret)

    /// Reads the octets in place. The pointer must not outlive the call.
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch self {
        case .open(let octets): octets.withUnsafeBytes(body)
        case .secret(let secret): secret.withUnsafeBytes(body)
        }
    }
}

/// Plain hashes, as NAT detection (RFC 7296 §2.23, RFC 3947 §3.2), certificate requests and signatures use them.
package enum Digest {
    /// The hash over the parts, one after another. Throws `unsupported` for a hash this build lacks.
    package static func compute(_ hash: HashID, _ parts: [Octets]) throws(CryptographyError) -> [UInt8] {
        guard let function = HashFunction(hash) else { throw .unsupported("hash \(hash.rawValue)") }
        return withUnsafeTemporaryAllocation(byteCount: HashFunction.largestStateOctets, alignment: 16) { memory in
            guard let state = memory.baseAddress else { return [] }
            function.begin(state)
            for part in parts { part.withUnsafeBytes { function.update(state, $0.baseAddress, $0.count) } }
            return [UInt8](unsafeUninitializedCapacity: function.outputOctets) { output, count in
                if let target = output.baseAddress { function.finish(state, into: target) }
                count = function.outputOctets
                OPENSSL_cleanse(state, memory.count)
            }
        }
    }
}
