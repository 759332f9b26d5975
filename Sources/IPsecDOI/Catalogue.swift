import Cryptography
import ISAKMP

/// The numbers of this domain that this build negotiates. They are asked of the readers of proposals, so that a number
/// stands here as soon as it is understood there.
package enum Catalogue {
    /// A transform with a number of attributes in the forms that readers want.
    private static func transform(_ identifier: UInt8, _ attributes: [(UInt16, UInt16)]) -> TransformPayload {
        TransformPayload(
            number: 1, identifier: identifier, attributes: attributes.map { DataAttribute($0.0, $0.1) })
    }

    /// Octets of a phase 1 offer: encryption, hash, method and group (RFC 2409 Appendix A). Ciphers want their key
    /// length said, and methods may insist on a hash of their own.
    private static func isPhaseOne(cipher: UInt16, hash: UInt16, method: UInt16) -> Bool {
        [nil, 128, 256].contains { (keyBits: UInt16?) in
            let length = keyBits.map { [(UInt16(14), $0)] } ?? []
            let attributes: [(UInt16, UInt16)] = [(1, cipher), (2, hash), (3, method), (4, 14)]
            return PhaseOneProposal.proposal(transform(1, attributes + length)) != nil
        }
    }

    private static let hashNumbers: ClosedRange<UInt16> = 1...16
    private static let preSharedKey: UInt16 = 1
    private static let aesCBC: UInt16 = 7

    /// Hash algorithms of phase 1.
    package static let hashes: [UInt16] = hashNumbers.filter {
        isPhaseOne(cipher: aesCBC, hash: $0, method: preSharedKey)
    }

    /// Encryption algorithms of phase 1.
    package static let phaseOneCiphers: [UInt16] = (1...255).filter { (cipher: UInt16) in
        hashes.contains { isPhaseOne(cipher: cipher, hash: $0, method: preSharedKey) }
    }

    /// Which of the given authentication methods an offer of phase 1 may name.
    package static func methods(among numbers: [UInt16]) -> [UInt16] {
        numbers.filter { method in hashes.contains { isPhaseOne(cipher: aesCBC, hash: $0, method: method) } }
    }

    /// Transforms of ESP (RFC 2407 §4.4.4).
    package static let espTransforms: [UInt8] = (1...255).filter { (identifier: UInt8) in
        PhaseTwoProposal.proposal(transform(identifier, [(5, 2)])) != nil
    }

    /// Authentication algorithms of ESP (RFC 2407 §4.5).
    package static let authenticators: [UInt16] = (1...255).filter { (number: UInt16) in
        PhaseTwoProposal.proposal(transform(12, [(5, number), (6, 128)])) != nil
    }

    /// Encapsulation modes (RFC 2407 §4.5, RFC 3947 §5.1).
    package static let encapsulations: [UInt16] = (Array(1...16) + Array(61_443...61_444)).filter { (number: UInt16) in
        PhaseTwoProposal.encapsulation(transform(12, [(4, number)])) != nil
    }
}
