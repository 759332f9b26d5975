package import Cryptography
package import Primitives

/// Key encapsulation where a Diffie-Hellman group would stand (RFC 9370, FIPS 203): the responder's value is made for the
/// initiator's, so that it cannot be drawn in advance.
///
///     initiator                             responder
///     dk, ek      -------- ek -------->     (K, c) = Encaps(ek)
///     K = Decaps(dk, c)   <--- c -----
extension KeyDetermination {
    /// The responder's part of any key exchange: the value to send back, and the shared secret. In a Diffie-Hellman
    /// group that is a key pair of its own and the combination with the peer's value.
    ///
    /// - Throws: `unsupportedGroup`, `invalidPublicValue` for a peer's value that is none, `libraryFailure`.
    package static func respond(
        _ group: KeyExchangeID, to peer: [UInt8], _ randomness: inout Randomness
    ) throws(OakleyError) -> (publicValue: [UInt8], sharedSecret: Secret) {
        guard case .encapsulation(let lattice) = Arithmetic(group) else {
            let pair = try generate(group, &randomness)
            return (pair.publicValue, try sharedSecret(pair, peer: peer))
        }
        do {
            let (ciphertext, secret) = try lattice.encapsulate(to: peer)
            return (ciphertext, secret)
        } catch {
            throw .invalidPublicValue(group)
        }
    }
}

extension ModuleLattice {
    /// The lattice behind a number. 35, ML-KEM-512, is in no library that this build has.
    static func find(_ group: KeyExchangeID) -> ModuleLattice? {
        switch group {
        case .mlkem768: .mlkem768
        case .mlkem1024: .mlkem1024
        default: nil
        }
    }
}
