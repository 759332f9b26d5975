internal import CLibcrypto

/// The negotiated pseudorandom functions: HMAC over MD5, SHA-1 and SHA-2 (RFC 2104, RFC 4868), AES-XCBC (RFC 4434) and
/// AES-CMAC (RFC 4615). Keys may have any length, the empty one included (RFC 2409 uses nonces and whole Diffie-Hellman
/// secrets as keys).
package enum PseudorandomFunction {
    private static func keyed(_ prf: PRFID, _ key: Secret) throws(CryptographyError) -> any MessageAuthenticator {
        switch prf {
        case .aesXCBC: return try BlockAuthenticator.pseudorandomFunction(.xcbc, key: key)
        case .aesCMAC: return try BlockAuthenticator.pseudorandomFunction(.cmac, key: key)
        default: break
        }
        guard let hash = prf.hash, let function = HashFunction(hash) else {
            throw .unsupported("prf \(prf.rawValue)")
        }
        return KeyedHash(function, key: key)
    }

    /// `prf(key, parts)` where the result is sent: AUTH payloads, HASH_I, cookies.
    package static func compute(
        _ prf: PRFID, key: Secret, _ parts: [Octets]
    ) throws(CryptographyError) -> [UInt8] {
        let mac = try keyed(prf, key)
        for part in parts { mac.update(part) }
        return [UInt8](unsafeUninitializedCapacity: mac.outputOctets) { output, count in
            if let target = output.baseAddress { mac.finish(into: target) }
            count = mac.outputOctets
        }
    }

    /// `prf(key, parts)` where the result is itself a key: SKEYSEED, SKEYID and its descendants.
    package static func derive(
        _ prf: PRFID, key: Secret, _ parts: [Octets]
    ) throws(CryptographyError) -> Secret {
        let mac = try keyed(prf, key)
        for part in parts { mac.update(part) }
        return Secret(count: mac.outputOctets) { target in
            if let base = target.baseAddress { mac.finish(into: base) }
        }
    }

    /// The first `count` octets of a key, or where it is shorter (RFC 2409 Appendix B):
    ///
    ///     K = K1 | K2 | …, K1 = prf(key, 0), Kn = prf(key, Kn-1)
    package static func stretch(
        _ prf: PRFID, key: Secret, count: Int
    ) throws(CryptographyError) -> Secret {
        if key.count >= count { return key[0..<count] }
        var blocks = [try derive(prf, key: key, [.open([0])])]
        var length = blocks[0].count
        while length < count {
            let block = try derive(prf, key: key, [.secret(blocks[blocks.count - 1])])
            blocks.append(block)
            length += block.count
        }
        return Secret(concatenating: blocks)[0..<count]
    }

    /// The first `count` octets of prf+ (RFC 7296 §2.13).
    ///
    ///     prf+ (K,S) = T1 | T2 | T3 | T4 | ...
    ///     T1 = prf (K, S | 0x01)
    ///     Tn = prf (K, Tn-1 | S | n)
    ///
    /// The counter is one octet, so there are 255 blocks at most; throws `invalidKey` beyond.
    package static func expand(
        _ prf: PRFID, key: Secret, seed: [Octets], count: Int
    ) throws(CryptographyError) -> Secret {
        let mac = try keyed(prf, key)
        let size = mac.outputOctets
        guard count >= 0, count <= 255 * size else { throw .invalidKey }
        return Secret(count: count) { target in
            withUnsafeTemporaryAllocation(byteCount: HashFunction.largestOutputOctets, alignment: 16) { scratch in
                guard let block = scratch.baseAddress else { return }
                var filled = 0
                var number: UInt8 = 1
                while filled < count {
                    mac.begin()
                    if number > 1 { mac.update(block, size) }
                    for part in seed { mac.update(part) }
                    mac.update(&number, 1)
                    mac.finish(into: block)
                    let taken = min(size, count - filled)
                    UnsafeMutableRawBufferPointer(rebasing: target[filled..<(filled + taken)])
                        .copyMemory(from: UnsafeRawBufferPointer(start: block, count: taken))
                    filled += taken
                    number &+= 1
                }
                OPENSSL_cleanse(block, scratch.count)
            }
        }
    }
}
