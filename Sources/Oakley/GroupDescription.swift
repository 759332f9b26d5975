package import Cryptography

/// A group given in full, as an SA payload of IKEv1 can carry it (RFC 2409 Appendix A, attributes 5 to 10, 15 and 16):
/// in a phase 1 transform without a group's number, or with a private number in New Group Mode (RFC 2409 §5.6). It is
/// only numbers; ``CheckedGroup`` is what one may compute in.
package enum GroupDescription: Hashable, Sendable {
    /// Powers of a generator modulo a prime.
    case modp(PrimeGroup.Parameters)
    /// Multiples of a point on a curve: ECP or EC2N, as its field is.
    case curve(EllipticCurve.Parameters)
}

/// An attribute of a transform, apart from how it is encoded: a number of any length, most significant octet first.
package struct GroupAttribute: Hashable, Sendable {
    package var type: UInt16
    package var number: [UInt8]

    package init(type: UInt16, number: [UInt8]) {
        self.type = type
        self.number = number
    }

    package static let groupType: UInt16 = 5
    package static let prime: UInt16 = 6
    package static let generatorOne: UInt16 = 7
    package static let generatorTwo: UInt16 = 8
    package static let curveA: UInt16 = 9
    package static let curveB: UInt16 = 10
    package static let fieldSize: UInt16 = 15
    package static let order: UInt16 = 16

    /// Whether the type is one of a group's in full.
    package static func describes(_ type: UInt16) -> Bool { (5...10).contains(type) || type == 15 || type == 16 }

    /// Whether the type is of two octets always (RFC 2409 Appendix A: "B").
    package static func isBasic(_ type: UInt16) -> Bool { type == groupType || type == fieldSize }
}

/// Why attributes describe no group.
package enum GroupDescriptionError: Error, Hashable, Sendable {
    /// An attribute that the type of group needs is missing.
    case missing(UInt16)
    /// An attribute stands twice, is longer than ``GroupDescription/maximumOctets``, or contradicts another.
    case malformed(UInt16)
    /// A type of group other than MODP, ECP and EC2N.
    case unknownType(UInt16)
}

extension GroupDescription {
    private static let modpType: UInt8 = 1
    private static let primeCurveType: UInt8 = 2
    private static let binaryCurveType: UInt8 = 3

    /// Octets of the longest number that is read: 8192 bits and a sign's octet.
    package static let maximumOctets = 1025

    /// The group among a transform's attributes; `nil` where none of them describes one. Attributes of other kinds are
    /// passed over.
    package static func read(
        _ attributes: [GroupAttribute]
    ) throws(GroupDescriptionError) -> GroupDescription? {
        var numbers: [UInt16: [UInt8]] = [:]
        for attribute in attributes where GroupAttribute.describes(attribute.type) {
            guard numbers[attribute.type] == nil, attribute.number.count <= maximumOctets else {
                throw .malformed(attribute.type)
            }
            numbers[attribute.type] = Array(attribute.number.drop { $0 == 0 })
        }
        guard !numbers.isEmpty else { return nil }
        func needed(_ type: UInt16) throws(GroupDescriptionError) -> [UInt8] {
            guard let number = numbers[type] else { throw .missing(type) }
            return number
        }
        let prime = try needed(GroupAttribute.prime)
        let bits = prime.first.map { prime.count * 8 - $0.leadingZeroBitCount } ?? 0
        // The degree is one less than the polynomial's bits; elsewhere the field's size is that of the prime.
        let type = try needed(GroupAttribute.groupType)
        if let stated = numbers[GroupAttribute.fieldSize] {
            let size = stated.count > 2 ? Int.max : stated.reduce(0) { $0 << 8 | Int($1) }
            guard size == (type == [binaryCurveType] ? bits - 1 : bits) else {
                throw .malformed(GroupAttribute.fieldSize)
            }
        }
        switch type {
        case [modpType]:
            return .modp(
                PrimeGroup.Parameters(
                    prime: prime, generator: try needed(GroupAttribute.generatorOne),
                    order: numbers[GroupAttribute.order]))
        case [primeCurveType], [binaryCurveType]:
            return .curve(
                EllipticCurve.Parameters(
                    field: type == [primeCurveType] ? .prime(prime) : .binary(prime),
                    a: try needed(GroupAttribute.curveA), b: try needed(GroupAttribute.curveB),
                    x: try needed(GroupAttribute.generatorOne), y: numbers[GroupAttribute.generatorTwo],
                    order: try needed(GroupAttribute.order)))
        default:
            throw .unknownType(type.suffix(2).reduce(0) { $0 << 8 | UInt16($1) })
        }
    }

    /// The attributes, in order of their types. A zero is one octet.
    package var attributes: [GroupAttribute] {
        func attribute(_ type: UInt16, _ number: [UInt8]) -> GroupAttribute {
            GroupAttribute(type: type, number: number.isEmpty ? [0] : number)
        }
        switch self {
        case .modp(let group):
            return [
                attribute(GroupAttribute.groupType, [0, Self.modpType]), attribute(GroupAttribute.prime, group.prime),
                attribute(GroupAttribute.generatorOne, group.generator),
            ] + (group.order.map { [attribute(GroupAttribute.order, $0)] } ?? [])
        case .curve(let curve):
            let (type, field) =
                switch curve.field {
                case .prime(let prime): (Self.primeCurveType, prime)
                case .binary(let polynomial): (Self.binaryCurveType, polynomial)
                }
            return [attribute(GroupAttribute.groupType, [0, type]), attribute(GroupAttribute.prime, field)]
                + [attribute(GroupAttribute.generatorOne, curve.x)]
                + (curve.y.map { [attribute(GroupAttribute.generatorTwo, $0)] } ?? [])
                + [
                    attribute(GroupAttribute.curveA, curve.a), attribute(GroupAttribute.curveB, curve.b),
                    attribute(GroupAttribute.order, curve.order),
                ]
        }
    }

    /// A numbered group in full; `nil` for Curve25519, Curve448, which no attributes describe, and unknown numbers.
    package init?(_ group: KeyExchangeID) {
        if let found = PrimeGroup.find(group)?.parameters {
            self = .modp(found)
        } else if let found = EllipticCurve.find(group)?.parameters {
            self = .curve(found)
        } else {
            return nil
        }
    }
}
