package import Cryptography

/// What a group's arithmetic is (RFC 2412 §2.4, Appendix E; RFC 8031).
package enum GroupFamily: String, Hashable, Sendable {
    /// Exponentiation modulo a prime.
    case modp = "MODP"
    /// An elliptic curve modulo a prime.
    case ecp = "ECP"
    /// An elliptic curve over a field of 2^n elements.
    case ec2n = "EC2N"
    /// Curve25519 and Curve448.
    case montgomery = "Montgomery curve"
    /// Key encapsulation over module lattices.
    case lattice = "module lattice"
    /// A number that is not registered.
    case other = "other"
}

/// A group of this build.
package struct GroupEntry: Hashable, Sendable {
    package let id: KeyExchangeID
    package let family: GroupFamily
    /// Octets of a public value; of an initiator's, where the responder's differ.
    package let publicValueOctets: Int
    package let reference: String
}

extension KeyDetermination {
    /// Numbers that IANA gives out; 1024 and up are for private use, and so are IKEv1's from 32768.
    private static let registered: ClosedRange<UInt16> = 1...1023

    /// Every group that this build computes in, by number: asked of the arithmetic itself, so nothing can be missing.
    package static let groups: [GroupEntry] = registered.compactMap { number in
        let id = KeyExchangeID(rawValue: number)
        guard let octets = publicValueOctets(id) else { return nil }
        let origin = origin(number)
        return GroupEntry(id: id, family: origin.family, publicValueOctets: octets, reference: origin.reference)
    }

    /// Where a number was given out, and for what.
    static func origin(_ number: UInt16) -> (family: GroupFamily, reference: String) {
        switch number {
        case 1...2: (.modp, "RFC 2409 §6.\(number)")
        case 3...4: (.ec2n, "RFC 2409 §6.\(number)")
        case 5: (.modp, "RFC 3526 §2")
        case 6...13: (.ec2n, "draft-ietf-ipsec-ike-ecc-groups")
        case 14...18: (.modp, "RFC 3526 §\(number - 11)")
        case 19...21: (.ecp, "RFC 5903 §3.\(number - 18)")
        case 22...24: (.modp, "RFC 5114 §2.\(number - 21)")
        case 25...26: (.ecp, "RFC 5114 §2.\(number - 21)")
        case 27...30: (.ecp, "RFC 6954 §2")
        case 31: (.montgomery, "RFC 8031 §2")
        case 32: (.montgomery, "RFC 8031 §2")
        case 35...37: (.lattice, "FIPS 203")
        default: (.other, "-")
        }
    }
}
