package import Cryptography
package import Primitives

/// A group whose description has been checked: one can only come from ``GroupDescription/checked(_:_:)``, or from
/// what `Cryptography` checked.
package struct CheckedGroup: Sendable {
    package let description: GroupDescription
    let arithmetic: KeyDetermination.Arithmetic

    /// Octets of public values.
    package var publicValueOctets: Int { arithmetic.publicOctets }
    /// What computes in a MODP group; `nil` for others.
    package var primeGroup: PrimeGroup? {
        if case .prime(let group) = arithmetic { return group }
        return nil
    }
    /// What computes on an elliptic curve; `nil` for others.
    package var curve: EllipticCurve? {
        if case .curve(let curve) = arithmetic { return curve }
        return nil
    }

    fileprivate init(description: GroupDescription, computing arithmetic: KeyDetermination.Arithmetic) {
        self.description = description
        self.arithmetic = arithmetic
    }

    /// A MODP group that was checked before, with the numbers that were checked.
    package init(_ parameters: PrimeGroup.Parameters, vetted group: PrimeGroup) {
        self.init(description: .modp(parameters), computing: .prime(group))
    }

    /// A curve that was checked before, with the numbers that were checked.
    package init(_ parameters: EllipticCurve.Parameters, vetted curve: EllipticCurve) {
        self.init(description: .curve(parameters), computing: .curve(curve))
    }
}

extension GroupDescription {
    private static let numbered: [(GroupDescription, KeyExchangeID)] = (1...UInt16(30)).compactMap { value in
        let number = KeyExchangeID(rawValue: value)
        return GroupDescription(number).map { ($0, number) }
    }

    /// The number of the same group, where it has one: a peer may spell out what both know by number. What the description
    /// leaves out may be either.
    package var number: KeyExchangeID? {
        Self.numbered.first { known, _ in
            switch (self, known) {
            case (.modp(let own), .modp(let other)):
                own.prime == other.prime && own.generator == other.generator && own.order == other.order
            case (.curve(let own), .curve(let other)):
                own.field == other.field && own.a == other.a && own.b == other.b && own.x == other.x
                    && (own.y == nil || own.y == other.y) && own.order == other.order
            default: false
            }
        }?.1
    }

    /// Checks the group before use. Takes some 100 ms for 2048 bits, and seconds for 8192. A group that has a number has been
    /// checked by many, and takes no time; groups 3 and 4 would not pass, for the degrees of their fields.
    ///
    /// - Throws: what is wrong with the group.
    package func checked(
        _ limits: GroupLimits, _ randomness: inout Randomness
    ) throws(GroupDefect) -> CheckedGroup {
        if let number, let arithmetic = KeyDetermination.Arithmetic(number) {
            if case .modp(let parameters) = self, let first = parameters.prime.first {
                let bits = parameters.prime.count * 8 - first.leadingZeroBitCount
                guard limits.modulusBits.contains(bits) else { throw .size(bits: bits) }
            }
            return CheckedGroup(description: self, computing: arithmetic)
        }
        switch self {
        case .modp(let parameters):
            let group = try PrimeGroup.checked(parameters, limits, &randomness)
            return CheckedGroup(description: self, computing: .prime(group))
        case .curve(let parameters):
            let curve = try EllipticCurve.checked(parameters, limits, &randomness)
            return CheckedGroup(description: self, computing: .curve(curve))
        }
    }
}

/// Groups that two ends have agreed on for themselves, under private numbers (RFC 2409 §5.6). A session holds one; the
/// empty one knows the numbered groups alone.
package struct GroupRegistry: Sendable {
    /// Groups that a session keeps: a peer may define many.
    package static let maximumGroups = 8
    /// RFC 2409 Appendix A.
    package static let privateNumbers: ClosedRange<UInt16> = 32_768...65_535

    /// Why a group was not taken.
    package enum Refusal: Error, Hashable, Sendable {
        case notPrivate(KeyExchangeID)
        /// The number stands for another group already.
        case taken(KeyExchangeID)
        case full
        case defective(GroupDefect)
    }

    private var groups: [KeyExchangeID: CheckedGroup] = [:]

    package init() {}

    /// The numbers defined.
    package var numbers: [KeyExchangeID] { groups.keys.sorted { $0.rawValue < $1.rawValue } }

    /// A group by its private number.
    package subscript(number: KeyExchangeID) -> CheckedGroup? { groups[number] }

    /// Gives the number to a group that was checked before. The same group under the same number changes nothing.
    package mutating func add(_ number: KeyExchangeID, _ group: CheckedGroup) throws(Refusal) {
        guard Self.privateNumbers.contains(number.rawValue) else { throw .notPrivate(number) }
        if let known = groups[number] {
            guard known.description == group.description else { throw .taken(number) }
            return
        }
        guard groups.count < Self.maximumGroups else { throw .full }
        groups[number] = group
    }

    /// Checks a group and gives it the number. The same group under the same number changes nothing.
    package mutating func add(
        _ number: KeyExchangeID, _ description: GroupDescription, _ limits: GroupLimits,
        _ randomness: inout Randomness
    ) throws(Refusal) {
        guard Self.privateNumbers.contains(number.rawValue) else { throw .notPrivate(number) }
        if let known = groups[number] {
            guard known.description == description else { throw .taken(number) }
            return
        }
        guard groups.count < Self.maximumGroups else { throw .full }
        do throws(GroupDefect) {
            groups[number] = try description.checked(limits, &randomness)
        } catch {
            throw .defective(error)
        }
    }
}
