internal import CLibcrypto

/// The hash functions as libcrypto's fixed-size running states. States are plain memory, so that a keyed state can be
/// copied for each packet with no allocation (an `EVP_MD_CTX` allocates whenever it is copied).
///
/// SAFETY: every `state` below is memory of at least ``stateOctets`` octets, aligned to 8, which the caller owns
/// alone; the functions touch only that and the octets handed in, for the length handed in.
enum HashFunction: Sendable {
    case md5, sha1, sha256, sha384, sha512

    static let largestStateOctets = 256
    static let largestBlockOctets = 128
    static let largestOutputOctets = 64

    init?(_ id: HashID) {
        switch id {
        case .md5: self = .md5
        case .sha1: self = .sha1
        case .sha256: self = .sha256
        case .sha384: self = .sha384
        case .sha512: self = .sha512
        default: return nil
        }
    }

    init?(_ id: IntegrityID) {
        switch id {
        case .hmacMD5_96: self = .md5
        case .hmacSHA1_96: self = .sha1
        case .hmacSHA256_128: self = .sha256
        case .hmacSHA384_192: self = .sha384
        case .hmacSHA512_256: self = .sha512
        default: return nil
        }
    }

    /// Octets that the compression function takes at a time (HMAC's B).
    var blockOctets: Int {
        switch self {
        case .md5, .sha1, .sha256: 64
        case .sha384, .sha512: 128
        }
    }

    /// Octets of output (HMAC's L).
    var outputOctets: Int {
        switch self {
        case .md5: 16
        case .sha1: 20
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }

    /// Octets of the running state.
    var stateOctets: Int {
        switch self {
        case .md5: MemoryLayout<MD5_CTX>.size
        case .sha1: MemoryLayout<SHA_CTX>.size
        case .sha256: MemoryLayout<SHA256_CTX>.size
        case .sha384, .sha512: MemoryLayout<SHA512_CTX>.size
        }
    }

    func begin(_ state: UnsafeMutableRawPointer) {
        switch self {
        case .md5: _ = MD5_Init(state.assumingMemoryBound(to: MD5_CTX.self))
        case .sha1: _ = SHA1_Init(state.assumingMemoryBound(to: SHA_CTX.self))
        case .sha256: _ = SHA256_Init(state.assumingMemoryBound(to: SHA256_CTX.self))
        case .sha384: _ = SHA384_Init(state.assumingMemoryBound(to: SHA512_CTX.self))
        case .sha512: _ = SHA512_Init(state.assumingMemoryBound(to: SHA512_CTX.self))
        }
    }

    func update(_ state: UnsafeMutableRawPointer, _ octets: UnsafeRawPointer?, _ count: Int) {
        guard count > 0, let octets else { return }
        switch self {
        case .md5: _ = MD5_Update(state.assumingMemoryBound(to: MD5_CTX.self), octets, count)
        case .sha1: _ = SHA1_Update(state.assumingMemoryBound(to: SHA_CTX.self), octets, count)
        case .sha256: _ = SHA256_Update(state.assumingMemoryBound(to: SHA256_CTX.self), octets, count)
        case .sha384: _ = SHA384_Update(state.assumingMemoryBound(to: SHA512_CTX.self), octets, count)
        case .sha512: _ = SHA512_Update(state.assumingMemoryBound(to: SHA512_CTX.self), octets, count)
        }
    }

    /// Writes ``outputOctets`` octets to `output`; the state is spent.
    func finish(_ state: UnsafeMutableRawPointer, into output: UnsafeMutableRawPointer) {
        let digest = output.assumingMemoryBound(to: UInt8.self)
        switch self {
        case .md5: _ = MD5_Final(digest, state.assumingMemoryBound(to: MD5_CTX.self))
        case .sha1: _ = SHA1_Final(digest, state.assumingMemoryBound(to: SHA_CTX.self))
        case .sha256: _ = SHA256_Final(digest, state.assumingMemoryBound(to: SHA256_CTX.self))
        case .sha384: _ = SHA384_Final(digest, state.assumingMemoryBound(to: SHA512_CTX.self))
        case .sha512: _ = SHA512_Final(digest, state.assumingMemoryBound(to: SHA512_CTX.self))
        }
    }
}
