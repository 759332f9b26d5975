/// Why a group that a peer gave in full is not used.
package enum GroupDefect: Error, Hashable, Sendable {
    /// A number has more or fewer bits than ``GroupLimits`` allows.
    case size(bits: Int)
    /// The modulus of a MODP or ECP group is not prime.
    case notPrime
    /// (p-1)/2 is not prime, and no order of the generator is given.
    case notSafe
    /// The polynomial of an EC2N group is not irreducible.
    case notIrreducible
    /// The degree of an EC2N group's field is not prime: such fields have subfields to attack the curve from.
    case compositeDegree
    /// A number lies outside the field.
    case outOfField
    /// The curve has a singular point, and so is no group.
    case singular
    /// The generator is not on the curve.
    case generatorOffCurve
    /// The generator is 0, 1 or -1, or its order is not the one given.
    case generatorOrder
    /// The order is no prime, but for a small cofactor, or is too small.
    case order
    /// The number of points is that of the field or divides a small power of it less one: discrete logarithms are easy.
    case weakCurve
    /// libcrypto failed or knows no such field.
    case library
}

/// Bounds of what is computed with on a peer's word: a check takes time that grows with the fourth power of the size.
package struct GroupLimits: Hashable, Sendable {
    /// Bits of the prime of a MODP group.
    package var modulusBits: ClosedRange<Int>
    /// Bits of the prime, or degree of the polynomial, of an elliptic curve's field.
    package var fieldBits: ClosedRange<Int>

    package init(modulusBits: ClosedRange<Int> = 768...8192, fieldBits: ClosedRange<Int> = 155...571) {
        self.modulusBits = modulusBits
        self.fieldBits = fieldBits
    }

    /// For peers that have proven who they are.
    package static let authenticated = GroupLimits()
    /// For peers that have not yet: the check of an 8192-bit prime would take them seconds of our time.
    package static let anybody = GroupLimits(modulusBits: 1024...3072)

    /// The least bits of the order of the subgroup in use (RFC 5114's smallest).
    static let leastOrderBits = 160
    /// How much smaller than the field the prime order of a curve may be: a cofactor of 8 bits.
    static let cofactorBits = 8
    /// Powers of the field's size up to which a curve's order must divide none less one (SEC 1 §3.1.1.2.1).
    static let embeddingDegree = 100
}
