internal import CLibcrypto

/// A check value over the parts of a packet: one SA, one direction, one thread. Keyed once; a packet allocates nothing.
package final class PacketAuthenticator {
    /// Octets of check value that travel.
    package let tagOctets: Int
    private let mac: any MessageAuthenticator
    // SAFETY: made in init, freed in deinit and never handed out; the class is not Sendable, so one thread at a time
    // uses it. It has room for the longest output of any integrity algorithm.
    private let output: UnsafeMutableRawPointer

    /// Throws `unsupported` for algorithms this build lacks, and `invalidKey` for a key that is not as long as the
    /// algorithm wants it.
    package init(_ id: IntegrityID, key: Secret) throws(CryptographyError) {
        guard IntegrityCheck.supports(id) else { throw .unsupported(id.name.keyword) }
        guard key.count == id.keyOctets else { throw .invalidKey }
        mac = try IntegrityCheck.keyed(id, key)
        tagOctets = id.tagOctets
        output = .allocate(byteCount: 64, alignment: 8)
        output.initializeMemory(as: UInt8.self, repeating: 0, count: 64)
    }

    deinit {
        OPENSSL_cleanse(output, 64)
        output.deallocate()
    }

    /// Starts a packet.
    package func begin() { mac.begin() }

    /// SAFETY: the caller vouches for `count` readable octets.
    package func update(_ octets: UnsafeRawPointer, _ count: Int) { mac.update(octets, count) }

    /// Writes ``tagOctets`` octets.
    ///
    /// SAFETY: the caller vouches for the room.
    package func finish(into tag: UnsafeMutableRawPointer) {
        mac.finish(into: output)
        tag.copyMemory(from: output, byteCount: tagOctets)
    }

    /// Whether `tag` is the check value; in constant time.
    ///
    /// SAFETY: the caller vouches for ``tagOctets`` readable octets.
    package func verify(_ tag: UnsafeRawPointer) -> Bool {
        mac.finish(into: output)
        return CRYPTO_memcmp(output, tag, tagOctets) == 0
    }
}
