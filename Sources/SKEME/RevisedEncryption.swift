package import Cryptography

/// The revised mode of public-key encryption (RFC 2409 §5.3): only the nonce is encrypted to the peer's key, and what
/// follows it with a cipher whose key comes from the nonce. It saves each end two operations with a key.
package struct RevisedEncryption: Sendable {
    private let cipher: Encryption
    /// Ke_i or Ke_r
    private let key: Secret
    /// Zero at first, then the last block of the payload before.
    private var iv: [UInt8]

    /// The key of one direction, from its nonce and the sender's cookie:
    ///
    ///     Ne_i = prf(Ni_b, CKY-I)        Ke_i = Ne_i, or K1 | K2 | … with K1 = prf(Ne_i, 0), Kn = prf(Ne_i, Kn-1)
    ///     Ne_r = prf(Nr_b, CKY-R)        Ke_r likewise
    package static func key(
        _ prf: PRFID, cipher: Encryption, half: Secret, cookie: [UInt8]
    ) throws(CryptographyError) -> RevisedEncryption {
        let material = try PseudorandomFunction.derive(prf, key: half, [.open(cookie)])
        let key = try PseudorandomFunction.stretch(prf, key: material, count: cipher.keyOctets)
        return RevisedEncryption(
            cipher: cipher, key: key, iv: [UInt8](repeating: 0, count: cipher.id.blockOctets))
    }

    private init(cipher: Encryption, key: Secret, iv: [UInt8]) {
        self.cipher = cipher
        self.key = key
        self.iv = iv
    }

    /// Octets of a sealed body: there is always padding, of zeros and one octet with their number.
    package func sealedOctets(_ count: Int) -> Int {
        let block = cipher.id.blockOctets
        return (count / block + 1) * block
    }

    /// Encrypts the body of the payload that comes next.
    package mutating func seal(_ body: [UInt8]) throws(CryptographyError) -> [UInt8] {
        let zeros = sealedOctets(body.count) - body.count - 1
        let padded = body + [UInt8](repeating: 0, count: zeros) + [UInt8(zeros)]
        let sealed = try MessageCipher.encrypt(cipher, key: key, iv: iv, padded)
        iv = Array(sealed.suffix(cipher.id.blockOctets))
        return sealed
    }

    /// Decrypts the body of the payload that comes next, its padding left on: a wrong key must not show in what is made of
    /// it. Throws where the body is not whole blocks, which anybody can see.
    package mutating func open(_ body: [UInt8]) throws(CryptographyError) -> [UInt8] {
        let opened = try MessageCipher.decrypt(cipher, key: key, iv: iv, body)
        iv = Array(body.suffix(cipher.id.blockOctets))
        return opened
    }

    /// The body without its padding; without the last octet alone where that says nonsense.
    package static func unpadded(_ opened: [UInt8]) -> [UInt8] {
        guard let last = opened.last else { return [] }
        let count = Int(last) + 1
        return Array(opened.dropLast(count < opened.count ? count : 1))
    }
}
