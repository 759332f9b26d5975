import Cryptography
import ISAKMP
import Primitives

/// Encryption of messages with a chain of IVs (RFC 2409 Appendix B): each message of an exchange starts from the last
/// ciphertext block of the one before it.
struct CipherChain: Hashable, Sendable {
    private(set) var iv: [UInt8]

    init(iv: [UInt8]) { self.iv = iv }

    /// An opened message: its payloads, and the octets of each from its generic header on.
    struct Opened {
        var payloads: [Payload]
        /// The octets behind the first payload, as far as the chain of payloads goes.
        var restOfFirst: [UInt8]
    }

    /// Header, then the encrypted payloads, padded with zeros.
    mutating func seal(_ payloads: [Payload], header: Header, keys: PhaseOneKeys) throws(Fault) -> [UInt8] {
        var plaintext: [UInt8] = []
        PayloadChain.write(payloads, to: &plaintext)
        let block = keys.cipher.id.blockOctets
        let padding = (block - plaintext.count % block) % block
        plaintext += [UInt8](repeating: 0, count: padding)
        let ciphertext = try Attempt.cryptography { () throws(CryptographyError) in
            try MessageCipher.encrypt(keys.cipher, key: keys.encryptionKey, iv: iv, plaintext)
        }
        iv = Array(ciphertext.suffix(block))
        var header = header
        header.flags.insert(.encryption)
        header.nextPayload = payloads.first?.type ?? .none
        header.length = UInt32(Header.octetCount + ciphertext.count)
        var octets: [UInt8] = []
        header.write(to: &octets)
        return octets + ciphertext
    }

    /// Opens a message's payloads. The chain moves on where they can be read; that they are authentic is for the caller
    /// to see from their HASH.
    mutating func open(_ message: [UInt8], header: Header, keys: PhaseOneKeys) throws(Fault) -> Opened {
        let ciphertext = Array(message.dropFirst(Header.octetCount))
        let block = keys.cipher.id.blockOctets
        guard !ciphertext.isEmpty, ciphertext.count.isMultiple(of: block) else {
            throw .dropped("the encrypted part is not whole blocks")
        }
        let plaintext = try Attempt.cryptography { () throws(CryptographyError) in
            try MessageCipher.decrypt(keys.cipher, key: keys.encryptionKey, iv: iv, ciphertext)
        }
        var reader = ByteReader(plaintext)
        let payloads = try Attempt.parsing { () throws(ParseError) in
            try PayloadChain.read(first: header.nextPayload, from: &reader).payloads
        }
        guard let first = payloads.first else { throw .dropped("an encrypted message has payloads") }
        let start = Payload.headerOctets + first.body.count
        iv = Array(ciphertext.suffix(block))
        return Opened(payloads: payloads, restOfFirst: Array(plaintext[start..<reader.offset]))
    }
}
