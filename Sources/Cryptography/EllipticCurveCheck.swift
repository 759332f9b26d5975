internal import CLibcrypto
package import Primitives

extension EllipticCurve {
    /// The numbers that make up a curve: y² = x³ + ax + b over a prime field, y² + xy = x³ + ax² + b over a binary one.
    package struct Parameters: Hashable, Sendable {
        package enum Field: Hashable, Sendable {
            /// Integers modulo the prime.
            case prime([UInt8])
            /// Polynomials over GF(2) modulo the one given, whose coefficients are the number's bits.
            case binary([UInt8])
        }
        package var field: Field
        package var a: [UInt8]
        package var b: [UInt8]
        /// The generator's x coordinate.
        package var x: [UInt8]
        /// The generator's y coordinate; `nil`: either that the equation gives.
        package var y: [UInt8]?
        /// The order of the generator or of the whole group: a prime, or that times a small cofactor.
        package var order: [UInt8]

        package init(field: Field, a: [UInt8], b: [UInt8], x: [UInt8], y: [UInt8]? = nil, order: [UInt8]) {
            self.field = field
            self.a = a
            self.b = b
            self.x = x
            self.y = y
            self.order = order
        }
    }

    /// A curve from a peer's numbers after they have been checked: the field, the curve, the generator, its order, and
    /// that no known shortcut leads to discrete logarithms. `randomness` draws the bases of primality tests.
    package static func checked(
        _ parameters: Parameters, _ limits: GroupLimits, _ randomness: inout Randomness
    ) throws(GroupDefect) -> EllipticCurve {
        let field =
            switch parameters.field {
            case .prime(let number), .binary(let number): number
            }
        // Before the numbers are made, and the more before they are computed with.
        for number in [field, parameters.a, parameters.b, parameters.x, parameters.y ?? [], parameters.order] {
            guard number.count <= limits.fieldBits.upperBound / 8 + 1 else { throw .size(bits: number.count * 8) }
        }
        let result: Result<EllipticCurve, GroupDefect>
        do throws(CryptographyError) {
            result = try CurveExamination(parameters).run(limits, &randomness)
        } catch {
            throw .library
        }
        return try result.get()
    }

    /// The curve's own numbers.
    package var parameters: Parameters? {
        do throws(CryptographyError) {
            let (scratch, field, a, b) = (try ScratchNumbers(), try BigNumber(), try BigNumber(), try BigNumber())
            let (x, y, order) = (try BigNumber(), try BigNumber(), try BigNumber())
            guard EC_GROUP_get_curve(group, field.pointer, a.pointer, b.pointer, scratch.pointer) == 1,
                let generator = EC_GROUP_get0_generator(group),
                EC_POINT_get_affine_coordinates(group, generator, x.pointer, y.pointer, scratch.pointer) == 1,
                BN_mul(order.pointer, EC_GROUP_get0_order(group), EC_GROUP_get0_cofactor(group), scratch.pointer) == 1
            else { return nil }
            let number = try field.significantOctets()
            let isPrime = EC_GROUP_get_field_type(group) == NID_X9_62_prime_field
            return Parameters(
                field: isPrime ? .prime(number) : .binary(number), a: try a.significantOctets(),
                b: try b.significantOctets(), x: try x.significantOctets(), y: try y.significantOctets(),
                order: try order.significantOctets())
        } catch {
            return nil
        }
    }
}

/// One check of a curve.
private struct CurveExamination {
    let scratch: ScratchNumbers
    let isBinary: Bool
    let field: BigNumber
    let a: BigNumber
    let b: BigNumber
    let x: BigNumber
    let y: BigNumber?
    let order: BigNumber

    init(_ parameters: EllipticCurve.Parameters) throws(CryptographyError) {
        scratch = try ScratchNumbers()
        switch parameters.field {
        case .prime(let number): (isBinary, field) = (false, try BigNumber(number))
        case .binary(let number): (isBinary, field) = (true, try BigNumber(number))
        }
        a = try BigNumber(parameters.a)
        b = try BigNumber(parameters.b)
        x = try BigNumber(parameters.x)
        y = try parameters.y.map { octets throws(CryptographyError) in try BigNumber(octets) }
        order = try BigNumber(parameters.order)
    }

    /// Bits of the field's size.
    private var fieldBits: Int { isBinary ? field.bits - 1 : field.bits }

    func run(
        _ limits: GroupLimits, _ randomness: inout Randomness
    ) throws(CryptographyError) -> Result<EllipticCurve, GroupDefect> {
        guard limits.fieldBits.contains(fieldBits) else { return .failure(.size(bits: fieldBits)) }
        for number in [a, b, x] + (y.map { [$0] } ?? []) {
            let isInside = isBinary ? number.bits <= fieldBits : number < field
            guard isInside else { return .failure(.outOfField) }
        }
        if let defect = try fieldDefect(&randomness) { return .failure(defect) }
        guard
            let group = isBinary
                ? EC_GROUP_new_curve_GF2m(field.pointer, a.pointer, b.pointer, scratch.pointer)
                : EC_GROUP_new_curve_GFp(field.pointer, a.pointer, b.pointer, scratch.pointer)
        else {
            ERR_clear_error()
            return .failure(.library)  // A binary field that is given by more than five terms, for one.
        }
        var isKept = false
        defer { if !isKept { EC_GROUP_free(group) } }
        guard EC_GROUP_check_discriminant(group, scratch.pointer) == 1 else {
            ERR_clear_error()
            return .failure(.singular)
        }
        let generator = EC_POINT_new(group)
        defer { EC_POINT_free(generator) }
        guard let generator else { throw .libraryFailure("EC_POINT_new") }
        guard place(generator, in: group) else {
            ERR_clear_error()
            return .failure(.generatorOffCurve)
        }
        let (prime, cofactor): (BigNumber, UInt)
        switch try subgroup(&randomness) {
        case .failure(let defect): return .failure(defect)
        case .success(let found): (prime, cofactor) = found
        }
        guard try generates(generator, prime, cofactor, in: group) else { return .failure(.generatorOrder) }
        let factor = try BigNumber(word: cofactor)
        guard EC_GROUP_set_generator(group, generator, prime.pointer, factor.pointer) == 1 else {
            throw .libraryFailure("EC_GROUP_set_generator")
        }
        isKept = true
        return .success(
            EllipticCurve(
                adopting: group, primeOrder: prime, cofactor: cofactor, form: isBinary ? .abscissa : .coordinates))
    }

    private func fieldDefect(_ randomness: inout Randomness) throws(CryptographyError) -> GroupDefect? {
        guard isBinary else { return try field.isProbablyPrime(&randomness, scratch) ? nil : .notPrime }
        guard fieldBits > 2, !(2..<fieldBits).contains(where: { $0 * $0 <= fieldBits && fieldBits % $0 == 0 }) else {
            return .compositeDegree
        }
        // Of prime degree m, f is irreducible if it has no root and u^(2^m) = u mod f. Its roots could be 0 and 1.
        let terms = (0...Int32(fieldBits)).count { BN_is_bit_set(field.pointer, $0) == 1 }
        guard field.isOdd, !terms.isMultiple(of: 2) else { return .notIrreducible }
        let power = try BigNumber(word: 2)
        for _ in 0..<fieldBits {
            guard BN_GF2m_mod_sqr(power.pointer, power.pointer, field.pointer, scratch.pointer) == 1 else {
                throw .libraryFailure("BN_GF2m_mod_sqr")
            }
        }
        return power == (try BigNumber(word: 2)) ? nil : .notIrreducible
    }

    /// Makes `point` the generator; false where it is not on the curve.
    private func place(_ point: OpaquePointer, in group: OpaquePointer) -> Bool {
        guard let y else {
            return EC_POINT_set_compressed_coordinates(group, point, x.pointer, 0, scratch.pointer) == 1
        }
        return EC_POINT_set_affine_coordinates(group, point, x.pointer, y.pointer, scratch.pointer) == 1
            && EC_POINT_is_on_curve(group, point, scratch.pointer) == 1
    }

    /// The prime in the order, and the true cofactor. By Hasse's theorem the number of points is within 2·sqrt(q) of q+1;
    /// only one multiple of so large a prime is.
    private func subgroup(
        _ randomness: inout Randomness
    ) throws(CryptographyError) -> Result<(BigNumber, UInt), GroupDefect> {
        let prime = try BigNumber(copying: order.pointer)
        guard prime.bits > fieldBits - GroupLimits.cofactorBits, prime.bits <= fieldBits + 1 else {
            return .failure(.order)
        }
        for small in [2, 3, 5, 7, 11, 13] as [UInt] {
            while BN_mod_word(prime.pointer, small) == 0 {
                guard BN_div_word(prime.pointer, small) == 0, !prime.isZero else {
                    throw .libraryFailure("BN_div_word")
                }
            }
        }
        guard prime.bits > fieldBits - GroupLimits.cofactorBits, try prime.isProbablyPrime(&randomness, scratch) else {
            return .failure(.order)
        }
        let size = try fieldSize()
        guard !(prime == size) else { return .failure(.weakCurve) }
        // slack is above 2·sqrt(q); count = floor((q + 1 + slack) / prime).
        let (slack, count, points) = (try BigNumber(), try BigNumber(), try BigNumber())
        guard BN_set_bit(slack.pointer, Int32(fieldBits / 2 + 2)) == 1, BN_add_word(size.pointer, 1) == 1,
            BN_add(points.pointer, size.pointer, slack.pointer) == 1,
            BN_div(count.pointer, nil, points.pointer, prime.pointer, scratch.pointer) == 1,
            BN_mul(points.pointer, count.pointer, prime.pointer, scratch.pointer) == 1,
            BN_add(points.pointer, points.pointer, slack.pointer) == 1
        else { throw .libraryFailure("BN_add") }
        guard !(points < size), !count.isZero, count.bits <= GroupLimits.cofactorBits + 1 else {
            return .failure(.order)
        }
        if try hasSmallEmbedding(prime) { return .failure(.weakCurve) }
        return .success((prime, UInt(BN_get_word(count.pointer))))
    }

    private func fieldSize() throws(CryptographyError) -> BigNumber {
        guard isBinary else { return try BigNumber(copying: field.pointer) }
        let size = try BigNumber()
        guard BN_set_bit(size.pointer, Int32(fieldBits)) == 1 else { throw .libraryFailure("BN_set_bit") }
        return size
    }

    /// Whether q^k = 1 modulo the order for a small k: pairings then carry logarithms into a field (Menezes, Okamoto and
    /// Vanstone).
    private func hasSmallEmbedding(_ prime: BigNumber) throws(CryptographyError) -> Bool {
        let (size, power) = (try fieldSize(), try BigNumber(word: 1))
        for _ in 0..<GroupLimits.embeddingDegree {
            guard BN_mod_mul(power.pointer, power.pointer, size.pointer, prime.pointer, scratch.pointer) == 1 else {
                throw .libraryFailure("BN_mod_mul")
            }
            if power.isOne { return true }
        }
        return false
    }

    /// Whether the generator, times the cofactor, has the prime for its order.
    private func generates(
        _ generator: OpaquePointer, _ prime: BigNumber, _ cofactor: UInt, in group: OpaquePointer
    ) throws(CryptographyError) -> Bool {
        let point = EC_POINT_new(group)
        defer { EC_POINT_free(point) }
        let factor = try BigNumber(word: cofactor)
        guard let point, EC_POINT_mul(group, point, nil, generator, factor.pointer, scratch.pointer) == 1 else {
            throw .libraryFailure("EC_POINT_mul")
        }
        guard EC_POINT_is_at_infinity(group, point) == 0 else { return false }
        guard EC_POINT_mul(group, point, nil, point, prime.pointer, scratch.pointer) == 1 else {
            throw .libraryFailure("EC_POINT_mul")
        }
        return EC_POINT_is_at_infinity(group, point) == 1
    }
}
