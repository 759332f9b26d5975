import Cryptography
import IPsec
import ISAKMP
import Primitives

/// The Encrypted payload (RFC 7296 §3.14; RFC 5282 §3 for AEADs): the last payload of a message, around all others.
///
///     +---------------------------------------------------------------+
///     |           header ... [clear payloads] generic header          |
///     |  [SKF only: fragment number, total]    IV                     |
///     |  encrypted: payloads, padding, pad length                     |
///     |  integrity checksum over all that stands before it            |
///     +---------------------------------------------------------------+
struct Protection {
    var suite: Suite
    var keys: IKEKeys
    /// Whether the sender is the original initiator of the IKE SA, whose keys are SK_ei and SK_ai.
    var fromInitiator: Bool

    private var tagOctets: Int {
        suite.encryption.id.isAEAD ? suite.encryption.id.tagOctets : suite.integrity?.tagOctets ?? 0
    }

    /// Octets that protection adds to the payloads of a message, at most; header and generic header included.
    var overhead: Int {
        Header.octetCount + Payload.headerOctets + 4 + suite.encryption.id.ivOctets + suite.encryption.id.blockOctets
            + tagOctets
    }

    /// A whole message around `plaintext`.
    ///
    /// - Parameters:
    ///   - first: the type of the first payload inside.
    ///   - fragment: number and total, for SKF (RFC 7383 §2.5); `nil` for SK.
    ///   - iv: ``EncryptionID/ivOctets`` octets: never used twice with these keys, and unpredictable for CBC.
    func seal(
        _ header: Header, first: PayloadType, _ plaintext: [UInt8], fragment: (number: UInt16, total: UInt16)?,
        iv: [UInt8]
    ) throws(Fault) -> [UInt8] {
        let block = suite.encryption.id.blockOctets
        let padding = (block - (plaintext.count + 1) % block) % block
        let padded = plaintext + Array(repeating: 0, count: padding) + [UInt8(truncatingIfNeeded: padding)]
        let bodyOctets = (fragment == nil ? 0 : 4) + iv.count + padded.count + tagOctets

        var header = header
        header.nextPayload = fragment == nil ? .encrypted : .encryptedFragment
        header.length = UInt32(truncatingIfNeeded: Header.octetCount + Payload.headerOctets + bodyOctets)
        guard header.length <= UInt16.max else { throw .cryptography("a message is longer than a datagram") }
        var octets: [UInt8] = []
        octets.reserveCapacity(Int(header.length))
        header.write(to: &octets)
        octets += [first.rawValue, 0]
        octets.append(bigEndian: UInt16(truncatingIfNeeded: bodyOctets + Payload.headerOctets))
        if let fragment {
            octets.append(bigEndian: fragment.number)
            octets.append(bigEndian: fragment.total)
        }
        let encryptionKey = keys.encryption(suite, initiator: fromInitiator)
        if suite.encryption.id.isAEAD {
            // RFC 5282 §5.1: the associated data ends where the IV begins.
            let sealed = try Attempt.cryptography { () throws(CryptographyError) in
                try MessageCipher.seal(
                    suite.encryption, key: encryptionKey, explicitIV: iv, additionalData: octets, padded)
            }
            octets += iv
            octets += sealed
        } else {
            guard let integrity = suite.integrity, let key = keys.integrity(suite, initiator: fromInitiator) else {
                throw .violation("a cipher without integrity goes with an integrity transform")
            }
            let encrypted = try Attempt.cryptography { () throws(CryptographyError) in
                try MessageCipher.encrypt(suite.encryption, key: encryptionKey, iv: iv, padded)
            }
            octets += iv
            octets += encrypted
            octets += try Attempt.cryptography { () throws(CryptographyError) in
                try IntegrityCheck.compute(integrity, key: key, octets[...])
            }
        }
        return octets
    }

    /// The plaintext within a message whose SK or SKF payload body begins at `bodyStart` and ends with the message.
    /// The integrity check comes before anything else is looked at.
    ///
    /// - Throws: `unauthentic` where the check fails or the lengths leave no room; `malformed` where only the padding
    ///   is wrong.
    func open(_ message: [UInt8], bodyStart: Int, isFragment: Bool) throws(Fault) -> [UInt8] {
        let ivStart = bodyStart + (isFragment ? 4 : 0)
        let textStart = ivStart + suite.encryption.id.ivOctets
        let textEnd = message.count - tagOctets
        guard textStart < textEnd else { throw .unauthentic }
        let iv = Array(message[ivStart..<textStart])
        let key = keys.encryption(suite, initiator: fromInitiator)
        let padded: [UInt8]
        if suite.encryption.id.isAEAD {
            padded = try Attempt.cryptography { () throws(CryptographyError) in
                try MessageCipher.open(
                    suite.encryption, key: key, explicitIV: iv, additionalData: Array(message[..<ivStart]),
                    Array(message[textStart...]))
            }
        } else {
            guard let integrity = suite.integrity,
                let integrityKey = keys.integrity(suite, initiator: fromInitiator),
                (textEnd - textStart).isMultiple(of: suite.encryption.id.blockOctets)
            else { throw .unauthentic }
            let holds = try Attempt.cryptography { () throws(CryptographyError) in
                try IntegrityCheck.verify(integrity, key: integrityKey, message[..<textEnd], tag: message[textEnd...])
            }
            guard holds else { throw .unauthentic }
            padded = try Attempt.cryptography { () throws(CryptographyError) in
                try MessageCipher.decrypt(suite.encryption, key: key, iv: iv, Array(message[textStart..<textEnd]))
            }
        }
        guard let padding = padded.last, Int(padding) < padded.count else {
            throw .malformed(.invalid(offset: textEnd - 1, rule: "the padding fits into the Encrypted payload"))
        }
        return Array(padded.dropLast(Int(padding) + 1))
    }
}
